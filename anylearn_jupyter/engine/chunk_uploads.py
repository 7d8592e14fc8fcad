"""Uploads by content-addressed chunks, while they come: each chunk checked, and put at its place.

On-disk layout, in ``blobs/``::

    incoming-<user id>-<upload>/<16 hex>   a file as far as it came; the name is the client's choice
    incoming-<user id>-<upload>/manifest   what the content shall consist of, when it is finished

A chunk goes straight to its place in the file that it is of, so that a file of which everything
came needs no second writing. What is where is in the `ChunkIndex`.

Notes
-----
Source: docs/protocol.md, "delta".
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import struct
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from anylearn_jupyter.engine.chunk_index import ChunkIndex, Piece
from anylearn_jupyter.engine.request import ApiError, bad
from anylearn_jupyter.home import make_private_directory

MAX_CHUNK_BYTES = 2 << 20
"""Most bytes of one chunk."""

MAX_BODY_BYTES = 16 << 20
"""Most bytes of one request that brings chunks."""

MAX_BODY_CHUNKS = 4096
"""Most chunks of one request."""

MAX_MANIFEST_BYTES = 1 << 30
"""Most bytes of a manifest; each request brings at most `MAX_CHUNK_BYTES` of it."""

KEPT_S = 7 * 24 * 3600.0
"""Seconds for which an upload that was given up is kept."""

PREFIX = "incoming-"
"""What the directories of uploads begin with."""

_COUNT = struct.Struct("<L")
_RECORD = struct.Struct("<32sLQQ")
_NAME = re.compile(r"[0-9a-f]{32}")
_GROUP_BYTES = 1 << 20
_GROUP_CHUNKS = 512
_IN_THREADS = 2


class _Record(NamedTuple):
    """What a chunk is, and where it goes."""

    digest: bytes
    size: int
    file: int
    start: int


_Group = list[tuple[_Record, list[memoryview]]]


class Incoming:
    """All uploads that are not finished.

    Parameters
    ----------
    root : Path
        ``blobs/`` of the engine.
    index : ChunkIndex
        Where it is noted what is where.
    """

    def __init__(self, root: Path, index: ChunkIndex) -> None:
        self._root = root
        self._index = index
        self._used: dict[str, float] = {}

    def owner(self, user_id: str, upload: str) -> str:
        """Name the directory of an upload, or raise where it cannot be one."""
        if not _NAME.fullmatch(upload):
            raise bad("The field 'upload' is 32 lowercase hexadecimal digits.")
        return f"{PREFIX}{user_id}-{upload}"

    def directory(self, owner: str) -> Path:
        """Give the directory of an upload, made if it is not there."""
        self._used[owner] = time.monotonic()
        return make_private_directory(self._root / owner)

    def receive(self, user_id: str, owner: str, count: Callable[[int, int], None]) -> Receiver:
        """Begin to take one request's chunks; ``count(chunks, bytes)`` hears of what was kept."""
        return Receiver(self.directory(owner), self._index, user_id, owner, count)

    def write_manifest(self, owner: str, start: int, data: bytes) -> None:
        """Put a part of a manifest at its place; for a thread."""
        if start + len(data) > MAX_MANIFEST_BYTES:
            raise ApiError(413, "too_large", f"A manifest has at most {MAX_MANIFEST_BYTES} bytes.")
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        handle = os.open(self.directory(owner) / "manifest", flags, 0o600)
        try:
            _write_all(handle, [memoryview(data)], start)
        finally:
            os.close(handle)

    def whole_manifest(self, owner: str, size: int, digest: str) -> Path:
        """Give the file of a manifest that has come whole, or raise; for a thread."""
        path = self.directory(owner) / "manifest"
        hasher = blake3()
        try:
            with path.open("rb+") as file:
                file.truncate(size)
                while block := file.read(_GROUP_BYTES):
                    hasher.update(block)
        except FileNotFoundError as error:
            raise bad("No manifest has come; send it, then finish.") from error
        if hasher.hexdigest() != digest:
            raise bad("The manifest is not the one that was announced; send it again, then finish.")
        return path

    def drop(self, owner: str) -> None:
        """Remove an upload with all that came of it; for a thread."""
        self._used.pop(owner, None)
        self._index.forget(owner)
        shutil.rmtree(self._root / owner, ignore_errors=True)

    def sweep(self) -> None:
        """Remove uploads that were given up, and what is noted of those that are gone; a thread."""
        found = {path.name for path in self._root.iterdir() if path.name.startswith(PREFIX)}
        for owner in found:
            age_s = time.time() - (self._root / owner).stat().st_mtime
            if owner not in self._used and not 0 <= age_s < KEPT_S:
                self.drop(owner)
        for owner in self._index.owners():
            if owner.startswith(PREFIX) and owner not in found and owner not in self._used:
                self._index.forget(owner)


class Receiver:
    """Takes the body of one request: the records of some chunks, then their bytes, as they come.

    Two groups of chunks are checked and written in threads while the next one is read.

    Parameters
    ----------
    directory : Path
        Where the files go.
    index : ChunkIndex
        What is noted.
    user_id, owner : str
        Whose they are, and of which upload.
    count : callable
        ``count(chunks, bytes)``, of what was kept; in a thread.
    """

    def __init__(
        self,
        directory: Path,
        index: ChunkIndex,
        user_id: str,
        owner: str,
        count: Callable[[int, int], None],
    ) -> None:
        self._directory = directory
        self._index = index
        self._user_id = user_id
        self._owner = owner
        self._count = count
        self._head = bytearray()
        self._records: list[_Record] | None = None
        self._next = 0
        self._parts: list[memoryview] = []
        self._part_bytes = 0
        self._group: _Group = []
        self._group_bytes = 0
        self._writing: deque[asyncio.Task[None]] = deque()
        self.chunks = 0
        self.bytes = 0

    async def write(self, data: bytes) -> None:
        """Take a piece of the body.

        Raises
        ------
        ApiError
            400: it is no such body, or a chunk is damaged; those before it are kept.
        """
        view = memoryview(data)
        if self._records is None:
            view = self._take_head(view)
        while view:
            assert self._records is not None
            if self._next == len(self._records):
                raise bad("The body has more bytes than its chunks.")
            record = self._records[self._next]
            part = view[: record.size - self._part_bytes]
            view = view[len(part) :]
            self._parts.append(part)
            self._part_bytes += len(part)
            if self._part_bytes == record.size:
                await self._take_chunk(record)

    async def finish(self) -> None:
        """Wait until all is checked and written; the body is at its end."""
        if self._records is None or self._next != len(self._records) or self._parts:
            raise bad("The body has fewer bytes than its chunks.")
        await self._hand_over()
        while self._writing:
            await self._writing.popleft()

    async def abandon(self) -> None:
        """Keep what came whole; the rest of the body will not come, or is not looked at."""
        if self._group:
            group, self._group = self._group, []
            self._writing.append(asyncio.create_task(asyncio.to_thread(self._keep, group)))
        await asyncio.gather(*self._writing, return_exceptions=True)

    def _take_head(self, view: memoryview) -> memoryview:
        """Take the number of chunks and their records; gives what is behind them."""
        self._head += view
        if len(self._head) < _COUNT.size:
            return view[:0]
        (count,) = _COUNT.unpack_from(self._head)
        if not 1 <= count <= MAX_BODY_CHUNKS:
            raise bad(f"A request brings 1 to {MAX_BODY_CHUNKS} chunks, not {count}.")
        size = _COUNT.size + count * _RECORD.size
        if len(self._head) < size:
            return view[:0]
        fields = memoryview(self._head)[_COUNT.size : size]
        records = [_Record(*one) for one in _RECORD.iter_unpack(fields)]
        if any(not 1 <= one.size <= MAX_CHUNK_BYTES or one.start >= 1 << 62 for one in records):
            raise bad(f"A chunk has 1 to {MAX_CHUNK_BYTES} bytes, and a place in its file.")
        self._records = records
        return memoryview(bytes(self._head[size:]))

    async def _take_chunk(self, record: _Record) -> None:
        self._group.append((record, self._parts))
        self._group_bytes += record.size
        self._parts, self._part_bytes = [], 0
        self._next += 1
        if self._group_bytes >= _GROUP_BYTES or len(self._group) >= _GROUP_CHUNKS:
            await self._hand_over()

    async def _hand_over(self) -> None:
        while len(self._writing) >= _IN_THREADS:
            await self._writing.popleft()
        group, self._group, self._group_bytes = self._group, [], 0
        if group:
            self._writing.append(asyncio.create_task(asyncio.to_thread(self._keep, group)))

    def _keep(self, group: _Group) -> None:
        """Check and write some chunks, and note those that are right; in a thread."""
        kept: list[tuple[str, Piece]] = []
        try:
            for record, parts in group:
                hasher = blake3()
                for part in parts:
                    hasher.update(part)
                if hasher.digest() != record.digest:
                    raise ApiError(
                        400,
                        "damaged",
                        f"The chunk {record.digest.hex()} was damaged on its way; send it again.",
                    )
                self._write(record, parts)
                kept.append(
                    (file_name(record.file), Piece(record.digest, record.start, record.size))
                )
        except OSError as error:
            raise ApiError(
                500, "storage", f"The engine cannot store the upload: {error.strerror}."
            ) from error
        finally:
            self._index.add(self._user_id, self._owner, 0, kept)
            size = sum(piece.size for _, piece in kept)
            self.chunks += len(kept)
            self.bytes += size
            self._count(len(kept), size)

    def _write(self, record: _Record, parts: list[memoryview]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(self._directory / file_name(record.file), flags, 0o600)
        try:
            _write_all(handle, parts, record.start)
        finally:
            os.close(handle)


def file_name(number: int) -> str:
    """Name the file of an upload."""
    return f"{number:016x}"


def _write_all(handle: int, parts: list[memoryview], start: int) -> None:
    for part in parts:
        while part:
            written = os.pwrite(handle, part, start)
            start += written
            part = part[written:]
