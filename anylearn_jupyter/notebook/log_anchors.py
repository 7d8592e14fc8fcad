"""Where in a log its lines are: so that any of them can be read again from the server.

The views number the lines of a terminal: a bar that rewrites its line is one, a report of a metric
is none. Which place of the server's log a number is at only somebody knows who has read everything
before it; the kernel has, once, and keeps a few places: how many lines there were, the cursor, and
the terminal's state. From the last place before a line on, reading again gives the same lines with
the same numbers.
"""

from __future__ import annotations

import copy
from bisect import bisect_right
from dataclasses import dataclass

from anylearn_jupyter.client.follow import START, Cursor
from anylearn_jupyter.notebook.terminal import TerminalText

SPACING = 131_072
"""Characters of a log between two places, at least."""

MAX_ANCHORS = 4_096
"""Places that are kept; past that every second one goes."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A place in a log.

    Attributes
    ----------
    line : int
        How many lines are finished before it.
    cursor : Cursor
        Where the server's log goes on from it.
    terminal : TerminalText
        The state there; copied before it is fed.
    """

    line: int
    cursor: Cursor
    terminal: TerminalText


class Anchors:
    """The places that are kept of one log; in order, the beginning always among them."""

    def __init__(self) -> None:
        self._places = [Anchor(0, START, TerminalText())]
        self._spacing = SPACING
        self._passed = 0

    @property
    def count(self) -> int:
        """How many places are kept."""
        return len(self._places)

    def note(self, line: int, cursor: Cursor, terminal: TerminalText, passed: int) -> None:
        """Keep a place, if enough was read since the last one; `passed` characters just now."""
        self._passed += passed
        if self._passed < self._spacing:
            return
        self._passed = 0
        self._places.append(Anchor(line, cursor, copy.copy(terminal)))
        if len(self._places) > MAX_ANCHORS:
            self._places[:] = self._places[::2]
            self._spacing *= 2

    def before(self, line: int) -> Anchor:
        """Give the last place from which this line can be read."""
        return self._places[bisect_right(self._places, line, key=lambda place: place.line) - 1]
