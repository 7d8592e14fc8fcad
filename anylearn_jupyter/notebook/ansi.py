"""Colours of a log line: the one kind of escape sequence that a view keeps (SGR), read safely.

A log is text from a stranger. `terminal` removes every other escape sequence; what this module
gives on is a style and text, never markup. The page has the same reader in ``static/colors.js``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

SGR = re.compile(r"\x1b\[([0-9;:]*)m")
"""One colour sequence, as `terminal.TerminalText` leaves it in its lines."""

MAX_SPANS = 200
"""Differently styled pieces of one line that are kept; the rest of the line has one style."""

# Readable on a white and on a near-black ground alike (each about 4.5 to 1), as a saved notebook
# does not know the colours of the page that will show it.
_STATIC_PALETTE = (
    "#757575",  # black: grey, so that it can be read on a dark page
    "#d32f3b",
    "#23832f",
    "#8d6e00",
    "#2f6fdb",
    "#b03ab8",
    "#007f8b",
    "#757575",  # white: grey for the same reason
)


@dataclass(frozen=True)
class Style:
    """How a piece of a line looks.

    Attributes
    ----------
    color, background : str
        ``""`` for the page's own, ``"0"`` to ``"255"`` for an entry of the palette, ``"#rrggbb"``.
    bold, dim, italic, underline, strike, inverse : bool
    """

    color: str = ""
    background: str = ""
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    strike: bool = False
    inverse: bool = False

    def after(self, parameters: str) -> Style:
        """Return the style that holds after an SGR sequence with these parameters.

        Unknown numbers are ignored; at most 32 numbers are read.
        """
        if parameters in ("", "0"):
            return PLAIN
        numbers = [int(n[:4]) if n else 0 for n in re.split("[;:]", parameters)[:32]]
        style, at = self, 0
        while at < len(numbers):
            number = numbers[at]
            at += 1
            if number in (38, 48):
                color, used = _extended(numbers[at:])
                at += used
                if color and number == 38:
                    style = replace(style, color=color)
                elif color:
                    style = replace(style, background=color)
            else:
                style = _after_number(style, number)
        return style

    def sequence(self) -> str:
        """Write the style as one SGR sequence; empty for the plain style."""
        if self == PLAIN:
            return ""
        flags = (self.bold, self.dim, self.italic, self.underline, self.inverse, self.strike)
        codes = [str(code) for code, on in zip((1, 2, 3, 4, 7, 9), flags, strict=True) if on]
        codes += _color_codes("38", self.color) + _color_codes("48", self.background)
        return f"\x1b[{';'.join(codes)}m"

    def css(self) -> str:
        """Write the style as declarations for a ``style`` attribute; empty for the plain style.

        Only words and colours made here: nothing of the log's own text.
        """
        found = []
        color, background = self.color, self.background
        if self.inverse:
            found.append("outline:1px solid currentColor")
        if color:
            found.append(f"color:{_css_color(color)}")
        if background:
            found.append(f"box-shadow:inset 0 -2px {_css_color(background)}")
        if self.bold:
            found.append("font-weight:bold")
        if self.dim:
            found.append("opacity:.75")
        if self.italic:
            found.append("font-style:italic")
        lines = " ".join(
            word
            for word, on in (("underline", self.underline), ("line-through", self.strike))
            if on
        )
        if lines:
            found.append(f"text-decoration:{lines}")
        return ";".join(found)


PLAIN = Style()
"""No colour, no emphasis."""

_SWITCHES: dict[int, Callable[[Style], Style]] = {
    0: lambda style: PLAIN,
    1: lambda style: replace(style, bold=True),
    2: lambda style: replace(style, dim=True),
    3: lambda style: replace(style, italic=True),
    4: lambda style: replace(style, underline=True),
    7: lambda style: replace(style, inverse=True),
    9: lambda style: replace(style, strike=True),
    21: lambda style: replace(style, underline=True),
    22: lambda style: replace(style, bold=False, dim=False),
    23: lambda style: replace(style, italic=False),
    24: lambda style: replace(style, underline=False),
    27: lambda style: replace(style, inverse=False),
    29: lambda style: replace(style, strike=False),
    39: lambda style: replace(style, color=""),
    49: lambda style: replace(style, background=""),
}


def _after_number(style: Style, number: int) -> Style:
    if number in _SWITCHES:
        return _SWITCHES[number](style)
    if 30 <= number <= 37 or 90 <= number <= 97:
        return replace(style, color=str(number - 30 if number < 90 else number - 82))
    if 40 <= number <= 47 or 100 <= number <= 107:
        return replace(style, background=str(number - 40 if number < 100 else number - 92))
    return style


def _extended(numbers: list[int]) -> tuple[str, int]:
    """Read what follows 38 or 48: a colour, and how many numbers it took."""
    if len(numbers) >= 2 and numbers[0] == 5:
        return (str(numbers[1]), 2) if numbers[1] <= 255 else ("", 2)
    if len(numbers) >= 4 and numbers[0] == 2:
        red_green_blue = numbers[1:4]
        if max(red_green_blue) <= 255:
            return "#{:02x}{:02x}{:02x}".format(*red_green_blue), 4
        return "", 4
    return "", len(numbers)


def _color_codes(kind: str, color: str) -> list[str]:
    if not color:
        return []
    if color.startswith("#"):
        parts = [str(int(color[at : at + 2], 16)) for at in (1, 3, 5)]
        return [kind, "2", *parts]
    return [kind, "5", color]


def _css_color(color: str) -> str:
    if color.startswith("#"):
        return color
    number = int(color)
    if number < 16:
        return _STATIC_PALETTE[number % 8]
    if number >= 232:
        level = 8 + 10 * (number - 232)
        return f"#{level:02x}{level:02x}{level:02x}"
    number -= 16
    steps = (0, 95, 135, 175, 215, 255)
    red, green, blue = steps[number // 36], steps[number // 6 % 6], steps[number % 6]
    return f"#{red:02x}{green:02x}{blue:02x}"


def plain(line: str) -> str:
    """Return a line of `terminal.TerminalText` without its colours."""
    return SGR.sub("", line) if "\x1b" in line else line


def spans(line: str) -> list[tuple[str, Style]]:
    """Split a line of `terminal.TerminalText` into pieces of one style, at most `MAX_SPANS`."""
    if "\x1b" not in line:
        return [(line, PLAIN)] if line else []
    found: list[tuple[str, Style]] = []
    style, start = PLAIN, 0
    for match in SGR.finditer(line):
        text = line[start : match.start()]
        if len(found) >= MAX_SPANS - 1:
            break
        if text:
            found.append((text, style))
        style, start = style.after(match[1]), match.end()
    rest = plain(line[start:])
    if rest:
        found.append((rest, style))
    return found


def static_html(line: str) -> str:
    """Write a line as HTML for a page without scripts: escaped text in coloured spans."""
    pieces = []
    for text, style in spans(line):
        css = style.css()
        escaped = html.escape(text)
        pieces.append(f'<span style="{css}">{escaped}</span>' if css else escaped)
    return "".join(pieces)
