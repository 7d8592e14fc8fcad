"""``%anylearn_tasks``: the newest tasks of this machine in a table, a sweep as one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.notebook.descriptions import duration_text
from anylearn_jupyter.notebook.printing import say, show_table
from anylearn_jupyter.submit.outcome import short_outcome_text
from anylearn_jupyter.submit.sweep import sweep_id_of
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.task_record import name_of_sweep
from anylearn_jupyter.submit.tasks import recent_tasks, unfinished_tasks

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

LISTED_ROWS = 20
"""Rows that the table has without ``--all``."""

LOOKED_AT_TASKS = 1_000
"""The newest tasks, of which these rows are made; a sweep has many in one."""

HEADS = ("name", "state", "took", "id", "submitted", "server", "directory")


def list_tasks(
    shell: InteractiveShell, *, everything: bool, here: bool = False, unfinished: bool = False
) -> None:
    """Show the newest tasks of this machine's ledger in a table, the unfinished ones refreshed.

    Parameters
    ----------
    everything : bool
        Whether all of them are shown.
    here, unfinished : bool
        Only those that were submitted from this directory, and only those that have not ended.
    """
    asked = {task.id: task for task in unfinished_tasks()}
    known = recent_tasks(None if everything else LOOKED_AT_TASKS)
    if not known:
        say("No task was submitted from this machine yet; `%%anylearn_train train.py` makes one.")
        return
    place = str(Path.cwd())
    tasks = [
        task
        for task in (asked.get(one.id, one) for one in known)
        if (not here or task.record.working_dir == place)
        and (not unfinished or not task.detail.finished)
    ]
    rows = _together(tasks)
    if not rows:
        say("No task fits; `%anylearn_tasks` shows the newest of all.")
        return
    shown = rows if everything else rows[:LISTED_ROWS]
    show_table(shell, HEADS, map(_row, shown))
    if len(shown) < len(rows):
        say(f"{len(rows) - len(shown)} older ones are not shown; `%anylearn_tasks --all` does.")
    for trouble in dict.fromkeys(task.trouble for task in tasks if task.trouble):
        say(f"Some states are as last seen: {one_line(trouble)}")


def _together(tasks: Iterable[TrainTask]) -> list[list[TrainTask]]:
    """Put the trainings of each sweep together, where its newest one stands."""
    found: dict[str, list[TrainTask]] = {}
    for task in tasks:
        found.setdefault(sweep_id_of(task) or task.id, []).append(task)
    return list(found.values())


def _row(tasks: list[TrainTask]) -> list[str]:
    """Write one task, or the trainings of one sweep."""
    newest = tasks[0]
    sweep_id = sweep_id_of(newest)
    record = newest.record
    submitted = ""
    if record.submitted_ms:
        moment = datetime.fromtimestamp(record.submitted_ms / 1000).astimezone()
        submitted = f"{moment:%Y-%m-%d %H:%M}"
    rest = [submitted, newest.server, _short(record.working_dir)]
    if sweep_id is None:
        return [newest.name, short_outcome_text(newest.detail), _took(tasks), newest.id, *rest]
    name = f"{name_of_sweep(newest.name)} (sweep of {len(tasks)})"
    phases = Counter(task.phase for task in tasks)
    states = ", ".join(f"{count} {phase}" for phase, count in phases.items())
    return [name, states, _took(tasks), sweep_id, *rest]


def _took(tasks: list[TrainTask]) -> str:
    """Say how long it took, of a sweep from the first start to the last end; empty if unknown."""
    starts = [task.detail.started_ms for task in tasks if task.detail.started_ms is not None]
    ends = [task.detail.finished_ms for task in tasks if task.detail.finished_ms is not None]
    if not starts or len(ends) < len(tasks):
        return ""
    return duration_text((max(ends) - min(starts)) / 1000)


def _short(directory: str) -> str:
    """Write a directory relative to the one of the user, if it is in there."""
    path = Path(directory)
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else directory
