"""Chunks that are in files of this machine: read where they are, checked, and put at their place.

Who uploads to the engine is most often on its machine, so that the bytes need not go through a
socket: the client says in which file a chunk is and how that file looked when it was read, and the
engine reads it there. Nothing of that is believed. A file that is another one by now, or by its
device and inode is not what the client saw (in a container, say), is refused whole, and each chunk
is held against its digest, as one that came.

The body, little-endian: the number of files as 4 bytes; then for each of them its size, its times
of modification and of change in nanoseconds, its inode and its device (8 bytes each), the number
that the client gave it (8), the length of its path (2) and the number of its chunks (4), the path,
and for each chunk its digest (32), its size (4) and its place in the file (8).

Notes
-----
Source: docs/protocol.md, "delta".
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from anylearn_jupyter.engine.chunk_index import Piece
from anylearn_jupyter.engine.chunk_uploads import (
    MAX_BODY_BYTES,
    MAX_BODY_CHUNKS,
    MAX_CHUNK_BYTES,
    file_name,
    not_stored,
    write_all,
)
from anylearn_jupyter.engine.request import ApiError, bad

_COUNT = struct.Struct("<L")
_FILE = struct.Struct("<40sQHL")
_SEEN = struct.Struct("<5Q")
_CHUNK = struct.Struct("<32sLQ")
_MASK = (1 << 64) - 1
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Source(NamedTuple):
    """A file of this machine: how it was seen, its number, its path, and what is taken from it."""

    seen: bytes
    number: int
    path: bytes
    chunks: list[Piece]


def sources_in(body: bytes) -> list[Source]:
    """Read a body, as this module's docstring describes it.

    Raises
    ------
    ApiError
        400: it is none, or asks for more than one request may bring.
    """
    try:
        found, end = _parsed(body)
    except struct.error as error:
        raise bad("The body has fewer bytes than its files.") from error
    chunks = [piece for source in found for piece in source.chunks]
    if end != len(body) or not 1 <= len(chunks) <= MAX_BODY_CHUNKS:
        raise bad(f"The body is no list of 1 to {MAX_BODY_CHUNKS} chunks.")
    if any(not 1 <= one.size <= MAX_CHUNK_BYTES or one.start >= 1 << 62 for one in chunks):
        raise bad(f"A chunk has 1 to {MAX_CHUNK_BYTES} bytes, and a place in its file.")
    if sum(one.size for one in chunks) > MAX_BODY_BYTES:
        raise bad(f"A request names at most {MAX_BODY_BYTES} bytes of chunks.")
    if not all(source.path.startswith(b"/") and b"\0" not in source.path for source in found):
        raise bad("The place of a file is a whole path.")
    return found


def _parsed(body: bytes) -> tuple[list[Source], int]:
    (count,) = _COUNT.unpack_from(body)
    found, at = [], _COUNT.size
    for _ in range(count):
        seen, number, length, chunks = _FILE.unpack_from(body, at)
        at += _FILE.size
        path, at = body[at : at + length], at + length
        end = at + chunks * _CHUNK.size
        if end > len(body):
            raise struct.error
        pieces = [
            Piece(digest, start, size) for digest, size, start in _CHUNK.iter_unpack(body[at:end])
        ]
        found.append(Source(seen, number, path, pieces))
        at = end
    return found, at


def copied(
    sources: list[Source], directory: Path, buffer: bytearray
) -> Iterator[tuple[str, Piece]]:
    """Copy chunks to their places in an upload, and give each that is right; for a thread.

    Parameters
    ----------
    sources : list of Source
        Where they are.
    directory : Path
        The upload's.
    buffer : bytearray
        `MAX_CHUNK_BYTES` to read into.

    Yields
    ------
    str, Piece
        The file in `directory`, and what is there.

    Raises
    ------
    ApiError
        409, ``not_here``: a file or a chunk is not there, or not as it was.
    """
    for source in sources:
        name = file_name(source.number)
        for piece in _copied(source, directory / name, memoryview(buffer)):
            yield name, piece


def _copied(source: Source, place: Path, view: memoryview) -> Iterator[Piece]:
    """Copy the chunks of one file, and give each that is right and at its place."""
    handle = _opened(source)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        target = os.open(place, flags, 0o600)
        try:
            for piece in source.chunks:
                data = view[: piece.size]
                if not _read(handle, data, piece.start) or blake3(data).digest() != piece.digest:
                    raise _not_here()
                write_all(target, data, piece.start)
                yield piece
        finally:
            os.close(target)
    except OSError as error:
        raise not_stored(error) from error
    finally:
        os.close(handle)


def _opened(source: Source) -> int:
    """Open a file that is still as it was seen; no link is followed, no fifo waited for."""
    try:
        handle = os.open(source.path, _FLAGS)
    except OSError as error:
        raise _not_here() from error
    found = os.fstat(handle)
    times = found.st_mtime_ns & _MASK, found.st_ctime_ns & _MASK
    seen = _SEEN.pack(found.st_size, *times, found.st_ino, found.st_dev)
    if not stat.S_ISREG(found.st_mode) or seen != source.seen:
        os.close(handle)
        raise _not_here()
    return handle


def _read(handle: int, view: memoryview, start: int) -> bool:
    """Fill a buffer from a place of a file; False where the file, or the reading, ends before."""
    try:
        while view and (read := os.preadv(handle, [view], start)):
            view, start = view[read:], start + read
    except OSError:
        return False
    return not view


def _not_here() -> ApiError:
    return ApiError(
        409, "not_here", "The engine does not find there what it was told of; send the bytes."
    )
