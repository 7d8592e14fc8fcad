"""A dataset as a zip, streamed: the same bytes for the same content, and nothing on disk.

Members are in the order of their paths' bytes, relative to the dataset's directory, without entries
for directories, with one fixed time and the executable bit. A file is deflated where samples of it
shrink, else stored. Memory does not grow with the size of the files; each member costs some hundred
bytes until the end, where the zip's own directory is written.

Each file is checked while it is read against its `fingerprint.Entry`, so that what a server has
under a fingerprint is what the fingerprint says.

Notes
-----
Source: quick-train specification, steps 3 and 4; HTTP API, section 6.3; faults E11, E12, E13.
"""

from __future__ import annotations

import io
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from blake3 import blake3

from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit.fingerprint import Entry, Fingerprint
from anylearn_jupyter.submit.regular_files import open_regular

_BLOCK_BYTES = 1 << 20
_LEVEL = 1
_LARGE_BYTES = zipfile.ZIP64_LIMIT // 2
"""Size from which a member's header has room for large numbers; deflating may make it larger."""

_UNIX = 3
_SAMPLE_BYTES = 1 << 14
_SAMPLES = 4
_WORTH = 0.95
_MAX_NAME_BYTES = 255
_MAX_PATH_LENGTH = 3000


def archive(
    content: Fingerprint, *, on_progress: Callable[[int, int], None] | None = None
) -> Iterator[bytes]:
    """Give a zip of a dataset, piece by piece.

    Parameters
    ----------
    content : Fingerprint
        What to send; its files are read again.
    on_progress : callable, optional
        ``on_progress(done, total)`` in bytes of the files, not of the zip; in the caller's thread.

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
    sink = _Sink()
    total = content.total_bytes
    done = 0
    # The zip's writer asks for no more than `write` and `flush` of what it cannot seek in.
    with zipfile.ZipFile(cast(BinaryIO, sink), "w", compresslevel=_LEVEL) as opened:
        for entry in content.entries:
            for block in _member(opened, entry):
                done += len(block)
                yield from sink.take()
                if on_progress is not None:
                    on_progress(done, total)
    yield from sink.take()


def check_names(content: Fingerprint) -> None:
    """Refuse names that a server cannot unpack, before anything is sent.

    Raises
    ------
    DataError
        A backslash or a drive in a name, a name that is too long, or two that differ in case or
        accents only.
    """
    spelled: dict[str, str] = {}
    for entry in content.entries:
        if "\\" in entry.path or re.match(r"[^/]:", entry.path):
            raise DataError(
                f"The name {entry.path!r} has a backslash or a drive, which a server refuses to "
                "unpack; rename the file."
            )
        too_long = any(len(part.encode()) > _MAX_NAME_BYTES for part in entry.path.split("/"))
        if too_long or len(entry.path) > _MAX_PATH_LENGTH:
            raise DataError(f"The name {entry.path[:80]!r}… is too long for a server; shorten it.")
        at = len(entry.path)
        while at > 0:
            part = entry.path[:at]
            known = spelled.setdefault(unicodedata.normalize("NFC", part).casefold(), part)
            if known != part:
                raise DataError(
                    f"{known!a} and {part!a} differ in case or accents only, which a server "
                    "refuses to unpack; rename one."
                )
            at = entry.path.rfind("/", 0, at)


class _Sink:
    """What the zip's writer writes to: kept until somebody takes it."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: there is nothing behind this."""

    def take(self) -> Iterator[bytes]:
        pieces, self._pieces = self._pieces, []
        whole = b"".join(pieces)
        if whole:
            yield whole


def _member(opened: zipfile.ZipFile, entry: Entry) -> Iterator[memoryview]:
    """Write one file, and give each block after it was written.

    A member that is opened by its name alone has the fixed time that a zip begins at.
    """
    try:
        with open_regular(entry.source) as file:
            shrinks = _shrinks(file, entry.size)
            opened.compression = zipfile.ZIP_DEFLATED if shrinks else zipfile.ZIP_STORED
            large = entry.size > _LARGE_BYTES
            with opened.open(entry.path, "w", force_zip64=large) as member:
                for block in _checked_blocks(file, entry):
                    member.write(block)
                    yield block
    except OSError as error:
        raise DataError(
            f"The file {entry.path!r} cannot be read any more ({error.strerror}); run it again "
            "when nothing changes the data."
        ) from error
    # Both are written in the zip's own directory only, at the end.
    written = opened.infolist()[-1]
    written.create_system = _UNIX
    written.external_attr = (stat.S_IFREG | (0o755 if entry.executable else 0o644)) << 16


def _shrinks(file: io.FileIO, size: int) -> bool:
    """Whether deflating is worth it: samples from all over the file, as its head may mislead."""
    shrinks = False
    for start in range(0, size, max(size // _SAMPLES, _SAMPLE_BYTES)):
        file.seek(start)
        sample = file.read(_SAMPLE_BYTES) or b""
        shrinks = shrinks or len(zlib.compress(sample, _LEVEL)) < _WORTH * len(sample)
    file.seek(0)
    return shrinks


def _checked_blocks(file: io.FileIO, entry: Entry) -> Iterator[memoryview]:
    """Give a file's content, and raise at its end or before when it is not what it was."""
    hasher = blake3(max_threads=blake3.AUTO)
    buffer = memoryview(bytearray(min(_BLOCK_BYTES, entry.size + 1)))
    size = 0
    while size <= entry.size and (read := file.readinto(buffer)):
        size += read
        hasher.update(buffer[:read])
        yield buffer[:read]
    executable = bool(os.fstat(file.fileno()).st_mode & stat.S_IXUSR)
    same = size == entry.size and hasher.hexdigest() == entry.digest
    if not same or executable != entry.executable:
        raise DataError(
            f"The file {entry.path!r} changed while the data was being sent; run it again when "
            "nothing writes to it."
        )
