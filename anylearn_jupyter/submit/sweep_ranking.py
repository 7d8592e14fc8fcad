"""Which training of a sweep is the best: by one metric, the higher or the lower the better."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from anylearn_jupyter.errors import OptionError

MODES = ("min", "max")
"""``min``: the lowest value is the best; ``max``: the highest."""

_LOWER = re.compile(
    r"loss|err|mse|mae|rmse|perplexity|ppl|nll|entropy|(?:^|[^a-z])(?:wer|cer|fid|bpb|bpc)(?:$|[^a-z])|"
    r"distance|regret|time|latency",
    re.IGNORECASE,
)
_VALIDATION = re.compile(r"^(?:val|valid|validation|eval|dev)(?:$|[_/.\-])", re.IGNORECASE)


class Extent(NamedTuple):
    """What a series has been so far.

    Attributes
    ----------
    last, low, high : float
        Its newest, lowest and highest value.
    """

    last: float
    low: float
    high: float

    def best(self, mode: str) -> float:
        """Give the best value."""
        return self.low if mode == "min" else self.high


def mode_of(series: str) -> str:
    """Say which way a metric is better, by its name: ``min`` for losses and errors.

    Examples
    --------
    >>> mode_of("val_loss"), mode_of("accuracy")
    ('min', 'max')
    """
    return "min" if _LOWER.search(series) else "max"


def series_of(names: Sequence[str]) -> str | None:
    """Choose the metric that nobody has chosen: the first of validation, else the first.

    Examples
    --------
    >>> series_of(["loss", "lr", "val_loss"]), series_of([])
    ('val_loss', None)
    """
    return next((name for name in names if _VALIDATION.match(name)), names[0] if names else None)


def checked_mode(series: str, mode: str | None) -> str:
    """Give the mode that is meant.

    Raises
    ------
    OptionError
        It is neither ``min`` nor ``max``.
    """
    if mode is None:
        return mode_of(series)
    if mode not in MODES:
        raise OptionError(f"mode={mode!r} is neither 'min' nor 'max'.")
    return mode


def ranked(values: Mapping[int, float], mode: str) -> list[int]:
    """Give the trainings from the best to the worst; equal ones in their order."""
    sign = 1 if mode == "min" else -1
    return sorted(values, key=lambda number: (sign * values[number], number))


def worst_half(values: Mapping[int, float], mode: str) -> list[int]:
    """Give the worse half, the better part being the larger where they are odd."""
    order = ranked(values, mode)
    return sorted(order[len(order) - len(order) // 2 :])


def extents(points: Iterable[tuple[str, float, float]]) -> dict[str, Extent]:
    """Sum points up by their series, in the order in which these first came."""
    found: dict[str, Extent] = {}
    for name, _, value in points:
        known = found.get(name)
        found[name] = (
            Extent(value, value, value)
            if known is None
            else Extent(value, min(known.low, value), max(known.high, value))
        )
    return found
