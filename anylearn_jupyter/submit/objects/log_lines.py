"""A log as the published calls give it: lines with the time at which each came."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from anylearn_jupyter.client.api import LogLine

PLATFORM_LINE = "[Anylearn]"
"""What a line begins with that is the platform's, not the task's own (HTTP API, section 9.4)."""


class LogLines(list[str]):
    """The lines of a log, a list as published; ``in`` looks for a text within the lines.

    Examples
    --------
    >>> "trained" in LogLines(["[2026-01-01 00:00:00+00:00] trained for 3"])
    True
    """

    def __contains__(self, text: object) -> bool:
        """Whether a line holds this text."""
        return isinstance(text, str) and any(text in line for line in self)


def shown(lines: Iterable[LogLine], *, debug: bool) -> LogLines:
    """Write lines as published clients show them: ``[local time] text``.

    Parameters
    ----------
    debug : bool
        The platform's own lines too.
    """
    return LogLines(
        f"[{_local_time(line.offset_ms)}] {line.text}"
        for line in lines
        if line.text.strip() and (debug or not line.text.startswith(PLATFORM_LINE))
    )


def _local_time(offset_ms: int) -> str:
    seconds, thousandths = divmod(offset_ms, 1000)
    # Divided as a whole number, so that a time is written without the noise of a fraction.
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=thousandths * 1000)
    return str(moment.astimezone())
