"""A dataset's files as they are seen: names and states, without opening one.

A link that stays inside the directory counts as what it points at; any other is skipped and listed,
and so is what is neither a file nor a directory. Empty directories are no part of a dataset.

Notes
-----
Source: faults E10, E12, E14. An unchanged dataset costs no more than this, so nothing is done for
each file here: `folder_work.list_folder` has the loop, and of a large dataset helpers do a part.
"""

from __future__ import annotations

import os
import stat
import struct
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit.folder_work import (
    LIST,
    STATE,
    Listing,
    list_folder,
    list_opened,
    state_of,
)
from anylearn_jupyter.submit.helper_processes import Helpers, Job, helpers

MAX_FILES = 1_000_000
"""Most files of a dataset; a server unpacks no more."""

HELPED_FILES = 8_000
"""From so many files on, expected or seen, helpers walk, too; a walk over them takes 20 ms."""

_AT_A_TIME, _SHARES = 16, 16
_TOP_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_SIZE = struct.Struct(f"<Q{STATE.size - 8}x")
_MODE = struct.Struct(f"<{STATE.size - 4}xI")
_SPECIAL = "neither a file nor a directory"
_OUTSIDE = "a link that leads out of the directory"
_NOWHERE = "a link that leads nowhere"
_CIRCLE = "a link that leads in a circle"


def size_in(state: bytes) -> int:
    """Give the size in bytes that a state holds."""
    size: int = STATE.unpack(state)[0]
    return size


def executable_in(state: bytes) -> bool:
    """Whether the owner may execute a file of this state."""
    return bool(STATE.unpack(state)[5] & stat.S_IXUSR)


def cut(joined: bytes, size: int) -> list[bytes]:
    """Cut what was joined into parts of one size."""
    return [joined[at : at + size] for at in range(0, len(joined), size)]


class SkippedData(NamedTuple):
    """Something in a dataset's directory that is no part of its content, and why."""

    path: str
    reason: str


class Folder:
    """The files of one directory of a dataset.

    Their names and states are kept as they are compared, in one piece; cut up when asked for.

    Parameters
    ----------
    prefix : str
        What stands before the names: the directory relative to the dataset's, with ``/`` at the
        end; empty for the dataset's own.
    place : str
        The real directory.
    joined_names : bytes
        The names in the order in which the system gave them, joined by ``/``; UTF-8.
    joined_states : bytes
        `state_of` each of them, as it was seen; of a link, that of the file that it leads to.

    Attributes
    ----------
    links : dict
        For the names that are links, where they lead.
    """

    def __init__(self, prefix: str, place: str, joined_names: bytes, joined_states: bytes) -> None:
        self.prefix = prefix
        self.place = place
        self.joined_names = joined_names
        self.joined_states = joined_states
        self.links: dict[str, Path] = {}

    @property
    def files(self) -> int:
        """How many files."""
        return len(self.joined_states) // STATE.size

    @cached_property
    def names(self) -> list[str]:
        """Its files."""
        return self.joined_names.decode().split("/")

    def state(self, index: int) -> bytes:
        """Give the state of one."""
        return self.joined_states[index * STATE.size : (index + 1) * STATE.size]

    def states(self, some: Sequence[int]) -> bytes:
        """Give the states of some, in ascending order, one after the other."""
        if some[-1] - some[0] + 1 == len(some):
            return self.joined_states[some[0] * STATE.size : (some[-1] + 1) * STATE.size]
        return b"".join([self.state(index) for index in some])

    def correct(self, index: int, state: bytes) -> None:
        """Take another state for a file, which has changed since it was seen."""
        begin, end = index * STATE.size, (index + 1) * STATE.size
        self.joined_states = self.joined_states[:begin] + state + self.joined_states[end:]

    def add_link(self, name: str, state: bytes, place: Path) -> None:
        """Take one more name: a link that leads to a file."""
        names = [self.joined_names, name.encode()] if self.joined_states else [name.encode()]
        self.joined_names = b"/".join(names)
        self.joined_states += state
        self.links[name] = place

    def sizes(self) -> list[int]:
        """Give the bytes of each file."""
        return [size for (size,) in _SIZE.iter_unpack(self.joined_states)]

    def executables(self) -> list[int]:
        """Give which files the owner may execute."""
        modes = enumerate(_MODE.iter_unpack(self.joined_states))
        return [index for index, (mode,) in modes if mode & stat.S_IXUSR]

    def where(self, index: int) -> str:
        """Give what is opened for a name: the file itself, or where the link leads."""
        name = self.names[index]
        if name in self.links:
            return str(self.links[name])
        return f"{self.place}{os.sep}{name}"


def parents_in(folders: Sequence[Folder]) -> set[str]:
    """Give the prefixes of those that have others of them below."""
    prefixes = [folder.prefix for folder in folders]
    parents = {prefix[: at + 1] for prefix in prefixes for at in _slashes(prefix[:-1])}
    if len(prefixes) > 1:
        parents.add("")
    return parents


def _slashes(text: str) -> Iterator[int]:
    at = text.find("/")
    while at >= 0:
        yield at
        at = text.find("/", at + 1)


def in_order(folders: Sequence[Folder], some: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
    """Go through the files of folders in the order of the bytes of their paths.

    Parameters
    ----------
    folders : sequence of Folder
        All of a dataset.
    some : iterable of int
        Whose files.

    Yields
    ------
    int
        Which folder.
    list of int
        Which of its files: all, but where other folders in it come in between.
    """
    parents = parents_in(folders)
    runs: list[tuple[str, int, list[int]]] = []
    for number in some:
        prefix, names = folders[number].prefix, folders[number].names
        if prefix in parents:
            runs += [(prefix + name, number, [at]) for at, name in enumerate(names)]
        else:
            runs.append((prefix, number, []))
    # UTF-8 keeps the order of the characters.
    runs.sort()
    for _, number, one in runs:
        names = folders[number].names
        yield number, one or sorted(range(len(names)), key=names.__getitem__)


class Scan(NamedTuple):
    """What is in a dataset's directory.

    Attributes
    ----------
    root : Path
        The directory or the one file, resolved.
    folders : tuple of Folder
        Those that have files, in no order.
    skipped : tuple of SkippedData
        In no order.
    files : int
        How many files.
    total_bytes : int
        Bytes of all files, as they were seen.
    """

    root: Path
    folders: tuple[Folder, ...]
    skipped: tuple[SkippedData, ...]
    files: int
    total_bytes: int


def scan(path: Path) -> Scan:
    """Look at a dataset without opening a file.

    Parameters
    ----------
    path : Path
        A directory, or one file.

    Raises
    ------
    DataError
        It is not there, holds no file or more than `MAX_FILES`, a directory cannot be read, or a
        name is no UTF-8.
    """
    return scan_at(top_of(path), files=0)


class Top(NamedTuple):
    """What the path of a dataset leads to.

    Attributes
    ----------
    root : Path
        Where it really is: absolute, without a link on the way.
    found : os.stat_result
        What is there.
    listing : Listing or None
        What is in it, if it is a directory that has been listed already.
    """

    root: Path
    found: os.stat_result
    listing: Listing | None = None


def top_of(path: Path) -> Top:
    """Find what a dataset's path leads to; see `scan` for the error."""
    try:
        asked = path.expanduser()
        top = _opened_top(asked)
        if top is not None:
            return top
        root = asked.resolve(strict=True)
        return Top(root, root.stat())
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"The data {str(path)!r} is not there; name a folder or a file, or the id of a dataset "
            "on the server."
        ) from error


def _opened_top(path: Path) -> Top | None:
    """Open a directory, list it, and ask the system where it is.

    That takes a third of the time in which each part of its path is asked for a link, and what is
    listed is what was opened, whatever becomes of the path. None where it is no directory, or the
    system does not know, or something is wrong; who looks at it in the long way finds the words.
    """
    try:
        handle = os.open(path, _TOP_FLAGS)
        try:
            place = os.readlink(f"/proc/self/fd/{handle}")
            found = os.fstat(handle)
            if place == str(path):
                root = path
            elif os.path.samestat(os.lstat(place), found):
                root = Path(place)
            else:
                return None  # that name is hidden by a mount, or ended with its directory
            return Top(root, found, list_opened(handle))
        finally:
            os.close(handle)
    except (OSError, UnicodeEncodeError):
        return None


def scan_at(top: Top, *, files: int) -> Scan:
    """Do as `scan`, of what `top_of` gave; about so many files are expected."""
    root, found, _ = top
    if stat.S_ISREG(found.st_mode):
        _check_name(root.name)
        folder = Folder("", str(root.parent), root.name.encode(), state_of(found))
        return Scan(root, (folder,), (), 1, found.st_size)
    if not stat.S_ISDIR(found.st_mode):
        raise DataError(f"The data {str(root)!r} is {_SPECIAL}; name a folder or a file.")
    walk = _Walk(root)
    walk.all_below(top, files=files)
    if not walk.files:
        left = walk.skipped and f"; skipped: {walk.skipped[0].path!r}, {walk.skipped[0].reason}"
        raise DataError(
            f"The data folder {str(root)!r} holds no file, so there is nothing to send{left or ''}."
        )
    return Scan(root, tuple(walk.folders), tuple(walk.skipped), walk.files, walk.total_bytes)


def unreadable_data(path: str, error: OSError) -> DataError:
    """Say that something in a dataset cannot be read."""
    return DataError(
        f"{path!r} in the data cannot be read ({error.strerror}); make it readable, or move it out "
        "of the folder."
    )


class _Place(NamedTuple):
    """A real directory to be listed, and the identities of those on the way to it."""

    place: str
    prefix: str
    above: tuple[tuple[int, int], ...]


class _Walk:
    """Gathers the files below a directory, following links that stay inside."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._waiting: deque[_Place] = deque()
        self._given: dict[int, list[_Place]] = {}
        self.folders: list[Folder] = []
        self.skipped: list[SkippedData] = []
        self.files = 0
        self.total_bytes = 0

    def all_below(self, top: Top, *, files: int) -> None:
        """Take all that is in a directory, about so many files."""
        here = _Place(str(top.root), "", ((top.found.st_ino, top.found.st_dev),))
        self._take(here, top.listing or _listed(here))
        few = files < HELPED_FILES
        while few and self._waiting and self.files < HELPED_FILES:
            here = self._waiting.pop()
            self._take(here, _listed(here))
        if self._waiting:
            self._take_with_helpers()

    def _take_with_helpers(self) -> None:
        """Take what is waiting, and what is found in it."""
        with helpers(lambda piece: None) as beside:
            beside.start()
            while self._waiting or self._given:
                self._hand_out(beside)
                if self._waiting:
                    here = self._waiting.pop()
                    self._take(here, _listed(here))
                for key, answer in beside.answers(wait=not self._waiting):
                    self._take_answer(key, answer)

    def _hand_out(self, beside: Helpers) -> None:
        """Give helpers something to do: of many directories several at a time, one at the end."""
        while len(self._waiting) > 1 and beside.has_room():
            number = min(1 + len(self._waiting) // _SHARES, _AT_A_TIME)
            places = [self._waiting.popleft() for _ in range(number)]
            key = id(places)
            self._given[key] = places
            beside.give(Job(key, (LIST, [one.place for one in places])))

    def _take_answer(self, key: int, answer: object) -> None:
        places = self._given.pop(key)
        listings = answer if isinstance(answer, list) else [None] * len(places)
        for here, listing in zip(places, listings, strict=True):
            self._take(here, listing or _listed(here))

    def _take(self, here: _Place, listing: Listing) -> None:
        """Take what is in a directory."""
        names, states, total, others = listing
        folder = Folder(here.prefix, here.place, names, states)
        for name, state in others:
            total += self._take_other(here, folder, name, state)
        if folder.joined_states:
            self.folders.append(folder)
            self.total_bytes += total
            self._count(folder.files)

    def _take_other(self, here: _Place, folder: Folder, name: str, state: bytes) -> int:
        """Take what is no plain file; gives its bytes if it is a link to one."""
        path = here.prefix + name
        _check_name(path)
        _, _, _, inode, device, mode = STATE.unpack(state)
        if stat.S_ISDIR(mode):
            self._wait(f"{here.place}{os.sep}{name}", path, (inode, device), here.above)
        elif stat.S_ISLNK(mode):
            return self._take_link(here, folder, name)
        else:
            self.skipped.append(SkippedData(path, _SPECIAL))
        return 0

    def _take_link(self, here: _Place, folder: Folder, name: str) -> int:
        """Take what a link leads to; gives its bytes if it is a file."""
        path = here.prefix + name
        try:
            place = Path(here.place, name).resolve(strict=True)
            found = place.stat()
        except (OSError, RuntimeError):
            self.skipped.append(SkippedData(path, _NOWHERE))
            return 0
        if not place.is_relative_to(self._root):
            self.skipped.append(SkippedData(path, _OUTSIDE))
        elif stat.S_ISDIR(found.st_mode):
            self._wait(str(place), path, (found.st_ino, found.st_dev), here.above)
        elif stat.S_ISREG(found.st_mode):
            folder.add_link(name, state_of(found), place)
            return found.st_size
        else:
            self.skipped.append(SkippedData(path, _SPECIAL))
        return 0

    def _wait(
        self, place: str, path: str, identity: tuple[int, int], above: tuple[tuple[int, int], ...]
    ) -> None:
        """Note a directory, to be listed later; not one that is on the way to itself."""
        if identity in above:
            self.skipped.append(SkippedData(path, _CIRCLE))
        else:
            self._waiting.append(_Place(place, f"{path}/", (*above, identity)))

    def _count(self, files: int) -> None:
        self.files += files
        if self.files > MAX_FILES:
            raise DataError(
                f"The data folder {str(self._root)!r} has more than {MAX_FILES:,} files; pack them "
                "into fewer, larger ones."
            )


def _listed(here: _Place) -> Listing:
    """List a directory here, and say what is wrong with it."""
    try:
        return list_folder(here.place)
    except UnicodeEncodeError:
        for odd in Path(here.place).iterdir():
            _check_name(here.prefix + odd.name)
        return _listed(here)  # that name is gone
    except OSError as error:
        inside = isinstance(error.filename, str) and error.filename != here.place
        path = here.prefix + error.filename if inside else here.prefix or here.place
        raise unreadable_data(path, error) from error


def _check_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"The name {path!a} in the data is no UTF-8, which no archive can carry; rename "
            "the file."
        ) from error
