"""A snapshot's files, put into a directory by git, with nothing of git's that could run code.

The tree comes from somebody's push and is not trusted (faults G6). So git gets a directory of its
own, made here, with the objects of the repository and an empty configuration: no hooks, no filter
can be defined, names that pass for ``.git`` on any file system are refused, submodules stay empty
directories, and attributes in the tree change no byte (line ends, ``$Id$``, encodings).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

_TIMEOUT_S = 600
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SPARE_FILES, _SPARE_INDEX = "files", "index"

_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tbare = false
\tprotectNTFS = true
\tprotectHFS = true
\tsymlinks = true
\tautocrlf = false
\thooksPath = /dev/null
\tfsmonitor = false
[advice]
\tdetachedHead = false
"""
_ATTRIBUTES = "* -text -eol -crlf -ident -filter -working-tree-encoding\n"


class Spare(NamedTuple):
    """Files that were checked out beforehand.

    Attributes
    ----------
    place : Path
        What `bring_up` made.
    current : str or None
        The commit that they were brought to a moment ago, so that git need not look at them again.
    """

    place: Path
    current: str | None = None


class CheckoutFailed(Exception):
    """A snapshot that cannot be put in place; one sentence, for the user."""


def resolve(repository: Path, ref: str) -> str:
    """Give the commit that a branch, a tag or a commit's id names.

    Parameters
    ----------
    repository : Path
        A bare repository.
    ref : str
        What to look for; nothing in it is taken for an option.

    Raises
    ------
    CheckoutFailed
        There is no such commit.
    """
    answer = _git(
        ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"],
        _environment(repository),
        cwd=repository,
    )
    commit = answer.stdout.strip()
    if answer.returncode != 0 or not _COMMIT.fullmatch(commit):
        raise CheckoutFailed(
            f"The algorithm has no commit, branch or tag {ref!r}; send its code again."
        )
    return commit


def check_out(
    repository: Path, ref: str, target: Path, *, scratch: Path, spare: Spare | None = None
) -> str:
    """Put the files of a commit into a directory.

    Parameters
    ----------
    repository : Path
        A bare repository; it is only read.
    ref : str
        Commit, branch or tag.
    target : Path
        Is made; must not exist.
    scratch : Path
        A name in the same place for git's own files; must not exist, and is gone afterwards.
    spare : Spare, optional
        Files of the same repository, on the same file system. They are used up: they become those
        of the target, and git changes only what differs from the commit. Git looks at each of them
        first, so that one which somebody has touched is written anew.

    Returns
    -------
    str
        The commit.

    Raises
    ------
    CheckoutFailed
        There is no such commit, or git refuses the tree.
    """
    # A whole id needs no look-up, which would cost a process.
    commit = ref if _COMMIT.fullmatch(ref) else resolve(repository, ref)
    try:
        is_warm = spare is not None and _moved_in(spare.place, target)
        if spare is not None and is_warm and spare.current == commit:
            return commit
        _make_git_dir(scratch)
        if spare is not None and is_warm:
            (spare.place / _SPARE_INDEX).rename(scratch / "index")
        else:
            target.mkdir()
        answer = _read_tree(repository, commit, target, scratch)
        if answer.returncode != 0 and is_warm:
            shutil.rmtree(target)
            (scratch / "index").unlink(missing_ok=True)
            (scratch / "index.lock").unlink(missing_ok=True)
            target.mkdir()
            answer = _read_tree(repository, commit, target, scratch)
        if answer.returncode != 0:
            resolve(repository, ref)  # says so if there is no such commit
            words = " ".join(answer.stderr.split())[:500]
            raise CheckoutFailed(f"The snapshot {commit[:12]} cannot be put in place: {words}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        if spare is not None:
            shutil.rmtree(spare.place, ignore_errors=True)
    return commit


def bring_up(repository: Path, commit: str, place: Path) -> None:
    """Make a spare's files those of a commit, for a later `check_out` of this repository.

    Parameters
    ----------
    repository : Path
        A bare repository; it is only read.
    commit : str
        A commit's whole id.
    place : Path
        The spare; is made if it is not there, and is gone if this fails.

    Raises
    ------
    CheckoutFailed
        As `check_out`.
    """
    scratch, files = place / "checkout.git", place / _SPARE_FILES
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        _make_git_dir(scratch)
        if files.is_dir() and not files.is_symlink():
            (place / _SPARE_INDEX).rename(scratch / "index")
        else:
            files.mkdir()
        answer = _read_tree(repository, commit, files, scratch)
        if answer.returncode != 0:
            raise CheckoutFailed(f"The snapshot {commit[:12]} cannot be put in place beforehand.")
        # Of git's own files only its list goes with the spare: what configures git is made anew.
        (scratch / "index").rename(place / _SPARE_INDEX)
        shutil.rmtree(scratch)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def looks_of(place: Path, paths: Iterable[bytes]) -> dict[bytes, tuple[int, ...]]:
    """Tell how files of a spare look, so that one which is touched later looks different.

    Raises
    ------
    OSError
        One is gone.
    """
    top = os.fsencode(place / _SPARE_FILES) + b"/"
    return {path: _look(os.lstat(top + path)) for path in paths}


def _look(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def rewrite(place: Path, written: Mapping[bytes, bytes]) -> None:
    """Give files of a spare another content, without git.

    Git's list is left behind, so that git takes these files for touched ones, and looks again.

    Parameters
    ----------
    place : Path
        The spare; it is gone if this fails.
    written : Mapping
        By the path of a file that is there, and has been seen to be one (`looks_of`).

    Raises
    ------
    OSError
        A file cannot be written.
    """
    top = os.fsencode(place / _SPARE_FILES) + b"/"
    try:
        for path, data in written.items():
            handle = os.open(top + path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise


def _moved_in(place: Path, target: Path) -> bool:
    """Make a spare's files those of the target; False where it is not whole."""
    files, index = place / _SPARE_FILES, place / _SPARE_INDEX
    if files.is_symlink() or not files.is_dir() or not index.is_file():
        return False
    files.rename(target)
    return True


def _make_git_dir(scratch: Path) -> None:
    (scratch / "refs").mkdir(parents=True)
    (scratch / "objects").mkdir()
    (scratch / "info").mkdir()
    (scratch / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
    (scratch / "config").write_text(_CONFIG, encoding="ascii")
    (scratch / "info" / "attributes").write_text(_ATTRIBUTES, encoding="ascii")


def _read_tree(
    repository: Path, commit: str, target: Path, scratch: Path
) -> subprocess.CompletedProcess[str]:
    variables = _environment(scratch) | {
        "GIT_OBJECT_DIRECTORY": str(repository / "objects"),
        "GIT_WORK_TREE": str(target),
        "GIT_INDEX_FILE": str(scratch / "index"),
    }
    return _git(["read-tree", "--reset", "-u", commit], variables, cwd=target)


def _environment(git_dir: Path) -> dict[str, str]:
    """Name all that git may know: nothing of ours, and no configuration but the directory's."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C",
        "HOME": os.devnull,
        "GIT_DIR": str(git_dir),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
    }


def _git(
    words: list[str], variables: dict[str, str], *, cwd: Path
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", *words],
            env=variables,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise CheckoutFailed("The engine needs git, and there is none in its PATH.") from error
    except subprocess.TimeoutExpired as error:
        raise CheckoutFailed(f"git took longer than {_TIMEOUT_S} s for the snapshot.") from error
