"""Sending bytes as numbered chunks, in memory near one chunk.

Knows nothing of progress bars, archives or datasets: an iterable of bytes goes in, a callback hears
of each chunk that the server has confirmed. A failure surfaces at once, in the caller's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from anylearn_jupyter.client.api import Api

CHUNK_BYTES = 2_048_000
"""Bytes of each chunk but the last (HTTP API, section 6.3)."""


class Uploader:
    """Sends the content of one resource after another.

    Parameters
    ----------
    api : Api
        The server.
    chunk_bytes : int, default `CHUNK_BYTES`
        For servers of our own only; published ones count on the default.
    """

    def __init__(self, api: Api, *, chunk_bytes: int = CHUNK_BYTES) -> None:
        self._api = api
        self._chunk_bytes = chunk_bytes

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
        sent = 0
        for index, chunk in enumerate(rechunked(content, self._chunk_bytes)):
            self._api.upload_chunk(file_id, index, chunk)
            sent += len(chunk)
            if on_progress is not None:
                on_progress(sent)
        self._api.finish_upload(file_id, purge=purge)
        return sent


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
