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
_ordered: tuple[str, ...] = ()


def hide(*values: str | None) -> None:
    """Show these nowhere from now on; of a text with several lines, each line counts."""
    global _ordered, _patterns
    with _lock:
        known = len(_values)
        for value in values:
            lines = (value, *value.splitlines()) if value else ()
            _values.update(one.strip() for one in lines if len(one.strip()) >= MIN_CHARACTERS)
        if len(_values) > known:
            _ordered = tuple(sorted(_values, key=len, reverse=True))
            _patterns = (
                re.compile("|".join(map(re.escape, _ordered))),
                re.compile(b"|".join(re.escape(one.encode()) for one in _ordered)),
            )


def hide_tokens(*tokens: str | None) -> None:
    """Show these credentials nowhere; what is too short to be one may stand in a log."""
    hide(*(one for one in tokens if one and len(one) >= _TOKEN_CHARACTERS))


def without_hidden(text: str) -> str:
    """Write stars over what is not shown."""
    return text if _patterns is None else _patterns[0].sub(lambda found: _stars(found[0]), text)


def piece_without_hidden(text: str) -> tuple[str, str]:
    """Write stars over what is not shown in a text of which more may come.

    Parameters
    ----------
    text : str
        What waited of the pieces before, and the next one.

    Returns
    -------
    tuple of str
        What may be shown, and the end of the text as it is: it may be the beginning of what is not
        shown, so it waits for more (`without_hidden` when nothing comes).
    """
    if _patterns is None:
        return text, ""
    shown, at = [], 0
    while True:
        waits = _beginning(text, at)
        found = _patterns[0].search(text, at)
        # A value may be the beginning of a longer one.
        if found is None or found.start() >= waits:
            break
        shown += [text[at : found.start()], _stars(found[0])]
        at = found.end()
    return "".join([*shown, text[at:waits]]), text[waits:]


def _beginning(text: str, at: int) -> int:
    """Give where, from `at` on, the longest end begins with which a value begins, too."""
    first = len(text)
    for value in _ordered:
        begin = text.find(value[0], max(at, len(text) - len(value) + 1), first)
        while begin >= 0 and not value.startswith(text[begin:]):
            begin = text.find(value[0], begin + 1, first)
        if begin >= 0:
            first = begin
    return first


def bytes_without_hidden(data: bytes) -> bytes:
    """Write stars over what is not shown; as many as it had bytes, so that offsets stay true."""
    if _patterns is None:
        return data
    return _patterns[1].sub(lambda found: b"*" * len(found[0]), data)


def _stars(text: str) -> str:
    return "*" * len(text.encode())
