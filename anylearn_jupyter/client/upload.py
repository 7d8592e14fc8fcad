"""Sending bytes as numbered chunks, in memory near one chunk.

Knows nothing of progress bars, archives or datasets: an iterable of bytes goes in, a callback hears
of each chunk that the server has confirmed. A failure surfaces at once, in the caller's thread.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

from blake3 import blake3

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.chunks import CHUNK_BYTES, FileChunks
from anylearn_jupyter.client.pace import backoff_s
from anylearn_jupyter.errors import ConfigError, ServerError

__all__ = ["CHUNK_BYTES", "Confirmed", "ResourceUploader", "Uploader", "rechunked"]

_LOCKED, _LOCKED_ATTEMPTS = 423, 12
_LACKS_CHUNKS = (400, 404, 409, 412, 416, 422)


class ResourceUploader(Protocol):
    """A caller's own strategy for uploads, with the published method (option `resource_uploader`).

    It sends the chunks itself, in any way and order; what it returns is not looked at, and what it
    raises ends the submission.
    """

    def run(self, resource_id: str, chunks: Sequence[bytes]) -> object:
        """Send the chunks of a resource, numbered from 0; each is read when it is asked for."""


class Confirmed(Protocol):
    """Remembers which chunks of an upload were confirmed, longer than this process lives."""

    def confirmed(self) -> int:
        """Give how many, from the first one on."""

    def digest(self) -> bytes:
        """Give the BLAKE3 of the bytes of those."""

    def confirm(self, chunks: int, digest: bytes) -> None:
        """Take that so many are, and the BLAKE3 of their bytes."""

    def forget(self) -> None:
        """Take that none is."""


class _OtherBytes(Exception):
    """What was made again is not what had been confirmed."""


class Uploader:
    """Sends the content of one resource after another.

    Parameters
    ----------
    api : Api
        The server.
    chunk_bytes : int, default `CHUNK_BYTES`
        For servers of our own only; published ones count on the default.
    strategy : ResourceUploader, optional
        Sends the chunks in its own way; None sends them in order.
    pause : callable, default `time.sleep`
        How to wait for a resource that is locked.
    """

    def __init__(
        self,
        api: Api,
        *,
        chunk_bytes: int = CHUNK_BYTES,
        strategy: ResourceUploader | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api = api
        self._chunk_bytes = chunk_bytes
        self._strategy = strategy
        self._pause = pause

    def send(
        self,
        file_id: str,
        content: Iterable[bytes],
        *,
        purge: bool = False,
        on_progress: Callable[[int], None] | None = None,
    ) -> int:
        """Send the content of a resource and say that it is complete.

        Parameters
        ----------
        file_id : str
            The resource's id.
        content : iterable of bytes
            In pieces of any size, read once and front to back.
        purge : bool, default False
            Drop the former content first: for an algorithm that is sent again.
        on_progress : callable, optional
            ``on_progress(sent_bytes)``, after each confirmed chunk, in this thread.

        Returns
        -------
        int
            Bytes sent.

        Raises
        ------
        ServerError
            The server refused.
        ServerUnreachable
            No answer after the last repetition of a chunk. Sending everything again is safe.

        Notes
        -----
        Source: HTTP API, section 6.3. There are ``size // chunk + 1`` chunks, so when the size is
        a multiple, 0 included, the last one is empty.
        """
        if self._strategy is not None:
            sent = self._send_by(self._strategy, file_id, content)
        else:
            sent = self._send_chunks(file_id, content, None, on_progress)
        self._api.finish_upload(file_id, purge=purge)
        return sent

    def go_on(
        self,
        file_id: str,
        content: Callable[[], Iterable[bytes]],
        record: Confirmed,
    ) -> int:
        """Send the content of a resource from where an earlier upload of it broke off, and finish.

        Parameters
        ----------
        file_id : str
            The resource's id.
        content : callable
            Gives the content from its beginning, in pieces of any size. What was confirmed is made,
            held against what was confirmed, and not sent; where it is not the same bytes, all is.
        record : Confirmed
            Remembers which chunks were confirmed, also when this process ends.

        Returns
        -------
        int
            Bytes sent.

        Raises
        ------
        As `send`; a later call goes on behind the last chunk that was confirmed.

        Notes
        -----
        Source: faults A5, D2 and D13. A server that does not take the end of an upload that went
        on from an earlier one lacks what it had confirmed; then all is sent, once more.
        """
        went_on = self._strategy is None and record.confirmed() > 0
        if not went_on:
            record.forget()
            if self._strategy is not None:
                return self.send(file_id, content())
        try:
            sent = self._send_chunks(file_id, content(), record)
        except _OtherBytes:
            record.forget()
            sent = self._send_chunks(file_id, content(), record)
        try:
            self._api.finish_upload(file_id, purge=False)
        except ServerError as error:
            if not went_on or error.status not in _LACKS_CHUNKS:
                raise
            record.forget()
            sent += self._send_chunks(file_id, content(), record)
            self._api.finish_upload(file_id, purge=False)
        return sent

    def _send_chunks(
        self,
        file_id: str,
        content: Iterable[bytes],
        record: Confirmed | None,
        on_progress: Callable[[int], None] | None = None,
    ) -> int:
        """Send the chunks that are not confirmed yet; gives their bytes."""
        skipped = record.confirmed() if record is not None else 0
        hasher, sent = blake3(), 0
        for index, chunk in enumerate(rechunked(content, self._chunk_bytes)):
            if record is not None:
                hasher.update(chunk)
            if index < skipped:
                if record is not None and index + 1 == skipped:
                    _check_same(record, hasher.digest())
                continue
            self._send_chunk(file_id, index, chunk)
            sent += len(chunk)
            if record is not None:
                record.confirm(index + 1, hasher.digest())
            if on_progress is not None:
                on_progress(sent)
        return sent

    def _send_chunk(self, file_id: str, index: int, chunk: bytes) -> None:
        """Send a chunk; a resource that is locked for a moment is waited for."""
        for attempt in range(1, _LOCKED_ATTEMPTS + 1):
            try:
                self._api.upload_chunk(file_id, index, chunk)
            except ServerError as error:
                if error.status != _LOCKED or attempt == _LOCKED_ATTEMPTS:
                    raise
                self._pause(backoff_s(attempt))
            else:
                return

    def _send_by(self, strategy: ResourceUploader, file_id: str, content: Iterable[bytes]) -> int:
        """Let the caller's strategy send; it may count the chunks, and ask for any of them.

        So the content goes through a temporary file, which nothing else does.
        """
        with tempfile.TemporaryDirectory(prefix="anylearn-upload-") as directory:
            path = Path(directory) / "content"
            with path.open("wb") as file:
                for piece in content:
                    _write(file, piece, path)
            chunks = FileChunks(path, self._chunk_bytes)
            strategy.run(file_id, chunks)
            return chunks.total_bytes


def _write(file: BinaryIO, piece: bytes, path: Path) -> None:
    try:
        file.write(piece)
    except OSError as error:
        raise ConfigError(
            f"Cannot write {path}: {error.strerror}; TMPDIR names another place for the archive "
            "that a resource_uploader sends."
        ) from error


def rechunked(content: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Cut a stream into chunks of one size and a last one that is shorter, perhaps empty.

    Examples
    --------
    >>> list(rechunked([b"ab", b"cdef"], 3))
    [b'abc', b'def', b'']
    """
    held = bytearray()
    for piece in content:
        view = memoryview(piece)
        while view:
            taken = view[: size - len(held)]
            held += taken
            view = view[len(taken) :]
            if len(held) == size:
                yield bytes(held)
                held.clear()
    yield bytes(held)


def _check_same(record: Confirmed, digest: bytes) -> None:
    if digest != record.digest():
        raise _OtherBytes
