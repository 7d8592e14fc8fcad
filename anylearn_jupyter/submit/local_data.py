"""Local data becomes a resource on the server: looked up by its content, sent only if it is new.

Where the content is known is asked in this order: the ledger, the user's own resources on the
server (whose descriptions carry the fingerprint, so that a lost ledger costs no upload), nobody.
Two processes of one machine that send the same content take turns, and the second finds it there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anylearn_jupyter.client.api.base import mark_of
from anylearn_jupyter.client.upload import ResourceUploader, Uploader
from anylearn_jupyter.entities import Resource, ResourceState
from anylearn_jupyter.errors import NotFound
from anylearn_jupyter.submit.archive import archive, check_names
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.fingerprint import Fingerprint
from anylearn_jupyter.submit.ready_archive import ReadyArchive
from anylearn_jupyter.submit.request import InputKind

NAME_LIMIT = 50

Content = Fingerprint | ReadyArchive
"""Local data that was read: a folder or a file, or a ready-made archive."""


@dataclass(frozen=True)
class LocalData:
    """Local data on its way to a server.

    Parameters
    ----------
    content : Fingerprint or ReadyArchive
        What was read.
    kind : InputKind
        What it becomes: a dataset, or a model.
    destination : Destination
        Where to.
    algorithm_id : str
        What a model is registered against; empty for a dataset, and where it is not known yet.
    uploader : ResourceUploader, optional
        The caller's own strategy.
    """

    content: Content
    kind: InputKind
    destination: Destination
    algorithm_id: str = ""
    uploader: ResourceUploader | None = None

    def known(self) -> Resource | None:
        """Find a complete resource with this content on the server; nothing is sent.

        Notes
        -----
        Source: quick_train spec, step 4. One that the ledger knows and the server has no more is
        forgotten with a note.
        """
        ledger, server, user_id = (
            self.destination.ledger,
            self.destination.server,
            self.destination.user_id,
        )
        recorded = ledger.dataset(server, user_id, self.subject)
        if recorded is not None:
            found = self._if_there(recorded)
            if found is not None and found.state == ResourceState.READY:
                return found
            ledger.forget_dataset(server, user_id, self.subject)
            self.destination.progress.note(
                f"The {self.kind} {recorded} of {self.content.root} is not on "
                f"{self.destination.connection.address} any more, so its content is sent again."
            )
        ready = next((one for one in self._listed() if one.state == ResourceState.READY), None)
        if ready is not None:
            self._record(ready.id)
        return ready

    def provide(self) -> tuple[Resource, int]:
        """Make sure that the server has this content.

        Returns
        -------
        tuple
            The resource, ready, and how many bytes had to be sent: 0 where it was there.

        Raises
        ------
        DataError
            A file changed meanwhile, or has a name that no server can unpack.
        ServerError, ServerUnreachable
            As the server says; the fingerprint is recorded only when the resource is ready.

        Notes
        -----
        Source: quick_train spec, step 4; HTTP API, section 6.3.
        """
        if isinstance(self.content, Fingerprint):
            check_names(self.content)
        with self.destination.turn(self.subject):
            found = self.known()
            return (found, 0) if found is not None else self._sent()

    @property
    def subject(self) -> str:
        """What the ledger knows this content by; a model is another thing than a dataset."""
        value = self.content.value
        return value if self.kind == InputKind.DATASET else f"{self.kind} {value}"

    def _if_there(self, resource_id: str) -> Resource | None:
        try:
            return self._ask(resource_id)
        except NotFound:
            return None

    def _ask(self, resource_id: str) -> Resource:
        api = self.destination.api
        return api.model(resource_id) if self.kind == InputKind.MODEL else api.dataset(resource_id)

    def _listed(self) -> list[Resource]:
        """Give the user's own resources whose description carries the fingerprint.

        Own ones only: anybody can write a fingerprint into the description of other content, and
        lists need not say whose a resource is.
        """
        api, mark = self.destination.api, mark_of(self.content.value)
        listed: Sequence[Resource] = (
            api.models() if self.kind == InputKind.MODEL else api.datasets()
        )
        marked = (self._ask(one.id) for one in listed if mark in one.description)
        return [one for one in marked if one.creator_id in ("", self.destination.user_id)]

    def _record(self, resource_id: str) -> None:
        place = self.destination
        place.ledger.record_dataset(
            place.server, place.user_id, self.subject, resource_id, self.content.total_bytes
        )

    def _sent(self) -> tuple[Resource, int]:
        """Register it, or take the resource of an upload that broke off, and send the content."""
        progress, root = self.destination.progress, self.content.root
        progress.step(f"Sending the {_WORDS[self.kind]}", str(root))
        begun = (ResourceState.CREATED, ResourceState.UPLOADING)
        unfinished = next((one.id for one in self._listed() if one.state in begun), None)
        resource_id = unfinished or self._registered()
        uploader = Uploader(self.destination.api, strategy=self.uploader)
        sent = uploader.send(resource_id, self._stream(f"sending {root.name}"))
        found = self.destination.wait_ready(
            self._ask, resource_id, f"the {_WORDS[self.kind]} {root}"
        )
        self._record(resource_id)
        return found, sent

    def _stream(self, label: str) -> Iterator[bytes]:
        def tell(done: int, total: int) -> None:
            self.destination.progress.bytes(label, done, total)

        if isinstance(self.content, ReadyArchive):
            return self.content.stream(tell)
        return archive(self.content, on_progress=tell)

    def _registered(self) -> str:
        root = self.content.root
        name = resource_name(root)
        filename = root.name if isinstance(self.content, ReadyArchive) else f"{name}.zip"
        description = f"{root.name} {mark_of(self.content.value)}"

        def add(key: str, doubtful: bool) -> str:
            api = self.destination.api
            if self.kind == InputKind.MODEL:
                return api.add_model(
                    name,
                    algorithm_id=self.algorithm_id,
                    description=description,
                    filename=filename,
                    key=key,
                    doubtful=doubtful,
                )
            return api.add_dataset(
                name, description=description, filename=filename, key=key, doubtful=doubtful
            )

        return self.destination.create_once(str(self.kind), self.subject, add)


_WORDS = {InputKind.DATASET: "data", InputKind.MODEL: "model"}


def resource_name(path: Path) -> str:
    """Name a dataset or model after its place: ``<name>-<8 hex of the SHA-1 of its path>``.

    Notes
    -----
    Source: HTTP API, section 6.2.
    """
    place = path.expanduser().resolve()
    digest = hashlib.sha1(str(place).encode("utf-8", "surrogateescape"), usedforsecurity=False)
    ending = f"-{digest.hexdigest()[:8]}"
    plain = "".join(c if c.isprintable() else "-" for c in place.name) or "data"
    return plain[: NAME_LIMIT - len(ending)] + ending
