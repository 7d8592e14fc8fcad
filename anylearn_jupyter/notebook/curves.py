"""Metric curves as pictures in SVG: no script, every word escaped, readable on any page.

Series that belong together (``loss`` and ``val_loss``) share a panel; the others have one each, as
their scales differ. The live card draws the same panels in ``static/curves.js``.
"""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.notebook.series import Point, thinned

MAX_PANELS = 12
"""Panels that are drawn; the rest is counted in a sentence."""

COLORS = ("#2f7ed8", "#d9662b", "#2a9d5c", "#b04fc4", "#a8841a", "#d64550")
"""Of the lines of one panel, in order; each stands out on white and on near-black."""

_DASHES = ("", "7 3", "2 3", "10 3 2 3", "4 2", "1 4")  # without their colours, too
_INK = "#808080"
_PREFIXES = ("train", "training", "val", "valid", "validation", "test", "eval", "dev")
_WIDTH, _HEIGHT = 340, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 30, 34
_MAX_POINTS = 300
_LIMIT = 1e300  # so that the width of a range is a number, too


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes
    ----------
    title : str
        What its series have in common.
    series : tuple of (str, points)
        Its lines, at least one, each of two points or more.
    """

    title: str
    series: tuple[tuple[str, Sequence[Point]], ...]


def panels(series: Iterable[tuple[str, Sequence[Point]]]) -> list[Panel]:
    """Put series into panels, in the order in which the first of each came.

    A series of one point is no curve and is left out.
    """
    groups: dict[str, list[tuple[str, Sequence[Point]]]] = {}
    for name, points in series:
        if len(points) > 1:
            groups.setdefault(base_name(name), []).append((name, points))
    return [Panel(title, tuple(found)) for title, found in groups.items()]


def base_name(name: str) -> str:
    """Give what a series measures, without the part of the data that it was measured on.

    Examples
    --------
    >>> base_name("val_loss"), base_name("train/loss"), base_name("loss")
    ('loss', 'loss', 'loss')
    """
    for mark in ("/", "_", ".", "-"):
        first, found, rest = name.partition(mark)
        if found and rest and first.lower() in _PREFIXES:
            return rest
    return name


def picture(panel: Panel) -> str:
    """Give a panel as one ``<img>`` element that carries its drawing in itself.

    A page that does not trust a notebook takes drawings out of its HTML and leaves their words in a
    heap; it shows a picture. Where there are no pictures its newest values stand for it.
    """
    newest = ", ".join(f"{one_line(name, 60)} {number_text(points[-1][1])}"
                       for name, points in panel.series)  # fmt: skip
    words = html.escape(f"{one_line(panel.title, 60)} by step: {newest}")
    data = base64.b64encode(svg(panel).encode("utf-8", "replace")).decode("ascii")
    return (
        f'<img alt="{words}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'style="max-width:100%;height:auto" src="data:image/svg+xml;base64,{data}">'
    )


def svg(panel: Panel) -> str:
    """Draw a panel.

    Returns
    -------
    str
        One ``<svg>`` element; its words and frame are of a grey that stands out on any page, as
        a picture does not know the colours around it.
    """
    lines = [
        (name, [(_bounded(x), _bounded(y)) for x, y in thinned(points, _MAX_POINTS)])
        for name, points in panel.series[: len(COLORS)]
    ]
    across = _Scale.of((x for _, points in lines for x, _ in points), _LEFT, _WIDTH - _RIGHT, 5)
    up = _Scale.of((y for _, points in lines for _, y in points), _HEIGHT - _BOTTOM, _TOP, 4, 0.04)
    drawn = [_frame(across, up)]
    for number, (_, points) in enumerate(lines):
        path = " ".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y in points)
        drawn.append(
            f'<polyline points="{path}" fill="none" stroke="{COLORS[number]}" stroke-width="1.7" '
            f'stroke-dasharray="{_DASHES[number]}" stroke-linejoin="round"/>'
        )
    drawn.append(_legend(panel))
    label = html.escape(one_line(f"{panel.title} by step", 80))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'style="max-width:100%" font-family="system-ui,sans-serif" font-size="11">'
        f"{''.join(drawn)}</svg>"
    )


def number_text(value: float) -> str:
    """Write a value as briefly as a chart needs it."""
    if value != 0 and (abs(value) >= 1e6 or abs(value) < 1e-4):
        return f"{value:.2e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


@dataclass(frozen=True)
class _Scale:
    """Where the values of one axis lie in the picture."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    @classmethod
    def of(
        cls, values: Iterable[float], start: float, end: float, count: int, air: float = 0.0
    ) -> _Scale:
        found = list(values)
        low, high = min(found), max(found)
        if high - low <= max(abs(low), abs(high)) * 1e-12 + 1e-290:
            margin = abs(low) * 0.1 if abs(low) > 1e-280 else 1.0
            low, high = low - margin, high + margin
        low, high = low - air * (high - low), high + air * (high - low)
        least = 1.0 if all(value == int(value) for value in found) else 0.0
        return cls(low, high, start, end, tuple(_ticks(low, high, count, least)))

    def place(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def _ticks(low: float, high: float, count: int, least: float) -> list[float]:
    """Give round values between two others; `least` apart at least, so that epochs stay whole."""
    rough = 0.75 * (high - low) / count
    magnitude = 10.0 ** math.floor(math.log10(rough))
    width = next((n * magnitude for n in (1, 2, 5) if n * magnitude >= rough), 10 * magnitude)
    width = max(width, least)
    first = math.ceil(low / width)
    return [
        (first + number) * width
        for number in range(2 * count)
        if (first + number) * width <= high + width * 1e-9
    ]


def _frame(across: _Scale, up: _Scale) -> str:
    """Draw the grid, its numbers and the name of the horizontal axis."""
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    grid, words = [], []
    for value in up.ticks:
        y = up.place(value)
        grid.append(f"M{_LEFT} {y:.1f}H{right}")
        words.append(
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number_text(value)}</text>'
        )
    for value in across.ticks:
        x = across.place(value)
        anchor = "end" if x > right - 12 else "middle"
        place = f'x="{x:.1f}" y="{bottom + 14}" text-anchor="{anchor}"'
        words.append(f"<text {place}>{number_text(value)}</text>")
    middle = (_LEFT + right) / 2
    words.append(f'<text x="{middle}" y="{_HEIGHT - 5}" text-anchor="middle">step</text>')
    return (
        f'<path d="{"".join(grid)}" stroke="{_INK}" stroke-opacity=".3" fill="none"/>'
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" stroke="{_INK}" stroke-opacity=".7" '
        f'fill="none"/><g fill="{_INK}">{"".join(words)}</g>'
    )


def _legend(panel: Panel) -> str:
    """Name the lines, each with its newest value."""
    shown = panel.series[: len(COLORS)]
    room = (_WIDTH - _LEFT - _RIGHT) / len(shown)
    written = []
    for number, (name, points) in enumerate(shown):
        x = _LEFT + number * room
        words = f"{one_line(name, 60)} {number_text(points[-1][1])}"
        limit = max(int(room / 6.2) - 3, 4)
        words = words if len(words) <= limit else words[: limit - 1] + "…"
        written.append(
            f'<rect x="{x:.0f}" y="9" width="10" height="10" rx="2" fill="{COLORS[number]}"/>'
            f'<text x="{x + 14:.0f}" y="18" fill="{_INK}">{html.escape(words)}</text>'
        )
    return "".join(written)


def _bounded(value: float) -> float:
    return max(-_LIMIT, min(value, _LIMIT))
