"""What the server says before anything is sent to it: everything is asked at once.

A thing that is missing there is an error here, so that nothing was uploaded in vain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anylearn_jupyter.entities import Algorithm, Project, Resource
from anylearn_jupyter.submit.at_once import at_once
from anylearn_jupyter.submit.code import SentCode, algorithm_name_of, confirm_code, load_code
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.inputs import load_remote
from anylearn_jupyter.submit.local_data import LocalData
from anylearn_jupyter.submit.preparation import Preparation
from anylearn_jupyter.submit.projects import find_project
from anylearn_jupyter.submit.quota import ResourceRequest, resource_request
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from anylearn_jupyter.submit.secrets import check_secrets
from anylearn_jupyter.submit.supervised import check_supervision


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What a server has of what a request needs.

    Attributes
    ----------
    mirror_id : str
        The environment.
    resources : list or None
        The resource request as it goes to the server.
    algorithm : Algorithm or None
        The user's algorithm for local code; None where there is none yet, or none is needed.
    confirmed : str or None
        The algorithm that has the snapshot already; see `code.confirm_code`.
    code : SentCode or None
        The code, where it was named by what it is called there.
    project : Project or None
        None where it has to be made.
    remote : dict
        What each input is that was named by its id or full name.
    known : dict
        What is there already of each local path and kind; what is missing is not in it.
    """

    mirror_id: str
    resources: ResourceRequest | None
    algorithm: Algorithm | None
    confirmed: str | None
    code: SentCode | None
    project: Project | None
    remote: dict[DataInput, Resource]
    known: dict[DataInput, Resource]


def local_data_of(
    one: DataInput, prepared: Preparation, destination: Destination, algorithm_id: str = ""
) -> LocalData:
    """Give a local input as data on its way to the server."""
    assert isinstance(one.path, Path)
    return LocalData(
        prepared.contents.get(one.path) or prepared.seen[one.path],
        one.kind,
        destination,
        algorithm_id,
        prepared.request.uploader,
    )


def survey(prepared: Preparation, destination: Destination) -> Survey:
    """Ask a server everything that does not depend on another answer, at once.

    Raises
    ------
    NotFound, OptionError, ServerError
        Something that was named is not there, or cannot be used.
    ServerUnreachable, LoginRequired
        It gave no answer.

    Notes
    -----
    Source: quick_train spec, steps 1 to 3 and 6.
    """
    request, api = prepared.request, destination.api
    is_embedded = destination.connection.engine is not None
    captured = prepared.snapshot
    remote = [one for one in dict.fromkeys(request.data) if one.path is None]
    # What was not read yet has no name there; it is asked for while it is read.
    local = [one for one in dict.fromkeys(request.data) if one.path in prepared.contents]
    calls: dict[str, Callable[[], Any]] = {
        "features": lambda: check_kept(request, destination),
        "mirror": lambda: api.mirror_id(request.mirror_name),
        "resources": lambda: resource_request(request, api, is_embedded=is_embedded),
        "project": lambda: find_project(request, destination),
        **{f"remote {n}": _loading(one, destination) for n, one in enumerate(remote)},
        **{f"local {n}": local_data_of(one, prepared, destination).known
           for n, one in enumerate(local)},
    }  # fmt: skip
    if captured is not None:
        name = algorithm_name_of(request, captured)
        calls["algorithm"] = lambda: api.find_algorithm(name)
        calls["confirmed"] = lambda: confirm_code(name, captured, destination)
    else:
        calls["code"] = lambda: load_code(request, api)
    if request.quota_group is None and not request.quota_request:
        del calls["resources"]  # nobody has to be asked
    found = at_once(calls)
    known = {one: found[f"local {n}"] for n, one in enumerate(local)}
    return Survey(
        mirror_id=found["mirror"],
        resources=found.get("resources"),
        algorithm=found.get("algorithm"),
        confirmed=found.get("confirmed"),
        code=found.get("code"),
        project=found["project"],
        remote={one: found[f"remote {n}"] for n, one in enumerate(remote)},
        known={one: there for one, there in known.items() if there is not None},
    )


def check_kept(request: TrainRequest, destination: Destination) -> None:
    """Refuse what the server would not keep of the request (docs/protocol.md).

    Raises
    ------
    OptionError
        A limit, attempts or secrets on a server without them.
    """
    check_supervision(request, destination)
    check_secrets(request, destination)


def _loading(one: DataInput, destination: Destination) -> Callable[[], Resource]:
    return lambda: load_remote(one, destination.api)
