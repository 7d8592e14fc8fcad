"""What a training reads: from an input of the request to a resource that the server can mount."""

from __future__ import annotations

from dataclasses import dataclass

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.entities import Resource, ResourceState
from anylearn_jupyter.errors import ServerError
from anylearn_jupyter.submit.facts import DataFact
from anylearn_jupyter.submit.local_data import Content
from anylearn_jupyter.submit.request import DataInput, InputKind


@dataclass(frozen=True)
class MountedInput:
    """An input of the request, and what is mounted for it.

    Attributes
    ----------
    input : DataInput
        As it was asked for.
    resource : Resource
        Ready on the server.
    fact : DataFact
        What became of it, for the card.
    """

    input: DataInput
    resource: Resource
    fact: DataFact


def load_remote(one: DataInput, api: Api) -> Resource:
    """Read what is on the server already, and refuse what cannot be mounted.

    Raises
    ------
    NotFound
        There is none; nothing has been uploaded.
    ServerError
        It is not complete.

    Notes
    -----
    Source: quick_train spec, step 2. The results of a task that has not ended are not complete;
    a server that mounts them all the same says so by their state.
    """
    found = _read(one, api)
    if found.state != ResourceState.READY:
        what = "results of the task" if one.kind == InputKind.TASK else one.kind
        raise ServerError(
            f"The {what} {one.where} on {api.http.place} cannot be mounted: not complete "
            f"(state {found.state})."
        )
    return found


def _read(one: DataInput, api: Api) -> Resource:
    if one.kind == InputKind.TASK:
        return api.file(api.task(one.where).results_id)
    if one.kind == InputKind.MODEL:
        return api.model_named(one.fullname) if one.fullname else api.model(one.where)
    return api.dataset_named(one.fullname) if one.fullname else api.dataset(one.where)


def remote_input(one: DataInput, found: Resource) -> MountedInput:
    """Say of an input that was on the server that nothing was sent for it."""
    return MountedInput(one, found, DataFact(name=one.name, id=found.id, kind=str(one.kind)))


def local_input(one: DataInput, content: Content, found: Resource, sent: int) -> MountedInput:
    """Say of a local input what was sent for it."""
    return MountedInput(one, found, data_fact(one, content, found.id, sent))


def data_fact(one: DataInput, content: Content, resource_id: str, sent: int) -> DataFact:
    """Describe a local input."""
    return DataFact(
        name=one.name,
        path=one.path,
        id=resource_id,
        kind=str(one.kind),
        fingerprint=content.value,
        size_bytes=content.total_bytes,
        files=content.files,
        uploaded_bytes=sent,
    )
