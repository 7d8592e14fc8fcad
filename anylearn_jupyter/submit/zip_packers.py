"""Who packs the files of a zip: the caller, threads beside it, or helper processes.

A group of files of a few kilobytes is packed by the caller, and where there are many by helpers
too: Python's lock is one, and threads that read small files wait for it and for each other. What is
larger is packed by two threads, as ISA-L does not need the lock. Who packs changes no byte.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import cast

from anylearn_jupyter.submit.fingerprint import Entry
from anylearn_jupyter.submit.folder_work import FILE_FLAGS, PACK
from anylearn_jupyter.submit.helper_processes import Helpers, Job, helpers
from anylearn_jupyter.submit.zip_work import VERSION, Packed, deflated_block, pack

HELPED_BYTES = 1 << 23
"""Bytes of small files that are packed before a helper is started, which takes as long."""

SMALL_BYTES = 1 << 15
"""Mean size of a group's files up to which two threads take longer than one, by measurement."""

_THREADS = 2


@contextmanager
def packers(read: Callable[[Entry], bytes]) -> Iterator[Packers]:
    """Give who packs the files of one zip.

    Parameters
    ----------
    read : callable
        Gives the content of a small file, or raises what is wrong with it.
    """
    threads = ThreadPoolExecutor(_THREADS, "anylearn-zip")
    try:
        with helpers(lambda piece: None) as beside:
            yield Packers(read, threads, beside)
    finally:
        threads.shutdown(cancel_futures=True)


class Packers:
    """Who packs the files of one zip; asked from one thread. See `packers`."""

    def __init__(
        self, read: Callable[[Entry], bytes], threads: ThreadPoolExecutor, beside: Helpers
    ) -> None:
        self._read = read
        self._threads = threads
        self._beside = beside
        self._small_bytes = 0
        self._helped = False
        self._keys = 0
        self._unasked: deque[int] = deque()
        self._unhelped: deque[int] = deque()
        self._groups: dict[int, list[Entry]] = {}
        self._packed: dict[int, Packed] = {}

    def group(self, group: list[Entry]) -> Callable[[], Packed]:
        """Have small files packed; what is given waits for it, and is called in the same order."""
        size = sum(entry.size for entry in group)
        if size > SMALL_BYTES * len(group):
            return self._threads.submit(pack, group, self._read).result
        self._small_bytes += size
        if not self._helped and self._small_bytes > HELPED_BYTES:
            self._helped = True
            self._beside.start()
        self._keys += 1
        self._groups[self._keys] = group
        self._unasked.append(self._keys)
        self._ask()
        return partial(self._result, self._keys)

    def block(self, block: bytes) -> Future[bytes]:
        """Have a block of a large file packed."""
        return self._threads.submit(deflated_block, block)

    def _ask(self) -> None:
        """Give helpers what they take."""
        while self._unasked and self._beside.has_room():
            key = self._unasked.popleft()
            files = [tuple(entry) for entry in self._groups[key]]
            self._beside.give(Job(key, (PACK, VERSION, FILE_FLAGS, files)))

    def _result(self, key: int) -> Packed:
        """Wait for a group, and pack another meanwhile."""
        self._hear(wait=False)
        while key not in self._packed:
            if mine := self._unhelped or self._unasked:
                own = mine.popleft()
                self._packed[own] = pack(self._groups.pop(own), self._read)
                self._hear(wait=False)
            else:
                self._hear(wait=True)
        return self._packed.pop(key)

    def _hear(self, *, wait: bool) -> None:
        """Take what helpers have packed; what they have not is the next to be packed here."""
        for key, answer in self._beside.answers(wait=wait):
            if answer is None:
                self._unhelped.append(key)
            else:
                del self._groups[key]
                self._packed[key] = cast("Packed", answer)
        self._ask()
