"""A task as the API sends it, and what of it the engine's own additions say."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from anylearn_jupyter.engine.launch import command_line
from anylearn_jupyter.engine.store import Store, TaskRow
from anylearn_jupyter.engine.task_files import TaskFiles
from anylearn_jupyter.engine.task_log import TaskLog
from anylearn_jupyter.entities import STATE_OF_PHASE


def time_text(ms: int | None) -> str:
    """Write a time as replies have it, in UTC; ``""`` for not yet (HTTP API, section 2)."""
    if ms is None:
        return ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(ms / 1000))


def task_json(task: TaskRow, store: Store, tasks: Path, *, secret: bool) -> dict[str, Any]:
    """Give a task with every key of ``train_task/query`` and of the feature ``task_phase``.

    Parameters
    ----------
    task : TaskRow
        The task.
    store : Store
        Knows its place in the queue.
    tasks : Path
        The directory of all tasks' directories.
    secret : bool
        Whether ``secret_key`` is among them.

    Notes
    -----
    Source: HTTP API, section 9.2; docs/protocol.md, "task_phase".
    """
    found: dict[str, Any] = {
        "id": task.id,
        "name": task.name,
        "description": task.description,
        "state": int(STATE_OF_PHASE[task.phase]),
        "creator_id": task.creator_id,
        "project_id": task.project_id,
        "algorithm_id": task.algorithm_id,
        "algorithm_git_ref": task.algorithm_git_ref,
        "args": task.args,
        "train_params": task.args,
        "train_params_prefix": task.train_params_prefix,
        "train_params_delimeter": task.train_params_delimeter,
        "files": ",".join(task.files),
        "results_id": task.results_id,
        "create_time": time_text(task.created_ms),
        "start_time": time_text(task.started_ms),
        "finish_time": time_text(task.finished_ms),
        "entrypoint": task.entrypoint,
        "output": task.output,
        "mirror_id": task.mirror_id,
        "envs": json.dumps(task.envs),
        "resource_request": task.resource_request,
        "is_local": bool(task.is_local),
        "hpo": False,
        "hpo_search_space": None,
        "final_metric": task.final_metric,
        "num_nodes": task.num_nodes,
        "nproc_per_node": task.nproc_per_node,
        "secrets": [name for name in task.secrets.split(",") if name],
        "phase": task.phase.value,
        "exit": task.exit.to_json() if task.exit else None,
        "created_ms": task.created_ms,
        "started_ms": task.started_ms,
        "finished_ms": task.finished_ms,
        "queue_position": store.queue_position(task),
        "command": command_line(
            task.entrypoint,
            task.train_params,
            task.train_params_prefix,
            task.train_params_delimeter,
        ),
        "log_bytes": TaskLog(TaskFiles.of(tasks, task.id)).size(),
    }
    if secret:
        found["secret_key"] = task.secret_key
    return found
