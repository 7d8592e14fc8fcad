"""Adding a task: every field is checked before anything is made (HTTP API, section 9.1)."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.attempts import MAX_RETRIES, MAX_TIMEOUT_S
from anylearn_jupyter.engine.handlers import create_once
from anylearn_jupyter.engine.handlers.about import BEST_EFFORT_GROUP
from anylearn_jupyter.engine.handlers.algorithms import own_algorithm
from anylearn_jupyter.engine.handlers.projects import own_project
from anylearn_jupyter.engine.handlers.tasks import own_task_json
from anylearn_jupyter.engine.inputs import MIRROR_ID, MIRROR_NAME
from anylearn_jupyter.engine.launch import (
    MAX_SECRETS,
    MAX_SECRETS_BYTES,
    SUBMITTER_VARIABLES,
    command_line,
)
from anylearn_jupyter.engine.machine import DEFAULT_GROUP, RequestRefused
from anylearn_jupyter.engine.masking import MIN_CHARACTERS
from anylearn_jupyter.engine.request import Request, bad, conflict, missing, mutation, shown
from anylearn_jupyter.engine.resources import AlgorithmRow, ResourceRow
from anylearn_jupyter.engine.store import TaskRow
from anylearn_jupyter.engine.task_files import TaskFiles, write_record
from anylearn_jupyter.entities import ID_PATTERN, ResourceState, TaskPhase, new_id
from anylearn_jupyter.home import make_private_directory

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine

DEFAULT_OUTPUT = "./output/"
"""Where results are, of a task that does not say (HTTP API, section 8)."""

MAX_COMMAND_BYTES = 120_000
"""Longest command: what one argument of a process can hold on Linux, less a little."""

MAX_PROCESSES = 64
"""Most processes of a distributed task, which all run on this machine."""

_PARAMS_LIMIT = 1 << 18
_PLACEHOLDER = re.compile(rf"\$({ID_PATTERN.pattern})")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


async def add(engine: Engine, request: Request) -> dict[str, Any]:
    """Add a task to the queue, with its results file and its secret key.

    The reply holds the task too (docs/protocol.md, ``task_in_reply``).
    """
    known = engine.database.answered(request.user.id, request.path, request.key)
    if known is not None:
        return _made(engine, known)
    if engine.refuse_new_tasks:
        raise conflict("The engine is ending; start it again, then submit.")
    values = _values(engine, request)
    algorithm = own_algorithm(
        engine, request, request.form.id("algorithm_id", "ALGO", what="algorithm")
    )
    ref = request.form.text("algorithm_git_ref", default="")
    values["algorithm_git_ref"] = await _commit(engine, request, algorithm, ref)
    values["algorithm_id"] = algorithm.id
    secrets = _secrets(request)
    values["secrets"] = ",".join(secrets)

    def make(task_id: str) -> None:
        results_id = new_id("FILE")
        is_local = bool(values["is_local"])
        engine.resources.add(
            ResourceRow(
                id=results_id,
                kind="file",
                name=f"results of {values['name']}",
                filename=f"{results_id}.zip",
                # The agent of a task on its user's own machine uploads them.
                task_id=None if is_local else task_id,
                creator_id=request.user.id,
                created_ms=engine.now_ms(),
            )
        )
        if secrets:
            files = TaskFiles.of(engine.tasks, task_id)
            make_private_directory(files.root)
            write_record(files.secrets, {"values": dict(secrets)}, durable=True)
        engine.store.add_task(
            TaskRow(
                id=task_id,
                phase=TaskPhase.CREATED if is_local else TaskPhase.QUEUED,
                creator_id=request.user.id,
                results_id=results_id,
                secret_key=new_secret_key(),
                created_ms=engine.now_ms(),
                **values,
            )
        )
        engine.database.count(tasks_created=1)

    made, is_new = create_once(engine, request, "TRAI", make)
    if is_new:
        engine.store.announce(made)
        engine.scheduler.wake()
    return _made(engine, made)


def _made(engine: Engine, task_id: str) -> dict[str, Any]:
    reply: dict[str, Any] = mutation(task_id, "The task is there.")
    task = engine.store.task(task_id)
    if task is not None:
        reply["task"] = own_task_json(engine, task)
    return reply


def new_secret_key() -> str:
    """Make a secret key: it has the form of an id, and nobody can guess it."""
    return "TKEY" + os.urandom(14).hex()


def _values(engine: Engine, request: Request) -> dict[str, Any]:
    form = request.form
    project = own_project(engine, request, form.id("project_id", "PROJ", what="project"))
    mirror_id = form.optional_id("mirror_id", "MIRR", what="mirror") or MIRROR_ID
    if mirror_id != MIRROR_ID:
        raise missing("mirror", mirror_id)
    _refuse_what_is_not_here(request)
    values: dict[str, Any] = {
        "name": form.text("name", limit=50),
        "description": form.text("description", default=""),
        "project_id": project.id,
        "entrypoint": form.text("entrypoint", limit=_PARAMS_LIMIT),
        "output": _output(form.text("output", limit=4096, default="") or DEFAULT_OUTPUT),
        "mirror_id": mirror_id,
        "mirror_name": MIRROR_NAME,
        "envs": _variables(form.json_object("envs", limit=_PARAMS_LIMIT)),
        "files": form.ids("files"),
        "is_local": int(form.flag("is_local")),
        **_processes(request),
        **_group(request),
        **_supervision(request),
        "interpreter": _interpreter(form.text("interpreter", limit=4096, default="")),
        "submitter_env": _submitter_env(request),
    }
    values |= _params(request, values["entrypoint"], values["files"])
    values |= _resources(engine, request)
    for resource_id in values["files"]:
        _check_input(engine, request, resource_id)
    return values


def _refuse_what_is_not_here(request: Request) -> None:
    form = request.form
    if form.flag("hpo"):
        raise bad("This engine has no hyper-parameter search; submit a task for each set.")


def _processes(request: Request) -> dict[str, int]:
    """Read how many processes the task is: nodes, times processes on each."""
    found = {
        name: request.form.integer(name, 1, low=1, high=MAX_PROCESSES)
        for name in ("num_nodes", "nproc_per_node")
    }
    if found["num_nodes"] * found["nproc_per_node"] > MAX_PROCESSES:
        raise bad(
            f"The fields 'num_nodes' and 'nproc_per_node' make more than {MAX_PROCESSES} "
            "processes, the most on this machine."
        )
    return found


def _group(request: Request) -> dict[str, Any]:
    """Read with which tasks it shares a limit (docs/protocol.md, ``group_limit``)."""
    group = request.form.text("limit_group", limit=64, default="")
    limit = request.form.integer("group_limit", 0)
    if bool(group) != bool(limit):
        raise bad("The fields 'limit_group' and 'group_limit' go together; send both or neither.")
    return {"limit_group": group, "group_limit": limit}


def _supervision(request: Request) -> dict[str, Any]:
    """Read how long it may run, and how often it is started again (docs/protocol.md)."""
    timeout_s = request.form.number("timeout_s") if request.form.optional("timeout_s") else None
    if timeout_s is not None and not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise bad(
            f"The field 'timeout_s' is {timeout_s:g}; it is above 0, at most {MAX_TIMEOUT_S}."
        )
    return {"timeout_s": timeout_s, "retries": request.form.integer("retries", 0, high=MAX_RETRIES)}


def _params(request: Request, entrypoint: str, files: list[str]) -> dict[str, Any]:
    form = request.form
    form.text("train_params", limit=_PARAMS_LIMIT)  # needed, `{}` at least
    params = form.json_object("train_params", limit=_PARAMS_LIMIT)
    prefix = form.text("train_params_prefix", limit=20, default="--")
    delimiter = form.text("train_params_delimeter", limit=20, default=" ")
    command = command_line(entrypoint, params, prefix, delimiter)
    if len(command.encode()) > MAX_COMMAND_BYTES:
        raise bad(
            f"The command has {len(command.encode())} bytes and at most {MAX_COMMAND_BYTES} fit; "
            "put long parameters into a file."
        )
    for used in _placeholders(params.values()):
        if used not in files:
            raise bad(f"The parameters use ${used}, which is not among the task's files.")
    return {
        "args": form.text("train_params", limit=_PARAMS_LIMIT),
        "train_params": params,
        "train_params_prefix": prefix,
        "train_params_delimeter": delimiter,
    }


def _placeholders(values: Iterable[Any]) -> Iterable[str]:
    for value in values:
        if isinstance(value, list):
            yield from _placeholders(value)
        elif isinstance(value, str):
            yield from _PLACEHOLDER.findall(value)


def _resources(engine: Engine, request: Request) -> dict[str, Any]:
    """Read the resource request: both groups are this machine."""
    wanted = request.form.json_list("resources", limit=10_000)
    served = []
    for entry in wanted:
        if not isinstance(entry, dict):
            raise bad("The field 'resources' is a list of objects, a group each.")
        served.append(
            {
                DEFAULT_GROUP if group == BEST_EFFORT_GROUP else group: entry[group]
                for group in entry
            }
        )
    try:
        engine.machine.amounts(served)
    except RequestRefused as error:
        raise bad(str(error)) from error
    return {"resources": served, "resource_request": json.dumps(wanted)}


def _output(output: str) -> str:
    path = Path(output)
    if path.is_absolute() or ".." in path.parts or "\0" in output or not path.parts:
        raise bad(
            f"The output {shown(output)} is not below the code's directory; write it relative and "
            "without '..', such as 'output'."
        )
    return output


def _variables(given: dict[str, Any], field: str = "envs") -> dict[str, str]:
    for name, value in given.items():
        if not _VARIABLE.fullmatch(name) or not isinstance(value, str) or "\0" in value:
            raise bad(
                f"The variable {shown(name)} in {field!r} cannot be set; names have letters, "
                "digits and '_', values are text."
            )
    return given


def _secrets(request: Request) -> dict[str, str]:
    """Read variables whose values are told to nobody but the task (docs/protocol.md)."""
    given = request.form.json_object("secrets", limit=MAX_SECRETS_BYTES)
    if len(given) > MAX_SECRETS:
        raise bad(f"The field 'secrets' has {len(given)} names; at most {MAX_SECRETS} fit.")
    for name, value in _variables(given, "secrets").items():
        if name.startswith("ANYLEARN_") or len(value.strip()) < MIN_CHARACTERS:
            raise bad(f"The secret {shown(name)} is our own, or too short to be hidden in a log.")
    return given


def _interpreter(path: str) -> str:
    if path and not (Path(path).is_absolute() and os.access(path, os.X_OK)):
        raise bad(
            f"The interpreter {shown(path)} is not there or cannot be run; submit from a kernel "
            "whose Python exists on this machine."
        )
    return path


def _submitter_env(request: Request) -> dict[str, str]:
    given = request.form.json_object("submitter_env", limit=1 << 18)
    return {
        name: given[name]
        for name in SUBMITTER_VARIABLES
        if isinstance(given.get(name), str) and "\0" not in given[name]
    }


def _check_input(engine: Engine, request: Request, resource_id: str) -> None:
    row = engine.resources.resource(resource_id)
    if row is None or row.creator_id != request.user.id:
        raise missing("dataset, model or file", resource_id)
    problem = engine.inputs.why_not_ready(row)
    if problem is not None:
        raise conflict(f"The {row.kind} {row.id} cannot be mounted: {problem}.")


async def _commit(engine: Engine, request: Request, algorithm: AlgorithmRow, ref: str) -> str:
    """Give the commit that the task trains from, now, whatever a branch becomes later."""
    if algorithm.state != ResourceState.READY:
        raise conflict(f"The algorithm {algorithm.name!r} has no complete code; send it first.")
    if not ref:
        return algorithm.commit_id
    if ref == algorithm.commit_id:
        return ref  # seen when it came
    repository = engine.repositories.path(request.user.name, algorithm.name)
    found = await asyncio.to_thread(engine.repositories.has, repository, ref)
    if found is None:
        raise bad(f"The algorithm {algorithm.name!r} has no commit, branch or tag {shown(ref)}.")
    return found
