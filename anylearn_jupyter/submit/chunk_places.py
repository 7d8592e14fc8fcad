"""Where chunks are on this machine, for an engine that reads them there (`DeltaLimits.reads_here`).

Notes
-----
Source: docs/protocol.md, "delta", ``delta/here``.
"""

from __future__ import annotations

import itertools
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_COUNT = struct.Struct("<L")
_FILE = struct.Struct("<40sQHL")
_CHUNK = struct.Struct("<32sLQ")
_SEEN_BYTES = 40
_LONGEST_PATH = 0xFFFF
_GET_PATH_BYTES = 1024


class Place(NamedTuple):
    """Where a file is, how it was seen when it was opened, and its number in the upload.

    Attributes
    ----------
    path : bytes
        Without links.
    state : bytes
        `data_scan.state_of` it.
    number : int
        The client's own.
    """

    path: bytes
    state: bytes
    number: int


class PlacedChunk(NamedTuple):
    """A chunk of a file."""

    place: Place
    digest: bytes
    size: int
    start: int


def place_of(handle: int, state: bytes, number: int) -> Place | None:
    """Give where an open file is; None where the system does not tell."""
    try:
        if sys.platform == "linux":
            path = os.fsencode(Path(f"/proc/self/fd/{handle}").readlink())
        elif sys.platform == "darwin":
            import fcntl

            found = fcntl.fcntl(handle, fcntl.F_GETPATH, bytes(_GET_PATH_BYTES))
            path = found.rstrip(b"\0")
        else:
            return None
    except OSError:
        return None
    return Place(path, state, number) if len(path) <= _LONGEST_PATH else None


def places_body(chunks: Sequence[PlacedChunk]) -> bytes:
    """Make the body that says where chunks are; those of one file follow each other."""
    parts = [b""]
    count = 0
    for place, group in itertools.groupby(chunks, key=lambda chunk: chunk.place):
        some = list(group)
        seen = place.state[:_SEEN_BYTES]
        parts.append(_FILE.pack(seen, place.number, len(place.path), len(some)))
        parts.append(place.path)
        parts += [_CHUNK.pack(one.digest, one.size, one.start) for one in some]
        count += 1
    parts[0] = _COUNT.pack(count)
    return b"".join(parts)
