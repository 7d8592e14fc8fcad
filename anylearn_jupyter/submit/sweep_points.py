"""The points of a sweep: which sets of values are trained, in which order.

Nothing here knows of servers or cells. The same dimensions, kind and seed give the same points on
every machine and in every version of this package that says `FORMAT`.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anylearn_jupyter.errors import OptionError

FORMAT = 1
"""The number of the way in which points are drawn; kept with a sweep, to repeat it."""

MAX_POINTS = 1_000
"""Trainings of one sweep, at most."""

DEFAULT_SEED = 0
"""The seed of ``random:N`` where none is said."""

_DIGITS = 4
_KIND = re.compile(r"(?:grid|zip|random:(\d{1,6})(?:,\s*seed=(\d{1,18}))?)")

Values = tuple[tuple[str, object], ...]
"""One point: the names that are swept and their values, in the order of the cell."""


@dataclass(frozen=True)
class Choices:
    """A dimension of some values, which are listed.

    Attributes
    ----------
    values : tuple
        At least one, with their Python types.
    """

    values: tuple[object, ...]

    def draw(self, dice: random.Random) -> object:
        """Take one of them."""
        return self.values[dice.randrange(len(self.values))]


@dataclass(frozen=True)
class Between:
    """A dimension of all numbers between two, from which values are drawn.

    Attributes
    ----------
    low, high : float
        The ends.
    logarithmic : bool
        Whether each factor is as likely as the next (``log``), or each step (``uniform``).
    """

    low: float
    high: float
    logarithmic: bool = False

    def draw(self, dice: random.Random) -> float:
        """Draw a number, with as many digits as a person can compare."""
        share = dice.random()
        if self.logarithmic:
            return _round(math.exp(_mix(math.log(self.low), math.log(self.high), share)))
        return _round(_mix(self.low, self.high, share))


Dimension = Choices | Between


@dataclass(frozen=True)
class Kind:
    """How the values of several names are put together.

    Attributes
    ----------
    name : str
        ``grid`` (each with each), ``zip`` (the first with the first) or ``random``.
    count : int or None
        Of ``random``: how many points.
    seed : int or None
        Of ``random``: what its draws depend on, and nothing else.
    """

    name: str = "grid"
    count: int | None = None
    seed: int | None = None

    def __str__(self) -> str:
        """Write it as ``--sweep`` takes it."""
        if self.name != "random":
            return self.name
        return f"random:{self.count},seed={self.seed}"

    @classmethod
    def read(cls, text: str) -> Kind:
        """Read ``grid``, ``zip``, ``random:20`` or ``random:20,seed=3``.

        Raises
        ------
        OptionError
            It is none of them.
        """
        found = _KIND.fullmatch(text.strip())
        if found is None:
            raise OptionError(
                f"--sweep {text} is no way to sweep; write grid (each value with each), zip (the "
                "first with the first) or random:20 (20 draws; random:20,seed=3 for others)."
            )
        if found[1] is None:
            return cls(text.strip())
        count = int(found[1])
        if count < 1:
            raise OptionError(f"--sweep {text} draws nothing; write how many, as in random:20.")
        return cls("random", count, int(found[2]) if found[2] else DEFAULT_SEED)


def logarithmic(low: float, high: float, count: int | None = None) -> Dimension:
    """Give numbers from `low` to `high` whose ratio is the same from one to the next.

    Parameters
    ----------
    low, high : float
        Both more than 0.
    count : int, optional
        How many, the ends among them. None: any number in between, to be drawn.

    Raises
    ------
    OptionError
        There are no such numbers.

    Examples
    --------
    >>> logarithmic(1e-4, 1e-1, 4).values
    (0.0001, 0.001, 0.01, 0.1)
    """
    _check_ends("log", low, high)
    if low <= 0:
        raise OptionError(f"log({low:g}, {high:g}) begins at {low:g}; both ends are more than 0")
    if count is None:
        return Between(low, high, logarithmic=True)
    if count < 2:
        raise OptionError(f"log({low:g}, {high:g}, {count}) has {count} values; 2 or more fit")
    if count > MAX_POINTS:
        raise OptionError(f"log({low:g}, {high:g}, {count}) has more than {MAX_POINTS:,} values")
    ratio = math.log(high / low)
    inner = [_round(low * math.exp(ratio * n / (count - 1))) for n in range(1, count - 1)]
    return Choices((low, *inner, high))


def uniform(low: float, high: float) -> Between:
    """Give any number between two, to be drawn.

    Raises
    ------
    OptionError
        The ends are not in order.
    """
    _check_ends("uniform", low, high)
    return Between(low, high)


def points_of(dimensions: Mapping[str, Dimension], kind: Kind) -> list[Values]:
    """Give all points of a sweep, in their order.

    Parameters
    ----------
    dimensions : Mapping
        Name to what it may be, in the order of the cell; at least one.
    kind : Kind
        How they are put together.

    Returns
    -------
    list
        At most `MAX_POINTS`. A grid changes its last name fastest. Random draws from lists alone
        give no point twice, and so at most as many as there are.

    Raises
    ------
    OptionError
        The values cannot be put together so, or are too many.

    Notes
    -----
    Source: notebook spec, "Body".
    """
    if kind.name == "random":
        return _drawn(dimensions, kind)
    lists = {name: _listed(name, one, kind) for name, one in dimensions.items()}
    counts = {name: len(values) for name, values in lists.items()}
    if kind.name == "zip":
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{name} has {count}" for name, count in counts.items())
            raise OptionError(
                f"--sweep zip goes through all lists side by side, and they differ in length: "
                f"{said}; make them equally long, or use --sweep grid for each with each."
            )
        total = next(iter(counts.values()))
    else:
        total = math.prod(counts.values())
    if total > MAX_POINTS:
        product = " x ".join(str(count) for count in counts.values())
        said = f"{product} = {total:,}" if len(counts) > 1 and kind.name == "grid" else f"{total:,}"
        raise OptionError(
            f"The sweep has {said} trainings and at most {MAX_POINTS:,} fit into one; draw some of "
            "them, as with --sweep random:100."
        )
    if kind.name == "zip":
        return [tuple(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return [_numbered(lists, number) for number in range(total)]


def _listed(name: str, one: Dimension, kind: Kind) -> tuple[object, ...]:
    if isinstance(one, Choices):
        return one.values
    word = "log" if one.logarithmic else "uniform"
    way = f"{name} in log({one.low:g}, {one.high:g}, 5)`, or use" if one.logarithmic else ""
    raise OptionError(
        f"{name} in {word}({one.low:g}, {one.high:g}) has no end of values, and --sweep {kind} "
        + (f"takes each: say how many, as in `{way} " if way else "takes each; use ")
        + "--sweep random:20, which draws them."
    )


def _drawn(dimensions: Mapping[str, Dimension], kind: Kind) -> list[Values]:
    """Draw the points; from lists alone without repeating one."""
    count = kind.count or 0
    if count > MAX_POINTS:
        raise OptionError(f"--sweep {kind} has more than {MAX_POINTS:,} trainings; draw fewer.")
    dice = random.Random(f"anylearn sweep {FORMAT} {kind.seed}")
    lists = {name: one.values for name, one in dimensions.items() if isinstance(one, Choices)}
    if len(lists) == len(dimensions):
        total = math.prod(len(values) for values in lists.values())
        return [_numbered(lists, at) for at in dice.sample(range(total), min(count, total))]
    return [tuple((name, one.draw(dice)) for name, one in dimensions.items()) for _ in range(count)]


def _numbered(lists: Mapping[str, Sequence[object]], number: int) -> Values:
    """Give a point of the grid by its number."""
    found: list[tuple[str, object]] = []
    for name, values in reversed(list(lists.items())):
        number, at = divmod(number, len(values))
        found.append((name, values[at]))
    return tuple(reversed(found))


def listed_choices(values: Iterable[Any], what: str) -> Choices:
    """Take values from a list of the user's.

    Raises
    ------
    OptionError
        There is none, or there are too many.
    """
    taken: list[object] = []
    for value in values:
        taken.append(value)
        if len(taken) > MAX_POINTS:
            raise OptionError(f"{what} has more than {MAX_POINTS:,} values; give fewer")
    if not taken:
        raise OptionError(f"{what} is empty; give one value at least")
    return Choices(tuple(taken))


def _check_ends(word: str, low: float, high: float) -> None:
    for end in (low, high):
        if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end):
            raise OptionError(f"{word}(…) takes numbers, and {end!r} is none")
    if low >= high:
        raise OptionError(f"{word}({low:g}, {high:g}) ends before it begins; swap the two")


def _mix(low: float, high: float, share: float) -> float:
    return low * (1 - share) + high * share


def _round(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
