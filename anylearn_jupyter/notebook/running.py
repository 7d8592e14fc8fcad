"""``%%anylearn_train``: from the words of a cell to a task that runs and is shown."""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from typing import TYPE_CHECKING

from anylearn_jupyter.config import SavedDefaults
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.home import Home
from anylearn_jupyter.notebook.attached import attached_text, reuses
from anylearn_jupyter.notebook.card import show_task
from anylearn_jupyter.notebook.descriptions import server_text
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.forms import show_form
from anylearn_jupyter.notebook.headless import is_headless, waiting_text, watch_to_the_end
from anylearn_jupyter.notebook.plan_view import show_plan
from anylearn_jupyter.notebook.printing import name_of, say
from anylearn_jupyter.notebook.running_sweep import train_sweep
from anylearn_jupyter.notebook.secret_prompt import ask_for_secrets
from anylearn_jupyter.notebook.submitting import PlainProgress, line_progress
from anylearn_jupyter.notebook.swept import swept_notes
from anylearn_jupyter.notebook.training import Training, check_variable, training
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.planning import plan
from anylearn_jupyter.submit.sweep import Sweep
from anylearn_jupyter.submit.task import TrainTask

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def train(
    shell: InteractiveShell, given: argparse.Namespace, body: str, *, configured_server: str = ""
) -> TrainTask | Sweep | None:
    """Carry out a training cell.

    Parameters
    ----------
    shell : InteractiveShell
        The running cell's.
    given : argparse.Namespace
        The options as templates.
    body : str
        The lines below.
    configured_server : str
        What ``%config`` says; empty for nothing.

    Returns
    -------
    TrainTask, Sweep or None
        A sweep where the cell has values to try; None with ``--plan`` and ``--form``.

    Raises
    ------
    AnylearnError
        One sentence; for what was wrong in the cell, nothing has been sent.
    TaskFailed
        It was waited for, and failed.
    """
    if given.form:
        show_form(shell, given, body, configured_server=configured_server)
        return None
    headless = is_headless(shell)
    variable = check_variable(given.out)
    if given.block and given.noblock:
        raise OptionError("-b/--block and -a/--noblock exclude each other; leave one of them out.")
    reuse = reuses(given, headless=headless)
    wanted = training(given, body, Names(shell.user_ns), configured_server=configured_server)
    if given.plan:
        show_plan(shell, plan(wanted.request), (*wanted.notes, *swept_notes(wanted.sweep)))
        return None
    if wanted.request.secrets and not headless:
        ask_for_secrets(wanted.request.secrets)
    waits = _waits(given, headless=headless)
    if wanted.sweep is not None:
        return train_sweep(
            shell,
            wanted.sweep,
            wanted.notes,
            headless=headless,
            waits=waits,
            reuse=reuse,
            variable=variable,
        )
    task = _submitted(shell, wanted, headless=headless, reuse=reuse)
    if variable is not None:
        shell.user_ns[variable] = task
    if headless and waits:
        watch_to_the_end(task)
    elif headless:
        if not task.note:
            say(f"Task {name_of(task)} on {server_text(task.server)} is submitted.")
    else:
        if waits:
            say(waiting_text(task))
        show_task(task)
        if waits:
            task.wait()
            task.raise_if_failed()
    return task


def _waits(given: argparse.Namespace, *, headless: bool) -> bool:
    """Whether the cell waits for the end: as it says, else as is kept, else as suits the place."""
    if given.block or given.noblock:
        return bool(given.block)
    kept = SavedDefaults.read(Home()).block
    return headless if kept is None else kept


def _submitted(
    shell: InteractiveShell, wanted: Training, *, headless: bool, reuse: bool
) -> TrainTask:
    with nullcontext(PlainProgress()) if headless else line_progress(shell) as progress:
        for note in wanted.notes:
            progress.note(note)
        made = submit(wanted.request, progress, reuse=reuse)
        if made.attached:
            made.task.note = attached_text(made.task)
            progress.attached(made.task.note)
        return made.task
