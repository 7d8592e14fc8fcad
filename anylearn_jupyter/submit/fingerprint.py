"""The fingerprint of a dataset: one text for its content, whatever its name, place or times.

``fp1:`` and the 64 lowercase hexadecimal digits of the BLAKE3 of these bytes, one record for each
file, in the order of the paths' bytes::

    <path> NUL <"1" if the owner may execute it, else "0"> NUL <BLAKE3 of the content, 64 hex> LF

``path`` is relative to the directory, in UTF-8, with ``/``. A name that is no UTF-8 is refused by
name, as no zip can carry it. Empty directories are no part of the content, and neither are times,
owners, other permission bits, or whether two names are hard links of one file.

A link that stays inside the directory counts as what it points at; any other is skipped and listed,
and so is what is neither a file nor a directory. A dataset that is one file has one record, with
the file's name.

`scan` looks, `fingerprint` reads: the digest of a file depends on its content alone, so that
remembering it by `FoundFile.state` needs no change here.

Notes
-----
Source: quick-train specification, step 4; faults E10, E12, E13, E14, E16.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit.regular_files import open_regular

MAX_FILES = 1_000_000
"""Most files of a dataset; a server unpacks no more."""

_TRIES = 3
_BLOCK_BYTES = 1 << 20
_SPECIAL = "neither a file nor a directory"
_OUTSIDE = "a link that leads out of the directory"
_NOWHERE = "a link that leads nowhere"
_CIRCLE = "a link that leads in a circle"

OnProgress = Callable[[int, int], None]
"""``on_progress(bytes_done, bytes_total)``, in the caller's thread."""


class FileState(NamedTuple):
    """What of a file changes when its content may have changed: same state, same content."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, found: os.stat_result) -> FileState:
        """Take it from a `stat`."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)


class FoundFile(NamedTuple):
    """A file of a dataset that was seen, not read.

    Attributes
    ----------
    path : str
        Relative, with ``/``.
    source : Path
        What is opened: the file itself, or where a link leads.
    executable : bool
        Whether the owner may execute it.
    state : FileState
        As it was seen.
    """

    path: str
    source: Path
    executable: bool
    state: FileState


class Entry(NamedTuple):
    """A file of a dataset that was read.

    Attributes
    ----------
    path : str
        Relative, with ``/``.
    source : Path
        What was read.
    executable : bool
        Whether the owner may execute it.
    size : int
        Bytes.
    digest : str
        BLAKE3, 64 hexadecimal digits.
    """

    path: str
    source: Path
    executable: bool
    size: int
    digest: str


class SkippedData(NamedTuple):
    """Something in a dataset's directory that is no part of its content, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Scan:
    """What is in a dataset's directory.

    Attributes
    ----------
    root : Path
        The directory or the one file, resolved.
    files : tuple of FoundFile
        Sorted by the bytes of their paths.
    skipped : tuple of SkippedData
        In no order.
    """

    root: Path
    files: tuple[FoundFile, ...]
    skipped: tuple[SkippedData, ...]

    @cached_property
    def total_bytes(self) -> int:
        """Bytes of all files, as they were seen."""
        return sum(file.state.size for file in self.files)


@dataclass(frozen=True)
class Fingerprint:
    """The content of a dataset.

    Attributes
    ----------
    value : str
        ``fp1:`` and 64 hexadecimal digits.
    root : Path
        Where it was read.
    entries : tuple of Entry
        Sorted by the bytes of their paths.
    skipped : tuple of SkippedData
        What is no part of it.
    """

    value: str
    root: Path
    entries: tuple[Entry, ...]
    skipped: tuple[SkippedData, ...] = ()

    @property
    def files(self) -> int:
        """How many files."""
        return len(self.entries)

    @cached_property
    def total_bytes(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.entries)


def fingerprint(path: Path, *, on_progress: OnProgress | None = None) -> Fingerprint:
    """Read a dataset, each byte once, and give its fingerprint.

    Parameters
    ----------
    path : Path
        A directory, or one file.
    on_progress : callable, optional
        Told after each piece of at most 1 MiB.

    Raises
    ------
    DataError
        It is not there, holds no file or more than `MAX_FILES`, a name is no UTF-8, a file cannot
        be read, or changed each of three times while it was read.
    """
    found = scan(path)
    total = found.total_bytes
    done = 0

    def tell(piece: int) -> None:
        nonlocal done
        done += piece
        if on_progress is not None:
            on_progress(min(done, total), total)

    hasher = _Hasher(tell)
    entries = tuple(hasher.read(file) for file in found.files)
    return Fingerprint(_combined(entries), found.root, entries, found.skipped)


def scan(path: Path) -> Scan:
    """Look at a dataset without opening a file.

    Raises
    ------
    DataError
        As for `fingerprint`, but for what only reading shows.
    """
    try:
        root = path.expanduser().resolve(strict=True)
        found = root.stat()
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"The data {str(path)!r} is not there; name a folder or a file, or the id of a dataset "
            "on the server."
        ) from error
    if stat.S_ISREG(found.st_mode):
        _check_name(root.name)
        return Scan(root, (_found(root.name, root, found),), ())
    if not stat.S_ISDIR(found.st_mode):
        raise DataError(f"The data {str(path)!r} is {_SPECIAL}; name a folder or a file.")
    walk = _Walk(root)
    walk.all_below(FileState.of(found)[3:])
    if not walk.files:
        left = f"; skipped: {walk.skipped[0].path!r}, {walk.skipped[0].reason}"
        raise DataError(
            f"The data folder {str(path)!r} holds no file, so there is nothing to send"
            f"{left if walk.skipped else ''}."
        )
    files = sorted(walk.files, key=lambda file: file.path.encode())
    return Scan(root, tuple(files), tuple(walk.skipped))


class _Walk:
    """Gathers the files below a directory, following links that stay inside."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._waiting: list[tuple[Path, str, tuple[tuple[int, ...], ...]]] = []
        self.files: list[FoundFile] = []
        self.skipped: list[SkippedData] = []

    def all_below(self, identity: tuple[int, ...]) -> None:
        """Take all that is in the directory, which has this inode and device."""
        self._waiting.append((self._root, "", (identity,)))
        while self._waiting:
            self._enter(*self._waiting.pop())

    def _enter(self, directory: Path, prefix: str, above: tuple[tuple[int, ...], ...]) -> None:
        """Take what is in a real directory, knowing the identities of those on the way to it."""
        try:
            with os.scandir(directory) as listed:
                entries = list(listed)
        except OSError as error:
            raise _unreadable(prefix or str(directory), error) from error
        for entry in entries:
            path = prefix + entry.name
            _check_name(path)
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone since it was listed
            except OSError as error:
                raise _unreadable(path, error) from error
            self._take(Path(entry.path), path, found, above)

    def _take(
        self, source: Path, path: str, found: os.stat_result, above: tuple[tuple[int, ...], ...]
    ) -> None:
        if stat.S_ISLNK(found.st_mode):
            try:
                source = source.resolve(strict=True)
                found = source.stat()
            except (OSError, RuntimeError):
                self.skipped.append(SkippedData(path, _NOWHERE))
                return
            if not source.is_relative_to(self._root):
                self.skipped.append(SkippedData(path, _OUTSIDE))
                return
        if stat.S_ISDIR(found.st_mode):
            identity = FileState.of(found)[3:]
            if identity in above:
                self.skipped.append(SkippedData(path, _CIRCLE))
            else:
                self._waiting.append((source, f"{path}/", (*above, identity)))
        elif stat.S_ISREG(found.st_mode):
            self.files.append(_found(path, source, found))
            if len(self.files) > MAX_FILES:
                raise DataError(
                    f"The data folder {str(self._root)!r} has more than {MAX_FILES:,} files; pack "
                    "them into fewer, larger ones."
                )
        else:
            self.skipped.append(SkippedData(path, _SPECIAL))


class _Hasher:
    """Reads files, one after the other, through one buffer."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._buffer = bytearray(_BLOCK_BYTES)

    def read(self, file: FoundFile) -> Entry:
        """Give a file's entry; it is read again when it changed meanwhile."""
        for _ in range(_TRIES):
            entry = self._read_once(file)
            if entry is not None:
                return entry
        raise DataError(
            f"The file {file.path!r} changed while it was read, {_TRIES} times; try again when "
            "nothing writes to it."
        )

    def _read_once(self, file: FoundFile) -> Entry | None:
        """Read it once; None when it was not the same file from the beginning to the end.

        Not through a memory map: a file that shrinks under one ends the process.
        """
        hasher = blake3(max_threads=blake3.AUTO)
        view = memoryview(self._buffer)
        size = 0
        try:
            with open_regular(file.source) as handle:
                before = os.fstat(handle.fileno())
                while size <= before.st_size and (read := handle.readinto(view)):
                    hasher.update(view[:read])
                    size += read
                    self._tell(read)
                after = os.fstat(handle.fileno())
        except FileNotFoundError as error:
            raise DataError(
                f"The file {file.path!r} was taken away while the data was read; try again when "
                "nothing changes it."
            ) from error
        except OSError as error:
            raise _unreadable(file.path, error) from error
        if size != before.st_size or FileState.of(before) != FileState.of(after):
            self._tell(-size)
            return None
        executable = bool(after.st_mode & stat.S_IXUSR)
        return Entry(file.path, file.source, executable, size, hasher.hexdigest())


def _combined(entries: tuple[Entry, ...]) -> str:
    """Make the fingerprint of the records, in the form that this module's docstring defines."""
    hasher = blake3()
    for entry in entries:
        mode = "1" if entry.executable else "0"
        hasher.update(f"{entry.path}\0{mode}\0{entry.digest}\n".encode())
    return f"fp1:{hasher.hexdigest()}"


def _found(path: str, source: Path, found: os.stat_result) -> FoundFile:
    executable = bool(found.st_mode & stat.S_IXUSR)
    return FoundFile(path, source, executable, FileState.of(found))


def _check_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise DataError(
            f"The name {ascii(path)} in the data is no UTF-8, which no archive can carry; rename "
            "the file."
        ) from error


def _unreadable(path: str, error: OSError) -> DataError:
    return DataError(
        f"{path!r} in the data cannot be read ({error.strerror}); make it readable, or move it out "
        "of the folder."
    )
