"""Git's objects, written by ourselves: their ids, loose files, and packs of whole objects.

An edit changes one file, the directories above it, and the commit. Hashing and writing these few
objects takes less than starting one git process for it, of which there would be several.

Notes
-----
Source: git's own documentation, ``gitformat-pack`` and "Git Internals - Git Objects"
(https://git-scm.com/docs/gitformat-pack, https://git-scm.com/book/en/v2/Git-Internals-Git-Objects).
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

ID_BYTES = 20
"""Length of an id, which is a SHA-1."""

DIRECTORY = b"40000"
"""The mode of a directory in a tree."""

_KINDS = {"commit": 1, "tree": 2, "blob": 3}
_LEVEL = 1
_BLOCK_BYTES = 1 << 20


class GitObject(NamedTuple):
    """One object: ``blob``, ``tree`` or ``commit``, and what it holds."""

    kind: str
    body: bytes

    @property
    def id(self) -> bytes:
        """Its name: the digest of kind, length and body."""
        digest = hashlib.sha1(self._header, usedforsecurity=False)
        digest.update(self.body)
        return digest.digest()

    @property
    def _header(self) -> bytes:
        return f"{self.kind} {len(self.body)}\0".encode("ascii")

    def loose(self) -> bytes:
        """Give the content of its file among the loose objects."""
        packer = zlib.compressobj(_LEVEL)
        return packer.compress(self._header) + packer.compress(self.body) + packer.flush()

    @classmethod
    def from_loose(cls, data: bytes, object_id: bytes) -> GitObject:
        """Read a loose object's file.

        Raises
        ------
        ValueError
            It is not the object of this id.
        """
        try:
            header, _, body = zlib.decompress(data).partition(b"\0")
            found = cls(header.partition(b" ")[0].decode("ascii"), body)
        except zlib.error as error:
            raise ValueError(f"the object {object_id.hex()} is damaged ({error})") from error
        if found.id != object_id:
            raise ValueError(f"the object {object_id.hex()} is damaged")
        return found

    def packed(self) -> bytes:
        """Give it as an entry of a pack, whole."""
        size = len(self.body)
        byte = _KINDS[self.kind] << 4 | size & 0x0F
        size >>= 4
        head = bytearray()
        while size:
            head.append(byte | 0x80)
            byte = size & 0x7F
            size >>= 7
        head.append(byte)
        return bytes(head) + zlib.compress(self.body, _LEVEL)


class TreeEntry(NamedTuple):
    """What a tree says of a name: ``100644``, ``100755``, ``120000`` or `DIRECTORY`, and an id."""

    mode: bytes
    id: bytes


def trees_of(files: Mapping[str, TreeEntry]) -> list[GitObject]:
    """Make the tree of each directory; the last one is that of all.

    Parameters
    ----------
    files : Mapping
        Path with ``/`` to its entry.

    Raises
    ------
    ValueError
        A path is a file and a directory.
    """
    inside: dict[str, dict[str, TreeEntry]] = {"": {}}
    for path, entry in files.items():
        directory, _, name = path.rpartition("/")
        _directory(inside, directory)[name] = entry
    made = []
    for directory in sorted(inside, key=_depth, reverse=True):
        tree = _tree(inside[directory])
        made.append(tree)
        if directory:
            above, _, name = directory.rpartition("/")
            if name in inside[above]:
                raise ValueError(f"{directory!r} is a file and a directory")
            inside[above][name] = TreeEntry(DIRECTORY, tree.id)
    return made


def _depth(directory: str) -> int:
    return directory.count("/") if directory else -1


def _directory(inside: dict[str, dict[str, TreeEntry]], path: str) -> dict[str, TreeEntry]:
    found = inside.get(path)
    if found is None:
        found = inside[path] = {}
        _directory(inside, path.rpartition("/")[0])
    return found


def _tree(entries: Mapping[str, TreeEntry]) -> GitObject:
    """Write one tree: sorted by names, where a directory's ends with ``/``."""
    lines = []
    for name, entry in entries.items():
        raw = os.fsencode(name)
        key = raw + b"/" if entry.mode == DIRECTORY else raw
        lines.append((key, entry.mode + b" " + raw + b"\0" + entry.id))
    lines.sort()
    return GitObject("tree", b"".join(line for _, line in lines))


def commit_of(tree: bytes, who: str, when: int, message: str) -> GitObject:
    """Make a commit without a parent.

    Parameters
    ----------
    tree : bytes
        The id of its tree.
    who : str
        Author and committer, ``name <address>``.
    when : int
        Seconds since 1970; the time zone is UTC.
    message : str
        One line.
    """
    by = f"{who} {when} +0000"
    text = f"tree {tree.hex()}\nauthor {by}\ncommitter {by}\n\n{message}\n"
    return GitObject("commit", text.encode("utf-8"))


def pack_of(objects: Iterable[GitObject]) -> bytes:
    """Write a pack of whole objects."""
    entries = [one.packed() for one in objects]
    body = b"".join((_pack_header(len(entries)), *entries))
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def _pack_header(count: int) -> bytes:
    return struct.pack(">4sII", b"PACK", 2, count)


class PackFile:
    """A pack of any size, written to a file as its objects come.

    Parameters
    ----------
    file : BinaryIO
        Empty, open for reading and writing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._count = 0
        file.write(_pack_header(0))

    def add(self, one: GitObject) -> None:
        """Append an object."""
        self._file.write(one.packed())
        self._count += 1

    def finish(self) -> str:
        """Write how many there are and the digest; gives the digest, which is the pack's name."""
        self._file.seek(0)
        self._file.write(_pack_header(self._count))
        self._file.seek(0)
        digest = hashlib.sha1(usedforsecurity=False)
        while block := self._file.read(_BLOCK_BYTES):
            digest.update(block)
        self._file.write(digest.digest())
        self._file.flush()
        return digest.hexdigest()


class LooseObjects:
    """The loose objects of a repository.

    Parameters
    ----------
    objects : Path
        Its directory ``objects``.
    """

    def __init__(self, objects: Path) -> None:
        self._objects = objects

    def write(self, object_id: bytes, one: GitObject) -> None:
        """Write an object, unless it is there: whole, or not at all."""
        path = self._path(object_id)
        if path.exists():
            return
        path.parent.mkdir(mode=0o700, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_bytes(one.loose())
        new.replace(path)

    def read(self, object_id: bytes) -> GitObject | None:
        """Read an object; None where it is not among the loose ones.

        Raises
        ------
        ValueError
            It is damaged.
        """
        try:
            data = self._path(object_id).read_bytes()
        except FileNotFoundError:
            return None
        return GitObject.from_loose(data, object_id)

    def _path(self, object_id: bytes) -> Path:
        name = object_id.hex()
        return self._objects / name[:2] / name[2:]
