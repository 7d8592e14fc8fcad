"""The resources that a task asks for: a group, and how much of each of its resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.request import TrainRequest

DEFAULT_GROUP = "default"

ResourceRequest = list[dict[str, dict[str, int]]]
"""As it goes to the server (HTTP API, section 4)."""


def resource_request(request: TrainRequest, api: Api) -> ResourceRequest | None:
    """Say what a task asks for; None lets the server's default package apply.

    Raises
    ------
    OptionError
        There is no such group; the message lists those that there are.

    Notes
    -----
    Source: quick_train spec, step 1 and options ``quota_group_*``; HTTP API, section 4: amounts
    without a group are of the group ``default``.
    """
    if request.quota_group is None and not request.quota_request:
        return None
    group_id = DEFAULT_GROUP
    if request.quota_group is not None:
        group_id = _group_id(request.quota_group, api)
    if not request.quota_request:
        return None
    return [{group_id: dict(request.quota_request)}]


def _group_id(group: str, api: Api) -> str:
    """Give a group's id: some words are ids, any other is a name to look up."""
    if group in (DEFAULT_GROUP, "besteffort") or group.startswith("QGRP"):
        return group
    found = api.find_quota_group(group)
    if found is not None:
        return found.id
    names = sorted(one_line(one.name or one.id, 60) for one in api.quota_groups())
    raise OptionError(
        f"quota_group_name={group!r} is no resource group of {api.http.place}; it has: "
        f"{', '.join(names) or 'none'}."
    )


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
