"""Tasks, as the engine remembers them: the only place where a task changes its phase.

A phase changes by compare-and-set (`Store.move_task`), so that of two who want to end a task one
does, and a final phase is never left.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from anylearn_jupyter.engine.database import Database
from anylearn_jupyter.entities import FINAL_PHASES, Exit, TaskPhase

LOCAL_FIELDS = ("output_cache_pointer", "error_cache_pointer", "heartbeat_ms")
"""What the agent of a task on its user's own machine leaves here (HTTP API, section 11)."""

_CHANGEABLE = {"started_ms", "finished_ms", "exit", "allocation"}


@dataclass(frozen=True, kw_only=True)
class TaskRow:
    """A task, at one moment.

    Attributes
    ----------
    id, name, description, creator_id, project_id, algorithm_id, results_id : str
        As in the HTTP API, section 9.2.
    phase : TaskPhase
        Where it is in its life.
    algorithm_git_ref : str
        The commit that it trains from: what was named is looked up when the task is added.
    entrypoint, output, train_params_prefix, train_params_delimeter : str
        As they were sent.
    args : str
        ``train_params`` as it was sent; `train_params` is what it says.
    envs : dict of str to str
        The user's own variables.
    files : list of str
        Ids of what is mounted.
    resources : list of dict
        What it asks for, with the group under which the machine serves it.
    resource_request : str
        The same as it was sent.
    mirror_name, mirror_id : str
        Its environment.
    interpreter : str
        Python of the submitting kernel; empty for the engine's own.
    submitter_env : dict of str to str
        Variables of the submitting kernel.
    secret_key : str
        What its own reports carry. Never shown: `repr` leaves it out.
    created_ms, started_ms, finished_ms : int or None
        Milliseconds since 1970, UTC.
    exit : Exit or None
        How it ended.
    allocation : dict
        What it got of the machine; empty until it starts.
    final_metric : float or None
        What it reported as such.
    num_nodes, nproc_per_node : int
        How many processes it is: so many times so many.
    limit_group : str
        The tasks with which it shares `group_limit`; empty for none.
    group_limit : int
        How many tasks of that group run at once, at most.
    timeout_s : float or None
        How many seconds it may run; None without a limit.
    retries : int
        How often it is started again where it fails.
    secrets : str
        Names of the variables that are secret, with commas; their values are not here.
    is_local : int
        1: its user's own machine runs it, and only tells us (HTTP API, section 11).
    sequence : int
        Its place in the order of all tasks.
    """

    id: str
    name: str
    description: str = ""
    phase: TaskPhase = TaskPhase.QUEUED
    creator_id: str = ""
    project_id: str = ""
    algorithm_id: str = ""
    algorithm_git_ref: str = ""
    entrypoint: str = ""
    output: str = ""
    args: str = "{}"
    train_params: dict[str, Any] = field(default_factory=dict)
    train_params_prefix: str = "--"
    train_params_delimeter: str = " "
    envs: dict[str, str] = field(default_factory=dict, repr=False)
    files: list[str] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    resource_request: str = "[]"
    mirror_name: str = ""
    mirror_id: str = ""
    interpreter: str = ""
    submitter_env: dict[str, str] = field(default_factory=dict, repr=False)
    results_id: str = ""
    secret_key: str = field(default="", repr=False)
    created_ms: int = 0
    started_ms: int | None = None
    finished_ms: int | None = None
    exit: Exit | None = None
    allocation: dict[str, Any] = field(default_factory=dict)
    final_metric: float | None = None
    num_nodes: int = 1
    nproc_per_node: int = 1
    is_local: int = 0
    limit_group: str = ""
    group_limit: int = 0
    timeout_s: float | None = None
    retries: int = 0
    secrets: str = ""
    sequence: int = 0

    @property
    def finished(self) -> bool:
        """Whether it has reached a phase that it never leaves."""
        return self.phase in FINAL_PHASES

    def stored(self) -> dict[str, Any]:
        """Give the columns of its row."""
        return {
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "phase": self.phase.value,
            "creator_id": self.creator_id,
            "project_id": self.project_id,
            "algorithm_id": self.algorithm_id,
            "algorithm_git_ref": self.algorithm_git_ref,
            "entrypoint": self.entrypoint,
            "output": self.output,
            "args": self.args,
            "train_params_prefix": self.train_params_prefix,
            "train_params_delimeter": self.train_params_delimeter,
            "envs": json.dumps(self.envs),
            "files": ",".join(self.files),
            "resources": json.dumps(self.resources),
            "resource_request": self.resource_request,
            "mirror_name": self.mirror_name,
            "mirror_id": self.mirror_id,
            "interpreter": self.interpreter,
            "submitter_env": json.dumps(self.submitter_env),
            "results_id": self.results_id,
            "secret_key": self.secret_key,
            "created_ms": self.created_ms,
            "started_ms": self.started_ms,
            "finished_ms": self.finished_ms,
            "exit": json.dumps(self.exit.to_json()) if self.exit else None,
            "allocation": json.dumps(self.allocation),
            "num_nodes": self.num_nodes,
            "nproc_per_node": self.nproc_per_node,
            "is_local": self.is_local,
            "limit_group": self.limit_group,
            "group_limit": self.group_limit,
            "timeout_s": self.timeout_s,
            "retries": self.retries,
            "secrets": self.secrets,
        }


class Store:
    """The engine's tasks.

    Parameters
    ----------
    database : Database
        Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._callbacks: list[Callable[[TaskRow], None]] = []

    def on_task_change(self, callback: Callable[[TaskRow], None]) -> Callable[[], None]:
        """Call back with a task after it was added or has changed its phase.

        Returns
        -------
        callable
            Ends it.
        """
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def add_task(self, task: TaskRow) -> None:
        """Add a task; durable when this returns, unless it is part of a larger transaction.

        The caller announces it (`announce`) when the transaction is through.
        """
        columns = task.stored()
        marks = ", ".join(f":{name}" for name in columns)
        with self._database.transaction() as change:
            change.execute(f"INSERT INTO task ({', '.join(columns)}) VALUES ({marks})", columns)

    def announce(self, task_id: str) -> None:
        """Tell everyone who asked that this task is there or is another now."""
        task = self.task(task_id)
        if task is not None:
            for callback in list(self._callbacks):
                callback(task)

    def task(self, task_id: str) -> TaskRow | None:
        """Give a task, or None."""
        row = self._database.row("SELECT * FROM task WHERE id = ?", task_id)
        return _task(row) if row else None

    def tasks_of(self, ids: Sequence[str]) -> list[TaskRow]:
        """Give those of these tasks that exist, in any order."""
        rows = self._database.rows(
            "SELECT * FROM task WHERE id IN (SELECT value FROM json_each(?))", json.dumps(ids)
        )
        return [_task(row) for row in rows]

    def tasks_in(self, phases: tuple[TaskPhase, ...]) -> list[TaskRow]:
        """Give the engine's own tasks in these phases, in the order of the queue."""
        return [task for task in self._in_phases(phases) if not task.is_local]

    def _in_phases(self, phases: tuple[TaskPhase, ...]) -> list[TaskRow]:
        marks = ", ".join("?" * len(phases))
        rows = self._database.rows(
            f"SELECT * FROM task WHERE phase IN ({marks}) ORDER BY sequence",
            *(phase.value for phase in phases),
        )
        return [_task(row) for row in rows]

    def tasks_of_project(self, project_id: str) -> list[TaskRow]:
        """Give the tasks of a project, the oldest first."""
        rows = self._database.rows(
            "SELECT * FROM task WHERE project_id = ? ORDER BY sequence", project_id
        )
        return [_task(row) for row in rows]

    def unfinished_with(self, resource_id: str) -> list[TaskRow]:
        """Give the tasks that have not ended and use this dataset, model, file or algorithm."""
        unfinished = tuple(phase for phase in TaskPhase if phase not in FINAL_PHASES)
        return [
            task
            for task in self._in_phases(unfinished)
            if resource_id in task.files or resource_id == task.algorithm_id
        ]

    def queue_position(self, task: TaskRow) -> int | None:
        """Tell which place in the queue a task has, the next one having 1; None if it has none."""
        if task.phase is not TaskPhase.QUEUED:
            return None
        row = self._database.row(
            "SELECT count(*) AS n FROM task WHERE phase = ? AND sequence <= ?",
            TaskPhase.QUEUED.value,
            task.sequence,
        )
        return int(row["n"]) if row else None

    def queue_places(self) -> dict[str, int]:
        """Give the place in the queue of every task that has one, the next one having 1."""
        rows = self._database.rows(
            "SELECT id FROM task WHERE phase = ? ORDER BY sequence", TaskPhase.QUEUED.value
        )
        return {str(row["id"]): place for place, row in enumerate(rows, 1)}

    def tasks_by_phase(self) -> dict[str, int]:
        """Count the tasks in each phase that has any."""
        rows = self._database.rows("SELECT phase, count(*) AS n FROM task GROUP BY phase")
        return {row["phase"]: row["n"] for row in rows}

    def move_task(
        self, task_id: str, to: TaskPhase, /, *, of: tuple[TaskPhase, ...], **changes: Any
    ) -> bool:
        """Change a task's phase if it is one of these.

        Parameters
        ----------
        task_id : str
            Which task.
        to : TaskPhase
            Its next phase.
        of : tuple of TaskPhase
            The phases that it may have now.
        **changes
            ``started_ms``, ``finished_ms``, ``exit`` (`Exit`), ``allocation`` (dict).

        Returns
        -------
        bool
            False if there is no such task, or it is in another phase; nothing has changed then.

        Notes
        -----
        That a task runs need not outlive a power cut, as its directory tells that too.
        """
        unknown = changes.keys() - _CHANGEABLE
        if unknown:
            raise TypeError(f"a move changes no {', '.join(sorted(unknown))}")
        values: dict[str, Any] = {"phase": to.value}
        for name, value in changes.items():
            if name == "exit":
                values[name] = json.dumps(value.to_json()) if value is not None else None
            else:
                values[name] = json.dumps(value) if name == "allocation" else value
        parts = ", ".join(f"{name} = :{name}" for name in values)
        froms = ", ".join(f"'{phase.value}'" for phase in of if phase not in FINAL_PHASES)
        with self._database.transaction(durable=to is not TaskPhase.RUNNING) as change:
            moved = change.execute(
                f"UPDATE task SET {parts} WHERE id = :id AND phase IN ({froms})",
                {**values, "id": task_id},
            ).rowcount
        if moved:
            self.announce(task_id)
        return bool(moved)

    # Tasks that run on their user's own machine.

    def local_task(self, task_id: str) -> dict[str, int | None]:
        """Give what the agent of such a task has left here; all None before it has."""
        row = self._database.row("SELECT * FROM local_task WHERE task_id = ?", task_id)
        return {name: row[name] if row is not None else None for name in LOCAL_FIELDS}

    def set_local_task(self, task_id: str, field_name: str, value: int) -> None:
        """Keep one of `LOCAL_FIELDS`."""
        if field_name not in LOCAL_FIELDS:
            raise TypeError(f"an agent leaves no {field_name}")
        with self._database.transaction(durable=False) as change:
            change.execute(
                f"INSERT INTO local_task (task_id, {field_name}) VALUES (?1, ?2)"
                f" ON CONFLICT (task_id) DO UPDATE SET {field_name} = ?2",
                (task_id, value),
            )

    # Metrics.

    def set_final_metric(self, task_id: str, value: float) -> None:
        """Keep the number that a task reported as its result; the last one counts."""
        with self._database.transaction() as change:
            change.execute("UPDATE task SET final_metric = ? WHERE id = ?", (value, task_id))

    def add_metric(self, metric_id: str, task_id: str, value: float, ms: int) -> None:
        """Keep a number that a task reported on its way."""
        with self._database.transaction(durable=False) as change:
            change.execute(
                "INSERT INTO metric (id, task_id, value, ms) VALUES (?, ?, ?, ?)",
                (metric_id, task_id, value, ms),
            )

    def metrics(self, task_id: str, after_ms: int) -> list[tuple[str, float, int]]:
        """Give (id, value, time) of what a task reported after a time, in order of report."""
        rows = self._database.rows(
            "SELECT * FROM metric WHERE task_id = ? AND ms > ? ORDER BY sequence",
            task_id,
            after_ms,
        )
        return [(row["id"], row["value"], row["ms"]) for row in rows]


def _task(row: sqlite3.Row) -> TaskRow:
    values = dict(row)
    ended = values["exit"]
    return TaskRow(
        **values
        | {
            "phase": TaskPhase(values["phase"]),
            "train_params": json.loads(values["args"]),
            "envs": json.loads(values["envs"]),
            "files": [one for one in values["files"].split(",") if one],
            "resources": json.loads(values["resources"]),
            "submitter_env": json.loads(values["submitter_env"]),
            "exit": Exit.from_json(json.loads(ended)) if ended else None,
            "allocation": json.loads(values["allocation"]),
        }
    )
