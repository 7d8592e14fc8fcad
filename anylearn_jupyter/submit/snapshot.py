"""The snapshot: a code directory as one git commit, made without touching the directory.

Everything is written in a repository of our own (`snapshot_store`). How each file looked is kept
between calls, so that only files whose size, times or inode have changed are read. The commit has
no parent, and a fixed author, date and message, so that the same files give the same id on any
machine and at any time.

Git says which files there are (`listing`), and for an edit of one what it said before will do
(`kept_packing`). What it would do with them then is done here, without a
process: hashing, trees, the commit, the few objects of an edit, and the pack that carries them.

What is in the tree and not on disk as such: notebooks without their outputs, an empty
``requirements.txt`` where the directory has none, since servers expect one, and the files that a
request adds (`overlay`).

Notes
-----
Source: quick-train specification, step 3; faults E1 to E12.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from anylearn_jupyter.errors import SnapshotError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.git import GitFailed
from anylearn_jupyter.submit.git_objects import (
    GitObject,
    TreeEntry,
    commit_of,
    pack_of,
    trees_of,
)
from anylearn_jupyter.submit.notebooks import without_outputs
from anylearn_jupyter.submit.overlay import check_overlay, with_overlay
from anylearn_jupyter.submit.packing import pack_directory, resolved_directory
from anylearn_jupyter.submit.packing_list import (
    FileLook,
    PackedFile,
    PackingList,
    Skipped,
    unreadable,
)
from anylearn_jupyter.submit.packing_rules import PackingRules
from anylearn_jupyter.submit.regular_files import open_regular
from anylearn_jupyter.submit.snapshot_store import (
    AS_IT_IS,
    KnownFile,
    SnapshotStore,
    StoreRecord,
    branch_of,
)
from anylearn_jupyter.submit.tree_names import refuse_what_git_leaves_out
from anylearn_jupyter.submit.unkept_snapshot import ObjectSink, UnkeptSnapshot

REQUIREMENTS = "requirements.txt"
"""What servers expect in the root of each algorithm."""

_TRIES = 3
_WHO, _WHEN, _MESSAGE = "anylearn <anylearn@localhost>", 1_000_000_000, "snapshot"
_SMALL_PACK_BYTES, _MOST_OBJECTS = 1 << 18, 100
_BASES = 2

_CHANGED = (errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ELOOP, errno.EISDIR)


class FilesChanged(Exception):
    """A file is not what it was when it was listed; one sentence."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A code directory at one moment, as a commit in our own store.

    Attributes
    ----------
    commit, tree : str
        40 hexadecimal digits each.
    packing : PackingList
        What travels and what does not.
    total_bytes : int
        Bytes of all files, notebooks without outputs.
    notes : tuple of str
        Sentences for the user: those of the packing list, and what was added or could not be done.
    """

    commit: str
    tree: str
    packing: PackingList
    total_bytes: int
    notes: tuple[str, ...]
    _store: SnapshotStore = field(repr=False, compare=False)
    _recent: tuple[tuple[str, str], ...] = field(default=(), repr=False, compare=False)
    _unkept: UnkeptSnapshot | None = field(default=None, repr=False, compare=False)

    @property
    def branch(self) -> str:
        """The branch that it is pushed as: ``snapshot-`` and 12 digits of the commit."""
        return branch_of(self.commit)

    @property
    def files(self) -> int:
        """How many files travel."""
        return len(self.packing.files)

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What does not travel, and why."""
        return self.packing.skipped

    @property
    def dirty(self) -> bool:
        """Whether it differs from the user's own commit."""
        return self.packing.dirty

    @property
    def head(self) -> str | None:
        """The user's own commit, if there is one."""
        return self.packing.head

    def has(self, path: str) -> bool:
        """Whether a file travels, named relative to the code directory."""
        return self.packing.has(path)

    def keep(self) -> None:
        """Have the store keep it, where `snapshot` has left that to the caller.

        Raises
        ------
        SnapshotError, OSError
            As `UnkeptSnapshot.keep`.
        """
        if self._unkept is not None:
            self._unkept.keep()

    def pack(self, have: Set[str] = frozenset()) -> Iterator[bytes]:
        """Give a git pack with all that a server lacks, piece by piece.

        Parameters
        ----------
        have : set of str
            Commits that the server has; those that are not known here are of no use.

        Returns
        -------
        iterator of bytes
            A thin pack: small where only little differs from one of those commits.

        Raises
        ------
        SnapshotError
            The store was damaged or taken away; submitting again makes a new one.

        Notes
        -----
        Where little differs, the few objects are put in a pack as they are. Else git makes it, with
        what it knows of finding differences. Snapshots have no parents, and git leaves out what
        another commit has only when that commit is an edge; ``--shallow`` makes it take each commit
        that is named for one. Measured: 282 bytes for one changed file of 300, and all 6 MB without
        it.
        """
        self.keep()
        self._check_store()
        small = self.small_pack(have)
        if small is not None:
            yield small
            return
        asked = "".join(f"{commit}\n" for commit in sorted(have) if _is_id(commit))
        try:
            known = self._known_commits(asked)
            wanted = "".join([f"{self.commit}\n", *(f"^{commit}\n" for commit in known)])
            words = ("pack-objects", "--revs", "--stdout", "--thin", "--shallow", "--quiet")
            yield from self._store.git.stream(
                *words, "--delta-base-offset", stdin=wanted.encode("ascii")
            )
        except GitFailed as error:
            raise self._lost(str(error)) from error

    def archive(self) -> Iterator[bytes]:
        """Give a zip of all files, for a server without git; the same bytes each time.

        Raises
        ------
        SnapshotError
            As for `pack`.
        """
        self.keep()
        self._check_store()
        try:
            yield from self._store.git.stream("archive", "--format=zip", "-1", self.commit)
        except GitFailed as error:
            raise self._lost(str(error)) from error

    def small_pack(self, have: Set[str], *, most_objects: int = _MOST_OBJECTS) -> bytes | None:
        """Give the pack where all that a server lacks is little and lies ready, else None.

        Parameters
        ----------
        have : set of str
            Commits that the server has.
        most_objects : int
            More of them are not little.

        Raises
        ------
        SnapshotError
            As for `pack`.
        """
        bases = [commit for _, commit in self._recent if commit in have][-_BASES:]
        if not bases:
            return None
        unkept = self._unkept
        held = unkept.held if unkept else {}
        lacking = set(unkept.objects) if unkept else self._store.objects_of(self.commit)
        if bytes.fromhex(self.commit) not in lacking:
            return None
        for commit in bases:
            lacking -= self._store.objects_of(commit)
        if len(lacking) > most_objects:
            return None
        loose, found, size = self._store.objects, [], 0
        try:
            for object_id in lacking:
                one = held.get(object_id) or loose.read(object_id)
                size += 0 if one is None else len(one.body)
                if one is None or size > _SMALL_PACK_BYTES:
                    return None
                found.append(one)
        except (OSError, ValueError) as error:
            raise self._lost(str(error)) from error
        return pack_of(found)

    def _known_commits(self, asked: str) -> list[str]:
        if not asked:
            return []
        answer = self._store.git.run("cat-file", "--batch-check", stdin=asked.encode("ascii"))
        words = (line.split() for line in answer.decode("utf-8", "replace").splitlines())
        return [found[0] for found in words if len(found) == 3 and found[1] == "commit"]

    def _check_store(self) -> None:
        if not self._store.git_dir.is_dir():
            raise self._lost("its store was taken away")

    def _lost(self, reason: str) -> SnapshotError:
        self._store.discard()
        return SnapshotError(
            f"The snapshot {self.commit[:12]} cannot be read any more ({reason}); submit again, "
            "which captures the directory anew."
        )


def snapshot(
    directory: Path,
    rules: PackingRules | None = None,
    *,
    home: Home | None = None,
    added: Mapping[str, bytes] | None = None,
    kept: bool = True,
) -> Snapshot:
    """Capture a code directory as a commit; nothing in it, and no repository of its, is touched.

    Parameters
    ----------
    directory : Path
        The code directory: in a repository, above some, or in none.
    rules : PackingRules, optional
        What the task adds to the packing rules.
    home : Home, optional
        Where our own repositories are.
    added : Mapping, optional
        Files that travel along and are not in the directory: their content by their path.
    kept : bool, default True
        False leaves it to the caller when a small one is written down (`Snapshot.keep`).

    Returns
    -------
    Snapshot
        The same commit for the same files.

    Raises
    ------
    SnapshotError
        The directory cannot be captured; the sentence names the file and the way out.
    OptionError
        A pattern of the rules cannot be used, or the directory has a file of an added one's name.
    """
    root = resolved_directory(directory)
    home = home or Home()
    store = SnapshotStore.of(root, home)
    with store.lock():
        for attempt in range(1, _TRIES + 1):
            record = store.open()
            chosen = rules or PackingRules()
            packing = pack_directory(root, chosen, home, store.git_dir, kept=attempt == 1)
            check_overlay(packing, added or {})
            try:
                return _Capture(store, record, packing, added or {}).make(kept=kept)
            except (GitFailed, FilesChanged) as error:
                _name_what_cannot_be_read(packing)
                if attempt == _TRIES:
                    raise SnapshotError(
                        f"The files of {str(root)!r} cannot be captured ({error}); a file that is "
                        "named here and not needed can be left out with --exclude."
                    ) from error
                # A file that changed while it was read, or a damaged store: look again, and the
                # second time from nothing.
                if attempt > 1:
                    store.discard()
    raise AssertionError("unreachable")


class _Capture:
    """Reads what has changed, and writes blobs, trees and commit."""

    def __init__(
        self,
        store: SnapshotStore,
        record: StoreRecord,
        packing: PackingList,
        added: Mapping[str, bytes],
    ) -> None:
        self._store = store
        self._record = record
        self._packing = packing
        self._added = added
        self._notes = list(packing.notes)
        self._total_bytes = packing.total_bytes + sum(map(len, added.values()))
        self._known: dict[str, KnownFile] = {}

    def make(self, *, kept: bool) -> Snapshot:
        refuse_what_git_leaves_out(self._store, self._packing.files)
        recent = self._record.recent
        known = self._store.objects_of(recent[-1][1]) if recent else set()
        with ObjectSink(self._store, known) as sink:
            entries = {file.path: self._entry(file, sink) for file in self._packing.files}
            for path, data in self._added.items():
                entries[path] = TreeEntry(b"100644", sink.add(GitObject("blob", data)))
            self._add_requirements(entries, sink)
            try:
                trees = [sink.add(tree) for tree in trees_of(entries)]
            except ValueError as error:
                raise FilesChanged(str(error)) from error
            commit = sink.add(commit_of(trees[-1], _WHO, _WHEN, _MESSAGE))
        unkept = UnkeptSnapshot(
            store=self._store,
            base=recent[-1] if known else None,
            tree=trees[-1].hex(),
            commit=commit.hex(),
            objects={entry.id for entry in entries.values()} | {*trees, commit},
            held=sink.held,
            files=self._known,
        )
        if kept or not sink.holds_all:
            unkept.write(self._record)
        packing = self._packing
        if not packing.dirty and self._differs(entries):
            packing = replace(packing, dirty=True)
        own = (unkept.tree, unkept.commit)
        return Snapshot(
            commit=unkept.commit,
            tree=unkept.tree,
            packing=with_overlay(packing, self._added),
            total_bytes=self._total_bytes,
            notes=tuple(self._notes),
            _store=self._store,
            _recent=(*(pair for pair in self._record.recent if pair != own), own),
            _unkept=unkept,
        )

    def _differs(self, entries: Mapping[str, TreeEntry]) -> bool:
        """Whether a file is not what the user's index has of it, where git was not asked."""
        for path, about in self._packing.index.items():
            seen = self._known.get(path)
            if seen is not None:
                mode = entries[path].mode.decode("ascii")
                if about != f"{mode} {seen.raw or seen.blob}":
                    return True
        return False

    def _add_requirements(self, entries: dict[str, TreeEntry], sink: ObjectSink) -> None:
        if REQUIREMENTS in entries:
            return
        if any(path.startswith(f"{REQUIREMENTS}/") for path in entries):
            return  # a directory of that name
        entries[REQUIREMENTS] = TreeEntry(b"100644", sink.add(GitObject("blob", b"")))
        why = self._packing.why_not(REQUIREMENTS)
        self._notes.append(
            f"There is no {REQUIREMENTS}, which servers expect, so an empty one travels."
            if why is None
            else f"{REQUIREMENTS} does not travel ({why}), so the snapshot carries an empty one; "
            f"--include {REQUIREMENTS} sends it."
        )

    def _entry(self, file: PackedFile, sink: ObjectSink) -> TreeEntry:
        """Give mode and blob of a file, reading it only if it is not what it was."""
        seen = self._record.files.get(file.path)
        if seen is None or not seen.is_still(self._packing.looks[file.path]):
            seen = self._read(file, sink)
        self._known[file.path] = seen
        if file.is_link:
            return TreeEntry(b"120000", bytes.fromhex(seen.blob))
        if file.path.endswith(".ipynb"):
            self._weigh(file, seen.clean_bytes)
        mode = b"100755" if file.executable else b"100644"
        return TreeEntry(mode, bytes.fromhex(seen.blob))

    def _read(self, file: PackedFile, sink: ObjectSink) -> KnownFile:
        read_ns = time.time_ns()
        clean_bytes = AS_IT_IS
        if file.is_link:
            look = self._packing.looks[file.path]
            data = as_it_is = _link_text(self._packing.root, file.path)
        else:
            look, as_it_is = _read(self._packing.root, file.path)
            data = as_it_is
            clean = without_outputs(data) if file.path.endswith(".ipynb") else None
            if clean is not None:
                data, clean_bytes = clean, len(clean)
        blob = sink.add(GitObject("blob", data))
        raw = "" if clean_bytes == AS_IT_IS else GitObject("blob", as_it_is).id.hex()
        return KnownFile(*look, read_ns, clean_bytes, blob.hex(), raw)

    def _weigh(self, file: PackedFile, clean_bytes: int) -> None:
        if clean_bytes >= 0:
            self._total_bytes += clean_bytes - file.size
        else:
            self._notes.append(
                f"{file.path!r} is no notebook that can be read, so it travels as it is, outputs "
                "included."
            )


def _read(root: Path, path: str) -> tuple[FileLook, bytes]:
    """Read a file whole, as it was at one moment."""
    try:
        with open_regular(root / path) as file:
            look = FileLook.of(os.fstat(file.fileno()))
            data = file.readall() or b""
            if FileLook.of(os.fstat(file.fileno())) != look or len(data) != look.size:
                raise FilesChanged(f"{path!r} changed while it was read")
    except OSError as error:
        raise _unread(path, error) from error
    return look, data


def _link_text(root: Path, path: str) -> bytes:
    try:
        return os.fsencode((root / path).readlink())
    except OSError as error:
        raise _unread(path, error) from error


def _unread(path: str, error: OSError) -> Exception:
    if error.errno in _CHANGED:
        return FilesChanged(f"{path!r} is not what it was a moment ago")
    return unreadable(path, error)


def _name_what_cannot_be_read(packing: PackingList) -> None:
    """Raise the error that names a file which git could not read, if there is one."""
    for file in packing.files:
        if file.is_link:
            continue
        try:
            open_regular(packing.root / file.path).close()
        except FileNotFoundError:
            continue  # gone meanwhile: the next look does not list it
        except OSError as error:
            raise unreadable(file.path, error) from error


def _is_id(text: str) -> bool:
    return len(text) == 40 and all(digit in "0123456789abcdef" for digit in text)
