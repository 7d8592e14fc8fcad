"""Asking a server for all the names that completion by Tab may offer, once one has logged in."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from anylearn_jupyter.client.connection import Connection
from anylearn_jupyter.errors import ServerError, ServerUnreachable
from anylearn_jupyter.submit.at_once import at_once
from anylearn_jupyter.submit.capacity import capacity
from anylearn_jupyter.submit.known_choices import remember


def learn_choices(connection: Connection) -> None:
    """Remember a server's environments, projects, groups, and the ids of its datasets and models.

    A kind that the server does not list, or not now, stays as it was known: nothing relies on it.

    Parameters
    ----------
    connection : Connection
        Live; what its user can see is remembered.
    """
    api = connection.api
    kinds: dict[str, Callable[[], Iterable[str]]] = {
        "mirrors": api.mirrors,
        "projects": lambda: [one.name for one in api.projects()],
        "datasets": lambda: [one.id for one in api.datasets()],
        "models": lambda: [one.id for one in api.models()],
        "groups": lambda: [one.title for one in capacity(connection)],
    }
    found = at_once({kind: _listed(call) for kind, call in kinds.items()})
    remember(connection, **{kind: names for kind, names in found.items() if names is not None})


def _listed(call: Callable[[], Iterable[str]]) -> Callable[[], list[str] | None]:
    def listed() -> list[str] | None:
        try:
            return list(call())
        except (ServerError, ServerUnreachable):
            return None

    return listed
