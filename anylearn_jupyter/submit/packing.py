"""What travels: the list of a code directory's files that a snapshot has, and what it leaves out.

Git's ignore rules decide first, also where there is no repository; tracked files travel even when
they are ignored. Then our own rules leave out what is never code: repositories' own files, virtual
environments, caches, ``.env*``, the data folders that the task mounts, the results folder.
``--exclude`` leaves out more. ``--include`` brings back what any of these left out, but ``.git``
and our own directory: a pattern that fits a directory brings back all in it that our own rules do
not name again.

A link travels as a link when what it points at travels too. Empty directories do not travel, as git
has none. Nothing is left out without a word: `PackingList.skipped` names each thing or the whole
directory, with the reason.

Notes
-----
Source: quick-train specification, "What travels"; faults E1 to E6, E10, E12, E14.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from anylearn_jupyter.errors import SnapshotError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.globs import parents
from anylearn_jupyter.submit.kept_packing import KeptPacking
from anylearn_jupyter.submit.listing import Listing, list_directory
from anylearn_jupyter.submit.notebooks import without_outputs
from anylearn_jupyter.submit.packing_list import (
    FileLook,
    PackedFile,
    PackingList,
    Skipped,
    unreadable,
)
from anylearn_jupyter.submit.packing_rules import IGNORED, RESULTS, PackingRules, Rulebook
from anylearn_jupyter.submit.snapshot_store import SnapshotStore

MAX_FILE_BYTES = 100_000_000
"""Largest file that travels as code."""

MAX_TOTAL_BYTES = 2_000_000_000
"""Most bytes that travel as code; a server takes no larger push."""

_MANY_IN_ONE_DIRECTORY = 10
_SHOWN_NAMES = 3


def packing_list(
    directory: Path, rules: PackingRules | None = None, *, home: Home | None = None
) -> PackingList:
    """Find out what of a code directory travels; nothing is read but notebooks above the limit.

    Parameters
    ----------
    directory : Path
        The code directory; need not be in a repository.
    rules : PackingRules, optional
        What the task adds to the rules.
    home : Home, optional
        Where our own repositories are.

    Raises
    ------
    SnapshotError
        It is no directory, cannot be read, has a file of more than `MAX_FILE_BYTES` or more than
        `MAX_TOTAL_BYTES` in all, or there is no usable git.
    OptionError
        A pattern of the rules cannot be used.
    """
    root = resolved_directory(directory)
    home = home or Home()
    store = SnapshotStore.of(root, home)
    with store.lock():
        store.open()
        return pack_directory(root, rules or PackingRules(), home, store.git_dir)


def pack_directory(
    root: Path, rules: PackingRules, home: Home, blank: Path, *, kept: bool = False
) -> PackingList:
    """Make the list as `packing_list` does, for a caller that holds the store's lock.

    Parameters
    ----------
    root : Path
        Resolved.
    rules : PackingRules
        What the task adds to the rules.
    home : Home
        Our own directory, which never travels.
    blank : Path
        A repository of ours, for directories that are in none; what git says is kept there.
    kept : bool, default False
        Whether what git said before may do, where it would say the same (`kept_packing`). Then the
        caller compares the files with `PackingList.index`.
    """
    book = Rulebook.of(root, rules, home)
    known = KeptPacking.of(root, blank, book.leave_out(""), repr((rules, home)))
    found = known.read(book) if kept else None
    if found is None:
        listing = list_directory(root, blank, known.leave_out)
        found = _Packer(root, book, blank).pack(listing)
        known.keep(listing, found)
    _check_sizes(found)
    return found


def resolved_directory(directory: Path) -> Path:
    """Give the real path of a code directory.

    Raises
    ------
    SnapshotError
        It is not there, is no directory, or cannot be entered.
    """
    try:
        root = directory.expanduser().resolve(strict=True)
        if not stat.S_ISDIR(root.stat().st_mode):
            raise NotADirectoryError
    except (OSError, RuntimeError) as error:
        raise SnapshotError(
            f"The code directory {str(directory)!r} is not there or is no directory; name one with "
            "--algorithm-dir."
        ) from error
    return root


class _Packer:
    """One walk: gathers files, what is skipped, and what there is to say."""

    def __init__(self, root: Path, rules: Rulebook, blank: Path) -> None:
        self._root = root
        self._top = f"{root}{os.sep}"  # joined as text, which is done for each file
        self._rules = rules
        self._blank = blank
        self._files: dict[str, PackedFile] = {}
        self._looks: dict[str, FileLook] = {}
        self._skipped: Counter[tuple[str, str]] = Counter()
        self._uncounted: dict[str, str] = {}
        self._notes: list[str] = []
        self._unmerged: list[str] = []
        self._results: list[str] = []
        self._sparse = 0
        self._real_directories: dict[str, bool] = {"": True}
        self._nested: set[str] = set()

    def pack(self, listing: Listing) -> PackingList:
        dirty = self._take(listing, "")
        if self._rules.has_includes:
            for path in self._brought_back():
                self._add(path)
        self._drop_links_to_nothing()
        self._look_for_special_files()
        self._say(listing)
        files = tuple(sorted(self._files.values(), key=lambda file: os.fsencode(file.path)))
        return PackingList(
            root=self._root,
            files=files,
            skipped=tuple(self._all_skipped()),
            head=listing.head,
            dirty=dirty and (listing.in_repository or bool(listing.broken)),
            notes=tuple(self._notes),
            rules=self._rules,
            results=tuple(sorted(self._results)),
            nested=tuple(sorted(self._nested)),
            looks=self._looks,
        )

    def _take(self, listing: Listing, prefix: str) -> bool:
        """Take in one listing and those nested in it; whether anything differs from its commit."""
        changed = listing.changed
        nested = [prefix + os.fsdecode(name) for name in listing.nested]
        submodules = []
        for name in listing.tracked:
            if self._add(prefix + os.fsdecode(name)) == "directory":
                submodules.append(prefix + os.fsdecode(name))
        for name in listing.untracked:
            changed |= self._add(prefix + os.fsdecode(name)) == "travels"
        for path in (*nested, *submodules):
            before = len(self._files)
            inside = self._take_nested(path)
            changed |= inside or (path in nested and len(self._files) > before)
        for name in listing.ignored:
            self._note_ignored(prefix + os.fsdecode(name))
        self._unmerged += [prefix + os.fsdecode(name) for name in listing.unmerged]
        gone = (self._root / (prefix + os.fsdecode(name)) for name in listing.sparse)
        self._sparse += sum(not os.path.lexists(path) for path in gone)
        for name in listing.sparse:
            self._add(prefix + os.fsdecode(name))
        return changed

    def _take_nested(self, path: str) -> bool:
        if not self._is_real_directory(path):
            return False
        reason = self._rules.reason(path, is_directory=True)
        if reason is not None:
            self._skip_whole(*reason)
            return False
        self._nested.add(path)
        before = len(self._files)
        listing = list_directory(
            self._root / path, self._blank, self._rules.leave_out(path), nested=True
        )
        changed = self._take(listing, f"{path}/")
        if listing.broken:
            self._notes.append(
                f"The repository in {path!r} cannot be read, so that it travels as a plain "
                f"directory ({listing.broken})."
            )
        elif not listing.in_repository and len(self._files) == before:
            self._notes.append(
                f"The submodule {path!r} is not checked out, so that nothing of it travels; "
                f"'git submodule update --init' gets it."
            )
        return changed and listing.in_repository

    def _add(self, path: str) -> str:
        """Take a file in, or skip it; gives ``travels``, ``skipped``, ``gone`` or ``directory``."""
        if path in self._files:
            return "travels"
        reason = self._rules.reason(path, is_directory=False)
        if reason is not None:
            top, why = reason
            if os.path.lexists(self._root / path):
                self._skipped[f"{top}/" if top != path else path, why] += 1
                if why == RESULTS:
                    self._results.append(path)
            return "skipped"
        if not self._is_real_directory(path.rpartition("/")[0]):
            return "gone"  # a file in the commit, where a link or a file is on disk
        try:
            found = os.lstat(self._top + path)
        except (FileNotFoundError, NotADirectoryError):
            return "gone"
        except OSError as error:
            raise unreadable(path, error) from error
        if stat.S_ISDIR(found.st_mode):
            return "directory"
        return self._add_found(path, found)

    def _add_found(self, path: str, found: os.stat_result) -> str:
        if stat.S_ISLNK(found.st_mode):
            why = self._why_link_stays(path)
            if why is not None:
                self._skipped[path, why] += 1
                return "skipped"
            self._files[path] = PackedFile(path, found.st_size, is_link=True)
        elif stat.S_ISREG(found.st_mode):
            executable = bool(found.st_mode & stat.S_IXUSR)
            self._files[path] = PackedFile(path, found.st_size, executable)
        else:
            self._skipped[path, "neither a file nor a link"] += 1
            return "skipped"
        self._looks[path] = FileLook.of(found)
        return "travels"

    def _is_real_directory(self, path: str) -> bool:
        """Whether no part of the way to a directory is a link, so that it is really in here."""
        known = self._real_directories.get(path)
        if known is None:
            try:
                mode = os.lstat(self._top + path).st_mode
                known = stat.S_ISDIR(mode) and self._is_real_directory(path.rpartition("/")[0])
            except OSError:
                known = False
            self._real_directories[path] = known
        return known

    def _why_link_stays(self, path: str) -> str | None:
        link = self._root / path
        try:
            text = os.fspath(link.readlink())
            real = link.resolve(strict=True)
        except (OSError, RuntimeError):
            return "a link that leads nowhere"
        depth = path.count("/")
        for part in text.split("/"):
            depth += -1 if part == ".." else part not in ("", ".")
            if depth < 0:
                return "a link that leads out of the directory"
        if text.startswith("/") or not real.is_relative_to(self._root):
            return "a link that leads out of the directory"
        return None

    def _drop_links_to_nothing(self) -> None:
        """Skip links to what does not travel, and so on for links to those."""
        links = [file.path for file in self._files.values() if file.is_link]
        if not links:
            return
        there = {""} | {
            parent
            for file in self._files.values()
            if not file.is_link
            for parent in parents(file.path)
        }
        for path in links:
            try:
                real = (self._root / path).resolve(strict=True)
                target = real.relative_to(self._root).as_posix()
            except (OSError, RuntimeError, ValueError):
                target = "?"
            if target not in self._files and target not in there:
                del self._files[path]
                self._skipped[path, "a link to what does not travel"] += 1

    def _note_ignored(self, path: str) -> None:
        """Record what git ignores, unless an ``--include`` brings it back."""
        whole = path.endswith("/")
        name = path.rstrip("/")
        if self._rules.brings_back(name, is_directory=whole):
            return
        top, why = self._rules.reason(name, is_directory=whole) or (name, IGNORED)
        if whole or top != name:
            self._skip_whole(top, why)
        else:
            self._skipped[path, why] += 1

    def _skip_whole(self, path: str, why: str) -> None:
        self._uncounted[f"{path}/"] = why

    def _brought_back(self) -> Iterator[str]:
        """Walk the directory for what ``--include`` names, git's ignored files included."""
        waiting = [("", False)]
        while waiting:
            directory, taken = waiting.pop()
            try:
                entries = list(os.scandir(self._root / directory))
            except OSError:
                continue  # only what git lists has to be readable
            for entry in entries:
                path = f"{directory}/{entry.name}" if directory else entry.name
                is_directory = entry.is_dir(follow_symlinks=False)
                fits = self._rules.includes(path, is_directory=is_directory)
                if is_directory and entry.name != ".git":
                    waiting.append((path, taken or fits))
                elif not is_directory and (taken or fits):
                    yield path

    def _look_for_special_files(self) -> None:
        """List what git never mentions: fifos, sockets, devices, and say how many are empty."""
        above = {path.rpartition("/")[0] for path in self._files}
        known = {parent for path in above for parent in (*parents(path), path)} - {""}
        waiting = ["", *known]
        empty = 0
        while waiting:
            directory = waiting.pop()
            if self._is_skipped_whole(directory) or not self._is_real_directory(directory):
                continue
            try:
                entries = list(os.scandir(self._top + directory))
            except OSError:
                continue
            empty += not entries
            for entry in entries:
                path = f"{directory}/{entry.name}" if directory else entry.name
                if entry.is_dir(follow_symlinks=False):
                    if path not in known and entry.name != ".git" and path not in self._nested:
                        waiting.append(path)
                elif not entry.is_symlink() and not entry.is_file():
                    self._skipped[path, "neither a file nor a link"] = 1
        if empty:
            self._notes.append(f"Empty directories do not travel, as git has none: {empty}.")

    def _is_skipped_whole(self, directory: str) -> bool:
        if not directory:
            return False
        if self._uncounted and any(
            f"{name}/" in self._uncounted for name in (*parents(directory), directory)
        ):
            return True
        return self._rules.reason(directory, is_directory=True) is not None

    def _say(self, listing: Listing) -> None:
        if listing.broken:
            self._notes.append(
                f"The repository of {str(self._root)!r} cannot be read, so that it is packed as a "
                f"plain directory ({listing.broken})."
            )
        if self._unmerged:
            names = ", ".join(repr(name) for name in self._unmerged[:_SHOWN_NAMES])
            self._notes.append(
                "Unmerged files travel as they are, conflict markers included: "
                f"{names}{', …' if len(self._unmerged) > _SHOWN_NAMES else ''}."
            )
        if self._sparse:
            self._notes.append(
                f"{self._sparse} tracked files are left out by the sparse checkout and do not "
                "travel."
            )

    def _all_skipped(self) -> list[Skipped]:
        """Make the list, many files of one directory as one entry."""
        in_directory: Counter[tuple[str, str]] = Counter()
        for (path, why), count in self._skipped.items():
            if not path.endswith("/"):
                in_directory[path.rpartition("/")[0], why] += count
        found: set[Skipped] = set()
        for (path, why), count in self._skipped.items():
            directory = path.rpartition("/")[0]
            together = in_directory[directory, why]
            if path.endswith("/"):
                if path not in self._uncounted:
                    found.add(Skipped(path, why, count))
            elif together > _MANY_IN_ONE_DIRECTORY:
                found.add(Skipped(f"{directory}/*" if directory else "*", why, together))
            else:
                found.add(Skipped(path, why, count))
        found.update(Skipped(path, why, None) for path, why in self._uncounted.items())
        return sorted(found, key=lambda skipped: os.fsencode(skipped.path))


def _check_sizes(found: PackingList) -> None:
    for file in sorted(found.files, key=lambda file: -file.size):
        if file.size <= MAX_FILE_BYTES:
            break
        if file.path.endswith(".ipynb") and not file.is_link:
            clean = without_outputs((found.root / file.path).read_bytes())
            if clean is not None and len(clean) <= MAX_FILE_BYTES:
                continue
        raise SnapshotError(
            f"The file {file.path!r} has {file.size / 1e6:,.0f} MB, and files above "
            f"{MAX_FILE_BYTES / 1e6:.0f} MB do not travel as code; send data with -d NAME=FOLDER, "
            f"or leave it out with --exclude {file.path!r}."
        )
    if found.total_bytes > MAX_TOTAL_BYTES:
        folders = ", ".join(
            f"{folder.path!r} ({folder.total_bytes / 1e6:,.0f} MB)"
            for folder in found.largest_folders(3)
        )
        raise SnapshotError(
            f"The code directory {str(found.root)!r} has {found.total_bytes / 1e6:,.0f} MB, and at "
            f"most {MAX_TOTAL_BYTES / 1e6:,.0f} MB travel as code; the largest folders are "
            f"{folders}: send data with -d, leave others out with --exclude."
        )
