"""From a request to a running task: a short list of named steps.

`plan` looks and sends nothing; `submit` does it. Both begin with `preparation.prepare`, which finds
every mistake that can be seen without a server.
"""

from __future__ import annotations

import os
import secrets
import shlex
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from anylearn_jupyter.client.connection import Connection, chosen_server, current_connection
from anylearn_jupyter.config import Settings
from anylearn_jupyter.entities import Algorithm, Dataset, Project, TaskDetail
from anylearn_jupyter.errors import (
    EngineError,
    LoginRequired,
    OptionError,
    ServerUnreachable,
)
from anylearn_jupyter.submit.code import (
    SentCode,
    check_algorithm_name,
    code_on_server,
    send_code,
)
from anylearn_jupyter.submit.command import command_text, shell_text, train_command
from anylearn_jupyter.submit.datasets import known_dataset, load_dataset, provide_dataset
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.facts import DataFact, Facts
from anylearn_jupyter.submit.ledger import Ledger, TaskRecord, now_ms
from anylearn_jupyter.submit.packing_list import PackingList
from anylearn_jupyter.submit.preparation import DEFAULT_OUTPUT, Preparation, prepare
from anylearn_jupyter.submit.progress import Progress, SilentProgress
from anylearn_jupyter.submit.projects import check_project_name, provide_project
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from anylearn_jupyter.submit.task import TrainTask

NAME_LIMIT = 50
"""Characters of a task's name (HTTP API, section 9.1)."""

_NAME_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a submission would do.

    Attributes
    ----------
    request : TrainRequest
        What was asked for.
    facts : Facts
        What would be sent; ids are empty where there are none yet.
    packing : PackingList or None
        What of the code travels; None where the algorithm is on the server.
    command : str
        The whole shell command, mounts as placeholders.
    upload_bytes : int or None
        Bytes of data that the server lacks; None where it could not be asked.
    notes : tuple of str
        What the user should know, a sentence each.
    """

    request: TrainRequest
    facts: Facts
    packing: PackingList | None
    command: str
    upload_bytes: int | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a submission made.

    Attributes
    ----------
    task : TrainTask
        Created, and in the ledger.
    algorithm, datasets, project
        What it consists of, as the server says; `datasets` in the request's order.
    """

    task: TrainTask
    algorithm: Algorithm
    datasets: list[Dataset]
    project: Project


def submit(request: TrainRequest, progress: Progress | None = None) -> Submission:
    """Carry out a request: send what the server lacks, create the task, remember all of it.

    Parameters
    ----------
    request : TrainRequest
        What to train.
    progress : Progress, optional
        Who is told how far it is; None for nobody.

    Returns
    -------
    Submission
        The task has been created; it may be waiting for room.

    Raises
    ------
    OptionError, SnapshotError, DataError
        A mistake that was found here; nothing has been sent.
    ServerError, ServerUnreachable, LoginRequired, EngineError
        As the server says. Submitting again goes on from there, and makes nothing twice.

    Notes
    -----
    Source: quick_train spec, "The steps".
    """
    told = _Told(progress or SilentProgress())
    check_names(request)
    with Ledger() as ledger:
        prepared = prepare(request, told, ledger.home)
        told.step("Connecting", request.server or "")
        connection = current_connection(request.server)
        destination = Destination(connection, ledger, told, request.polling_s)
        mirror_id = connection.api.mirror_id(request.mirror_name)
        remote = _remote_datasets(request, destination)
        named = connection.api.project(request.project_id) if request.project_id else None
        code = _provide_code(prepared, mirror_id, destination)
        datasets, facts_of_data = _provide_data(request, prepared, remote, destination)
        project = named or provide_project(request.project_name, destination)
        command = _Command.of(request, datasets)
        facts = _facts(prepared, connection, code.sent, facts_of_data, command)
        told.step("Creating the task")
        detail = _created(prepared, code, project, mirror_id, command, datasets, destination)
        facts = _with_notes(facts, detail, prepared.notes + told.notes)
        record = _recorded(request, detail, facts, destination)
    return Submission(
        task=TrainTask(record, detail),
        algorithm=code.algorithm,
        datasets=datasets,
        project=project,
    )


def plan(request: TrainRequest, progress: Progress | None = None) -> Plan:
    """Find out what a request would send; nothing is sent, nothing is made.

    The server is asked what it has already. Where it does not answer, a note says so, and what it
    has is unknown.

    Raises
    ------
    OptionError, SnapshotError, DataError
        As for `submit`.
    """
    told = _Told(progress or SilentProgress())
    check_names(request)
    with Ledger() as ledger:
        prepared = prepare(request, told, ledger.home)
        connection, known = _asked(request, prepared, ledger, told)
    facts_of_data, upload_bytes = _planned_data(request, prepared, known)
    command = _Command.planned(request)
    facts = _facts(prepared, connection, False, facts_of_data, command)
    notes = tuple(dict.fromkeys(prepared.notes + told.notes))
    return Plan(
        request=request,
        facts=facts,
        packing=prepared.snapshot.packing if prepared.snapshot else None,
        command=command.text,
        upload_bytes=upload_bytes,
        notes=notes,
    )


def check_names(request: TrainRequest) -> None:
    """Refuse names that no server takes, and contradictions, before any work.

    Raises
    ------
    OptionError
        One sentence that names the option.
    """
    if request.algorithm_dir is None and request.algorithm_id is None:
        raise OptionError(
            "Neither algorithm_dir nor algorithm_id is given; name the code directory, or an "
            "algorithm that is on the server."
        )
    if request.algorithm_name is not None:
        check_algorithm_name(request.algorithm_name)
    if request.project_id is not None and request.project_name is not None:
        raise OptionError("project_id and project_name are both given; leave one of them out.")
    if request.project_name is not None:
        check_project_name(request.project_name)
    name = request.task_name
    if name is not None and (not name.strip() or len(name) > NAME_LIMIT or not name.isprintable()):
        raise OptionError(
            f"The task name {name!r} cannot be used; write 1 to {NAME_LIMIT} printable characters."
        )
    if request.entrypoint is None and request.algorithm_id is None:
        raise OptionError(
            "There is no entrypoint; name the script to train or the whole command, such as "
            '"python train.py".'
        )
    mounted = {one.name for one in request.data}
    twice = [name for name, _ in request.hyperparams if name in mounted]
    if twice:
        raise OptionError(
            f"{twice[0]!r} is both a hyperparameter and the name of mounted data; leave one out."
        )


class _Told:
    """Passes on what a submission tells, and keeps its notes for the record."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.notes: tuple[str, ...] = ()
        self.step = progress.step
        self.bytes = progress.bytes

    def note(self, text: str) -> None:
        self.notes += (text,)
        self._progress.note(text)


@dataclass(frozen=True)
class _Command:
    """What a server needs to write the command, and the command as people read it."""

    entrypoint: str | None
    params: dict[str, Any]
    text: str

    @classmethod
    def of(cls, request: TrainRequest, datasets: Iterable[Dataset]) -> _Command:
        """Mount each dataset under the name of its input."""
        mounts: dict[str, list[str]] = {}
        for one, dataset in zip(request.data, datasets, strict=True):
            mounts.setdefault(one.name, []).append(dataset.id)
        return cls._written(request, mounts)

    @classmethod
    def planned(cls, request: TrainRequest) -> _Command:
        """Write names of data for ids that are not known yet."""
        mounts: dict[str, list[str]] = {}
        for one in request.data:
            mounts.setdefault(one.name, []).append(one.id or f"<{one.path}>")
        return cls._written(request, mounts)

    @classmethod
    def _written(cls, request: TrainRequest, mounts: Mapping[str, list[str]]) -> _Command:
        entrypoint, params = train_command(
            request.entrypoint or "", request.hyperparams, mounts, request.raw_arguments
        )
        prefix, delimiter = request.hyperparams_prefix, request.hyperparams_delimeter
        text = command_text(entrypoint, params, prefix, delimiter)
        return cls(entrypoint or None, params, text)


def _remote_datasets(request: TrainRequest, destination: Destination) -> dict[str, Dataset]:
    """Load what is named by its id: a missing one is an error before anything is uploaded."""
    ids = dict.fromkeys(one.id for one in request.data if one.id is not None)
    return {dataset_id: load_dataset(dataset_id, destination) for dataset_id in ids}


def _provide_code(prepared: Preparation, mirror_id: str, destination: Destination) -> SentCode:
    if prepared.snapshot is None:
        return code_on_server(prepared.request, destination)
    return send_code(prepared.request, prepared.snapshot, mirror_id, destination)


def _provide_data(
    request: TrainRequest,
    prepared: Preparation,
    remote: Mapping[str, Dataset],
    destination: Destination,
) -> tuple[list[Dataset], tuple[DataFact, ...]]:
    """Give a dataset for each input, in order; the same path twice is sent once."""
    provided: dict[str, tuple[Dataset, int]] = {}
    datasets = []
    facts = []
    for one in request.data:
        if one.path is None:
            dataset = remote[str(one.id)]
            facts.append(DataFact(name=one.name, id=dataset.id))
        else:
            content = prepared.contents[one.path]
            if content.value not in provided:
                provided[content.value] = provide_dataset(content, destination)
            dataset, sent = provided[content.value]
            facts.append(_data_fact(one, prepared, dataset.id, sent))
        datasets.append(dataset)
    return datasets, tuple(facts)


def _data_fact(one: DataInput, prepared: Preparation, dataset_id: str, sent: int) -> DataFact:
    assert one.path is not None
    content = prepared.contents[one.path]
    return DataFact(
        name=one.name,
        path=one.path,
        id=dataset_id,
        fingerprint=content.value,
        size_bytes=content.total_bytes,
        files=content.files,
        uploaded_bytes=sent,
    )


def _asked(
    request: TrainRequest, prepared: Preparation, ledger: Ledger, told: _Told
) -> tuple[Connection | None, dict[str, str] | None]:
    """Ask the server which of the data it has: fingerprint to id; None where it cannot be asked."""
    told.step("Looking up the data", request.server or "")
    try:
        connection = current_connection(request.server)
        destination = Destination(connection, ledger, told, request.polling_s)
        found = {
            content.value: dataset.id
            for content in prepared.contents.values()
            if (dataset := known_dataset(content, destination)) is not None
        }
    except (ServerUnreachable, LoginRequired, EngineError) as error:
        told.note(f"What the server already has is unknown: {error}")
        return None, None
    return connection, found


def _planned_data(
    request: TrainRequest, prepared: Preparation, known: Mapping[str, str] | None
) -> tuple[tuple[DataFact, ...], int | None]:
    """Say of each input whether it would be sent, and how many bytes that are in all."""
    facts = []
    missing: dict[str, int] = {}
    for one in request.data:
        if one.path is None:
            facts.append(DataFact(name=one.name, id=str(one.id)))
            continue
        content = prepared.contents[one.path]
        dataset_id = (known or {}).get(content.value, "")
        to_send = 0 if dataset_id else content.total_bytes
        if to_send:
            missing[content.value] = to_send
        facts.append(_data_fact(one, prepared, dataset_id, to_send))
    return tuple(facts), None if known is None else sum(missing.values())


def _facts(
    prepared: Preparation,
    connection: Connection | None,
    code_sent: bool,
    data: tuple[DataFact, ...],
    command: _Command,
) -> Facts:
    request, captured = prepared.request, prepared.snapshot
    server = connection.server if connection else _server_of(request)
    return Facts(
        server=server,
        address=connection.address if connection else server,
        username=connection.username if connection else "",
        snapshot_id=captured.commit if captured else "",
        files=captured.files if captured else 0,
        size_bytes=captured.total_bytes if captured else 0,
        head=captured.head if captured else None,
        dirty=captured.dirty if captured else False,
        code_sent=code_sent,
        data=data,
        params=tuple((name, plain_value(value)) for name, value in request.hyperparams),
        command=command.text,
        entrypoint=request.entrypoint or "",
        output=request.output or DEFAULT_OUTPUT,
        mirror_name=request.mirror_name,
        digest=prepared.digest(server),
    )


def _server_of(request: TrainRequest) -> str:
    """Name the server that would be connected to; nobody is asked."""
    return request.server or chosen_server() or Settings.read().host


def plain_value(value: object) -> str:
    """Write a hyperparameter's value for people: without the quotes of a single quoted word.

    Examples
    --------
    >>> plain_value("'a b'"), plain_value(0.1), plain_value("")
    ('a b', '0.1', '')
    """
    text = shell_text(value)
    try:
        words = shlex.split(text)
    except ValueError:
        return text
    return words[0] if len(words) == 1 else text


def _created(
    prepared: Preparation,
    code: SentCode,
    project: Project,
    mirror_id: str,
    command: _Command,
    datasets: Iterable[Dataset],
    destination: Destination,
) -> TaskDetail:
    """Create the task, once, and read it back."""
    request = prepared.request
    fields: dict[str, Any] = {
        "name": request.task_name or _random_name(),
        "description": request.task_description,
        "project_id": project.id,
        "algorithm_id": code.algorithm.id,
        "algorithm_git_ref": code.git_ref,
        "train_params": command.params,
        "train_params_prefix": request.hyperparams_prefix,
        "train_params_delimeter": request.hyperparams_delimeter,
        "envs": dict(request.env) or None,
        "files": ",".join(dict.fromkeys(one.id for one in datasets)) or None,
        "num_nodes": 1,
        "nproc_per_node": 1,
        "entrypoint": command.entrypoint,
        "output": request.output or DEFAULT_OUTPUT,
        "mirror_id": mirror_id,
        **_submitter(destination),
    }
    api = destination.api
    task_id = destination.create_once(
        "task",
        prepared.digest(destination.server),
        lambda key, doubtful: api.add_task(fields, key, doubtful=doubtful),
    )
    return api.task(task_id)


def _submitter(destination: Destination) -> dict[str, Any]:
    """Say whose Python it is, to a server that can run that one (docs/protocol.md)."""
    offered = destination.api.capabilities.get("interpreter")
    if not isinstance(offered, dict):
        return {}
    names = offered.get("environment")
    wanted = names if isinstance(names, list) else []
    return {
        "interpreter": sys.executable,
        "submitter_env": {name: os.environ[name] for name in wanted if name in os.environ},
    }


def _random_name() -> str:
    return "".join(secrets.choice(_NAME_LETTERS) for _ in range(8))


def _with_notes(facts: Facts, detail: TaskDetail, notes: Iterable[str]) -> Facts:
    """Add what is known only now: the notes, and the command as the server says it."""
    told = {**facts.__dict__, "notes": tuple(dict.fromkeys(notes))}
    return Facts(**{**told, "command": detail.command or facts.command})


def _recorded(
    request: TrainRequest, detail: TaskDetail, facts: Facts, destination: Destination
) -> TaskRecord:
    """Keep the task with all that is needed to recall, compare, repeat and resume it."""
    record = TaskRecord(
        id=detail.id,
        name=detail.name,
        server=destination.server,
        user_id=destination.user_id,
        username=destination.connection.username,
        project_id=detail.project_id,
        secret_key=detail.secret_key,
        state=detail.state,
        phase=detail.phase,
        working_dir=str(request.working_dir),
        digest=facts.digest,
        profile={"request": request.to_json(), "facts": facts.to_json()},
        submitted_ms=now_ms(),
        seen_ms=now_ms(),
    )
    destination.ledger.record_task(record)
    return record
