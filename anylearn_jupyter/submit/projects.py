"""The project that a task goes to: named, or the user's default one."""

from __future__ import annotations

import secrets

from anylearn_jupyter.entities import Project
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.destination import Destination

NAME_LIMIT = 50
"""Characters of a project's name (HTTP API, section 5)."""


def check_project_name(name: str) -> None:
    """Refuse a name that no server takes.

    Raises
    ------
    OptionError
        It is empty or too long.
    """
    if not name.strip() or len(name) > NAME_LIMIT:
        raise OptionError(
            f"project_name={name!r} cannot be used; write 1 to {NAME_LIMIT} characters."
        )


def provide_project(project_name: str | None, destination: Destination) -> Project:
    """Give the user's project of a name, made if there is none; without a name, the default one.

    Where the server knows no default projects, one with a generated name is made, once.

    Notes
    -----
    Source: quick_train spec, option ``project_name``; HTTP API, section 5.
    """
    api = destination.api
    if project_name is not None:
        found = api.find_project(project_name, destination.connection.username)
        return found or _made(project_name, destination)
    found = api.default_project()
    if found is not None:
        return found
    name = f"notebook-{secrets.token_hex(3)}"
    mine = [project for project in api.projects() if project.name.startswith("notebook-")]
    return mine[0] if mine else _made(name, destination)


def _made(name: str, destination: Destination) -> Project:
    project_id = destination.create_once(
        "project",
        name,
        lambda key, doubtful: destination.api.add_project(
            name, "made by anylearn-jupyter", key, doubtful=doubtful
        ),
    )
    return destination.api.project(project_id)
