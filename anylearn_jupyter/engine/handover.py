"""How a shim comes by its task: the directory, and the lock that tells that it lives.

The shim imports this module, once a task, so it imports nothing heavy.
"""

from __future__ import annotations

import fcntl
import os

from anylearn_jupyter.engine.processes import Process, system
from anylearn_jupyter.engine.task_files import TaskFiles

LOCK_DESCRIPTOR = 3
"""Where the lock is, if it was taken for us."""

_PATH_BYTES = 1 << 13


def hold_lock(files: TaskFiles, locked: bool) -> bool:
    """Hold the task's lock for the life of this process; False if another shim has the task."""
    if locked:
        os.set_inheritable(LOCK_DESCRIPTOR, False)
        return True
    handle = os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def receive_task() -> list[str]:
    """Wait at the standard input for a task, and be the shim that was started for it.

    Returns
    -------
    list of str
        The arguments for `main`; empty where the engine has ended without a task for us.
    """
    import socket

    # For what these import: later there is no time for that.
    system.become_subreaper()
    Process.find(os.getpid())
    with socket.socket(fileno=os.dup(0)) as link:
        data, handles, _, _ = socket.recv_fds(link, _PATH_BYTES, 2)
    if not data:
        return []
    lock, words = handles
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(words, 1)
    os.dup2(words, 2)
    os.dup2(lock, LOCK_DESCRIPTOR)
    return [os.fsdecode(data), "--locked"]
