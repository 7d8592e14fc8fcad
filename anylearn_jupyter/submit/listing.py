"""What git says of a directory: which files it tracks or would, what it ignores, what has changed.

The user's repository is only read. Nested repositories and submodules come as names of directories;
each is asked by itself, under its own rules (faults E3, E4).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from anylearn_jupyter.errors import SnapshotError
from anylearn_jupyter.submit.git import (
    Git,
    GitFailed,
    RunningGit,
    filters_off,
    list_settings,
    reading_git,
    settings_of,
)

_GITDIR_FILE_BYTES = 1 << 16
_FILES = ("ls-files", "-z", "-v", "-s")
_IGNORED = ("ls-files", "-z", "-o", "-i", "--directory", "--exclude-standard")
_CANNOT_OPEN = re.compile(r"could not open directory '(.*?)/?': (.*)")


@dataclass(frozen=True)
class Repository:
    """A repository of the user's.

    Attributes
    ----------
    git_dir : Path
        Its ``.git``, or what that file names (a worktree's, a submodule's).
    work_tree : Path
        The directory that has the ``.git``.
    """

    git_dir: Path
    work_tree: Path


class Answers(NamedTuple):
    """What git said of a directory, word for word.

    Attributes
    ----------
    files, ignored : bytes
        Of ``ls-files``: what it tracks or would, and what it ignores.
    state : bytes
        Of ``status``; empty outside of a repository.
    settings : bytes
        Of ``config``.
    """

    files: bytes
    ignored: bytes
    state: bytes
    settings: bytes


class State(NamedTuple):
    """The user's commit, and what differs from it.

    Attributes
    ----------
    head : str or None
        None before the first commit.
    staged : bool
        Whether the user's index differs from it, or has something of which we know no better.
    unstaged : tuple of bytes
        Files that differ from the index.
    """

    head: str | None
    staged: bool
    unstaged: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What git says of one directory; names are bytes, relative to it, with ``/``.

    Attributes
    ----------
    tracked, untracked : list of bytes
        Files that git tracks (also those that it ignores), and those that it would.
    nested : list of bytes
        Directories with a repository of their own, without ``/`` at the end.
    ignored : list of bytes
        What git ignores; a whole directory is one name that ends with ``/``.
    unmerged : list of bytes
        Files in the middle of a merge.
    sparse : list of bytes
        Tracked files that a sparse checkout leaves out; not in `tracked`.
    in_repository : bool
        Whether the user's own repository was asked.
    head : str or None
        The user's commit; None without a repository, and before the first commit.
    changed : bool
        Whether tracked files differ from `head`, or there is no commit yet.
    broken : str
        Why a repository could not be read, so that the directory was listed as a plain one.
    index : dict
        For each tracked file its mode and id in the user's index, as git writes them.
    assumed : bool
        Whether git was told to take some tracked file for unchanged.
    answers : Answers or None
        What all this is from; None where that is more than one look.
    """

    tracked: list[bytes] = field(default_factory=list)
    untracked: list[bytes] = field(default_factory=list)
    nested: list[bytes] = field(default_factory=list)
    ignored: list[bytes] = field(default_factory=list)
    unmerged: list[bytes] = field(default_factory=list)
    sparse: list[bytes] = field(default_factory=list)
    in_repository: bool = False
    head: str | None = None
    changed: bool = False
    broken: str = ""
    index: dict[bytes, bytes] = field(default_factory=dict)
    assumed: bool = False
    answers: Answers | None = field(default=None, repr=False)


def find_repository(directory: Path) -> Repository | None:
    """Find the repository that a directory is in, as git does, but asking nobody's permission.

    A ``.git`` that is no repository is passed over; a mounted file system's border is not crossed.

    Parameters
    ----------
    directory : Path
        Resolved.
    """
    device = directory.stat().st_dev
    for place in (directory, *directory.parents):
        if place.stat().st_dev != device:
            return None
        git_dir = repository_at(place)
        if git_dir is not None:
            return Repository(git_dir, place)
    return None


def repository_at(place: Path) -> Path | None:
    """Give the repository whose top a directory is, or None."""
    named = place / ".git"
    try:
        if stat.S_ISREG(named.stat().st_mode):
            with named.open("rb") as file:
                text = os.fsdecode(file.read(_GITDIR_FILE_BYTES))
            if not text.startswith("gitdir: "):
                return None
            named = place / text.removeprefix("gitdir: ").rstrip("\r\n")
        return named.resolve() if _is_repository(named) else None
    except (OSError, ValueError):
        return None


def _is_repository(git_dir: Path) -> bool:
    if not os.path.lexists(git_dir / "HEAD"):
        return False
    if (git_dir / "commondir").is_file():
        return True
    return (git_dir / "objects").is_dir() and (git_dir / "refs").is_dir()


def list_directory(
    directory: Path, blank: Path, leave_out: Iterable[str] = (), *, nested: bool = False
) -> Listing:
    """Ask git about a directory, in a repository or not.

    Parameters
    ----------
    directory : Path
        Resolved.
    blank : Path
        A repository of ours, which stands in where there is none: its index is not looked at.
    leave_out : iterable of str
        More ignore patterns, so that git need not walk what will not travel anyway.
    nested : bool, default False
        Whether it is a directory of another listing, so that no repository above it counts.

    Raises
    ------
    SnapshotError
        A directory cannot be read.
    """
    patterns = [word for pattern in leave_out for word in ("-x", pattern)]
    if nested:
        git_dir = repository_at(directory)
        repository = None if git_dir is None else Repository(git_dir, directory)
    else:
        repository = find_repository(directory)
    if repository is None:
        return _list_plain(directory, blank, patterns)
    try:
        return _list_repository(directory, blank, repository, patterns)
    except GitFailed as error:
        return _list_plain(directory, blank, patterns, broken=str(error))


def _list_repository(
    directory: Path, blank: Path, repository: Repository, patterns: list[str]
) -> Listing:
    git = reading_git(repository.git_dir, repository.work_tree, directory)
    # Four processes that need not wait for each other, but the last for the first.
    with (
        list_settings(git) as configuration,
        git.start(*_FILES, "-c", "-o", "--exclude-standard", *patterns) as files,
        git.start(*_IGNORED, *patterns) as ignored,
    ):
        settings, _ = configuration.finish()
        with _start_state(repository, directory, settings) as state:
            listed = _read_all(files, directory)
            if not listed and directory != repository.work_tree and _ignores(git, directory):
                # A repository above that ignores all of this is none of this directory's business.
                return _list_plain(directory, blank, patterns)
            left_out = _read_all(ignored, directory)
            said, _ = state.finish()
    return listing_of(Answers(listed, left_out, said, settings), in_repository=True)


def _list_plain(directory: Path, blank: Path, patterns: list[str], broken: str = "") -> Listing:
    git = reading_git(blank, directory, directory)
    git = Git({**git.environment, "GIT_INDEX_FILE": str(blank / "no-index")}, directory)
    try:
        with (
            list_settings(git) as configuration,
            git.start(*_FILES, "-o", "--exclude-standard", *patterns) as files,
            git.start(*_IGNORED, *patterns) as ignored,
        ):
            listed = _read_all(files, directory)
            left_out = _read_all(ignored, directory)
            settings, _ = configuration.finish()
    except GitFailed as error:
        raise SnapshotError(f"The files of {directory} cannot be listed: {error}.") from error
    found = listing_of(Answers(listed, left_out, b"", settings), in_repository=False)
    return replace(found, broken=broken, changed=bool(broken))


def listing_of(answers: Answers, *, in_repository: bool) -> Listing:
    """Read what git said.

    ``ls-files -v``: ``H`` tracked, ``S`` left out by a sparse checkout, ``M`` unmerged, in small
    letters where it is assumed to be unchanged. A submodule is tracked like a file; `packing` sees
    that it is a directory.
    """
    found = Listing(
        ignored=[name for name in answers.ignored.split(b"\0") if name],
        in_repository=in_repository,
        answers=answers,
    )
    unmerged: dict[bytes, None] = {}
    assumed = False
    for line in answers.files.split(b"\0"):
        tag, name = line[:1], line[2:]
        if tag == b"?":
            if name.endswith(b"/"):
                found.nested.append(name[:-1])
            else:
                found.untracked.append(name)
            continue
        about, _, name = name.partition(b"\t")
        assumed |= tag.islower()
        tag = tag.upper()
        if tag == b"M":
            unmerged[name] = None
        elif tag == b"S":
            found.sparse.append(name)
        elif tag:
            found.tracked.append(name)
            found.index[name] = about[:-2]  # without the stage, which is 0
    found.tracked.extend(unmerged)
    found.unmerged.extend(unmerged)
    if not in_repository:
        return found
    state = state_of(answers.state)
    changed = state.staged or bool(state.unstaged) or state.head is None
    return replace(found, head=state.head, changed=changed, assumed=assumed)


def _ignores(git: Git, directory: Path) -> bool:
    """Whether a repository above ignores the whole directory."""
    above = Git(git.environment, directory.parent)
    name = os.fsencode(directory.name)
    return bool(above.run("check-ignore", "-z", "--stdin", stdin=name + b"\0", allow=(0, 1)))


def _read_all(running: RunningGit, directory: Path) -> bytes:
    """List files, and take git's warning of a directory that it cannot read for the error it is."""
    listed, said = running.finish()
    found = _CANNOT_OPEN.search(said)
    if found:
        raise SnapshotError(
            f"The directory {found[1]!r} in {directory} cannot be read ({found[2]}); make it "
            "readable, or leave it out with a line in .gitignore."
        )
    return listed


def _start_state(repository: Repository, directory: Path, settings: bytes) -> RunningGit:
    """Start git to look for the user's commit and for changes below the directory.

    Nothing is written: git compares in memory, and the filters that it would run are emptied. The
    inside of a submodule is not looked at, since git would start itself there with the submodule's
    own configuration; `packing` asks about each nested repository by itself.
    """
    careful = reading_git(
        repository.git_dir,
        repository.work_tree,
        directory,
        settings=filters_off(settings_of(settings)),
    )
    return careful.start(
        *("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=no", "--no-renames"),
        *("--ignore-submodules=dirty", "--no-ahead-behind", "--", "."),
    )


def state_of(answer: bytes) -> State:
    """Read what ``status`` says of the user's commit and of tracked files below the directory."""
    head: str | None = None
    staged = False
    unstaged = []
    for line in answer.split(b"\0"):
        if line.startswith(b"# branch.oid "):
            oid = line.removeprefix(b"# branch.oid ").decode("ascii")
            head = None if oid == "(initial)" else oid
        elif line.startswith(b"1 .M") or line.startswith(b"1 .D"):
            unstaged.append(line.split(b" ", 8)[8])
        elif line and not line.startswith(b"#"):
            staged = True
    return State(head, staged, tuple(unstaged))
