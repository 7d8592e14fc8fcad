"""How long a task may run, and how often it is started again where it fails.

The shim keeps both, so they hold whatever becomes of the engine (docs/protocol.md,
``supervision``). The limit is for the task, all its attempts together: one that has run over its
time is not started again. Neither is one that was stopped, nor one that could not be started.

The shim imports this module, once a task, so it imports nothing heavy.
"""

from __future__ import annotations

import os
import signal
import time

MAX_RETRIES = 100
"""Most times that a task is started again."""

MAX_TIMEOUT_S = 10 * 366 * 86_400
"""Longest limit, in seconds."""

ATTEMPT_VARIABLE = "ANYLEARN_TASK_ATTEMPT"
"""The variable that tells a task how often it has been started, 1 at first.

Only one that may be started again has it.
"""

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))


class Attempts:
    """What is allowed to a task, and what of it is used up.

    Parameters
    ----------
    launch : dict
        Its launch record; without the two keys there is no limit and no second attempt.

    Attributes
    ----------
    number : int
        Which attempt runs, or ran last; 0 before the first.
    timed_out : bool
        Whether the time was up while it ran.
    """

    def __init__(self, launch: dict[str, object]) -> None:
        timeout_s, retries = launch.get("timeout_s"), launch.get("retries")
        self._timeout_s = float(timeout_s) if isinstance(timeout_s, (int, float)) else None
        self._retries = retries if isinstance(retries, int) else 0
        self._up_at: float | None = None
        self.number = 0
        self.timed_out = False

    def begin(self) -> None:
        """Note that an attempt starts now; the first one starts the clock."""
        self.number += 1
        if self.number == 1 and self._timeout_s is not None:
            self._up_at = time.monotonic() + self._timeout_s

    @property
    def variables(self) -> dict[str, str]:
        """What a task gets to know of it, where there can be another attempt."""
        return {ATTEMPT_VARIABLE: str(self.number)} if self._retries else {}

    @property
    def deadline(self) -> float | None:
        """When the time is up, by the monotonic clock; None without a limit, and once it was."""
        return None if self.timed_out else self._up_at

    def is_up(self, now: float) -> bool:
        """Whether the time is up, which is told once."""
        self.timed_out = self._up_at is not None and now >= self._up_at
        return self.timed_out

    @property
    def limit_text(self) -> str:
        """The limit as people write it."""
        return time_text(self._timeout_s or 0)

    def goes_again(self, status: int) -> bool:
        """Whether a task that ended with this wait status is started again."""
        failed = os.waitstatus_to_exitcode(status) != 0
        return failed and not self.timed_out and self.number <= self._retries

    def again_text(self, status: int) -> str:
        """Say how an attempt ended, and that another one follows."""
        code = os.waitstatus_to_exitcode(status)
        how = f"ended with exit code {code}" if code > 0 else f"was ended by {_signal_name(-code)}"
        of = self._retries + 1
        return f"The task {how}; it is started again, attempt {self.number + 1} of {of}."

    @property
    def last_text(self) -> str:
        """What a failure is told with, where there were several attempts; else empty."""
        return f"the last of {self.number} attempts" if self.number > 1 else ""


def time_text(seconds: float) -> str:
    """Write a duration in its largest units: ``2 h``, ``1 h 30 min``, ``45 s``.

    Examples
    --------
    >>> time_text(5400), time_text(0.5)
    ('1 h 30 min', '0.5 s')
    """
    left, parts = seconds, []
    for name, size in _UNITS:
        count = int(left // size)
        if count:
            parts.append(f"{count} {name}")
            left -= count * size
    if left or not parts:
        parts.append(f"{left:g} s")
    return " ".join(parts)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
