"""What a server has confirmed of an upload by numbered chunks, kept in the ledger.

A server says nothing of the chunks that it has. So each one that it confirmed is written down, and
after a kernel that died, a network that went or a login that ended, the upload goes on behind it.
The same content makes the same bytes again only under the same format, and seldom not even then
(see `archive`): so the format is part of the record, with a digest of what was confirmed, and where
either is another one the upload begins anew.

Notes
-----
Source: issue "Everything quick_train can do", item 5; faults A5 and D2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from anylearn_jupyter.submit.ledger import Ledger

_SEPARATOR = "\n"
"""Between the format and the digest, which share a column."""


class _Row(NamedTuple):
    content: str
    format: str
    digest: str
    chunks: int


@dataclass(frozen=True)
class UploadRecord:
    """One upload.

    Parameters
    ----------
    ledger : Ledger
        Where it is kept.
    server, user_id, resource_id : str
        Where to, as whom, and for what.
    content, format : str
        What is sent, and as which bytes.
    """

    ledger: Ledger
    server: str
    user_id: str
    resource_id: str
    content: str
    format: str

    def confirmed(self) -> int:
        """Give how many chunks need not be sent, from the first one on."""
        found = self._found()
        return found.chunks if self._is_of_this(found) else 0

    def digest(self) -> bytes:
        """Give the BLAKE3 of the bytes of those chunks; empty where there are none."""
        found = self._found()
        return bytes.fromhex(found.digest) if self._is_of_this(found) else b""

    def confirm(self, chunks: int, digest: bytes) -> None:
        """Write down that so many chunks have been confirmed, and the BLAKE3 of their bytes."""
        kept = f"{self.format}{_SEPARATOR}{digest.hex()}"
        with self.ledger.transaction() as change:
            change.execute(
                "INSERT OR REPLACE INTO upload VALUES (?, ?, ?, ?, ?, ?)",
                (*self._key, self.content, kept, chunks),
            )

    def forget(self) -> None:
        """Drop what is written down: the upload is finished, or begins anew."""
        with self.ledger.transaction() as change:
            change.execute(
                "DELETE FROM upload WHERE server = ? AND user_id = ? AND resource_id = ?",
                self._key,
            )

    def is_of_another_format(self) -> bool:
        """Whether chunks have been confirmed that would not fit those of this upload."""
        found = self._found()
        return bool(found.chunks) and not self._is_of_this(found)

    def _is_of_this(self, found: _Row) -> bool:
        return (found.content, found.format) == (self.content, self.format)

    def _found(self) -> _Row:
        with self.ledger.transaction() as change:
            row = change.execute(
                "SELECT content, format, chunks FROM upload WHERE server = ? AND user_id = ? "
                "AND resource_id = ?",
                self._key,
            ).fetchone()
        if row is None:
            return _Row("", "", "", 0)
        kind, _, digest = row["format"].partition(_SEPARATOR)
        return _Row(row["content"], kind, digest, int(row["chunks"]))

    @property
    def _key(self) -> tuple[str, str, str]:
        return self.server, self.user_id, self.resource_id
