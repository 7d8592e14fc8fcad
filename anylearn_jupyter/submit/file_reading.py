"""Reading the files of a dataset: each once, whole and as it was, or not at all.

Small files are read one after another in the caller's thread, with as little as can be done for
each; of large ones two are read at a time, as reading and hashing do without Python's lock.

Notes
-----
Source: faults E13; guide "performance", A: threads lose on small files and win on large ones.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import NamedTuple, Protocol

from blake3 import blake3

from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit.data_scan import size_in, state_of, unreadable_data
from anylearn_jupyter.submit.regular_files import is_young, open_seen

Tell = Callable[[int], None]
"""``tell(bytes)``, after each piece that was read; negative where it is read again."""

BLOCK_BYTES = 1 << 20
"""Bytes that are read at a time."""

_SMALL_BYTES = 1 << 16
_BATCH_BYTES = 4 << 20

_TRIES = 3
_AT_ONCE = 2
_LISTEN_S = 0.1
_CLOCK_EVERY = 64


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
    """What reads a file's content, and does with it what it likes."""

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


def read_plainly(files: Sequence[tuple[Spot, str]], tell: Tell) -> Iterator[tuple[Spot, Content]]:
    """Read files for nothing but their digests; in no order.

    Parameters
    ----------
    files : sequence
        Each with its place.
    tell : callable
        Called in the caller's thread.
    """
    yield from _read_small([one for one in files if size_in(one[0].state) <= _SMALL_BYTES], tell)
    large = [one for one in files if size_in(one[0].state) > _SMALL_BYTES]
    batches = list(_batches(large))
    if len(batches) == 1:
        yield from ((spot, read_file(spot, place, PlainReader(), tell)) for spot, place in large)
    elif batches:
        yield from _read_large(batches, tell)


def _batches(files: list[tuple[Spot, str]]) -> Iterator[list[tuple[Spot, str]]]:
    """Put files together, so that a thread has enough to do."""
    batch: list[tuple[Spot, str]] = []
    size = 0
    for one in files:
        batch.append(one)
        size += size_in(one[0].state)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read_small(files: list[tuple[Spot, str]], tell: Tell) -> Iterator[tuple[Spot, Content]]:
    """Read files that come with one call each; `read_file`, with less between two calls."""
    reader = PlainReader()
    view, buffers, began_ns = reader.view, (reader.view,), 0
    for count, (spot, place) in enumerate(files):
        if not count % _CLOCK_EVERY:
            began_ns = time.time_ns()
        try:
            handle, found = open_seen(place)
            try:
                read = os.readv(handle, buffers)
                tell(read)
                state = state_of(os.fstat(handle))
            finally:
                os.close(handle)
        except OSError as error:
            raise _unreadable(spot, error) from error
        if read == found.st_size and state == state_of(found):
            digest: bytes = blake3(view[:read]).digest()
            yield spot, Content(state, digest, is_young(found, began_ns))
        else:
            tell(-read)
            yield spot, read_file(spot, place, reader, tell)


class _Told:
    """Bytes that were read in other threads, until the caller's thread tells of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = 0
        self.stopped = False

    def add(self, piece: int) -> None:
        """Take a piece; raises where nobody wants more."""
        with self._lock:
            self._bytes += piece
        if self.stopped:
            raise DataError("The reading was stopped.")

    def tell(self, tell: Tell) -> None:
        """Tell of what has come since the last time."""
        with self._lock:
            left, self._bytes = self._bytes, 0
        while left > BLOCK_BYTES:
            tell(BLOCK_BYTES)
            left -= BLOCK_BYTES
        if left:
            tell(left)


def _read_large(
    batches: list[list[tuple[Spot, str]]], tell: Tell
) -> Iterator[tuple[Spot, Content]]:
    """Read large files, two batches at a time."""
    told = _Told()

    def read(batch: list[tuple[Spot, str]]) -> list[tuple[Spot, Content]]:
        reader = PlainReader()
        return [(spot, read_file(spot, place, reader, told.add)) for spot, place in batch]

    rest = iter(batches)
    with ThreadPoolExecutor(_AT_ONCE, "anylearn-read") as pool:
        waiting = {pool.submit(read, batch) for batch in itertools.islice(rest, _AT_ONCE)}
        try:
            while waiting:
                done, waiting = wait(waiting, _LISTEN_S, FIRST_COMPLETED)
                told.tell(tell)
                waiting |= {pool.submit(read, one) for one in itertools.islice(rest, len(done))}
                for one in done:
                    yield from one.result()
        finally:
            told.stopped = True


def _unreadable(spot: Spot, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(
            f"The file {spot.path!r} was taken away while the data was read; try again when "
            "nothing changes it."
        )
    return unreadable_data(spot.path, error)
