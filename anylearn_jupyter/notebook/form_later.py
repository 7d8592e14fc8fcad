"""Work that a form does beside what is typed: the newest of each kind, after a pause."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_logger = logging.getLogger(__name__)


class Later:
    """Runs jobs in a thread of its own, which ends when there is none.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: dict[str, tuple[float, Callable[[], None]]] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def soon(self, key: str, job: Callable[[], None], after_s: float = 0.0) -> None:
        """Run a job after a pause; one of the same key that has not begun is forgotten."""
        with self._changed:
            self._jobs[key] = (time.monotonic() + after_s, job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        """Run jobs as they are due; the top of a thread."""
        while True:
            job = self._next()
            if job is None:
                return
            try:
                job()
            except Exception:
                # What a job expects to go wrong it says itself; this is a fault of ours.
                _logger.exception("a form could not be brought up to date")

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while self._jobs:
                key = min(self._jobs, key=lambda one: self._jobs[one][0])
                due, job = self._jobs[key]
                wait_s = due - time.monotonic()
                if wait_s <= 0:
                    del self._jobs[key]
                    return job
                self._changed.wait(wait_s)
            self._thread = None
            return None
