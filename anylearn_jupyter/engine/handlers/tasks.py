"""Tasks: what they are, many at once, stopping, status (HTTP API, sections 9.2, 9.3, 9.5)."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.handlers.projects import own_project
from anylearn_jupyter.engine.request import ApiError, Request, bad, missing, mutation
from anylearn_jupyter.engine.store import TaskRow
from anylearn_jupyter.engine.task_json import task_json
from anylearn_jupyter.entities import Exit, TaskPhase, is_id

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine

MAX_BATCH = 10_000
"""Most tasks of one batch."""

_STATUS_WORDS = {0: "waiting", 1: "working", 2: "success", -2: "failed", -3: "aborted"}


def own_task(engine: Engine, request: Request, task_id: str) -> TaskRow:
    """Give a task of the caller's, or raise 404."""
    task = engine.store.task(task_id)
    if task is None or task.creator_id != request.user.id:
        raise missing("task", task_id)
    return task


async def query(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """Give a task, in a list of one."""
    task = own_task(engine, request, request.query.id("id", "TRAI", what="task"))
    return [own_task_json(engine, task)]


async def tasks(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """List the tasks of a project, the oldest first."""
    project = own_project(engine, request, request.query.id("project_id", "PROJ", what="project"))
    return [own_task_json(engine, task) for task in engine.store.tasks_of_project(project.id)]


async def batch(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """Give many tasks at once; those that do not exist are left out."""
    ids = request.form.json_list("ids", limit=1 << 19)
    if len(ids) > MAX_BATCH or not all(isinstance(one, str) for one in ids):
        raise bad(f"The field 'ids' is a list of at most {MAX_BATCH} ids.")
    wanted = [one for one in ids if is_id(one, "TRAI")]
    found = engine.store.tasks_of(wanted)
    return [own_task_json(engine, task) for task in found if task.creator_id == request.user.id]


async def delete(engine: Engine, request: Request) -> dict[str, str]:
    """Stop a task. Its record, log and results are kept, also those of one that has ended."""
    task = own_task(engine, request, request.query.id("id", "TRAI", what="task"))
    force = request.query.flag("force")
    if task.is_local:
        return _stop_local(engine, task)
    if engine.scheduler.stop(task.id, force=force):
        return mutation(task.id, "The task is being stopped; its log and results are kept.")
    return mutation(task.id, "The task had ended already; its log and results are kept.")


def _stop_local(engine: Engine, task: TaskRow) -> dict[str, str]:
    """Note that a task on its user's own machine is to end; its agent asks for the state."""
    ended = Exit(kind="unknown", message="stopped on request")
    engine.store.move_task(
        task.id,
        TaskPhase.ABORTED,
        of=(TaskPhase.CREATED, TaskPhase.RUNNING),
        exit=ended,
        finished_ms=engine.now_ms(),
    )
    return mutation(task.id, "The task is over for the engine; its record and log are kept.")


async def status(engine: Engine, request: Request) -> dict[str, Any]:
    """Give the short status of a task, for who knows its secret key."""
    task = own_task(engine, request, request.query.id("id", "TRAI", what="task"))
    key = request.query.secret("secret_key", limit=255)
    if not hmac.compare_digest(key.encode(), task.secret_key.encode()):
        raise ApiError(403, "wrong_credential", "This is not the secret key of that task.")
    state = int(own_task_json(engine, task)["state"])
    return {
        "state": _STATUS_WORDS[state],
        "process": "1" if task.finished else "0",
        "current_epoch": "",
        "current_train_step": "",
        "current_train_loss": "",
        "ip": "127.0.0.1",
        "secret_key": task.secret_key,
    }


def own_task_json(engine: Engine, task: TaskRow) -> dict[str, Any]:
    """Give a task as its owner sees it, with every key of the API."""
    return task_json(task, engine.store, engine.tasks, secret=True)
