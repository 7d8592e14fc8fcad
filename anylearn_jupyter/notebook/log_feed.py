"""What the log panel of a card's page asks for, and what it is answered.

From the page:

- ``lines``: the lines from `first` to `end`, or single `numbers`, which it shows and lacks;
- ``find``: where a `text` is in all of the log (`what` is ``search``), or the lines from standard
  error (``stderr``); `id` counts up, and an empty text ends it;
- ``chunk``: the log's bytes from a `cursor` on, to be saved; the answer has the next one.

What the kernel holds is answered by the sender thread; everything else is work for the background,
since it may have to be read from the server again. The answers are sent by the sender thread.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeGuard

from anylearn_jupyter.client.follow import Cursor
from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.errors import AnylearnError
from anylearn_jupyter.notebook.log_reader import Found, LogReader
from anylearn_jupyter.notebook.monitor import monitor
from anylearn_jupyter.notebook.task_view import EndPreview, LogPart, TaskView
from anylearn_jupyter.submit.task import TrainTask

MAX_MESSAGE = 256_000
"""Characters of lines or points in one message, about."""

_MAX_ASKED = 5_000
_MAX_PICKED = 200
_MAX_WANTED = 1_000
_AGAIN_S = 0.5
_SEARCHES = ("search", "stderr")


class Send(Protocol):
    """Gives a message to the page."""

    def __call__(self, content: object, buffers: list[bytes] | None = None) -> None:
        """Send it."""


@dataclass
class _Search:
    """What the page looks for, and how far that has come."""

    id: int
    text: str
    stderr: bool
    end: int = 0
    busy: bool = False
    looked_at: float = 0.0


class LogFeed:
    """What one card's page is given of the log because it asks.

    Parameters
    ----------
    send : callable
        Gives a message to the page; called by the sender thread alone.
    task : TrainTask
        Whose log.
    view : TaskView
        What the kernel knows of it.
    """

    def __init__(self, send: Send, task: TrainTask, view: TaskView) -> None:
        self._send = send
        self._view = view
        self._task = task
        self._reader = LogReader(task, view)
        self._searches: dict[str, _Search] = {}
        self._shown: EndPreview | None = None
        if view.detail.started_ms is not None and not view.line_total:
            self._background("preview", self._look_ahead)

    def asked(self, content: dict[str, Any]) -> None:
        """Take a message of the page; whoever calls. What cannot be understood is passed over."""
        kind = content.get("k")
        if kind == "lines":
            self._asked_lines(content)
        elif kind == "find":
            self._asked_find(content)
        elif kind == "chunk":
            cursor = content.get("cursor")
            if cursor is None or _is_number(cursor) or _is_position(cursor):
                self._background("chunk", functools.partial(self._send_chunk, cursor))

    # Lines by number.

    def _asked_lines(self, content: dict[str, Any]) -> None:
        first, end, numbers = content.get("first"), content.get("end"), content.get("numbers")
        if _is_number(first) and _is_number(end):
            end = min(end, first + _MAX_ASKED)
            if first >= self._view.held_from or not self._view.rereadable:
                monitor().ask(functools.partial(self._send_held, first, end))
            else:
                self._background("lines", functools.partial(self._send_read, first, end))
        elif isinstance(numbers, list) and all(map(_is_number, numbers[:_MAX_PICKED])):
            work = functools.partial(self._send_picked, numbers[:_MAX_PICKED])
            self._background("lines", work)

    def _send_held(self, first: int, end: int) -> None:
        part = self._view.lines_between(first, end, MAX_MESSAGE)
        self._send({"k": "lines", "log": log_json(part), "first": first, "end": end})

    def _send_read(self, first: int, end: int) -> None:
        part = self._reader.lines(first, end, MAX_MESSAGE)
        self._say({"k": "lines", "log": log_json(part), "first": first, "end": end})

    def _send_picked(self, numbers: list[int]) -> None:
        for part in self._reader.picked(numbers, MAX_MESSAGE):
            first, end = part.first, part.first + len(part.lines)
            self._say({"k": "lines", "log": log_json(part), "first": first, "end": end})

    # Searching.

    def _asked_find(self, content: dict[str, Any]) -> None:
        what, number, text = content.get("what"), content.get("id"), content.get("text")
        if what not in _SEARCHES or not _is_number(number) or not isinstance(text, str):
            return
        stderr = content.get("stderr") is True
        if not text and not stderr:
            self._searches.pop(what, None)
            return
        search = _Search(number, text[:_MAX_WANTED], stderr, busy=True)
        self._searches[what] = search
        self._background(what, functools.partial(self._find, what, search))

    def begin_again(self) -> None:
        """Forget what a page asked that has been loaded again; it asks anew."""
        self._searches.clear()
        self._shown = None

    def grown(self) -> float | None:
        """Search what has come since; tell after how many seconds to be called again."""
        due_s = None
        for what, search in list(self._searches.items()):
            if search.busy or search.end >= self._view.line_total:
                continue
            wait_s = search.looked_at + _AGAIN_S - time.monotonic()
            if wait_s > 0:
                due_s = wait_s if due_s is None else min(due_s, wait_s)
            else:
                search.busy = True
                self._background(what, functools.partial(self._find, what, search))
        return due_s

    def _find(self, what: str, search: _Search) -> None:
        told = time.monotonic()

        def go_on(number: int) -> bool:
            nonlocal told
            if time.monotonic() - told > _AGAIN_S:
                told = time.monotonic()
                share = number / max(self._view.line_total, 1)
                self._say({"k": "finding", "what": what, "id": search.id, "share": share})
            return self._searches.get(what) is search and not monitor().background.closed

        try:
            found = self._reader.find(
                search.text, stderr=search.stderr, start=search.end, go_on=go_on
            )
        finally:
            search.looked_at = time.monotonic()
            search.busy = False
        if found is not None:
            more = search.end > 0
            search.end = found.end
            self._say(_found_json(what, search.id, found, more=more))

    # Saving.

    def _send_chunk(self, cursor: Cursor) -> None:
        data, following, size = self._reader.chunk(cursor)
        answer = {"k": "chunk", "cursor": cursor, "next": following, "size": size}
        monitor().ask(lambda: self._send(answer, [data]))

    # The end of a long log, before all of it was read.

    def _look_ahead(self) -> None:
        found = self._reader.preview()
        if found is not None:
            self._view.begin_preview(found)
            monitor().ask(lambda: None)

    def preview(self) -> dict[str, Any] | None:
        """Give what a page shows instead of the log while that is being read: lines once."""
        known = self._view.preview
        if known is None:
            return None
        preview, share = known
        text = None if preview is self._shown else "\n".join(preview.lines)
        self._shown = preview
        return {"text": text, "share": share}

    # How it is done.

    def _background(self, kind: str, work: Callable[[], None]) -> None:
        monitor().background.do((id(self), kind), functools.partial(self._carefully, kind, work))

    def _carefully(self, kind: str, work: Callable[[], None]) -> None:
        """Do work for which a server is asked, and say it when that does not answer."""
        try:
            work()
        except AnylearnError as error:
            self._say({"k": "unread", "what": kind, "text": one_line(str(error))})

    def _say(self, content: dict[str, Any]) -> None:
        monitor().ask(lambda: self._send(content))


def log_json(part: LogPart) -> dict[str, Any]:
    """Give lines as the page takes them."""
    return {
        "first": part.first,
        "count": len(part.lines),
        "text": "\n".join(part.lines),
        "held": part.held,
        "total": part.total,
        "open": part.open_line,
        "stderr": part.stderr,
        "stderr_total": part.stderr_total,
        "error": part.error,
    }


def _found_json(what: str, number: int, found: Found, *, more: bool) -> dict[str, Any]:
    """Give what was found; of the numbers the first, and then how far apart they are."""
    steps, before = [], 0
    for one in found.numbers:
        steps.append(one - before)
        before = one
    return {
        "k": "found",
        "what": what,
        "id": number,
        "more": more,
        "steps": steps,
        "count": found.count,
        "end": found.end,
    }


def _is_number(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_position(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))
