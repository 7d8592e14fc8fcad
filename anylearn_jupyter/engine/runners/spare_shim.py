"""A shim that has been started before its task: the interpreter and its imports are ready.

It waits at a socket for the task's directory and two descriptors: the task's lock, and the file for
the shim's own words. Until then it holds nothing; when the engine ends, however it does, the socket
ends and so does the shim. From then on it is like any other: in a session of its own, known to the
engine by its records and its lock alone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping

from anylearn_jupyter.engine.task_files import TaskFiles

SHIM_MODULE = "anylearn_jupyter.engine.shim"
"""What a shim runs."""

_log = logging.getLogger(__name__)


class SpareShim:
    """At most one shim that waits; every method may be called in any thread.

    Parameters
    ----------
    variables : Mapping
        The environment of a shim.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = dict(variables)
        self._lock = threading.Lock()
        self._waiting: tuple[int, socket.socket] | None = None
        self._closed = False

    def make(self) -> None:
        """Start one, unless one waits."""
        with self._lock:
            if self._waiting is None and not self._closed:
                try:
                    self._waiting = self._start()
                except OSError as error:
                    _log.warning("no spare shim: %s", error)

    def hand_over(self, files: TaskFiles, lock: int, words: int) -> int | None:
        """Give a task to the one that waits.

        Parameters
        ----------
        files : TaskFiles
            The task's.
        lock : int
            The descriptor by which the task's lock is held; the shim gets a copy.
        words : int
            The descriptor that the shim's own words go to; the shim gets a copy.

        Returns
        -------
        int or None
            Its process number; None where none waits, or it has been killed.
        """
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is None:
            return None
        pid, link = waiting
        with link:
            try:
                socket.send_fds(link, [os.fsencode(files.root)], [lock, words])
            except OSError:
                _reap(pid)
                return None
        return pid

    def close(self) -> None:
        """Let the one that waits end."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting[1].close()
            _reap(waiting[0])

    def _start(self) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair()
        nothing = os.open(os.devnull, os.O_WRONLY)
        try:
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-P", "-m", SHIM_MODULE, "--spare"],
                self._variables,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, nothing, 1),
                    (os.POSIX_SPAWN_DUP2, nothing, 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(nothing)
            theirs.close()
        return pid, ours


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
