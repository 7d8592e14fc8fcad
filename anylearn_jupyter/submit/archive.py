"""A dataset as a zip, streamed: the same bytes for the same content, and nothing on disk.

Members are in the order of their paths' bytes, relative to the dataset's directory, without entries
for directories, with one fixed time and the executable bit. Deflate is ISA-L's level 1, on all
processors, see `zip_packers`. Whether something shrinks is decided by samples all over it: a file
of at most 1 MiB is deflated or stored as a whole, a larger one block by block, where a block that
does not shrink goes into deflate's own stored form. Memory does not grow with the size of the
files; each member costs some hundred bytes until the end, where the zip's own directory is written.

Each file is checked while it is read against its `fingerprint.Entry`, so that what a server has
under a fingerprint is what the fingerprint says. The fingerprint is the identity of the content;
the zip is not: another version of ISA-L may write other bytes for it, see `ARCHIVE_FORMAT`. And one
file of some ten thousand comes out of ISA-L (isal 1.9.1, on a busy machine) in another form that is
as good, for a reason that we did not find; so who goes on with an upload looks (`client.upload`).

Notes
-----
Source: quick-train specification, steps 3 and 4; HTTP API, section 6.3; faults E11, E12, E13; the
layout is PKWARE's APPNOTE, sections 4.3 to 4.5.
"""

from __future__ import annotations

import io
import os
import platform
import stat
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future

import isal
from blake3 import blake3
from isal import isal_zlib

from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit.data_names import check_folders
from anylearn_jupyter.submit.fingerprint import Entry, Fingerprint
from anylearn_jupyter.submit.regular_files import open_regular, open_seen
from anylearn_jupyter.submit.zip_packers import Packers, packers
from anylearn_jupyter.submit.zip_work import (
    DATE,
    DEFLATED,
    LOCAL,
    UTF8_NAME,
    VERSION_NEEDED,
    Member,
    Packed,
)

ARCHIVE_FORMAT = f"zip 3, isal {isal.__version__}, {platform.machine()}, {platform.node()}"
"""What has to be the same for the same content to give the same bytes."""

_BLOCK_BYTES = 1 << 20
"""Bytes that are compressed at a time; a file up to this size is compressed as a whole."""

_AHEAD = 4
_GROUPS_AHEAD = 8
_GROUP_FILES = 64
_GROUP_BYTES = 1 << 18
_LAST_BLOCK = b"\x03\x00"

_UNIX = 3 << 8
_READABLE, _EXECUTABLE = (stat.S_IFREG | 0o644) << 16, (stat.S_IFREG | 0o755) << 16
_WITH_LARGE_FIELDS = 45
_SIZES_FOLLOW = 0x8
_MOST = 0xFFFFFFFF
_LARGE_BYTES = 0x7F000000
"""Size from which a member's fields have 64 bits; what does not shrink becomes a little larger."""

_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_LARGE_END = struct.Struct("<4sQ2H2L4Q")
_LARGE_END_PLACE = struct.Struct("<4sLQL")


def archive(
    content: Fingerprint,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    on_files: Callable[[int], None] | None = None,
) -> Iterator[bytes]:
    """Give a zip of a dataset, piece by piece.

    Parameters
    ----------
    content : Fingerprint
        What to send; its files are read again.
    on_progress : callable, optional
        ``on_progress(done, total)`` in bytes of the files, not of the zip; in the caller's thread.
    on_files : callable, optional
        ``on_files(done)``, when more files are whole.

    Yields
    ------
    bytes
        Pieces of any size.

    Raises
    ------
    DataError
        Before the first byte: a name that a server cannot unpack. Later: a file is not what its
        fingerprint says; what was sent until then is of no use.
    """
    check_names(content)
    directory = _Directory()
    done = 0
    with packers(_content) as packing:
        for size, piece in _pieces(content.each_entry(), packing, directory):
            yield piece
            done += size
            if on_progress is not None:
                on_progress(done, content.total_bytes)
            if on_files is not None:
                on_files(directory.count)
    yield directory.end()


def check_names(content: Fingerprint) -> None:
    """Refuse names that a server cannot unpack, before anything is sent; see `data_names`."""
    check_folders(content.folders)


def _pieces(
    entries: Iterable[Entry], packing: Packers, directory: _Directory
) -> Iterator[tuple[int, bytes]]:
    """Give the members, each piece with the bytes of the files that are done with it."""
    waiting: deque[Callable[[], Packed]] = deque()
    for group in _groups(entries):
        if group[0].size > _BLOCK_BYTES:
            yield from _taken(waiting, directory, 0)
            yield from _large(group[0], packing, directory)
        else:
            waiting.append(packing.group(group))
            yield from _taken(waiting, directory, _GROUPS_AHEAD)
    yield from _taken(waiting, directory, 0)


def _taken(
    waiting: deque[Callable[[], Packed]], directory: _Directory, most: int
) -> Iterator[tuple[int, bytes]]:
    """Take what was packed, the first first, until so many are left."""
    while len(waiting) > most:
        data, members, size = waiting.popleft()()
        for member, at in members:
            directory.add(member, directory.offset + at)
        directory.offset += len(data)
        yield size, data


def _groups(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Put small files together, so that who packs has enough to do; a large one is alone."""
    group: list[Entry] = []
    size = 0
    for entry in entries:
        if group and (size + entry.size > _GROUP_BYTES or len(group) == _GROUP_FILES):
            yield group
            group, size = [], 0
        group.append(entry)
        size += entry.size
    if group:
        yield group


def _content(entry: Entry) -> bytes:
    """Read a small file, whole and as it was."""
    try:
        handle, found = open_seen(entry.source)
        try:
            data = os.read(handle, entry.size + 1)
        finally:
            os.close(handle)
    except OSError as error:
        raise _gone(entry, error) from error
    _check_same(entry, found.st_mode, len(data), blake3(data).hexdigest())
    return data


def _large(entry: Entry, packing: Packers, directory: _Directory) -> Iterator[tuple[int, bytes]]:
    """Make the member of a large file, whose sizes and CRC follow its content."""
    name = entry.path.encode()
    flags = _SIZES_FOLLOW if name.isascii() else _SIZES_FOLLOW | UTF8_NAME
    large = entry.size > _LARGE_BYTES
    head = _large_head(name, flags, large=large)
    yield 0, head
    crc = packed = 0
    waiting: deque[tuple[int, Future[bytes]]] = deque()
    for block in _checked_blocks(entry):
        crc = isal_zlib.crc32(block, crc)
        waiting.append((len(block), packing.block(block)))
        if len(waiting) > _AHEAD:
            size, ready = waiting.popleft()
            packed += len(ready.result())
            yield size, ready.result()
    for size, ready in waiting:
        packed += len(ready.result())
        yield size, ready.result()
    packed += len(_LAST_BLOCK)
    fields = "<4sLQQ" if large else "<4sLLL"
    tail = _LAST_BLOCK + struct.pack(fields, b"PK\x07\x08", crc, packed, entry.size)
    member = (name, entry.executable, flags, DEFLATED, crc, packed, entry.size)
    directory.add(member, directory.offset)
    directory.offset += len(head) + packed + len(tail) - len(_LAST_BLOCK)
    yield 0, tail


def _checked_blocks(entry: Entry) -> Iterator[bytes]:
    """Give a large file's content, and raise at its end or before when it is not what it was."""
    hasher = blake3()
    size = 0
    try:
        with open_regular(entry.source) as file:
            while size <= entry.size and (block := _full_block(file)):
                size += len(block)
                hasher.update(block)
                yield block
            mode = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise _gone(entry, error) from error
    _check_same(entry, mode, size, hasher.hexdigest())


def _full_block(file: io.FileIO) -> bytes:
    """Read a whole block, so that the same content is cut the same each time."""
    block = file.read(_BLOCK_BYTES) or b""
    while block and len(block) < _BLOCK_BYTES and (more := file.read(_BLOCK_BYTES - len(block))):
        block += more
    return block


def _check_same(entry: Entry, mode: int, size: int, digest: str) -> None:
    executable = bool(mode & stat.S_IXUSR)
    if size != entry.size or digest != entry.digest or executable != entry.executable:
        raise DataError(
            f"The file {entry.path!r} changed while the data was being sent; run it again when "
            "nothing writes to it."
        )


def _gone(entry: Entry, error: OSError) -> DataError:
    return DataError(
        f"The file {entry.path!r} cannot be read any more ({error.strerror}); run it again when "
        "nothing changes the data."
    )


# The zip's own records.


def _large_head(name: bytes, flags: int, *, large: bool) -> bytes:
    """Give what stands before a member's bytes whose sizes and CRC follow them."""
    size, extra, version = 0, b"", VERSION_NEEDED
    if large:
        size, extra, version = _MOST, struct.pack("<HHQQ", 1, 16, 0, 0), _WITH_LARGE_FIELDS
    fields = (version, flags, DEFLATED, 0, DATE, 0, size, size, len(name), len(extra))
    return LOCAL.pack(b"PK\x03\x04", *fields) + name + extra


def _large_fields(*values: int) -> tuple[list[int], bytes]:
    """Give what stands in fields of 32 bits, and the extra field with what has no room there."""
    wide = [value for value in values if value > _LARGE_BYTES]
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide)
    return [_MOST if value > _LARGE_BYTES else value for value in values], extra


class _Directory:
    """The zip's own directory, gathered until the end.

    Attributes
    ----------
    offset : int
        Where in the zip the next member begins.
    count : int
        How many members there are so far.
    """

    def __init__(self) -> None:
        self.offset = 0
        self._records = bytearray()
        self.count = 0

    def add(self, member: Member, offset: int) -> None:
        """Take a member that begins at this offset."""
        name, executable, flags, method, crc, packed, size = member
        mode = _EXECUTABLE if executable else _READABLE
        version, extra, place = VERSION_NEEDED, b"", offset
        if size > _LARGE_BYTES or packed > _LARGE_BYTES or offset > _LARGE_BYTES:
            version = _WITH_LARGE_FIELDS
            (size, packed, place), extra = _large_fields(size, packed, offset)
        self._records += _CENTRAL.pack(
            *(b"PK\x01\x02", _UNIX | version, version, flags, method, 0, DATE, crc, packed, size),
            *(len(name), len(extra), 0, 0, 0, mode, place),
        )
        self._records += name + extra
        self.count += 1

    def end(self) -> bytes:
        """Give the directory and what stands behind it."""
        count, size, offset = self.count, len(self._records), self.offset
        tail = b""
        if count >= 0xFFFF or size > _LARGE_BYTES or offset > _LARGE_BYTES:
            version = _WITH_LARGE_FIELDS
            tail += _LARGE_END.pack(
                b"PK\x06\x06", 44, _UNIX | version, version, 0, 0, count, count, size, offset
            )
            tail += _LARGE_END_PLACE.pack(b"PK\x06\x07", 0, offset + size, 1)
            count, size, offset = (
                min(count, 0xFFFF),
                size if size <= _LARGE_BYTES else _MOST,
                offset if offset <= _LARGE_BYTES else _MOST,
            )
        tail += _END.pack(b"PK\x05\x06", 0, 0, count, count, size, offset, 0)
        return bytes(self._records) + tail
