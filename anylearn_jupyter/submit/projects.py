"""The project that a task goes to: named, or the user's default one."""

from __future__ import annotations

import secrets

from anylearn_jupyter.entities import Project
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.request import TrainRequest

NAME_LIMIT = 50
"""Characters of a project's name (HTTP API, section 5)."""

_GENERATED = "notebook-"


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


def find_project(request: TrainRequest, destination: Destination) -> Project | None:
    """Find the project by its id, by its name, or the user's default one; None: it has to be made.

    Where the server knows no default projects, one that was made for that before is taken.

    Raises
    ------
    NotFound
        There is no project of that id.

    Notes
    -----
    Source: quick_train spec, options ``project_id`` and ``project_name``; HTTP API, section 5.
    """
    api = destination.api
    if request.project_id is not None:
        return api.project(request.project_id)
    if request.project_name is not None:
        return api.find_project(request.project_name, destination.connection.username)
    default = api.default_project()
    if default is not None:
        return default
    # The list may have projects of others, whose notebooks made theirs in the same way.
    own = ("", destination.user_id)
    made = (one for one in api.projects() if one.name.startswith(_GENERATED))
    return next((one for one in made if one.creator_id in own), None)


def make_project(request: TrainRequest, destination: Destination) -> Project:
    """Make the project that `find_project` did not find, unless somebody else just did."""
    name = request.project_name or f"{_GENERATED}{secrets.token_hex(3)}"
    subject = request.project_name or _GENERATED
    with destination.turn(f"project {subject}"):
        found = find_project(request, destination)
        if found is not None:
            return found
        project_id = destination.create_once(
            "project",
            subject,
            lambda key, doubtful: destination.api.add_project(
                name, "made by anylearn-jupyter", key, doubtful=doubtful
            ),
        )
    return destination.api.project(project_id)
