"""Running a cell again: whether it attaches to the task that is there, and what it then says."""

from __future__ import annotations

import argparse
import time

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.printing import name_of
from anylearn_jupyter.submit.task import TrainTask


def reuses(given: argparse.Namespace, *, headless: bool) -> bool:
    """Whether a cell may attach: in a notebook unless it says ``--new``, headless if it asks to.

    Raises
    ------
    OptionError
        It says both.

    Notes
    -----
    Source: notebook spec, "Run All is safe".
    """
    if given.new and given.reuse:
        raise OptionError("--new and --reuse exclude each other; leave one of them out.")
    return bool(given.reuse) or not (headless or given.new)


def attached_text(task: TrainTask, now_ms: int | None = None) -> str:
    """Say in one sentence which task a cell shows instead of another one, and how old that is.

    Parameters
    ----------
    now_ms : int, optional
        Milliseconds since 1970, UTC; default: now.
    """
    now_ms = now_ms if now_ms is not None else time.time_ns() // 1_000_000
    detail = task.detail
    began_ms = detail.started_ms
    verb = "started"
    if began_ms is None:
        began_ms, verb = detail.created_ms or task.record.submitted_ms, "submitted"
    state = "succeeded" if detail.finished else f"still {detail.phase}"
    age = age_text((now_ms - began_ms) / 1000)
    return f"same as task {name_of(task)}, {verb} {age} ago, {state}; `--new` starts another"


def age_text(seconds: float) -> str:
    """Write an age in its largest unit: ``5 min``, ``3 days``.

    Examples
    --------
    >>> age_text(0.2), age_text(300), age_text(7300), age_text(200_000)
    ('0 s', '5 min', '2 h', '2 days')
    """
    whole = max(int(seconds), 0)
    for size, unit in ((86_400, "day"), (3600, "h"), (60, "min")):
        if whole >= size:
            count = whole // size
            return f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}"
    return f"{whole} s"
