"""Opening what was seen as a regular file, and is meanwhile perhaps something else."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def open_regular(path: Path) -> io.FileIO:
    """Open a file for reading, unbuffered; never a link's target, and never waiting for a fifo.

    Raises
    ------
    OSError
        It cannot be opened, or is no regular file any more.
    """
    file = io.FileIO(os.open(path, _FLAGS), "rb", closefd=True)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "It is no regular file any more", str(path))
    return file
