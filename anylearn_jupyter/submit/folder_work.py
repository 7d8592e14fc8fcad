"""What is done with the files of one folder: listing them with their states, and hashing them.

It is done here, or by a helper process (`helper_processes`), which has this module but not the
package: so it imports nothing of it, and only what an interpreter has in memory anyway, as the
start of a helper is a part of what it is to save.

A helper takes requests from one pipe and answers on another, each message as `marshal` writes it,
with its length in front; both ends are one version of Python. It ends when its input does. It knows
no errors: where anything is odd it answers ``None``, or gives no digest, and who asked does the
same again in the way that finds the words.

Notes
-----
Source: guide "performance", A. Measured on 50,000 files: the walk by descriptor costs 0.88 of
`scandir` with `lstat`, states packed; the reading has the four calls a file that reading alone has.
"""

from __future__ import annotations

import marshal
import os
import stat
import struct
from io import open_code

from blake3 import blake3

TYPE_CHECKING = False  # as in `typing`, whose import would double the time that a helper starts in
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

STATE = struct.Struct("<QqqQQI")
"""A file's state: size, modification and change time, inode, device, mode."""

DIGEST_BYTES = 32
"""Bytes of a file's BLAKE3."""

UNREAD = bytes(DIGEST_BYTES)
"""In the place of a digest: the file could not be read, or was not as it had been seen."""

BLOCK_BYTES = 1 << 20
"""Bytes that are read at a time."""

LIST, READ, PACK = 0, 1, 2
"""What can be asked of a helper: ``(LIST, places)`` and ``(READ, place, names, states)``.

And ``(PACK, ...)``, of which `zip_work` knows the rest.
"""

with open_code(__file__) as _source:
    GREETING = f"anylearn helper {blake3(_source.read()).hexdigest()}"
"""What a helper says first: the digest of this module's source.

A kernel goes on with what it has imported when the package is replaced, and helpers are of the new.
"""

LENGTH = struct.Struct("<Q")
"""How long a message is; stands in front of it."""

FILE_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
"""How what was seen as a regular file is opened: no link is followed, no fifo waited for."""

_FOLDER_FLAGS = FILE_FLAGS | getattr(os, "O_DIRECTORY", 0)
_KIND = stat.S_IFMT(0xFFFF)

Listing = tuple[bytes, bytes, int, list[tuple[str, bytes]]]
"""Names of a directory's files, joined by ``/``; their states, joined; bytes; all else in it."""

Digests = tuple[bytes, int]
"""Digests, joined, `UNREAD` for some; and the latest time of a file, in nanoseconds since 1970."""


def state_of(found: os.stat_result) -> bytes:
    """Pack what of a file changes when its content may have changed, and its mode.

    Size, modification and change time in nanoseconds, inode, device and mode: 64 bits each, the
    mode 32. Same state, same content, but for an edit within the grain of the clock.
    """
    return STATE.pack(
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
        found.st_ino,
        found.st_dev,
        found.st_mode,
    )


def list_folder(place: str) -> Listing:
    """List a real directory.

    Raises
    ------
    OSError
        It cannot be listed, or something in it not looked at.
    UnicodeEncodeError
        The name of a file is no UTF-8.
    """
    handle = os.open(place, _FOLDER_FLAGS)
    try:
        return list_opened(handle)
    finally:
        os.close(handle)


def list_opened(handle: int) -> Listing:
    """List a directory that is open; see `list_folder` for the errors."""
    states: list[bytes] = []
    others: dict[str, bytes] = {}
    total = 0
    # The loop of an unchanged dataset: `state_of`, without the call, and nothing else.
    look, pack, kind, regular = os.lstat, STATE.pack, _KIND, stat.S_IFREG
    names = os.listdir(handle)
    for name in names:
        try:
            found = look(name, dir_fd=handle)
        except FileNotFoundError:
            others[name] = b""  # gone since it was listed
            continue
        mode, size = found.st_mode, found.st_size
        mtime, ctime = found.st_mtime_ns, found.st_ctime_ns
        state = pack(size, mtime, ctime, found.st_ino, found.st_dev, mode)
        if mode & kind == regular:
            states.append(state)
            total += size
        else:
            others[name] = state
    if others:
        names = [name for name in names if name not in others]
    rest = [(name, state) for name, state in others.items() if state]
    return "/".join(names).encode(), b"".join(states), total, rest


class FolderReader:
    """Reads and hashes files, those of one folder at a time.

    Not through a memory map: a file that shrinks under one ends the process. And not with BLAKE3's
    own threads, which a fork does not bring along (faults C10).
    """

    def __init__(self) -> None:
        self._view = memoryview(bytearray(BLOCK_BYTES))
        self._buffers = (self._view,)

    def read(
        self, place: str, names: list[str], states: bytes, tell: Callable[[int], object]
    ) -> Digests:
        """Read files of one folder.

        Parameters
        ----------
        place : str
            A real directory.
        names : list of str
            Regular files in it, no links.
        states : bytes
            How they were seen, `STATE` after `STATE`. A file that has this state when it has been
            read was so all the while.
        tell : callable
            ``tell(bytes)``, after each piece; negative where it came to nothing.
        """
        try:
            folder = os.open(place, _FOLDER_FLAGS)
        except OSError:
            return UNREAD * len(names), 0
        try:
            return self._read(folder, names, states, tell)
        finally:
            os.close(folder)

    def _read(
        self, folder: int, names: list[str], states: bytes, tell: Callable[[int], object]
    ) -> Digests:
        view, buffers, pack = self._view, self._buffers, STATE.pack
        digests: list[bytes] = []
        newest = at = 0
        for name in names:
            state = states[at : at + STATE.size]
            at += STATE.size
            done, digest = 0, UNREAD
            try:
                handle = os.open(name, FILE_FLAGS, dir_fd=folder)
                try:
                    done = os.readv(handle, buffers)
                    tell(done)
                    if done < BLOCK_BYTES:
                        digest = blake3(view[:done]).digest()
                    else:
                        done, digest = self._large(handle, STATE.unpack(state)[0], tell)
                    found = os.fstat(handle)
                finally:
                    os.close(handle)
            except OSError:
                if done:
                    tell(-done)
                digests.append(UNREAD)
                continue
            # `state_of`, without the call.
            mtime, ctime, size = found.st_mtime_ns, found.st_ctime_ns, found.st_size
            mode, inode, device = found.st_mode, found.st_ino, found.st_dev
            same = pack(size, mtime, ctime, inode, device, mode) == state
            if done != size or not same:
                tell(-done)
                digest = UNREAD
            newest = max(newest, mtime, ctime)
            digests.append(digest)
        return b"".join(digests), newest

    def _large(self, handle: int, size: int, tell: Callable[[int], object]) -> tuple[int, bytes]:
        """Hash the block that was read and read on; gives how many bytes it were."""
        hasher, done = blake3(self._view), BLOCK_BYTES
        while done < size and (read := os.readv(handle, self._buffers)):
            done += read
            tell(read)
            hasher.update(self._view[:read])
        return done, hasher.digest()


def serve(asked: int, answers: int, pack: Callable[..., object] | None = None) -> None:
    """Be a helper: answer what is asked on one descriptor on the other, until nobody asks.

    Parameters
    ----------
    asked, answers : int
        The descriptors.
    pack : callable, optional
        Answers what `PACK` asks.
    """
    reader = FolderReader()
    untold = 0

    def tell(piece: int) -> None:
        nonlocal untold
        untold += piece
        if untold >= BLOCK_BYTES:
            _send(answers, untold)
            untold = 0

    _send(answers, GREETING)
    while (length := _received(asked, LENGTH.size)) is not None:
        body = _received(asked, LENGTH.unpack(length)[0])
        if body is None:
            return
        what, *rest = marshal.loads(body)
        if what == READ:
            place, names, states = rest
            digests = reader.read(place, names, states, tell)
            _send(answers, untold)
            untold = 0
            _send(answers, digests)
        elif what == PACK:
            _send(answers, None if pack is None else pack(*rest))
        else:
            _send(answers, [_listed(place) for place in rest[0]])


def _listed(place: str) -> Listing | None:
    try:
        return list_folder(place)
    except (OSError, UnicodeEncodeError):
        return None


def packed(message: Any) -> bytes:
    """Make a message."""
    body = marshal.dumps(message)
    return LENGTH.pack(len(body)) + body


def _send(handle: int, message: object) -> None:
    data = memoryview(packed(message))
    while data:
        data = data[os.write(handle, data) :]


def _received(handle: int, size: int) -> bytes | None:
    """Take so many bytes; None at the end of the input."""
    data = b""
    while len(data) < size:
        piece = os.read(handle, size - len(data))
        if not piece:
            return None
        data += piece
    return data
