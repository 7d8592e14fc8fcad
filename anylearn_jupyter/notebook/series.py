"""A metric's points, thinned so that no chart ever holds more than it can show."""

from __future__ import annotations

import math
from collections.abc import Sequence

MAX_POINTS = 2_000
"""Points of one series that are kept."""

Point = tuple[float, float]
"""A step and a value."""


class Series:
    """The points of one metric in the order in which they came.

    When there are too many, each four neighbours become two: the lowest and the highest, so that
    a spike stays in sight. From then on only as many new points are kept as fit that spacing.

    Attributes
    ----------
    name : str
        As the script wrote it: text from a stranger.
    count : int
        How many points there have been.
    generation : int
        Changes when points that were given before are replaced; till then they only grow.
    low, high : float
        The lowest and the highest value; infinite before the first.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.generation = 0
        self.last: Point | None = None
        self.low = math.inf
        self.high = -math.inf
        self._kept: list[Point] = []
        self._waiting: list[Point] = []
        self._each = 1  # so many points of the script's stand behind each that is kept

    def add(self, step: float, value: float) -> None:
        """Take the next point."""
        self.count += 1
        self.last = (step, value)
        self.low, self.high = min(self.low, value), max(self.high, value)
        if self._each == 1:
            self._kept.append(self.last)
        else:
            self._waiting.append(self.last)
            if len(self._waiting) >= 2 * self._each:
                self._kept += _extremes(self._waiting)
                self._waiting = []
        if len(self._kept) > MAX_POINTS:
            self._thin()

    def kept(self, start: int = 0) -> list[Point]:
        """Give the points that stay, from a place on; the newest may not be among them."""
        return self._kept[start:]

    def points(self) -> list[Point]:
        """Give what a chart shows: the points that stay, and the newest."""
        if self.last is not None and self._waiting:
            return [*self._kept, self.last]
        return list(self._kept)

    def _thin(self) -> None:
        self._kept = _of_groups(self._kept, 4)
        self._each *= 2
        self.generation += 1


def thinned(points: Sequence[Point], limit: int) -> Sequence[Point]:
    """Give at most about so many of the points, spikes kept, for a picture of that width."""
    if len(points) <= limit:
        return points
    return _of_groups(points, -(-2 * len(points) // limit))


def _of_groups(points: Sequence[Point], size: int) -> list[Point]:
    return [
        point
        for start in range(0, len(points), size)
        for point in _extremes(points[start : start + size])
    ]


def _extremes(points: Sequence[Point]) -> list[Point]:
    """Give the lowest and the highest of some points, in their order."""
    places = range(len(points))
    low = min(places, key=lambda place: points[place][1])
    high = max(places, key=lambda place: points[place][1])
    return [points[place] for place in sorted({low, high})]
