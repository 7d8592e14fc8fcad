"""Making content of chunks: what a manifest says, from what came and from what is here already.

A manifest is text, a line for each file, in any order::

    ["path/in/it", 0 or 1 for executable, size, "BLAKE3 of the file", ["BLAKE3 of a piece", ...]]

The pieces one after the other are the file. A file of which everything came in its place is linked
into the content; any other is written from pieces of the user's own files, each of which is checked
against its digest while it is copied: what is damaged is never handed on (faults B11). Nothing of
the upload is used up, so that an engine that died begins again from the start (faults A9).

Notes
-----
Source: docs/protocol.md, "delta".
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

from blake3 import blake3

from anylearn_jupyter.engine.chunk_index import ChunkIndex, Piece, Place
from anylearn_jupyter.engine.unpack import (
    MAX_ENTRIES,
    ArchiveRefused,
    check_collisions,
    checked_parts,
)

_BLOCK_BYTES = 1 << 20
_ASKED_AT_ONCE = 4096
_ZEROS = bytes(_BLOCK_BYTES)


class PiecesMissing(Exception):
    """The engine has not, or not any more, what a manifest needs; one sentence, for the client."""

    def __init__(self) -> None:
        super().__init__("chunks are missing; send them, then finish")


class _File(NamedTuple):
    """A line of a manifest."""

    path: str
    executable: bool
    size: int
    digest: bytes
    pieces: list[bytes]


@dataclass
class Assembly:
    """Content on its way from a manifest to a directory; its methods are for a thread.

    Parameters
    ----------
    root : Path
        ``blobs/`` of the engine.
    index : ChunkIndex
        What is where.
    user_id, owner : str
        Whose it is, and the upload that brought it.
    manifest : Path
        Its file.
    """

    root: Path
    index: ChunkIndex
    user_id: str
    owner: str
    manifest: Path
    _linked: list[tuple[int, str]] = field(default_factory=list)
    _wholes: list[tuple[str, Piece]] = field(default_factory=list)

    def check(self) -> int:
        """Look whether it can be made; gives the bytes of all files.

        Raises
        ------
        ArchiveRefused
            The manifest is none, or has names that are not taken.
        PiecesMissing
            Pieces are not known here.
        """
        names, total = [], 0
        asked: list[bytes] = []
        for one in self._files():
            parts = checked_parts(one.path)
            if not parts:
                raise ArchiveRefused(f"the name {one.path!a} names no file")
            names.append((parts, False, one.path))
            total += one.size
            asked += one.pieces
            if len(asked) >= _ASKED_AT_ONCE:
                self._refuse_missing(asked)
                asked = []
            if len(names) > MAX_ENTRIES:
                raise ArchiveRefused(f"it has more than {MAX_ENTRIES} files")
        self._refuse_missing(asked)
        if not names:
            raise ArchiveRefused("the manifest names no file")
        check_collisions(names)
        return total

    def build(self, target: Path, owner: str, version: int) -> None:
        """Make the files below an empty directory.

        Parameters
        ----------
        target : Path
            The directory.
        owner, version
            What it will be the content of, for the index; see `note`.

        Raises
        ------
        PiecesMissing
            A piece is gone or damaged; the index has forgotten it, so that it can be sent again.
        """
        made: set[Path] = set()
        for one in self._files():
            parts = checked_parts(one.path)
            path = target.joinpath(*parts)
            if path.parent not in made:
                path.parent.mkdir(parents=True, exist_ok=True)
                made.add(path.parent)
            name = "/".join(parts)
            if not self._link(one, path, name):
                self._write(one, path, (owner, version, name))
            if len(one.pieces) > 1:
                self._wholes.append((name, Piece(one.digest, 0, one.size)))

    def note(self, owner: str, version: int) -> None:
        """Note in the index where everything is now."""
        self.index.move(owner, version, self._linked)
        self.index.add(self.user_id, owner, version, self._wholes)

    def _refuse_missing(self, digests: list[bytes]) -> None:
        if self.index.lacking(self.user_id, digests):
            raise PiecesMissing

    def _link(self, one: _File, path: Path, name: str) -> bool:
        """Link a file that came whole and in its place; False where it did not."""
        if not one.pieces:
            return False
        found = self.index.file_beginning(self.owner, one.pieces[0])
        if found is None:
            return False
        place, came = found
        end = 0
        for piece in came:
            if piece.start != end:
                return False
            end += piece.size
        if end != one.size or [piece.digest for piece in came] != one.pieces:
            return False
        source = self.root / place.owner / place.file
        try:
            seen = source.stat()
        except FileNotFoundError:
            return False
        if seen.st_size != one.size or seen.st_nlink != 1:
            return False  # two files of the content must not be one
        path.hardlink_to(source)
        path.chmod(0o700 if one.executable else 0o600)
        self._linked.append((place.id, name))
        return True

    def _write(self, one: _File, path: Path, target: tuple[str, int, str]) -> None:
        """Write a file from pieces that are somewhere here."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        handle = os.open(path, flags, 0o700 if one.executable else 0o600)
        with os.fdopen(handle, "wb") as file:
            start = 0
            for digest in one.pieces:
                source, piece = self._copy(digest, file, start)
                self.index.inherit(self.user_id, source, piece, target, start)
                start += piece.size
            if start != one.size:
                raise ArchiveRefused(f"the pieces of {one.path!a} are not its {one.size} bytes")
            file.truncate(one.size)

    def _copy(self, digest: bytes, file: BinaryIO, start: int) -> tuple[Place, Piece]:
        for place, piece in self.index.find(self.user_id, digest):
            directory = self.root / place.owner
            if place.version:
                directory = directory / f"content-{place.version}"
            file.seek(start)
            if _copy_checked(directory / place.file, piece, file):
                return place, piece
            self.index.drop(place, piece)
        raise PiecesMissing

    def _files(self) -> Iterator[_File]:
        with self.manifest.open("rb") as lines:
            for line in lines:
                yield _file_of(line)


def _file_of(line: bytes) -> _File:
    try:
        path, executable, size, digest, pieces = json.loads(line)
        found = _File(
            path, bool(executable), size, bytes.fromhex(digest), [bytes.fromhex(x) for x in pieces]
        )
        right = isinstance(path, str) and type(size) is int and size >= 0
        right = right and all(len(x) == 32 for x in (found.digest, *found.pieces))
    except (ValueError, TypeError, RecursionError) as error:
        raise ArchiveRefused("the manifest has a line that cannot be read") from error
    if not right:
        raise ArchiveRefused("the manifest has a line that cannot be read")
    return found


def _copy_checked(source: Path, piece: Piece, file: BinaryIO) -> bool:
    """Copy a piece and look whether it is what its digest says; holes stay holes."""
    hasher, left = blake3(), piece.size
    try:
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    with os.fdopen(handle, "rb", buffering=0) as opened:
        opened.seek(piece.start)
        while left and (block := opened.read(min(left, _BLOCK_BYTES))):
            hasher.update(block)
            left -= len(block)
            if block == _ZEROS[: len(block)]:
                file.seek(len(block), os.SEEK_CUR)
            else:
                file.write(block)
    return not left and hasher.digest() == piece.digest
