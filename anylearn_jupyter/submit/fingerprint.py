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
from pathlib import Path
from typing import NamedTuple

from anylearn_jupyter.submit.data_scan import (
    Folder,
    Scan,
    SkippedData,
    cut,
    in_order,
    scan_at,
    size_in,
    top_of,
)
from anylearn_jupyter.submit.file_reading import (
    Batch,
    Content,
    FileAt,
    FileReader,
    PlainReader,
    Spot,
    Tell,
    batches_of,
    read_file,
    read_plainly,
)
from anylearn_jupyter.submit.folder_digests import FolderDigests, fingerprint_of
from anylearn_jupyter.submit.folder_work import DIGEST_BYTES, STATE, UNREAD
from anylearn_jupyter.submit.stat_cache import NO_STATE, Known, KnownFolder, StatCache

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

    @property
    def folders(self) -> list[Folder]:
        """The directories that have files, in no order."""
        return [folder for folder, _ in self._contents]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The files, in the order of `each_entry`."""
        return tuple(self.each_entry())

    def each_entry(self) -> Iterator[Entry]:
        """Give the files, sorted by the bytes of their paths; each is made when it is asked for."""
        for number, some in in_order(self.folders, range(len(self._contents))):
            folder, digests = self._contents[number]
            may_execute, sizes = set(folder.executables()), folder.sizes()
            for at in some:
                digest = digests[DIGEST_BYTES * at : DIGEST_BYTES * (at + 1)].hex()
                path, source = folder.prefix + folder.names[at], folder.where(at)
                yield Entry(path, source, at in may_execute, sizes[at], digest)


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


class SeenData(NamedTuple):
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
        contents = tuple([(one, folders[one.prefix].digests) for one in self.scan.folders])
        return _fingerprint(self.known.value, self.scan, self.scan.total_bytes, contents)

    @property
    def unread_bytes(self) -> int:
        """How many bytes have to be read to know what it is."""
        return DataReading(self).unread_bytes


def look(path: Path, cache: StatCache | None = None) -> SeenData:
    """Look at a dataset and open nothing; see `fingerprint` for the errors of its names."""
    top = top_of(path)
    known = cache.load(top.root) if cache is not None else None
    return SeenData(scan_at(top, files=known.files if known is not None else 0), known)


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
    digests : FolderDigests
        For each folder of the scan, by its number; empty where a file has yet to be read.
    """

    def __init__(self, seen: SeenData) -> None:
        self._found = seen.scan
        self._known = seen.known
        self._young: set[tuple[int, int]] = set()
        self._kept_at = time.monotonic()
        self._total_bytes = seen.scan.total_bytes
        self.digests = FolderDigests(seen.scan.folders, seen.known)

    @property
    def scan(self) -> Scan:
        """The files; the state of one that was read is what it was then."""
        return self._found

    @property
    def unread_bytes(self) -> int:
        """The bytes of the files that have no digest, as they were seen."""
        return sum(
            size
            for number in self.digests.touched()
            for size, digest in zip(
                self._found.folders[number].sizes(), self.digests[number], strict=True
            )
            if not digest
        )

    def spots(self, *, read: bool) -> Iterator[Spot]:
        """Give the files that have a digest, or those that have none, sorted by their paths.

        Each is made when it is asked for, and belongs to either by the digest that it has then.
        """
        folders = self._found.folders
        numbers = range(len(folders)) if read else self.digests.touched()
        for number, some in in_order(folders, numbers):
            folder, digests = folders[number], self.digests[number]
            for at in some:
                if bool(digests[at]) == read:
                    yield Spot(folder.prefix + folder.names[at], number, at, folder.state(at))

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
        total, done, count = self.unread_bytes, 0, 0
        files = sum(self.digests[number].count(b"") for number in self.digests.touched())

        def tell(piece: int) -> None:
            nonlocal done
            done += piece
            if on_progress is not None:
                on_progress(min(done, total), total)

        for read in self._read_by(reader, tell):
            count += read
            if on_file is not None:
                on_file(count, files)
            if cache is not None and time.monotonic() - self._kept_at > KEEP_EVERY_S:
                self._keep(cache, "", self._joined_digests())

    def _read_by(self, reader: FileReader | None, tell: Tell) -> Iterator[int]:
        """Read what has no digest, and say each time how many files came to have one."""
        if reader is None:
            yield from self._read_plainly(tell)
            reader = PlainReader()
        for spot, content in reader.read_elsewhere(self._unread(), tell):
            self._take(spot, content)
            yield 1
        for spot, place in self._unread():
            self._take(spot, read_file(spot, place, reader, tell))
            yield 1

    def _unread(self) -> Iterator[FileAt]:
        """Give the files that have no digest, in the order of their paths."""
        for spot in self.spots(read=False):
            yield FileAt(spot, self._found.folders[spot.folder].where(spot.at))

    def _read_plainly(self, tell: Tell) -> Iterator[int]:
        """Read what is quickly read; what is odd about any file is left."""
        batches: list[Batch] = []
        for number in self.digests.touched():
            folder = self._found.folders[number]
            unread = [at for at, digest in enumerate(self.digests[number]) if not digest]
            if folder.links:
                unread = [at for at in unread if folder.names[at] not in folder.links]
            batches += batches_of(number, folder, unread)
        for batch, found, young in read_plainly(batches, tell):
            digests = self.digests[batch.folder]
            for at, digest in zip(batch.at, found, strict=True):
                digests[at] = digest if digest != UNREAD else b""
            self._young.update((batch.folder, at) for at in young)
            yield len(found) - found.count(UNREAD)

    def _take(self, spot: Spot, content: Content) -> None:
        folder = self._found.folders[spot.folder]
        if content.state != folder.state(spot.at):
            self._total_bytes += size_in(content.state) - size_in(folder.state(spot.at))
            folder.correct(spot.at, content.state)
        self.digests[spot.folder][spot.at] = content.digest
        if content.young:
            self._young.add((spot.folder, spot.at))

    def result(self, cache: StatCache | None = None) -> Fingerprint:
        """Give the fingerprint, now that every file has a digest, and keep what is known."""
        value, digests = fingerprint_of(self.digests), self._joined_digests()
        if cache is not None:
            self._keep(cache, value, digests)
        contents = tuple(zip(self._found.folders, digests, strict=True))
        return _fingerprint(value, self._found, self._total_bytes, contents)

    def _joined_digests(self) -> list[bytes]:
        return [self.digests.joined(number) for number in range(len(self._found.folders))]

    def _keep(self, cache: StatCache, value: str, digests: list[bytes]) -> None:
        folders = {
            folder.prefix: self.digests.same(number) or self._to_keep(number, digests[number])
            for number, folder in enumerate(self._found.folders)
        }
        known = Known(value, folders)
        cache.save(self._found.root, known, self._known)
        self._known = known
        self._kept_at = time.monotonic()

    def _to_keep(self, number: int, digests: bytes) -> KnownFolder:
        """Give what may be believed of a folder later, which has these digests.

        A file that was young when it was read, or that was not read yet, has no state.
        """
        folder = self._found.folders[number]
        states = folder.joined_states
        forgotten = {at for at, digest in enumerate(self.digests[number]) if not digest}
        forgotten |= {at for one, at in self._young if one == number}
        if not forgotten:
            records = self.digests.joined_records(number)
            return KnownFolder(folder.joined_names, states, digests, records)
        parts = cut(states, STATE.size)
        states = b"".join(NO_STATE if at in forgotten else one for at, one in enumerate(parts))
        return KnownFolder(folder.joined_names, states, digests)
