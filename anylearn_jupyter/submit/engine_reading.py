"""Files that the engine on this machine reads itself, in place of being read here and sent.

The engine is told where files are and how they were seen, reads each once, and says its digest:
that is the reading of the fingerprint, too, and next to nothing is left to do here. What it does
not take, as it cannot read it or as it has changed, is read here.

Notes
-----
Source: docs/protocol.md, "delta", ``delta/files``.
"""

from __future__ import annotations

import itertools
import os
import struct
import time
from collections.abc import Iterator
from typing import NamedTuple

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.pace import backoff_s
from anylearn_jupyter.errors import ServerUnreachable
from anylearn_jupyter.submit.data_scan import size_in
from anylearn_jupyter.submit.file_reading import Content, FileAt, Tell
from anylearn_jupyter.submit.folder_work import STATE
from anylearn_jupyter.submit.regular_files import is_young_time

TRIES = 4
"""How often an answer may be cut before anything more has come of it."""

_COUNT = struct.Struct("<L")
_FILE = struct.Struct("<40sH")
_SEEN_BYTES = 40
_LONGEST_PATH = 4096


class Read(NamedTuple):
    """A file that the engine has read, and how many bytes of it were new there."""

    file: FileAt
    content: Content
    kept: int


def read_by_engine(
    api: Api, upload: str, files: Iterator[FileAt], at_once: int, tell: Tell
) -> Iterator[Read]:
    """Have the engine read files into an upload, and give those that it has taken.

    Parameters
    ----------
    api : Api
        The engine on this machine.
    upload : str
        The upload's name there.
    files : iterator of FileAt
        Which; their states as they were seen.
    at_once : int
        How many it takes at a time.
    tell : callable
        ``tell(bytes)``, while it reads.

    Raises
    ------
    ServerUnreachable
        It went away, and did not come back.
    """
    fit = (one for one in files if len(os.fsencode(one.place)) <= _LONGEST_PATH)
    while some := list(itertools.islice(fit, at_once)):
        yield from _Request(api, upload, some, tell).answers()


class _Request:
    """Some files that the engine is asked to read, again if the answer is cut."""

    def __init__(self, api: Api, upload: str, files: list[FileAt], tell: Tell) -> None:
        self._api = api
        self._upload = upload
        self._files = files
        self._tell = tell
        self._untold = 0

    def answers(self) -> Iterator[Read]:
        """Ask until there is an answer about each file."""
        cuts = 0
        while self._files:
            asked = len(self._files)
            try:
                yield from self._asked_once()
            except ServerUnreachable:
                self._tell(-self._untold)
                cuts = cuts + 1 if len(self._files) == asked else 1
                if cuts == TRIES:
                    raise
                time.sleep(backoff_s(cuts))
            else:
                return

    def _asked_once(self) -> Iterator[Read]:
        """Ask about the files of which nothing has been said yet."""
        asked, began_ns = self._files, time.time_ns()
        open_ = dict(enumerate(asked))
        self._untold = 0
        try:
            for told in self._api.delta_files(self._upload, body_of(asked), len(asked)):
                self._untold += told.read
                self._tell(told.read)
                for at, digest, kept in told.files:
                    file = open_.pop(at, None)
                    if file is not None and digest:
                        state = file.spot.state
                        self._untold -= size_in(state)
                        yield Read(file, Content(state, digest, _is_young(state, began_ns)), kept)
        finally:
            self._files = list(open_.values())


def _is_young(state: bytes, began_ns: int) -> bool:
    _, modified_ns, changed_ns, *_ = STATE.unpack(state)
    return is_young_time(max(modified_ns, changed_ns), began_ns)


def body_of(files: list[FileAt]) -> bytes:
    """Say where files are, and how they were seen."""
    parts = [_COUNT.pack(len(files))]
    for file in files:
        path = os.fsencode(file.place)
        parts += [_FILE.pack(file.spot.state[:_SEEN_BYTES], len(path)), path]
    return b"".join(parts)
