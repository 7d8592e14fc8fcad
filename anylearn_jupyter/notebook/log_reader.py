"""Any line of a task's log by its number, and where in all of it a text is.

What the kernel holds is given from there; what is older is read again from the server, from the
last known place before it on (`log_anchors`). Everything here may wait for the network: it is for
a thread of its own (`background`), never for the one that sends.
"""

from __future__ import annotations

import codecs
import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.api.tasks import LOG_START
from anylearn_jupyter.client.follow import PAGE_LINES, Cursor, text_of_page
from anylearn_jupyter.notebook.ansi import plain
from anylearn_jupyter.notebook.task_view import EndPreview, LogPart, TaskView
from anylearn_jupyter.notebook.terminal import TerminalText
from anylearn_jupyter.submit.task import TrainTask

MAX_FOUND = 50_000
"""Numbers of lines that a search gives, the newest; it counts all."""

CHUNK_BYTES = 1_000_000
"""Bytes of a log that are given at once to whoever saves it."""

PREVIEW_BYTES = 131_072
"""Bytes of a log's end that are shown while the kernel reads what is before them."""

_PIECE_BYTES = 262_144
_SEARCH_BYTES = 1_048_576
_SHORT_BYTES = 2_000_000
_HELD_LINES = 5_000
_NEAR_LINES = 100


@dataclass(frozen=True)
class Found:
    """What a search has found.

    Attributes
    ----------
    numbers : list of int
        The newest lines that fit, at most `MAX_FOUND`.
    count : int
        How many fit.
    end : int
        The search went up to, not with, this line.
    """

    numbers: list[int]
    count: int
    end: int


class LogReader:
    """Reads one task's log wherever it is.

    Parameters
    ----------
    task : TrainTask
        Whose.
    view : TaskView
        What the kernel knows of it.
    """

    def __init__(self, task: TrainTask, view: TaskView) -> None:
        self._task = task
        self._view = view

    def lines(self, first: int, end: int, characters: int) -> LogPart:
        """Give lines by number, as many as fit, whether or not the kernel holds them.

        Raises
        ------
        ServerUnreachable, ServerError
            They are the server's, and it does not give them.
        """
        first = max(first, 0)
        part = self._view.lines_between(first, end, characters)
        if first >= self._view.held_from or not self._view.rereadable:
            return part
        found: list[str] = []
        room = characters
        for lines in self._read_again(first, min(end, part.total), _PIECE_BYTES):
            for line in lines:
                room -= len(line) + 1
                if room < 0 and found:
                    break
                found.append(line)
            if room < 0:
                break
        return self._view.with_marks(replace(part, first=first, lines=found))

    def picked(self, numbers: Sequence[int], characters: int) -> list[LogPart]:
        """Give single lines, as parts that hold what is between near ones too.

        Raises
        ------
        ServerUnreachable, ServerError
            As `lines`.
        """
        parts: list[LogPart] = []
        room = characters
        runs: list[list[int]] = []
        for number in sorted(numbers):
            if runs and number - runs[-1][1] < _NEAR_LINES:
                runs[-1][1] = number
            else:
                runs.append([number, number])
        for first, last in runs:
            parts.append(self.lines(first, last + 1, max(room, 1)))
            room -= sum(len(line) for line in parts[-1].lines)
        return parts

    def find(
        self, text: str, *, stderr: bool, start: int, go_on: Callable[[int], bool]
    ) -> Found | None:
        """Search all finished lines from a number on.

        Parameters
        ----------
        text : str
            What a line, without its colours, has to hold, in whatever case; empty for every line.
        stderr : bool
            Only lines from standard error.
        start : int
            The number of the first line that is searched.
        go_on : callable
            Called now and then with the number of the line that was reached; False ends the search.

        Returns
        -------
        Found or None
            None when `go_on` ended it.

        Raises
        ------
        ServerUnreachable, ServerError
            The older lines are the server's, and it does not give them.
        """
        total, marks = self._view.line_total, self._view.marks
        if not text or (stderr and not marks.stderr_lines):
            known = marks.stderr_between(start, total) if stderr else range(start, total)
            newest = deque(known, maxlen=MAX_FOUND)
            count = sum(1 for _ in marks.stderr_between(start, total)) if stderr else total - start
            return Found(list(newest), count, total)
        numbers: deque[int] = deque(maxlen=MAX_FOUND)
        count = 0
        wanted = text.lower()
        for first, lines in self._all(start, total):
            for number in _fitting(first, lines, wanted):
                if not stderr or marks.is_stderr(number):
                    numbers.append(number)
                    count += 1
            if not go_on(first + len(lines)):
                return None
        return Found(list(numbers), count, total)

    def chunk(self, cursor: Cursor) -> tuple[bytes, Cursor, int | None]:
        """Give the log's bytes from a place on, for whoever saves it.

        Returns
        -------
        tuple
            The bytes, empty at the end; where to go on; the log's size so far, None where the
            server does not tell.

        Raises
        ------
        ServerUnreachable, ServerError
            The server does not give them.
        """
        api = self._task.connection().api
        if self._by_bytes(api):
            start = cursor if isinstance(cursor, int) else 0
            data, size = api.log_bytes(self._task.id, start, start + CHUNK_BYTES)
            return data, start + len(data), size
        words: list[str] = []
        for piece, place in self._pages(api, cursor):
            words.append(piece)
            cursor = place
            if sum(map(len, words)) >= CHUNK_BYTES // 4:
                break
        return "".join(words).encode("utf-8", "replace"), cursor, None

    def preview(self) -> EndPreview | None:
        """Read the end of the log, if it is long: to be shown until all before it was read.

        Raises
        ------
        ServerUnreachable, ServerError
            The server does not give it.
        """
        api = self._task.connection().api
        if self._by_bytes(api):
            size = api.log_bytes(self._task.id, 0, 0)[1]
            if size < _SHORT_BYTES:
                return None
            data, _size = api.log_bytes(self._task.id, size - PREVIEW_BYTES, size)
            text = data[data.find(b"\n") + 1 :].decode("utf-8", "replace")
            end: Cursor = size
        else:
            page = api.log_page(self._task.id, direction="init", limit=PAGE_LINES)[::-1]
            if len(page) < PAGE_LINES:
                return None
            text, end = text_of_page(page), list(page[-1].position)
        terminal = TerminalText()
        lines = [*terminal.feed(text), *terminal.close()]
        return EndPreview(tuple(lines), end)

    def _by_bytes(self, api: Api) -> bool:
        return "log_bytes" in api.features and "events" in api.features

    def _read_again(self, first: int, end: int, piece: int) -> Iterator[list[str]]:
        """Give the lines ``[first, end)`` from the server, in order, a few at a time."""
        anchor, stop = self._view.place_before(first)
        terminal = copy.copy(anchor.terminal)
        number = anchor.line
        api = self._task.connection().api
        pieces = (
            self._bytes(api, anchor.cursor, stop, piece)
            if isinstance(stop, int)
            else (text for text, _cursor in self._pages(api, anchor.cursor))
        )
        for text in pieces:
            lines = terminal.feed(text)
            begin, number = number, number + len(lines)
            if number > first:
                yield lines[max(first - begin, 0) : max(end - begin, 0)]
            if number >= end:
                return
        # The last line of a log that has ended may have no end of its own.
        if first <= number < end:
            yield terminal.close()

    def _bytes(self, api: Api, start: Cursor, stop: int, piece: int) -> Iterator[str]:
        offset = start if isinstance(start, int) else 0
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        while offset < stop:
            data, _size = api.log_bytes(self._task.id, offset, min(offset + piece, stop))
            if not data:
                return
            offset += len(data)
            yield decoder.decode(data, final=offset >= stop)

    def _pages(self, api: Api, start: Cursor) -> Iterator[tuple[str, list[int]]]:
        """Give the text of pages by the published call, and where each ends."""
        after = (start[0], start[1]) if isinstance(start, list) else LOG_START
        while True:
            page = api.log_page(self._task.id, direction="back", limit=PAGE_LINES, after=after)
            if not page or page[-1].position <= after:
                return
            after = page[-1].position
            yield text_of_page(page), list(after)

    def _all(self, start: int, end: int) -> Iterator[tuple[int, list[str]]]:
        """Give the lines ``[start, end)`` from wherever they are, in order."""
        at = start
        while at < end:
            held_from, before = self._view.held_from, at
            if at < held_from and not self._view.rereadable:
                at = held_from
            elif at < held_from:
                for lines in self._read_again(at, min(end, held_from), _SEARCH_BYTES):
                    yield at, lines
                    at += len(lines)
            else:
                part = self._view.lines_between(at, min(at + _HELD_LINES, end), _SEARCH_BYTES)
                if part.first == at:  # else it was let go of meanwhile
                    yield at, part.lines
                    at += len(part.lines)
            if at == before and self._view.held_from == held_from:
                return


def _fitting(first: int, lines: list[str], wanted: str) -> Iterator[int]:
    """Give the numbers of the lines that hold a text; most pieces of a log hold it nowhere."""
    together = plain("\n".join(lines))
    if wanted not in together.lower():
        return
    for number, line in enumerate(together.split("\n"), first):
        if wanted in line.lower():
            yield number
