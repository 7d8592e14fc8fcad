"""Helper processes: what lists, reads and packs files beside this one, as Python's lock is one.

A helper is an interpreter with nothing but `folder_work` and BLAKE3, and for a zip `zip_work` and
ISA-L. It lives for one walk, one reading or one zip, ends with this process however that ends, and
is never needed: what it was given and does not do, because it could not start, is of another
version, died, or is silent for long, is done here.

Notes
-----
Source: guide "performance", A: threads lose on small files. Measured on 50,000 files: reading and
hashing by two processes takes 0.95 of what one takes for reading alone.
"""

from __future__ import annotations

import contextlib
import logging
import marshal
import os
import select
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import blake3
import isal

from anylearn_jupyter.submit import folder_work
from anylearn_jupyter.submit.folder_work import GREETING, LENGTH, packed

MOST_HELPERS = 3
"""How many processes read beside this one, at most; with more, the disk is the limit."""

PATIENCE_S = 1.0
"""Seconds of silence, while nothing else is left to do, after which a helper is given up."""

_AHEAD_WEIGHT = 8 << 20
_PIPE_BYTES = 1 << 16
_ANSWERS_BYTES = 1 << 20
_MAIN = """
import sys
sys.path += sys.argv[1:]
import folder_work

def pack(*asked):
    from zip_work import pack_asked  # with ISA-L, which listing and reading do not need

    return pack_asked(*asked)

folder_work.serve(0, 1, pack)
"""

_log = logging.getLogger(__name__)


class Job(NamedTuple):
    """Something to be done by a helper.

    Attributes
    ----------
    key : int
        What it is to who asked.
    request : tuple
        As `folder_work` takes it.
    weight : int
        Its bytes; what is heavy is not given in advance.
    """

    key: int
    request: tuple[object, ...]
    weight: int = 0


class Helpers:
    """The helpers of one walk, one reading or one zip; none of them has been started.

    Parameters
    ----------
    tell : callable
        ``tell(bytes)``, of what they read; negative where it came to nothing.
    """

    def __init__(self, tell: Callable[[int], object]) -> None:
        self._tell = tell
        self._running: list[_Helper] = []

    def start(self) -> None:
        """Start one for each processor that is left, up to `MOST_HELPERS`."""
        # A program that embeds Python is no interpreter, and would perhaps open a window.
        if not Path(sys.executable or "").name.startswith("python"):
            return
        for _ in range(min(processors() - 1, MOST_HELPERS)):
            try:
                self._running.append(_Helper())
            except OSError as error:
                _log.debug("No helper can be started: %s", error)
                break

    @property
    def busy(self) -> bool:
        """Whether an answer is awaited."""
        return any(one.given for one in self._running)

    def has_room(self, weight: int = 0) -> bool:
        """Whether a job of this weight would be taken."""
        return any(one.has_room(weight) for one in self._running)

    def give(self, job: Job) -> None:
        """Give a job, for which there is room, to the one that has least to do."""
        able = (one for one in self._running if one.has_room(job.weight))
        min(able, key=lambda one: len(one.given)).give(job)

    def answers(self, *, wait: bool = False) -> list[tuple[int, object]]:
        """Take what was answered meanwhile; None where it has to be done here.

        Parameters
        ----------
        wait : bool
            Wait for something, as there is nothing else to do. Who is silent for long is given up.
        """
        found: list[tuple[int, object]] = []
        if wait and self.busy and not self._heard():
            for one in [one for one in self._running if one.given]:
                found += self._given_up(one, "is silent")
        for one in list(self._running):
            try:
                one.send()
                messages = one.messages()
            except (OSError, EOFError, ValueError, TypeError) as error:
                found += self._given_up(one, str(error) or "has ended")
                continue
            for message in messages:
                if isinstance(message, int):
                    one.told += message
                    self._tell(message)
                elif one.given:
                    one.told = 0
                    found.append((one.given.popleft().key, message))
        return found

    def _heard(self) -> bool:
        """Wait until one of those that have something to do can be read or written."""
        poll = select.poll()
        for one in self._running:
            one.watch(poll)
        return bool(poll.poll(PATIENCE_S * 1000))

    def _given_up(self, one: _Helper, why: str) -> list[tuple[int, object]]:
        _log.debug("A helper process is given up: %s", why)
        self._running.remove(one)
        one.end()
        self._tell(-one.told)
        return [(job.key, None) for job in one.given]

    def end(self) -> None:
        """End them, whatever they are doing."""
        for one in self._running:
            one.end()
        self._running.clear()


class _Helper:
    """One process.

    Attributes
    ----------
    given : deque of Job
        What it has not answered yet.
    told : int
        Bytes of the first of them that it has told of.
    """

    def __init__(self) -> None:
        # A group of its own: an interrupt from the keyboard is for this process.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _MAIN, *_places()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            process_group=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asks, self._says = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._widen()
        # Neither waits for the other, so that two full pipes are no knot.
        os.set_blocking(self._asks, False)
        os.set_blocking(self._says, False)
        self._outgoing = b""
        self._incoming = bytearray()
        self._greeted = False
        self.given: deque[Job] = deque()
        self.told = 0

    def _widen(self) -> None:
        """Let a helper go on with the next job while this process does something of its own."""
        if sys.platform == "linux":
            import fcntl

            # Who has too many wide pipes already is given no more, and waits now and then.
            with contextlib.suppress(PermissionError):
                fcntl.fcntl(self._says, fcntl.F_SETPIPE_SZ, _ANSWERS_BYTES)

    def has_room(self, weight: int) -> bool:
        if len(self.given) != 1:
            return not self.given
        return self.given[0].weight + weight <= _AHEAD_WEIGHT

    def give(self, job: Job) -> None:
        self.given.append(job)
        self._outgoing += packed(job.request)
        # Its end, if it has ended, is found out where its answers are taken.
        with contextlib.suppress(OSError):
            self.send()

    def send(self) -> None:
        """Write what the pipe takes of what is to be asked."""
        with contextlib.suppress(BlockingIOError):
            while self._outgoing:
                self._outgoing = self._outgoing[os.write(self._asks, self._outgoing) :]

    def messages(self) -> list[object]:
        """Take the whole messages that have come."""
        with contextlib.suppress(BlockingIOError):
            while True:
                piece = os.read(self._says, _PIPE_BYTES)
                if not piece:
                    raise EOFError
                self._incoming += piece
        found: list[object] = []
        at = 0
        while len(self._incoming) - at >= LENGTH.size:
            end = at + LENGTH.size + LENGTH.unpack_from(self._incoming, at)[0]
            if len(self._incoming) < end:
                break
            found.append(marshal.loads(memoryview(self._incoming)[at + LENGTH.size : end]))
            at = end
        del self._incoming[:at]
        if found and not self._greeted:
            if found.pop(0) != GREETING:
                raise ValueError("it is no helper of this version")
            self._greeted = True
        return found

    def watch(self, poll: select.poll) -> None:
        poll.register(self._says, select.POLLIN)
        if self._outgoing:
            poll.register(self._asks, select.POLLOUT)

    def end(self) -> None:
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()


def _places() -> list[str]:
    """Give the directories that a helper imports from: of `folder_work`, BLAKE3 and ISA-L."""
    found = {Path(str(module.__file__)).parent.parent: None for module in (blake3, isal)}
    return [str(Path(folder_work.__file__).parent), *map(str, found)]


def processors() -> int:
    """Give how many processors this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def helpers(tell: Callable[[int], object]) -> Iterator[Helpers]:
    """Give helpers for a walk, a reading or a zip, to be started when it is worth it."""
    beside = Helpers(tell)
    try:
        yield beside
    finally:
        beside.end()
