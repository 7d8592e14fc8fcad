"""What happens to tasks, as it happens: the lines of ``POST /api/events`` (docs/protocol.md).

A stream sleeps until a task it follows has changed its phase or its log has grown, and then sends
all that is new in one write. The next write waits until the client has taken the last one, so a
slow client costs no memory, and what was written meanwhile is sent together.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from anylearn_jupyter.engine.store import Store, TaskRow
from anylearn_jupyter.engine.task_files import TaskFiles
from anylearn_jupyter.engine.task_json import task_json
from anylearn_jupyter.engine.task_log import TaskLog
from anylearn_jupyter.engine.watcher import Watch, Watcher
from anylearn_jupyter.entities import TaskPhase

MAX_PIECE_BYTES = 262_144
"""Most bytes of a log in one event."""

PING_S = 10.0
"""Seconds of silence after which a ping is sent."""

FEW_WAITING = 16
"""Waiting tasks of a stream whose places are told at each change; of more, only now and then."""

QUEUE_PACE_S = 2.0
"""Seconds between two looks at the places of more than a few waiting tasks."""

_PACE_S = 0.04
_PIECES_AT_ONCE = 4


class _Followed:
    """One task of a stream."""

    def __init__(self, files: TaskFiles, cursor: int) -> None:
        self.files = files
        self.log = TaskLog(files)
        self.cursor = cursor
        self.watch: Watch | None = None
        self.said: tuple[TaskPhase, int | None] | None = None
        self.ended = False


class EventStream:
    """The events of some tasks, for one client.

    Parameters
    ----------
    store : Store
        Tells of phases.
    watcher : Watcher
        Tells of logs.
    tasks : Path
        The directory of all tasks' directories.
    cursors : dict of str to int
        The tasks, and up to which byte of its log the client has each.
    user_id : str
        Whose tasks; another's are as if they did not exist.
    ping_s : float, default 10
        Seconds of silence after which a ping is sent.
    """

    def __init__(
        self,
        store: Store,
        watcher: Watcher,
        tasks: Path,
        *,
        cursors: dict[str, int],
        user_id: str,
        ping_s: float = PING_S,
    ) -> None:
        self._store = store
        self._watcher = watcher
        self._tasks = tasks
        self._cursors = cursors
        self._user_id = user_id
        self._ping_s = ping_s
        self._followed: dict[str, _Followed] = {}
        self._due: set[str] = set()
        self._wake = asyncio.Event()
        self._closed = False
        self._seq = 0
        self._read_bytes = 0
        self._queue_moved = False
        self._queue_at = 0.0

    def close(self) -> None:
        """End the stream, from whatever waits in it."""
        self._closed = True
        self._wake.set()

    async def lines(self) -> AsyncGenerator[bytes, None]:
        """Give whole lines, until all tasks have ended or the stream is closed."""
        forget = self._store.on_task_change(self._on_task_change)
        try:
            first = b"".join(self._begin())
            if first:
                yield first
            while not self._closed:
                read_before = self._read_bytes
                news = b"".join(self._advance())
                if news:
                    yield news
                if not self._followed:
                    return
                if self._read_bytes > read_before and not self._due:
                    # What a task prints within a moment goes together; its first line, which comes
                    # right after its states, does not wait.
                    await asyncio.sleep(_PACE_S)
                elif not news and not await self._news():
                    yield self._line(None, "ping", {})
        finally:
            forget()
            for followed in self._followed.values():
                if followed.watch is not None:
                    followed.watch.close()

    async def _news(self) -> bool:
        if not self._due and not self._closed:
            self._wake.clear()
            pause_s = self._ping_s
            if self._queue_moved:
                pause_s = min(pause_s, max(self._queue_at - time.monotonic(), 0))
            try:
                await asyncio.wait_for(self._wake.wait(), pause_s)
            except TimeoutError:
                return self._queue_moved
        return True

    def _begin(self) -> list[bytes]:
        gone = []
        for task_id, cursor in self._cursors.items():
            task = self._store.task(task_id)
            if task is None or task.creator_id != self._user_id:
                gone.append(self._line(task_id, "gone", {}))
                continue
            followed = _Followed(TaskFiles.of(self._tasks, task_id), cursor)
            self._followed[task_id] = followed
            if not task.finished:
                self._watch(task_id, followed)
            self._due.add(task_id)
        return gone

    def _watch(self, task_id: str, followed: _Followed) -> None:
        """Be told of the log, as soon as the task has a directory."""
        if followed.watch is None and followed.files.root.is_dir():
            followed.watch = self._watcher.log(followed.files, lambda: self._set_due(task_id))

    def _set_due(self, task_id: str) -> None:
        self._due.add(task_id)
        self._wake.set()

    def _on_task_change(self, task: TaskRow) -> None:
        self._queue_moved = True
        if task.id in self._followed:
            self._set_due(task.id)
        self._wake.set()

    def _look_at_queue(self) -> None:
        """Make those due who wait and have another place now.

        Where a thousand wait, each start moves all of them, which nobody could read: then a place
        is told when it is near the front, or when a quarter of those before it have gone.
        """
        if not self._queue_moved or time.monotonic() < self._queue_at:
            return
        self._queue_moved = False
        waiting = {
            task_id: followed.said[1]
            for task_id, followed in self._followed.items()
            if followed.said is not None and followed.said[0] is TaskPhase.QUEUED
        }
        if len(waiting) <= FEW_WAITING:
            self._due |= waiting.keys()
            return
        self._queue_at = time.monotonic() + QUEUE_PACE_S
        places = self._store.queue_places()
        for task_id, told in waiting.items():
            now = places.get(task_id)
            if (
                now is None
                or told is None
                or (now != told and now <= max(FEW_WAITING, told * 0.75))
            ):
                self._due.add(task_id)

    def _advance(self) -> list[bytes]:
        """Give what is new of each task that may have something."""
        self._look_at_queue()
        due, self._due = self._due, set()
        found: list[bytes] = []
        for task_id in sorted(due & self._followed.keys()):
            followed = self._followed[task_id]
            found += self._advance_one(task_id, followed)
            if followed.ended:
                if followed.watch is not None:
                    followed.watch.close()
                del self._followed[task_id]
        return found

    def _advance_one(self, task_id: str, followed: _Followed) -> list[bytes]:
        # The phase first: when it is final, the log that is read after it is whole.
        task = self._store.task(task_id)
        if task is None:
            followed.ended = True
            return [self._line(task_id, "gone", {})]
        if not task.finished:
            self._watch(task_id, followed)
        lines = []
        if followed.said is None or not task.finished:
            lines += self._state(task, followed)
        for _ in range(_PIECES_AT_ONCE):
            piece = self._piece(task, followed)
            if piece is None:
                break
            lines.append(piece)
        else:
            self._due.add(task_id)
            return lines
        if task.finished:
            lines += [*self._state(task, followed), self._line(task_id, "end", {})]
            followed.ended = True
        return lines

    def _state(self, task: TaskRow, followed: _Followed) -> list[bytes]:
        now = (task.phase, self._store.queue_position(task))
        if now == followed.said:
            return []
        followed.said = now
        data = task_json(task, self._store, self._tasks, secret=False)
        return [self._line(task.id, "state", data)]

    def _piece(self, task: TaskRow, followed: _Followed) -> bytes | None:
        start = followed.cursor
        size = followed.log.size()
        data = followed.log.read(start, min(size, start + MAX_PIECE_BYTES))
        if not (task.finished and start + len(data) >= size):
            data = data[: whole_characters(data)]
        if not data:
            return None
        followed.cursor = start + len(data)
        self._read_bytes += len(data)
        text = data.decode("utf-8", errors="replace")
        body: dict[str, Any] = {"offset": start, "next": followed.cursor, "text": text}
        marked = followed.log.stderr_ranges(start, followed.cursor)
        if marked:
            body["stderr"] = _in_characters(marked, data, start)
        return self._line(task.id, "log", body, ms=followed.log.time_at(followed.cursor - 1))

    def _line(
        self, task_id: str | None, kind: str, data: dict[str, Any], ms: int | None = None
    ) -> bytes:
        self._seq += 1
        now = ms if ms else time.time_ns() // 1_000_000
        event = {"seq": self._seq, "task": task_id, "kind": kind, "ms": now, "data": data}
        return json.dumps(event, ensure_ascii=False).encode() + b"\n"


def whole_characters(data: bytes) -> int:
    """Tell how many of these bytes there are before a last character that is not whole yet."""
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte & 0xC0 == 0x80:
            continue  # inside a character
        wanted = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return len(data) - back if byte < 0xF8 and wanted > back else len(data)
    return len(data)


def _in_characters(ranges: list[tuple[int, int]], data: bytes, start: int) -> list[list[int]]:
    """Turn ranges of a log's bytes into ranges of the characters that `data` decodes to."""
    if data.isascii():
        return [[begin - start, end - start] for begin, end in ranges]
    found = []
    at, characters = 0, 0
    for pair in ranges:
        places = []
        for offset in pair:
            characters += len(data[at : offset - start].decode("utf-8", errors="replace"))
            at = offset - start
            places.append(characters)
        found.append(places)
    return found


def cursors_of(given: dict[str, Any], is_task: Callable[[str], bool]) -> dict[str, int]:
    """Check the cursors that a client sent.

    Raises
    ------
    ValueError
        One is no id of a task, or no byte offset.
    """
    cursors = {}
    for task_id, cursor in given.items():
        if not is_task(task_id):
            raise ValueError(f"{task_id[:40]!r} is no task's id")
        if isinstance(cursor, bool) or not isinstance(cursor, int) or cursor < 0:
            raise ValueError(f"the cursor of {task_id} is no byte offset")
        cursors[task_id] = cursor
    return cursors
