"""How long to wait before the next attempt."""

from __future__ import annotations

import email.utils
import random
import time

LONGEST_S = 5.0
"""Seconds that are never exceeded between two attempts of our own."""

_NEVER_S = 1e9


def backoff_s(attempt: int) -> float:
    """Seconds after the n-th failed attempt, from 1: doubling, spread, at most `LONGEST_S`."""
    steps = min(attempt, 10)
    return min(0.25 * float(2**steps), LONGEST_S) * random.uniform(0.5, 1.0)


def retry_after_s(header: str | None, date: str | None = None) -> float | None:
    """Read ``Retry-After``, seconds or a date; None where there is none that can be read.

    Parameters
    ----------
    header : str or None
        The reply's ``Retry-After``.
    date : str or None
        The reply's ``Date``: what the server's clock said, which need not be what ours says
        (faults, D15).
    """
    if header is None:
        return None
    try:
        return min(max(float(int(header)), 0.0), _NEVER_S)
    except (ValueError, OverflowError):
        pass
    until = _seconds_since_1970(header)
    if until is None:
        return None
    now = _seconds_since_1970(date)
    return min(max(until - (time.time() if now is None else now), 0.0), _NEVER_S)


def _seconds_since_1970(date: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(date or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
