"""What servers were last known to have, for completion by Tab: names, kept when a server was asked.

Nothing is asked for it, and nothing relies on it: a missing or damaged file is an empty memory. It
holds names only, no amounts and no content, a short list of each kind for each server and user.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from anylearn_jupyter.client.connection import Connection
from anylearn_jupyter.errors import ConfigError
from anylearn_jupyter.home import Home, write_private

KINDS = ("groups", "resources", "projects", "mirrors", "datasets", "models")
"""What is remembered; anything else in the file is of another version, and left alone."""

LIMIT = 500
"""Names of one kind that are kept for one server."""


def remember(connection: Connection, **found: Iterable[str]) -> None:
    """Keep the names that a server has just listed; each kind replaces what was known of it.

    Parameters
    ----------
    **found : iterable of str
        Names by their kind, of `KINDS`.
    """
    home = connection.settings.home
    kept = _read(home)
    entry = kept.setdefault(_place(connection.server, connection.username), {})
    names = {kind: list(dict.fromkeys(filter(None, names)))[:LIMIT]
             for kind, names in found.items()}  # fmt: skip
    if all(entry.get(kind) == listed for kind, listed in names.items()):
        return
    entry.update(names)
    try:
        write_private(home.choices, json.dumps({"format": 1, "servers": kept}).encode())
    except (OSError, ConfigError):
        return  # a full disk costs no more than a suggestion


def known(kind: str, home: Home | None = None) -> list[str]:
    """Give the names of one kind, of all servers, sorted; nobody is asked."""
    found: set[str] = set()
    for entry in _read(home or Home()).values():
        names = entry.get(kind)
        if isinstance(names, list):
            found.update(name for name in names if isinstance(name, str))
    return sorted(found)


def _place(server: str, username: str) -> str:
    return f"{username}@{server}"


def _read(home: Home) -> dict[str, dict[str, Any]]:
    try:
        data = json.loads(home.choices.read_bytes())
    except (OSError, ValueError):
        return {}
    servers = data.get("servers") if isinstance(data, dict) else None
    if not isinstance(servers, Mapping):
        return {}
    return {str(place): entry for place, entry in servers.items() if isinstance(entry, dict)}
