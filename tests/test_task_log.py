"""Reading a log: the published call's lines, and bytes for our own stream."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from anylearn_jupyter.engine.log_writer import STDERR, STDOUT, Clock, LogWriter
from anylearn_jupyter.engine.task_files import TaskFiles
from anylearn_jupyter.engine.task_log import MAX_LINE_BYTES, TaskLog


class StepClock(Clock):
    """Two milliseconds later at each look."""

    def __init__(self) -> None:
        self._now = 1_000_000

    def now_ms(self) -> int:
        self._now += 2
        return self._now


@pytest.fixture
def files(tmp_path: Path) -> TaskFiles:
    return TaskFiles(tmp_path)


def write(files: TaskFiles, *pieces: bytes) -> None:
    writer = LogWriter(files.log, files.log_index, StepClock(), 1 << 40)
    for number, piece in enumerate(pieces):
        writer.append(piece, STDERR if number % 2 else STDOUT)
    writer.close()


def every_line(log: TaskLog, *, limit: int, final: bool) -> list[str]:
    """Page through the log as the published client does."""
    texts, cursor = [], -1
    while page := log.lines_after(cursor, limit, final=final):
        assert len(page) <= limit
        assert page[0].offset > cursor
        texts += [entry.text for entry in page]
        cursor = page[-1].offset
    return texts


def test_a_log_that_is_not_there_is_empty(files: TaskFiles) -> None:
    log = TaskLog(files)

    assert (log.size(), log.read(0, 10), log.time_at(0)) == (0, b"", 0)
    assert log.lines_after(-1, 10, final=True) == []
    assert log.last_lines(10, final=True) == []


def test_lines_have_the_time_of_the_read_that_began_them(files: TaskFiles) -> None:
    write(files, b"one\ntw", b"o\n", b"three\n")

    entries = TaskLog(files).lines_after(-1, 10, final=False)

    assert [(entry.ms, entry.offset, entry.text) for entry in entries] == [
        (1_000_002, 0, "one"),
        (1_000_002, 4, "two"),
        (1_000_006, 8, "three"),
    ]
    assert TaskLog(files).time_at(6) == 1_000_004
    assert TaskLog(files).time_at(14) == 1_000_006


def test_an_unfinished_last_line_counts_only_at_the_end(files: TaskFiles) -> None:
    write(files, b"one\ntwo\nthr")
    log = TaskLog(files)

    assert every_line(log, limit=1, final=False) == ["one", "two"]
    assert every_line(log, limit=1, final=True) == ["one", "two", "thr"]
    assert [entry.text for entry in log.last_lines(2, final=False)] == ["two", "one"]
    assert [entry.text for entry in log.last_lines(2, final=True)] == ["thr", "two"]
    assert log.read(4, 11) == b"two\nthr"
    assert log.size() == 11


def test_lines_of_white_space_are_left_out_of_the_published_call(files: TaskFiles) -> None:
    blank = b"\n \t\n\r\n\xe3\x80\x80\n" * 200_000
    write(files, b"first\n" + blank + b"last\r\n" + blank)
    log = TaskLog(files)

    assert every_line(log, limit=1, final=True) == ["first", "last"]
    assert [entry.text for entry in log.last_lines(100, final=True)] == ["last", "first"]
    assert log.size() == 6 + 2 * len(blank) + 6


def test_a_line_of_ten_megabytes_is_cut_and_the_next_is_whole(files: TaskFiles) -> None:
    size = 10_000_000
    write(files, b"before\n", b"x" * size, b"\nafter\n")
    log = TaskLog(files)

    before, long, after = log.lines_after(-1, 10, final=False)

    assert long.text == "x" * MAX_LINE_BYTES + f"… [{size - MAX_LINE_BYTES} bytes cut]"
    assert (before.text, after.text) == ("before", "after")
    assert after.offset == 7 + size + 1
    assert log.lines_after(long.offset, 10, final=False) == [after]
    assert log.last_lines(3, final=False) == [after, long, before]
    assert log.read(7, 17) == b"x" * 10


def test_invalid_utf8_is_shown_and_offsets_stay_those_of_bytes(files: TaskFiles) -> None:
    write(files, b"\xff\xfe\n", "é".encode()[:1], "é".encode()[1:] + b"\nz\n")

    entries = TaskLog(files).lines_after(-1, 10, final=False)

    assert [(entry.offset, entry.text) for entry in entries] == [(0, "��"), (3, "é"), (6, "z")]


def test_bars_with_carriage_returns_stay_one_line(files: TaskFiles) -> None:
    write(files, b"10%\r20%\r30%\ndone\n")

    assert every_line(TaskLog(files), limit=5, final=False) == ["10%\r20%\r30%", "done"]


@pytest.mark.parametrize("seed", range(6))
def test_pages_forward_and_backward_agree_with_the_bytes(files: TaskFiles, seed: int) -> None:
    source = random.Random(seed)
    pieces = [
        b"".join(
            bytes(source.choices(b"ab \r", k=source.choice((0, 1, 3, 90_000))))
            + source.choice((b"\n", b"\n\n", b""))
            for _ in range(source.randrange(1, 9))
        )
        for _ in range(12)
    ]
    write(files, *pieces)
    data = b"".join(pieces)
    log = TaskLog(files)

    expected = [line.decode().removesuffix("\r") for line in data.split(b"\n")]
    expected = [
        text if len(text) < MAX_LINE_BYTES - 1 else text[:50] for text in expected if text.strip()
    ]
    forward = every_line(log, limit=source.choice((1, 2, 100)), final=True)
    backward = [entry.text for entry in log.last_lines(10_000, final=True)][::-1]

    assert [text if len(text) < MAX_LINE_BYTES - 1 else text[:50] for text in forward] == expected
    assert backward == forward
    tail = [entry.text for entry in log.last_lines(3, final=True)][::-1]
    assert tail == forward[-3:]
    assert log.read(0, len(data) + 10) == data


def test_times_never_decrease_whatever_the_wall_clock_does(
    files: TaskFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    writer = LogWriter(files.log, files.log_index, clock := Clock(), 1 << 40)
    writer.append(b"one\n", STDOUT)
    real = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: real - 86_400 * 10**9)
    writer.append(b"two\n", STDOUT)
    monkeypatch.setattr(time, "time_ns", lambda: real + 86_400 * 10**9)
    writer.append(b"three\n", STDOUT)
    writer.close()

    times = [entry.ms for entry in TaskLog(files).lines_after(-1, 10, final=True)]

    assert times == sorted(times)
    assert times[-1] - times[0] < 60_000
    assert clock.now_ms() >= times[-1]


def test_a_gap_is_told_when_there_is_space_again(
    files: TaskFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    real, full = os.write, False

    def write_or_refuse(handle: int, data: bytes) -> int:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data)

    monkeypatch.setattr(os, "write", write_or_refuse)
    writer = LogWriter(files.log, files.log_index, StepClock(), 1 << 40)
    writer.append(b"kept\nhalf", STDOUT)
    full = True
    writer.append(b"lost ", STDOUT)
    writer.append(b"as well\n", STDOUT)
    full = False
    writer.append(b"back\n", STDOUT)
    writer.close()

    assert files.log.read_bytes() == (
        b"kept\nhalf\n[Anylearn] 13 bytes of output are missing here.\nback\n"
    )
    assert (writer.lost_bytes, writer.trouble) == (13, "No space left on device")
    texts = every_line(TaskLog(files), limit=2, final=True)
    assert texts == ["kept", "half", "[Anylearn] 13 bytes of output are missing here.", "back"]


def test_a_second_writer_goes_on_where_the_first_was_killed(files: TaskFiles) -> None:
    write(files, b"one\n", b"tw")
    with files.log_index.open("ab") as index:
        index.write(b"half a rec")

    late = StepClock()
    late._now = 0
    writer = LogWriter(files.log, files.log_index, late, 1 << 40)
    writer.say("The log ends here.")
    writer.close()

    entries = TaskLog(files).lines_after(-1, 10, final=True)
    assert [(entry.ms, entry.offset, entry.text) for entry in entries] == [
        (1_000_002, 0, "one"),
        (1_000_004, 4, "tw"),
        (1_000_004, 7, "[Anylearn] The log ends here."),
    ]


def test_what_came_from_standard_error_is_told_by_bytes(files: TaskFiles) -> None:
    write(files, b"out\n", b"err\n", b"", b"more\n", b"out again\n", b"x")
    log = TaskLog(files)

    assert log.stderr_ranges(0, 100) == [(4, 13), (23, 100)]
    assert log.stderr_ranges(0, 24) == [(4, 13), (23, 24)]
    assert log.stderr_ranges(5, 7) == [(5, 7)]
    assert log.stderr_ranges(13, 20) == []
    assert log.stderr_ranges(7, 7) == []
    assert TaskLog(TaskFiles(files.root / "none")).stderr_ranges(0, 10) == []
