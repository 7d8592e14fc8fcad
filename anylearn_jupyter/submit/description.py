"""A submission in words and numbers, for the card, the plan and the ledger."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from anylearn_jupyter.client.connection import Connection, chosen_server
from anylearn_jupyter.config import Settings
from anylearn_jupyter.submit.command import shell_text
from anylearn_jupyter.submit.facts import DataFact, Facts
from anylearn_jupyter.submit.preparation import DEFAULT_OUTPUT, Preparation
from anylearn_jupyter.submit.request import TrainRequest


def describe(
    prepared: Preparation,
    *,
    connection: Connection | None,
    code_sent: bool,
    data: tuple[DataFact, ...],
    command: str,
    notes: Iterable[str],
) -> Facts:
    """Gather what a submission found out and did, or would do.

    Parameters
    ----------
    connection : Connection or None
        None where the server could not be asked.
    notes : iterable of str
        What was said on the way, beside the preparation's own notes.
    """
    request, captured = prepared.request, prepared.snapshot
    server = connection.server if connection else server_of(request)
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
        params=tuple(
            (name, str(value) if request.python_values else plain_value(value))
            for name, value in request.hyperparams
        ),
        command=command,
        entrypoint=request.entrypoint or "",
        output=request.output or DEFAULT_OUTPUT,
        mirror_name=request.mirror_name,
        digest=prepared.digest(server),
        notes=tuple(dict.fromkeys((*prepared.notes, *notes))),
    )


def server_of(request: TrainRequest) -> str:
    """Name the server that a request would go to; nobody is asked."""
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
