"""Local data becomes a resource on the server: looked up by its content, sent only if it is new.

Where the content is known is asked in this order: the ledger, the user's own resources on the
server (whose descriptions carry the fingerprint, so that a lost ledger costs no upload), nobody.
Two processes of one machine that send the same content take turns, and the second finds it there.

Content travels in one of two ways. To a server that takes chunks by what they hold (feature
``delta``), data that nobody knows yet is read only once, while what the server lacks of it is sent.
To any other one it travels as an archive, by numbered chunks, and an upload that broke off goes on
behind the last one that was confirmed.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from anylearn_jupyter.client.api.base import mark_of
from anylearn_jupyter.client.upload import ResourceUploader, Uploader
from anylearn_jupyter.entities import Resource, ResourceState
from anylearn_jupyter.errors import Conflict, DataError, NotFound, ServerError, ServerUnreachable
from anylearn_jupyter.submit.archive import ARCHIVE_FORMAT, archive, check_names
from anylearn_jupyter.submit.delta_upload import DeltaUpload, fits, upload_name
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.fingerprint import DataReading, Fingerprint, SeenData, look
from anylearn_jupyter.submit.progress import tell_files
from anylearn_jupyter.submit.ready_archive import READY_FORMAT, ReadyArchive
from anylearn_jupyter.submit.request import InputKind
from anylearn_jupyter.submit.stat_cache import StatCache
from anylearn_jupyter.submit.upload_record import UploadRecord

NAME_LIMIT = 50

_TRIES = 3

Content = Fingerprint | ReadyArchive
"""Local data that was read: a folder or a file, or a ready-made archive."""


class Provided(NamedTuple):
    """What became of local data.

    Attributes
    ----------
    resource : Resource
        Ready on the server.
    sent : int
        How many bytes had to be sent; 0 where it was there.
    content : Fingerprint or ReadyArchive
        What it is, also where it was read only now.
    """

    resource: Resource
    sent: int
    content: Content


@dataclass(frozen=True)
class LocalData:
    """Local data on its way to a server.

    Parameters
    ----------
    content : Fingerprint or ReadyArchive or SeenData
        What was read; or what was looked at only, and is read while it is sent.
    kind : InputKind
        What it becomes: a dataset, or a model.
    destination : Destination
        Where to.
    algorithm_id : str
        What a model is registered against; empty for a dataset, and where it is not known yet.
    uploader : ResourceUploader, optional
        The caller's own strategy.
    """

    content: Content | SeenData
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
                f"{self.destination.api.http.place} any more, so its content is sent again."
            )
        ready = next((one for one in self._listed() if one.state == ResourceState.READY), None)
        if ready is not None:
            self._record(ready.id)
        return ready

    def provide(self) -> Provided:
        """Make sure that the server has this content.

        Raises
        ------
        DataError
            A file changed meanwhile, or has a name that no server can unpack.
        ServerError, ServerUnreachable, LoginRequired
            As the server says; the fingerprint is recorded only when the resource is ready. What
            was confirmed need not be sent again.

        Notes
        -----
        Source: quick_train spec, step 4; HTTP API, section 6.3; docs/protocol.md, "delta".
        """
        if isinstance(self.content, SeenData):
            # Who had the turn before has read just this, so that its digests are known now.
            with self.destination.turn(f"reading {self.content.root}"):
                seen = look(self.content.root, self._cache)
                if seen.fingerprint is None:
                    return self._read_and_sent(seen)
            return replace(self, content=seen.fingerprint).provide()
        if isinstance(self.content, Fingerprint):
            check_names(self.content)
        with self.destination.turn(self.subject):
            found = self.known()
            if found is not None:
                return Provided(found, 0, self.content)
            self._tell_step()
            resource_id = self._begun()
            if isinstance(self.content, Fingerprint) and self.takes_chunks():
                return self._sent_by_chunks(resource_id, self.content)
            return self._sent_by_archive(resource_id, self.content)

    def takes_chunks(self) -> bool:
        """Whether the content travels by chunks that are addressed by what they hold."""
        return self.uploader is None and fits(self.destination.api.delta)

    @property
    def subject(self) -> str:
        """What the ledger knows this content by; a model is another thing than a dataset."""
        value = self._known_content.value
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
        api, mark = self.destination.api, mark_of(self._known_content.value)
        listed: Sequence[Resource] = (
            api.models() if self.kind == InputKind.MODEL else api.datasets()
        )
        marked = (self._ask(one.id) for one in listed if mark in one.description)
        return [one for one in marked if one.creator_id in ("", self.destination.user_id)]

    def _record(self, resource_id: str) -> None:
        place = self.destination
        place.ledger.record_dataset(
            place.server, place.user_id, self.subject, resource_id, self._known_content.total_bytes
        )

    @property
    def _known_content(self) -> Content:
        if isinstance(self.content, SeenData):
            raise RuntimeError(f"{self.content.root} has not been read yet")
        return self.content

    @property
    def _cache(self) -> StatCache:
        return StatCache(self.destination.ledger.home)

    def _tell_step(self) -> None:
        self.destination.progress.step(f"Sending the {_WORDS[self.kind]}", str(self.content.root))

    def _begun(self) -> str:
        """Give the resource of an upload that broke off, or register a new one."""
        begun = (ResourceState.CREATED, ResourceState.UPLOADING)
        for one in self._listed():
            # Chunks of another form, that are there already, must not be taken for ours.
            if one.state in begun and not self._upload_record(one.id).is_of_another_format():
                return one.id
        return self._registered()

    def _ready(self, resource_id: str, sent: int) -> Provided:
        """Wait until the server is done with it, and record it."""
        what = f"the {_WORDS[self.kind]} {self.content.root}"
        found = self.destination.wait_ready(self._ask, resource_id, what)
        self._record(resource_id)
        return Provided(found, sent, self._known_content)

    # By numbered chunks of an archive, which every server takes.

    def _sent_by_archive(self, resource_id: str, content: Content) -> Provided:
        record = self._upload_record(resource_id)
        uploader = Uploader(self.destination.api, strategy=self.uploader)
        label = f"sending {content.root.name}"
        try:
            sent = uploader.go_on(resource_id, lambda: self._stream(content, label), record)
        except ServerUnreachable as error:
            if not error.may_have_happened:
                raise
            self._finish_again(resource_id, error)
            sent = content.total_bytes
        found = self._ready(resource_id, sent)
        record.forget()
        return found

    def _finish_again(self, resource_id: str, lost: ServerUnreachable) -> None:
        """Say once more that all is there, as the answer was lost; what became of it counts.

        Notes
        -----
        Source: faults D14.
        """
        try:
            self.destination.api.finish_upload(resource_id, purge=False)
        except ServerError as error:
            if self._ask(resource_id).state != ResourceState.READY:
                raise lost from error

    def _upload_record(self, resource_id: str) -> UploadRecord:
        place, content = self.destination, self._known_content
        kind = READY_FORMAT if isinstance(content, ReadyArchive) else ARCHIVE_FORMAT
        return UploadRecord(
            place.ledger, place.server, place.user_id, resource_id, content.value, kind
        )

    # By chunks that are addressed by what they hold.

    def _read_and_sent(self, seen: SeenData) -> Provided:
        """Read data that nobody has read yet, and send meanwhile what the server lacks of it."""
        self._tell_step()
        with self._delta() as upload:
            reading = self._read(seen, upload)
            content = reading.result(self._cache)
            read = replace(self, content=content)
            with self.destination.turn(read.subject):
                found = read.known()
                if found is not None:
                    self.destination.api.delta_drop(upload.name)
                    return Provided(found, upload.sent, content)
                return read._finished(read._begun(), upload, reading)

    def _sent_by_chunks(self, resource_id: str, content: Fingerprint) -> Provided:
        """Send content whose digests are known; what the server has of it is not even opened."""
        with self._delta() as upload:
            return self._finished(resource_id, upload, self._read_again(content, upload))

    def _finished(self, resource_id: str, upload: DeltaUpload, reading: DataReading) -> Provided:
        """Finish an upload; what turns out to be gone or damaged on the server is sent again.

        Notes
        -----
        Source: faults B11, D13 and D14. A whole file may turn out to be damaged, then a chunk of
        it; so it takes up to three times.
        """
        content = self._known_content
        assert isinstance(content, Fingerprint)
        for _ in range(_TRIES - 1):
            try:
                return self._finished_once(resource_id, upload, reading)
            except ServerError as error:
                # Without a status: what it made of the upload is in error.
                if not isinstance(error, Conflict) and error.status is not None:
                    raise
            upload.begin_again()
            reading = self._read_again(content, upload)
        return self._finished_once(resource_id, upload, reading)

    def _finished_once(
        self, resource_id: str, upload: DeltaUpload, reading: DataReading
    ) -> Provided:
        api = self.destination.api
        try:
            api.delta_finish(upload.name, resource_id, upload.manifest(reading))
        except ServerUnreachable as error:
            if not error.may_have_happened or self._ask(resource_id).state != ResourceState.READY:
                raise
        return self._ready(resource_id, upload.sent)

    def _read_again(self, content: Fingerprint, upload: DeltaUpload) -> DataReading:
        reading = self._read(look(content.root, self._cache), upload)
        if reading.result(self._cache).value != content.value:
            raise DataError(
                f"The data {content.root} changed while it was being sent; run it again when "
                "nothing writes to it."
            )
        return reading

    def _read(self, seen: SeenData, upload: DeltaUpload) -> DataReading:
        reading = DataReading(seen)
        upload.choose(reading)
        progress, label = self.destination.progress, f"sending {seen.root.name}"
        reading.read_all(
            upload,
            partial(progress.bytes, label),
            on_file=partial(tell_files, progress, label),
            cache=self._cache,
        )
        upload.flush()
        return reading

    def _delta(self) -> DeltaUpload:
        place, limits = self.destination, self.destination.api.delta
        assert limits is not None
        home = str(place.ledger.home.root)
        name = upload_name(platform.node(), home, str(self.content.root), str(self.kind))
        return DeltaUpload(place.api, limits, name)

    def _stream(self, content: Content, label: str) -> Iterator[bytes]:
        progress = self.destination.progress

        if isinstance(content, ReadyArchive):
            return content.stream(partial(progress.bytes, label))
        return archive(
            content,
            on_progress=partial(progress.bytes, label),
            on_files=lambda done: tell_files(progress, label, done, content.files),
        )

    def _registered(self) -> str:
        content = self._known_content
        root = content.root
        name = resource_name(root)
        filename = root.name if isinstance(content, ReadyArchive) else f"{name}.zip"
        description = f"{root.name} {mark_of(content.value)}"

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
