"""What a training cell says of data, variables, project and resources, as a request has it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from anylearn_jupyter.client.upload import ResourceUploader
from anylearn_jupyter.config import SavedDefaults
from anylearn_jupyter.entities import is_id
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.home import Home
from anylearn_jupyter.notebook.durations import read_duration
from anylearn_jupyter.notebook.given_options import GivenOptions
from anylearn_jupyter.submit.published import (
    checked_mount_name,
    checked_variables,
    given_inputs,
    given_resources,
)
from anylearn_jupyter.submit.request import DataInput, InputKind, TrainRequest

_ID_BEGINNINGS = {InputKind.DATASET: "DSET", InputKind.MODEL: "MODE"}


def mounted(options: GivenOptions) -> tuple[DataInput, ...]:
    """Give everything that is mounted: ``-d``, then ``--model``, then the published options.

    Raises
    ------
    OptionError
        A name or a path that cannot be one.
    """
    found = [
        _named(options.names.text(template), flag, kind)
        for flag, kind, templates in (
            ("-d", InputKind.DATASET, options.given.data),
            ("--model", InputKind.MODEL, options.given.model),
        )
        for template in templates
    ]
    published: dict[str, Any] = {
        "pretrain_hyperparam_name": options.text("pretrain_hyperparam_name") or "pretrain",
        "pretrain_task_id": options.texts("pretrain_task_id"),
    }
    for noun in ("dataset", "model"):
        published[f"{noun}_hyperparam_name"] = options.text(f"{noun}_hyperparam_name") or noun
        published[f"{noun}_id"] = options.texts(f"{noun}_id")
        for option in (f"{noun}_dir", f"{noun}_archive"):
            text = options.text(option)
            published[option] = None if text is None else _existing(text, _flag(option))
    return (*found, *given_inputs(published))


def _named(text: str, flag: str, kind: InputKind) -> DataInput:
    """Read ``NAME=PATH_OR_ID``."""
    name, sign, place = (part.strip() for part in text.partition("="))
    if not sign or not place or not name:
        raise OptionError(
            f"{flag} {text}: write {flag} NAME=PATH; NAME is the hyperparameter that gets the path."
        )
    checked_mount_name(name)
    if is_id(place, _ID_BEGINNINGS[kind]):
        return DataInput(name, id=place, kind=kind)
    return DataInput(name, path=_existing(place, f"{flag} {name}"), kind=kind)


def _existing(text: str, option: str) -> Path:
    path = Path(text).expanduser().absolute()
    if not path.exists():
        raise OptionError(f"{option}: there is nothing at {text!r}; check the path.")
    return path


def variables(options: GivenOptions) -> tuple[tuple[str, str], ...]:
    """Give the variables for the task; nothing of the kernel's environment but what is named.

    Raises
    ------
    OptionError
        A name that no variable can have, or one that is given twice.
    """
    pairs = _pairs(options, "env")
    return checked_variables(pairs)


def resources(options: GivenOptions) -> dict[str, Any]:
    """Give the group, the amounts, and the numbers of machines and processes.

    A cell that says nothing of group and amounts gets the saved default.

    Raises
    ------
    OptionError
        An amount that is none, or both forms of it.
    """
    amounts = {
        name: _whole(str(amount), f"--quota-group-request {name}")
        for name, amount in _pairs(options, "quota_group_request").items()
    }
    older = options.value("resource_request")
    if older is not None and not isinstance(older, list | tuple):
        raise OptionError("--resource-request takes a list in braces, as in quick_train.")
    published = {
        "quota_group_name": options.text("quota_group_name"),
        "quota_group_request": amounts or None,
        "resource_request": older,
    }
    group, wanted = specified(options.texts("resources"), "-r")
    found = _with_specified(given_resources(published), group, wanted)
    if found["quota_group"] is None and not found["quota_request"]:
        group, wanted = specified(SavedDefaults.read(Home()).resources, "resources=")
        found = _with_specified(found, group, wanted)
    for name in ("num_nodes", "nproc_per_node"):
        text = options.text(name)
        if text is not None:
            found[name] = _whole(text, _flag(name))
    return found


def specified(specs: Iterable[str], flag: str) -> tuple[str | None, dict[str, int]]:
    """Read ``CPU=2`` and ``lab-gpus:RTX-4090=1``.

    Parameters
    ----------
    specs : iterable of str
        As they were written.
    flag : str
        What an error calls them.

    Returns
    -------
    str or None, dict of str to int
        The one group, which holds for those without one too; None where none is named. The amount
        of each resource. The names are as they were written: the server's are asked for later.

    Raises
    ------
    OptionError
        One that cannot be read, two groups, or a resource that is given twice.
    """
    group = None
    amounts: dict[str, int] = {}
    for spec in specs:
        place, sign, text = (part.strip() for part in spec.rpartition("="))
        named, colon, name = (part.strip() for part in place.rpartition(":"))
        if not sign or not name or (colon and not named):
            raise OptionError(f"{flag} {spec}: write {flag} CPU=2 or {flag} GROUP:NAME=2.")
        if group is not None and colon and named.casefold() != group.casefold():
            raise OptionError(
                f"{flag} names two groups, {group!r} and {named!r}; a task draws from one, so "
                "leave one of them out."
            )
        if name.casefold() in {known.casefold() for known in amounts}:
            raise OptionError(f"{flag} gives {name} twice; keep one of them.")
        group = group or named or None
        amounts[name] = _whole(text, f"{flag} {place}")
    return group, amounts


def _with_specified(
    found: dict[str, Any], group: str | None, amounts: dict[str, int]
) -> dict[str, Any]:
    """Add what ``-r`` says to what the published options say, which is not the same thing."""
    if not amounts:
        return found
    if found["quota_request"]:
        raise OptionError(
            "-r/--resources and --quota-group-request both say how much; keep one of them."
        )
    named = found["quota_group"]
    if group is not None and named is not None and group.casefold() != named.casefold():
        raise OptionError(
            f"-r names the group {group!r} and --quota-group-name the group {named!r}; a task "
            "draws from one, so leave one of them out."
        )
    return found | {"quota_group": named or group, "quota_request": tuple(amounts.items())}


def project(options: GivenOptions) -> tuple[str | None, str | None]:
    """Give the project's id or its name, at most one of them; without both, the saved default.

    Raises
    ------
    OptionError
        It is given more than once.
    """
    either = options.text("project")
    by_id, by_name = options.text("project_id"), options.text("project_name")
    if sum(one is not None for one in (either, by_id, by_name)) > 1:
        raise OptionError(
            "The project is given more than once; keep one of --project, --project-id and "
            "--project-name."
        )
    if either is not None:
        return _project(either)
    if by_id is None and by_name is None:
        kept = SavedDefaults.read(Home()).project
        return (None, None) if kept is None else _project(kept)
    return by_id, by_name


def _project(text: str) -> tuple[str | None, str | None]:
    return (text, None) if is_id(text, "PROJ") else (None, text)


def polling_s(options: GivenOptions) -> float:
    """Give the longest pause between two questions, in seconds.

    Raises
    ------
    OptionError
        It is no number above 0.
    """
    text = options.text("resource_polling")
    if text is None:
        return TrainRequest.polling_s
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise OptionError(f"--resource-polling {text} is no number of seconds above 0.")
    return seconds


def uploader(options: GivenOptions) -> ResourceUploader | None:
    """Give the user's own strategy for uploads.

    Raises
    ------
    OptionError
        It has no method ``run``.
    """
    found: Any = options.value("resource_uploader")
    if found is None:
        return None
    if not callable(getattr(found, "run", None)):
        raise OptionError(
            f"--resource-uploader is a {type(found).__name__} without a method run(resource_id, "
            "chunks); name it in braces, as in --resource-uploader {mine}."
        )
    strategy: ResourceUploader = found
    return strategy


def supervision(options: GivenOptions) -> dict[str, Any]:
    """Give how long it may run, and how often it is started again.

    Raises
    ------
    OptionError
        A time or a number that is none.
    """
    found: dict[str, Any] = {}
    timeout, retries = options.text("timeout"), options.text("retry")
    if timeout is not None:
        found["timeout_s"] = read_duration(timeout, "--timeout")
    if retries is not None:
        found["retries"] = _whole(retries, "--retry")
    return found


def _pairs(options: GivenOptions, name: str) -> dict[str, Any]:
    """Read an option that is ``NAME=VALUE``, or a dict in braces, and may be repeated."""
    found: dict[str, Any] = {}
    for template in getattr(options.given, name):
        value = options.names.value(template)
        if isinstance(value, Mapping):
            pairs = dict(value)
        else:
            key, sign, text = str(value).partition("=")
            if not sign:
                raise OptionError(f"{_flag(name)} {value}: write {_flag(name)} NAME=VALUE.")
            pairs = {key.strip(): text}
        for key, text in pairs.items():
            if key in found:
                raise OptionError(f"{_flag(name)} gives {key} twice; keep one of them.")
            found[key] = text
    return found


def _whole(text: str, option: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise OptionError(f"{option}: {text!r} is no whole number.")
    return int(text)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
