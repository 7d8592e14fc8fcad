"""``%anylearn_tasks``: the newest tasks of this machine in a table."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.notebook.printing import say, show_table
from anylearn_jupyter.submit.outcome import outcome_text
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.tasks import recent_tasks, unfinished_tasks

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

LISTED_TASKS = 20
"""Tasks that the table shows without ``--all``."""


def list_tasks(shell: InteractiveShell, *, everything: bool) -> None:
    """Show the newest tasks of this machine's ledger in a table, the unfinished ones refreshed."""
    asked = {task.id: task for task in unfinished_tasks()}
    listed = recent_tasks(None if everything else LISTED_TASKS)
    if not listed:
        say("No task was submitted from this machine yet; `%%anylearn_train train.py` makes one.")
        return
    tasks = [asked.get(task.id, task) for task in listed]
    heads = ("name", "state", "submitted", "server", "directory", "id")
    show_table(shell, heads, [_row(task) for task in tasks])
    troubles = dict.fromkeys(task.trouble for task in tasks if task.trouble)
    for trouble in troubles:
        say(f"Some states are as last seen: {one_line(trouble)}")


def _row(task: TrainTask) -> list[str]:
    record = task.record
    submitted = ""
    if record.submitted_ms:
        moment = datetime.fromtimestamp(record.submitted_ms / 1000).astimezone()
        submitted = f"{moment:%Y-%m-%d %H:%M}"
    return [
        task.name,
        outcome_text(task.detail),
        submitted,
        task.server,
        _short(record.working_dir),
        task.id,
    ]


def _short(directory: str) -> str:
    """Write a directory relative to the one of the user, if it is in there."""
    path = Path(directory)
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else directory
