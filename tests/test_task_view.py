"""What a kernel knows of a task: numbered lines, points and state, whole and bounded."""

from __future__ import annotations

import random
import tracemalloc

from anylearn_jupyter.client.follow import Event
from anylearn_jupyter.entities import Exit, TaskDetail
from anylearn_jupyter.notebook.line_store import HELD_CHARACTERS, HELD_LINES, LineStore
from anylearn_jupyter.notebook.task_view import TaskView

TASK = "TRAI" + "0" * 28
RUNNING = TaskDetail(id=TASK, name="digits", state=1, phase="running", started_ms=1)
FAILED = TaskDetail(
    id=TASK, name="digits", state=-2, phase="failed", exit=Exit(kind="exit", number=7)
)


def log(text: str, cursor: int = 0) -> Event:
    return Event(TASK, "log", text=text, cursor=cursor)


def state(detail: TaskDetail) -> Event:
    return Event(TASK, "state", detail=detail)


def viewed(*events: Event) -> TaskView:
    view = TaskView(RUNNING)
    for event in events:
        view.take(event)
    return view


def test_lines_are_numbered_and_bars_are_one_line() -> None:
    view = viewed(log("one\n10%\r", 8), log("20%\r30%\ntwo\nop", 20), log("en", 22))
    part = view.new_lines(0, 100, 10_000)
    assert (part.first, part.lines, part.total) == (0, ["one", "30%", "two"], 3)
    assert part.open_line == "open"
    assert view.cursor == 22
    assert view.new_lines(2, 100, 10_000).lines == ["two"]
    assert view.new_lines(3, 100, 10_000).lines == []
    assert view.lines_between(1, 2, 10_000).lines == ["30%"]
    assert view.snapshot(lines=2).lines == ("two", "open")
    assert view.snapshot().line_count == 4


def test_the_end_closes_the_open_line_and_the_last_metric() -> None:
    view = viewed(log("loss=1\nloss=2"), state(FAILED), Event(TASK, "end"))
    snapshot = view.snapshot()
    assert snapshot.ended
    assert snapshot.lines == ("loss=1", "loss=2")
    assert snapshot.series == (("loss", [(1, 1.0), (2, 2.0)]),)
    assert view.over


def test_trouble_is_seen_until_the_next_news_and_is_no_news_itself() -> None:
    view = viewed(log("x\n"))
    heard, version = view.snapshot().heard_ms, view.state_version
    view.take(Event("", "trouble", text="no answer since 12 s, trying again: refused"))
    assert "12 s" in view.snapshot().trouble
    assert view.snapshot().heard_ms == heard
    assert view.state_version > version
    view.take(log("y\n"))
    assert view.snapshot().trouble == ""
    assert not view.over
    view.take(Event(TASK, "gone"))
    assert view.snapshot().gone
    assert view.over


def test_a_late_answer_does_not_take_back_an_end() -> None:
    view = viewed(state(FAILED))
    view.learned(RUNNING)
    assert view.detail == FAILED


def test_points_come_once_and_again_only_when_they_were_thinned() -> None:
    view = viewed(log("step=1 loss=3\nstep=2 loss=2\n"))
    (part,) = view.new_points({})
    assert (part.start, part.points) == (0, [(1, 3.0), (2, 2.0)])
    marks = {part.name: part.mark}
    assert view.new_points(marks) == []
    view.take(log("step=3 loss=1\n"))
    (part,) = view.new_points(marks)
    assert (part.start, part.points, part.last) == (2, [(3, 1.0)], (3, 1.0))
    marks = {part.name: part.mark}
    view.take(log("".join(f"step={n} loss={n}\n" for n in range(4, 5_000))))
    (part,) = view.new_points(marks)
    assert part.start == 0
    assert len(part.points) <= 2_000
    assert part.last == (4_999, 4_999.0)


def test_points_that_are_sent_bit_by_bit_are_those_of_the_view() -> None:
    view, have = TaskView(RUNNING), {}
    points: list[tuple[float, float]] = []
    steps = iter(range(20_000))
    pick = random.Random(5)
    while chunk := [step for _, step in zip(range(pick.randrange(1, 90)), steps, strict=False)]:
        view.take(log("".join(f"step={n} loss={pick.random()}\n" for n in chunk)))
        for part in view.new_points(have):
            points[part.start :] = part.points
            have[part.name] = part.mark
    ((_, whole),) = view.snapshot().series
    assert points == whole[: len(points)]
    assert len(whole) - len(points) <= 1


def test_progress_and_the_time_left() -> None:
    view = viewed(log("epoch=5/10 loss=1\n"))
    progress, left_s = view.progress()
    assert progress is not None
    assert (progress.done, progress.total) == (5, 10)
    assert left_s is not None
    view.take(state(FAILED))
    assert view.progress()[1] is None


def test_only_a_failure_has_a_cause() -> None:
    trace = 'Traceback (most recent call last):\n  File "t.py", line 1\nValueError: no\n'
    cause = viewed(log(trace), state(FAILED)).snapshot().cause
    assert cause is not None
    assert cause.lines == tuple(trace.splitlines())
    assert viewed(log(trace)).snapshot().cause is None


def test_a_store_gives_lines_by_number_and_drops_the_oldest() -> None:
    store = LineStore()
    store.append([f"line {n}" for n in range(250_000)])
    assert store.total == 250_000
    assert HELD_LINES <= store.total - store.first < HELD_LINES + 3_000
    first, lines = store.read(200_000, 200_003)
    assert (first, lines) == (200_000, ["line 200000", "line 200001", "line 200002"])
    assert store.read(0, 5) == (store.first, [])
    first, lines = store.read(0, 10**9)
    assert first == store.first
    assert lines == [f"line {n}" for n in range(first, 250_000)]
    assert store.tail(3, 1_000) == (249_997, ["line 249997", "line 249998", "line 249999"])
    assert store.tail(3, 15) == (249_999, ["line 249999"])
    assert store.tail(3, 0) == (249_999, ["line 249999"])
    assert store.tail(0, 1_000) == (250_000, [])
    assert LineStore().tail(5, 5) == (0, [])


def test_a_huge_log_costs_little_memory() -> None:
    """F1: what a kernel holds is bounded, whatever a task writes."""
    view = TaskView(RUNNING)
    tracemalloc.start()
    for _ in range(40):
        view.take(log("x" * 1_000_000))  # one line of 40 MB
    view.take(log("\n"))
    pick = random.Random(1)
    for number in range(30):
        view.take(log("".join(f"{number} {pick.random()} {n}\n" for n in range(10_000))))
    size, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert view.new_lines(0, 1, 100).total == 300_001
    assert size < HELD_CHARACTERS
    assert peak < 2 * HELD_CHARACTERS
    assert view.snapshot().lines[-1].endswith(" 9999")
