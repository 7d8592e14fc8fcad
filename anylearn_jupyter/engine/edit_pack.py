"""An edit's pack, read and checked here, where all that it may be is known to be harmless.

`git unpack-objects --strict` takes any pack, and starting it costs more than an edit has bytes.
What passes here is a part of what git takes: whole objects; one commit as our client makes it;
trees with names of which none can be taken for git's own on any file system; each entry in the
pack, or in the same place of the code that was there before. Whatever else comes is git's to judge,
so a no from here refuses nothing.

Notes
-----
Source: git's documentation, ``gitformat-pack`` and ``git-fsck`` ("FSCK MESSAGES"); faults G5, G6.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from anylearn_jupyter.engine.code_trees import (
    DIRECTORY,
    FILE,
    LINK,
    MAX_ENTRIES,
    PROGRAM,
    CodeTree,
    Entry,
)

MAX_BYTES = 4 << 20
"""Most bytes of all its objects together; more are git's to unpack."""

_HEADER = struct.Struct(">4sII")
_ID_BYTES = 20
_KINDS = {1: b"commit", 2: b"tree", 3: b"blob"}
_WHO = rb"[\w.-]+ <[\w.@-]+> [1-9][0-9]{0,9} \+0000"
_COMMIT = re.compile(
    rb"tree ([0-9a-f]{40})\nauthor (" + _WHO + rb")\ncommitter (\2)\n\n[ -~]*\n", re.ASCII
)
_NAME = re.compile(r"[\w+=@,()\[\]{}#%&!$;' .-]{1,255}")
_NAMES_OF_GIT = (".gitmodules", ".gitattributes", ".mailmap")


class PackObject(NamedTuple):
    """An object of a pack.

    Attributes
    ----------
    kind : bytes
        ``commit``, ``tree`` or ``blob``.
    body : bytes
        What it holds.
    """

    kind: bytes
    body: bytes

    @property
    def whole(self) -> bytes:
        """What its id is the digest of, and what git keeps, compressed."""
        return b"%s %d\0%s" % (self.kind, len(self.body), self.body)


class Edit(NamedTuple):
    """What a pack changes.

    Attributes
    ----------
    objects : Mapping
        Its objects, by their ids.
    base : str
        The commit that it builds on.
    tree : CodeTree
        The code with it.
    written : Mapping or None
        The new content of each changed file, by its path; None where more than that has changed.
    """

    objects: Mapping[bytes, PackObject]
    base: str
    tree: CodeTree
    written: Mapping[bytes, bytes] | None


class _NotPlain(Exception):
    """Something that is git's to judge."""


def read_edit(pack: bytes, commit: str, known: CodeTree) -> Edit | None:
    """Read a pack that changes known code into a commit; None where git has to see it.

    Parameters
    ----------
    pack : bytes
        As it came.
    commit : str
        40 hexadecimal digits.
    known : CodeTree
        What the repository has.
    """
    try:
        objects = _objects(pack)
        return _Reading(objects, known).edit(commit)
    except (_NotPlain, zlib.error, struct.error, IndexError, ValueError):
        return None


def _objects(pack: bytes) -> dict[bytes, PackObject]:
    mark, version, count = _HEADER.unpack_from(pack)
    end = len(pack) - _ID_BYTES
    digest = hashlib.sha1(pack[:end], usedforsecurity=False).digest()
    if mark != b"PACK" or version != 2 or digest != pack[end:]:
        raise _NotPlain
    found: dict[bytes, PackObject] = {}
    at, left = _HEADER.size, MAX_BYTES
    for _ in range(count):
        byte = pack[at]
        at += 1
        kind, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80:
            byte = pack[at]
            at += 1
            size |= (byte & 0x7F) << shift
            shift += 7
        left -= size
        if kind not in _KINDS or left < 0:
            raise _NotPlain
        reader = zlib.decompressobj()
        body = reader.decompress(pack[at:end], size + 1)
        if len(body) != size or not reader.eof:
            raise _NotPlain
        at = end - len(reader.unused_data)
        one = PackObject(_KINDS[kind], body)
        found[hashlib.sha1(one.whole, usedforsecurity=False).digest()] = one
    if at != end or len(found) != count:
        raise _NotPlain
    return found


class _Reading:
    """One walk through the trees of a pack."""

    def __init__(self, objects: Mapping[bytes, PackObject], known: CodeTree) -> None:
        self._objects = objects
        self._known = known
        self._used: set[bytes] = set()
        self._written: dict[bytes, bytes] = {}
        self._is_only_written = True
        self._directories = dict(known.directories)

    def edit(self, commit: str) -> Edit:
        text = self._take(bytes.fromhex(commit), b"commit")
        found = _COMMIT.fullmatch(text)
        if found is None:
            raise _NotPlain
        self._walk(b"", bytes.fromhex(found[1].decode("ascii")))
        if len(self._used) != len(self._objects):
            raise _NotPlain
        if sum(map(len, self._directories.values())) > MAX_ENTRIES:
            raise _NotPlain
        return Edit(
            objects=self._objects,
            base=self._known.commit,
            tree=CodeTree(commit, self._directories),
            written=self._written if self._is_only_written else None,
        )

    def _take(self, object_id: bytes, kind: bytes) -> bytes:
        one = self._objects.get(object_id)
        if one is None or one.kind != kind:
            raise _NotPlain
        self._used.add(object_id)
        return one.body

    def _walk(self, directory: bytes, tree: bytes) -> None:
        """Take in a tree of the pack, and those in it."""
        before = self._known.directories.get(directory, {})
        entries = _entries(self._take(tree, b"tree"))
        prefix = directory + b"/" if directory else b""
        for name, entry in entries.items():
            was = before.get(name)
            if was is not None and was.mode == DIRECTORY != entry.mode:
                self._forget(prefix + name)
            if entry.id not in self._objects:
                if was != entry:
                    raise _NotPlain
            elif entry.mode == DIRECTORY:
                self._walk(prefix + name, entry.id)
            else:
                self._written[prefix + name] = self._take(entry.id, b"blob")
                same = was is not None and was.mode == entry.mode != LINK
                self._is_only_written &= same
        for name in before.keys() - entries.keys():
            self._is_only_written = False
            if before[name].mode == DIRECTORY:
                self._forget(prefix + name)
        self._directories[directory] = entries

    def _forget(self, directory: bytes) -> None:
        for path in list(self._directories):
            if path == directory or path.startswith(directory + b"/"):
                del self._directories[path]


def _entries(body: bytes) -> dict[bytes, Entry]:
    """Read a tree whose names are plain and in git's order."""
    found: dict[bytes, Entry] = {}
    at, last = 0, b""
    while at < len(body):
        end = body.index(b"\0", at)
        mode, _, name = body[at:end].partition(b" ")
        entry = Entry(mode, body[end + 1 : end + 1 + _ID_BYTES])
        at = end + 1 + _ID_BYTES
        key = name + b"/" if mode == DIRECTORY else name
        if mode not in (DIRECTORY, FILE, PROGRAM, LINK) or len(entry.id) != _ID_BYTES:
            raise _NotPlain
        if key <= last or name in found or not _is_plain(name) or not any(entry.id):
            raise _NotPlain
        found[name] = entry
        last = key
    return found


def _is_plain(name: bytes) -> bool:
    """Whether a name is one of those that no file system takes for git's own or for a way up."""
    text = name.decode("utf-8")
    if not _NAME.fullmatch(text) or text.endswith((".", " ")):
        return False
    small = text.casefold()
    return small != ".git" and small not in _NAMES_OF_GIT
