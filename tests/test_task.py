"""What can be done with a task that was submitted, against a real engine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from anylearn_jupyter.client.connection import disconnect
from anylearn_jupyter.entities import Exit, TaskDetail
from anylearn_jupyter.errors import NotFound, OptionError, TaskFailed, WaitEnded
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.outcome import outcome_text, short_outcome_text
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.task import TrainTask, readable_lines
from anylearn_jupyter.submit.tasks import (
    find_task,
    recent_tasks,
    resume_unfinished_local_train_tasks,
    unfinished_tasks,
)
from conftest import engine_command
from waiting import wait_until

SCRIPT = r"""
import os, sys, time
from pathlib import Path
from anylearn_jupyter.tracking import report

what = sys.argv[1]
if what == "wait":
    print("waiting")
    while not Path(os.environ["STOP_FILE"]).exists():
        time.sleep(0.02)
elif what == "many":
    for number in range(50_000):
        print("line", number)
elif what == "fail":
    report(loss=1.0)
    print("\x1b[31mabout to fail\x1b[0m")
    raise ValueError("no good")
elif what == "results":
    report(step=1, loss=0.5)
    report(step=2, loss=0.25, accuracy=0.9)
    output = Path(os.environ["ANYLEARN_TASK_OUTPUT_PATH"])
    (output / "deep").mkdir(parents=True)
    (output / "model.pt").write_text("model")
    (output / "deep" / "log.txt").write_text("log")
"""


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    disconnect()
    yield
    disconnect()
    engine_command("stop", "--tasks", check=False)


@pytest.fixture
def stop_file(tmp_path: Path) -> Path:
    return tmp_path / "stop"


def started(tmp_path: Path, what: str, *, name: str | None = None) -> TrainTask:
    project = tmp_path / "project"
    project.mkdir(exist_ok=True)
    (project / "do.py").write_text(SCRIPT, encoding="utf-8")
    return submit(
        TrainRequest(
            entrypoint=f"python do.py {what}",
            algorithm_dir=project,
            task_name=name,
            env=(("STOP_FILE", str(tmp_path / "stop")),),
            working_dir=project,
        )
    ).task


def test_waiting_ends_with_the_task_or_with_the_time(tmp_path: Path, stop_file: Path) -> None:
    task = started(tmp_path, "wait")
    assert not task.finished()
    began = time.monotonic()
    with pytest.raises(WaitEnded, match="goes on") as caught:
        task.wait(timeout_s=0.3)
    assert isinstance(caught.value, TimeoutError)
    assert time.monotonic() - began < 5
    stop_file.touch()
    assert task.wait(timeout_s=30).phase == "succeeded"
    assert task.finished()
    assert task.state == 2
    assert repr(task).count("\n") == 0


def test_stopping_is_seen_and_kept(tmp_path: Path, home: Path) -> None:
    task = started(tmp_path, "wait")
    wait_until(lambda: "waiting" in task.log_text(), 20, "the task's first line")
    task.stop()
    detail = task.wait(timeout_s=30)
    assert (detail.phase, detail.state) == ("aborted", -3)
    assert outcome_text(detail) == "stopped"
    assert task.log_text() == "waiting\n"
    with Ledger(Home(home)) as ledger:
        record = ledger.task(task.id)
    assert record is not None
    assert record.phase == "aborted"
    task.stop()  # once more is nothing
    with pytest.raises(TaskFailed, match="was stopped"):
        task.results()


def test_a_failure_says_how_and_shows_the_last_lines(tmp_path: Path) -> None:
    task = started(tmp_path, "fail", name="broken")
    assert task.wait().phase == "failed"
    with pytest.raises(TaskFailed) as caught:
        task.results()
    message = str(caught.value)
    assert message.startswith(f"The training broken ({task.id}) failed with exit code 1.")
    assert "about to fail\n" in message
    assert "ValueError: no good" in message
    assert "metric" not in message
    assert "\x1b" not in message
    assert (caught.value.exit_code, caught.value.task_id) == (1, task.id)


def test_logs_whole_and_last(tmp_path: Path) -> None:
    task = started(tmp_path, "many")
    task.wait()
    expected = "".join(f"line {number}\n" for number in range(50_000))
    assert task.log_text() == expected
    assert task.log_text(3) == "line 49997\nline 49998\nline 49999\n"
    assert task.log_text(100).count("\n") == 100
    assert task.log_text(60_000) == expected


def test_results_and_metrics(tmp_path: Path, home: Path) -> None:
    task = started(tmp_path, "results")
    folder = task.results()
    assert folder == home / "results" / task.id
    assert (folder / "model.pt").read_text() == "model"
    assert (folder / "deep" / "log.txt").read_text() == "log"
    some = task.results("*.txt", to=tmp_path / "some")
    assert sorted(p.relative_to(some).as_posix() for p in some.rglob("*") if p.is_file()) == [
        "deep/log.txt"
    ]
    assert (task.results("deep/", to=tmp_path / "dir") / "deep" / "log.txt").exists()
    with pytest.raises(NotFound, match=r"no file that fits '\*\.bin'.*model\.pt"):
        task.results("*.bin", to=tmp_path / "none")
    points = {(point.series, point.step): point.value for point in task.metrics()}
    assert points == {("loss", 1): 0.5, ("loss", 2): 0.25, ("accuracy", 2): 0.9}


def test_tasks_are_found_again(tmp_path: Path, stop_file: Path) -> None:
    first = started(tmp_path, "wait", name="one")
    second = started(tmp_path, "results", name="two")
    second.wait()
    assert find_task("last").id == second.id
    assert find_task("one").id == first.id
    assert find_task(first.id[:14]).id == first.id
    assert [task.id for task in recent_tasks()] == [second.id, first.id]
    assert [task.id for task in unfinished_tasks(tmp_path / "project")] == [first.id]
    assert unfinished_tasks(tmp_path) == []
    with pytest.raises(NotFound, match="no task that was submitted"):
        find_task("three")
    with pytest.raises(NotFound):
        find_task("TRAI" + "0" * 28)
    with pytest.raises(OptionError, match="beginning of 2 tasks"):
        find_task("TRAI")
    stop_file.touch()
    (ended,) = resume_unfinished_local_train_tasks()
    assert ended.wait().phase == "succeeded"
    assert resume_unfinished_local_train_tasks() == []


def test_a_task_of_another_ledger_is_asked_for_by_its_id(tmp_path: Path, home: Path) -> None:
    task = started(tmp_path, "results")
    for path in home.glob("ledger.sqlite3*"):
        path.unlink()
    found = find_task(task.id)
    assert found.wait().phase == "succeeded"
    assert found.facts is None


def test_nothing_is_lost_when_the_engine_cannot_be_reached(
    tmp_path: Path, home: Path, stop_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = started(tmp_path, "wait")
    engine_command("stop")  # leaves the task
    disconnect()
    store = home / "engine" / "store.sqlite3"
    aside = store.with_name("aside")
    store.rename(aside)
    store.mkdir()  # so that no engine can start
    (seen,) = resume_unfinished_local_train_tasks()
    assert seen.id == task.id
    assert "cannot start" in seen.trouble
    assert seen.phase == task.phase
    store.rmdir()
    aside.rename(store)
    stop_file.touch()
    (seen,) = resume_unfinished_local_train_tasks()
    assert seen.trouble == ""
    assert seen.wait(timeout_s=30).phase == "succeeded"


@pytest.mark.parametrize(
    ("ended", "phase", "text"),
    [
        (Exit(kind="exit", number=7), "failed", "failed with exit code 7"),
        (
            Exit(kind="exit", number=137),
            "failed",
            "failed with exit code 137 (as a shell reports signal 9 (SIGKILL), "
            "perhaps because memory ran out)",
        ),
        (Exit(kind="exit", number=127), "failed", "failed with exit code 127 "
         "(a command was not found)"),
        (
            Exit(kind="signal", number=9),
            "failed",
            "ended by signal 9 (SIGKILL), perhaps because memory ran out",
        ),
        (
            Exit(kind="signal", number=11),
            "failed",
            "ended by signal 11 (SIGSEGV), a crash in compiled code",
        ),
        (Exit(kind="start", message="no shell"), "failed", "could not be started: no shell"),
        (Exit(kind="unknown", message="the machine was restarted"), "lost",
         "lost: nobody saw how it ended: the machine was restarted"),
        (None, "failed", "failed"),
    ],
)  # fmt: skip
def test_outcomes_in_words(ended: Exit | None, phase: str, text: str) -> None:
    state = -3 if phase == "lost" else -2
    assert outcome_text(TaskDetail(id="T", state=state, phase=phase, exit=ended)) == text


@pytest.mark.parametrize(
    ("ended", "phase", "text"),
    [
        (Exit(kind="exit", number=1), "failed", "failed with exit code 1"),
        (Exit(kind="exit", number=127), "failed", "failed with exit code 127 "
         "(a command was not found)"),
        (Exit(kind="exit", number=137), "failed", "failed with exit code 137 (SIGKILL)"),
        (Exit(kind="exit", number=255), "failed", "failed with exit code 255"),
        (Exit(kind="signal", number=9), "failed", "ended by signal 9 (SIGKILL)"),
        (Exit(kind="signal", number=99), "failed", "ended by signal 99"),
        (Exit(kind="time", message="stopped after 1 s, its limit"), "failed",
         "failed: stopped after 1 s, its limit"),
        (Exit(kind="unknown", message="the machine was restarted"), "lost", "lost"),
        (None, "succeeded", "succeeded"),
    ],
)  # fmt: skip
def test_a_badge_says_how_it_ended_and_leaves_why_to_the_cause(
    ended: Exit | None, phase: str, text: str
) -> None:
    state = {"lost": -3, "failed": -2, "succeeded": 2}[phase]
    assert short_outcome_text(TaskDetail(id="T", state=state, phase=phase, exit=ended)) == text


def test_readable_lines_collapse_bars_and_keep_the_indent() -> None:
    text = "  1%\r 50%\r100%\n[anylearn-metric] {}\n    \x1b[1mFile\x1b[0m\x07 x\n\n\x1b]0;t\x07y"
    assert readable_lines(text) == ["100%", "    File x", "y"]
