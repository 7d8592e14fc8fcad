"""Reading the files of a dataset: each once, whole and as it was, or not at all.

Where only digests are wanted, files are read folder by folder, some of them by `helper_processes`,
and what is odd about one (it cannot be read, or is not as it was seen) comes back without a digest.
Then, as where the content is wanted, too, it is read by itself: `read_file`.

Notes
-----
Source: faults E13; guide "performance", A: threads lose on small files.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from blake3 import blake3

from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit.data_scan import Folder, cut, unreadable_data
from anylearn_jupyter.submit.folder_work import (
    BLOCK_BYTES,
    DIGEST_BYTES,
    READ,
    STATE,
    Digests,
    FolderReader,
    state_of,
)
from anylearn_jupyter.submit.helper_processes import Helpers, Job, helpers
from anylearn_jupyter.submit.regular_files import is_young, is_young_time, open_seen

Tell = Callable[[int], None]
"""``tell(bytes)``, after each piece that was read; negative where it is read again."""

BATCH_FILES = 128
"""How many files are read at a time, at most, and given to a helper at once: a millisecond."""

HELPED_BYTES = 100_000_000
"""From so many bytes on helpers are worth their start; a file's four calls cost like 40 KB."""

_BATCH_BYTES = 4 << 20
_FILE_COST_BYTES = 40_000
_TRIES = 3


class Spot(NamedTuple):
    """A file of a scan.

    Attributes
    ----------
    path : str
        Relative, with ``/``.
    folder, at : int
        Which folder of the scan it is in, and where among its files.
    state : bytes
        `state_of` it, as it was seen or when it was opened.
    """

    path: str
    folder: int
    at: int
    state: bytes = b""


class FileAt(NamedTuple):
    """A file of a scan, and the real place at which it is opened."""

    spot: Spot
    place: str


class Read(NamedTuple):
    """What reading a file gave: how many bytes, and their BLAKE3."""

    size: int
    digest: bytes


class Content(NamedTuple):
    """What a whole reading of a file gave: its state then, its digest, and whether it was young."""

    state: bytes
    digest: bytes
    young: bool


class FileReader(Protocol):
    """What reads files' contents, and does with them what it likes."""

    def read_elsewhere(self, files: Iterator[FileAt], tell: Tell) -> Iterator[tuple[Spot, Content]]:
        """Give those of some files, in any order, that are not read in this process.

        All others, and those that have changed, are read by `read`.
        """

    def read(self, handle: int, spot: Spot, size: int, tell: Tell) -> Read:
        """Read so many bytes of a file, or up to its end.

        Parameters
        ----------
        handle : int
            Its descriptor, at its beginning.
        spot : Spot
            Which file it is.
        size : int
            Its size, when it was opened. One that has grown is found out by its state.
        tell : callable
            ``tell(bytes)``, after each piece.
        """


class PlainReader:
    """Reads a file for nothing but its digest.

    Not through a memory map: a file that shrinks under one ends the process. And not with BLAKE3's
    own threads, which a fork does not bring along (faults C10).
    """

    def __init__(self) -> None:
        self.view = memoryview(bytearray(BLOCK_BYTES))

    def read_elsewhere(self, files: Iterator[FileAt], tell: Tell) -> Iterator[tuple[Spot, Content]]:
        """Give none."""
        del files, tell
        return iter(())

    def read(self, handle: int, spot: Spot, size: int, tell: Tell) -> Read:
        """Read and hash it."""
        hasher, view, done = blake3(), self.view, 0
        while done < size and (read := os.readv(handle, (view,))):
            hasher.update(view[:read])
            done += read
            tell(read)
        return Read(done, hasher.digest())


def read_file(spot: Spot, place: str, reader: FileReader, tell: Tell) -> Content:
    """Read a file; again when it changed meanwhile.

    Raises
    ------
    DataError
        It cannot be read, or changed each of three times.
    """
    for _ in range(_TRIES):
        content = _read_once(spot, place, reader, tell)
        if content is not None:
            return content
    raise DataError(
        f"The file {spot.path!r} changed while it was read, {_TRIES} times; try again when "
        "nothing writes to it."
    )


def _read_once(spot: Spot, place: str, reader: FileReader, tell: Tell) -> Content | None:
    """Read a file once; None when it was not the same from the beginning to the end."""
    began_ns = time.time_ns()
    try:
        handle, before = open_seen(place)
        try:
            state = state_of(before)
            read = reader.read(handle, spot._replace(state=state), before.st_size, tell)
            after = os.fstat(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise _unreadable(spot, error) from error
    if read.size != before.st_size or state != state_of(after):
        tell(-read.size)
        return None
    return Content(state, read.digest, is_young(after, began_ns))


class Batch(NamedTuple):
    """Some files of one folder that are read together.

    Attributes
    ----------
    folder : int
        Which folder of the scan.
    at : sequence of int
        Which of its files.
    place : str
        The real directory.
    names : list of str
        Theirs; no links.
    states : bytes
        How they were seen.
    size : int
        Their bytes.
    """

    folder: int
    at: Sequence[int]
    place: str
    names: list[str]
    states: bytes
    size: int


class BatchRead(NamedTuple):
    """What reading a batch gave: a digest for each file, `UNREAD` for some; which were young."""

    batch: Batch
    digests: list[bytes]
    young: list[int]


def batches_of(number: int, folder: Folder, wanted: Sequence[int]) -> Iterator[Batch]:
    """Put files of a folder together, to be read at a time.

    Parameters
    ----------
    number : int
        Which folder of the scan it is.
    folder : Folder
        It.
    wanted : sequence of int
        Which of its files; no links.
    """
    sizes, first, size = folder.sizes(), 0, 0
    for count, at in enumerate(wanted, 1):
        size += sizes[at]
        if size >= _BATCH_BYTES or count - first == BATCH_FILES or count == len(wanted):
            some = wanted[first:count]
            names = [folder.names[one] for one in some]
            yield Batch(number, some, folder.place, names, folder.states(some), size)
            first, size = count, 0


def read_plainly(batches: list[Batch], tell: Tell) -> Iterator[BatchRead]:
    """Read files for nothing but their digests; in no order.

    Parameters
    ----------
    batches : list of Batch
        What to read.
    tell : callable
        Called in the caller's thread.
    """
    cost = sum(batch.size + _FILE_COST_BYTES * len(batch.names) for batch in batches)
    with helpers(tell) as beside:
        if cost > HELPED_BYTES and len(batches) > 1:
            beside.start()
        yield from _SharedReading(batches, beside, tell).results()


class _SharedReading:
    """Batches, read by this process and by helpers, whoever has time; what is heavy first."""

    def __init__(self, batches: list[Batch], beside: Helpers, tell: Tell) -> None:
        self._waiting = deque(
            sorted(batches, key=lambda one: -one.size if one.size > 2 * _BATCH_BYTES else 0)
        )
        self._beside = beside
        self._tell = tell
        self._given: dict[int, tuple[Batch, int]] = {}
        self._read: list[BatchRead] = []

    def results(self) -> Iterator[BatchRead]:
        """Read all."""
        reader = FolderReader()
        while self._waiting or self._given or self._read:
            self._attend(wait=not self._waiting and not self._read)
            yield from self._read
            self._read.clear()
            if self._waiting:
                batch, began_ns = self._waiting.popleft(), time.time_ns()
                found = reader.read(batch.place, batch.names, batch.states, self._tell_and_attend)
                yield _batch_read(batch, found, began_ns)

    def _tell_and_attend(self, piece: int) -> None:
        self._tell(piece)
        if piece == BLOCK_BYTES:
            # A large file is long, and nobody is to wait for its end.
            self._attend(wait=False)

    def _attend(self, *, wait: bool) -> None:
        """Take what helpers have read, and give them more."""
        for key, answer in self._beside.answers(wait=wait):
            batch, began_ns = self._given.pop(key)
            if isinstance(answer, tuple):
                self._read.append(_batch_read(batch, answer, began_ns))
            else:
                self._waiting.appendleft(batch)
        while self._waiting and self._beside.has_room(self._waiting[0].size):
            batch = self._waiting.popleft()
            self._given[id(batch)] = batch, time.time_ns()
            request = (READ, batch.place, batch.names, batch.states)
            self._beside.give(Job(id(batch), request, batch.size))


def _batch_read(batch: Batch, found: Digests, began_ns: int) -> BatchRead:
    digests, newest_ns = found
    young: list[int] = []
    if is_young_time(newest_ns, began_ns):
        times = (STATE.unpack(state)[1:3] for state in cut(batch.states, STATE.size))
        young = [
            at for at, two in zip(batch.at, times, strict=True) if is_young_time(max(two), began_ns)
        ]
    return BatchRead(batch, cut(digests, DIGEST_BYTES), young)


def _unreadable(spot: Spot, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(
            f"The file {spot.path!r} was taken away while the data was read; try again when "
            "nothing changes it."
        )
    return unreadable_data(spot.path, error)
