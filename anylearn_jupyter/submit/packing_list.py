"""The packing list: what of a code directory travels, and what does not, as a value.

`packing` makes it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from anylearn_jupyter.errors import SnapshotError
from anylearn_jupyter.submit.globs import parents
from anylearn_jupyter.submit.packing_rules import IGNORED, Rulebook


class PackedFile(NamedTuple):
    """One file that travels.

    Attributes
    ----------
    path : str
        Relative to the code directory, with ``/``; bytes that are no UTF-8 as `os.fsdecode` gives
        them.
    size : int
        Bytes on disk; of a link, of its text.
    executable, is_link : bool
        A link is never executable.
    """

    path: str
    size: int
    executable: bool = False
    is_link: bool = False

    @classmethod
    def of(cls, path: str, found: os.stat_result) -> PackedFile:
        """Take it from what the system says.

        Raises
        ------
        OSError
            It is neither a file nor a link.
        """
        if stat.S_ISREG(found.st_mode):
            return cls(path, found.st_size, bool(found.st_mode & stat.S_IXUSR))
        if stat.S_ISLNK(found.st_mode):
            return cls(path, found.st_size, is_link=True)
        raise OSError(errno.EINVAL, "It is neither a file nor a link", path)


class FileLook(NamedTuple):
    """How a file looked when it was listed; what has changed since looks different."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> FileLook:
        """Take it from what the system says."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@dataclass(frozen=True)
class Skipped:
    """Something that does not travel.

    Attributes
    ----------
    path : str
        As in `PackedFile`; ends with ``/`` for all of a directory, with ``/*`` for many of its
        files.
    reason : str
        Why, in a few words.
    files : int or None
        How many files; None for a directory that was not walked.
    """

    path: str
    reason: str
    files: int | None = 1


class Folder(NamedTuple):
    """How much of what travels is in one folder of the code directory."""

    path: str
    files: int
    total_bytes: int


@dataclass(frozen=True, kw_only=True)
class PackingList:
    """What of a code directory travels.

    Attributes
    ----------
    root : Path
        The directory, resolved.
    files : tuple of PackedFile
        Sorted by the bytes of their paths.
    skipped : tuple of Skipped
        Sorted by path.
    head : str or None
        The user's own commit, if the directory is in a repository that has one.
    dirty : bool
        Whether what travels differs from that commit. A directory without a repository never is;
        one in a repository without a commit is.
    notes : tuple of str
        Sentences for the user.
    rules : Rulebook
        What decided.
    results : tuple of str
        Files that were left out as results, though git does not ignore them.
    nested : tuple of str
        Folders with a repository of their own, submodules too, whose files travel as files.
    looks : dict
        How each file looked, by its path.
    index : dict
        Files that make the list `dirty` where they differ: mode and id in the user's index, by
        their paths. Empty where git has compared them.
    """

    root: Path
    files: tuple[PackedFile, ...]
    skipped: tuple[Skipped, ...]
    head: str | None = None
    dirty: bool = False
    notes: tuple[str, ...] = ()
    rules: Rulebook = field(repr=False, compare=False)
    results: tuple[str, ...] = field(default=(), repr=False)
    nested: tuple[str, ...] = ()
    looks: dict[str, FileLook] = field(default_factory=dict, repr=False, compare=False)
    index: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def total_bytes(self) -> int:
        """Bytes on disk of all files; notebooks count with their outputs."""
        return sum(file.size for file in self.files)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(file.path for file in self.files)

    def has(self, path: str) -> bool:
        """Whether a file travels, named relative to the code directory.

        A way through a link counts when both the link and the file travel.
        """
        normal = normal_path(path)
        if normal is None:
            return False
        if normal in self._names:
            return True
        through = [parent for parent in parents(normal) if parent in self._names]
        try:
            real = (self.root / normal).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            return False
        if not through or not real.is_relative_to(self.root):
            return False
        return real.relative_to(self.root).as_posix() in self._names

    def why_not(self, path: str) -> str | None:
        """Give the reason why a path does not travel; None where it does, or is not there at all.

        For an entry script that was left out, and for a value that names such a path.
        """
        normal = normal_path(path)
        if normal is None:
            return "it is not below the code directory"
        if self.has(path) or not os.path.lexists(self.root / normal):
            return None
        if any(name.startswith(f"{normal}/") for name in self._names):
            return None
        reason = self.rules.reason(normal, is_directory=(self.root / normal).is_dir())
        if reason is not None:
            return reason[1]
        for skipped in self.skipped:
            if f"{normal}/".startswith(skipped.path) or skipped.path == normal:
                return skipped.reason
            if skipped.path.endswith("/*") and normal.rpartition("/")[0] == skipped.path[:-2]:
                return skipped.reason
        return IGNORED

    def occupant(self, path: str) -> str | None:
        """Give the first file at or below a path that is no ignored left-over; None if it is free.

        For the results folder, which has to be new or empty in the snapshot. It is left out of the
        list, so files of the list and files that were left out as results both count.
        """
        normal = normal_path(path)
        if normal is None:
            return None
        for name in (file.path for file in self.files):
            if name == normal or name.startswith(f"{normal}/"):
                return name
        return next(
            (name for name in self.results if name == normal or name.startswith(f"{normal}/")), None
        )

    def folder(self, path: str) -> Folder:
        """Say how much of what travels is below a folder."""
        inside = [file.size for file in self.files if file.path.startswith(f"{path}/")]
        return Folder(path, len(inside), sum(inside))

    def largest_folders(self, count: int = 5) -> list[Folder]:
        """Give the folders with the most bytes, largest first; ``.`` is the directory itself."""
        files: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for file in self.files:
            top = file.path.partition("/")[0] if "/" in file.path else "."
            files[top] += 1
            sizes[top] += file.size
        return [Folder(top, files[top], size) for top, size in sizes.most_common(count)]


def normal_path(path: str) -> str | None:
    """Take ``.`` and ``..`` out of a relative path; None for one that leads out."""
    if path.startswith("/"):
        return None
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def unreadable(path: str, error: OSError) -> SnapshotError:
    """Make the error for a file that cannot be read."""
    return SnapshotError(
        f"The file {path!r} cannot be read ({error.strerror}); make it readable, or leave it out "
        f"with --exclude {path!r}."
    )
