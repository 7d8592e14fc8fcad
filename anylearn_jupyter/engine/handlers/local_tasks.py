"""Tasks that run on their user's own machine: its agent tells us (HTTP API, section 11).

The engine starts nothing for such a task. It keeps what the agent sends, so that its state and its
log are read like any other's; its results are an ordinary file, which the agent uploads. A task
whose agent falls silent stays as it was last told: nobody here can know how it ended.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.handlers.tasks import own_task
from anylearn_jupyter.engine.log_writer import STDOUT, Clock, LogWriter
from anylearn_jupyter.engine.request import Request, bad, conflict, mutation, shown
from anylearn_jupyter.engine.store import TaskRow
from anylearn_jupyter.engine.task_files import TaskFiles
from anylearn_jupyter.entities import Exit, TaskPhase, TaskState
from anylearn_jupyter.home import make_private_directory

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine

LOG_BYTES = 1 << 30
"""Largest log that an agent may send."""

_POINTERS = ("output_cache_pointer", "error_cache_pointer")
_BEFORE = (TaskPhase.CREATED, TaskPhase.RUNNING)


async def state(engine: Engine, request: Request) -> dict[str, str]:
    """Take the agent's word for how far its task is: running, or how it ended."""
    task = _local(request.reporting_task)
    number = request.form.integer("state", low=-3, high=5)
    now_ms = engine.now_ms()
    if number == TaskState.RUNNING:
        engine.store.move_task(
            task.id, TaskPhase.RUNNING, of=(TaskPhase.CREATED,), started_ms=now_ms
        )
    elif number == TaskState.SUCCESS:
        ended = Exit(kind="exit", number=0)
        _end(engine, task, TaskPhase.SUCCEEDED, ended)
    elif number == TaskState.FAILED:
        ended = Exit(kind="unknown", message="its agent says that it failed")
        _end(engine, task, TaskPhase.FAILED, ended)
    else:
        raise bad(f"The state {number} cannot be told; an agent tells 1, 2 or -2.")
    return mutation(task.id, "The state is noted.")


async def logs(engine: Engine, request: Request) -> dict[str, str]:
    """Add lines to the task's log."""
    task = _local(own_task(engine, request, request.form.id("id", "TRAI", what="task")))
    text = request.form.text("logs", limit=sys.maxsize, default="")
    if task.finished:
        raise conflict(f"The task {task.id} has ended, so its log is closed.")
    await asyncio.to_thread(_append, TaskFiles.of(engine.tasks, task.id), text)
    return mutation(task.id, "The lines are there.")


async def pointers(engine: Engine, request: Request) -> dict[str, Any]:
    """Give how far the agent has sent what its task wrote."""
    task = _local(own_task(engine, request, request.query.id("id", "TRAI", what="task")))
    known = engine.store.local_task(task.id)
    return {"id": task.id, **{name: known[name] for name in _POINTERS}}


async def set_pointer(engine: Engine, request: Request) -> dict[str, str]:
    """Keep how far the agent has sent one of the two streams."""
    task = _local(own_task(engine, request, request.form.id("id", "TRAI", what="task")))
    name = request.form.text("key")
    if name not in _POINTERS:
        raise bad(f"The key {shown(name)} is neither of {' and '.join(_POINTERS)}.")
    engine.store.set_local_task(task.id, name, request.form.integer("value"))
    return mutation(task.id, "The position is noted.")


async def heartbeat(engine: Engine, request: Request) -> dict[str, str]:
    """Note that the agent lives."""
    task = _local(own_task(engine, request, request.form.id("train_task_id", "TRAI", what="task")))
    engine.store.set_local_task(task.id, "heartbeat_ms", engine.now_ms())
    return mutation(task.id, "The agent was heard.")


def _local(task: TaskRow) -> TaskRow:
    if not task.is_local:
        raise conflict(f"The engine itself runs the task {task.id}; nobody else tells its state.")
    return task


def _end(engine: Engine, task: TaskRow, phase: TaskPhase, ended: Exit) -> None:
    now_ms = engine.now_ms()
    engine.store.move_task(
        task.id,
        phase,
        of=_BEFORE,
        exit=ended,
        started_ms=task.started_ms if task.started_ms is not None else now_ms,
        finished_ms=now_ms,
    )


def _append(files: TaskFiles, text: str) -> None:
    """Write lines to the end of a log, for a thread; one that comes at a time is whole."""
    make_private_directory(files.root)
    writer = LogWriter(files.log, files.log_index, Clock(), LOG_BYTES)
    ended = text if not text or text.endswith("\n") else f"{text}\n"
    writer.append(ended.encode("utf-8", "replace"), STDOUT)
    writer.close()
