"""The names and ids of an algorithm's last code, so that an edit of it can be checked without git.

Git is asked once, when nobody waits. From then on what came says how the code has changed. Only
small code is known in this way, only of the last few algorithms, and only for as long as the
repository is the same one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from anylearn_jupyter.engine.repositories import GitFailed, run_git

DIRECTORY, FILE, PROGRAM, LINK = b"40000", b"100644", b"100755", b"120000"
"""The modes of a tree's entries."""

MAX_ENTRIES = 5000
"""Most files and directories of code that is known."""


_Mark = tuple[int, int, int, int]


class Entry(NamedTuple):
    """What a tree says of a name: its mode, and an id of 20 bytes."""

    mode: bytes
    id: bytes


@dataclass(frozen=True)
class CodeTree:
    """All trees of a commit, which a repository has with all that they name.

    Attributes
    ----------
    commit : str
        40 hexadecimal digits.
    directories : Mapping
        For each directory, whose path has ``/`` and is empty for the top, its entries by name.
    """

    commit: str
    directories: Mapping[bytes, Mapping[bytes, Entry]]

    def files(self) -> Iterable[bytes]:
        """Give the paths of all files and links."""
        for directory, entries in self.directories.items():
            prefix = directory + b"/" if directory else b""
            for name, entry in entries.items():
                if entry.mode != DIRECTORY:
                    yield prefix + name


def list_tree(repository: Path, commit: str) -> CodeTree | None:
    """Ask git for all trees of a commit; for a thread.

    Returns
    -------
    CodeTree or None
        None where it is not there, is too large, or has entries of other kinds.
    """
    try:
        listed = run_git(["ls-tree", "-r", "-t", "-z", commit], {"GIT_DIR": str(repository)})
    except GitFailed:
        return None
    lines = listed.encode("utf-8", "surrogateescape").split(b"\0")[:-1]
    if len(lines) > MAX_ENTRIES:
        return None
    directories: dict[bytes, dict[bytes, Entry]] = {b"": {}}
    for line in lines:
        about, _, path = line.partition(b"\t")
        mode, _, object_id = about.split()
        mode = mode.lstrip(b"0")
        if mode not in (DIRECTORY, FILE, PROGRAM, LINK):
            return None
        directory, _, name = path.rpartition(b"/")
        directories[directory][name] = Entry(mode, bytes.fromhex(object_id.decode("ascii")))
        if mode == DIRECTORY:
            directories[path] = {}
    return CodeTree(commit, directories)


class CodeTrees:
    """What is known of each repository; every method may be called in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Path, tuple[_Mark, CodeTree]] = {}

    def of(self, repository: Path) -> CodeTree | None:
        """Give the last code of a repository, if it is known."""
        with self._lock:
            mark, tree = self._known.get(repository, (None, None))
        return tree if mark is not None and mark == _mark(repository) else None

    def put(self, repository: Path, tree: CodeTree) -> None:
        """Note it."""
        mark = _mark(repository)
        if mark is not None:
            with self._lock:
                self._known[repository] = (mark, tree)

    def keep_only(self, repositories: Iterable[Path]) -> None:
        """Forget all others."""
        kept = set(repositories)
        with self._lock:
            self._known = {one: known for one, known in self._known.items() if one in kept}


def _mark(repository: Path) -> _Mark | None:
    """Tell a repository from one that was made later under its name, or has lost its packs."""
    try:
        found = (repository / "config").stat()
        packs = (repository / "objects" / "pack").stat()
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns, packs.st_ino, packs.st_mtime_ns
