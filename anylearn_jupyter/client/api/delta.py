"""Uploads by content-addressed chunks, where the server has the feature ``delta``.

Notes
-----
Source: docs/protocol.md, "delta".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from blake3 import blake3

from anylearn_jupyter.client.api.base import Calls
from anylearn_jupyter.client.api.data import CHUNK_TIMEOUT_S
from anylearn_jupyter.client.decoding import an_object, unexpected
from anylearn_jupyter.client.http import Plain
from anylearn_jupyter.client.replies import decode

RAW_TYPE = "application/octet-stream"
"""The content type of chunks and manifests."""

MANIFEST_PART_BYTES = 1 << 20
"""Bytes of each part in which a manifest is sent."""


_LIMITS = ("chunk_bytes", "body_bytes", "body_chunks", "digests")


class DeltaLimits(NamedTuple):
    """How much a server takes at a time: bytes and chunks of a body, digests of a question.

    `reads_here`: it is the engine on this machine, and reads files that it is told the place of.
    """

    chunk_bytes: int
    body_bytes: int
    body_chunks: int
    digests: int
    reads_here: bool = False


class Lacking(NamedTuple):
    """What a server lacks of what it was asked for, by index, and whether it holds anything."""

    missing: list[int]
    holds_any: bool


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
        reads_here = self.http.is_embedded and told.get("reads_here") is True
        chunk_bytes, body_bytes, body_chunks, digests = (int(one) for one in limits if one)
        return DeltaLimits(chunk_bytes, body_bytes, body_chunks, digests, reads_here)

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

    def delta_read_here(self, upload: str, body: Plain) -> None:
        """Say in which files of this machine chunks are (`DeltaLimits.reads_here`).

        Raises
        ------
        Conflict
            The engine does not find there what it was told of; `delta_send` the bytes.
        """
        self._raw("delta/here", {"upload": upload}, body)

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
