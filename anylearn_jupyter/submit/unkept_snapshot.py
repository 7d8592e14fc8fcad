"""A capture's new objects and bookkeeping, from when they are made until the store has them.

An edit is a few small objects. Writing them, and what is noted of the directory, takes longer than
making them, and a server that takes an edit in one request needs none of it on disk. So a caller
may have it written while the server is at work. What is lost until then was in no record: the next
capture makes it again.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Self

from anylearn_jupyter.submit.git_objects import GitObject, PackFile
from anylearn_jupyter.submit.snapshot_store import KnownFile, SnapshotStore, StoreRecord

_NEW_PACK = "new.pack.part"
_MOST_HELD, _HELD_BYTES = 64, 4 << 20


class ObjectSink:
    """The new objects of one capture: a few of them held, the rest written in one pack.

    Parameters
    ----------
    store : SnapshotStore
        Its lock is held.
    known : set of bytes
        The ids of objects that are there.

    Attributes
    ----------
    held : dict
        Those that are not written, by their ids.
    """

    def __init__(self, store: SnapshotStore, known: Set[bytes]) -> None:
        self.held: dict[bytes, GitObject] = {}
        self._store = store
        self._known = known
        self._held_bytes = 0
        self._packed: set[bytes] = set()
        self._pack: PackFile | None = None
        self._file: IO[bytes] | None = None

    @property
    def holds_all(self) -> bool:
        """Whether nothing had to be written."""
        return self._pack is None

    def add(self, one: GitObject) -> bytes:
        """Take an object unless it is there, and give its id."""
        object_id = one.id
        if object_id in self._known or object_id in self.held or object_id in self._packed:
            return object_id
        if len(self.held) < _MOST_HELD and self._held_bytes + len(one.body) <= _HELD_BYTES:
            self.held[object_id] = one
            self._held_bytes += len(one.body)
            return object_id
        if self._pack is None:
            self._file = (self._store.git_dir / "objects" / "pack" / _NEW_PACK).open("w+b")
            self._pack = PackFile(self._file)
        self._pack.add(one)
        self._packed.add(object_id)
        return object_id

    def __enter__(self) -> Self:
        """Give itself; the block's end makes the pack one of the store's."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Put the pack in place, if there is one; it is dropped after an error."""
        if self._pack is None or self._file is None:
            return
        new = Path(self._file.name)
        with self._file:
            if error is not None:
                new.unlink()
                return
            name = self._pack.finish()
        final = new.with_name(f"pack-{name}.pack")
        new.replace(final)
        self._store.git.run("index-pack", str(final))


@dataclass(frozen=True, kw_only=True)
class UnkeptSnapshot:
    """What a capture has found; writes it once, from whatever thread.

    Attributes
    ----------
    store : SnapshotStore
        Where it belongs.
    base : (str, str) or None
        Tree and commit of the snapshot that has all other objects; None where there was none.
    tree, commit : str
        Its own.
    objects : set of bytes
        The ids of all its objects.
    held : Mapping
        Those that the store lacks, by their ids.
    files : dict
        What each file was.
    """

    store: SnapshotStore
    base: tuple[str, str] | None
    tree: str
    commit: str
    objects: Set[bytes]
    held: Mapping[bytes, GitObject]
    files: dict[str, KnownFile]
    _lock: threading.Lock = field(default_factory=threading.Lock, compare=False)
    _kept: threading.Event = field(default_factory=threading.Event, compare=False)

    def keep(self) -> None:
        """Write it, unless it is written or its store has been made anew meanwhile.

        Raises
        ------
        SnapshotError
            The store is another kernel's for minutes, or cannot be made.
        OSError
            It cannot be written.
        """
        with self._lock:
            if self._kept.is_set():
                return
            with self.store.lock():
                record = self.store.open()
                if self.base is None or self.base in record.recent:
                    self.write(record)
                self._kept.set()

    def write(self, record: StoreRecord) -> None:
        """Write it to the store, whose lock is held and whose record this is."""
        loose = self.store.objects
        for object_id, one in self.held.items():
            loose.write(object_id, one)
        self.store.keep(record, self.tree, self.commit, self.objects)
        record.files = self.files
        self.store.write(record)
        self._kept.set()
