"""A dataset on its way to a server that takes chunks of content: read once, and sent meanwhile.

Each file is read once; its digest, and the chunks that it is cut into, come from the same buffer,
and that buffer is the body of the request that sends them. While one is filled, two are on their
way, so that neither side waits for the other. The server is asked first what it lacks, so that what
is known there, from another dataset or from an upload that broke off, is not sent. A file whose
digest is known here is asked for by that digest alone, and only opened where the server lacks it.

The engine on this machine reads the files itself (`engine_reading`); here is read what it does not
take.

Notes
-----
Source: docs/protocol.md, "delta"; guide "performance", design moves 3 and 5.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import mmap
import os
import struct
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

from blake3 import blake3

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.api.delta import DeltaLimits
from anylearn_jupyter.submit.chunker import LARGEST_BYTES, cut
from anylearn_jupyter.submit.data_scan import executable_in, size_in
from anylearn_jupyter.submit.engine_reading import read_by_engine
from anylearn_jupyter.submit.file_reading import Content, FileAt, Read, Spot, Tell
from anylearn_jupyter.submit.fingerprint import DataReading

BODY_BYTES = 8 << 20
"""Bytes of content of one request, at most; three of these are held."""

_COUNT = struct.Struct("<L")
_RECORD = struct.Struct("<32sLQQ")
_REMEMBERED = 100_000
_AT_ONCE = 2


@dataclass(slots=True)
class _Chunk:
    """A chunk in a batch: where it is in the buffer, and where in which file it goes.

    Its digest is made by the thread that sends it, unless that is the file's own.
    """

    begin: int
    size: int
    file: int
    start: int
    digest: bytes = b""


@dataclass
class _Batch:
    """The body of one request while it is filled: room for the records, then the content."""

    buffer: memoryview
    head: int
    chunks: list[_Chunk] = field(default_factory=list)
    end: int = 0

    def clear(self) -> None:
        """Begin anew."""
        self.chunks = []
        self.end = self.head


def fits(limits: DeltaLimits | None) -> bool:
    """Whether a server takes chunks of the sizes that are cut here."""
    return (
        limits is not None
        and limits.chunk_bytes >= LARGEST_BYTES
        and limits.body_bytes >= LARGEST_BYTES + (1 << 20)
    )


class DeltaUpload:
    """One upload by chunks; it is a `file_reading.FileReader`.

    Parameters
    ----------
    api : Api
        The server.
    limits : DeltaLimits
        What it takes at a time.
    name : str
        The upload's name there; the same for the same place, so that it goes on where it broke off.

    Attributes
    ----------
    name : str
        As given.
    sent : int
        Bytes of content that were sent, or that the engine read, and that were new there.
    """

    def __init__(self, api: Api, limits: DeltaLimits, name: str) -> None:
        self._api = api
        self._limits = limits
        self.name = name
        self._most = min(limits.body_chunks, 4096)
        head = _COUNT.size + self._most * _RECORD.size
        size = min(BODY_BYTES + head, limits.body_bytes)
        # Memory that is not there before it is written to: what the engine reads needs none.
        self._filling, *self._empty = (
            _Batch(memoryview(mmap.mmap(-1, size)), head, end=head) for _ in range(_AT_ONCE + 1)
        )
        self._senders = ThreadPoolExecutor(_AT_ONCE, "anylearn-send")
        self._under_way: deque[tuple[_Batch, Future[int]]] = deque()
        self._holds_any: bool | None = None
        self._asked_before: set[bytes] = set()
        self._lacking: set[bytes] = set()
        self._pieces: dict[tuple[int, int], list[_Chunk]] = {}
        self.sent = 0

    def __enter__(self) -> Self:
        """Give itself; the block's end ends its threads."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the threads; what they send at this moment ends by its own time limit."""
        self._senders.shutdown(wait=False, cancel_futures=True)

    def begin_again(self) -> None:
        """Forget what the server has said: it lacks what it was thought to have."""
        self._holds_any = None
        self._asked_before.clear()
        self._lacking.clear()
        self._pieces.clear()

    # What is known already.

    def choose(self, reading: DataReading) -> None:
        """Have those files read, too, whose digest is known and whose content the server lacks."""
        known = (spot for spot in reading.spots(read=True) if size_in(spot.state))
        while some := list(itertools.islice(known, self._limits.digests)):
            digests = [reading.digests[spot.folder][spot.at] for spot in some]
            lacking = self._api.delta_lacking(digests)
            self._holds_any = lacking.holds_any
            for index in lacking.missing:
                spot = some[index]
                self._lacking.add(digests[index])
                reading.digests[spot.folder][spot.at] = b""

    # Reading.

    def read_elsewhere(self, files: Iterator[FileAt], tell: Tell) -> Iterator[tuple[Spot, Content]]:
        """Have the engine read what it takes, where it is on this machine."""
        if not self._limits.reads_files:
            return
        at_once = self._limits.reads_files
        for file, content, kept in read_by_engine(self._api, self.name, files, at_once, tell):
            self.sent += kept
            self._pieces.pop((file.spot.folder, file.spot.at), None)
            yield file.spot, content

    def read(self, handle: int, spot: Spot, size: int, tell: Tell) -> Read:
        """Read a file into the batch, cut it, and hash it."""
        number = _file_number(spot)
        self._pieces.pop((spot.folder, spot.at), None)  # of an attempt before the file changed
        whole = blake3() if size > LARGEST_BYTES else None
        pieces: list[_Chunk] = []
        begin = self._begin()
        done = start = 0
        while done < size:
            batch = self._filling
            room = batch.buffer[batch.end : batch.end + size - done]
            read = os.readv(handle, (room,)) if room else 0
            if not read and room:
                break
            if whole is not None:
                whole.update(room[:read])
            done += read
            batch.end += read
            tell(read)
            while self._filling.end - begin > LARGEST_BYTES:
                content = self._filling.buffer[begin : begin + LARGEST_BYTES + 1]
                taken = cut(content)
                pieces.append(self._take(begin, taken, number, start))
                begin, start = begin + taken, start + taken
                if len(self._filling.chunks) == self._most:
                    begin = self._next_batch(begin)
            if self._filling.end == len(self._filling.buffer):
                begin = self._next_batch(begin)
        rest = self._filling.end - begin
        if rest:
            pieces.append(self._take(begin, rest, number, start))
        if whole is not None:
            self._pieces[spot.folder, spot.at] = pieces
            return Read(done, whole.digest())
        for piece in pieces:
            piece.digest = self._digest(self._filling, piece)
        return Read(done, pieces[0].digest if pieces else blake3().digest())

    def _begin(self) -> int:
        """Give where the next file goes in the batch; another batch if this one is full."""
        batch = self._filling
        if len(batch.chunks) >= self._most or batch.end == len(batch.buffer):
            return self._next_batch(batch.end)
        return batch.end

    def _take(self, begin: int, size: int, file: int, start: int) -> _Chunk:
        """Take a chunk that is in the batch."""
        chunk = _Chunk(begin, size, file, start)
        self._filling.chunks.append(chunk)
        return chunk

    def _digest(self, batch: _Batch, chunk: _Chunk) -> bytes:
        view = batch.buffer[chunk.begin : chunk.begin + chunk.size]
        digest: bytes = blake3(view).digest()
        return digest

    # Sending.

    def _next_batch(self, begin: int) -> int:
        """Send what was taken, and go on in the other batch with what was not yet.

        Parameters
        ----------
        begin : int
            Where in the present batch that begins.

        Returns
        -------
        int
            Where it begins in the other one.
        """
        full = self._filling
        while not self._empty:
            self._take_one_back()
        empty = self._empty.pop()
        rest = full.end - begin
        empty.buffer[empty.head : empty.head + rest] = full.buffer[begin : full.end]
        empty.end = empty.head + rest
        self._filling = empty
        self._under_way.append((full, self._senders.submit(self._send, full)))
        return empty.head

    def flush(self) -> None:
        """Send what is left, and wait until the server has confirmed all."""
        self._next_batch(self._filling.end)
        while self._under_way:
            self._take_one_back()

    def _take_one_back(self) -> None:
        """Wait until the batch that left first is confirmed; it can be filled again."""
        batch, confirmed = self._under_way.popleft()
        self.sent += confirmed.result()
        batch.clear()
        self._empty.append(batch)

    def _send(self, batch: _Batch) -> int:
        """Send of a batch what the server lacks, and give its bytes; in a sending thread."""
        for chunk in batch.chunks:
            chunk.digest = chunk.digest or self._digest(batch, chunk)
        wanted = {chunk.digest: chunk for chunk in reversed(batch.chunks)}
        chunks = [
            chunk
            for chunk in batch.chunks
            if wanted[chunk.digest] is chunk and chunk.digest not in self._asked_before
        ]
        if len(self._asked_before) > _REMEMBERED:
            self._asked_before.clear()
        self._asked_before.update(chunk.digest for chunk in chunks)
        if self._holds_any is not False and chunks:
            chunks = self._lacked(chunks)
        if chunks:
            self._api.delta_send(self.name, _body(batch, chunks))
        return sum(chunk.size for chunk in chunks)

    def _lacked(self, chunks: list[_Chunk]) -> list[_Chunk]:
        """Ask which of the chunks the server lacks, but of those of which it has said so."""
        lacking = {chunk.digest for chunk in chunks} & self._lacking
        to_ask = [chunk.digest for chunk in chunks if chunk.digest not in lacking]
        for start in range(0, len(to_ask), self._limits.digests):
            some = to_ask[start : start + self._limits.digests]
            answer = self._api.delta_lacking(some)
            lacking.update(some[index] for index in answer.missing)
            if self._holds_any is None:
                # Of a server that holds nothing, nothing has to be asked.
                self._holds_any = answer.holds_any
        return [chunk for chunk in chunks if chunk.digest in lacking]

    # The end.

    def manifest(self, reading: DataReading) -> Iterator[bytes]:
        """Give a line for each file, of a dataset that was read, when all was sent (`flush`)."""
        for spot in reading.spots(read=True):
            digest = reading.digests[spot.folder][spot.at]
            state = reading.scan.folders[spot.folder].state(spot.at)
            size = size_in(state)
            chunks = self._pieces.get((spot.folder, spot.at))
            pieces = [digest.hex()] if size else []
            if chunks is not None:
                pieces = [chunk.digest.hex() for chunk in chunks]
            line = [spot.path, int(executable_in(state)), size, digest.hex(), pieces]
            yield json.dumps(line, ensure_ascii=False).encode() + b"\n"


def upload_name(*parts: str) -> str:
    """Name an upload after what it is of: 32 hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _file_number(spot: Spot) -> int:
    """Give a number for a file as it is now, so that a changed one has another."""
    digest: bytes = blake3(spot.path.encode() + b"\0" + spot.state).digest(8)
    return int.from_bytes(digest, "little")


def _body(batch: _Batch, chunks: list[_Chunk]) -> memoryview:
    """Make the body, in the batch's own memory: records in front of the content."""
    view = batch.buffer
    end = batch.head
    for chunk in chunks:
        if chunk.begin != end:
            view[end : end + chunk.size] = view[chunk.begin : chunk.begin + chunk.size]
        end += chunk.size
    begin = batch.head - _COUNT.size - len(chunks) * _RECORD.size
    _COUNT.pack_into(batch.buffer, begin, len(chunks))
    for index, chunk in enumerate(chunks):
        at = begin + _COUNT.size + index * _RECORD.size
        _RECORD.pack_into(batch.buffer, at, chunk.digest, chunk.size, chunk.file, chunk.start)
    return view[begin:end]
