"""Content of datasets, models and files: chunks as they come, and what is made of them.

On-disk layout (``ANYLEARN_HOME/engine/blobs/``)::

    <resource id>/upload        the chunks, each at its place, until the upload is finished
    <resource id>/manifest      or what it shall consist of, by content-addressed chunks
    <resource id>/content-<n>/  what it holds, unpacked; the row says which n is the present one
    incoming-*/                 chunks of uploads of that kind, see `chunk_uploads`
    chunks.sqlite3              which chunks are where: a cache, see `chunk_index`
    compressed/<id>.zip         packed for a download

A new content gets a new directory, which is renamed into place whole before the row names it; the
one before it goes when no unfinished task has it mounted. So a task that runs sees no change, and
nobody ever sees half (faults A9). An algorithm's archive becomes a commit of its repository.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from anylearn_jupyter.engine.assembly import Assembly, PiecesMissing
from anylearn_jupyter.engine.chunk_index import ChunkIndex, Piece
from anylearn_jupyter.engine.chunk_uploads import PREFIX, Incoming, Receiver
from anylearn_jupyter.engine.database import Database
from anylearn_jupyter.engine.repositories import GitFailed, Repositories
from anylearn_jupyter.engine.request import ApiError, bad, conflict
from anylearn_jupyter.engine.resources import AlgorithmRow, ResourceRow, Resources, Uploadable
from anylearn_jupyter.engine.store import Store
from anylearn_jupyter.engine.unpack import ArchiveRefused, is_zip, unpack
from anylearn_jupyter.engine.whole_files import Source, Taking, Told
from anylearn_jupyter.entities import ResourceState
from anylearn_jupyter.home import make_private_directory, sync_file_system

CHUNK_BYTES = 2_048_000
"""Bytes of every chunk but the last (HTTP API, section 6.3)."""

MAX_CHUNKS = 1_000_000
"""Most chunks of one upload."""

_BLOCK_BYTES = 1 << 20
_TAKERS = 2
_UPLOADS_AT_ONCE = 4
_TELL_S = 0.1

_log = logging.getLogger(__name__)


class Blobs:
    """All content of this engine.

    Parameters
    ----------
    root : Path
        ``blobs/`` of the engine.
    database, resources, store
        Rows of it, and of the tasks that use it.
    repositories : Repositories
        Where algorithms' archives go.
    """

    def __init__(
        self,
        root: Path,
        *,
        database: Database,
        resources: Resources,
        store: Store,
        repositories: Repositories,
    ) -> None:
        self._root = make_private_directory(root)
        self._database = database
        self._resources = resources
        self._store = store
        self._repositories = repositories
        self._running: dict[str, asyncio.Task[None]] = {}
        self.index = ChunkIndex(root / "chunks.sqlite3")
        self.incoming = Incoming(root, self.index)
        # So that one who sends terabytes keeps nobody else waiting.
        self._takers = ThreadPoolExecutor(_UPLOADS_AT_ONCE * _TAKERS, "take-files")
        self.last_upload = time.monotonic()

    @property
    def busy(self) -> bool:
        """Whether something is being put together."""
        return bool(self._running)

    @property
    def root(self) -> Path:
        """``blobs/`` of the engine."""
        return self._root

    @property
    def compressed(self) -> Path:
        """Where what was packed for a download is."""
        return make_private_directory(self._root / "compressed")

    def content(self, row: ResourceRow) -> Path:
        """Give the directory of the present content; it need not exist."""
        return self._root / row.id / f"content-{row.version}"

    # Uploading.

    async def put_chunk(self, thing: Uploadable, number: int, data: bytes) -> None:
        """Put one chunk at its place; it may come again, and in any order.

        Raises
        ------
        ApiError
            400, 409 or 413: it cannot be one, or the upload is being finished.
        """
        if thing.id in self._running:
            raise conflict(f"{thing.id} is being processed; wait until it is ready.")
        if number >= MAX_CHUNKS:
            raise bad(f"The chunk {number} is beyond the last possible one, {MAX_CHUNKS - 1}.")
        if len(data) > CHUNK_BYTES:
            raise ApiError(
                413, "too_large", f"A chunk has at most {CHUNK_BYTES} bytes, this one {len(data)}."
            )
        self.last_upload = time.monotonic()
        await asyncio.to_thread(self._write_chunk, thing.id, number, data)
        self._resources.add_chunk(thing.id, number, len(data))
        if thing.state == ResourceState.CREATED:
            self._resources.change(thing.id, state=int(ResourceState.UPLOADING))

    def receive(self, user_id: str, owner: str) -> Receiver:
        """Begin to take content-addressed chunks of an upload; see `chunk_uploads`."""
        return self.incoming.receive(user_id, owner, self._count_upload)

    async def take_files(
        self, user_id: str, owner: str, sources: list[Source]
    ) -> AsyncGenerator[Told, None]:
        """Take files of this machine into an upload, and tell some times a second how far it is.

        Raises
        ------
        OSError
            The disk did not take them; what was told of is kept.
        """
        directory = self.incoming.directory(owner)
        taking = Taking(sources, directory, self.index, user_id, owner)
        loop = asyncio.get_running_loop()
        waiting = {loop.run_in_executor(self._takers, taking.work) for _ in range(_TAKERS)}
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, timeout=_TELL_S)
                told = taking.told()
                kept = [one.kept for one in told.files if one.kept]
                self._count_upload(len(kept), sum(kept))
                yield told
                for one in done:
                    one.result()
        finally:
            taking.stop()
            await asyncio.gather(*waiting, return_exceptions=True)

    def _count_upload(self, chunks: int, size: int) -> None:
        self.last_upload = time.monotonic()
        self._database.count(upload_chunks=chunks, upload_bytes=size)

    def _write_chunk(self, thing_id: str, number: int, data: bytes) -> None:
        directory = make_private_directory(self._root / thing_id)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        handle = os.open(directory / "upload", flags, 0o600)
        try:
            offset = number * CHUNK_BYTES
            while data:
                written = os.pwrite(handle, data, offset)
                offset += written
                data = data[written:]
        finally:
            os.close(handle)

    def finish(self, thing: Uploadable, user: str, *, purge: bool) -> asyncio.Task[None] | None:
        """Begin to put together what came.

        Returns
        -------
        Task or None
            Ends when the thing is ready or in error; None if nothing came since the last time
            (the answer to the first request was lost, and it is sent again).

        Raises
        ------
        ApiError
            400: nothing came at all, or chunks are missing.
        """
        if thing.id in self._running:
            return self._running[thing.id]
        self._manifest(thing.id).unlink(missing_ok=True)  # chunks by number count, if both came
        if not self._resources.chunks(thing.id) and thing.state != ResourceState.CREATED:
            return None
        size = self._size_of_upload(thing.id)
        return self._begin(thing.id, user, size, purge=purge)

    def finish_manifest(
        self, thing: ResourceRow, user: str, owner: str, manifest: Path, size: int, *, purge: bool
    ) -> asyncio.Task[None]:
        """Begin to make content of a manifest that was checked; as `finish`.

        Parameters
        ----------
        owner : str
            The upload that brought the chunks.
        manifest : Path
            Its file, which is taken away from there.
        size : int
            Bytes of all files.
        """
        if thing.id in self._running:
            return self._running[thing.id]
        place = self._manifest(thing.id)
        make_private_directory(place.parent)
        (place.parent / "manifest-of").write_text(owner, encoding="ascii")
        manifest.replace(place)
        return self._begin(thing.id, user, size, purge=purge)

    def _begin(self, thing_id: str, user: str, size: int, *, purge: bool) -> asyncio.Task[None]:
        """Write down that the content is being made, and begin with it."""
        with self._database.transaction():
            self._resources.change(
                thing_id,
                finishing=2 if purge else 1,
                state=int(ResourceState.UPLOADING),
                size=size,
            )
        return self._process(thing_id, user)

    def resume(self, name_of: Callable[[str], str]) -> None:
        """Go on with what an engine that died was putting together."""
        for thing in self._resources.interrupted():
            self._process(thing.id, name_of(thing.creator_id))

    def _size_of_upload(self, thing_id: str) -> int:
        """Check that the chunks are those of one upload, and give their bytes.

        Chunks behind the last one are left of an upload that was given up, if they all came before
        the first chunk of this one.
        """
        chunks = self._resources.chunks(thing_id)
        total = 0
        for place, (number, size, _) in enumerate(chunks):
            if number != place:
                raise bad(f"The chunk {place} of {thing_id} is missing; send it, then finish.")
            total += size
            if size < CHUNK_BYTES:
                rest = chunks[place + 1 :]
                if any(arrived > chunks[0][2] for _, _, arrived in rest):
                    raise bad(
                        f"The chunk {place} of {thing_id} has {size} bytes and is not the last; "
                        f"send it again with {CHUNK_BYTES}."
                    )
                return total
        if not chunks:
            raise bad(f"Nothing was uploaded to {thing_id}; send its chunks first.")
        return total

    # Putting together.

    def _process(self, thing_id: str, user: str) -> asyncio.Task[None]:
        task = asyncio.create_task(self._process_now(thing_id, user))
        self._running[thing_id] = task
        return task

    async def _process_now(self, thing_id: str, user: str) -> None:
        try:
            thing = self._resources.uploadable(thing_id)
            if thing is not None:
                changes = await asyncio.to_thread(self._make, thing, user)
                done = int(ResourceState.READY)
                self._close_upload(thing_id, state=done, problem="", **changes)
                self._database.count(uploads_finished=1)
        except (ArchiveRefused, GitFailed, PiecesMissing) as error:
            self._close_upload(thing_id, state=int(ResourceState.ERROR), problem=str(error))
        except OSError as error:
            _log.exception("%s could not be put together", thing_id)
            words = f"the engine could not unpack it: {error.strerror or error}"
            self._close_upload(thing_id, state=int(ResourceState.ERROR), problem=words)
        finally:
            self._running.pop(thing_id, None)
            self.last_upload = time.monotonic()
        await asyncio.to_thread(self.sweep, thing_id)

    def _close_upload(self, thing_id: str, **changes: object) -> None:
        with self._database.transaction():
            self._resources.drop_chunks(thing_id)
            now_ms = time.time_ns() // 1_000_000
            self._resources.change(thing_id, finishing=0, uploaded_ms=now_ms, **changes)

    def _make(self, thing: Uploadable, user: str) -> dict[str, object]:
        """Make content of an upload; gives the columns that say so."""
        archive = self._root / thing.id / "upload"
        fresh = self._root / thing.id / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        try:
            if isinstance(thing, ResourceRow) and self._manifest(thing.id).exists():
                return self._make_of_manifest(thing, fresh)
            with archive.open("rb+") as file:
                file.truncate(thing.size)
            if isinstance(thing, AlgorithmRow):
                return self._make_commit(thing, user, archive, fresh)
            return self._make_content(thing, archive, fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _make_commit(
        self, thing: AlgorithmRow, user: str, archive: Path, fresh: Path
    ) -> dict[str, object]:
        if not is_zip(archive):
            raise ArchiveRefused("an algorithm is sent as a zip, and this is none")
        unpack(archive, fresh, as_code=True)
        commit = self._repositories.commit(self._repositories.path(user, thing.name), fresh)
        return {"commit_id": commit}

    def _make_content(self, thing: ResourceRow, archive: Path, fresh: Path) -> dict[str, object]:
        # Other kinds of file are zips inside too (.npz, .pt, .docx), and stay what they are.
        zipped = thing.filename.lower().endswith(".zip") or not thing.filename
        zipped = zipped and is_zip(archive)
        held: list[tuple[str, Piece]] = []

        def hold(path: str, size: int, digest: bytes) -> None:
            if size:
                held.append((path, Piece(digest, 0, size)))

        if zipped:
            unpack(archive, fresh, on_file=hold)
        else:
            shutil.copyfile(archive, fresh / _file_name(thing))
        version = self._put_in_place(thing, fresh)
        self.index.add(thing.creator_id, thing.id, version, held)
        return {"version": version, "is_zipfile": int(zipped)}

    def _make_of_manifest(self, thing: ResourceRow, fresh: Path) -> dict[str, object]:
        manifest = self._manifest(thing.id)
        owner = (manifest.parent / "manifest-of").read_text(encoding="ascii")
        assembly = Assembly(self._root, self.index, thing.creator_id, owner, manifest)
        try:
            assembly.build(fresh, thing.id, thing.version + 1)
        except (PiecesMissing, ArchiveRefused, OSError):
            # What came stays; it is finished again with another manifest, or given up.
            manifest.unlink()
            raise
        version = self._put_in_place(thing, fresh)
        assembly.note(thing.id, version)
        return {"version": version, "is_zipfile": 0}

    def _manifest(self, thing_id: str) -> Path:
        return self._root / thing_id / "manifest"

    def _put_in_place(self, thing: ResourceRow, fresh: Path) -> int:
        """Make the fresh files the next version of the content, whole under its name."""
        version = thing.version + 1
        whole = self._root / thing.id / f"content-{version}"
        shutil.rmtree(whole, ignore_errors=True)
        if thing.finishing == 1 and self.content(thing).is_dir():
            merged = self._root / thing.id / "merged"
            shutil.rmtree(merged, ignore_errors=True)
            shutil.copytree(self.content(thing), merged, copy_function=os.link)
            _overlay(fresh, merged)
            merged.rename(whole)
        else:
            fresh.rename(whole)
        # The row is about to say that it is there, also after a power cut (faults B1).
        sync_file_system(whole)
        return version

    # Removing.

    def delete(self, thing_id: str) -> None:
        """Remove all content of a thing whose row is gone; for a thread."""
        self.index.forget(thing_id)
        shutil.rmtree(self._root / thing_id, ignore_errors=True)

    def sweep(self, thing_id: str) -> None:
        """Remove what nobody needs any more of one thing; for a thread."""
        row = self._resources.resource(thing_id)
        directory = self._root / thing_id
        if thing_id in self._running or not directory.is_dir():
            return
        if not self._resources.chunks(thing_id):
            (directory / "upload").unlink(missing_ok=True)
        self._sweep_manifest(directory)
        if row is None:
            if self._resources.algorithm(thing_id) is None:
                self.delete(thing_id)
            return
        for path in directory.glob("content-*"):
            if path != self.content(row) and not self._store.unfinished_with(thing_id):
                shutil.rmtree(path, ignore_errors=True)
                self.index.forget(thing_id, keep_version=row.version)

    def _sweep_manifest(self, directory: Path) -> None:
        """Remove a manifest that was carried out, with the upload that brought its chunks."""
        place = directory / "manifest"
        if place.exists():
            self.incoming.drop((directory / "manifest-of").read_text(encoding="ascii"))
            place.unlink()
        (directory / "manifest-of").unlink(missing_ok=True)

    def sweep_all(self) -> None:
        """Remove what an engine that died has left; for a thread, at the start."""
        for path in self._root.iterdir():
            if path != self.compressed and not path.name.startswith(PREFIX):
                self.sweep(path.name)
        self.incoming.sweep()


def _file_name(thing: ResourceRow) -> str:
    """Give a name for a single file that is safe in a path."""
    name = Path(thing.filename.replace("\\", "/")).name
    return name if name not in ("", ".", "..") and len(name.encode()) <= 255 else "file"


def _overlay(fresh: Path, merged: Path) -> None:
    """Put new files over old ones, whose bytes others may still read."""
    for path in sorted(fresh.rglob("*")):
        place = merged / path.relative_to(fresh)
        if path.is_dir():
            if place.exists() and not place.is_dir():
                place.unlink()
            place.mkdir(exist_ok=True)
        else:
            if place.is_dir():
                shutil.rmtree(place)
            path.replace(place)
