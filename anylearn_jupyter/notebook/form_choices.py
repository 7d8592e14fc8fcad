"""What a form learns beside the cell: what the server has and what is free, and how large data is.

All of it waits for a server or a disk, so none of it is called in a thread that anybody waits for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.entities import Resource, ResourceState, is_id
from anylearn_jupyter.errors import AnylearnError
from anylearn_jupyter.notebook.descriptions import server_text
from anylearn_jupyter.notebook.resources_view import amount_text
from anylearn_jupyter.notebook.terminal import size_text
from anylearn_jupyter.submit.at_once import at_once
from anylearn_jupyter.submit.capacity import GroupCapacity, capacity
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.fingerprint import look
from anylearn_jupyter.submit.known_choices import remember
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.local_data import LocalData
from anylearn_jupyter.submit.progress import SilentProgress
from anylearn_jupyter.submit.request import InputKind
from anylearn_jupyter.submit.stat_cache import StatCache

MOST_OFFERED = 200
"""Names of one kind that a control offers; others are typed."""

_ID_AT_END = re.compile(r".* · (\S+)")
_HIDDEN = (".", "__pycache__")


@dataclass(frozen=True)
class Choices:
    """What a server has, for the controls.

    Attributes
    ----------
    server : str
        What it is called in a sentence.
    groups : tuple of GroupCapacity
        With what is free now.
    projects, environments : tuple of str
        Names.
    datasets, models : tuple of str
        ``name · id``; `place_of` gives the id.
    trouble : str
        Why nothing is known, in one sentence; empty where it answered.
    """

    server: str = ""
    groups: tuple[GroupCapacity, ...] = ()
    projects: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    trouble: str = ""

    def group(self, name: str) -> GroupCapacity | None:
        """Give a group by its name or id; an empty name is the one that a task gets by default."""
        wanted = (name or "default").casefold()
        return next(
            (one for one in self.groups if wanted in (one.id.casefold(), one.name.casefold())), None
        )


def ask_server(server: str | None) -> Choices:
    """Ask a server for everything that a form offers, at once; it waits for the answers.

    Parameters
    ----------
    server : str or None
        As in a request: None for this process's own.
    """
    try:
        connection = current_connection(server)
        api = connection.api
        found = at_once(
            {
                "groups": lambda: capacity(connection),
                "projects": api.projects,
                "environments": api.mirrors,
                "datasets": api.datasets,
                "models": api.models,
            }
        )
    except AnylearnError as error:
        return Choices(trouble=str(error))
    projects = tuple(one.name for one in found["projects"])
    environments = tuple(found["environments"])
    remember(connection, projects=projects, mirrors=environments)
    return Choices(
        server=server_text(connection.server),
        groups=found["groups"],
        projects=_offered(projects),
        environments=_offered(environments),
        datasets=_offered(_labels(found["datasets"])),
        models=_offered(_labels(found["models"])),
    )


def place_of(shown: str) -> str:
    """Give the id of what was chosen from the server's list; any other text is what it is.

    Examples
    --------
    >>> place_of("digits · DSET1"), place_of("./digits")
    ('DSET1', './digits')
    """
    found = _ID_AT_END.fullmatch(shown)
    return found[1] if found else shown


def group_label(group: GroupCapacity) -> str:
    """Say of a group what is free in it and how many tasks wait."""
    free = [
        f"{amount_text(one.free)} of {amount_text(one.total)} {one_line(one.name, 30)}"
        for one in group.resources
        if one.free is not None and one.total
    ]
    now = f"{', '.join(free[:3])} free" if free else "what is free is unknown"
    waiting = f", {group.queue_length} waiting" if group.queue_length else ""
    return f"{one_line(group.title, 40)} · {now}{waiting}"


def data_text(path: Path, kind: InputKind, server: str | None) -> str:
    """Say how large local data is and whether the server has it; nothing of it is opened.

    Parameters
    ----------
    path : Path
        A folder or a file.
    server : str or None
        As in a request.
    """
    try:
        seen = look(path, StatCache())
        count = "1 file" if seen.scan.files == 1 else f"{seen.scan.files:,} files"
        size = f"{count}, {size_text(seen.scan.total_bytes)}"
        known = seen.fingerprint
        if known is None:
            return f"{size} · not sent from here yet, or changed since"
        with Ledger() as ledger:
            destination = Destination(current_connection(server), ledger, SilentProgress())
            there = LocalData(known, kind, destination).known()
    except AnylearnError as error:
        return str(error)
    return f"{size} · already there as {there.id}" if there else f"{size} · to be sent"


def remote_text(server: str | None, place: str, kind: InputKind) -> str:
    """Say what a dataset or a model on the server is; empty for what is no id."""
    if not is_id(place, "MODE" if kind is InputKind.MODEL else "DSET"):
        return ""
    try:
        api = current_connection(server).api
        found: Resource = api.model(place) if kind is InputKind.MODEL else api.dataset(place)
    except AnylearnError as error:
        return str(error)
    size = f"{size_text(int(found.size))} · " if found.size.isdigit() else ""
    return f"{one_line(found.name)} · {size}already there"


def scripts_in(directory: Path) -> tuple[str, ...]:
    """Give the scripts and then the notebooks of a directory that one may want to train."""
    found = _names_in(directory)
    return (
        *(name for name in found if name.endswith(".py")),
        *(name for name in found if name.endswith(".ipynb")),
    )


def data_in(directory: Path) -> tuple[str, ...]:
    """Give the folders and files of a directory that may be data."""
    return tuple(name for name in _names_in(directory) if not name.endswith((".py", ".ipynb")))


def _names_in(directory: Path) -> list[str]:
    try:
        found = sorted(directory.iterdir())
    except OSError:
        return []
    return [
        f"{path.name}{'/' if path.is_dir() else ''}"
        for path in found
        if not path.name.startswith(_HIDDEN) and path.name.isprintable()
    ][:MOST_OFFERED]


def _labels(found: Iterable[Resource]) -> Iterator[str]:
    for one in found:
        if one.state == ResourceState.READY:
            yield f"{one_line(one.name, 60)} · {one.id}"


def _offered(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(one_line(name, 120) for name in list(dict.fromkeys(names))[:MOST_OFFERED])
