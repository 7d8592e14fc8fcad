"""Which line of which ignore file kept a path from travelling, for the packing list."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.git import GitFailed, reading_git
from anylearn_jupyter.submit.listing import Repository, find_repository, repository_at
from anylearn_jupyter.submit.packing_list import PackingList, Skipped
from anylearn_jupyter.submit.packing_rules import IGNORED
from anylearn_jupyter.submit.snapshot_store import SnapshotStore


def with_ignore_rules(packing: PackingList, home: Home) -> tuple[Skipped, ...]:
    """Give what does not travel, with git's own rule where git ignores it.

    Parameters
    ----------
    packing : PackingList
        What was found to travel.
    home : Home
        Where our own repositories are.

    Returns
    -------
    tuple of Skipped
        As in the list, in its order; the reason of what git ignores names the pattern and where it
        stands, such as ``ignored by git: *.log (.gitignore line 3)``. What no rule names any more
        keeps its reason: the files may have changed meanwhile.
    """
    ignored = [one.path for one in packing.skipped if one.reason == IGNORED]
    if not ignored:
        return packing.skipped
    rules: dict[str, str] = {}
    for folder, paths in _by_repository(ignored, packing.nested).items():
        rules.update(_rules_in(packing.root, folder, paths, home))
    told = [
        replace(one, reason=rules[one.path]) if one.reason == IGNORED and one.path in rules else one
        for one in packing.skipped
    ]
    return tuple(one for one in told if not _is_told_by_its_files(one, told))


def _is_told_by_its_files(one: Skipped, told: Iterable[Skipped]) -> bool:
    """Whether it is a directory that no rule ignores, all of whose files are: git lists both."""
    if one.reason != IGNORED or not one.path.endswith("/"):
        return False
    return any(other is not one and other.path.startswith(one.path) for other in told)


def _by_repository(paths: Iterable[str], nested: Sequence[str]) -> dict[str, list[str]]:
    """Put each path to the innermost repository that it is in; empty names the directory itself."""
    found: dict[str, list[str]] = {}
    deepest = sorted(nested, key=len, reverse=True)
    for path in paths:
        folder = next((one for one in deepest if path.startswith(f"{one}/")), "")
        found.setdefault(folder, []).append(path)
    return found


def _rules_in(root: Path, folder: str, paths: list[str], home: Home) -> dict[str, str]:
    """Ask git for the rules of one repository; of one that it cannot read there are none."""
    directory = root / folder
    repository = find_repository(directory) if not folder else _nested_at(directory)
    if repository is None:
        repository = Repository(SnapshotStore.of(root, home).git_dir, directory)
    prefix = f"{folder}/" if folder else ""
    names = [os.fsencode(path.removeprefix(prefix).removesuffix("/*")) for path in paths]
    git = reading_git(repository.git_dir, repository.work_tree, directory)
    try:
        answer = git.run(
            *("check-ignore", "-v", "-z", "--stdin"),
            stdin=b"".join(name + b"\0" for name in names),
            allow=(0, 1),
        )
    except GitFailed:
        return {}
    fields = [os.fsdecode(one) for one in answer.split(b"\0")[:-1]]
    # Each answer is four of them.
    answers = zip(fields[::4], fields[1::4], fields[2::4], fields[3::4], strict=True)
    told = {
        name: f"{IGNORED}: {pattern} ({source} line {line})"
        for source, line, pattern, name in answers
    }
    asked = zip(paths, names, strict=True)
    return {path: told[os.fsdecode(name)] for path, name in asked if os.fsdecode(name) in told}


def _nested_at(directory: Path) -> Repository | None:
    git_dir = repository_at(directory)
    return None if git_dir is None else Repository(git_dir, directory)
