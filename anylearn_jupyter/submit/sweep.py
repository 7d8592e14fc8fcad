"""A sweep that was submitted: its tasks together, the best of them, and stopping the others."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.client.follow import START, Cursor, follow
from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.entities import TaskPhase
from anylearn_jupyter.errors import Interrupted, NotFound, OptionError, TaskFailed, WaitEnded
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.outcome import outcome_text
from anylearn_jupyter.submit.sweep_points import Kind
from anylearn_jupyter.submit.sweep_ranking import (
    Extent,
    checked_mode,
    extents,
    ranked,
    series_of,
    worst_half,
)
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.task_group import TaskGroup, in_threads
from anylearn_jupyter.submit.task_record import name_of_sweep
from anylearn_jupyter.submit.time_limit import time_limit

if TYPE_CHECKING:
    from pandas import DataFrame

_END: Cursor = 1 << 53  # beyond the end of any log: of what is there already, nothing is read
_NAMED = 5


class Sweep(TaskGroup):
    """Trainings that differ in some values.

    Parameters
    ----------
    tasks : sequence of TrainTask
        In the order of the points; at least one. All were submitted as one sweep.

    Attributes
    ----------
    id : str
        Which sweep; every task's record has it.
    name : str
        What the tasks are called, without number and values.
    tasks : tuple of TrainTask
        As above; a training that was retried has its newest task here.
    values : tuple of dict
        For each task the values in which it differs.
    names : tuple of str
        What was swept, in the order of the cell.
    kind : Kind
        How the values were put together, with the seed of the draws.
    parallel : int or None
        How many run at once, at most.
    reused : int
        How many of the tasks were there before this submission.

    Examples
    --------
    >>> sweep.wait()  # doctest: +SKIP
    >>> sweep.best("val_loss", "min").id  # doctest: +SKIP
    """

    def __init__(self, tasks: Sequence[TrainTask]) -> None:
        told = _told(tasks[0]) or {}
        self.name = name_of_sweep(tasks[0].name)
        super().__init__(
            tasks,
            str(told.get("id", "")),
            f"Sweep {one_line(self.name, 60)}",
            [_values(task) for task in tasks],
        )
        self.digest = str(told.get("digest", ""))
        self.server = self.tasks[0].server
        self.kind = Kind.read(str(told.get("kind", "grid")))
        parallel = told.get("parallel")
        self.parallel = parallel if isinstance(parallel, int) else None
        self.count = int(told.get("count") or len(self.tasks))
        self.reused = 0
        self._extents: dict[str, dict[str, Extent]] = {}

    def __repr__(self) -> str:
        """Say on one line what it is, as last seen."""
        return (
            f"<Sweep {self.name!r} of {len(self.tasks)}: {self.counts_text()}, id {self.id}, "
            f"on {self.server}>"
        )

    @property
    def kind_text(self) -> str:
        """How the values were put together: ``grid``, ``random:20,seed=3``."""
        return str(self.kind)

    # Waiting.

    def wait(self, timeout_s: float | None = None) -> dict[str, int]:
        """Wait until every task has ended, in whatever way; interrupting stops the waiting only.

        Parameters
        ----------
        timeout_s : float, optional
            Seconds; None waits as long as it takes.

        Returns
        -------
        dict
            How many tasks ended in which phase: a failure is no error here (`raise_if_failed`).

        Raises
        ------
        WaitEnded
            The time was up; the tasks go on.
        Interrupted
            By the user; the tasks go on.
        """
        self.refresh()
        try:
            with time_limit(timeout_s) as up:
                self._wait_for_end(up)
        except KeyboardInterrupt:
            raise Interrupted(self.goes_on_text()) from None
        return self.counts()

    def goes_on_text(self) -> str:
        """Say that the tasks go on when one stops to watch them."""
        task = self.tasks[0].id
        return (
            f"the sweep {one_line(self.name)} goes on. `%anylearn_resume {task}` shows it, and "
            f"`%anylearn_stop {self.id}` stops all of it."
        )

    def _wait_for_end(self, stop: threading.Event) -> None:
        by_id = {task.id: task for task in self.tasks if not task.detail.finished}
        if not by_id:
            return
        events = "events" in current_connection(self.server).api.features
        cursors: dict[str, Cursor] = dict.fromkeys(by_id, _END if events else START)
        for event in follow(self.tasks[0].connection, cursors, stop=stop):
            task = by_id.get(event.task_id)
            if task is None:
                continue
            if event.kind == "gone":
                task.saw_gone()
            elif event.detail is not None:
                task.saw(event.detail)
            if task.detail.finished:
                del by_id[task.id]
            if not by_id:
                return
        raise WaitEnded(
            f"{len(by_id)} tasks of the sweep {self.name} have not ended at the end of the time "
            "allowed; they go on, and wait() can be called again."
        )

    def raise_if_failed(self) -> None:
        """Raise if any task has ended without success.

        Raises
        ------
        TaskFailed
            It names the first few of them.
        """
        failed = [
            task
            for task in self.tasks
            if task.detail.finished and task.phase != TaskPhase.SUCCEEDED
        ]
        if not failed:
            return
        named = "".join(
            f"\n    {one_line(task.name)} ({task.id}): {outcome_text(task.detail)}"
            for task in failed[:_NAMED]
        )
        more = f"\n    and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        exit_ = failed[0].detail.exit
        raise TaskFailed(
            f"{len(failed)} of {len(self.tasks)} trainings of the sweep {one_line(self.name)} did "
            f"not succeed; `%anylearn_logs {failed[0].id}` shows the first one's log:{named}{more}",
            task_id=failed[0].id,
            exit_code=exit_.number if exit_ is not None and exit_.kind == "exit" else None,
        )

    # Stopping and trying again.

    def stop_worst_half(
        self, series: str | None = None, mode: str | None = None
    ) -> list[TrainTask]:
        """Stop the worse half of the tasks that run and have told the metric.

        What has ended or waits is not touched and does not count. Of an odd number the better part
        is the larger.

        Parameters
        ----------
        series : str, optional
            The metric; None for the first of validation, else the first that the logs tell.
        mode : {"min", "max"}, optional
            Which way it is better; None goes by its name (`mode_of`).

        Returns
        -------
        list of TrainTask
            Those that were stopped.

        Raises
        ------
        NotFound
            No task has told such a metric.
        """
        self.refresh()
        running = [
            place for place, task in enumerate(self.tasks) if task.phase == TaskPhase.RUNNING
        ]
        series, mode, values = self._best_values(series, mode)
        chosen = worst_half({place: values[place] for place in running if place in values}, mode)
        return self.stop_tasks(chosen)

    def retry_places(self, places: Sequence[int]) -> None:
        """Submit these trainings, by their numbers, again: one snapshot and one upload for all."""
        # Submitting makes sweeps, so it stands above this module.
        from anylearn_jupyter.submit.sweeping import retry_points

        retry_points(self, places)

    # Results.

    def best(self, series: str | None = None, mode: str | None = None) -> TrainTask:
        """Give the task with the best value of a metric so far.

        Parameters
        ----------
        series, mode
            As for `stop_worst_half`.

        Raises
        ------
        NotFound
            No task has told such a metric.
        """
        series, mode, values = self._best_values(series, mode)
        return self.tasks[ranked(values, mode)[0]]

    def _best_values(
        self, series: str | None, mode: str | None
    ) -> tuple[str, str, dict[int, float]]:
        found = self.extents()
        known = list(dict.fromkeys(name for one in found for name in one))
        chosen = series if series is not None else series_of(known)
        if chosen is None or chosen not in known:
            listed = f"they tell {', '.join(known[:8])}" if known else "they tell none"
            raise NotFound(f"No task of the sweep tells the metric {series!r}; {listed}.")
        mode = checked_mode(chosen, mode)
        values = {place: one[chosen].best(mode) for place, one in enumerate(found) if chosen in one}
        return chosen, mode, values

    def extents(self) -> list[dict[str, Extent]]:
        """Read for each task what its metrics have been, out of its log.

        The log of a task that has ended is read once.
        """

        def read(task: TrainTask) -> dict[str, Extent]:
            known = self._extents.get(task.id)
            if known is not None:
                return known
            over = task.detail.finished
            found = extents(task.metrics())
            if over:
                self._extents[task.id] = found
            return found

        self.refresh()
        return in_threads(read, self.tasks)

    def rows(self) -> list[dict[str, Any]]:
        """Give what is known of each task, as a dict each: the rows of `results_frame`."""
        return [
            {
                "task": task.id,
                "name": task.name,
                **values,
                "state": task.phase,
                "seconds": _seconds(task),
                **_columns(found),
            }
            for task, values, found in zip(self.tasks, self.values, self.extents(), strict=True)
        ]

    def results_frame(self) -> DataFrame:
        """Give the results as a pandas DataFrame, a row for each task.

        Columns: ``task`` (its id), ``name``, each swept name, ``state``, ``seconds`` (None before
        its end), and for each metric its last value under its name and its lowest and highest under
        ``NAME.min`` and ``NAME.max``.

        Raises
        ------
        OptionError
            pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise OptionError(
                "results_frame() needs pandas, which is not installed here; install it with "
                "`%pip install pandas`, or take the same rows as dicts from rows()."
            ) from error
        return DataFrame(self.rows())


def sweep_of(task: TrainTask) -> Sweep | None:
    """Find the sweep that a task belongs to; None where it was submitted alone."""
    told = _told(task)
    if told is None:
        return None
    with Ledger() as ledger:
        tasks = sweep_tasks(ledger, "id", str(told.get("id")))
    if not tasks:
        return None
    return Sweep([tasks[place] for place in sorted(tasks)])


def find_sweep(text: str) -> Sweep | None:
    """Find the sweep that somebody means, by its id, the beginning of that, or its name.

    Returns
    -------
    Sweep or None
        Of several with one name the newest; None where nothing fits.

    Raises
    ------
    OptionError
        It is the beginning of several ids.
    """
    with Ledger() as ledger:
        with ledger.transaction() as connection:
            rows = connection.execute(
                "SELECT name, json_extract(profile, '$.sweep.id') AS sweep FROM task "
                "WHERE json_valid(profile) AND json_extract(profile, '$.sweep.id') IS NOT NULL "
                "ORDER BY submitted_ms DESC, rowid DESC"
            ).fetchall()
        known = dict.fromkeys(str(row["sweep"]) for row in rows)
        by_id = [one for one in known if text.startswith("SWEP") and one.startswith(text)]
        if len(by_id) > 1 and text not in by_id:
            listed = ", ".join(by_id[:_NAMED])
            raise OptionError(f"{text} fits {len(by_id)} sweeps: {listed}; write more of one.")
        by_name = [str(row["sweep"]) for row in rows if name_of_sweep(str(row["name"])) == text]
        chosen = text if text in by_id else next(iter(by_id + by_name), None)
        tasks = sweep_tasks(ledger, "id", chosen) if chosen is not None else {}
    return Sweep([tasks[place] for place in sorted(tasks)]) if tasks else None


def sweep_id_of(task: TrainTask) -> str | None:
    """Give the id of the sweep that a task belongs to; None where it was submitted alone."""
    told = _told(task)
    return str(told.get("id")) if told is not None else None


def sweep_tasks(ledger: Ledger, key: str, value: str) -> dict[int, TrainTask]:
    """Find the tasks of the newest sweep with this ``id`` or ``digest``, by their places.

    Of a training that was retried only the newest task.
    """
    path = f"$.sweep.{key}"
    with ledger.transaction() as connection:
        rows = connection.execute(
            "SELECT id FROM task WHERE json_valid(profile) AND json_extract(profile, ?) = ? "
            "ORDER BY submitted_ms, rowid",
            (path, value),
        ).fetchall()
    records = [record for row in rows if (record := ledger.task(str(row["id"]))) is not None]
    if not records:
        return {}
    newest = records[-1].profile["sweep"]["id"]
    found: dict[int, TrainTask] = {}
    for record in records:
        told = record.profile["sweep"]
        if told["id"] == newest:
            found[int(told["index"])] = TrainTask(record)
    return found


def _told(task: TrainTask) -> dict[str, Any] | None:
    """Give what a task's record says of its sweep."""
    found = task.record.profile.get("sweep")
    return found if isinstance(found, dict) and "index" in found else None


def _values(task: TrainTask) -> dict[str, Any]:
    told = _told(task) or {}
    return {str(name): value for name, value in told.get("values", ())}


def _seconds(task: TrainTask) -> float | None:
    detail = task.detail
    if detail.started_ms is None or detail.finished_ms is None:
        return None
    return (detail.finished_ms - detail.started_ms) / 1000


def _columns(found: Mapping[str, Extent]) -> dict[str, float]:
    columns: dict[str, float] = {}
    for name, one in found.items():
        columns |= {name: one.last, f"{name}.min": one.low, f"{name}.max": one.high}
    return columns
