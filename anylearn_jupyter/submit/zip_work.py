"""What is done with a group of small files of a zip, and with a block of a large one: packing it.

It is done here, or by a helper process (`helper_processes`), which has this module but not the
package: so it imports nothing of it, and as little else as it can. What an error is called, is the
business of who asked: here a file that is not as it was is just not packed.

Notes
-----
Source: guide "performance", D; the layout is PKWARE's APPNOTE, section 4.3.7.
"""

from __future__ import annotations

import os
import stat
import struct
from io import open_code

import isal
from blake3 import blake3
from isal import isal_zlib

TYPE_CHECKING = False  # as in `typing`, whose import would double the time that a helper starts in
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    AnyFile = TypeVar("AnyFile", bound="File")

with open_code(__file__) as _source:
    VERSION = f"{blake3(_source.read()).hexdigest()}, isal {isal.__version__}"
"""What a helper has to be to write the same bytes: this module's source, and its ISA-L.

A kernel goes on with what it has imported when packages are replaced, and helpers are of the new.
"""

STORED, DEFLATED = 0, 8
"""The two methods of a member."""

UTF8_NAME = 0x800
"""The flag of a member whose name is not ASCII."""

DATE = 0x21
"""The first of January 1980, before which a zip knows no time."""

VERSION_NEEDED = 20
"""What has to be understood to unpack a member whose fields have 32 bits: deflate."""

LOCAL = struct.Struct("<4s5H3L2H")
"""What stands before a member's name."""

_LEVEL = 1
_RAW = -15
_SAMPLE_BYTES = 1 << 12
_SAMPLES = 4
_WORTH = 0.95
_TRIED_BYTES = 1 << 10
_GLANCE_BYTES = 64
_RANDOM_KINDS = 51
"""Of 64 random bytes 57 are different ones on average; of text, numbers or pixels far fewer.

Twice the bytes cost three times as much, and take more of what is packed already for packable.
"""

_STORED_BYTES = 0xFFFF

File = tuple[str, str, bool, int, str]
"""A file, as `fingerprint.Entry`: path, source, whether it is executable, size, digest."""

Member = tuple[bytes, bool, int, int, int, int, int]
"""What a zip says of a member: name, whether it is executable, flags, method, CRC, both sizes."""

Packed = tuple[bytes, list[tuple[Member, int]], int]
"""Some small members: their bytes, each with where it begins, and the bytes of their files."""


def pack(files: Sequence[AnyFile], read: Callable[[AnyFile], bytes]) -> Packed:
    """Make the members of small files.

    Parameters
    ----------
    files : sequence of File
        In the order of the zip.
    read : callable
        Gives the content of one of them; what it raises is raised.
    """
    pieces: list[bytes] = []
    members: list[tuple[Member, int]] = []
    at = total = 0
    for file in files:
        data = read(file)
        size = len(data)
        packed = _deflated(data)
        body, method = (data, STORED) if packed is None else (packed, DEFLATED)
        name = file[0].encode()
        flags = 0 if name.isascii() else UTF8_NAME
        crc = isal_zlib.crc32(data)
        members.append(((name, file[2], flags, method, crc, len(body), size), at))
        fields = (VERSION_NEEDED, flags, method, 0, DATE, crc, len(body), size, len(name), 0)
        head = LOCAL.pack(b"PK\x03\x04", *fields)
        pieces += (head, name, body)
        at += len(head) + len(name) + len(body)
        total += size
    return b"".join(pieces), members, total


def pack_asked(version: str, flags: int, files: Sequence[File]) -> Packed | None:
    """Do as `pack`, in a helper; None where that is not the same, or a file not what it was.

    Parameters
    ----------
    version : str
        The `VERSION` of who asks.
    flags : int
        What a regular file is opened with.
    files : sequence of File
        In the order of the zip.
    """

    def read(file: File) -> bytes:
        _, source, executable, size, digest = file
        handle = os.open(source, flags)
        try:
            mode = os.fstat(handle).st_mode
            data = os.read(handle, size + 1) if stat.S_ISREG(mode) else b""
        finally:
            os.close(handle)
        same = stat.S_ISREG(mode) and bool(mode & stat.S_IXUSR) == executable
        if not same or len(data) != size or blake3(data).hexdigest() != digest:
            raise OSError
        return data

    if version != VERSION:
        return None
    try:
        return pack(files, read)
    except OSError:
        return None


def deflated_block(block: bytes) -> bytes:
    """Deflate a block of a large file, so that another may follow."""
    if _shrinks(block):
        packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, _RAW)
        packed: bytes = packer.compress(block) + packer.flush(isal_zlib.Z_SYNC_FLUSH)
        return packed
    parts: list[bytes | memoryview] = []
    for start in range(0, len(block), _STORED_BYTES):
        part = memoryview(block)[start : start + _STORED_BYTES]
        parts += (struct.pack("<BHH", 0, len(part), len(part) ^ _STORED_BYTES), part)
    return b"".join(parts)


def _deflated(data: bytes) -> bytes | None:
    """Deflate a small file; None where that is not worth it."""
    if not _shrinks(data):
        return None
    packed: bytes = isal_zlib.compress(data, _LEVEL, _RAW)
    return packed if len(packed) < _WORTH * len(data) else None


def _shrinks(data: bytes) -> bool:
    """Whether deflating is worth it: by samples from all over, as a head may mislead."""
    if len(data) <= 2 * _SAMPLES * _SAMPLE_BYTES:
        return 0 < len(data) <= _TRIED_BYTES or _looks_packable(data)
    step = (len(data) - _SAMPLE_BYTES) // (_SAMPLES - 1)
    return any(
        len(isal_zlib.compress(data[start : start + _SAMPLE_BYTES], _LEVEL, _RAW))
        < _WORTH * _SAMPLE_BYTES
        for start in range(0, len(data) - _SAMPLE_BYTES + 1, step)
    )


def _looks_packable(data: bytes) -> bool:
    """Whether not all of a small file seems random: a sixth of what it costs to try.

    By how many different bytes there are in its head, middle and end.
    """
    middle = len(data) // 2
    return (
        len(set(data[:_GLANCE_BYTES])) < _RANDOM_KINDS
        or len(set(data[middle : middle + _GLANCE_BYTES])) < _RANDOM_KINDS
        or len(set(data[-_GLANCE_BYTES:])) < _RANDOM_KINDS
    )
