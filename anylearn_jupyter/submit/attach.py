"""Attaching to a task that trains just this already, instead of making another one.

"Just this" is `TrainRequest.digest`: code, command, values, data, environment, resources, server.
The ledger says which tasks of this directory have it, and their server which of them are there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.entities import Resource, TaskDetail, TaskPhase
from anylearn_jupyter.errors import NotFound
from anylearn_jupyter.submit.at_once import at_once
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.facts import DataFact
from anylearn_jupyter.submit.inputs import MountedInput
from anylearn_jupyter.submit.ledger_file import storable
from anylearn_jupyter.submit.preparation import Preparation
from anylearn_jupyter.submit.request import DataInput, InputKind, TrainRequest
from anylearn_jupyter.submit.submission import Submission
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.task_record import TaskRecord

_COMMIT = re.compile(r"[0-9a-f]{40}")


def same_task(prepared: Preparation, destination: Destination) -> Submission | None:
    """Find the newest task of this directory that trains just this; the server is asked about it.

    Parameters
    ----------
    prepared : Preparation
        Data of it that nobody has read yet is no reason to read it now: then nothing is found, and
        `same_task` is to be asked again once it is known.
    destination : Destination
        Where the request goes to.

    Returns
    -------
    Submission or None
        None where there is none that is unfinished or has succeeded. A task that failed, was
        stopped or is being stopped, is lost, was deleted on its server, belongs to another user or
        was submitted from another directory is none.

    Raises
    ------
    ServerError, ServerUnreachable, LoginRequired
        As the server says.

    Notes
    -----
    Source: notebook spec, "Run All is safe"; faults, C7.
    """
    if prepared.seen or not is_known_code(prepared.request):
        return None
    candidates = [
        TrainTask(record)
        for record in destination.ledger.with_digest(prepared.digest(destination.server))
        if _is_ours(record, prepared.request, destination)
    ]
    details = destination.api.tasks(task.id for task in candidates)
    for task in candidates:
        if task.id not in details:
            task.saw_gone()
            continue
        task.saw(details[task.id])
        if _is_good(task.detail):
            found = _submission(task, prepared.request, destination)
            if found is not None:
                return found
    return None


@contextmanager
def one_at_a_time(
    prepared: Preparation, destination: Destination, *, reuse: bool
) -> Iterator[None]:
    """Let one kernel of this machine at a time look for the same task and make it.

    So that of two that run the same cell at the same moment the second finds the first one's task.
    Who starts another task in any case waits for nobody.

    Notes
    -----
    Source: faults, C7.
    """
    if not reuse:
        yield
        return
    with destination.turn(f"task {prepared.digest(destination.server)}"):
        yield


def is_known_code(request: TrainRequest) -> bool:
    """Whether the digest tells one code from another.

    Code that is named by what it is called on the server may be another one tomorrow, unless its
    commit is named.
    """
    ref = request.algorithm_git_ref or ""
    by_commit = _COMMIT.fullmatch(ref) is not None
    return by_commit if request.is_code_on_server or ref else True


def _is_ours(record: TaskRecord, request: TrainRequest, destination: Destination) -> bool:
    """Whether a task with the digest may be attached to, as last seen."""
    return (
        record.server == destination.server
        and record.user_id == destination.user_id
        and record.working_dir == storable(str(request.working_dir))
        and (not record.finished or record.phase == TaskPhase.SUCCEEDED)
    )


def _is_good(detail: TaskDetail) -> bool:
    if detail.finished:
        return detail.phase == TaskPhase.SUCCEEDED
    return detail.phase != TaskPhase.STOPPING


def _submission(
    task: TrainTask, request: TrainRequest, destination: Destination
) -> Submission | None:
    """Give a task with what it consists of; None where some of that is not there any more."""
    api, facts = destination.api, task.facts
    if facts is None or len(facts.data) != len(request.data):
        return None
    calls: dict[str, Callable[[], Any]] = {
        "algorithm": lambda: api.algorithm(task.algorithm_id),
        "project": lambda: api.project(task.project_id),
        **{f"input {n}": _loading(one, api) for n, one in enumerate(facts.data)},
    }
    try:
        found = at_once(calls)
    except NotFound:
        return None
    # In the order of that task's request, whose inputs are the same ones.
    inputs = [
        MountedInput(_as_input(one), found[f"input {n}"], one) for n, one in enumerate(facts.data)
    ]
    return Submission(
        task=task,
        algorithm=found["algorithm"],
        inputs=tuple(inputs),
        project=found["project"],
        attached=True,
    )


def _as_input(fact: DataFact) -> DataInput:
    return DataInput(name=fact.name, id=fact.id, kind=InputKind(fact.kind))


def _loading(fact: DataFact, api: Api) -> Callable[[], Resource]:
    if fact.kind == InputKind.TASK:
        return lambda: api.file(fact.id)
    return lambda: api.model(fact.id) if fact.kind == InputKind.MODEL else api.dataset(fact.id)
