"""Work for views that may wait for the network: a thread for each kind of it, while there is some.

Of each kind only the newest is done: who scrolls on does not wait for the places passed by.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable

_logger = logging.getLogger(__name__)


class Background:
    """Threads that end when there is nothing to do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, Callable[[], None] | None] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether it takes no more work; what runs on should end."""
        return self._closed

    def do(self, kind: Hashable, work: Callable[[], None]) -> None:
        """Do something after what is being done of this kind, instead of what still waits."""
        with self._lock:
            if self._closed:
                return
            busy = kind in self._waiting
            self._waiting[kind] = work
        if not busy:
            name = "anylearn-background"
            threading.Thread(target=self._work, args=(kind,), name=name, daemon=True).start()

    def close(self) -> None:
        """Drop what waits; what runs is not waited for, as it may be waiting for a server."""
        with self._lock:
            self._closed = True

    def _work(self, kind: Hashable) -> None:
        """Do what there is of one kind; the top of a thread."""
        while True:
            with self._lock:
                work = self._waiting[kind]
                if work is None or self._closed:
                    del self._waiting[kind]
                    return
                self._waiting[kind] = None
            try:
                work()
            except Exception:
                _logger.exception("what a view asked for could not be done")
