"""``--secret NAME``: a request holds names; the values are this process's alone.

A value goes from the process's environment, or from where it was entered, into the body of the one
request that creates the task, and nowhere else: not into the request's record, a command, an
address or an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from anylearn_jupyter.client.hidden import MIN_CHARACTERS, hide
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.command import shell_text
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.request import TrainRequest

SECRETS = "secrets"
"""The feature of a server that keeps them out of what it tells (docs/protocol.md)."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OURS = "ANYLEARN_"

_entered: dict[str, str] = {}


def enter_secret(name: str, value: str) -> None:
    """Keep a value that was asked for, for as long as this process lives."""
    hide(value)
    _entered[name] = value


def missing_secrets(names: Iterable[str]) -> list[str]:
    """Give those that have no value here: neither a variable nor one that was entered."""
    return [name for name in names if not _value(name)]


def check_names(request: TrainRequest) -> None:
    """Refuse a name that no secret can have.

    Raises
    ------
    OptionError
        It is no variable's name, is one of ours, or is a variable of ``--env`` too.
    """
    plain = {name for name, _ in request.env}
    for name in request.secrets:
        if not _NAME.fullmatch(name):
            raise OptionError(
                f"--secret {name!r} is no variable's name; name the variable that holds the value, "
                "which itself never stands in a cell."
            )
        if name.upper().startswith(_OURS):
            raise OptionError(f"--secret {name} is not given to a task; it is our own credential.")
        if name in plain:
            raise OptionError(f"{name} is given by --env and by --secret; leave --env {name} out.")


def secret_values(request: TrainRequest) -> dict[str, str]:
    """Give the values, by name.

    Raises
    ------
    OptionError
        One is missing or too short to be hidden, or stands in what everybody may read.
    """
    missing = missing_secrets(request.secrets)
    if missing:
        raise OptionError(
            f"--secret {missing[0]}: there is no variable {missing[0]} in this kernel's "
            "environment, and nobody who could be asked for it; set it where the kernel is started."
        )
    values = {name: _value(name) for name in request.secrets}
    for name, value in values.items():
        if len(value.strip()) < MIN_CHARACTERS or "\0" in value:
            raise OptionError(
                f"--secret {name}: its value cannot be hidden in a log; it has at least "
                f"{MIN_CHARACTERS} characters and no zero byte."
            )
        where = next((place for place, text in _public(request) if value in text), None)
        if where is not None:
            raise OptionError(
                f"The value of --secret {name} stands in {where}, where others can read it; let "
                f'the script read os.environ["{name}"].'
            )
    hide(*values.values())
    return values


def check_secrets(request: TrainRequest, destination: Destination) -> None:
    """Refuse secrets that the server would not keep.

    Raises
    ------
    OptionError
        It has no place for them, or a value cannot be used.
    """
    if request.secrets and SECRETS not in destination.api.features:
        raise OptionError(
            f"--secret cannot be kept by {destination.connection.address}, which shows a task's "
            "variables to whoever sees the task; let the script get it from where the task runs."
        )
    secret_values(request)


def _value(name: str) -> str:
    return os.environ.get(name) or _entered.get(name, "")


def _public(request: TrainRequest) -> Iterator[tuple[str, str]]:
    """Give what others may read, and what it is called."""
    for name, value in request.hyperparams:
        yield f"the value of {name}", shell_text(value)
    yield "the arguments", request.raw_arguments
    yield "the command", request.entrypoint or ""
    for name, value in request.env:
        yield f"--env {name}", value
    yield "the description", request.task_description
    yield "the task's name", request.task_name or ""
    if request.code_cell is not None:
        yield "the cell", request.code_cell.source
