"""Any line of a log by its number, searching all of it and saving it, over a real engine."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anylearn_jupyter.client.connection import disconnect
from anylearn_jupyter.client.follow import Cursor, Event, follow
from anylearn_jupyter.entities import TaskDetail
from anylearn_jupyter.home import Home
from anylearn_jupyter.notebook import line_store, log_anchors, log_reader
from anylearn_jupyter.notebook.background import Background
from anylearn_jupyter.notebook.log_anchors import Anchors
from anylearn_jupyter.notebook.log_marks import LogMarks
from anylearn_jupyter.notebook.log_reader import LogReader
from anylearn_jupyter.notebook.task_view import TaskView
from anylearn_jupyter.notebook.terminal import TerminalText
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.tasks import find_task
from conftest import RunningEngine
from engine_fixtures import Talker
from waiting import wait_until

# Bars, colours that go on, reports that are no lines, two streams, characters of many bytes.
TALK = r"""
import random, sys
chance = random.Random(1)
for n in range(20_000):
    to = sys.stderr if n % 9 == 0 else sys.stdout
    kind = chance.randrange(8)
    if kind == 0: print(f"{n} 10%\r{n} 50%\r{n} 99%", file=to)
    elif kind == 1: print(f'[anylearn-metric] {{"step": {n}, "loss": 1.0}}', file=to)
    elif kind == 2: print(f"\033[3{n % 8}m{n} ünïcode 日本 and on", file=to)
    else: print(f"{n} {'words ' * chance.randrange(12)}\033[0m", file=to)
    if n % 50 == 0: to.flush()
print("no end", end="")
"""


# F2: bytes that are no UTF-8, characters in two writes, UTF-16, a lone return, no end at the end.
ODD = r"""
import os, time
for _ in range(300):
    os.write(1, b"bad \xff\xfe\xc3 byte\n")
    os.write(1, b"split \xe6\x97"); time.sleep(0.001); os.write(1, b"\xa5 here\n")
    os.write(1, "utf-16: wide\n".encode("utf-16-le"))
    os.write(1, b"gone\rlone return\n\x00nul\x00\n")
    os.write(2, b"\xf0\x9f\x98\x80 half \xf0\x9f\n")
os.write(1, b"\xe2\x82")
"""


@pytest.fixture
def talker(engine: RunningEngine, tmp_path: Path) -> Iterator[Talker]:
    made = Talker(Home(engine.home), address=engine.address)
    made.send_code(tmp_path / "project", {"talk.py": TALK, "odd.py": ODD})
    yield made
    disconnect()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernel hold little, so that most of a log is the server's."""
    monkeypatch.setattr(line_store, "HELD_LINES", 2_000)
    monkeypatch.setattr(log_anchors, "SPACING", 20_000)
    monkeypatch.setattr(log_reader, "_PIECE_BYTES", 7_001)
    monkeypatch.setattr(log_reader, "_SEARCH_BYTES", 30_011)
    monkeypatch.setattr(log_reader, "_SHORT_BYTES", 100_000)
    monkeypatch.setattr(log_reader, "CHUNK_BYTES", 100_003)


def read(task: TrainTask, view: TaskView) -> list[str]:
    """Have a view read a log to its end; give all lines, as a terminal has them."""
    terminal, lines = TerminalText(), []
    for event in follow(task.connection, {task.id: view.cursor}, stop=threading.Event()):
        view.take(event)
        lines += terminal.feed(event.text) if event.kind == "log" else []
    return lines + terminal.close()


@pytest.fixture
def finished(talker: Talker, small: None) -> tuple[LogReader, TaskView, list[str]]:
    task_id = talker.add_task("python talk.py")
    talker.wait_end(task_id)
    task = find_task(task_id)
    view = TaskView(task.detail)
    lines = read(task, view)
    return LogReader(task, view), view, lines


def test_any_line_is_what_it_was(finished: tuple[LogReader, TaskView, list[str]]) -> None:
    reader, view, lines = finished
    assert view.line_total == len(lines) > 10_000
    assert view.held_from > 5_000
    chance = random.Random(2)
    for _ in range(60):
        first = chance.randrange(len(lines))
        end = min(first + chance.randrange(1, 900), len(lines))
        part = reader.lines(first, end, 10**6)
        assert part.first == first
        assert part.lines == lines[first:end][: len(part.lines)]
        # What the kernel holds ends where it begins; the rest is asked for next.
        assert part.lines
        assert part.held == 0
    assert reader.lines(-5, 3, 10**6).lines == lines[:3]
    assert len(reader.lines(0, 500, 100).lines) < 10, "no more than fits"
    picked = reader.picked([5, 9_000, 9_004, 3], 10**6)
    assert [(part.first, part.lines) for part in picked] == [
        (3, lines[3:6]),
        (9_000, lines[9_000:9_005]),
    ]


def test_bytes_that_are_no_text_are_marked_and_every_place_stays_right(
    talker: Talker, monkeypatch: pytest.MonkeyPatch, small: None
) -> None:
    """F2, over the whole way: read as it comes, read again from anywhere, saved."""
    monkeypatch.setattr(line_store, "HELD_LINES", 10)
    monkeypatch.setattr(line_store, "_BLOCK_LINES", 50)
    monkeypatch.setattr(log_anchors, "SPACING", 500)
    monkeypatch.setattr(log_reader, "_PIECE_BYTES", 101)
    task = find_task(talker.add_task("python odd.py"))
    view = TaskView(task.detail)
    lines = read(task, view)
    reader = LogReader(task, view)

    assert view.cursor == len(talker.log(task.id)), "an offset is of bytes, not of characters"
    counted = {line: lines.count(line) for line in lines}
    assert counted["bad \ufffd\ufffd\ufffd byte"] == 300
    assert counted["split 日 here"] == 300
    assert counted["utf-16: wide"] == 300
    assert counted["lone return"] == counted["nul"] == 300
    assert counted["😀 half \ufffd"] == 300
    assert lines[-1] == "\ufffd"
    for first in range(0, view.held_from, 37):
        assert reader.lines(first, first + 5, 10**6).lines == lines[first : first + 5]
    assert reader.chunk(None)[0] == talker.log(task.id)


def test_a_search_goes_through_all_of_it(finished: tuple[LogReader, TaskView, list[str]]) -> None:
    reader, view, lines = finished
    clean = [log_reader.plain(line).lower() for line in lines]
    for text in ("日本", "WORDS words", "12345 ", "nowhere", "99%"):
        found = reader.find(text, stderr=False, start=0, go_on=lambda number: True)
        assert found is not None
        assert found.numbers == [n for n, line in enumerate(clean) if text.lower() in line]
        assert (found.count, found.end) == (len(found.numbers), len(lines))
    later = reader.find("words", stderr=False, start=9_000, go_on=lambda number: True)
    assert later is not None
    assert min(later.numbers) >= 9_000
    assert reader.find("x", stderr=False, start=0, go_on=lambda number: False) is None
    errors = reader.find("", stderr=True, start=0, go_on=lambda number: True)
    assert errors is not None
    assert errors.count == view.marks.stderr_lines > 500
    some = reader.find("words", stderr=True, start=0, go_on=lambda number: True)
    assert some is not None
    assert set(some.numbers) == {n for n in errors.numbers if "words" in clean[n]}


def test_of_very_many_matches_the_newest_are_given(
    finished: tuple[LogReader, TaskView, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, _, lines = finished
    monkeypatch.setattr(log_reader, "MAX_FOUND", 10)
    for text, stderr in (("o", False), ("", True)):
        found = reader.find(text, stderr=stderr, start=0, go_on=lambda number: True)
        assert found is not None
        assert len(found.numbers) == 10
        assert found.count > 100
    assert reader.find("", stderr=False, start=0, go_on=lambda n: True) == log_reader.Found(
        list(range(len(lines) - 10, len(lines))), len(lines), len(lines)
    )


def test_all_of_it_is_saved_piece_by_piece(
    finished: tuple[LogReader, TaskView, list[str]], talker: Talker
) -> None:
    reader, view, _ = finished
    whole = b""
    cursor: Cursor = None
    while True:
        data, cursor, size = reader.chunk(cursor)
        assert size is not None
        if not data:
            break
        whole += data
    assert len(whole) == size
    assert whole == talker.log(view.detail.id)


def test_the_end_of_a_long_log_is_shown_while_it_is_read(
    finished: tuple[LogReader, TaskView, list[str]],
) -> None:
    reader, view, lines = finished
    preview = reader.preview()
    assert preview is not None
    assert list(preview.lines[-50:]) == [*map(str, lines[-50:])]
    fresh = TaskView(view.detail)
    fresh.begin_preview(preview)
    assert fresh.snapshot(lines=2).lines == tuple(lines[-2:])
    assert fresh.preview == (preview, 0.0)
    assert isinstance(preview.end, int)
    fresh.take(Event("", "log", text="first\n", cursor=preview.end // 2))
    assert fresh.snapshot(lines=1).lines == (lines[-1],)
    fresh.take(Event("", "log", text="last\n", cursor=preview.end))
    assert fresh.preview is None
    assert fresh.snapshot(lines=1).lines == ("last",)
    view.begin_preview(preview)
    assert view.preview is None, "all of it was read already"


def test_marks_find_the_first_error_and_no_word_about_one() -> None:
    harmless = ["the error is 0.1", "no Exception here", "errors: 0", "Terror: a film", "x" * 200]
    for line in (
        "Traceback (most recent call last):",
        "ValueError: no",
        "torch.cuda.OutOfMemoryError: CUDA out of memory",
        "KeyboardException",
        "\x1b[31m2026-01-01 10:00:00 ERROR\x1b[0m it broke",
        "CRITICAL:root:no",
        "main.c:3:1: error: expected ';'",
        "error: could not compile",
        "fatal: not a git repository",
        "Fatal Python error: Segmentation fault",
    ):
        marks = LogMarks()
        marks.take(0, harmless, stderr=False)
        assert marks.first_error is None
        marks.take(5, ["fine", line, "ERROR again"], stderr=True)
        assert marks.first_error == 6, line
        assert list(marks.stderr_between(0, 100)) == [5, 6, 7]
        assert [marks.is_stderr(n) for n in (4, 5, 7, 8, 10**6)] == [
            False,
            True,
            True,
            False,
            False,
        ]


def test_places_are_thinned_and_the_right_one_is_found() -> None:
    anchors, terminal = Anchors(), TerminalText()
    for number in range(1, 3 * log_anchors.MAX_ANCHORS):
        anchors.note(10 * number, number, terminal, log_anchors.SPACING)
        assert anchors.count <= log_anchors.MAX_ANCHORS
    for line in (0, 9, 10, 55_555, 10**9):
        place = anchors.before(line)
        assert place.line <= line
    assert anchors.before(0).cursor is None
    assert 10**5 - anchors.before(10**5).line <= 40


def test_of_what_waits_the_newest_is_done_and_others_do_not_wait() -> None:
    background, done = Background(), list[object]()
    begun, go = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go.wait(10)
        done.append("slow")

    def adding(what: object) -> Callable[[], None]:
        return lambda: done.append(what)

    background.do("a", slow)
    assert begun.wait(10)
    for number in range(5):
        background.do("a", adding(number))
    background.do("b", adding("b"))
    wait_until(lambda: done == ["b"], 10, "work of another kind")
    go.set()
    wait_until(lambda: done == ["b", "slow", 4], 10, "the newest")
    background.do("a", lambda: done.remove("nothing"))
    background.do("c", adding("c"))
    wait_until(lambda: "c" in done, 10, "what comes after a defect")
    background.close()
    background.do("a", adding("late"))
    wait_until(
        lambda: not any(one.name == "anylearn-background" for one in threading.enumerate()),
        10,
        "the end of its threads",
    )
    assert "late" not in done


def test_what_is_gone_is_given_as_far_as_it_is_held(small: None) -> None:
    view = TaskView(TaskDetail(id="TRAI" + "0" * 28, name="x", state=1, phase="running"))
    view.take_log("".join(f"{n}\n" for n in range(10_000)))
    reader = LogReader(TrainTask.__new__(TrainTask), view)
    assert not view.rereadable
    part = reader.lines(0, 10_000, 10**6)
    assert part.first == part.held == view.held_from > 0
    found = reader.find("9999", stderr=False, start=0, go_on=lambda number: True)
    assert found is not None
    assert found.numbers == [9_999]
