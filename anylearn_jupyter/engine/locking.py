"""Looking whether a lock file is held, without holding it for longer than the look."""

from __future__ import annotations

import fcntl
import os


def is_held(handle: int) -> bool:
    """Whether somebody holds the lock of this open file; it is closed."""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
