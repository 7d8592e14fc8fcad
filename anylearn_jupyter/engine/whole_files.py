"""Files of this machine, taken where they are: each byte is read once, hashed and written.

Who uploads to the engine is most often on its machine, and then the bytes need not go through a
socket, nor be read on both sides of it: the client names its files and how it saw them, and learns
their digests. Nothing of that is believed. What is at its path is opened without following a link
or waiting for a fifo; unless it is a regular file that has the size, the times, the inode and the
device that the client saw, before and after the reading, it is not taken.

The body, little-endian: the number of files as 4 bytes; then for each of them its size, its times
of modification and of change in nanoseconds, its inode and its device (8 bytes each), the length of
its path (2) and the whole path.

Notes
-----
Source: docs/protocol.md, "delta". Several threads take files at once: reading, hashing and writing
release Python's lock. A whole file is one piece; it is not cut, as nothing of it has to travel.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import threading
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from anylearn_jupyter.engine.chunk_index import ChunkIndex, Piece
from anylearn_jupyter.engine.chunk_uploads import file_name, write_all
from anylearn_jupyter.engine.request import bad

MAX_FILES = 4096
"""Most files of one request."""

MAX_PATH_BYTES = 4096
"""Most bytes of a path: no system takes more."""

BLOCK_BYTES = 1 << 19
"""Bytes that are read at a time; each thread has a buffer of so many."""

_COUNT = struct.Struct("<L")
_FILE = struct.Struct("<40sH")
_SEEN = struct.Struct("<5Q")
_NUMBER = struct.Struct("<Q")
_MASK = (1 << 64) - 1
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_GROUP_FILES = 64
_BATCH_FILES = 1000
_ALONE_BYTES = 64 << 10
_ZEROS = bytes(BLOCK_BYTES)


MAX_FILES_BYTES = _COUNT.size + MAX_FILES * (_FILE.size + MAX_PATH_BYTES)
"""Most bytes of a request's body."""


class Source(NamedTuple):
    """A file of this machine: its place in the request, how it was seen, its size, its path."""

    at: int
    seen: bytes
    size: int
    path: bytes


class Taken(NamedTuple):
    """What became of a file.

    Attributes
    ----------
    at : int
        Its place in the request.
    digest : bytes
        BLAKE3; empty where it was not taken.
    kept : int
        How many bytes of it were new here.
    """

    at: int
    digest: bytes
    kept: int


@dataclass
class Told:
    """What happened since it was told last: bytes that were read, and files that are through.

    `size` is negative where a file came to nothing.
    """

    size: int = 0
    files: list[Taken] = field(default_factory=list)


def sources_in(body: bytes) -> list[Source]:
    """Read a body, as this module's docstring describes it.

    Raises
    ------
    ApiError
        400: it is none, or names more than one request may.
    """
    try:
        found = _parsed(body)
    except struct.error as error:
        raise bad("The body has fewer bytes than its files.") from error
    if not all(one.path.startswith(b"/") and b"\0" not in one.path for one in found):
        raise bad("The place of a file is a whole path.")
    return found


def _parsed(body: bytes) -> list[Source]:
    (count,) = _COUNT.unpack_from(body)
    if not 1 <= count <= MAX_FILES:
        raise bad(f"A request names 1 to {MAX_FILES} files, not {count}.")
    found, start = [], _COUNT.size
    for at in range(count):
        seen, length = _FILE.unpack_from(body, start)
        start += _FILE.size
        found.append(Source(at, seen, _SEEN.unpack(seen)[0], body[start : start + length]))
        start += length
    if start != len(body):
        raise bad("The body has not as many bytes as its files.")
    return found


@dataclass
class _Batch:
    """Small files that are through, and are neither noted nor told of yet."""

    kept: list[tuple[str, Piece]] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)


class Taking:
    """One request's files on their way into an upload.

    Parameters
    ----------
    sources : list of Source
        Which files.
    directory : Path
        The upload's.
    index : ChunkIndex
        Where it is noted what came.
    user_id, owner : str
        Whose it is, and of which upload.
    """

    def __init__(
        self, sources: list[Source], directory: Path, index: ChunkIndex, user_id: str, owner: str
    ) -> None:
        # What takes long is begun with, so that the threads end together.
        self._waiting = deque(
            sorted(sources, key=lambda one: -one.size if one.size > BLOCK_BYTES else 0)
        )
        self._directory = directory
        self._index = index
        self._user_id = user_id
        self._owner = owner
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._told = Told()
        self._stopped = False

    def work(self) -> None:
        """Take files until none is left; for a thread, and for several at once.

        Raises
        ------
        OSError
            The disk did not take what was read.
        """
        buffer, batch = memoryview(bytearray(BLOCK_BYTES)), _Batch()
        try:
            while group := self._next():
                if group[0].size > BLOCK_BYTES:
                    self._take_large(group[0], buffer)
                else:
                    self._take_small(group, buffer, batch)
                    if len(batch.taken) >= _BATCH_FILES:
                        self._note(batch)
                        batch = _Batch()
            self._note(batch)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Have all threads end soon, as nobody waits for the files any more."""
        self._stopped = True

    def told(self) -> Told:
        """Give what happened since the last time."""
        with self._lock:
            found, self._told = self._told, Told()
        return found

    def _next(self) -> list[Source]:
        """Give one large file, or some that fit into a buffer together; nothing at the end."""
        group: list[Source] = []
        room = BLOCK_BYTES
        with self._lock:
            while self._waiting and not self._stopped and len(group) < _GROUP_FILES:
                room -= self._waiting[0].size
                if group and room < 0:
                    break
                group.append(self._waiting.popleft())
        return group

    def _tell(self, size: int, files: list[Taken]) -> None:
        with self._lock:
            self._told.size += size
            self._told.files += files

    def _note(self, batch: _Batch) -> None:
        """Note what came, then tell of it: each costs less for many at once."""
        self._index.add_files(self._user_id, self._owner, batch.kept)
        self._tell(0, batch.taken)

    # Small files: read together, looked up together, noted together.

    def _take_small(self, group: list[Source], buffer: memoryview, batch: _Batch) -> None:
        """Take files that fit into the buffer together.

        Of the smallest ones by one thread at a time: a file of a few kilobytes is nothing but calls
        that each give Python's lock away and have to win it back.
        """
        size = sum(source.size for source in group)
        with self._turn if size < _ALONE_BYTES * len(group) else contextlib.nullcontext():
            self._take_together(group, buffer, batch)

    def _take_together(self, group: list[Source], buffer: memoryview, batch: _Batch) -> None:
        came: list[tuple[Source, bytes, memoryview]] = []
        for source in group:
            view = buffer[: source.size]
            if _read_small(source, view):
                came.append((source, blake3(view).digest(), view))
                buffer = buffer[source.size :]
            else:
                batch.taken.append(Taken(source.at, b"", 0))
        digests = [digest for _, digest, _ in came]
        lacking = set(self._index.lacking(self._user_id, digests))
        written: set[bytes] = set()
        for at, (source, digest, view) in enumerate(came):
            new = bool(view) and at in lacking and digest not in written
            if new:
                name = _name_of(source)
                self._write(name, view)
                written.add(digest)
                batch.kept.append((name, Piece(digest, 0, source.size)))
            batch.taken.append(Taken(source.at, digest, source.size if new else 0))
        self._tell(sum(source.size for source, _, _ in came), [])

    def _write(self, name: str, view: memoryview) -> None:
        handle = self._created(name)
        try:
            write_all(handle, view, 0)
        finally:
            os.close(handle)

    def _created(self, name: str) -> int:
        """Make a file of the upload; what is there is of an attempt that broke off."""
        path = f"{self._directory}{os.sep}{name}"
        try:
            return os.open(path, _WRITE_FLAGS, 0o600)
        except FileExistsError:
            # Not written over: it may be linked into content by now.
            Path(path).unlink()
            return os.open(path, _WRITE_FLAGS, 0o600)

    # Large files: written while they are read.

    def _take_large(self, source: Source, buffer: memoryview) -> None:
        name = _name_of(source)
        known = self._index.whole(self._owner, name)
        if known is not None and known.size == source.size:
            # It came before the upload broke off, if it is that: so it is only read.
            digest = self._copied(source, buffer, None)
            if digest == known.digest or not digest:
                self._tell(0, [Taken(source.at, digest, 0)])
                return
            self._tell(-source.size, [])
        target = self._created(name)
        try:
            digest = self._copied(source, buffer, target)
        finally:
            os.close(target)
        new = bool(digest) and bool(self._index.lacking(self._user_id, [digest]))
        if new:
            piece = Piece(digest, 0, source.size)
            self._index.add_files(self._user_id, self._owner, [(name, piece)])
        else:
            (self._directory / name).unlink(missing_ok=True)
        self._tell(0, [Taken(source.at, digest, source.size if new else 0)])

    def _copied(self, source: Source, buffer: memoryview, target: int | None) -> bytes:
        """Read a file to its end, and write it; gives its digest, empty where it is another."""
        handle = _opened(source)
        if handle is None:
            return b""
        hasher, done = blake3(), 0
        try:
            while done < source.size and not self._stopped:
                read = _read(handle, buffer[: source.size - done])
                if not read:
                    break
                hasher.update(buffer[:read])
                if target is not None and not _is_hole(buffer[:read]):
                    write_all(target, buffer[:read], done)
                done += read
                self._tell(read, [])
            if target is not None:
                os.ftruncate(target, done)
            if done == source.size and _is_as_seen(handle, source):
                return hasher.digest()
        finally:
            os.close(handle)
        self._tell(-done, [])
        return b""


def _name_of(source: Source) -> str:
    """Name a file in an upload after where it is and how it was seen, so that it is found again."""
    digest: bytes = blake3(source.seen + source.path).digest(_NUMBER.size)
    return file_name(_NUMBER.unpack(digest)[0])


def _opened(source: Source) -> int | None:
    """Open a file that is still as it was seen; None where it is not, or cannot be read."""
    try:
        handle = os.open(source.path, _READ_FLAGS)
    except OSError:
        return None
    if _is_as_seen(handle, source):
        return handle
    os.close(handle)
    return None


def _is_as_seen(handle: int, source: Source) -> bool:
    found = os.fstat(handle)
    times = found.st_mtime_ns & _MASK, found.st_ctime_ns & _MASK
    seen = _SEEN.pack(found.st_size, *times, found.st_ino, found.st_dev)
    return stat.S_ISREG(found.st_mode) and seen == source.seen


def _read_small(source: Source, view: memoryview) -> bool:
    """Read a file into a buffer of its size; False where it is another, or cannot be read."""
    handle = _opened(source)
    if handle is None:
        return False
    try:
        while view and (read := _read(handle, view)):
            view = view[read:]
        return not view and _is_as_seen(handle, source)
    finally:
        os.close(handle)


def _read(handle: int, view: memoryview) -> int:
    """Read some bytes; 0 at the end, and where a disk does not give them."""
    with contextlib.suppress(OSError):
        return os.readv(handle, (view,))
    return 0


def _is_hole(block: memoryview) -> bool:
    """Whether a block is nothing but zero bytes, which need no place on the disk."""
    return not (block[0] or block[-1]) and bytes(block) == _ZEROS[: len(block)]
