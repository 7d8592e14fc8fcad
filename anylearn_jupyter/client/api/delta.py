"""Uploads by content-addressed chunks, where the server has the feature ``delta``.

Notes
-----
Source: docs/protocol.md, "delta".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from blake3 import blake3

from anylearn_jupyter.client.api.base import Calls
from anylearn_jupyter.client.api.data import CHUNK_TIMEOUT_S
from anylearn_jupyter.client.decoding import an_object, integer, unexpected
from anylearn_jupyter.client.http import Plain
from anylearn_jupyter.client.replies import decode, one_line
from anylearn_jupyter.errors import ServerError

RAW_TYPE = "application/octet-stream"
"""The content type of chunks and manifests."""

MANIFEST_PART_BYTES = 1 << 20
"""Bytes of each part in which a manifest is sent."""


_LIMITS = ("chunk_bytes", "body_bytes", "body_chunks", "digests")


class DeltaLimits(NamedTuple):
    """How much a server takes at a time: bytes and chunks of a body, digests of a question.

    `reads_files`: how many files of this machine it reads itself at a time; 0 unless it is the
    engine on this machine.
    """

    chunk_bytes: int
    body_bytes: int
    body_chunks: int
    digests: int
    reads_files: int = 0


class Lacking(NamedTuple):
    """What a server lacks of what it was asked for, by index, and whether it holds anything."""

    missing: list[int]
    holds_any: bool


class FileTaken(NamedTuple):
    """What became of a file that the engine was to read.

    Attributes
    ----------
    at : int
        Its place in the request.
    digest : bytes
        BLAKE3; empty where the engine has not taken it.
    kept : int
        How many bytes of it were new there.
    """

    at: int
    digest: bytes
    kept: int


class FilesTold(NamedTuple):
    """What the engine has read since it told last: bytes (less than 0: in vain), and files."""

    read: int
    files: list[FileTaken]


class DeltaCalls(Calls):
    """Endpoints of uploads by chunks of content."""

    @property
    def delta(self) -> DeltaLimits | None:
        """The server's limits; None where it has no such feature, or one that we do not know."""
        told = self.capabilities.get("delta")
        if not isinstance(told, dict):
            return None
        limits = [told.get(name) for name in _LIMITS]
        if not all(type(one) is int and one > 0 for one in limits):
            return None
        # No other server is told where something is on this machine.
        reads = told.get("reads_files") if self.http.is_embedded else 0
        reads_files = reads if type(reads) is int and reads > 0 else 0
        chunk_bytes, body_bytes, body_chunks, digests = (int(one) for one in limits if one)
        return DeltaLimits(chunk_bytes, body_bytes, body_chunks, digests, reads_files)

    def delta_lacking(self, digests: Sequence[bytes]) -> Lacking:
        """Ask which of these digests, at most `DeltaLimits.digests`, the server lacks."""
        what = "POST delta/missing"
        form = {"digests": b"".join(digests).hex()}
        found = an_object(self.http.post("delta/missing", form, repeatable=True), what)
        missing = found.get("missing")
        if not isinstance(missing, list) or not all(
            type(one) is int and 0 <= one < len(digests) for one in missing
        ):
            raise unexpected(f"{what}, key 'missing',", "a list of indexes", missing)
        return Lacking(missing, found.get("holds") is not False)

    def delta_send(self, upload: str, body: Plain) -> None:
        """Send chunks: their number, their records, their bytes; twice is as once."""
        self._raw("delta/chunks", {"upload": upload}, body)

    def delta_files(self, upload: str, body: Plain, count: int) -> Iterator[FilesTold]:
        """Have the engine of this machine read files itself (`DeltaLimits.reads_files`).

        Parameters
        ----------
        body : bytes
            Which, as docs/protocol.md says.
        count : int
            How many.

        Yields
        ------
        FilesTold
            Several times a second.

        Raises
        ------
        ServerError
            The engine's disk does not take them.
        ServerUnreachable
            The answer was cut; what was told of is kept there.
        """
        headers = {"Content-Type": RAW_TYPE}
        params = {"upload": upload}
        with self.http.stream(
            "POST", "delta/files", params=params, data=body, headers=headers
        ) as answer:
            for line in answer.lines():
                yield _files_told(line, count)

    def delta_finish(
        self, upload: str, file_id: str, manifest: Iterable[bytes], *, purge: bool = False
    ) -> None:
        """Say what the content of a resource consists of.

        Parameters
        ----------
        manifest : iterable of bytes
            Pieces of any size.

        Raises
        ------
        Conflict
            The server has not (any more) all that the manifest names.

        Notes
        -----
        Repeated if need be: content that was made of it once is made of it again.
        """
        hasher, held, start = blake3(), bytearray(), 0

        def send() -> None:
            nonlocal start
            hasher.update(held)
            self._raw("delta/manifest", {"upload": upload, "start": start}, bytes(held))
            start += len(held)
            held.clear()

        for piece in manifest:
            held += piece
            if len(held) >= MANIFEST_PART_BYTES:
                send()
        send()
        form = {
            "upload": upload,
            "file_id": file_id,
            "bytes": start,
            "digest": hasher.hexdigest(),
            "purge": purge,
        }
        self.http.post("delta/finish", form)

    def delta_drop(self, upload: str) -> None:
        """Say that nobody will finish this upload."""
        self.http.post("delta/drop", {"upload": upload}, repeatable=True)

    def _raw(self, path: str, params: dict[str, Any], body: Plain) -> None:
        decode(
            self.http.exchange(
                "POST",
                path,
                params=params,
                data=body,
                headers={"Content-Type": RAW_TYPE},
                repeatable=True,
                timeout_s=CHUNK_TIMEOUT_S,
            )
        )


def _files_told(line: bytes, count: int) -> FilesTold:
    """Read a line of the answer about so many files."""
    what = "POST delta/files"
    try:
        told = an_object(json.loads(line), what)
    except (ValueError, RecursionError) as error:
        raise unexpected(what, "lines of JSON", line) from error
    if isinstance(told.get("msg"), str):
        raise ServerError(one_line(told["msg"]), 500)
    try:
        files = [FileTaken(at, bytes.fromhex(digest), kept) for at, digest, kept in told["files"]]
    except (KeyError, TypeError, ValueError) as error:
        raise unexpected(f"{what}, key 'files',", "a list of files", told.get("files")) from error
    if not all(type(one.at) is int and 0 <= one.at < count for one in files) or not all(
        len(one.digest) in (0, 32) and type(one.kept) is int for one in files
    ):
        raise unexpected(f"{what}, key 'files',", "a list of files", files)
    return FilesTold(integer(told, "read", what), files)
