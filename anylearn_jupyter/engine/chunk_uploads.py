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
from collections.abc import Awaitable, Callable, Iterator
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
_BUFFERS = 3


class _Record(NamedTuple):
    """What a chunk is, and where it goes."""

    digest: bytes
    size: int
    file: int
    start: int


ReadInto = Callable[[memoryview], Awaitable[None]]


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
        self._spare: list[bytearray] = []

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
        return Receiver(self.directory(owner), self._index, user_id, owner, count, self._spare)

    def write_manifest(self, owner: str, start: int, data: bytes) -> None:
        """Put a part of a manifest at its place; for a thread."""
        if start + len(data) > MAX_MANIFEST_BYTES:
            raise ApiError(413, "too_large", f"A manifest has at most {MAX_MANIFEST_BYTES} bytes.")
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
        handle = os.open(self.directory(owner) / "manifest", flags, 0o600)
        try:
            write_all(handle, memoryview(data), start)
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
    """Takes the body of one request: the records of some chunks, then their bytes.

    The bytes go from the socket into one of three buffers, without a copy in between; from there
    they are checked and written in threads, while the next buffer is filled.

    Parameters
    ----------
    directory : Path
        Where the files go.
    index : ChunkIndex
        What is noted.
    user_id, owner : str
        Whose they are, and of which upload.
    count : callable
        ``count(chunks, bytes)``, of what was kept.
    spare : list of bytearray
        Buffers that nobody uses: to fill fresh memory costs as much as to check what is in it.
    """

    def __init__(
        self,
        directory: Path,
        index: ChunkIndex,
        user_id: str,
        owner: str,
        count: Callable[[int, int], None],
        spare: list[bytearray],
    ) -> None:
        self._directory = directory
        self._index = index
        self._user_id = user_id
        self._owner = owner
        self._count = count
        self._writing: deque[asyncio.Task[bytearray]] = deque()
        self._spare = spare
        self._in_use = 0
        self.chunks = 0
        self.bytes = 0
        self.left = 0

    async def take(self, read_into: ReadInto, length: int) -> None:
        """Take the whole body.

        Parameters
        ----------
        read_into : callable
            ``await read_into(buffer)`` fills a buffer from the body.
        length : int
            Bytes of the body. `left` says how many of them were not read, also after an error.

        Raises
        ------
        ApiError
            400: it is no such body, or a chunk is damaged; those before it are kept.
        """
        self.left = length
        try:
            records = await self._records(read_into)
            for group in _groups(records):
                buffer = await self._buffer()
                size = sum(record.size for record in group)
                await self._read(read_into, memoryview(buffer)[:size])
                task = asyncio.create_task(asyncio.to_thread(self._keep, group, buffer))
                self._writing.append(task)
            while self._writing:
                self._put_back(await self._writing.popleft())
        finally:
            await asyncio.gather(*self._writing, return_exceptions=True)
            self._count(self.chunks, self.bytes)

    async def _records(self, read_into: ReadInto) -> list[_Record]:
        """Read the number of chunks and their records."""
        if self.left < _COUNT.size:
            raise bad("The body has fewer bytes than its chunks.")
        head = bytearray(_COUNT.size)
        await self._read(read_into, memoryview(head))
        (count,) = _COUNT.unpack(head)
        if not 1 <= count <= MAX_BODY_CHUNKS:
            raise bad(f"A request brings 1 to {MAX_BODY_CHUNKS} chunks, not {count}.")
        if self.left < count * _RECORD.size:
            raise bad("The body has fewer bytes than its chunks.")
        fields = bytearray(count * _RECORD.size)
        await self._read(read_into, memoryview(fields))
        records = [_Record(*one) for one in _RECORD.iter_unpack(fields)]
        if any(not 1 <= one.size <= MAX_CHUNK_BYTES or one.start >= 1 << 62 for one in records):
            raise bad(f"A chunk has 1 to {MAX_CHUNK_BYTES} bytes, and a place in its file.")
        if sum(one.size for one in records) != self.left:
            raise bad("The body has not as many bytes as its chunks.")
        return records

    async def _read(self, read_into: ReadInto, view: memoryview) -> None:
        await read_into(view)
        self.left -= len(view)

    async def _buffer(self) -> bytearray:
        """Give a buffer that nobody uses, as soon as there is one."""
        if self._in_use == _BUFFERS:
            return await self._writing.popleft()
        self._in_use += 1
        return self._spare.pop() if self._spare else bytearray(MAX_CHUNK_BYTES)

    def _put_back(self, buffer: bytearray) -> None:
        if len(self._spare) < _BUFFERS:
            self._spare.append(buffer)

    def _keep(self, group: list[_Record], buffer: bytearray) -> bytearray:
        """Check and write some chunks, and note those that are right; in a thread.

        Returns
        -------
        bytearray
            The buffer, which may be filled again.
        """
        kept: list[tuple[str, Piece]] = []
        at = 0
        try:
            for record in group:
                data = memoryview(buffer)[at : at + record.size]
                at += record.size
                if blake3(data).digest() != record.digest:
                    raise ApiError(
                        400,
                        "damaged",
                        f"The chunk {record.digest.hex()} was damaged on its way; send it again.",
                    )
                self._write(record, data)
                kept.append(
                    (file_name(record.file), Piece(record.digest, record.start, record.size))
                )
        except OSError as error:
            raise not_stored(error) from error
        finally:
            self._index.add(self._user_id, self._owner, 0, kept)
            size = sum(piece.size for _, piece in kept)
            self.chunks += len(kept)
            self.bytes += size
        return buffer

    def _write(self, record: _Record, data: memoryview) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(self._directory / file_name(record.file), flags, 0o600)
        try:
            write_all(handle, data, record.start)
        finally:
            os.close(handle)


def file_name(number: int) -> str:
    """Name the file of an upload."""
    return f"{number:016x}"


def _groups(records: list[_Record]) -> Iterator[list[_Record]]:
    """Put chunks together that fit into a buffer, so that a thread has enough to do."""
    group: list[_Record] = []
    size = 0
    for record in records:
        if group and (size + record.size > MAX_CHUNK_BYTES or len(group) == _GROUP_CHUNKS):
            yield group
            group, size = [], 0
        group.append(record)
        size += record.size
    yield group


def not_stored(error: OSError) -> ApiError:
    """Say that the disk did not take what came."""
    return ApiError(500, "storage", f"The engine cannot store the upload: {error.strerror}.")


def write_all(handle: int, data: memoryview, start: int) -> None:
    """Write all of some bytes at a place of a file."""
    while data:
        written = os.pwrite(handle, data, start)
        start += written
        data = data[written:]
