"""The finished lines of a log that a kernel holds for its cards: the newest, compressed.

The whole log is the server's. What a card's page lacks, because it was loaded again or because
more came than may be sent at once, it asks for by number and gets from here; lines that are older
than what is held are in the full log only.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

HELD_LINES = 100_000
"""Lines that are held of one task, at least the newest block of them."""

HELD_CHARACTERS = 24_000_000
"""Characters that are held of one task, before compression."""

_BLOCK_LINES = 2_000
_BLOCK_CHARACTERS = 65_536


@dataclass(frozen=True, slots=True)
class _Block:
    first: int
    count: int
    characters: int
    packed: bytes

    def lines(self) -> list[str]:
        return zlib.decompress(self.packed).decode("utf-8").split("\n")


class LineStore:
    """Numbered lines, from 0; only the newest are held. Not thread-safe.

    Attributes
    ----------
    total : int
        How many lines there have been: the number of the next one.
    """

    def __init__(self) -> None:
        self.total = 0
        self._blocks: deque[_Block] = deque()
        self._open: list[str] = []
        self._newest: list[str] = []  # the lines of the newest block, which are asked for soonest
        self._open_characters = 0
        self._packed_characters = 0

    @property
    def first(self) -> int:
        """The number of the oldest line that is held; `total` where none is."""
        return self._blocks[0].first if self._blocks else self.total - len(self._open)

    def append(self, lines: Sequence[str]) -> None:
        """Add lines, none of which holds a line end."""
        characters = sum(map(len, lines)) + len(lines)
        if (
            len(self._open) + len(lines) < _BLOCK_LINES
            and self._open_characters + characters < _BLOCK_CHARACTERS
        ):
            self._open += lines
            self._open_characters += characters
            self.total += len(lines)
            return
        for line in lines:
            self._open.append(line)
            self._open_characters += len(line) + 1
            self.total += 1
            if len(self._open) >= _BLOCK_LINES or self._open_characters >= _BLOCK_CHARACTERS:
                self._pack()

    def _pack(self) -> None:
        packed = zlib.compress("\n".join(self._open).encode("utf-8", "replace"), 1)
        first = self.total - len(self._open)
        self._blocks.append(_Block(first, len(self._open), self._open_characters, packed))
        self._packed_characters += self._open_characters
        self._newest, self._open, self._open_characters = self._open, [], 0
        while len(self._blocks) > 1 and (
            self.total - self._blocks[0].first - self._blocks[0].count >= HELD_LINES
            or self._packed_characters > HELD_CHARACTERS
        ):
            self._packed_characters -= self._blocks.popleft().characters

    def read(self, first: int, end: int) -> tuple[int, list[str]]:
        """Give the lines from `first` up to, not with, `end`, as far as they are held.

        Returns
        -------
        tuple
            The number of the first line that is given, and the lines.
        """
        first, end = max(first, self.first), min(end, self.total)
        found: list[str] = []
        if first >= end:
            return first, found
        for block in self._blocks:
            if block.first + block.count > first and block.first < end:
                start = max(first - block.first, 0)
                lines = self._newest if block is self._blocks[-1] else block.lines()
                found += lines[start : end - block.first]
        start = max(first - (self.total - len(self._open)), 0)
        found += self._open[start : max(end - (self.total - len(self._open)), 0)]
        return first, found

    def tail(self, count: int, characters: int) -> tuple[int, list[str]]:
        """Give the newest lines, at most so many and with at most so many characters, but one.

        Returns
        -------
        tuple
            The number of the first line that is given, and the lines.
        """
        first, lines = self.read(self.total - count, self.total)
        room = characters
        for number in range(len(lines) - 1, -1, -1):
            room -= len(lines[number]) + 1
            if room < 0 and number < len(lines) - 1:
                return first + number + 1, lines[number + 1 :]
        return first, lines
