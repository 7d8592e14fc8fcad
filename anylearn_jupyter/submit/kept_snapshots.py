"""Snapshots that were made before and are still kept: their files, and sending one again.

The store of a directory keeps its last snapshots (`snapshot_store.KEPT_SNAPSHOTS`); whatever reads
an older one has to do without it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.git import GitFailed
from anylearn_jupyter.submit.packing_list import PackedFile, PackingList
from anylearn_jupyter.submit.packing_rules import PackingRules, Rulebook
from anylearn_jupyter.submit.snapshot import Snapshot
from anylearn_jupyter.submit.snapshot_store import SnapshotStore

_COMMIT = re.compile(r"[0-9a-f]{40}")


class KeptFile(NamedTuple):
    """A file of a kept snapshot.

    Attributes
    ----------
    path : str
        Relative to the code directory, with ``/``.
    mode : str
        As git writes it: ``100644``, ``100755`` (executable) or ``120000`` (a link).
    blob : str
        The id of its content; the same in every store.
    size : int
        Bytes.
    """

    path: str
    mode: str
    blob: str
    size: int


def store_of(directory: Path, home: Home) -> SnapshotStore:
    """Name the store of a code directory, which need not be there any more."""
    return SnapshotStore.of(directory.expanduser().resolve(), home)


def files_of(store: SnapshotStore, commit: str) -> tuple[KeptFile, ...] | None:
    """List the files of a kept snapshot, by path; None where it is not kept.

    Raises
    ------
    SnapshotError
        There is no usable git.
    """
    if not store.git_dir.is_dir() or not _COMMIT.fullmatch(commit):
        return None
    if not store.objects_of(commit):
        return None
    try:
        listed = store.git.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit)
    except GitFailed:
        return None  # damaged, or packed away: as good as not kept
    return tuple(_kept_file(line) for line in listed.split(b"\0") if line)


def contents_of(store: SnapshotStore, blobs: Iterable[str]) -> dict[str, bytes]:
    """Read the contents of files of kept snapshots, by their ids.

    Raises
    ------
    SnapshotError
        There is no usable git.
    GitFailed
        The store is damaged.
    """
    wanted = list(dict.fromkeys(blobs))
    if not wanted:
        return {}
    said = store.git.run(
        "cat-file", "--batch", stdin="".join(f"{one}\n" for one in wanted).encode("ascii")
    )
    found: dict[str, bytes] = {}
    at = 0
    for blob in wanted:
        end = said.index(b"\n", at)
        words = said[at:end].split()
        at = end + 1
        if len(words) == 3:
            size = int(words[2])
            found[blob] = said[at : at + size]
            at += size + 1
    return found


def kept_snapshot(
    directory: Path, commit: str, home: Home, *, head: str | None = None, dirty: bool = False
) -> Snapshot | None:
    """Give a snapshot that was made before, to be sent again; None where it is not kept.

    Parameters
    ----------
    directory : Path
        The code directory, as it was asked for; it is not looked at.
    head, dirty
        What was known of the user's own repository then.
    """
    store = store_of(directory, home)
    files = files_of(store, commit)
    if files is None:
        return None
    return _snapshot(store, commit, files, home, head=head, dirty=dirty)


def sent_snapshot(directory: Path, commit: str, home: Home) -> Snapshot:
    """Name a snapshot that is not kept, for asking a server whether it still has it."""
    return _snapshot(store_of(directory, home), commit, (), home, head=None, dirty=False)


def _snapshot(
    store: SnapshotStore,
    commit: str,
    files: tuple[KeptFile, ...],
    home: Home,
    *,
    head: str | None,
    dirty: bool,
) -> Snapshot:
    packing = PackingList(
        root=store.root,
        files=tuple(
            PackedFile(one.path, one.size, one.mode == "100755", one.mode == "120000")
            for one in files
        ),
        skipped=(),
        head=head,
        dirty=dirty,
        rules=Rulebook.of(store.root, PackingRules(), home),
    )
    return Snapshot(
        commit=commit,
        tree="",
        packing=packing,
        total_bytes=packing.total_bytes,
        notes=(),
        _store=store,
    )


def _kept_file(line: bytes) -> KeptFile:
    head, _, path = line.partition(b"\t")
    mode, _, blob, size = head.split()
    return KeptFile(
        os.fsdecode(path), mode.decode(), blob.decode(), 0 if size == b"-" else int(size)
    )
