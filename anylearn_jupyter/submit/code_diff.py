"""Which files differ between two snapshots that are kept here, and by how many lines."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.git import GitFailed
from anylearn_jupyter.submit.kept_snapshots import KeptFile, contents_of, files_of, store_of

MAX_BYTES = 1 << 18
"""A file of more than this is not compared line by line."""

_MAX_LINES = 20_000


@dataclass(frozen=True)
class FileDifference:
    """A file that is not the same in two snapshots.

    Attributes
    ----------
    path : str
        Relative to the code directory, with ``/``.
    kind : str
        ``changed``; ``added``, which only the second one has; ``removed``, which only the first
        one has.
    added, removed : int or None
        Lines of the second one that the first has not, and the other way round. None for both where
        they were not counted: bytes that are no text, a very large file, or none but the mode.
    """

    path: str
    kind: str
    added: int | None = None
    removed: int | None = None


@dataclass(frozen=True)
class Code:
    """A snapshot: the directory that it was made of, and its commit."""

    directory: Path
    commit: str


def differing_files(first: Code, second: Code, home: Home) -> tuple[FileDifference, ...] | None:
    """List the files that differ, by path; the snapshots may be of different directories.

    Returns
    -------
    tuple of FileDifference or None
        None where one of them is not kept here any more.

    Raises
    ------
    SnapshotError
        There is no usable git.
    """
    before, after = _files(first, home), _files(second, home)
    if before is None or after is None:
        return None
    changed = [path for path in sorted({*before, *after}) if before.get(path) != after.get(path)]
    try:
        old = _texts(first, [before[path] for path in changed if path in before], home)
        new = _texts(second, [after[path] for path in changed if path in after], home)
    except GitFailed:
        return None
    return tuple(_differences(changed, before, after, old, new))


def _files(code: Code, home: Home) -> dict[str, KeptFile] | None:
    listed = files_of(store_of(code.directory, home), code.commit)
    return None if listed is None else {one.path: one for one in listed}


def _texts(code: Code, files: Iterable[KeptFile], home: Home) -> dict[str, bytes]:
    """Read what can be compared line by line."""
    small = [one.blob for one in files if one.size <= MAX_BYTES]
    return contents_of(store_of(code.directory, home), small)


def _differences(
    paths: Iterable[str],
    before: Mapping[str, KeptFile],
    after: Mapping[str, KeptFile],
    old: Mapping[str, bytes],
    new: Mapping[str, bytes],
) -> Iterator[FileDifference]:
    for path in paths:
        left, right = before.get(path), after.get(path)
        counts = _counts(
            b"" if left is None else old.get(left.blob),
            b"" if right is None else new.get(right.blob),
        )
        kind = "added" if left is None else "removed" if right is None else "changed"
        yield FileDifference(path, kind, *counts)


def _counts(old: bytes | None, new: bytes | None) -> tuple[int | None, int | None]:
    """Count the lines that were added and removed; None where that says nothing."""
    if old is None or new is None or old == new or b"\0" in old or b"\0" in new:
        return None, None
    before, after = old.splitlines(), new.splitlines()
    if not before or not after:
        return len(after), len(before)
    if max(len(before), len(after)) > _MAX_LINES:
        return None, None
    added = removed = 0
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=True)
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag != "equal":
            removed += end - start
            added += new_end - new_start
    return added, removed
