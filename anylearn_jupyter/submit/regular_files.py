"""Opening what was seen as a regular file, and is meanwhile perhaps something else."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

from anylearn_jupyter.submit.folder_work import FILE_FLAGS

YOUNG_NS = 2_000_000_000
"""The coarsest grain of a file's times: that of FAT."""


def is_young(found: os.stat_result, read_ns: int) -> bool:
    """Whether an edit right after the reading might leave a file's times as they are.

    Git's rule for its index: within the grain of the clock two edits have one time, so what was
    read of such a file is not to be believed later.

    Parameters
    ----------
    found : os.stat_result
        The file as it was read.
    read_ns : int
        When the reading began, in nanoseconds since 1970.
    """
    return is_young_time(max(found.st_mtime_ns, found.st_ctime_ns), read_ns)


def is_young_time(latest_ns: int, read_ns: int) -> bool:
    """Do as `is_young`, of the later of a file's times."""
    return latest_ns + YOUNG_NS >= read_ns


def open_seen(path: str) -> tuple[int, os.stat_result]:
    """Open a file as `open_regular` does, and give its descriptor and what it is.

    For many small files: it costs half of what a file object does.

    Raises
    ------
    OSError
        It cannot be opened, or is no regular file any more.
    """
    handle = os.open(path, FILE_FLAGS)
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "It is no regular file any more", path)
    return handle, found


def open_regular(path: Path | str) -> io.FileIO:
    """Open a file for reading, unbuffered; never a link's target, and never waiting for a fifo.

    Raises
    ------
    OSError
        It cannot be opened, or is no regular file any more.
    """
    file = io.FileIO(os.open(path, FILE_FLAGS), "rb", closefd=True)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "It is no regular file any more", str(path))
    return file
