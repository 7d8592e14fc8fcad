"""Cutting content where it says so itself, so that an insertion moves the cuts along with it.

In a window behind the smallest size of a chunk, the pieces between line ends (or, in content
without them, between zero bytes) are compared, and the cut is in front of the greatest one. Which
one that is depends on the bytes in the window alone: two readings of the same bytes that begin in
different places come to the same cut as soon as both have it in their window, most often with the
first chunk after a change. `bytes.split`, `max` and `find` do it in C, at the speed of memory.

Where the greatest piece occurs more than once (short lines, records), the pieces between its
occurrences are compared in turn. What has no such mark at all is cut at the end of the window.

Notes
-----
Source: docs/protocol.md, "delta"; docs/performance.md has the measurements.
"""

from __future__ import annotations

SMALLEST_BYTES = 1344 << 10
"""No chunk but the last of a file is smaller."""

LARGEST_BYTES = SMALLEST_BYTES + (576 << 10)
"""No chunk is larger."""

_SEPARATORS = (b"\n", b"\0")
_SAMPLE_BYTES = 4096
_MANY = 1 << 15
_ENOUGH = 64
_DEPTH = 3
_SURELY_ONE = 64
_ZEROS = bytes(LARGEST_BYTES - SMALLEST_BYTES)


def cut(content: memoryview, smallest: int = SMALLEST_BYTES, largest: int = LARGEST_BYTES) -> int:
    """Give the size of the first chunk of some content.

    Parameters
    ----------
    content : memoryview
        More than `largest` bytes of it, or all that there is.
    smallest, largest : int
        Bytes of a chunk.
    """
    if len(content) <= largest:
        return len(content)
    window = bytes(content[smallest:largest])
    if window == _ZEROS[: largest - smallest]:
        return largest
    for separator in _SEPARATORS:
        found = _greatest(window, separator)
        if found is not None:
            return smallest + found
    return largest


def _greatest(window: bytes, separator: bytes) -> int | None:
    """Give where the greatest piece between separators begins; None where none stands out."""
    mark = separator
    pieces = window.split(mark)
    if len(pieces) > _MANY:
        mark = _rarer(window, separator)
        pieces = window.split(mark)
    for _ in range(_DEPTH):
        greatest = max(pieces[1:-1], default=b"")
        if not greatest:
            return None
        within = mark + greatest + mark
        first = window.find(within)
        if len(greatest) >= _SURELY_ONE or window.find(within, first + 1) < 0:
            return first + len(mark)
        mark = within
        pieces = window.split(mark)
    return None


def _rarer(window: bytes, separator: bytes) -> bytes:
    """Give a longer separator for content that has many, such as lines of one digit.

    It has the greatest piece of a sample in it, if that occurs often enough.
    """
    greatest = max(window[:_SAMPLE_BYTES].split(separator)[1:-1], default=b"")
    longer = separator + greatest + separator
    return longer if window.count(longer) >= _ENOUGH else separator
