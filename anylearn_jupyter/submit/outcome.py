"""How a task ended, in words: the one place that words it for cards, texts and errors."""

from __future__ import annotations

import re
import signal

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.entities import TaskDetail, TaskPhase

_LAST_OF = re.compile(r"the last of \d+ attempts")
_SHELL_SIGNALS = 128  # what a shell adds to the number of the signal that ended its command
_REASONS = {
    signal.SIGKILL: "perhaps because memory ran out",
    signal.SIGSEGV: "a crash in compiled code",
    signal.SIGBUS: "a crash in compiled code",
    signal.SIGABRT: "it gave itself up",
}


def outcome_text(detail: TaskDetail) -> str:
    """Say in words how a task ended; for one that has not, its phase.

    Examples
    --------
    >>> from anylearn_jupyter.entities import Exit
    >>> outcome_text(TaskDetail(id="", state=-2, phase="failed", exit=Exit(kind="exit", number=7)))
    'failed with exit code 7'
    """
    ended = detail.exit
    if not detail.finished or detail.phase == TaskPhase.SUCCEEDED:
        return detail.phase
    if detail.phase == TaskPhase.ABORTED:
        return "stopped"
    if detail.phase == TaskPhase.LOST:
        return "lost: nobody saw how it ended" + _more(ended.message if ended else "")
    if ended is None:
        return detail.phase
    if ended.kind == "signal" and ended.number is not None:
        return f"ended by {signal_text(ended.number)}"
    if ended.kind == "start":
        return "could not be started" + _more(ended.message)
    if ended.number is not None:
        attempts = _LAST_OF.match(ended.message)
        more = f", {attempts[0]}" if attempts else ""
        return f"failed with exit code {ended.number}{_shell_hint(ended.number)}{more}"
    return detail.phase + _more(ended.message)


def short_outcome_text(detail: TaskDetail) -> str:
    """Say the same without what may have led to it, for a badge or a column.

    Examples
    --------
    >>> from anylearn_jupyter.entities import Exit
    >>> ended = Exit(kind="exit", number=137)
    >>> short_outcome_text(TaskDetail(id="", state=-2, phase="failed", exit=ended))
    'failed with exit code 137 (SIGKILL)'
    """
    ended = detail.exit
    if detail.phase == TaskPhase.LOST:
        return "lost"
    if detail.phase == TaskPhase.FAILED and ended is not None and ended.number is not None:
        number = ended.number if ended.kind == "signal" else ended.number - _SHELL_SIGNALS
        name = _signal_name(number)
        if ended.kind == "signal":
            return f"ended by signal {number}" + (f" ({name})" if name else "")
        if name and not _LAST_OF.match(ended.message):
            return f"failed with exit code {ended.number} ({name})"
    return outcome_text(detail)


def signal_text(number: int) -> str:
    """Name a signal, with what most often sends it.

    Examples
    --------
    >>> signal_text(9)
    'signal 9 (SIGKILL), perhaps because memory ran out'
    """
    name = _signal_name(number)
    if not name:
        return f"signal {number}"
    reason = _REASONS.get(signal.Signals(number))
    return f"signal {number} ({name})" + (f", {reason}" if reason else "")


def _signal_name(number: int) -> str:
    """Give the system's name of a signal; empty for a number that is none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return ""


def _shell_hint(code: int) -> str:
    """Explain the codes that a shell makes up: a command that is not there, a child's signal."""
    if code == 127:
        return " (a command was not found)"
    if code == 126:
        return " (a command could not be run)"
    if _SHELL_SIGNALS < code < _SHELL_SIGNALS + 65:
        return f" (as a shell reports {signal_text(code - _SHELL_SIGNALS)})"
    return ""


def _more(message: str) -> str:
    return f": {one_line(message)}" if message else ""
