"""What a server has confirmed of an upload by numbered chunks, kept in the ledger.

A server says nothing of the chunks that it has. So each one that it confirmed is written down, and
after a kernel that died, a network that went or a login that ended, the upload goes on behind it.
What is counted on is that the same content makes the same bytes again: the format is part of the
record, and under another one the upload begins anew.

Notes
-----
Source: issue "Everything quick_train can do", item 5; faults A5 and D2.
"""

from __future__ import annotations

from dataclasses import dataclass

from anylearn_jupyter.submit.ledger import Ledger


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
        with self.ledger.transaction() as change:
            row = change.execute(
                "SELECT chunks FROM upload WHERE server = ? AND user_id = ? AND resource_id = ? "
                "AND content = ? AND format = ?",
                (*self._key, self.content, self.format),
            ).fetchone()
        return 0 if row is None else int(row["chunks"])

    def confirm(self, chunks: int) -> None:
        """Write down that so many chunks have been confirmed."""
        with self.ledger.transaction() as change:
            change.execute(
                "INSERT OR REPLACE INTO upload VALUES (?, ?, ?, ?, ?, ?)",
                (*self._key, self.content, self.format, chunks),
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
        with self.ledger.transaction() as change:
            row = change.execute(
                "SELECT content, format FROM upload WHERE server = ? AND user_id = ? "
                "AND resource_id = ?",
                self._key,
            ).fetchone()
        return row is not None and (row["content"], row["format"]) != (self.content, self.format)

    @property
    def _key(self) -> tuple[str, str, str]:
        return self.server, self.user_id, self.resource_id
