"""The fingerprint of a dataset: one text for its content, whatever its name, place or times.

``fp1:`` and the 64 lowercase hexadecimal digits of the BLAKE3 of these bytes, one record for each
file, in the order of the paths' bytes::

    <path> NUL <"1" if the owner may execute it, else "0"> NUL <BLAKE3 of the content, 64 hex> LF

``path`` is relative to the directory, in UTF-8, with ``/``. A name that is no UTF-8 is refused by
name, as no zip can carry it. Empty directories are no part of the content, and neither are times,
owners, other permission bits, or whether two names are hard links of one file. What links count as
is in `data_scan`. A dataset that is one file has one record, with the file's name.

With a `StatCache`, a file that was read before and has not changed since is not opened, and a
dataset in which nothing has changed costs one walk.

Notes
-----
Source: quick-train specification, step 4; faults E10, E12, E13, E14, E16.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit.data_scan import (
    Folder,
    Scan,
    SkippedData,
    executable_in,
    scan,
    size_in,
    state_of,
    unreadable_data,
)
from anylearn_jupyter.submit.regular_files import is_young, open_regular
from anylearn_jupyter.submit.stat_cache import (
    DIGEST_BYTES,
    NO_STATE,
    Known,
    KnownFolder,
    StatCache,
    cut,
)

_TRIES = 3
_BLOCK_BYTES = 1 << 20

OnProgress = Callable[[int, int], None]
"""``on_progress(bytes_done, bytes_total)``, in the caller's thread."""


class Entry(NamedTuple):
    """A file of a dataset whose content is known.

    Attributes
    ----------
    path : str
        Relative, with ``/``.
    source : Path
        What was read: the file itself, or where a link leads.
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


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """The content of a dataset.

    Attributes
    ----------
    value : str
        ``fp1:`` and 64 hexadecimal digits.
    root : Path
        Where it was read.
    files : int
        How many files.
    total_bytes : int
        Bytes of all files.
    skipped : tuple of SkippedData
        What is no part of it.
    """

    value: str
    root: Path
    files: int
    total_bytes: int
    skipped: tuple[SkippedData, ...] = ()
    _contents: tuple[tuple[Folder, bytes], ...] = field(repr=False, compare=False)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The files, sorted by the bytes of their paths; made when they are asked for."""
        found = [
            Entry(
                folder.prefix + name,
                folder.source(index),
                executable_in(folder.states[index]),
                size_in(folder.states[index]),
                digest.hex(),
            )
            for folder, digests in self._contents
            for index, (name, digest) in enumerate(
                zip(folder.names, cut(digests, DIGEST_BYTES), strict=True)
            )
        ]
        return tuple(sorted(found, key=lambda entry: entry.path.encode()))


def fingerprint(
    path: Path, *, on_progress: OnProgress | None = None, cache: StatCache | None = None
) -> Fingerprint:
    """Read a dataset, each byte at most once, and give its fingerprint.

    Parameters
    ----------
    path : Path
        A directory, or one file.
    on_progress : callable, optional
        Told after each piece of at most 1 MiB that was read; the total is what has to be read.
    cache : StatCache, optional
        What is known from before, and is kept for later. Without it all is read.

    Raises
    ------
    DataError
        It is not there, holds no file or too many, a name is no UTF-8, a file cannot be read, or
        changed each of three times while it was read.
    """
    found = scan(path)
    known = cache.load(found.root) if cache is not None else None
    if known is not None and known.fits(found):
        contents = tuple((one, known.folders[one.prefix].digests) for one in found.folders)
        return _fingerprint(known.value, found, found.total_bytes, contents)
    reading = _Reading(found, known)
    reading.read_all(on_progress)
    contents = tuple(
        (folder, b"".join(digests))
        for folder, digests in zip(found.folders, reading.digests, strict=True)
    )
    value = _combined(contents)
    if cache is not None:
        cache.save(found.root, Known(value, reading.to_keep(contents)), known)
    total = sum(size_in(state) for folder in found.folders for state in folder.states)
    return _fingerprint(value, found, total, contents)


def _fingerprint(
    value: str, found: Scan, total_bytes: int, contents: tuple[tuple[Folder, bytes], ...]
) -> Fingerprint:
    return Fingerprint(
        value=value,
        root=found.root,
        files=found.files,
        total_bytes=total_bytes,
        skipped=found.skipped,
        _contents=contents,
    )


class _Reading:
    """One dataset being read: a digest for each file, from what is known or from the file.

    Attributes
    ----------
    digests : list of list of bytes
        For each folder of the scan, in its order; empty where a file has yet to be read.
    """

    def __init__(self, found: Scan, known: Known | None) -> None:
        self._found = found
        self._known = known
        self._young: set[tuple[int, int]] = set()
        self._buffer = bytearray(_BLOCK_BYTES)
        self.digests = [
            known.digests(folder) if known is not None else [b""] * len(folder.names)
            for folder in found.folders
        ]

    def read_all(self, on_progress: OnProgress | None) -> None:
        """Read what has no digest, in the order of the paths, and correct its state."""
        waiting = sorted(
            (f"{folder.prefix}{folder.names[index]}".encode(), number, index)
            for number, folder in enumerate(self._found.folders)
            for index, digest in enumerate(self.digests[number])
            if not digest
        )
        total = sum(size_in(self._state(number, index)) for _, number, index in waiting)
        done = 0

        def tell(piece: int) -> None:
            nonlocal done
            done += piece
            if on_progress is not None:
                on_progress(min(done, total), total)

        for path, number, index in waiting:
            folder = self._found.folders[number]
            content = self._read(path.decode(), folder.source(index), tell)
            folder.states[index] = content.state
            self.digests[number][index] = content.digest
            if content.young:
                self._young.add((number, index))

    def to_keep(self, contents: tuple[tuple[Folder, bytes], ...]) -> dict[str, KnownFolder]:
        """Give what may be believed later: a file that was young when it was read has no state."""
        kept = {}
        for number, (folder, digests) in enumerate(contents):
            same = self._known.unchanged(folder) if self._known is not None else None
            if same is not None:
                kept[folder.prefix] = same
                continue
            states = [
                NO_STATE if (number, index) in self._young else state
                for index, state in enumerate(folder.states)
            ]
            names = "/".join(folder.names).encode()
            kept[folder.prefix] = KnownFolder(names, b"".join(states), digests)
        return kept

    def _state(self, number: int, index: int) -> bytes:
        return self._found.folders[number].states[index]

    def _read(self, path: str, source: Path, tell: Callable[[int], None]) -> _Content:
        """Read a file; again when it changed meanwhile."""
        for _ in range(_TRIES):
            content = self._read_once(path, source, tell)
            if content is not None:
                return content
        raise DataError(
            f"The file {path!r} changed while it was read, {_TRIES} times; try again when nothing "
            "writes to it."
        )

    def _read_once(self, path: str, source: Path, tell: Callable[[int], None]) -> _Content | None:
        """Read it once; None when it was not the same file from the beginning to the end.

        Not through a memory map: a file that shrinks under one ends the process.
        """
        hasher = blake3(max_threads=blake3.AUTO)
        view = memoryview(self._buffer)
        size = 0
        began_ns = time.time_ns()
        try:
            with open_regular(source) as handle:
                before = os.fstat(handle.fileno())
                while size <= before.st_size and (read := handle.readinto(view)):
                    hasher.update(view[:read])
                    size += read
                    tell(read)
                after = os.fstat(handle.fileno())
        except FileNotFoundError as error:
            raise DataError(
                f"The file {path!r} was taken away while the data was read; try again when nothing "
                "changes it."
            ) from error
        except OSError as error:
            raise unreadable_data(path, error) from error
        if size != before.st_size or state_of(before) != state_of(after):
            tell(-size)
            return None
        return _Content(state_of(after), hasher.digest(), is_young(after, began_ns))


class _Content(NamedTuple):
    """What one reading of a file gave: its state then, its digest, and whether it was young."""

    state: bytes
    digest: bytes
    young: bool


def _combined(contents: tuple[tuple[Folder, bytes], ...]) -> str:
    """Make the fingerprint of the records, in the form that this module's docstring defines."""
    records = [
        f"{folder.prefix}{name}\0{'1' if executable_in(state) else '0'}\0{digest.hex()}\n"
        for folder, digests in contents
        for name, state, digest in zip(
            folder.names, folder.states, cut(digests, DIGEST_BYTES), strict=True
        )
    ]
    # UTF-8 keeps the order of the characters, and no name has anything that sorts before a NUL.
    records.sort()
    return f"fp1:{blake3(''.join(records).encode()).hexdigest()}"
