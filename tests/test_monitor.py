"""One reader a server and one sender for all views of a kernel, over a real engine."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from anylearn_jupyter.client.connection import disconnect
from anylearn_jupyter.client.follow import Event
from anylearn_jupyter.home import Endpoint, Home
from anylearn_jupyter.notebook import monitor as monitor_module
from anylearn_jupyter.notebook.monitor import MAX_DISPLAYS, Monitor, close_monitor, monitor
from anylearn_jupyter.notebook.task_view import TaskView
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.tasks import find_task
from conftest import RunningEngine
from engine_fixtures import Talker
from waiting import wait_until

COUNT = """
import os, sys, time
end = int(sys.argv[1])
for number in range(1, end + 1):
    print(number, flush=number % 100 == 0)
    if number == end // 2:
        sys.stdout.flush()
        while not os.path.exists(sys.argv[2]): time.sleep(0.02)
sys.exit(7)
"""

CHATTER = """
import os, sys, time
number = 0
while not os.path.exists(sys.argv[1]):
    number += 1
    print(number, flush=True)
    time.sleep(0.002)
"""


@dataclass
class Recorder:
    """A display that notes how often it was called."""

    view: TaskView
    calls: list[float] = field(default_factory=list)
    rooms: list[int] = field(default_factory=list)
    retired: bool = False

    def refresh(self, room: int) -> float | None:
        self.calls.append(time.monotonic())
        self.rooms.append(room)
        return None

    def retire(self) -> None:
        self.retired = True


@pytest.fixture
def talker(engine: RunningEngine, tmp_path: Path) -> Iterator[Talker]:
    """A user with some code on the engine, and no monitor or connection left afterwards."""
    made = Talker(Home(engine.home), address=engine.address)
    made.send_code(tmp_path / "project", {"count.py": COUNT, "chatter.py": CHATTER})
    yield made
    close_monitor()
    disconnect()


@pytest.fixture
def submit(talker: Talker) -> Callable[..., TrainTask]:
    """Return a function that adds a task and finds it as the notebook does."""

    def add(entrypoint: str) -> TrainTask:
        return find_task(talker.add_task(entrypoint))

    return add


def shown(task: TrainTask) -> tuple[TaskView, Recorder]:
    view = monitor().follow(task)
    recorder = Recorder(view)
    monitor().show(task, recorder)
    return view, recorder


def lines(view: TaskView) -> list[str]:
    return view.new_lines(0, 10**9, 10**9).lines


def counted(end: int) -> list[str]:
    return [str(number) for number in range(1, end + 1)]


def test_tasks_join_and_end_without_a_gap_or_a_repeat(
    submit: Callable[..., TrainTask], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    first = submit(f"python count.py 20000 {go}")
    view, recorder = shown(first)
    wait_until(lambda: len(lines(view)) >= 9_000, 30, "half of the first log")
    second = submit(f"python count.py 3000 {go}")
    other, _ = shown(second)
    wait_until(lambda: other.detail.phase in ("running", "queued"), 30, "news of the second")
    assert monitor().threads == 2
    go.touch()
    for one in (view, other):
        wait_until(lambda one=one: one.over, 60, "the end")
    assert lines(view) == counted(20_000)
    assert lines(other) == counted(3_000)
    assert view.detail.exit is not None
    assert view.detail.exit.number == 7
    assert first.phase == second.phase == "failed"
    wait_until(lambda: monitor().threads == 0, 10, "no thread without something to follow")
    assert recorder.calls
    assert view.version == recorder.view.version

    # Shown again when all is over: what is known is there, and nothing is read.
    again, late = shown(first)
    assert again is view
    wait_until(lambda: late.calls, 5, "the late display")
    wait_until(lambda: monitor().threads == 0, 10, "no thread again")


def test_the_death_of_the_engine_is_a_line_and_no_end(
    submit: Callable[..., TrainTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    task = submit(f"python count.py 10000 {go}")
    view, _ = shown(task)
    wait_until(lambda: len(lines(view)) >= 5_000, 30, "half of the log")
    troubles: list[str] = []
    take = view.take

    def noted(event: Event) -> None:
        if event.kind == "trouble":
            troubles.append(event.text)
        take(event)

    monkeypatch.setattr(view, "take", noted)
    endpoint = Endpoint.read(Home())
    assert endpoint is not None
    os.kill(endpoint.pid, signal.SIGKILL)
    wait_until(lambda: troubles, 30, "a sentence")
    wait_until(lambda: view.snapshot().trouble == "", 60, "an engine again")
    go.touch()
    wait_until(lambda: view.over, 60, "the end")
    assert troubles[0].startswith("no answer since ")
    assert lines(view) == counted(10_000)
    assert task.phase == "failed"


def test_closing_ends_the_threads_and_the_next_view_begins_anew(
    submit: Callable[..., TrainTask], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    task = submit(f"python chatter.py {go}")
    view, recorder = shown(task)
    wait_until(lambda: len(lines(view)) > 50, 30, "some lines")
    before = threading.active_count()
    close_monitor()
    assert threading.active_count() == before - 2
    calls, known = len(recorder.calls), len(lines(view))
    view, recorder = shown(task)
    wait_until(lambda: len(lines(view)) > known, 30, "the log, read again")
    assert calls > 0
    go.touch()
    wait_until(lambda: view.over, 30, "the end")
    assert lines(view) == counted(len(lines(view)))


def test_news_come_ten_times_a_second_at_most(
    submit: Callable[..., TrainTask], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    view, recorder = shown(submit(f"python chatter.py {go}"))
    wait_until(lambda: len(recorder.calls) >= 25, 60, "some rounds")
    gaps = [b - a for a, b in zip(recorder.calls, recorder.calls[1:], strict=False)]
    assert sum(gaps) / len(gaps) >= 0.095
    assert max(recorder.rooms) * 10 < 1_000_000
    assert len(lines(view)) > 50
    go.touch()


def test_a_display_that_fails_takes_nobody_with_it(
    submit: Callable[..., TrainTask], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    go = tmp_path / "go"
    task = submit(f"python chatter.py {go}")
    view, recorder = shown(task)

    class Broken(Recorder):
        def refresh(self, room: int) -> float | None:
            super().refresh(room)
            raise RuntimeError("broken")

    broken = Broken(view)
    monitor().show(task, broken)
    wait_until(lambda: broken.calls, 10, "the broken display's turn")
    rounds = len(recorder.calls)
    wait_until(lambda: len(recorder.calls) > rounds + 3, 30, "the other display's rounds")
    assert len(broken.calls) == 1
    assert "broken" in caplog.text
    caplog.clear()
    go.touch()


def test_the_oldest_of_many_displays_retires(
    submit: Callable[..., TrainTask], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    task = submit(f"python chatter.py {go}")
    recorders = [shown(task)[1] for _ in range(MAX_DISPLAYS + 2)]
    wait_until(lambda: recorders[1].retired, 10, "two that have retired")
    assert [one.retired for one in recorders] == [True, True] + [False] * MAX_DISPLAYS
    go.touch()


def test_a_defect_in_the_reader_is_said_in_the_view(
    submit: Callable[..., TrainTask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> Iterator[Event]:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(monitor_module, "follow", broken)
    go = tmp_path / "go"
    view, _ = shown(submit(f"python chatter.py {go}"))
    wait_until(lambda: "a defect" in view.snapshot().trouble, 10, "a sentence")
    wait_until(lambda: monitor().threads == 0, 10, "no thread")
    go.touch()


def test_a_child_after_a_fork_begins_without_threads(
    submit: Callable[..., TrainTask], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    view, _ = shown(submit(f"python chatter.py {go}"))
    wait_until(lambda: len(lines(view)) > 5, 30, "some lines")
    parent = monitor()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover, another process
        told = {"same": monitor() is parent, "threads": monitor().threads}
        os.write(writing, json.dumps(told).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert json.loads(pipe.read()) == {"same": False, "threads": 0}
    os.waitpid(child, 0)
    known = len(lines(view))
    wait_until(lambda: len(lines(view)) > known, 30, "the parent goes on")
    go.touch()


def test_an_idle_monitor_rests(submit: Callable[..., TrainTask], tmp_path: Path) -> None:
    """No news, no rounds: nothing polls while a task is silent."""
    go = tmp_path / "go"
    task = submit(f"python count.py 2 {go}")
    view, recorder = shown(task)
    wait_until(lambda: lines(view) == ["1"], 30, "the first line")
    calls = len(recorder.calls)
    process = psutil.Process()
    spent = sum(process.cpu_times()[:2])
    deadline = time.monotonic() + 2
    wait_until(lambda: time.monotonic() > deadline, 5, "two quiet seconds")
    assert len(recorder.calls) <= calls + 1
    assert sum(process.cpu_times()[:2]) - spent < 1
    go.touch()
    wait_until(lambda: view.over, 30, "the end")


def test_a_monitor_of_nothing_has_no_thread() -> None:
    idle = Monitor()
    assert idle.threads == 0
    idle.close()
    close_monitor()


def test_a_view_says_that_it_stands_still_when_the_extension_is_unloaded(
    submit: Callable[..., TrainTask], tmp_path: Path
) -> None:
    go = tmp_path / "go"
    view, recorder = shown(submit(f"python chatter.py {go}"))
    wait_until(lambda: len(lines(view)) > 3, 30, "some lines")
    calls = len(recorder.calls)
    close_monitor()
    assert "%anylearn_resume" in view.snapshot().trouble
    assert len(recorder.calls) > calls  # it was shown, too
    go.touch()
