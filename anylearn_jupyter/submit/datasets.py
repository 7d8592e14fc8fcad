"""Local data becomes a dataset on the server: looked up by its content, sent only if it is new.

Where the content is known is asked in this order: the ledger, the user's datasets on the server
(whose descriptions carry the fingerprint, so that a lost ledger costs no upload), nobody. Two
processes of one machine that send the same content take turns, and the second finds it there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anylearn_jupyter.client.api.base import mark_of
from anylearn_jupyter.client.locks import locked
from anylearn_jupyter.client.upload import Uploader
from anylearn_jupyter.entities import Dataset, ResourceState
from anylearn_jupyter.errors import NotFound, ServerError
from anylearn_jupyter.submit.archive import archive, check_names
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.fingerprint import Fingerprint

TURN_TIMEOUT_S = 24 * 3600.0
"""Seconds that a process waits for another one that sends the same content."""

_NAME_LIMIT = 50


def dataset_name(path: Path) -> str:
    """Name a dataset after its place, as published: ``<name>-<8 hex of the SHA-1 of its path>``.

    Notes
    -----
    Source: HTTP API, section 6.2.
    """
    place = path.expanduser().resolve()
    digest = hashlib.sha1(str(place).encode("utf-8", "surrogateescape"), usedforsecurity=False)
    ending = f"-{digest.hexdigest()[:8]}"
    plain = "".join(c if c.isprintable() else "-" for c in place.name) or "data"
    return plain[: _NAME_LIMIT - len(ending)] + ending


def load_dataset(dataset_id: str, destination: Destination) -> Dataset:
    """Read a dataset that was named by its id, and refuse one that cannot be mounted.

    Raises
    ------
    NotFound
        There is none; nothing has been uploaded.
    ServerError
        It is not complete.
    """
    found = destination.api.dataset(dataset_id)
    if found.state != ResourceState.READY:
        raise ServerError(
            f"The dataset {dataset_id} ({found.name}) on {destination.connection.address} cannot "
            f"be mounted: it is not complete (state {found.state})."
        )
    return found


def known_dataset(content: Fingerprint, destination: Destination) -> Dataset | None:
    """Find a complete dataset with this content on the server; nothing is sent.

    Notes
    -----
    Source: quick_train spec, step 4. One that the ledger knows and the server has no more is
    forgotten with a note.
    """
    ledger, server, user_id = destination.ledger, destination.server, destination.user_id
    recorded = ledger.dataset(server, user_id, content.value)
    if recorded is not None:
        found = _if_there(recorded, destination)
        if found is not None and found.state == ResourceState.READY:
            return found
        ledger.forget_dataset(server, user_id, content.value)
        destination.progress.note(
            f"The dataset {recorded} of {content.root} is not on {destination.connection.address} "
            "any more, so its content is sent again."
        )
    listed = _listed(content, destination)
    ready = next((one for one in listed if one.state == ResourceState.READY), None)
    if ready is not None:
        ledger.record_dataset(server, user_id, content.value, ready.id, content.total_bytes)
    return ready


def provide_dataset(content: Fingerprint, destination: Destination) -> tuple[Dataset, int]:
    """Make sure that the server has a dataset with this content.

    Returns
    -------
    tuple
        The dataset, ready, and how many bytes had to be sent: 0 where it was there.

    Raises
    ------
    DataError
        A file changed meanwhile, or has a name that no server can unpack.
    ServerError, ServerUnreachable
        As the server says; the fingerprint is recorded only when the dataset is ready.

    Notes
    -----
    Source: quick_train spec, step 4; HTTP API, section 6.3.
    """
    destination.progress.step("Looking up the data", str(content.root))
    found = known_dataset(content, destination)
    if found is not None:
        return found, 0
    check_names(content)
    with _one_sender(content, destination):
        # Whoever had the turn before may have sent just this.
        found = known_dataset(content, destination)
        if found is not None:
            return found, 0
        return _sent(content, destination)


def _sent(content: Fingerprint, destination: Destination) -> tuple[Dataset, int]:
    """Register the dataset, or take the one of an upload that broke off, and send its content."""
    api, progress = destination.api, destination.progress
    progress.step("Sending the data", str(content.root))
    dataset_id = _unfinished(content, destination) or _registered(content, destination)
    total = content.total_bytes
    sent = Uploader(api).send(
        dataset_id,
        archive(
            content,
            on_progress=lambda done, _: progress.bytes(f"sending {content.root.name}", done, total),
        ),
    )
    dataset = destination.wait_ready(api.dataset, dataset_id, f"the data {content.root}")
    destination.ledger.record_dataset(
        destination.server, destination.user_id, content.value, dataset_id, total
    )
    return dataset, sent


def _registered(content: Fingerprint, destination: Destination) -> str:
    name = dataset_name(content.root)
    return destination.create_once(
        "dataset",
        content.value,
        lambda key, doubtful: destination.api.add_dataset(
            name,
            description=f"{content.root.name} {mark_of(content.value)}",
            filename=f"{name}.zip",
            key=key,
            doubtful=doubtful,
        ),
    )


def _unfinished(content: Fingerprint, destination: Destination) -> str | None:
    """Find a dataset that was registered for this content and never completed."""
    begun = (ResourceState.CREATED, ResourceState.UPLOADING)
    listed = _listed(content, destination)
    return next((one.id for one in listed if one.state in begun), None)


def _listed(content: Fingerprint, destination: Destination) -> list[Dataset]:
    """Give the user's own datasets whose description carries the fingerprint.

    Own ones only: anybody can write a fingerprint into the description of other content, and lists
    need not say whose a dataset is.
    """
    api, mark = destination.api, mark_of(content.value)
    marked = (api.dataset(one.id) for one in api.datasets() if mark in one.description)
    return [one for one in marked if one.creator_id in ("", destination.user_id)]


def _if_there(dataset_id: str, destination: Destination) -> Dataset | None:
    try:
        return destination.api.dataset(dataset_id)
    except NotFound:
        return None


@contextmanager
def _one_sender(content: Fingerprint, destination: Destination) -> Iterator[None]:
    """Let one process of this machine send a content at a time."""
    home = destination.ledger.home
    place = f"{destination.server} {destination.user_id} {content.value}"
    name = hashlib.sha256(place.encode()).hexdigest()[:32]
    with locked(home.uploads / f"{name}.lock", TURN_TIMEOUT_S):
        yield
