"""The digests of a dataset's files, a folder at a time, and the fingerprint that they make.

Nothing is done for each file of a folder in which nothing has changed: its digests stay in one
piece, and so do its records in the fingerprint.
"""

from __future__ import annotations

from collections.abc import Sequence

from blake3 import blake3

from anylearn_jupyter.submit.data_scan import Folder, cut, parents_in
from anylearn_jupyter.submit.folder_work import DIGEST_BYTES, UNREAD
from anylearn_jupyter.submit.stat_cache import Known, KnownFolder

_PLAIN = "\0000\0"
_EXECUTABLE = "\0001\0"


class FolderDigests:
    """A digest for each file, from what is known or from the file.

    Parameters
    ----------
    folders : sequence of Folder
        As they were seen.
    known : Known or None
        What is known of them from before.
    """

    def __init__(self, folders: Sequence[Folder], known: Known | None) -> None:
        self._folders = folders
        self._known = [known.unchanged(one) if known is not None else None for one in folders]
        self._cut: dict[int, list[bytes]] = {}
        self._made: dict[int, bytes] = {}
        for number, folder in enumerate(folders):
            if self._known[number] is None:
                empty = [b""] * folder.files
                self._cut[number] = known.digests(folder) if known is not None else empty

    def __getitem__(self, number: int) -> list[bytes]:
        """Give those of a folder of the scan, to be changed; empty where a file is to be read."""
        known = self._known[number]
        if number not in self._cut and known is not None:
            self._cut[number] = cut(known.digests, DIGEST_BYTES)
        return self._cut[number]

    def touched(self) -> list[int]:
        """Give the folders of which something has changed, or of which somebody has asked."""
        return sorted(self._cut)

    def same(self, number: int) -> KnownFolder | None:
        """Give what is known of a folder if nothing of it is to be said that is new."""
        known = self._known[number]
        if known is None or number not in self._cut or self.joined(number) == known.digests:
            return known
        return None

    def joined(self, number: int) -> bytes:
        """Give those of a folder, one after the other, `UNREAD` for what is to be read."""
        known = self._known[number]
        if number not in self._cut and known is not None:
            return known.digests
        digests = self._cut[number]
        if b"" not in digests:
            return b"".join(digests)
        return b"".join([digest or UNREAD for digest in digests])

    def records(self) -> list[bytes]:
        """Give the records of all files, in pieces that are in the order of the fingerprint.

        Those of a folder are one piece, but where other folders in it come in between.
        """
        parents = parents_in(self._folders)
        pieces: list[bytes] = []
        for number, folder in enumerate(self._folders):
            if folder.prefix in parents:
                records = self._records(number)
                pieces += [f"{folder.prefix}{record}\n".encode() for record in records]
            else:
                pieces.append(self._joined_records(number))
        # UTF-8 keeps the order of the characters.
        pieces.sort()
        return pieces

    def joined_records(self, number: int) -> bytes:
        """Give the records of a folder, as they were when `records` was called; maybe nothing."""
        return self._made.get(number, b"")

    def _joined_records(self, number: int) -> bytes:
        known, folder = self.same(number), self._folders[number]
        if known is not None and known.records:
            return known.records
        # No name has anything that sorts before a NUL.
        records = sorted(self._records(number))
        between = f"\n{folder.prefix}"
        self._made[number] = f"{folder.prefix}{between.join(records)}\n".encode()
        if known is not None:
            known.records = self._made[number]
        return self._made[number]

    def _records(self, number: int) -> list[str]:
        """Give the record of each file, without its folder and its end; little is done for each."""
        folder = self._folders[number]
        ends = self.joined(number).hex("\n", DIGEST_BYTES).replace("\n", f"\n{_PLAIN}")
        records = list(map(str.__add__, folder.names, f"{_PLAIN}{ends}".split("\n")))
        for at in folder.executables():
            digest = records[at][-2 * DIGEST_BYTES :]
            records[at] = f"{folder.names[at]}{_EXECUTABLE}{digest}"
        return records


def fingerprint_of(digests: FolderDigests) -> str:
    """Make the fingerprint of the records, in the form that `fingerprint`'s docstring defines."""
    # In one piece, as BLAKE3 is slower by half with pieces of any length.
    return f"fp1:{blake3(b''.join(digests.records())).hexdigest()}"
