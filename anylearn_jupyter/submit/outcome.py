"""How a task ended, in words: the one place that words it for cards, texts and errors."""

from __future__ import annotations

import re
import signal

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.entities import TaskDetail, TaskPhase

_LAST_OF = re.compile(r"the last of \d+ attempts")
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


def signal_text(number: int) -> str:
    """Name a signal, with what most often sends it.

    Examples
    --------
    >>> signal_text(9)
    'signal 9 (SIGKILL), perhaps because memory ran out'
    """
    try:
        known = signal.Signals(number)
    except ValueError:
        return f"signal {number}"
    reason = _REASONS.get(known)
    return f"signal {number} ({known.name})" + (f", {reason}" if reason else "")


def _shell_hint(code: int) -> str:
    """Explain the codes that a shell makes up: a command that is not there, a child's signal."""
    if code == 127:
        return " (a command was not found)"
    if code == 126:
        return " (a command could not be run)"
    if 128 < code < 128 + 65:
        return f" (as a shell reports {signal_text(code - 128)})"
    return ""


def _more(message: str) -> str:
    return f": {one_line(message)}" if message else ""
