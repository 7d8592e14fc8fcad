"""How long to wait before the next attempt."""

from __future__ import annotations

import email.utils
import random
import time

LONGEST_S = 5.0
"""Seconds that are never exceeded between two attempts of our own."""


def backoff_s(attempt: int) -> float:
    """Seconds after the n-th failed attempt, from 1: doubling, spread, at most `LONGEST_S`."""
    steps = min(attempt, 10)
    return min(0.25 * float(2**steps), LONGEST_S) * random.uniform(0.5, 1.0)


def retry_after_s(header: str | None) -> float | None:
    """Read ``Retry-After``, seconds or a date; None where there is none that can be read."""
    if header is None:
        return None
    try:
        return max(float(int(header)), 0.0)
    except (ValueError, OverflowError):
        pass
    try:
        return max(email.utils.parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None
