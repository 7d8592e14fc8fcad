"""Following tasks: their states and logs, in order, without a gap or a repeat.

One generator for all tasks that a reader watches. It reads the server's stream of events where
there is one (docs/protocol.md, ``events``), and asks the published way elsewhere: the task, then
pages of its log, with a pause between rounds. It never gives up: a server that does not answer is
`trouble`, told and tried again, from where the reader is (`Cursor`); the connection is asked for
anew each time, so an engine that was started again on another port is found.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from anylearn_jupyter.client.api import Api, LogLine
from anylearn_jupyter.client.api.tasks import LOG_START, task_detail
from anylearn_jupyter.client.connection import Connection
from anylearn_jupyter.client.decoding import an_object, integer, text
from anylearn_jupyter.client.forms import FORM_TYPE, encode_form
from anylearn_jupyter.client.hidden import piece_without_hidden, without_hidden
from anylearn_jupyter.client.pace import backoff_s
from anylearn_jupyter.client.replies import one_line, read_json
from anylearn_jupyter.client.wire import Stopped
from anylearn_jupyter.entities import TaskDetail
from anylearn_jupyter.errors import AnylearnError, NotFound, ServerUnreachable, UnexpectedAnswer

Cursor = int | list[int] | None
"""Where a reader is in a log; kept as it is, JSON as it is, and not to be computed with.

A byte offset on servers with ``events``; milliseconds and index of the last line elsewhere.
"""

START: Cursor = None
"""The beginning of a log."""

SILENCE_S = 30.0
"""Seconds without a byte after which a stream is dead; the server speaks every 10 s."""

POLL_S = 2.0
"""Seconds between two rounds of the published way."""

PAGE_LINES = 1_000
"""Lines of a log that are asked for at once."""

_PAGES_A_ROUND = 20
_PLATFORM_LINE = "[Anylearn]"


@dataclass(frozen=True)
class Event:
    """Something that happened to a task.

    Attributes
    ----------
    task_id : str
        Which task; empty for ``trouble``, which concerns all of them.
    kind : str
        ``state`` (`detail` has it), ``log`` (`text`), ``end`` (final, and all of its log was
        given), ``gone`` (the server has no such task), ``trouble`` (`text` is a sentence).
    detail : TaskDetail or None
        For ``state``.
    text : str
        For ``log``, ending with a whole character and not always with a whole line.
    cursor : Cursor
        Where to go on after this event.
    stderr : tuple of (int, int)
        For ``log``: which characters of `text` came from standard error, where the server tells.
    """

    task_id: str
    kind: str
    detail: TaskDetail | None = None
    text: str = ""
    cursor: Cursor = START
    stderr: tuple[tuple[int, int], ...] = ()


def follow(
    connection: Callable[[], Connection], cursors: dict[str, Cursor], *, stop: threading.Event
) -> Iterator[Event]:
    """Give what happens to tasks, as it happens.

    Parameters
    ----------
    connection : callable
        Gives a live connection; called again after each trouble.
    cursors : dict
        Task id to where to begin; `START` for the beginning. Not changed.
    stop : threading.Event
        Setting it ends the iteration within a second, also while nothing happens.

    Yields
    ------
    Event
        Until every task has had ``end`` or ``gone``, or `stop` is set. After a trouble the next
        event of another kind says that it is over.

    Notes
    -----
    Source: docs/protocol.md, ``events``; HTTP API, section 9.4.
    """
    return _Follower(cursors, stop).events(connection)


@dataclass(frozen=True)
class _Waiting:
    """The end of what a stream has sent of a log, which may be the beginning of a hidden value.

    It is not behind the reader's cursor: a stream that begins anew sends it again.
    """

    text: str = ""
    stderr: list[tuple[int, int]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return len(self.text.encode())


class _Follower:
    """Where one reader is in the logs of its tasks."""

    def __init__(self, cursors: dict[str, Cursor], stop: threading.Event) -> None:
        self._cursors = dict(cursors)
        self._stop = stop
        self._waiting: dict[str, _Waiting] = {}

    def events(self, connection: Callable[[], Connection]) -> Iterator[Event]:
        """Read until everything has ended, and begin again after each trouble."""
        attempt = 0
        answered_at = time.monotonic()
        while self._cursors and not self._stop.is_set():
            try:
                connected = connection()
                for event in self._from(connected):
                    attempt = 0
                    yield event
                    answered_at = time.monotonic()
            except Stopped:
                return
            except AnylearnError as error:
                attempt += 1
                silent_s = time.monotonic() - answered_at
                reason = one_line(str(error).split("\n", 1)[0])
                yield Event(
                    "", "trouble", text=f"no answer since {silent_s:.0f} s, trying again: {reason}"
                )
                self._stop.wait(backoff_s(attempt))

    def _from(self, connection: Connection) -> Iterator[Event]:
        """Read in the way that this server knows."""
        if "events" in connection.api.features:
            return self._streamed(connection.api)
        return self._polled(connection.api.once())

    # A server with the feature `events`.

    def _streamed(self, api: Api) -> Iterator[Event]:
        """Read one stream until it ends or breaks."""
        cursors = {task_id: self._byte_offset(task_id) for task_id in self._cursors}
        self._waiting.clear()
        with api.http.stream(
            "POST",
            "events",
            data=encode_form({"cursors": json.dumps(cursors)}),
            headers={"Content-Type": FORM_TYPE},
            silence_s=SILENCE_S,
            stop=self._stop,
        ) as stream:
            for line in stream.lines():
                if line.strip():
                    yield from self._understood(line)
                if not self._cursors:
                    return
        raise ServerUnreachable(f"{api.http.address} ended the stream of events.")

    def _byte_offset(self, task_id: str) -> int:
        cursor = self._cursors[task_id]
        if isinstance(cursor, list):
            raise ValueError(f"the cursor of {task_id} is from a server without events: {cursor!r}")
        return cursor or 0

    def _understood(self, line: bytes) -> Iterator[Event]:
        """Turn a line of the stream into events: none for a ping and for unknown kinds."""
        what = "POST events"
        try:
            message = an_object(read_json(line), what)
        except (ValueError, RecursionError) as error:
            raise UnexpectedAnswer(f"The answer to {what} has a line that is no JSON.") from error
        kind = message.get("kind")
        task_id = message.get("task")
        if task_id not in self._cursors or kind not in ("state", "log", "end", "gone"):
            return
        data: dict[str, Any] = an_object(message.get("data") or {}, what)
        if kind == "state":
            detail = task_detail(data, what)
            yield Event(task_id, kind, detail=detail, cursor=self._cursors[task_id])
        elif kind == "log":
            yield self._log_event(task_id, data)
        else:
            waiting = self._waiting.pop(task_id, None)
            if waiting is not None and waiting.text:
                self._cursors[task_id] = self._byte_offset(task_id) + waiting.bytes
                yield self._event(task_id, without_hidden(waiting.text), waiting.stderr)
            yield Event(task_id, kind, cursor=self._cursors.pop(task_id))

    def _log_event(self, task_id: str, data: dict[str, Any]) -> Event:
        """Take a piece of a log, if it goes on exactly where the reader is."""
        what = "POST events"
        begins, ends = integer(data, "offset", what), integer(data, "next", what)
        waiting = self._waiting.get(task_id, _Waiting())
        expected = self._byte_offset(task_id) + waiting.bytes
        if begins != expected or ends < begins:
            raise UnexpectedAnswer(
                f"The stream of {task_id} goes on at byte {begins} instead of {expected}."
            )
        piece = text(data, "text", what) if ends > begins else ""
        shown, rest = piece_without_hidden(waiting.text + piece)
        before, at = len(waiting.text), len(waiting.text) + len(piece) - len(rest)
        marked = [
            *waiting.stderr,
            *((a + before, b + before) for a, b in _ranges(data.get("stderr"), len(piece))),
        ]
        waiting = _Waiting(rest, [(max(a, at) - at, b - at) for a, b in marked if b > at])
        # Last, so that a piece that cannot be read is asked for again.
        self._waiting[task_id] = waiting
        self._cursors[task_id] = ends - waiting.bytes
        return self._event(task_id, shown, [(a, min(b, at)) for a, b in marked if a < at])

    def _event(self, task_id: str, words: str, marked: list[tuple[int, int]]) -> Event:
        cursor = self._cursors[task_id]
        return Event(task_id, "log", text=words, cursor=cursor, stderr=tuple(marked))

    # The published way.

    def _polled(self, api: Api) -> Iterator[Event]:
        """Ask for every task in turn, with a pause between the rounds."""
        last: dict[str, TaskDetail] = {}
        while self._cursors and not self._stop.is_set():
            behind = False
            for task_id in list(self._cursors):
                behind |= yield from self._asked(api, task_id, last)
                if self._stop.is_set():
                    return
            if self._cursors and not behind:
                self._stop.wait(POLL_S)

    def _asked(
        self, api: Api, task_id: str, last: dict[str, TaskDetail]
    ) -> Generator[Event, None, bool]:
        """Ask once for a task's state and its log; tell whether the log has more already."""
        try:
            detail = api.task(task_id)
        except NotFound:
            yield Event(task_id, "gone", cursor=self._cursors.pop(task_id))
            return False
        if detail != last.get(task_id):
            last[task_id] = detail
            yield Event(task_id, "state", detail=detail, cursor=self._cursors[task_id])
        # All lines are readable before the state turns final, so a log read after that is whole.
        limit = None if detail.finished else _PAGES_A_ROUND
        behind = yield from self._log_pages(api, task_id, limit)
        if detail.finished and not self._stop.is_set():
            yield Event(task_id, "end", cursor=self._cursors.pop(task_id))
        return behind

    def _log_pages(self, api: Api, task_id: str, limit: int | None) -> Generator[Event, None, bool]:
        """Read pages until an empty one, or, so that other tasks get their turn, to the limit."""
        pages = 0
        while not self._stop.is_set() and (limit is None or pages < limit):
            after = self._line_position(task_id)
            page = api.log_page(task_id, direction="back", limit=PAGE_LINES, after=after)
            if not page:
                return False
            if page[-1].position <= after:
                raise UnexpectedAnswer(f"The log of {task_id} does not go on after {after}.")
            pages += 1
            cursor = list(page[-1].position)
            self._cursors[task_id] = cursor
            words = text_of_page(page)
            if words:
                yield Event(task_id, "log", text=words, cursor=cursor)
        return True

    def _line_position(self, task_id: str) -> tuple[int, int]:
        cursor = self._cursors[task_id]
        if cursor is None:
            return LOG_START
        if isinstance(cursor, int):
            raise ValueError(f"the cursor of {task_id} is from a server with events: {cursor!r}")
        return cursor[0], cursor[1]


def text_of_page(page: Iterable[LogLine]) -> str:
    """Give the task's own lines of a page of the published call, each with its end."""
    return "".join(f"{line.text}\n" for line in page if not line.text.startswith(_PLATFORM_LINE))


def _ranges(given: Any, length: int) -> tuple[tuple[int, int], ...]:
    """Read increasing ranges of characters; what is no such range tells nothing and is left out."""
    found: list[tuple[int, int]] = []
    at = 0
    for pair in given if isinstance(given, list) else []:
        if not isinstance(pair, list) or len(pair) != 2:
            continue
        start, end = pair
        if isinstance(start, int) and isinstance(end, int) and at <= start < end <= length:
            found.append((start, end))
            at = end
    return tuple(found)
