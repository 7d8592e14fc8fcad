"""What this kernel knows of one task, put together from its events: the data behind its views.

No input or output happens here. One thread feeds it (`TaskView.take`), any number of views read
it; each method holds the lock for a moment only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from anylearn_jupyter.client.follow import START, Cursor, Event
from anylearn_jupyter.entities import TaskDetail, TaskPhase
from anylearn_jupyter.notebook.cause import CAUSE_LINES, Cause, cause_of
from anylearn_jupyter.notebook.line_store import LineStore
from anylearn_jupyter.notebook.log_anchors import Anchor, Anchors
from anylearn_jupyter.notebook.log_marks import LogMarks
from anylearn_jupyter.notebook.series import Point, Series
from anylearn_jupyter.notebook.terminal import TerminalText
from anylearn_jupyter.submit.metric_lines import MetricReader, Progress
from anylearn_jupyter.submit.sweep_ranking import Extent

TAIL_LINES = 24
"""Lines of the log that a static view shows."""


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
    cause : Cause or None
        Why it failed; None unless it did.
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
    cause: Cause | None = None
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
        The number of the oldest line that can be had: from this kernel, or again from the server.
    total : int
        How many finished lines there are.
    open_line : str
        The line after those, which has no end yet.
    stderr : list of int
        Which of `lines` came from standard error, counted from 0.
    stderr_total : int
        How many lines of the log came from there.
    error : int or None
        The number of the first line that looks like an error's.
    """

    first: int
    lines: list[str]
    held: int
    total: int
    open_line: str
    stderr: list[int] = field(default_factory=list)
    stderr_total: int = 0
    error: int | None = None


@dataclass(frozen=True)
class EndPreview:
    """The last lines of a long log, without numbers, as nobody has counted those before.

    Attributes
    ----------
    lines : tuple of str
        With colour sequences.
    end : Cursor
        Where the log goes on after them.
    """

    lines: tuple[str, ...]
    end: Cursor


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
    marks : LogMarks
        What was noted of the log's lines.
    """

    def __init__(self, detail: TaskDetail) -> None:
        self.cursor: Cursor = START
        self.version = 0
        self.state_version = 0
        self.marks = LogMarks()
        self._anchors = Anchors()
        self._preview: EndPreview | None = None
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
                for text, is_stderr in _by_stream(event):
                    self._add_lines(self._terminal.feed(text), stderr=is_stderr)
                self._add_points(event.text)
                self.cursor = event.cursor
                self._anchors.note(self._lines.total, event.cursor, self._terminal, len(event.text))
                self._drop_preview()
            elif event.kind in ("end", "gone"):
                self._preview = None
                self._add_lines(self._terminal.close(), stderr=False)
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

    def _add_lines(self, lines: list[str], *, stderr: bool) -> None:
        self.marks.take(self._lines.total, lines, stderr=stderr)
        self._lines.append(lines)

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
                cause=cause_of(self._detail, self._cause_lines()),
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

    @property
    def line_total(self) -> int:
        """How many finished lines there are."""
        return self._lines.total

    @property
    def held_from(self) -> int:
        """The number of the oldest line that this kernel holds."""
        return self._lines.first

    @property
    def rereadable(self) -> bool:
        """Whether older lines can be read again from the server."""
        return self.cursor != START and not self._gone

    def place_before(self, line: int) -> tuple[Anchor, Cursor]:
        """Give the place from which a line can be read again, and where reading has come to."""
        with self._lock:
            return self._anchors.before(line), self.cursor

    def begin_preview(self, preview: EndPreview) -> None:
        """Show the log's end until all before it was read."""
        with self._lock:
            self._preview = preview
            self._drop_preview()
            self.version += 1

    @property
    def preview(self) -> tuple[EndPreview, float | None] | None:
        """The log's end while what is before it is being read, and how much of that is done."""
        preview, cursor = self._preview, self.cursor
        if preview is None:
            return None
        if isinstance(preview.end, int):
            return preview, (cursor if isinstance(cursor, int) else 0) / max(preview.end, 1)
        return preview, None

    def _drop_preview(self) -> None:
        """Let go of the log's end when it was read as what it is; the lock is held."""
        preview, cursor = self._preview, self.cursor
        if preview is None or cursor is None:
            return
        end = preview.end
        if isinstance(cursor, int) == isinstance(end, int) and _place(cursor) >= _place(end):
            self._preview = None

    def with_marks(self, part: LogPart) -> LogPart:
        """Note which lines of a part came from standard error."""
        end = part.first + len(part.lines)
        marked = [number - part.first for number in self.marks.stderr_between(part.first, end)]
        return replace(part, stderr=marked, stderr_total=self.marks.stderr_lines)

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
        store, marks = self._lines, self.marks
        error = marks.first_error
        if error is None and self._detail.phase == TaskPhase.FAILED:
            error = next(marks.stderr_between(0, store.total), None)
        held = 0 if self.rereadable else store.first
        open_line = self._terminal.open_line
        return self.with_marks(LogPart(first, lines, held, store.total, open_line, error=error))

    def _tail(self, count: int) -> list[str]:
        if self._preview is not None:
            return list(self._preview.lines[-count:])
        tail = self._lines.tail(count, 400_000)[1]
        return [*tail, self._terminal.open_line] if self._terminal.open_line else tail

    def _cause_lines(self) -> list[str]:
        """Give the lines that may tell why it failed; none while nothing has."""
        return self._tail(CAUSE_LINES) if self._detail.phase == TaskPhase.FAILED else []

    def _left_s(self) -> float | None:
        progress, detail = self._reader.progress, self._detail
        if progress is None or detail.finished:
            return None
        if progress.left_s is not None or detail.started_ms is None or progress.done <= 0:
            return progress.left_s
        spent_s = max(_now_ms() - detail.started_ms, 0) / 1000
        return spent_s * max(progress.total - progress.done, 0) / progress.done


def _place(cursor: Cursor) -> tuple[int, ...]:
    return tuple(cursor) if isinstance(cursor, list) else (cursor or 0,)


def _by_stream(event: Event) -> Iterator[tuple[str, bool]]:
    """Divide a piece of a log into what came from standard error and what did not."""
    at = 0
    for start, end in event.stderr:
        if start > at:
            yield event.text[at:start], False
        yield event.text[start:end], True
        at = end
    if at < len(event.text):
        yield event.text[at:], False


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
