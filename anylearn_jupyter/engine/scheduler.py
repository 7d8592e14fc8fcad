"""When a task starts, and what it is when it has ended.

`tick` is the whole of it: what has ended gives its resources back, what runs is marked so, and what
waits starts in the order of the queue, as long as there is room. A task that has to wait is not
overtaken. Nothing here sleeps or keeps a state of its own: the store has it all, so a tick may be
run at any time, and once more.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from tornado.ioloop import IOLoop

from anylearn_jupyter.engine.machine import DEFAULT_GROUP, Machine, RequestRefused
from anylearn_jupyter.engine.runners import Runner
from anylearn_jupyter.engine.supervision import Ending, Stage
from anylearn_jupyter.entities import Exit, TaskPhase

if TYPE_CHECKING:
    from anylearn_jupyter.engine.store import TaskRow

WAITING = (TaskPhase.CREATED, TaskPhase.QUEUED)
"""The phases of a task that has no process and no resources yet."""
ACTIVE = (TaskPhase.STARTING, TaskPhase.RUNNING, TaskPhase.STOPPING)
"""The phases in which a task has resources."""

_log = logging.getLogger(__name__)


class TaskStore(Protocol):
    """What of the store the scheduler needs."""

    def task(self, task_id: str, /) -> TaskRow | None:
        """Give a task, or None."""

    def tasks_in(self, phases: tuple[TaskPhase, ...], /) -> list[TaskRow]:
        """Give the tasks in these phases, in the order of the queue."""

    def move_task(
        self, task_id: str, to: TaskPhase, /, *, of: tuple[TaskPhase, ...], **changes: Any
    ) -> bool:
        """Change a task's phase if it is one of these; False if it is another."""


def tick(store: TaskStore, runner: Runner, now_ms: int) -> None:
    """Bring the store up to date with the tasks, and start what can start."""
    finish_ended(store, runner, now_ms)
    mark_started(store, runner, now_ms)
    start_queued(store, runner, now_ms)


def finish_ended(store: TaskStore, runner: Runner, now_ms: int) -> None:
    """Write down how tasks ended, which also gives their resources back."""
    for task in store.tasks_in(ACTIVE):
        situation = runner.situation(task.id)
        if situation is not None and situation.ending is not None:
            finish(store, task, situation.ending, now_ms)
            runner.forget(task.id)


def finish(store: TaskStore, task: TaskRow, ending: Ending, now_ms: int) -> None:
    """Move a task to its last phase, with its true exit."""
    started_ms = task.started_ms if task.started_ms is not None else ending.started_ms
    finished_ms = ending.finished_ms if ending.finished_ms is not None else now_ms
    store.move_task(
        task.id,
        final_phase(ending),
        of=(*WAITING, *ACTIVE),
        exit=ending.exit,
        started_ms=started_ms,
        finished_ms=max(finished_ms, started_ms or 0),
    )


def final_phase(ending: Ending) -> TaskPhase:
    """Give the phase that a task ends in.

    A task that was stopped is aborted, whatever it returned while it was ended: nobody can rely on
    what it left. One whose end nobody saw is lost, never failed or succeeded (architecture,
    decision 5).
    """
    if ending.stopped:
        return TaskPhase.ABORTED
    if ending.exit.kind == "unknown":
        return TaskPhase.LOST
    if ending.exit.kind == "exit" and ending.exit.number == 0:
        return TaskPhase.SUCCEEDED
    return TaskPhase.FAILED


def mark_started(store: TaskStore, runner: Runner, now_ms: int) -> None:
    """Mark what has got a process as running."""
    for task in store.tasks_in((TaskPhase.STARTING,)):
        situation = runner.situation(task.id)
        if situation is not None and situation.stage is Stage.RUNNING:
            started_ms = situation.started_ms if situation.started_ms is not None else now_ms
            store.move_task(
                task.id, TaskPhase.RUNNING, of=(TaskPhase.STARTING,), started_ms=started_ms
            )


def start_queued(store: TaskStore, runner: Runner, now_ms: int) -> None:
    """Start tasks in the order of the queue while there is room; nobody overtakes.

    A task that waits for its own group only, of which enough run (docs/protocol.md,
    ``group_limit``), lets the others pass: it waits for no room.
    """
    waiting = store.tasks_in((TaskPhase.QUEUED,))
    if not waiting:
        return
    active = store.tasks_in(ACTIVE)
    allocations = [task.allocation for task in active]
    in_group = Counter((task.creator_id, task.limit_group) for task in active)
    for task in waiting:
        group = (task.creator_id, task.limit_group)
        if task.limit_group and in_group[group] >= task.group_limit:
            continue
        try:
            allocation = runner.machine.allocate(task.resources, allocations)
        except RequestRefused as error:
            # The machine has become smaller since the task was added.
            refused = Ending(exit=Exit(kind="start", message=str(error)))
            finish(store, task, refused, now_ms)
            continue
        if allocation is None:
            return
        if store.move_task(
            task.id, TaskPhase.STARTING, of=(TaskPhase.QUEUED,), allocation=allocation
        ):
            allocations.append(allocation)
            in_group[group] += 1
            runner.start(task, allocation)


def stop(
    store: TaskStore, runner: Runner, task_id: str, now_ms: int, *, force: bool = False
) -> bool:
    """Stop a task: one that waits is aborted at once, one that runs is asked to end.

    Returns
    -------
    bool
        False if there is no such task, or it has ended already.
    """
    never = Exit(kind="start", message="stopped before it had started")
    if store.move_task(task_id, TaskPhase.ABORTED, of=WAITING, exit=never, finished_ms=now_ms):
        return True
    store.move_task(task_id, TaskPhase.STOPPING, of=(TaskPhase.STARTING, TaskPhase.RUNNING))
    task = store.task(task_id)
    if task is None or task.phase is not TaskPhase.STOPPING:
        return False
    runner.stop(task_id, force=force)
    return True


def adopt(store: TaskStore, runner: Runner, now_ms: int) -> int:
    """Take over the tasks of an engine before this one; run once, before the first tick.

    A task that the dead engine was about to start is started, and never a second time. A stop that
    it had not passed on is passed on.

    Returns
    -------
    int
        How many of them live.
    """
    living = 0
    for task in store.tasks_in(ACTIVE):
        situation = runner.adopt(task)
        if situation.stage in (Stage.NOTHING, Stage.PREPARED):
            _adopt_unstarted(store, runner, task, now_ms)
            continue
        if situation.stage in (Stage.STARTING, Stage.RUNNING):
            living += 1
        if task.phase is TaskPhase.STOPPING:
            runner.stop(task.id)
    _log.info("%d tasks adopted", living)
    return living


def _adopt_unstarted(store: TaskStore, runner: Runner, task: TaskRow, now_ms: int) -> None:
    if task.phase is TaskPhase.STARTING:
        runner.start(task, task.allocation)
    elif task.phase is TaskPhase.STOPPING:
        never = Exit(kind="start", message="stopped before it had started")
        finish(store, task, Ending(exit=never, stopped=True), now_ms)
    else:
        gone = Exit(kind="unknown", message="the task's directory is gone")
        finish(store, task, Ending(exit=gone), now_ms)


def quota_group(store: TaskStore, machine: Machine) -> dict[str, Any]:
    """Give the one resource group as ``quota_group/query`` sends it (HTTP API, section 4).

    ``queue_length`` is ours (docs/protocol.md, ``queue``); published clients read past it.
    """
    allocations: list[Mapping[str, Any]] = [task.allocation for task in store.tasks_in(ACTIVE)]
    return {
        "id": DEFAULT_GROUP,
        "name": DEFAULT_GROUP,
        "level": "BestEffort",
        "node_level": "",
        "capacity": machine.capacity,
        "default": machine.default,
        "allocated": machine.allocated(allocations),
        "queue_length": len(store.tasks_in((TaskPhase.QUEUED,))),
    }


class Scheduler:
    """Runs `tick` on the engine's loop whenever something has happened, once for many.

    Parameters
    ----------
    store, runner
        The engine's. The runner's `on_change` is `wake`.
    loop : IOLoop
        The engine's; everything here is called on its thread.
    now_ms : callable, optional
        The clock.
    """

    def __init__(
        self,
        store: TaskStore,
        runner: Runner,
        loop: IOLoop,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._store = store
        self._runner = runner
        self._loop = loop
        self._now_ms = now_ms
        self._due = False

    def wake(self) -> None:
        """Tick soon; many calls at once lead to one tick."""
        if not self._due:
            self._due = True
            self._loop.add_callback(self._tick)

    def adopt(self) -> int:
        """Take over the tasks of an engine before this one, and tick; gives how many live."""
        living = adopt(self._store, self._runner, self._now_ms())
        self.wake()
        return living

    def stop(self, task_id: str, *, force: bool = False) -> bool:
        """Stop a task; False if there is none that has not ended."""
        stopped = stop(self._store, self._runner, task_id, self._now_ms(), force=force)
        self.wake()
        return stopped

    def quota_group(self) -> dict[str, Any]:
        """Give the one resource group as ``quota_group/query`` sends it."""
        return quota_group(self._store, self._runner.machine)

    def _tick(self) -> None:
        self._due = False
        tick(self._store, self._runner, self._now_ms())
