"""Asking a server several things at once, so that a slow line costs one round trip and not ten."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

_MOST_AT_ONCE = 8


def at_once(calls: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """Make calls at the same time, each in a thread, and give what each returned.

    Parameters
    ----------
    calls : Mapping
        Name to a function without arguments. A single one is made in this thread.

    Returns
    -------
    dict
        Name to result.

    Raises
    ------
    Exception
        What the first of the calls, in their order, raised; all have ended by then. An interrupt
        does not wait for them: each ends by its own time limit.
    """
    if len(calls) <= 1:
        return {name: call() for name, call in calls.items()}
    executor = ThreadPoolExecutor(min(len(calls), _MOST_AT_ONCE), "anylearn-ask")
    try:
        futures = {name: executor.submit(call) for name, call in calls.items()}
        wait(futures.values())
        return {name: future.result() for name, future in futures.items()}
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
