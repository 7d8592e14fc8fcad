"""Which names of files a server can unpack on any system; looked at before anything is sent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit.data_scan import Folder

_MAX_NAME_BYTES = 255
_MAX_PATH_LENGTH = 3000
_DRIVE = re.compile(r"[^/]:")


def check_folders(folders: Sequence[Folder]) -> None:
    """Do as `check_paths`, with the names of a dataset; of plain ones nothing is done for each."""
    if not all(_is_plain(folder) for folder in folders):
        check_paths(folder.prefix + name for folder in folders for name in folder.names)


def _is_plain(folder: Folder) -> bool:
    """Whether nothing can be wrong with the names: no capitals, no accents, nothing special."""
    text = folder.prefix.encode() + folder.joined_names
    return (
        text.isascii()
        and text == text.lower()
        and b"\\" not in text
        and b":" not in text
        and len(folder.prefix) + _MAX_NAME_BYTES <= _MAX_PATH_LENGTH
        and max(map(len, text.split(b"/"))) <= _MAX_NAME_BYTES
    )


def check_paths(paths: Iterable[str]) -> None:
    """Refuse names that a server cannot unpack.

    Parameters
    ----------
    paths : iterable of str
        Relative, with ``/``.

    Raises
    ------
    DataError
        A backslash or a drive in a name, a name that is too long, or two that differ in case or
        accents only.

    Notes
    -----
    Source: faults E11 and E12.
    """
    spelled: dict[str, str] = {}
    for path in paths:
        _check_one(path)
        at = len(path)
        while at > 0:
            part = path[:at]
            folded = (
                part.lower() if part.isascii() else unicodedata.normalize("NFC", part).casefold()
            )
            known = spelled.setdefault(folded, part)
            if known != part:
                raise DataError(
                    f"{known!a} and {part!a} differ in case or accents only, which a server "
                    "refuses to unpack; rename one."
                )
            at = path.rfind("/", 0, at)


def _check_one(path: str) -> None:
    if "\\" in path or _DRIVE.match(path):
        raise DataError(
            f"The name {path!r} has a backslash or a drive, which a server refuses to unpack; "
            "rename the file."
        )
    if len(path) <= _MAX_NAME_BYTES // 4:
        return
    too_long = any(len(part.encode()) > _MAX_NAME_BYTES for part in path.split("/"))
    if too_long or len(path) > _MAX_PATH_LENGTH:
        raise DataError(f"The name {path[:80]!r}… is too long for a server; shorten it.")
