"""The chunks of a file, as a caller's own strategy for uploads wants them: a list, read lazily."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

from anylearn_jupyter.errors import DataError, OptionError

CHUNK_BYTES = 2_048_000
"""Bytes of each chunk but the last (HTTP API, section 6.3)."""


class FileChunks(Sequence[bytes]):
    """The chunks of a file: their number is known at once, each is read when it is asked for.

    Parameters
    ----------
    path : Path
        The file; each reading opens it.
    size : int
        Bytes of each chunk but the last.

    Raises
    ------
    OptionError
        There is no such file, or `size` is none.

    Notes
    -----
    Source: HTTP API, section 6.3: ``size // chunk + 1`` of them, so the last may be empty.
    """

    def __init__(self, path: Path, size: int = CHUNK_BYTES) -> None:
        if size < 1:
            raise OptionError(f"chunk_size={size!r} is no number of bytes above 0.")
        if not path.is_file():
            what = "is a directory" if path.is_dir() else "does not exist"
            raise OptionError(f"{str(path)!r} {what}; name a file, such as a zip archive.")
        self.path = path
        self.size = size
        self.total_bytes = path.stat().st_size

    def __len__(self) -> int:
        """Count the chunks."""
        return self.total_bytes // self.size + 1

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> list[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | list[bytes]:
        """Read one chunk, or some.

        Raises
        ------
        DataError
            The file cannot be read, or is shorter than it was.
        """
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        wanted = min(self.size, self.total_bytes - place * self.size)
        try:
            with self.path.open("rb") as file:
                file.seek(place * self.size)
                found = file.read(wanted)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}.") from error
        if len(found) != wanted:
            raise DataError(f"{self.path} changed while it was being sent; send it again.")
        return found
