"""Durations as people write them: ``2h``, ``1h30m``, ``45 s``."""

from __future__ import annotations

import re

from anylearn_jupyter.errors import OptionError

_SECONDS = {
    "s": 1,
    "sec": 1,
    "m": 60,
    "min": 60,
    "h": 3600,
    "d": 86_400,
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
_WRITTEN = (("d", 86_400), ("h", 3600), ("m", 60))


def read_duration(text: str, option: str) -> float:
    """Read a duration; units are s, m (or min), h and d.

    Parameters
    ----------
    option : str
        Where it was given, for errors.

    Returns
    -------
    float
        Seconds, above 0.

    Raises
    ------
    OptionError
        It is none. A bare number is none either, as nobody could tell its unit.

    Examples
    --------
    >>> read_duration("1h30m", "--timeout")
    5400.0
    """
    found, at = 0.0, 0
    lowered = text.lower()
    while at < len(lowered):
        part = _PART.match(lowered, at)
        if part is None or part[2] not in _SECONDS:
            break
        found += float(part[1]) * _SECONDS[part[2]]
        at = part.end()
    if at < len(lowered) or not found:
        hint = f"; did you mean {text}m or {text}s?" if text.strip().isdigit() else "."
        raise OptionError(f"{option} {text!r} is no duration; write 90s, 45m, 2h or 1h30m{hint}")
    return found


def duration_word(seconds: float) -> str:
    """Write a duration so that `read_duration` gives it back.

    Examples
    --------
    >>> duration_word(5400), duration_word(0.5)
    ('1h30m', '0.5s')
    """
    left, parts = seconds, []
    for unit, size in _WRITTEN:
        count = int(left // size)
        if count:
            parts.append(f"{count}{unit}")
            left -= count * size
    if left or not parts:
        parts.append(f"{left!r}s".replace(".0s", "s"))
    return "".join(parts)
