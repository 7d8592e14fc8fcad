"""Reading a task's log: bytes for our own stream, lines for the published call.

The shim writes (see `log_writer` for the format), any number of readers read, and none of them
waits for another. A position is a byte offset; what has been read at an offset never changes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from anylearn_jupyter.engine.log_writer import FORMAT, HEADER, MAGIC, RECORD, STDERR
from anylearn_jupyter.engine.task_files import TaskFiles

MAX_LINE_BYTES = 1 << 16
"""A longer line is cut here in the published call, which sends whole lines; `read` has it all."""

_BLOCK_BYTES = 1 << 18
# A page of 100 lines is small, and what is read beyond it is read again for the next.
_FIRST_BLOCK_BYTES = 1 << 13


@dataclass(frozen=True)
class LogEntry:
    """One line of a log.

    Attributes
    ----------
    ms : int
        When its first byte was read by the shim; milliseconds since 1970, UTC.
    offset : int
        Byte offset of its first byte. (`ms`, `offset`) increases from line to line.
    text : str
        Without its end; invalid UTF-8 is shown as U+FFFD.
    """

    ms: int
    offset: int
    text: str


class TaskLog:
    """One task's log, however far it has come.

    Parameters
    ----------
    files : TaskFiles
        The task's. Nothing need be there yet: a log that is not there is empty.
    """

    def __init__(self, files: TaskFiles) -> None:
        self._files = files

    def size(self) -> int:
        """Give the number of bytes so far."""
        return _size(self._files.log)

    def read(self, start: int, end: int) -> bytes:
        """Give the bytes ``[start, end)``, or as many of them as there are.

        The caller bounds `end - start`; this much memory is taken.
        """
        # No file system seeks as far as a cursor may claim to be.
        if start >= min(end, self.size()):
            return b""
        try:
            with self._files.log.open("rb") as log:
                log.seek(start)
                return log.read(end - start)
        except FileNotFoundError:
            return b""

    def time_at(self, offset: int) -> int:
        """Tell when the byte at this offset was read; 0 where the index has nothing.

        The end of the log is a valid offset and has the time of the last read.
        """
        return self._times([offset])[0]

    def times_at(self, offsets: list[int]) -> list[int]:
        """Tell the same for many offsets, which increase, with one search."""
        return self._times(offsets)

    def stderr_ranges(self, start: int, end: int) -> list[tuple[int, int]]:
        """Tell which bytes of ``[start, end)`` came from standard error: ranges, in order."""
        try:
            with self._files.log_index.open("rb") as file:
                return _Index(file).stderr_ranges(start, end)
        except FileNotFoundError:
            return []

    def lines_after(self, cursor: int, limit: int, *, final: bool) -> list[LogEntry]:
        """Give up to `limit` lines that start after this offset, the oldest first.

        Lines of white space only are left out, since published clients drop them and then stop.
        All of the log may have to be passed over to find a line, so this is for a thread.

        Parameters
        ----------
        cursor : int
            Offset of the last line that the caller has; -1 for none.
        limit : int
            At most so many lines.
        final : bool
            Whether the task has ended: then the last line counts even without its end.

        Notes
        -----
        Source: HTTP API, section 9.4.
        """
        found: list[tuple[int, str]] = []
        if cursor >= self.size():
            return []
        try:
            with self._files.log.open("rb") as log:
                for offset, text in _lines(log, max(0, cursor), final=final):
                    if offset > cursor and text.strip():
                        found.append((offset, text))
                        if len(found) >= limit:
                            break
        except FileNotFoundError:
            return []
        return self._entries(found)

    def last_lines(self, limit: int, *, final: bool) -> list[LogEntry]:
        """Give the last `limit` lines, the newest first; which lines, as in `lines_after`."""
        found: list[tuple[int, str]] = []
        try:
            with self._files.log.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                while end > 0 and len(found) < limit:
                    start = _line_start_before(log, max(0, end - _BLOCK_BYTES), end)
                    block = [
                        line for line in _lines(log, start, final=final, end=end) if line[1].strip()
                    ]
                    found = block[-(limit - len(found)) :] + found
                    end = start
        except FileNotFoundError:
            return []
        return self._entries(found)[::-1]

    def _entries(self, lines: list[tuple[int, str]]) -> list[LogEntry]:
        times = self._times([offset for offset, _ in lines])
        return [
            LogEntry(ms=ms, offset=offset, text=text)
            for ms, (offset, text) in zip(times, lines, strict=True)
        ]

    def _times(self, offsets: list[int]) -> list[int]:
        """Look up increasing offsets: one search for the first, then a walk."""
        try:
            with self._files.log_index.open("rb") as file:
                index = _Index(file)
                return index.times(offsets)
        except FileNotFoundError:
            return [0] * len(offsets)


class _Index:
    """The records of an index file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        header = file.read(HEADER.size)
        self._count = 0
        if len(header) == HEADER.size:
            magic, number, width = HEADER.unpack(header)
            # A later format may widen the record, but not change what it begins with.
            if magic == MAGIC and number >= FORMAT and width >= RECORD.size:
                self._width = width
                size = os.fstat(file.fileno()).st_size
                self._count = (size - HEADER.size) // width

    def times(self, offsets: list[int]) -> list[int]:
        if not offsets or not self._count:
            return [0] * len(offsets)
        found = []
        walk = self._walk(self._number_at(offsets[0]))
        ms = next(walk)[1]
        following = next(walk, None)
        for offset in offsets:
            while following is not None and following[0] <= offset:
                ms = following[1]
                following = next(walk, None)
            found.append(ms)
        return found

    def stderr_ranges(self, start: int, end: int) -> list[tuple[int, int]]:
        """Walk the records of these bytes; ranges that touch are one."""
        found: list[tuple[int, int]] = []
        if not self._count or start >= end:
            return found
        begun: int | None = None
        for offset, _ms, stream in self._streams(self._number_at(start)):
            if offset >= end:
                break
            if stream == STDERR:
                begun = max(offset, start) if begun is None else begun
            elif begun is not None:
                if offset > begun:
                    found.append((begun, offset))
                begun = None
        if begun is not None:
            found.append((begun, end))
        return found

    def _number_at(self, offset: int) -> int:
        """Find the last record that begins at this offset or before; the first if there is none."""
        low, high = 0, self._count - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._record(middle)[0] <= offset:
                low = middle
            else:
                high = middle - 1
        return low

    def _record(self, number: int) -> tuple[int, int]:
        self._file.seek(HEADER.size + number * self._width)
        offset, ms, _stream = RECORD.unpack(self._file.read(self._width)[: RECORD.size])
        return offset, ms

    def _walk(self, number: int) -> Iterator[tuple[int, int]]:
        for offset, ms, _stream in self._streams(number):
            yield offset, ms

    def _streams(self, number: int) -> Iterator[tuple[int, int, int]]:
        """Give offset, time and stream of the records from this one on."""
        self._file.seek(HEADER.size + number * self._width)
        for _ in range(number, self._count):
            yield RECORD.unpack(self._file.read(self._width)[: RECORD.size])


def _lines(
    log: BinaryIO, start: int, *, final: bool, end: int | None = None
) -> Iterator[tuple[int, str]]:
    """Give (offset, text) of each line from `start`, which is a line's start; bounded memory."""
    log.seek(start)
    line_at, head, length = start, b"", 0
    position = start
    wanted = _FIRST_BLOCK_BYTES
    while True:
        block = log.read(wanted if end is None else min(wanted, end - position))
        wanted = min(2 * wanted, _BLOCK_BYTES)
        if not block:
            break
        position += len(block)
        *whole, rest = block.split(b"\n")
        for piece in whole:
            yield line_at, _text(head + piece[: MAX_LINE_BYTES - len(head)], length + len(piece))
            line_at += length + len(piece) + 1
            head, length = b"", 0
        head += rest[: MAX_LINE_BYTES - len(head)]
        length += len(rest)
    if length and final:
        yield line_at, _text(head, length)


def _text(head: bytes, length: int) -> str:
    text = head.decode("utf-8", errors="replace").removesuffix("\r")
    cut = length - len(head)
    return f"{text}… [{cut} bytes cut]" if cut > 0 else text


def _line_start_before(log: BinaryIO, guess: int, end: int) -> int:
    """Find where a line starts, at `guess` or before, without keeping what is passed over.

    A start after `guess` serves as well, as long as there is a whole line from there to `end`.
    """
    log.seek(guess)
    if guess:
        newline = log.read(end - guess).find(b"\n")
        if 0 <= newline < end - guess - 1:
            return guess + newline + 1
    while guess > 0:
        before = max(0, guess - _BLOCK_BYTES)
        log.seek(before)
        newline = log.read(guess - before).rfind(b"\n")
        if newline >= 0:
            return before + newline + 1
        guess = before
    return 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
