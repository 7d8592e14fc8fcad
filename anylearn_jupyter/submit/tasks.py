"""Finding tasks that were submitted: by what somebody types, by directory, by being unfinished."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.errors import AnylearnError, NotFound
from anylearn_jupyter.submit.ledger import Ledger, looks_like_task
from anylearn_jupyter.submit.objects.known_task import record_on
from anylearn_jupyter.submit.task import TrainTask


def find_task(text: str) -> TrainTask:
    """Find the task that somebody means; see `Ledger.match`.

    A whole id that was not submitted from here is asked for at this process's server.

    Raises
    ------
    OptionError
        It fits several tasks.
    NotFound
        It fits none.
    """
    with Ledger() as ledger:
        try:
            return TrainTask(ledger.match(text))
        except NotFound:
            if not looks_like_task(text.strip()):
                raise
    connection = current_connection()
    detail = connection.api.task(text.strip())
    return TrainTask(record_on(connection, detail), detail)


def recent_tasks(limit: int | None = None) -> list[TrainTask]:
    """Give the newest tasks, newest first, as last seen; None for all of them."""
    with Ledger() as ledger:
        return [TrainTask(record) for record in ledger.tasks(limit)]


def unfinished_tasks(working_dir: Path | None = None) -> list[TrainTask]:
    """Give the tasks that were last seen unfinished, with what their servers say now.

    Parameters
    ----------
    working_dir : Path, optional
        Only those that were submitted from this directory.

    Returns
    -------
    list of TrainTask
        Oldest first; those that have ended since are among them. Where a server cannot be asked,
        its tasks are as last seen, and `TrainTask.trouble` says why.

    Notes
    -----
    Source: quick_train spec, ``resume_unfinished_local_train_tasks``.
    """
    with Ledger() as ledger:
        tasks = [TrainTask(record) for record in ledger.unfinished(working_dir)]
    refresh(tasks)
    return tasks


def resume_unfinished_local_train_tasks() -> list[TrainTask]:
    """Give every task of this machine's ledger that was last seen unfinished, refreshed.

    The published name of `unfinished_tasks`. Nothing about a task is lost when its server cannot be
    reached: it is returned as it was last seen.
    """
    return unfinished_tasks()


def refresh(tasks: Iterable[TrainTask]) -> None:
    """Ask each server once for all of its tasks; what cannot be asked stays as it was."""
    by_server: dict[str, list[TrainTask]] = {}
    for task in tasks:
        by_server.setdefault(task.server, []).append(task)
    for server, of_server in by_server.items():
        try:
            details = current_connection(server).api.tasks(task.id for task in of_server)
        except AnylearnError as error:
            for task in of_server:
                task.trouble = str(error).partition("\n")[0]
            continue
        for task in of_server:
            if task.id in details:
                task.saw(details[task.id])
            else:
                task.saw_gone()
