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

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from anylearn_jupyter.submit.data_scan import (
    Folder,
    Scan,
    SkippedData,
    executable_in,
    scan,
    size_in,
)
from anylearn_jupyter.submit.file_reading import (
    Content,
    FileReader,
    Spot,
    Tell,
    read_file,
    read_plainly,
)
from anylearn_jupyter.submit.stat_cache import (
    DIGEST_BYTES,
    NO_STATE,
    Known,
    KnownFolder,
    StatCache,
    cut,
)

_UNREAD = bytes(DIGEST_BYTES)

KEEP_EVERY_S = 10.0
"""Seconds of reading after which what was read is kept."""

OnProgress = Callable[[int, int], None]
"""``on_progress(bytes_done, bytes_total)``, in the caller's thread."""


class Entry(NamedTuple):
    """A file of a dataset whose content is known.

    Attributes
    ----------
    path : str
        Relative, with ``/``.
    source : str
        Where it was read: the file's place, or where a link leads.
    executable : bool
        Whether the owner may execute it.
    size : int
        Bytes.
    digest : str
        BLAKE3, 64 hexadecimal digits.
    """

    path: str
    source: str
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
        found = []
        for folder, digests in self._contents:
            prefix, hexadecimal = folder.prefix, digests.hex()
            for at, (name, state) in enumerate(zip(folder.names, folder.states, strict=True)):
                digest = hexadecimal[2 * DIGEST_BYTES * at : 2 * DIGEST_BYTES * (at + 1)]
                size, executable = size_in(state), executable_in(state)
                found.append(Entry(prefix + name, folder.where(at), executable, size, digest))
        # UTF-8 keeps the order of the characters.
        found.sort()
        return tuple(found)


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
    seen = look(path, cache)
    if seen.fingerprint is not None:
        return seen.fingerprint
    reading = DataReading(seen)
    reading.read_all(None, on_progress)
    return reading.result(cache)


@dataclass(frozen=True)
class SeenData:
    """A dataset that was looked at: nothing of it has been opened.

    Attributes
    ----------
    scan : Scan
        Its files.
    known : Known or None
        What is known of it from before.
    """

    scan: Scan
    known: Known | None

    @property
    def root(self) -> Path:
        """The directory or the one file, resolved."""
        return self.scan.root

    @property
    def skipped(self) -> tuple[SkippedData, ...]:
        """What is no part of it."""
        return self.scan.skipped

    @property
    def fingerprint(self) -> Fingerprint | None:
        """Its fingerprint where nothing has changed since it was known; None where it has."""
        # One that was not read to its end has no value yet.
        if self.known is None or not self.known.value or not self.known.fits(self.scan):
            return None
        folders = self.known.folders
        contents = tuple((one, folders[one.prefix].digests) for one in self.scan.folders)
        return _fingerprint(self.known.value, self.scan, self.scan.total_bytes, contents)

    @property
    def unread_bytes(self) -> int:
        """How many bytes have to be read to know what it is."""
        return sum(size_in(spot.state) for spot in DataReading(self).spots(read=False))

    def paths(self) -> Iterator[str]:
        """Give the path of each file, relative and with ``/``."""
        return (folder.prefix + name for folder in self.scan.folders for name in folder.names)


def look(path: Path, cache: StatCache | None = None) -> SeenData:
    """Look at a dataset and open nothing; see `fingerprint` for the errors of its names."""
    found = scan(path)
    return SeenData(found, cache.load(found.root) if cache is not None else None)


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


class DataReading:
    """One dataset being read: a digest for each file, from what is known or from the file.

    Parameters
    ----------
    seen : SeenData
        Its files, and what is known of them.

    Attributes
    ----------
    digests : list of list of bytes
        For each folder of the scan, in its order; empty where a file has yet to be read.
    """

    def __init__(self, seen: SeenData) -> None:
        self._found = seen.scan
        self._known = seen.known
        self._young: set[tuple[int, int]] = set()
        self._kept_at = time.monotonic()
        self.digests = [
            seen.known.digests(folder) if seen.known is not None else [b""] * len(folder.names)
            for folder in seen.scan.folders
        ]

    @property
    def scan(self) -> Scan:
        """The files; the state of one that was read is what it was then."""
        return self._found

    def spots(self, *, read: bool) -> list[Spot]:
        """Give the files that have a digest, or those that have none, sorted by their paths."""
        found = [
            Spot(f"{folder.prefix}{folder.names[index]}", number, index, folder.states[index])
            for number, folder in enumerate(self._found.folders)
            for index, digest in enumerate(self.digests[number])
            if bool(digest) == read
        ]
        # UTF-8 keeps the order of the characters.
        return sorted(found)

    def read_all(
        self,
        reader: FileReader | None = None,
        on_progress: OnProgress | None = None,
        *,
        on_file: Callable[[int, int], None] | None = None,
        cache: StatCache | None = None,
    ) -> None:
        """Read what has no digest, and correct its state.

        Parameters
        ----------
        reader : FileReader, optional
            Reads each file, in the order of the paths. None: only the digests are wanted, in any
            order, as quickly as can be.
        on_progress : callable, optional
            Told of bytes.
        on_file : callable, optional
            ``on_file(done, total)``, after each file.
        cache : StatCache, optional
            What was read is kept there now and then, so that who begins again goes on from there.

        Notes
        -----
        Source: faults A6.
        """
        waiting = self.spots(read=False)
        total = sum(size_in(spot.state) for spot in waiting)
        done = 0

        def tell(piece: int) -> None:
            nonlocal done
            done += piece
            if on_progress is not None:
                on_progress(min(done, total), total)

        for count, (spot, content) in enumerate(self._contents_of(waiting, reader, tell), 1):
            self._found.folders[spot.folder].states[spot.at] = content.state
            self.digests[spot.folder][spot.at] = content.digest
            if content.young:
                self._young.add((spot.folder, spot.at))
            if on_file is not None:
                on_file(count, len(waiting))
            if cache is not None and time.monotonic() - self._kept_at > KEEP_EVERY_S:
                self._keep(cache, "")

    def _contents_of(
        self, spots: list[Spot], reader: FileReader | None, tell: Tell
    ) -> Iterator[tuple[Spot, Content]]:
        folders = self._found.folders
        files = [(spot, folders[spot.folder].where(spot.at)) for spot in spots]
        if reader is None:
            return read_plainly(files, tell)
        return ((spot, read_file(spot, place, reader, tell)) for spot, place in files)

    def result(self, cache: StatCache | None = None) -> Fingerprint:
        """Give the fingerprint, now that every file has a digest, and keep what is known."""
        contents = self._contents()
        value = _combined(contents)
        if cache is not None:
            self._keep(cache, value)
        total = sum(size_in(state) for folder in self._found.folders for state in folder.states)
        return _fingerprint(value, self._found, total, contents)

    def _contents(self) -> tuple[tuple[Folder, bytes], ...]:
        return tuple(
            (folder, b"".join(digest or _UNREAD for digest in digests))
            for folder, digests in zip(self._found.folders, self.digests, strict=True)
        )

    def _keep(self, cache: StatCache, value: str) -> None:
        known = Known(value, self._to_keep())
        cache.save(self._found.root, known, self._known)
        self._known = known
        self._kept_at = time.monotonic()

    def _to_keep(self) -> dict[str, KnownFolder]:
        """Give what may be believed later.

        A file that was young when it was read, or that was not read yet, has no state.
        """
        kept = {}
        for number, (folder, digests) in enumerate(self._contents()):
            same = self._known.unchanged(folder) if self._known is not None else None
            if same is not None and same.digests == digests:
                kept[folder.prefix] = same
                continue
            states = [
                NO_STATE
                if (number, index) in self._young or not self.digests[number][index]
                else state
                for index, state in enumerate(folder.states)
            ]
            names = "/".join(folder.names).encode()
            kept[folder.prefix] = KnownFolder(names, b"".join(states), digests)
        return kept


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
