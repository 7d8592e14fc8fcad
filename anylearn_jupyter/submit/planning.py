"""What a submission would do, found out without sending anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from anylearn_jupyter.client.connection import Connection, current_connection
from anylearn_jupyter.entities import Resource
from anylearn_jupyter.errors import EngineError, LoginRequired, ServerUnreachable
from anylearn_jupyter.submit.at_once import at_once
from anylearn_jupyter.submit.checks import check_request
from anylearn_jupyter.submit.description import describe
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.facts import DataFact, Facts
from anylearn_jupyter.submit.inputs import data_fact
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.packing_list import PackingList
from anylearn_jupyter.submit.preparation import Preparation, prepare
from anylearn_jupyter.submit.progress import Progress, SilentProgress, ToldProgress
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from anylearn_jupyter.submit.survey import local_data_of
from anylearn_jupyter.submit.task_form import TaskCommand


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


def plan(request: TrainRequest, progress: Progress | None = None) -> Plan:
    """Find out what a request would send; nothing is sent, nothing is made.

    The server is asked what it has already. Where it does not answer, a note says so, and what it
    has is unknown.

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
        told.step("Asking the server", request.server or "")
        connection, known = _asked(prepared, ledger, told)
    data, upload_bytes = _data(prepared, known)
    command = TaskCommand.of(
        request, [(one.name, one.id or f"<{one.where}>") for one in request.data]
    )
    facts = describe(
        prepared,
        connection=connection,
        code_sent=False,
        data=data,
        command=command.text,
        notes=told.notes,
    )
    return Plan(
        request=request,
        facts=facts,
        packing=prepared.snapshot.packing if prepared.snapshot else None,
        command=command.text,
        upload_bytes=upload_bytes,
        notes=facts.notes,
    )


def _asked(
    prepared: Preparation, ledger: Ledger, told: ToldProgress
) -> tuple[Connection | None, dict[DataInput, Resource] | None]:
    """Ask which of the local data the server has; None where it cannot be asked."""
    request = prepared.request
    local = [one for one in dict.fromkeys(request.data) if one.path is not None]
    try:
        connection = current_connection(request.server)
        destination = Destination(connection, ledger, told, request.polling_s)
        found = at_once(
            {
                str(number): local_data_of(one, prepared, destination).known
                for number, one in enumerate(local)
            }
        )
    except (ServerUnreachable, LoginRequired, EngineError) as error:
        told.note(f"What the server already has is unknown: {error}")
        return None, None
    answers = {one: found[str(number)] for number, one in enumerate(local)}
    return connection, {one: there for one, there in answers.items() if there is not None}


def _data(
    prepared: Preparation, known: Mapping[DataInput, Resource] | None
) -> tuple[tuple[DataFact, ...], int | None]:
    """Say of each input whether it would be sent, and how many bytes that are in all."""
    facts = []
    missing: dict[str, int] = {}
    for one in prepared.request.data:
        if one.path is None:
            facts.append(DataFact(name=one.name, id=one.where, kind=str(one.kind)))
            continue
        content = prepared.contents[one.path]
        there = (known or {}).get(one)
        to_send = 0 if there is not None else content.total_bytes
        if to_send:
            missing[f"{one.kind} {content.value}"] = to_send
        facts.append(data_fact(one, content, there.id if there is not None else "", to_send))
    return tuple(facts), None if known is None else sum(missing.values())
