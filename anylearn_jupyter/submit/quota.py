"""The resources that a task asks for: a group, and how much of each of its resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.capacity import (
    GroupCapacity,
    group_named,
    groups_of,
    resource_named,
)
from anylearn_jupyter.submit.request import TrainRequest

DEFAULT_GROUP = "default"

ResourceRequest = list[dict[str, dict[str, int]]]
"""As it goes to the server (HTTP API, section 4)."""


def resource_request(
    request: TrainRequest, api: Api, *, is_embedded: bool = False
) -> ResourceRequest | None:
    """Say what a task asks for; None lets the server's default package apply.

    Parameters
    ----------
    is_embedded : bool
        Whether the server is the engine on this machine, which never has more than it has now. A
        group elsewhere may grow, so what is asked of it beyond that is its server's to judge.

    Raises
    ------
    OptionError
        There is no such group, or it has no such resource; the message lists those that there are.
        Or the engine on this machine has less.

    Notes
    -----
    Source: quick_train spec, step 1 and options ``quota_group_*``; HTTP API, section 4: amounts
    without a group are of the group ``default``; notebook spec, ``-r``: names are matched without
    regard to case.
    """
    group = DEFAULT_GROUP if request.quota_group is None else request.quota_group
    if not request.quota_request:
        if not _is_id(group):
            _group_id(group, (), api)  # only whether there is one
        return None
    groups = groups_of(api)
    group_id = group if _is_id(group) else _group_id(group, groups, api)
    listed = [one for one in groups if one.id == group_id]
    if not listed:
        return [{group_id: dict(request.quota_request)}]  # not listed, so the server has to judge
    place = api.http.place
    amounts: dict[str, int] = {}
    for name, amount in request.quota_request:
        spelled = resource_named(name, listed[0], place)
        if spelled in amounts:
            raise OptionError(f"The amount of {spelled} is given twice; keep one of them.")
        if is_embedded:
            _check_there(spelled, amount, listed[0])
        amounts[spelled] = amount
    return [{group_id: amounts}]


def _check_there(name: str, amount: int, group: GroupCapacity) -> None:
    found = group.resource(name)
    if found is not None and amount > found.total:
        unit = " GiB" if name == "Memory" else ""
        raise OptionError(
            f"The task asks for {name} {amount}{unit} and this machine has {found.total:g}{unit}; "
            "ask for less, or name a server that has more with --server."
        )


def _is_id(group: str) -> bool:
    """Whether it is an id; any other word is a name to look up."""
    return group in (DEFAULT_GROUP, "besteffort") or group.startswith("QGRP")


def _group_id(name: str, groups: Sequence[GroupCapacity], api: Api) -> str:
    """Give the id of a group of this name, from what was listed where that has it."""
    listed = [one.id for one in groups if one.name == name]
    if listed:
        return listed[0]
    found = api.find_quota_group(name)
    if found is not None:
        return found.id
    return group_named(name, groups or groups_of(api), api.http.place).id


def checked_amounts(given: Mapping[str, int] | None, option: str) -> tuple[tuple[str, int], ...]:
    """Take amounts out of a caller's mapping, which is neither kept nor changed.

    Raises
    ------
    OptionError
        It is no mapping, or an amount is no whole number of at least 0.
    """
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise OptionError(f"{option}={given!r} is no dict of resources and amounts.")
    return tuple(_checked(given.items(), option))


def _checked(items: Iterable[tuple[str, int]], option: str) -> Iterable[tuple[str, int]]:
    for name, amount in items:
        whole = isinstance(amount, int) and not isinstance(amount, bool) and amount >= 0
        if not isinstance(name, str) or not name or not whole:
            raise OptionError(
                f"{option} asks for {amount!r} of {name!r}; an amount is a whole number of at "
                "least 0, such as {'CPU': 2}."
            )
        yield name, amount
