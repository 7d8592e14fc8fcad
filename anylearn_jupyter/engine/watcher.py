"""Being told when a task's files change, on the engine's event loop.

On Linux one inotify queue serves the whole engine and an idle engine does nothing; elsewhere, and
where the user's inotify instances are used up, the files are looked at 20 times a second while
somebody watches.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tornado.ioloop import IOLoop, PeriodicCallback

from anylearn_jupyter.engine import linux
from anylearn_jupyter.engine.task_files import TaskFiles

_POLL_MS = 50
# One mask for a directory, whoever watches it: inotify has one watch a file.
_PUT_IN_PLACE = linux.IN_MOVED_TO | linux.IN_CREATE


class Watch:
    """A callback's registration; `close` ends it."""

    def __init__(self, close: Callable[[], None]) -> None:
        self._close: Callable[[], None] | None = close

    def close(self) -> None:
        """Stop calling; a second time does nothing."""
        close, self._close = self._close, None
        if close is not None:
            close()


class Watcher:
    """Calls back when a file changes.

    Everything here belongs to the thread of `loop`; callbacks come on it, once for any number of
    changes that were noticed together. A callback may come without a change.

    Parameters
    ----------
    loop : IOLoop
        The engine's.
    poll : bool, default False
        Look at the files instead of being told, also on Linux.
    """

    def __init__(self, loop: IOLoop, *, poll: bool = False) -> None:
        self._loop = loop
        self._callbacks: dict[int, dict[object, Callable[[], None]]] = {}
        self._polls: set[PeriodicCallback] = set()
        self._inotify: linux.Inotify | None = None
        if sys.platform == "linux" and not poll:
            try:
                self._inotify = linux.Inotify()
            except OSError:
                return  # the user's instances are used up, so we look
            loop.add_handler(self._inotify.fileno(), self._on_events, IOLoop.READ)

    def log(self, files: TaskFiles, callback: Callable[[], None]) -> Watch:
        """Call when a task's log has grown, been made, or its task's directory has changed."""
        if self._inotify is None:
            return self._look(files.log, files.root, callback)
        on_log: list[Watch] = []

        def follow() -> None:
            # The log need not be there yet; it is made in the directory that is watched.
            if not on_log and files.log.exists():
                on_log.append(self._tell(files.log, linux.IN_MODIFY, callback))

        def on_change() -> None:
            follow()
            callback()

        on_directory = self._tell(files.root, _PUT_IN_PLACE, on_change)
        follow()

        def close() -> None:
            for watch in (on_directory, *on_log):
                watch.close()

        return Watch(close)

    def records(self, files: TaskFiles, callback: Callable[[], None]) -> Watch:
        """Call when a record was put in place in a task's directory."""
        if self._inotify is None:
            return self._look(files.root, files.root, callback)
        return self._tell(files.root, _PUT_IN_PLACE, callback)

    def close(self) -> None:
        """End every watch."""
        for poll in self._polls:
            poll.stop()
        self._polls.clear()
        self._callbacks.clear()
        if self._inotify is not None:
            self._loop.remove_handler(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None

    def _tell(self, path: Path, mask: int, callback: Callable[[], None]) -> Watch:
        inotify = self._inotify
        if inotify is None:
            raise RuntimeError("the watcher is closed")
        try:
            number = inotify.add(path, mask)
        except OSError:
            # The user's watches are used up, or the file has just gone: looking serves for both.
            return self._look(path, path, callback)
        key = object()
        self._callbacks.setdefault(number, {})[key] = callback

        def close() -> None:
            waiting = self._callbacks.get(number)
            if waiting is not None and waiting.pop(key, None) is not None and not waiting:
                del self._callbacks[number]
                if self._inotify is not None:
                    self._inotify.remove(number)

        return Watch(close)

    def _on_events(self, *_: object) -> None:
        if self._inotify is None:
            return
        wanted: dict[object, Callable[[], None]] = {}
        for number, mask in self._inotify.read():
            if mask & linux.IN_Q_OVERFLOW:
                for waiting in self._callbacks.values():
                    wanted |= waiting
            else:
                wanted |= self._callbacks.get(number, {})
                if mask & linux.IN_IGNORED:
                    self._callbacks.pop(number, None)
        for callback in wanted.values():
            callback()

    def _look(self, path: Path, also: Path, callback: Callable[[], None]) -> Watch:
        def state() -> tuple[object, ...]:
            found: list[object] = []
            for one in (path, also):
                try:
                    facts = one.stat()
                except OSError:
                    found.append(None)
                else:
                    found.append((facts.st_size, facts.st_mtime_ns))
            return tuple(found)

        known = state()

        def look() -> None:
            nonlocal known
            now = state()
            if now != known:
                known = now
                callback()

        poll = PeriodicCallback(look, _POLL_MS)
        poll.start()
        self._polls.add(poll)

        def close() -> None:
            poll.stop()
            self._polls.discard(poll)

        return Watch(close)
