"""Values that no view shows: this process's own credentials, and the secrets that it has sent.

A server hides a task's secrets in its log if it can. What is hidden here is hidden whatever the
server does, in each log that this process reads (faults, F5).
"""

from __future__ import annotations

import re
import threading

MIN_CHARACTERS = 4
"""Shortest text that is hidden: a shorter one stands in every log by chance."""

_TOKEN_CHARACTERS = 16
_lock = threading.Lock()
_values: set[str] = set()
_patterns: tuple[re.Pattern[str], re.Pattern[bytes]] | None = None


def hide(*values: str | None) -> None:
    """Show these nowhere from now on; of a text with several lines, each line counts."""
    global _patterns
    with _lock:
        known = len(_values)
        for value in values:
            lines = (value, *value.splitlines()) if value else ()
            _values.update(one.strip() for one in lines if len(one.strip()) >= MIN_CHARACTERS)
        if len(_values) > known:
            ordered = sorted(_values, key=len, reverse=True)
            _patterns = (
                re.compile("|".join(map(re.escape, ordered))),
                re.compile(b"|".join(re.escape(one.encode()) for one in ordered)),
            )


def hide_tokens(*tokens: str | None) -> None:
    """Show these credentials nowhere; what is too short to be one may stand in a log."""
    hide(*(one for one in tokens if one and len(one) >= _TOKEN_CHARACTERS))


def without_hidden(text: str) -> str:
    """Write stars over what is not shown."""
    return text if _patterns is None else _patterns[0].sub(lambda found: _stars(found[0]), text)


def bytes_without_hidden(data: bytes) -> bytes:
    """Write stars over what is not shown; as many as it had bytes, so that offsets stay true."""
    if _patterns is None:
        return data
    return _patterns[1].sub(lambda found: b"*" * len(found[0]), data)


def _stars(text: str) -> str:
    return "*" * len(text.encode())
