"""A limit for a wait: an event that is set when the time is up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def time_limit(timeout_s: float | None) -> Iterator[threading.Event]:
    """Give an event that is set when the time is up, and when the block ends.

    Parameters
    ----------
    timeout_s : float or None
        Seconds; None for no limit.
    """
    up = threading.Event()
    timer = threading.Timer(timeout_s, up.set) if timeout_s is not None else None
    if timer is not None:
        timer.daemon = True
        timer.start()
    try:
        yield up
    finally:
        up.set()
        if timer is not None:
            timer.cancel()
