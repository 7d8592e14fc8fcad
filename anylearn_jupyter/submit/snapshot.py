"""The snapshot: a code directory as one git commit, made without touching the directory.

Everything is written in a repository of our own (`snapshot_store`). Its index is kept between
calls, so that git reads only files whose size, times or inode have changed. The commit has no
parent, and a fixed author, date and message, so that the same files give the same id on any machine
and at any time.

What is in the tree and not on disk as such: notebooks without their outputs, and an empty
``requirements.txt`` where the directory has none, since servers expect one.

Notes
-----
Source: quick-train specification, step 3; faults E1 to E12.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path

from anylearn_jupyter.errors import SnapshotError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.git import GitFailed, own_git
from anylearn_jupyter.submit.globs import literal
from anylearn_jupyter.submit.notebooks import without_outputs
from anylearn_jupyter.submit.packing import pack_directory, resolved_directory
from anylearn_jupyter.submit.packing_list import PackedFile, PackingList, Skipped, unreadable
from anylearn_jupyter.submit.packing_rules import PackingRules
from anylearn_jupyter.submit.regular_files import YOUNG_NS, open_regular
from anylearn_jupyter.submit.snapshot_store import SnapshotStore, StoreRecord, branch_of

REQUIREMENTS = "requirements.txt"
"""What servers expect in the root of each algorithm."""

_EMPTY_BLOB = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
_LEFT_OUT = re.compile(r"^Ignoring path (.*)$", re.MULTILINE)
_TRIES = 3
_NOBODY = {
    "GIT_AUTHOR_NAME": "anylearn",
    "GIT_AUTHOR_EMAIL": "anylearn@localhost",
    "GIT_AUTHOR_DATE": "1000000000 +0000",
    "GIT_COMMITTER_NAME": "anylearn",
    "GIT_COMMITTER_EMAIL": "anylearn@localhost",
    "GIT_COMMITTER_DATE": "1000000000 +0000",
}


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
        Snapshots have no parents, and git leaves out what another commit has only when that commit
        is an edge; ``--shallow`` makes it take each commit that is named for one. Measured: 282
        bytes for one changed file of 300, and all 6 MB without it.
        """
        self._check_store()
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
        self._check_store()
        try:
            yield from self._store.git.stream("archive", "--format=zip", "-1", self.commit)
        except GitFailed as error:
            raise self._lost(str(error)) from error

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
    directory: Path, rules: PackingRules | None = None, *, home: Home | None = None
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

    Returns
    -------
    Snapshot
        The same commit for the same files.

    Raises
    ------
    SnapshotError
        The directory cannot be captured; the sentence names the file and the way out.
    OptionError
        A pattern of the rules cannot be used.
    """
    root = resolved_directory(directory)
    home = home or Home()
    store = SnapshotStore.of(root, home)
    with store.lock():
        for attempt in range(1, _TRIES + 1):
            record = store.open()
            packing = pack_directory(root, rules or PackingRules(), home, store.git_dir)
            try:
                return _Capture(store, record, packing).make()
            except GitFailed as error:
                _name_what_cannot_be_read(packing)
                if attempt == _TRIES:
                    raise SnapshotError(
                        f"The files of {str(root)!r} cannot be captured ({error}); a file that is "
                        "named here and not needed can be left out with --exclude."
                    ) from error
                # A file that changed while git read it, or a damaged store: look again, and the
                # second time from nothing.
                if attempt > 1:
                    store.discard()
    raise AssertionError("unreachable")


class _Capture:
    """Brings our index in line with the packing list, and writes tree and commit."""

    def __init__(self, store: SnapshotStore, record: StoreRecord, packing: PackingList) -> None:
        self._store = store
        self._record = record
        self._packing = packing
        self._notes = list(packing.notes)
        self._total_bytes = packing.total_bytes

    def make(self) -> Snapshot:
        git = self._store.git_with_files
        before = _entries(git.run("ls-files", "-s", "-z"))
        made = self._made_files(before)
        wanted = {file.path for file in self._packing.files} | set(made)
        lines = [f"{mode} {blob}\t{path}" for path, (mode, blob) in made.items()]
        gone = [path for path in before if path not in wanted]
        lines += [f"0 {'0' * 40}\t{path}" for path in gone]
        changes = sorted(set(lines) - set(before.values()))
        if changes:
            git.run("update-index", "-z", "--index-info", stdin=_zero_ended(changes))
        plain = [file.path for file in self._packing.files if file.path not in made]
        _, said = git.run_with_words(
            *("update-index", "--add", "--remove", "--replace", "-z", "--stdin"),
            stdin=_zero_ended(plain),
        )
        _name_what_git_leaves_out(said)
        tree = git.run("write-tree").decode("ascii").strip()
        commit = self._commit(tree)
        self._store.keep(self._record, tree, commit)
        self._store.write(self._record)
        return Snapshot(
            commit=commit,
            tree=tree,
            packing=self._packing,
            total_bytes=self._total_bytes,
            notes=tuple(self._notes),
            _store=self._store,
        )

    def _commit(self, tree: str) -> str:
        for known, commit in self._record.recent:
            if known == tree:
                return commit
        git = own_git(self._store.git_dir, variables=_NOBODY)
        return git.run("commit-tree", tree, "-m", "snapshot").decode("ascii").strip()

    def _made_files(self, before: dict[str, str]) -> dict[str, tuple[str, str]]:
        """Give mode and blob of each file whose content is not the one on disk."""
        made = self._notebooks(before)
        if not self._packing.has(REQUIREMENTS):
            self._add_requirements(made)
        return made

    def _add_requirements(self, made: dict[str, tuple[str, str]]) -> None:
        if any(file.path.startswith(f"{REQUIREMENTS}/") for file in self._packing.files):
            return  # a directory of that name
        self._store.git.run("hash-object", "-w", "--stdin")
        made[REQUIREMENTS] = ("100644", _EMPTY_BLOB)
        why = self._packing.why_not(REQUIREMENTS)
        self._notes.append(
            f"There is no {REQUIREMENTS}, so the snapshot carries an empty one."
            if why is None
            else f"{REQUIREMENTS} does not travel ({why}), so the snapshot carries an empty one; "
            f"--include {REQUIREMENTS} sends it."
        )

    def _notebooks(self, before: dict[str, str]) -> dict[str, tuple[str, str]]:
        """Give mode and blob of each notebook without its outputs, reading only changed ones.

        What is known of a notebook is size, modification and change time, inode, when it was read,
        and how many bytes it has without outputs (-1 when it travels as it is). It counts when it
        was not young when it was read, as in git: an edit within a clock's tick would not show.
        """
        made: dict[str, tuple[str, str]] = {}
        contents: dict[str, bytes] = {}
        known: dict[str, list[int]] = {}
        modes: dict[str, str] = {}
        for file in self._packing.files:
            if not file.path.endswith(".ipynb") or file.is_link:
                continue
            seen = self._record.notebooks.get(file.path)
            entry = before.get(file.path)
            now = _look(self._packing.root, file.path)
            modes[file.path] = "100755" if file.executable else "100644"
            if seen is not None and entry is not None and _is_unchanged(seen, now):
                known[file.path] = seen
                if seen[-1] >= 0:
                    made[file.path] = (modes[file.path], entry.partition("\t")[0].split()[1])
            else:
                read_ns = time.time_ns()
                clean = without_outputs(_read(self._packing.root, file.path))
                known[file.path] = [*now, read_ns, -1 if clean is None else len(clean)]
                if clean is not None:
                    contents[file.path] = clean
            self._weigh(file, known[file.path][-1])
        for path, blob in self._write_blobs(contents).items():
            made[path] = (modes[path], blob)
        self._record.notebooks = known
        return made

    def _weigh(self, file: PackedFile, clean_bytes: int) -> None:
        if clean_bytes >= 0:
            self._total_bytes += clean_bytes - file.size
        else:
            self._notes.append(
                f"{file.path!r} is no notebook that can be read, so it travels as it is, outputs "
                "included."
            )

    def _write_blobs(self, contents: dict[str, bytes]) -> dict[str, str]:
        if not contents:
            return {}
        with tempfile.TemporaryDirectory(prefix="clean-", dir=self._store.git_dir) as name:
            for number, content in enumerate(contents.values()):
                (Path(name) / str(number)).write_bytes(content)
            answer = own_git(self._store.git_dir, Path(name)).run(
                *("hash-object", "-w", "--no-filters", "--stdin-paths"),
                stdin="".join(f"{number}\n" for number in range(len(contents))).encode("ascii"),
            )
        return dict(zip(contents, answer.decode("ascii").split(), strict=True))


def _entries(listed: bytes) -> dict[str, str]:
    """Read ``ls-files -s``: for each path its line as ``update-index --index-info`` takes it."""
    entries = {}
    for line in listed.split(b"\0"):
        if line:
            words, _, path = line.partition(b"\t")
            mode, blob, _ = words.decode("ascii").split()
            name = os.fsdecode(path)
            entries[name] = f"{mode} {blob}\t{name}"
    return entries


def _zero_ended(lines: list[str]) -> bytes:
    return b"".join(os.fsencode(line) + b"\0" for line in lines)


def _look(root: Path, path: str) -> list[int]:
    try:
        found = (root / path).lstat()
    except OSError as error:
        raise unreadable(path, error) from error
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _is_unchanged(seen: list[int], now: list[int]) -> bool:
    *before, read_ns, _ = seen
    return before == now and max(before[1], before[2]) + YOUNG_NS < read_ns


def _read(root: Path, path: str) -> bytes:
    try:
        with open_regular(root / path) as file:
            return file.readall() or b""
    except OSError as error:
        raise unreadable(path, error) from error


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


def _name_what_git_leaves_out(said: str) -> None:
    """Raise the error that names a file which git will not have in a tree, if there is one."""
    found = _LEFT_OUT.search(said)
    if found:
        raise SnapshotError(
            f"The name {found[1]!r} is one that git takes for its own and keeps out of every tree; "
            f"rename it, or leave it out with --exclude {literal(found[1])!r}."
        )


def _is_id(text: str) -> bool:
    return len(text) == 40 and all(digit in "0123456789abcdef" for digit in text)
