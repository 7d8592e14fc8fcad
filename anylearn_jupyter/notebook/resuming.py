"""``%anylearn_resume``: tasks shown again, each sweep in its table, and many tasks in one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.card import show_static, show_task
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.headless import is_headless
from anylearn_jupyter.notebook.named_tasks import named
from anylearn_jupyter.notebook.printing import name_of, say
from anylearn_jupyter.notebook.table import show_group, show_static_table
from anylearn_jupyter.submit.outcome import outcome_text
from anylearn_jupyter.submit.sweep import Sweep, sweep_id_of, sweep_of
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.task_group import TaskGroup, loose_tasks
from anylearn_jupyter.submit.tasks import unfinished_tasks

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

MAX_CARDS = 5
"""Tasks that get a card each; more of them get one table."""

_LISTED = 5


def resume(
    shell: InteractiveShell, ids: Sequence[str], *, everything: bool, variable: str | None
) -> None:
    """Show tasks again: the named ones, or the unfinished ones of this directory, or all.

    Parameters
    ----------
    ids : sequence of str
        As `named` takes them; a task of a sweep shows that sweep's table.
    everything : bool
        Without ids: also what was submitted from other directories.
    variable : str or None
        The variable that keeps a list of what is shown: tasks, and sweeps.
    """
    if ids and everything:
        raise OptionError("--all and an ID exclude each other; leave one of them out.")
    headless = is_headless(shell)
    found = named(ids, Names(shell.user_ns)) if ids else _unfinished(everything=everything)
    wanted = _with_sweeps(found)
    if variable is not None:
        shell.user_ns[variable] = wanted
    for one in _shown_as(wanted):
        if isinstance(one, TaskGroup):
            (show_static_table if headless else show_group)(one)
        elif not headless:
            show_task(one)
        elif one.trouble:
            say(f"{name_of(one)} was last seen {one.phase}: {one_line(one.trouble)}")
        else:
            show_static(one)


def _with_sweeps(found: Sequence[TrainTask | Sweep]) -> list[TrainTask | Sweep]:
    """Put in the place of each task that belongs to a sweep the sweep, once."""
    known: set[str] = set()
    wanted: list[TrainTask | Sweep] = []
    for one in found:
        key = one.id if isinstance(one, Sweep) else sweep_id_of(one) or one.id
        if key in known:
            continue
        known.add(key)
        sweep = sweep_of(one) if isinstance(one, TrainTask) else one
        wanted.append(sweep or one)
    return wanted


def _shown_as(wanted: Sequence[TrainTask | Sweep]) -> list[TrainTask | TaskGroup]:
    """Put single tasks into one table where they are more than a few."""
    single = [one for one in wanted if isinstance(one, TrainTask)]
    if len(single) <= MAX_CARDS:
        return list(wanted)
    return [loose_tasks(single), *(one for one in wanted if isinstance(one, Sweep))]


def _unfinished(*, everything: bool) -> list[TrainTask]:
    """Give the unfinished tasks that are wanted, and tell of the others."""
    here = str(Path.cwd())
    known = unfinished_tasks()
    wanted = [task for task in known if everything or task.record.working_dir == here]
    tasks = [task for task in wanted if not task.detail.finished]
    shown = {sweep_id_of(task) for task in tasks} - {None}
    ended = [task for task in wanted if task.detail.finished and sweep_id_of(task) not in shown]
    if ended:
        listed = ", ".join(
            f"{one_line(task.name)} ({outcome_text(task.detail)})" for task in ended[:_LISTED]
        )
        more = f" and {len(ended) - _LISTED} more" if len(ended) > _LISTED else ""
        say(f"Ended since last seen: {listed}{more}; `%anylearn_resume NAME` shows one.")
    elif not tasks:
        place = "" if everything else " of this directory"
        say(
            f"There is no unfinished task{place}; `%anylearn_tasks` lists those that have ended, "
            "and `%anylearn_resume last` shows the newest."
        )
    others = sum(not task.detail.finished for task in known) - len(tasks)
    if others:
        plural = "s are" if others > 1 else " is"
        say(
            f"{others} unfinished task{plural} from other directories; `%anylearn_resume --all` "
            "shows them too."
        )
    return tasks
