"""What a server has of each resource, what of it is free now, and how many tasks wait for it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.connection import Connection
from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.entities import QuotaGroup
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.known_choices import remember


@dataclass(frozen=True, kw_only=True)
class ResourceCapacity:
    """One resource of a group, in the server's own units.

    Attributes
    ----------
    name : str
        As the server spells it, such as ``CPU``.
    total : float
        What the group has.
    free : float or None
        What nobody uses now, at least 0; None where the server does not say what is in use.
    default : float
        What a task gets that asks for nothing.
    """

    name: str
    total: float
    free: float | None
    default: float = 0.0


@dataclass(frozen=True, kw_only=True)
class GroupCapacity:
    """A group of resources that the user may draw from.

    Attributes
    ----------
    id, name, level : str
        As the server says.
    resources : tuple of ResourceCapacity
        In the server's order; empty where it does not say what the group has.
    queue_length : int or None
        How many tasks wait for it, so that the next one is behind so many; None where the server
        does not say.
    """

    id: str
    name: str
    level: str = ""
    resources: tuple[ResourceCapacity, ...] = ()
    queue_length: int | None = None

    @property
    def title(self) -> str:
        """What people call it: its name, or its id where it has none."""
        return self.name or self.id

    def resource(self, name: str) -> ResourceCapacity | None:
        """Give a resource by its name, whatever its case; None where there is none."""
        wanted = name.casefold()
        exact = next((one for one in self.resources if one.name == name), None)
        return exact or next((one for one in self.resources if one.name.casefold() == wanted), None)


def capacity(connection: Connection) -> tuple[GroupCapacity, ...]:
    """Ask a server for its groups of resources with what is free in each.

    Parameters
    ----------
    connection : Connection
        Whose groups; they are those that its user may draw from.

    Returns
    -------
    tuple of GroupCapacity
        In the server's order.

    Raises
    ------
    ServerUnreachable, LoginRequired, ServerError
        As the server says.

    Notes
    -----
    Source: HTTP API, section 4; docs/protocol.md, ``queue``. What is free is the capacity less what
    is allocated, where a resource that is missing counts as 0.
    """
    groups = groups_of(connection.api)
    remember(
        connection,
        groups=[one.title for one in groups],
        resources=[resource.name for one in groups for resource in one.resources],
    )
    return groups


def groups_of(api: Api) -> tuple[GroupCapacity, ...]:
    """Ask as `capacity` does, without remembering what was said."""
    return tuple(_group(found) for found in api.quota_groups())


def group_named(name: str, groups: Sequence[GroupCapacity], place: str) -> GroupCapacity:
    """Find the group that somebody means, by its id or its name, whatever its case.

    Parameters
    ----------
    place : str
        What the server is called in a sentence.

    Raises
    ------
    OptionError
        There is none; the message lists those that there are and guesses the one meant.
    """
    wanted = name.casefold()
    exact = [one for one in groups if name in (one.id, one.name)]
    found = exact or [one for one in groups if wanted in (one.id.casefold(), one.name.casefold())]
    if found:
        return found[0]
    raise OptionError(
        f"{name!r} is no resource group of {place}{_guess(name, [one.title for one in groups])}."
    )


def resource_named(name: str, group: GroupCapacity, place: str) -> str:
    """Give the name of a resource as the server spells it.

    Raises
    ------
    OptionError
        The group has no such resource; the message lists what it has and guesses the one meant.
    """
    found = group.resource(name)
    if found is not None:
        return found.name
    if not group.resources:
        return name  # the server does not say what there is, so it has to judge
    names = [one.name for one in group.resources]
    raise OptionError(
        f"{name!r} is no resource of the group {group.title!r} of {place}{_guess(name, names)}."
    )


def _guess(name: str, known: Sequence[str]) -> str:
    """Say what there is, and what was probably meant."""
    spelled = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), list(spelled), n=1, cutoff=0.5)
    meant = f"; did you mean {spelled[near[0]]!r}?" if near else ";"
    listed = sorted(one_line(one, 60) for one in known)
    return f"{meant} It has: {', '.join(listed) or 'none'}"


def _group(found: QuotaGroup) -> GroupCapacity:
    return GroupCapacity(
        id=found.id,
        name=found.name,
        level=found.level,
        resources=tuple(
            ResourceCapacity(
                name=name,
                total=total,
                free=max(0, total - found.allocated.get(name, 0)) if found.tells_use else None,
                default=found.default.get(name, 0),
            )
            for name, total in found.capacity.items()
        ),
        queue_length=found.queue_length,
    )
