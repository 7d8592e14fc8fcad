"""What tasks of a real engine say: logs, status, metrics (HTTP API, sections 9.4 to 9.6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.engine.task_files import TaskFiles
from engine_home import EngineHome, shared_engine
from published import LOG_LINE, METRIC, PublishedClient, check_error, check_shape
from waiting import wait_until

__all__ = ["shared_engine"]

COUNT = "for i in range(1, 1001): print(i)"
# Blank lines, colours, a bar, bytes that are no text, a character cut in two by a flush, no end.
STRANGE = r"""
import sys, time
out = sys.stdout.buffer
for piece in (b"one\n\n   \n\t\ntwo\r\n", b"\x1b[31mred\x1b[0m\n", b"10%\r20%\rdone\n",
              b"\xff\xfe bad\n", b"\xe4\xbd", b"\xa0 good\n", b"x" * 100_000 + b"\n", b"no end"):
    out.write(piece)
    out.flush()
"""
WAIT = """
import os, time
print("ready", flush=True)
while not os.path.exists("go"): time.sleep(.02)
print("gone on", flush=True)
"""


class Tasks:
    """Tasks of one user whose code prints."""

    def __init__(self, engine: EngineHome, client: PublishedClient, directory: Path) -> None:
        self.engine = engine
        self.client = client
        files = {"count.py": COUNT, "strange.py": STRANGE, "wait.py": WAIT}
        self.algorithm, self.commit = client.send_code("code", directory, files)
        self.project = client.one("project/default")["id"]

    def add(self, script: str) -> dict[str, Any]:
        task = self.client.change(
            "POST", "train_task/add", name=script[:50], project_id=self.project,
            algorithm_id=self.algorithm, algorithm_git_ref=self.commit, train_params="{}",
            entrypoint=f"exec python {script}",
        )  # fmt: skip
        return self.client.one("train_task/query", id=task)

    def run(self, script: str) -> str:
        found: str = self.client.wait_end(self.add(script)["id"])["id"]
        return found

    def go_on(self, task: str) -> None:
        TaskFiles.of(self.engine.home.engine / "tasks", task).code.joinpath("go").touch()

    def page(self, task: str, path: str = "train_task/logs", **fields: Any) -> list[dict[str, Any]]:
        found = self.client.call("GET", path, id=task, **fields)
        for line in found:
            check_shape(line, LOG_LINE)
            assert line["text"].strip()
        positions = [(line["offset"], line["offset_index"]) for line in found]
        newest_first = fields.get("direction", "init") == "init"
        assert positions == sorted(set(positions), reverse=newest_first)
        lines: list[dict[str, Any]] = found
        return lines

    def full_log(self, task: str, limit: int) -> list[str]:
        """Read all of it as published clients do: forward, until a page is empty."""
        lines: list[str] = []
        index, offset_index = 0, -1
        while page := self.page(
            task, direction="back", limit=limit, index=index, offset_index=offset_index
        ):
            assert len(page) <= limit
            lines += [line["text"] for line in page]
            index, offset_index = page[-1]["offset"], page[-1]["offset_index"]
        return lines


@pytest.fixture(scope="module")
def tasks(shared_engine: EngineHome, tmp_path_factory: pytest.TempPathFactory) -> Tasks:
    shared_engine.add_user("ada", "lovelace")
    client = PublishedClient.login(shared_engine.address, "ada", "lovelace")
    return Tasks(shared_engine, client, tmp_path_factory.mktemp("code") / "code")


@pytest.fixture(scope="module")
def counted(tasks: Tasks) -> str:
    return tasks.run("count.py")


# Logs.


def test_a_task_has_a_line_as_soon_as_it_exists(tasks: Tasks) -> None:
    task = tasks.add("wait.py")["id"]

    (*_, first) = tasks.page(task)
    assert first["text"].startswith("[Anylearn]")
    assert tasks.page(task, direction="back", limit=1) == [first]

    wait_until(lambda: len(tasks.page(task)) == 2, 20, "it has printed")
    tasks.go_on(task)
    tasks.client.wait_end(task)


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_forward_pages_give_every_line_once(tasks: Tasks, counted: str, limit: int) -> None:
    if limit == 1:
        # A thousand pages prove no more than the first of them.
        first = tasks.page(counted, direction="back", limit=1)
        second = tasks.page(
            counted, direction="back", limit=1, index=first[0]["offset"],
            offset_index=first[0]["offset_index"],
        )  # fmt: skip
        assert [second[0]["text"]] == ["1"]
        return
    lines = tasks.full_log(counted, limit)

    assert lines[0].startswith("[Anylearn]")
    assert lines[1:] == [str(number) for number in range(1, 1001)]


@pytest.mark.parametrize("path", ["train_task/logs", "train_task/log"])
def test_the_last_lines_come_newest_first_whatever_the_cursor(
    tasks: Tasks, counted: str, path: str
) -> None:
    newest = [str(number) for number in range(1000, 900, -1)]

    assert [line["text"] for line in tasks.page(counted, path)] == newest
    found = tasks.page(counted, path, direction="init", limit=3, index=5, offset_index=5)
    assert [line["text"] for line in found] == newest[:3]
    whole = tasks.page(counted, path, limit=10_000)
    assert len(whole) == 1001
    assert whole[-1]["text"].startswith("[Anylearn]")


def test_following_ends_with_the_last_line(tasks: Tasks) -> None:
    """As the published follower: `init`, then `back` from its newest line until the end."""
    task = tasks.add("wait.py")["id"]

    def printed() -> dict[str, Any] | None:
        newest = tasks.page(task)[0]
        return newest if newest["text"] == "ready" else None

    cursor = wait_until(printed, 20, "it has printed")
    place = {"index": cursor["offset"], "offset_index": cursor["offset_index"]}
    assert tasks.page(task, direction="back", **place) == []

    tasks.go_on(task)
    tasks.client.wait_end(task)

    # All lines are there as soon as the state is final.
    (last,) = tasks.page(task, direction="back", **place)
    assert last["text"] == "gone on"
    place = {"index": last["offset"], "offset_index": last["offset_index"]}
    assert tasks.page(task, direction="back", **place) == []


def test_strange_output_comes_as_lines_without_blank_ones(tasks: Tasks) -> None:
    task = tasks.run("strange.py")

    lines = tasks.full_log(task, 3)[1:]

    assert lines[:6] == ["one", "two", "\x1b[31mred\x1b[0m", "10%\r20%\rdone", "�� bad", "你 good"]
    assert lines[6].startswith("x" * 65_536)
    assert "34464 bytes cut" in lines[6]
    assert lines[7:] == ["no end"]


@pytest.mark.parametrize(
    "fields",
    [
        {"direction": "forth"},
        {"limit": "0"},
        {"limit": "x"},
        {"direction": "back", "offset_index": "-2"},
    ],
)
def test_a_page_that_cannot_be_is_refused(
    tasks: Tasks, counted: str, fields: dict[str, str]
) -> None:
    check_error(tasks.client.ask("GET", "train_task/logs", id=counted, **fields), 400)


@pytest.mark.parametrize("cursor", [4_000, 1 << 40, 1 << 53])
def test_a_cursor_beyond_the_end_gives_nothing(tasks: Tasks, counted: str, cursor: int) -> None:
    assert tasks.page(counted, direction="back", index=cursor, offset_index=cursor) == []
    answer = tasks.client.ask("GET", "train_task/log_bytes", id=counted, **{"from": cursor})
    assert (answer.status_code, answer.content) == (200, b"")


# Bytes (docs/protocol.md, `log_bytes`).


def test_bytes_are_what_the_task_wrote(tasks: Tasks) -> None:
    task = tasks.run("strange.py")
    size = tasks.client.one("train_task/query", id=task)["log_bytes"]

    answer = tasks.client.ask("GET", "train_task/log_bytes", id=task)

    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert int(answer.headers["X-Log-Size"]) == len(answer.content) == size
    assert answer.content.startswith(b"one\n\n   \n\t\ntwo\r\n")
    assert answer.content.endswith(b"x\nno end")
    part = tasks.client.ask("GET", "train_task/log_bytes", id=task, **{"from": 5, "to": 9})
    assert part.content == answer.content[5:9]
    for beyond in ({"from": size}, {"from": size + 100}, {"from": 9, "to": 5}):
        assert tasks.client.ask("GET", "train_task/log_bytes", id=task, **beyond).content == b""
    for wrong in ({"from": "-1"}, {"to": "x"}):
        check_error(tasks.client.ask("GET", "train_task/log_bytes", id=task, **wrong), 400)


# Status.


def test_the_status_is_given_to_who_knows_the_secret_key(tasks: Tasks, counted: str) -> None:
    task = tasks.client.one("train_task/query", id=counted)

    found = tasks.client.call("GET", "train_task/status", id=counted, secret_key=task["secret_key"])

    assert (found["state"], found["process"]) == ("success", "1")
    assert found["secret_key"] == task["secret_key"]
    words = tasks.client.refused(
        403, "GET", "train_task/status", id=counted, secret_key="TKEY" + "0" * 28
    )
    assert task["secret_key"] not in words


# Metrics.


def reporting(tasks: Tasks, key: str) -> PublishedClient:
    """Who has the key of a task and no session."""
    return PublishedClient(tasks.engine.address, secret_key=key)


def test_a_task_reports_with_its_secret_key_alone(tasks: Tasks) -> None:
    task = tasks.add("wait.py")
    reporter = reporting(tasks, task["secret_key"])
    before = tasks.client.call("GET", "train_task/final_metric", id=task["id"])
    assert before == {"id": task["id"], "name": task["name"], "final_metric": None}
    assert tasks.client.call("GET", "train_task/intermediate_metric", id=task["id"]) == []

    for value in ("0.5", "1e-3", "-2", "3"):
        assert reporter.call("POST", "train_task/intermediate_metric", id=task["id"], metric=value)
    for value in ("0.1", "0.97"):
        assert reporter.call("POST", "train_task/final_metric", id=task["id"], metric=value)

    found = tasks.client.call("GET", "train_task/intermediate_metric", id=task["id"])
    for metric in found:
        check_shape(metric, METRIC)
        assert metric["id"].startswith("METR")
    assert [metric["metric"] for metric in found] == [0.5, 0.001, -2, 3]
    after = tasks.client.call("GET", "train_task/final_metric", id=task["id"])
    assert after["final_metric"] == 0.97
    assert tasks.client.one("train_task/query", id=task["id"])["final_metric"] == 0.97
    path = "train_task/intermediate_metric"
    for since, count in (("1970-01-01 00:00:00", 4), ("2099-01-01 00:00:00", 0)):
        answer = tasks.client.call("GET", path, id=task["id"], last_timestamp=since)
        assert len(answer) == count
    tasks.client.refused(400, "GET", path, id=task["id"], last_timestamp="yesterday")

    tasks.go_on(task["id"])
    tasks.client.wait_end(task["id"])
    # The last report may come late.
    assert reporter.call("POST", "train_task/final_metric", id=task["id"], metric="1")


@pytest.mark.parametrize("kind", ["final_metric", "intermediate_metric"])
def test_a_report_wants_the_key_of_that_very_task(tasks: Tasks, counted: str, kind: str) -> None:
    other = tasks.client.one("train_task/query", id=tasks.run("count.py"))["secret_key"]
    path = f"train_task/{kind}"

    for key in ("", "wrong", other, "TKEY" + "0" * 28):
        for task in (counted, "TRAI" + "0" * 28):
            answer = reporting(tasks, key).ask("POST", path, id=task, metric="1")
            check_error(answer, 401)
    # A session is no substitute.
    check_error(tasks.client.ask("POST", path, id=counted, metric="1"), 401)
    assert tasks.client.call("GET", "train_task/intermediate_metric", id=counted) == []


@pytest.mark.parametrize("metric", ["nan", "inf", "-Infinity", "high", "", "1e999"])
def test_a_metric_is_a_finite_number(tasks: Tasks, counted: str, metric: str) -> None:
    key = tasks.client.one("train_task/query", id=counted)["secret_key"]

    answer = reporting(tasks, key).ask(
        "POST", "train_task/intermediate_metric", id=counted, metric=metric
    )

    check_error(answer, 400)


def test_a_task_reports_from_inside(tasks: Tasks) -> None:
    """The two variables and the address are all that a report needs (HTTP API, section 12)."""
    report = (
        "-c 'import os, urllib.parse, urllib.request as u; e = os.environ; "
        'print(u.urlopen(u.Request(e["ANYLEARN_HOST"] + "/api/train_task/final_metric", '
        'urllib.parse.urlencode({"id": e["task_id"], "metric": 0.25}).encode(), '
        '{"Secret-Key": e["secret_key"]})).status)\''
    )

    task = tasks.run(report)

    found = tasks.client.call("GET", "train_task/final_metric", id=task)
    assert found["final_metric"] == 0.25, tasks.full_log(task, 100)
