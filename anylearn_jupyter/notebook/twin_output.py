"""The output beside a live view that a saved notebook keeps, written anew now and then."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any, Protocol

TWIN_S = 10.0
"""Seconds between two versions of a twin while only its log and metrics change, at most."""

YOUNG_TWIN_S = 1.0
"""The same for a twin that was just put out; the pause grows with its age. Somebody who saves the
notebook a few seconds after the cell has run finds the first lines in it."""


class Publisher(Protocol):
    """Puts an output into a cell, and new versions of it: a shell's own publisher does."""

    def publish(
        self, data: dict[str, Any], *, transient: dict[str, str], update: bool = False
    ) -> None:
        """Put one out."""


class TwinOutput:
    """The twin of a card or of a table, in its cell; a `monitor.Display`.

    Parameters
    ----------
    draw : Callable
        Gives the twin as it is now: its text and its HTML by their media types.
    version : Callable
        Gives what differs as soon as the twin would look different.
    turn : Callable
        Gives what differs once that has to be seen at once, as after a change of state.
    publisher : Publisher
        Of the cell's own shell. It is kept, since a later cell may put another one in its place
        for a while (``%%capture``), and an update in there would be that cell's (faults, F8).

    Notes
    -----
    Source: notebook spec, "The views" (the twin); faults F7, F8.
    """

    def __init__(
        self,
        draw: Callable[[], dict[str, str]],
        version: Callable[[], int],
        turn: Callable[[], int],
        publisher: Publisher,
    ) -> None:
        self._draw = draw
        self._version_now = version
        self._turn_now = turn
        self._publisher = publisher
        self._display_id = uuid.uuid4().hex
        self._version = -1
        self._turn = -1
        self._written_at = 0.0
        self._begun_at = 0.0

    def begin(self) -> None:
        """Put it into the running cell."""
        self._begun_at = time.monotonic()
        self._write(update=False)

    def refresh(self, room: int) -> float | None:
        """Write a new version at a turn, and now and then while there is news."""
        if self._version_now() == self._version:
            return None
        pause_s = min(TWIN_S, max(YOUNG_TWIN_S, self._written_at - self._begun_at))
        wait_s = self._written_at + pause_s - time.monotonic()
        if self._turn_now() == self._turn and wait_s > 0:
            return wait_s
        self._write(update=True)
        return None

    def retire(self) -> None:
        """Write a last version."""
        self._write(update=True)

    def _write(self, *, update: bool) -> None:
        # First, so that what comes in while it is drawn is news afterwards.
        self._version, self._turn = self._version_now(), self._turn_now()
        self._written_at = time.monotonic()
        self._publisher.publish(
            self._draw(), transient={"display_id": self._display_id}, update=update
        )
