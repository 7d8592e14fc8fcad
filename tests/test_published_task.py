"""A task's published methods, and its modern face beside them, against a real engine."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter import (
    File,
    Project,
    ResourceState,
    TrainTask,
    TrainTaskState,
    connect,
    disconnect,
    get_task_output,
    quick_train,
)
from anylearn_jupyter.client.api import LogLine
from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.errors import NotFound, OptionError
from anylearn_jupyter.submit.again import request_again
from anylearn_jupyter.submit.objects.log_lines import LogLines, shown
from engine_home import EngineHome, shared_engine
from waiting import wait_until

__all__ = ["shared_engine"]

SCRIPT = r"""
import json, os, pathlib, sys, time
from anylearn_jupyter.tracking import report

print(json.dumps(sys.argv[1:]))
print("COLOUR", os.environ.get("COLOUR"))
report(step=1, loss=0.5)
print()
print("[Anylearn] not of the platform")
until = os.environ.get("STOP_FILE")
while until and not pathlib.Path(until).exists():
    time.sleep(0.02)
output = pathlib.Path("output")
(output / "deep").mkdir(parents=True)
(output / "deep" / "model.txt").write_text("weights")
print("no end of line", end="")
"""
LINE = re.compile(r"\[(?P<time>[^\]]+)\] (?P<text>.*)")


@pytest.fixture(autouse=True)
def connected(
    home: Path, shared_engine: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Use the module's engine, in its home."""
    monkeypatch.setenv("ANYLEARN_HOME", str(shared_engine.home.root))
    disconnect()
    connect("local")
    yield
    disconnect()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "go.py").write_text(SCRIPT, encoding="utf-8")
    return tmp_path / "code"


def trained(code: Path, **options: Any) -> TrainTask:
    return quick_train(algorithm_dir=code, entrypoint="python go.py", **options)[0]


def waiting(code: Path, stop_file: Path, **options: Any) -> TrainTask:
    task = trained(code, envs={"STOP_FILE": str(stop_file)}, **options)
    wait_until(lambda: "COLOUR" in task.log_text(), 20, "the task's first lines")
    return task


def texts(lines: list[str]) -> list[str]:
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found)
    return [match["text"] for match in found if match]


def test_the_attributes_are_those_of_the_server(code: Path) -> None:
    task = trained(
        code,
        hyperparams={"lr": 0.1},
        envs={"COLOUR": "blue green"},
        quota_group_request={"CPU": 1},
        task_name="attributes",
        task_description="a try",
    )
    detail = task.wait()
    (told,) = current_connection().api.http.get("train_task/query", {"id": task.id})
    for name in (
        "name", "description", "state", "creator_id", "project_id", "algorithm_id",
        "algorithm_git_ref", "files", "results_id", "secret_key", "create_time", "finish_time",
        "envs", "entrypoint", "output", "mirror_id",
    ):  # fmt: skip
        assert getattr(task, name) == told[name], name
    assert json.loads(task.train_params) == {"lr": 0.1}
    assert (task.train_params_prefix, task.train_params_delimeter) == ("--", " ")
    assert json.loads(task.envs) == {"COLOUR": "blue green"}
    assert task.resource_request == [{"default": {"CPU": 1}}]
    assert (task.num_nodes, task.nproc_per_node, task.final_metric) == (1, 1, None)
    assert task.state == TrainTaskState.SUCCESS == detail.state
    assert task.secret_key.startswith("TKEY")
    assert task.secret_key not in f"{task!r} {task} {detail!r} {task.record!r}"
    assert task.secret_key not in repr(task.get_train_profile())


def test_states_have_the_published_numbers_and_names() -> None:
    assert {name: int(state) for name, state in TrainTaskState.__members__.items()} == {
        "CREATED": 0, "RUNNING": 1, "SUCCESS": 2, "DELETED": -1, "FAILED": -2, "ABORTED": -3,
        "FAIL": -2, "ABORT": -3,
    }  # fmt: skip
    assert {name: int(state) for name, state in ResourceState.__members__.items()} == {
        "CREATED": 1, "UPLOADING": 2, "READY": 3, "DELETED": -1, "ERROR": -2,
    }  # fmt: skip


def test_a_task_is_had_by_its_id(code: Path, tmp_path: Path) -> None:
    task = trained(code)
    task.wait()
    for found in (TrainTask(id=task.id, load_detail=True), TrainTask(task.id, load_detail=True)):
        assert (found.name, found.state, found.results_id) == (
            task.name, task.state, task.results_id,
        )  # fmt: skip
    unseen = TrainTask(id=task.id)  # no request: what the ledger knows
    assert (unseen.name, unseen.state, unseen.results_id) == (task.name, 2, "")
    assert unseen.get_results_file().id == task.results_id
    assert task.id in [one.id for one in TrainTask.get_list()]
    project = Project(id=task.project_id)
    listed = {one.id: one for one in project.get_train_tasks()}
    assert listed[task.id].facts is not None  # it was submitted from here
    (whole,) = (one for one in project.get_train_tasks(load_detail=True) if one.id == task.id)
    assert whole.entrypoint == "python go.py"
    with pytest.raises(NotFound):
        TrainTask(id="TRAI" + "0" * 28, load_detail=True)
    with pytest.raises(TypeError, match="no keyword colour"):
        TrainTask(colour="blue")


def test_a_task_can_be_made_by_hand(code: Path, tmp_path: Path) -> None:
    first = trained(code)
    task = TrainTask(
        name="by hand",
        description="made",
        algorithm_id=first.algorithm_id,
        train_params={"lr": 0.5},
        files=[],
        envs={"COLOUR": "red"},
        resource_request=[{"default": {"CPU": 1}}],
        entrypoint="python go.py",
    )
    with pytest.raises(OptionError, match=r"TrainTask\.project_id is not set"):
        task.save()
    with pytest.raises(NotFound, match="call save"):
        task.get_detail()
    task.project_id = first.project_id
    task.algorithm_git_ref = first.algorithm_git_ref
    assert task.save() is True
    assert task.save() is False  # it is there
    assert task.wait().phase == "succeeded"
    assert texts(task.get_full_log())[:2] == ['["--lr", "0.5"]', "COLOUR red"]
    assert (task.name, task.description) == ("by hand", "made")
    assert task.resource_request == [{"default": {"CPU": 1}}]
    task.name = "renamed here"
    assert task.get_detail().name == task.name == "by hand"
    assert task.id in [one.id for one in TrainTask.get_list()]


def test_logs_in_the_published_shape(code: Path) -> None:
    task = trained(code, hyperparams={"word": "'a b'"})
    task.wait()
    lines = task.get_full_log()
    words = ['["--word", "a b"]', "COLOUR None", '[anylearn-metric] {"step": 1, "loss": 0.5}',
             "no end of line"]  # fmt: skip
    assert isinstance(lines, list)
    assert texts(lines) == words
    assert "COLOUR" in lines
    assert "colour" not in lines
    assert 5 not in lines
    moment = LINE.fullmatch(lines[0])
    assert moment is not None
    assert datetime.fromisoformat(moment["time"]).tzinfo is not None
    debug = texts(task.get_full_log(debug=True))
    assert debug[0].startswith("[Anylearn]")
    assert "[Anylearn] not of the platform" in debug
    assert texts(task.get_last_log(1)) == words[-1:]
    assert texts(task.get_last_log(limit=2, debug=True)) == [debug[-2], debug[-1]]
    page = task.get_log(limit=1)
    assert [sorted(entry) for entry in page] == [["offset", "offset_index", "text"]]
    assert page[0]["text"] == "no end of line"
    start = task.get_log(limit=2, direction="back")
    after = task.get_log(10, "back", start[-1]["offset"], start[-1]["offset_index"])
    assert [entry["text"] for entry in (*start, *after)] == debug
    with pytest.raises(OptionError, match="direction='forth'"):
        task.get_log(direction="forth")


def test_lines_of_white_space_are_left_out() -> None:
    lines = [LogLine(1_500, 0, "a"), LogLine(1_500, 1, " \t"), LogLine(2_000, 2, "[Anylearn] b")]
    assert texts(shown(lines, debug=False)) == ["a"]
    assert texts(shown(lines, debug=True)) == ["a", "[Anylearn] b"]
    assert shown(lines, debug=False)[0].startswith("[1970-01-01 ")
    assert LogLines() == []


def test_the_log_is_streamed_until_the_end(code: Path, tmp_path: Path) -> None:
    task = waiting(code, tmp_path / "stop")
    stream = task.stream_log(init_limit=100, polling=0.05)
    first = texts([next(stream), next(stream)])
    assert first == ["[]", "COLOUR None"]
    (tmp_path / "stop").touch()
    assert texts(list(stream))[-1] == "no end of line"
    assert task.state == TrainTaskState.SUCCESS
    assert texts(list(task.stream_log(init_limit=1, polling=0.05))) == ["no end of line"]


def test_lines_are_followed_without_reports(code: Path, tmp_path: Path) -> None:
    task = waiting(code, tmp_path / "stop")
    lines = task.logs(follow=True)
    assert [next(lines), next(lines)] == ["[]", "COLOUR None"]
    (tmp_path / "stop").touch()
    rest = ["", "[Anylearn] not of the platform", "no end of line"]
    assert list(lines) == rest
    assert task.state == TrainTaskState.SUCCESS
    assert list(task.logs()) == ["[]", "COLOUR None", *rest]
    assert [point.series for point in task.metrics()] == ["loss"]


def test_following_a_task_that_is_gone_ends(code: Path) -> None:
    with pytest.raises(NotFound, match="any more"):
        list(TrainTask(id="TRAI" + "0" * 28).logs(follow=True))


def test_status_and_metrics(code: Path) -> None:
    task = trained(code)
    task.wait()
    assert task.status() == "succeeded"
    assert task.get_status()["state"]
    unset = {"id": task.id, "name": task.name, "final_metric": None}
    assert task.get_final_metric() == unset
    assert task.get_intermediate_metric() == []
    assert task.report_intermediate_metric(0.25)["msg"]
    assert task.report_intermediate_metric(1e-9)["msg"]
    assert task.report_final_metric(0.75)["msg"]
    assert task.get_final_metric()["final_metric"] == 0.75
    found = task.get_intermediate_metric()
    assert [one["metric"] for one in found] == [0.25, 1e-9]
    assert {one["train_task_id"] for one in found} == {task.id}
    assert all(one["id"].startswith("METR") for one in found)
    assert task.get_intermediate_metric("2999-01-01 00:00:00") == []


def test_results_come_as_an_archive(code: Path, tmp_path: Path) -> None:
    task = waiting(code, tmp_path / "stop")
    with pytest.raises(NotFound, match="not there yet, it is running"):
        task.download_results(tmp_path)
    (tmp_path / "stop").touch()
    task.wait()
    name = task.download_results(tmp_path / "one", async_download=False, polling=1)
    with zipfile.ZipFile(tmp_path / "one" / name) as archive:
        assert archive.read(f"{task.results_id}/deep/model.txt") == b"weights"
    assert task.download_results(save_path=str(tmp_path / "two")) == [name]
    assert (tmp_path / "two" / name).exists()

    class Fetching:
        def run(self, resource_id: str, polling: float, save_path: str | None = None) -> str:
            return f"{resource_id} {polling} {save_path}"

    mine = task.download_results("there", downloader=Fetching(), polling=3)
    assert mine == f"{task.results_id} 3 there"
    results = task.get_results_file()
    assert isinstance(results, File)
    assert results.state == ResourceState.READY
    assert list(results.ls()) == ["deep"]
    assert File.list_dir(task.results_id) == results.ls()
    assert get_task_output(task.id) == results


def test_results_become_a_model(code: Path) -> None:
    task = trained(code)
    task.wait()
    model = task.transform_model("deep", "weights", description="of a test", polling=1)
    assert (model.name, model.description) == ("weights", "of a test")
    assert model.state == ResourceState.READY
    assert model.algorithm_id == task.algorithm_id
    assert list(model.ls()) == ["model.txt"]
    other = task.transform_model(file_path=".", name="all", polling=1)
    assert other.id != model.id
    assert list(other.ls()) == ["deep"]


def test_deleting_stops(code: Path, tmp_path: Path) -> None:
    task = waiting(code, tmp_path / "stop")
    assert task.delete(force=True) is True
    assert task.wait(timeout_s=30).state in (TrainTaskState.ABORT, TrainTaskState.DELETED)
    with pytest.raises(OptionError, match=r"TrainTask\.id"):
        TrainTask(name="nowhere").delete()


def test_the_profile_is_what_was_submitted(code: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("A", encoding="utf-8")
    before = datetime.now().astimezone()
    task, algorithm, (dataset,), _ = quick_train(
        algorithm_dir=code, entrypoint="python go.py", dataset_dir=tmp_path / "data"
    )
    profile = task.get_train_profile()
    assert profile is not None
    assert profile.train_task_id == task.id
    assert (profile.entrypoint, profile.algorithm_id) == ("python go.py", algorithm.id)
    assert (profile.algorithm_dir, profile.dataset_dir) == (str(code), str(tmp_path / "data"))
    assert (profile.algorithm_archive, profile.dataset_archive) == (None, None)
    assert profile.dataset_id == dataset.id
    assert json.loads(profile.train_params)["dataset"] == [f'"${dataset.id}"']
    assert 0 <= (profile.created_at - before).total_seconds() < 60
    assert profile.request.entrypoint == "python go.py"
    assert profile.facts == task.facts
    assert TrainTask(id="TRAI" + "0" * 28).get_train_profile() is None
    task.wait()


def test_a_task_is_awaited_while_the_loop_goes_on(code: Path, tmp_path: Path) -> None:
    task = waiting(code, tmp_path / "stop")

    async def cell() -> tuple[str, int]:
        beats = 0

        async def beat() -> None:
            nonlocal beats
            for _ in range(3):
                await asyncio.sleep(0)
                beats += 1
            (tmp_path / "stop").touch()

        beating = asyncio.create_task(beat())
        detail = await task
        await beating
        return detail.phase, beats

    assert asyncio.run(cell()) == ("succeeded", 3)

    async def again() -> str:
        return (await task).phase

    assert asyncio.run(again()) == "succeeded"


def test_cancelling_stops_the_waiting_and_not_the_task(code: Path, tmp_path: Path) -> None:
    task = waiting(code, tmp_path / "stop")
    threads = threading.active_count()

    async def cell() -> None:
        async def wait() -> None:
            await task

        waiter = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter

    began = time.monotonic()
    asyncio.run(cell())
    assert time.monotonic() - began < 5
    wait_until(lambda: threading.active_count() <= threads, 10, "the waiting thread has ended")
    assert task.get_detail().phase == "running"
    (tmp_path / "stop").touch()
    assert task.wait(timeout_s=30).phase == "succeeded"


def test_a_retry_changes_values_and_nothing_else(code: Path, tmp_path: Path) -> None:
    first = trained(code, hyperparams={"lr": 0.1, "word": "x", "flag": ""},
                    envs={"COLOUR": "blue"}, task_name="retried")  # fmt: skip
    first.wait()
    task = first.retry(lr=0.2, word='it\'s "$HOME"', new=["a b", "c"])
    assert task.id != first.id
    task.wait()
    lines = list(task.logs())
    assert json.loads(lines[0]) == [
        "--lr", "0.2", "--word", "it's \"$HOME\"", "--flag", "--new", "a b", "c",
    ]  # fmt: skip
    assert lines[1] == "COLOUR blue"
    assert (task.name, task.entrypoint) == ("retried", first.entrypoint)
    last = task.retry(word=None, flag=None, **{"opt.lr": 1})
    last.wait()
    assert json.loads(next(last.logs())) == ["--lr", "0.2", "--new", "a b", "c", "--opt.lr", "1"]
    assert request_again(first.record, {}).server == first.server
    with pytest.raises(NotFound, match="not submitted from this machine"):
        TrainTask(id="TRAI" + "0" * 28).retry()
