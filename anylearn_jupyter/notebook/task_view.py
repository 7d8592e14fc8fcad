"""What this kernel knows of one task, put together from its events: the data behind its views.

No input or output happens here. One thread feeds it (`TaskView.take`), any number of views read
it; each method holds the lock for a moment only.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from anylearn_jupyter.client.follow import START, Cursor, Event
from anylearn_jupyter.entities import TaskDetail, TaskPhase
from anylearn_jupyter.notebook.ansi import plain
from anylearn_jupyter.notebook.line_store import LineStore
from anylearn_jupyter.notebook.series import Point, Series
from anylearn_jupyter.notebook.terminal import TerminalText
from anylearn_jupyter.submit.metric_lines import MetricReader, Progress
from anylearn_jupyter.submit.sweep_ranking import Extent

TAIL_LINES = 24
"""Lines of the log that a static view shows."""

_CAUSE_LINES = 12
_TRACEBACK = "Traceback (most recent call last)"
# The engine's own directory for a task's code says nothing to its author.
_CODE_DIRECTORY = re.compile(r"/[^\s\"']*/tasks/TRAI[0-9a-f]{28}/code/")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A task at one moment, as its views show it.

    Attributes
    ----------
    detail : TaskDetail
        What the server last said.
    trouble : str
        Why its server does not answer; empty when it does.
    gone : bool
        Whether the server has no such task any more.
    ended : bool
        Whether nothing more will come: it is final, and all of its log was read.
    heard_ms : int
        When there was news last, by this machine's clock; milliseconds since 1970.
    progress : Progress or None
        How far it is, by its log.
    left_s : float or None
        Seconds that it may still take; None where nobody can tell, or when it has ended.
    line_count : int
        Lines of the log so far, the open one included.
    lines : tuple of str
        The last lines, with colour sequences.
    cause : tuple of str
        The lines that tell why it failed, without colours; empty unless it failed.
    series : tuple of (str, list of points)
        The metrics, in the order in which they first came.
    """

    detail: TaskDetail
    trouble: str = ""
    gone: bool = False
    ended: bool = False
    heard_ms: int = 0
    progress: Progress | None = None
    left_s: float | None = None
    line_count: int = 0
    lines: tuple[str, ...] = ()
    cause: tuple[str, ...] = ()
    series: tuple[tuple[str, list[Point]], ...] = ()


@dataclass(frozen=True)
class LogPart:
    """Some finished lines of a log.

    Attributes
    ----------
    first : int
        The number of the first line in `lines`.
    lines : list of str
        With colour sequences.
    held : int
        The number of the oldest line that this kernel has.
    total : int
        How many finished lines there are.
    open_line : str
        The line after those, which has no end yet.
    """

    first: int
    lines: list[str]
    held: int
    total: int
    open_line: str


@dataclass(frozen=True)
class SeriesPart:
    """Points of a series that a reader does not have yet.

    Attributes
    ----------
    name : str
        Text from a stranger.
    start : int
        Where `points` belong among the points that stay; 0 replaces all.
    points : list of points
        The points that stay.
    last : Point or None
        The newest, which may not stay.
    mark : tuple of int
        What the reader has then; for `TaskView.new_points`.
    """

    name: str
    start: int
    points: list[Point]
    last: Point | None
    mark: tuple[int, int, int]


class TaskView:
    """A task as this kernel knows it.

    Parameters
    ----------
    detail : TaskDetail
        What is known at the beginning.

    Attributes
    ----------
    cursor : Cursor
        Where the next event's log goes on; what was read up to there is in here.
    version : int
        Grows with each change.
    state_version : int
        Grows with each change but those of log, metrics and progress.
    """

    def __init__(self, detail: TaskDetail) -> None:
        self.cursor: Cursor = START
        self.version = 0
        self.state_version = 0
        self._lock = threading.Lock()
        self._detail = detail
        self._trouble = ""
        self._gone = False
        self._ended = False
        self._heard_ms = _now_ms()
        self._terminal = TerminalText()
        self._lines = LineStore()
        self._reader = MetricReader()
        self._series: dict[str, Series] = {}

    @property
    def detail(self) -> TaskDetail:
        """What the server last said."""
        return self._detail

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self._ended or self._gone

    @property
    def gone(self) -> bool:
        """Whether the server has no such task any more."""
        return self._gone

    def take(self, event: Event) -> None:
        """Take what happened to the task, in order."""
        with self._lock:
            self.version += 1
            if event.kind == "trouble":
                self._trouble = event.text
                self.state_version += 1
                return
            self._heard_ms = _now_ms()
            if event.kind != "log" or self._trouble:
                self.state_version += 1
            self._trouble = ""
            if event.kind == "state" and event.detail is not None:
                self._detail = event.detail
            elif event.kind == "log":
                self._lines.append(self._terminal.feed(event.text))
                self._add_points(event.text)
                self.cursor = event.cursor
            elif event.kind in ("end", "gone"):
                self._lines.append(self._terminal.close())
                self._add_points(None)
                self._ended = event.kind == "end"
                self._gone = event.kind == "gone"

    def take_log(self, text: str) -> None:
        """Take a whole log at once; nothing more will come."""
        self.take(Event("", "log", text=text, cursor=self.cursor))
        self.take(Event("", "end"))

    def learned(self, detail: TaskDetail) -> None:
        """Take a detail that somebody else asked for, such as after a stop."""
        with self._lock:
            if not self._detail.finished and detail != self._detail:
                self._detail = detail
                self.version += 1
                self.state_version += 1

    def _add_points(self, text: str | None) -> None:
        """Read the metrics of the log's next piece; None for its end."""
        points = self._reader.close() if text is None else self._reader.feed(text)
        for name, step, value in points:
            self._series.setdefault(name, Series(name)).add(step, value)

    # Reading.

    def snapshot(self, lines: int = TAIL_LINES) -> Snapshot:
        """Give the task as it is now, with so many of the last lines."""
        with self._lock:
            tail = self._tail(max(lines, TAIL_LINES))
            open_line = bool(self._terminal.open_line)
            return Snapshot(
                detail=self._detail,
                trouble=self._trouble,
                gone=self._gone,
                ended=self._ended,
                heard_ms=self._heard_ms,
                progress=self._reader.progress,
                left_s=self._left_s(),
                line_count=self._lines.total + open_line,
                lines=tuple(tail[-lines:]) if lines else (),
                cause=cause_of(tail) if self._detail.phase == TaskPhase.FAILED else (),
                series=tuple((one.name, one.points()) for one in self._series.values()),
            )

    def extents(self) -> dict[str, Extent]:
        """Give the newest, lowest and highest value of each metric, in their order."""
        with self._lock:
            return {
                one.name: Extent(one.last[1], one.low, one.high)
                for one in self._series.values()
                if one.last is not None
            }

    def progress(self) -> tuple[Progress | None, float | None]:
        """Give the progress, and the seconds that are left."""
        with self._lock:
            return self._reader.progress, self._left_s()

    def new_lines(self, have: int, lines: int, characters: int) -> LogPart:
        """Give what a reader lacks that has the lines before `have`: the newest of it."""
        with self._lock:
            first, found = self._lines.tail(min(lines, self._lines.total - have), characters)
            return self._part(first, found)

    def lines_between(self, first: int, end: int, characters: int) -> LogPart:
        """Give lines by number, as many as fit; those that are not held are left out."""
        with self._lock:
            first, found = self._lines.read(first, end)
            room = characters
            for number, line in enumerate(found):
                room -= len(line) + 1
                if room < 0 and number:
                    found = found[:number]
                    break
            return self._part(first, found)

    def new_points(self, have: dict[str, tuple[int, int, int]]) -> list[SeriesPart]:
        """Give the points that a reader lacks; `have` has the marks of what it was given."""
        with self._lock:
            parts = []
            for one in self._series.values():
                generation, start, count = have.get(one.name, (one.generation, 0, 0))
                if count == one.count:
                    continue
                if generation != one.generation:
                    start = 0
                points = one.kept(start)
                mark = (one.generation, start + len(points), one.count)
                parts.append(SeriesPart(one.name, start, points, one.last, mark))
            return parts

    def _part(self, first: int, lines: list[str]) -> LogPart:
        store = self._lines
        return LogPart(first, lines, store.first, store.total, self._terminal.open_line)

    def _tail(self, count: int) -> list[str]:
        tail = self._lines.tail(count, 400_000)[1]
        return [*tail, self._terminal.open_line] if self._terminal.open_line else tail

    def _left_s(self) -> float | None:
        progress, detail = self._reader.progress, self._detail
        if progress is None or detail.finished:
            return None
        if progress.left_s is not None or detail.started_ms is None or progress.done <= 0:
            return progress.left_s
        spent_s = max(_now_ms() - detail.started_ms, 0) / 1000
        return spent_s * max(progress.total - progress.done, 0) / progress.done


def cause_of(lines: Sequence[str]) -> tuple[str, ...]:
    """Give the last lines that tell why a task failed: the last traceback, else the last few."""
    words = [_CODE_DIRECTORY.sub("", plain(line)) for line in lines]
    while words and not words[-1].strip():
        words.pop()
    found = [number for number, line in enumerate(words) if line.startswith(_TRACEBACK)]
    if not found:
        return tuple(words[-5:])
    trace = words[found[-1] :]
    if len(trace) > _CAUSE_LINES:
        trace = [trace[0], "  …", *trace[2 - _CAUSE_LINES :]]
    return tuple(trace)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
