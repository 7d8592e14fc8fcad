"""Tasks of the user's own machine, metric series, and what is refused (HTTP API, section 11)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.engine.routes import ROUTES, RouteTable
from engine_home import EngineHome, shared_engine
from published import PublishedClient, check_shape

__all__ = ["shared_engine"]


@pytest.fixture(scope="module")
def ada(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("ada", "lovelace")
    return PublishedClient.login(shared_engine.address, "ada", "lovelace")


@pytest.fixture(scope="module")
def code(ada: PublishedClient, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What every task of these tests is added with."""
    algorithm, commit = ada.send_code(
        "code", tmp_path_factory.mktemp("code") / "code", {"train.py": "1"}
    )
    return {
        "name": "t", "project_id": ada.one("project/default")["id"], "algorithm_id": algorithm,
        "algorithm_git_ref": commit, "train_params": "{}", "entrypoint": "python train.py",
    }  # fmt: skip


# Tasks of the user's own machine.


class Agent:
    """What `anyctl` of 0.20 does beside a task that it runs itself."""

    def __init__(self, client: PublishedClient, code: dict[str, str]) -> None:
        self.client = client
        self.task = client.change("POST", "train_task/add", **code, is_local="True")
        key = self.look()["secret_key"]
        self.reporter = PublishedClient(client.address, secret_key=key)

    def look(self) -> dict[str, Any]:
        return self.client.one("train_task/query", id=self.task)

    def tell(self, state: int) -> None:
        assert self.reporter.call("POST", "train_task/state", id=self.task, state=state)

    def send(self, text: str) -> None:
        assert self.client.call("PATCH", "train_task/local_logs", id=self.task, logs=text)

    def lines(self) -> list[str]:
        page = self.client.call(
            "GET", "train_task/logs", id=self.task, direction="back", index=0, offset_index=-1
        )
        return [line["text"] for line in page]


def test_a_task_of_the_users_own_machine_is_told_not_run(
    shared_engine: EngineHome, ada: PublishedClient, code: dict[str, str]
) -> None:
    agent = Agent(ada, code)
    assert (agent.look()["state"], agent.look()["is_local"]) == (0, True)
    known = ada.call("GET", "train_task/local_task_catch", id=agent.task)
    check_shape(known, {"output_cache_pointer": type(None), "error_cache_pointer": type(None)})

    agent.tell(1)
    assert ada.call("PATCH", "train_task/heartbeat", train_task_id=agent.task)
    agent.send("one\ntwo")
    agent.send("three\n")
    assert ada.call("PATCH", "train_task/local_task_catch", id=agent.task,
                    key="output_cache_pointer", value=14)  # fmt: skip
    # An engine that is started anew leaves such a task as it is.
    shared_engine.stop()
    shared_engine.wait_gone()
    shared_engine.start()

    assert (agent.look()["state"], agent.look()["phase"]) == (1, "running")
    known = ada.call("GET", "train_task/local_task_catch", id=agent.task)
    assert (known["output_cache_pointer"], known["error_cache_pointer"]) == (14, None)
    agent.tell(2)
    assert agent.look()["state"] == 2
    assert agent.look()["finish_time"]
    assert agent.lines() == ["[Anylearn] task created", "one", "two", "three"]
    # What has ended, has ended.
    agent.tell(-2)
    assert agent.look()["state"] == 2
    ada.refused(409, "PATCH", "train_task/local_logs", id=agent.task, logs="late")


def test_a_task_of_the_users_own_machine_fails_or_is_ended(
    ada: PublishedClient, code: dict[str, str]
) -> None:
    failed, stopped = Agent(ada, code), Agent(ada, code)
    failed.tell(1)
    failed.tell(-2)
    assert (failed.look()["state"], failed.look()["exit"]["kind"]) == (-2, "unknown")

    stopped.tell(1)
    assert ada.change("DELETE", "train_task/delete", id=stopped.task) == stopped.task
    assert (stopped.look()["state"], stopped.look()["phase"]) == (-3, "aborted")
    # Its results are a file like any other, which the agent uploads.
    results = failed.look()["results_id"]
    ada.upload(results, b"weights")
    assert ada.wait_ready("file", results)["state"] == 3


def test_only_such_a_task_is_told(ada: PublishedClient, code: dict[str, str]) -> None:
    task = ada.change("POST", "train_task/add", **code)
    key = ada.one("train_task/query", id=task)["secret_key"]
    reporter = PublishedClient(ada.address, secret_key=key)

    reporter.refused(409, "POST", "train_task/state", id=task, state=2)
    ada.refused(409, "PATCH", "train_task/local_logs", id=task, logs="x")
    ada.refused(409, "PATCH", "train_task/heartbeat", train_task_id=task)
    ada.refused(409, "GET", "train_task/local_task_catch", id=task)

    agent = Agent(ada, code)
    agent.reporter.refused(400, "POST", "train_task/state", id=agent.task, state=4)
    ada.refused(400, "PATCH", "train_task/local_task_catch", id=agent.task, key="x", value=1)
    PublishedClient(ada.address, secret_key=key).refused(
        401, "POST", "train_task/state", id=agent.task, state=2
    )


# Metric series.

REPORTS = """
import json, pathlib
for step in range(5):
    report = {"step": step * 10, "loss": 1 / (step + 1), "up": step}
    print("[anylearn-metric] " + json.dumps(report))
    print("text between")
print("[anylearn-metric] " + json.dumps({"accuracy": 0.5, "bad": "x", "worse": None}))
print("[anylearn-metric] no json")
"""


def test_metric_lines_are_series(
    ada: PublishedClient, code: dict[str, str], tmp_path: Path
) -> None:
    algorithm, commit = ada.send_code("reports", tmp_path / "code", {"train.py": REPORTS})
    project = ada.change("POST", "project/add", name="p", description="", datasets="")
    task = ada.change("POST", "train_task/add", **code | {
        "project_id": project, "algorithm_id": algorithm, "algorithm_git_ref": commit,
    })  # fmt: skip
    assert ada.wait_end(task)["state"] == 2

    for _ in range(2):  # the second time from what is known
        metas = ada.call("GET", f"anyboard/{project}/metric/meta")["metricMetaList"]
        assert {(one["name"], one["count"]) for one in metas} == {
            ("loss", 5), ("up", 5), ("accuracy", 1)
        }  # fmt: skip
        assert {(one["taskId"], one["type"]) for one in metas} == {(task, "SCALAR")}
    (found,) = ada.call(
        "GET", f"anyboard/{project}/metric/scalars",
        scalar_metric_query_list=json.dumps(
            [{"taskId": task, "metricName": "loss", "offset": 1, "limit": 2}]
        ),
    )["scalarMetricList"]  # fmt: skip
    assert (found["taskId"], found["metricName"]) == (task, "loss")
    records = found["scalarRecordList"]
    assert [(one["step"], one["value"]) for one in records] == [(10, 1 / 2), (20, 1 / 3)]
    assert all(one["walltime"] > 1.7e12 for one in records)
    wanted = json.dumps([{"taskId": task, "metricName": "w", "offset": 0, "limit": 9}])
    (none,) = ada.call(
        "GET", f"anyboard/{project}/metric/histograms", histogram_metric_query_list=wanted
    )["histogramMetricList"]
    assert none["histogramRecordList"] == []


@pytest.mark.parametrize(
    "wanted", ["x", "[1]", '[{"taskId": 1}]', '[{"taskId": "TRAI", "metricName": "x"}]']
)
def test_series_that_cannot_be(ada: PublishedClient, code: dict[str, str], wanted: str) -> None:
    path = f"anyboard/{code['project_id']}/metric/scalars"
    assert ada.ask("GET", path, scalar_metric_query_list=wanted).status_code in (400, 404)
    ada.refused(404, "GET", "anyboard/PROJ0/metric/meta")
    ada.refused(404, "GET", f"anyboard/PROJ{'0' * 28}/metric/meta")


# What is not here.


@pytest.mark.parametrize(
    ("method", "path", "instead"),
    [
        ("GET", "service/list", "load the model"),
        ("POST", "service/add", "load the model"),
        ("PUT", "service/update", "load the model"),
        ("DELETE", "service/delete", "load the model"),
        ("GET", "service_record/query", "load the model"),
        ("POST", "hpo/start", "a task for each set"),
        ("GET", "hpo", "a task for each set"),
        ("GET", "hpo/best", "a task for each set"),
        ("GET", "hpo/log/trial", "a task for each set"),
        ("POST", "jumps/channels", "in chunks"),
        ("GET", "jumps/channels/asset/DSET1", "in chunks"),
        ("GET", "jumps/channels/1/trans", "in chunks"),
        ("POST", "jumps/channels/1/trans", "in chunks"),
        ("PATCH", "jumps/channels/1/finishing", "in chunks"),
    ],
)
def test_what_is_not_here_says_what_serves_instead(
    ada: PublishedClient, method: str, path: str, instead: str
) -> None:
    assert instead in ada.refused(404, method, path)


def test_a_search_is_refused_with_a_task_too(ada: PublishedClient, code: dict[str, str]) -> None:
    said = ada.refused(400, "POST", "train_task/add", **code, hpo="1", hpo_search_space="{}")
    assert "a task for each set" in said


def test_a_pattern_matches_whole_parts_only() -> None:
    table = RouteTable(ROUTES)

    found = table.find("GET", "/api/anyboard/PROJ1/metric/meta")
    assert found is not None
    assert found[1] == {"project_id": "PROJ1"}
    for path in ("/api/anyboard//metric/meta", "/api/anyboard/a/b/metric/meta", "/api/service"):
        assert table.find("GET", path) is None
    assert table.knows("/api/service/list")
    assert table.find("PATCH", "/api/service/list") is None
