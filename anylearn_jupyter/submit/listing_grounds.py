"""What git's answers about a directory rest on, so that they need not be asked for again.

Git's answer follows from the names in the directory, its ignore files and those above it, the
user's index and commit, and the configuration, wherever that is written. `Names` is a digest of the
first; files of rules are known by how they look (`look_of`), as git knows files by its index; the
commit is read. What cannot be known in this way has no grounds, and git is asked.

Notes
-----
Source: git's documentation of ``gitignore``, ``git-config`` ("FILES", "Includes"),
``gitattributes`` and ``gitrepository-layout``.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from anylearn_jupyter.submit.git import Settings, git_program
from anylearn_jupyter.submit.listing import Repository
from anylearn_jupyter.submit.packing_list import FileLook
from anylearn_jupyter.submit.regular_files import YOUNG_NS

IGNORE_FILE, ATTRIBUTES_FILE = ".gitignore", ".gitattributes"

Look = list[int] | None
"""How a file looks, and what it leads to if it is a link; None where there is none."""

_ENVIRONMENT = ("HOME", "XDG_CONFIG_HOME")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_REF = re.compile(r"ref: (refs/heads/[^\0\n]+)\n?")
_HEAD_BYTES = 1 << 12
_FALSE = ("false", "no", "off", "0", "")


@dataclass(frozen=True)
class Names:
    """The names below a directory, as one look found them.

    Attributes
    ----------
    digest : str
        Of all names and of what is a file, a link, a directory or something else; 40 digits.
    files, links : list of str
        Paths with ``/``; a link is in both.
    nested : bool
        Whether a directory below has a ``.git``.
    """

    digest: str
    files: list[str]
    links: list[str]
    nested: bool


def names_below(root: str, closed: Set[str]) -> Names:
    """Look at the names below a directory; the ``.git`` of its own is not looked at.

    Parameters
    ----------
    root : str
        The directory.
    closed : set of str
        Directories that are not entered, whatever is in them.

    Raises
    ------
    OSError
        A directory cannot be read.
    """
    digest = hashlib.sha1(usedforsecurity=False)
    files: list[str] = []
    links: list[str] = []
    nested = False
    waiting = [""]
    while waiting:
        directory = waiting.pop()
        prefix = f"{directory}/" if directory else ""
        lines = []
        with os.scandir(f"{root}/{directory}") as entries:
            for entry in entries:
                name = entry.name
                if name == ".git":
                    nested |= bool(directory)
                    continue
                path = prefix + name
                if entry.is_dir(follow_symlinks=False):
                    lines.append(f"{name}\0d")
                    if path not in closed:
                        waiting.append(path)
                elif entry.is_file(follow_symlinks=False):
                    lines.append(f"{name}\0f")
                    files.append(path)
                elif entry.is_symlink():
                    lines.append(f"{name}\0l")
                    files.append(path)
                    links.append(path)
                else:
                    lines.append(f"{name}\0o")
        lines.sort()
        # What is entered next follows from what was found, and so must its order.
        waiting.sort()
        digest.update(os.fsencode("\0".join((directory, str(nested), *lines, ""))))
    return Names(digest.hexdigest(), files, links, nested)


def look_of(path: str) -> Look:
    """Look at a file without opening it.

    Raises
    ------
    OSError
        It cannot be seen whether it is there.
    """
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    look = [*FileLook.of(found)]
    if stat.S_ISLNK(found.st_mode):
        look += FileLook.of(Path(path).stat())
    return look


def aim_of(link: str) -> list[str | None]:
    """Give the text of a link, and where it leads; None for nowhere.

    Raises
    ------
    OSError
        It is no link.
    """
    path = Path(link)
    text = os.fspath(path.readlink())
    try:
        return [text, str(path.resolve(strict=True))]
    except (OSError, RuntimeError):
        return [text, None]


def is_settled(look: Look, begun_ns: int) -> bool:
    """Whether a file had been as it looks for a while when git began to look at it."""
    return look is None or all(
        max(look[at + 1], look[at + 2]) + YOUNG_NS < begun_ns for at in range(0, len(look), 4)
    )


def environment() -> list[str | None]:
    """Give which git it is, and what tells it where its configuration is."""
    return [git_program(), *(os.environ.get(name) for name in _ENVIRONMENT)]


def head_of(repository: Repository) -> str | None:
    """Read which commit a repository is at; None where that is not written in the plain way."""
    head = _text_of(repository.git_dir / "HEAD")
    if head is None or _COMMIT.fullmatch(head.strip()):
        return head and head.strip()
    named = _REF.fullmatch(head)
    if named is None:
        return None
    common = common_directory(repository)
    loose = _text_of(common / named[1])
    if loose is not None:
        commit = loose.strip()
        return commit if _COMMIT.fullmatch(commit) else None
    try:
        packed = (common / "packed-refs").read_bytes()
    except OSError:
        return None
    found = re.search(rb"^([0-9a-f]{40}) " + re.escape(os.fsencode(named[1])) + rb"$", packed, re.M)
    return found and found[1].decode("ascii")


def common_directory(repository: Repository) -> Path:
    """Give where a repository has what its work trees share.

    Raises
    ------
    OSError
        The file that says so cannot be read.
    """
    try:
        text = (repository.git_dir / "commondir").read_bytes()
    except FileNotFoundError:
        return repository.git_dir
    return repository.git_dir / os.fsdecode(text.rstrip(b"\n"))


def _text_of(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return os.fsdecode(file.read(_HEAD_BYTES))
    except OSError:
        return None


def rule_files(
    directory: Path, git_dir: Path, repository: Repository | None, settings: Settings
) -> tuple[set[str], set[str]] | None:
    """Name all files outside of the directory that git takes rules from, there or not.

    Parameters
    ----------
    git_dir : Path
        The repository that git reads: the user's, or ours where there is none.

    Returns
    -------
    (set, set) or None
        Those of ignore rules and of the configuration; those of attributes, by which a file may be
        another one in git's eyes than on disk. None where one cannot be named.
    """
    configured = _configured(settings)
    ignores = _chosen(settings, "core.excludesfile", "ignore")
    attributes = _chosen(settings, "core.attributesfile", "attributes")
    if configured is None or ignores is None or attributes is None:
        return None
    system = _system_directories()
    common = git_dir if repository is None else common_directory(repository)
    rules = configured | ignores | {f"{place}/gitconfig" for place in system}
    rules |= {_in_home("config"), str(Path.home() / ".gitconfig")}
    rules |= {f"{common}/config", f"{git_dir}/config.worktree", f"{common}/info/exclude"}
    attributes |= {f"{place}/gitattributes" for place in system} | {f"{common}/info/attributes"}
    if repository is not None:
        rules |= {f"{git_dir}/index", f"{git_dir}/commondir"}
        for place in directory.parents:
            if not place.is_relative_to(repository.work_tree):
                break
            rules.add(str(place / IGNORE_FILE))
            attributes.add(str(place / ATTRIBUTES_FILE))
    return rules, attributes


def takes_bytes_as_they_are(settings: Settings) -> bool:
    """Whether a configuration has git compare files byte by byte, where no attribute says more."""
    chosen = {one.key: one.value for one in settings}
    return (
        chosen.get("core.autocrlf", "false") in _FALSE
        and chosen.get("core.filemode", "true") not in (*_FALSE, None)
        and chosen.get("core.symlinks", "true") not in (*_FALSE, None)
    )


def _configured(settings: Settings) -> set[str] | None:
    """Name the files that the settings are from, and those that they include if that holds."""
    found = set()
    for one in settings:
        kind, _, origin = one.origin.partition(":")
        if kind == "command line":
            continue
        if kind != "file" or not Path(origin).is_absolute():
            return None
        found.add(origin)
        if one.key.startswith(("include.", "includeif.")):
            path = Path(one.value or "").expanduser()
            if path.parts[:1] == ("%(prefix)",):
                return None
            found.add(str(Path(origin).parent / path))
    return found


def _chosen(settings: Settings, key: str, name: str) -> set[str] | None:
    """Name the file that a setting chooses, or the one that counts without it."""
    values = [one.value for one in settings if one.key == key]
    if not values:
        return {_in_home(name)}
    path = Path(values[-1] or "").expanduser()
    return {str(path)} if path.is_absolute() else None


def _in_home(name: str) -> str:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return f"{base}/git/{name}"


def _system_directories() -> set[str]:
    """Name where git may have been told, when it was built, that the machine's rules are."""
    top = Path(git_program()).resolve().parent.parent
    return {"/etc", str(top / "etc"), str(top.parent / "etc")}
