"""What a submission would do, found out without sending anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from anylearn_jupyter.client.connection import Connection, current_connection
from anylearn_jupyter.config import LOCAL
from anylearn_jupyter.entities import Resource
from anylearn_jupyter.errors import EngineError, LoginRequired, ServerError, ServerUnreachable
from anylearn_jupyter.submit.at_once import at_once
from anylearn_jupyter.submit.checks import check_request
from anylearn_jupyter.submit.code import algorithm_name_of
from anylearn_jupyter.submit.description import describe
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.facts import DataFact, Facts
from anylearn_jupyter.submit.ignore_rules import with_ignore_rules
from anylearn_jupyter.submit.inputs import data_fact
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.local_imports import LeftBehind, imports_left_behind
from anylearn_jupyter.submit.outlook import Place, RunTimes, place_of, run_times
from anylearn_jupyter.submit.overlay import overlay_of
from anylearn_jupyter.submit.packing_list import PackingList, Skipped
from anylearn_jupyter.submit.preparation import Preparation, prepare
from anylearn_jupyter.submit.progress import Progress, SilentProgress, ToldProgress
from anylearn_jupyter.submit.quota import resource_request
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from anylearn_jupyter.submit.snapshot import Snapshot
from anylearn_jupyter.submit.survey import local_data_of
from anylearn_jupyter.submit.task_form import TaskCommand

T = TypeVar("T")


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
        What of the code travels; None where the code is on the server.
    command : str
        The whole shell command, mounts as placeholders.
    upload_bytes : int or None
        Bytes of data that the server lacks, as they are on disk; None where it could not be asked.
    notes : tuple of str
        What the user should know, a sentence each.
    code_upload_bytes : int or None
        What of the code the server lacks, packed; None where it could not be asked, or has the
        code.
    skipped : tuple of Skipped
        What does not travel, with git's own rule for what git ignores.
    left_behind : tuple of LeftBehind
        What the entry imports and would not find.
    place : Place or None
        What the task would find free and waiting; None where the server does not say.
    run_times : RunTimes or None
        How long earlier runs took; None where none is known.
    """

    request: TrainRequest
    facts: Facts
    packing: PackingList | None
    command: str
    upload_bytes: int | None
    notes: tuple[str, ...]
    code_upload_bytes: int | None = None
    skipped: tuple[Skipped, ...] = ()
    left_behind: tuple[LeftBehind, ...] = ()
    place: Place | None = None
    run_times: RunTimes | None = None


@dataclass(frozen=True, kw_only=True)
class _Answers:
    """What a server said; nothing of one that could not be asked."""

    connection: Connection | None = None
    known: dict[DataInput, Resource] = field(default_factory=dict)
    code_bytes: int | None = None
    place: Place | None = None
    run_times: RunTimes | None = None


def plan(request: TrainRequest, progress: Progress | None = None) -> Plan:
    """Find out what a request would send; nothing is sent, nothing is made.

    The server is asked what it has already and what is free. Where it does not answer, a note says
    so, and what it has is unknown.

    Raises
    ------
    OptionError, SnapshotError, DataError
        As for `pipeline.submit`.
    """
    told = ToldProgress(progress or SilentProgress())
    check_request(request)
    with Ledger() as ledger:
        prepared = prepare(request, told, ledger.home)
        prepared.read_rest(told)
        packing = prepared.snapshot.packing if prepared.snapshot else None
        skipped = with_ignore_rules(packing, ledger.home) if packing is not None else ()
        told.step("Asking the server", request.server or "")
        answers = _asked(prepared, ledger, told)
    data, upload_bytes = _data(prepared, answers)
    command = TaskCommand.of(
        request, [(one.name, one.id or f"<{one.where}>") for one in request.data]
    )
    facts = describe(
        prepared,
        connection=answers.connection,
        code_sent=False,
        data=data,
        command=command.text,
        notes=told.notes,
    )
    return Plan(
        request=request,
        facts=facts,
        packing=packing,
        command=command.text,
        upload_bytes=upload_bytes,
        notes=facts.notes,
        code_upload_bytes=answers.code_bytes,
        skipped=skipped,
        left_behind=_left_behind(request, packing, facts.server),
        place=answers.place,
        run_times=answers.run_times,
    )


def _left_behind(
    request: TrainRequest, packing: PackingList | None, server: str
) -> tuple[LeftBehind, ...]:
    if packing is None:
        return ()
    return imports_left_behind(
        request.entrypoint,
        packing,
        overlay_of(request),
        notebook=request.notebook,
        same_python=server == LOCAL,
    )


def _asked(prepared: Preparation, ledger: Ledger, told: ToldProgress) -> _Answers:
    """Ask what of a request the server has, and what it has room for."""
    request = prepared.request
    local = [one for one in dict.fromkeys(request.data) if one.path is not None]
    try:
        connection = current_connection(request.server)
        destination = Destination(connection, ledger, told, request.polling_s)
        api, server = connection.api, connection.server
        calls: dict[str, Any] = {
            "resources": lambda: resource_request(request, api),
            "place": if_told(lambda: place_of(request, connection)),
            "runs": if_told(lambda: run_times(request, ledger, server, api)),
            **{
                f"local {number}": local_data_of(one, prepared, destination).known
                for number, one in enumerate(local)
            },
        }
        captured = prepared.snapshot
        if captured is not None:
            calls["code"] = lambda: _code_bytes(request, captured, destination)
        found = at_once(calls)
    except (ServerUnreachable, LoginRequired, EngineError) as error:
        told.note(f"What the server already has is unknown: {error}")
        return _Answers()
    answers = {one: found[f"local {number}"] for number, one in enumerate(local)}
    return _Answers(
        connection=connection,
        known={one: there for one, there in answers.items() if there is not None},
        code_bytes=found.get("code"),
        place=found["place"],
        run_times=found["runs"],
    )


def if_told(call: Callable[[], T]) -> Callable[[], T | None]:
    """Ask what a task does not depend on: None where the server does not say, whatever its reason.

    What a submission needs of the server is another matter, and an error there as here.
    """

    def asked() -> T | None:
        try:
            return call()
        except ServerError:
            return None

    return asked


def _code_bytes(request: TrainRequest, captured: Snapshot, destination: Destination) -> int:
    """Say how much of a snapshot the server lacks, as far as this machine's ledger knows."""
    name = algorithm_name_of(request, captured)
    ledger, server, user_id = destination.ledger, destination.server, destination.user_id
    algorithm = destination.api.find_algorithm(name)
    if algorithm is None:
        return sum(map(len, captured.pack()))
    if not algorithm.git_address or destination.connection.git_auth() is None:
        return sum(map(len, captured.archive()))
    if ledger.algorithm_with(server, user_id, name, captured.commit) == algorithm.id:
        return 0
    known = set(ledger.commits_of(server, user_id, algorithm.id))
    return sum(map(len, captured.pack(known)))


def _data(prepared: Preparation, answers: _Answers) -> tuple[tuple[DataFact, ...], int | None]:
    """Say of each input whether it would be sent, and how many bytes that are in all."""
    facts = []
    missing: dict[str, int] = {}
    for one in prepared.request.data:
        if one.path is None:
            facts.append(DataFact(name=one.name, id=one.where, kind=str(one.kind)))
            continue
        content = prepared.contents[one.path]
        there = answers.known.get(one)
        to_send = 0 if there is not None else content.total_bytes
        if to_send:
            missing[f"{one.kind} {content.value}"] = to_send
        facts.append(data_fact(one, content, there.id if there is not None else "", to_send))
    return tuple(facts), None if answers.connection is None else sum(missing.values())
