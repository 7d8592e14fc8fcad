"""A lock between processes: held by an open file, so that it ends with its process."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anylearn_jupyter.home import make_private_directory


@contextmanager
def locked(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock file for the block.

    Parameters
    ----------
    path : Path
        Made if it is missing, and never removed: removing it would let two hold 'the' lock.
    timeout_s : float
        Seconds to wait for another holder.

    Raises
    ------
    TimeoutError
        Another process held it all that time.

    Notes
    -----
    On Windows nothing is locked; two processes that save at once there keep the later one's file.
    """
    make_private_directory(path.parent)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(handle, path, timeout_s)
        yield
    finally:
        os.close(handle)


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock file at this moment; it is not waited for."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        _take(handle, path, 0.0)
    except TimeoutError:
        return True
    finally:
        os.close(handle)
    return False


def _take(handle: int, path: Path, timeout_s: float) -> None:
    if sys.platform == "win32":
        return
    import fcntl

    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{path} is held by another process") from error
            time.sleep(random.uniform(0.01, 0.04))
        else:
            return
