"""What is noted of a log's lines while they pass: which came from standard error, the first error.

A bit a line, so a million lines take 125 kB; an error is looked for only until there is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from anylearn_jupyter.notebook.ansi import plain

# What no line of an error is without: looked for first, in all lines at once.
_WORDS = ("rror", "xception", "Traceback", "ERROR", "CRITICAL", "FATAL", "atal")
# A traceback's head, `ValueError: …`, and what shells and compilers say, at a line's beginning.
_BEGINNING = re.compile(
    r"Traceback \(most recent call last\)"
    r"|(?:[A-Za-z_][\w.]{0,80})?(?:Error|Exception)(?:: |$)"
    r"|[eE]rror: |[fF]atal(?: error)?: |Fatal Python error"
)
# A level in capitals, after a time stamp or a name; the error of a compiler, after its place.
_LEVEL = re.compile(r"\b(?:ERROR|CRITICAL|FATAL)\b|: (?:fatal )?error: ")
_LEVEL_WITHIN = 80


class LogMarks:
    """Notes of one log's lines, by their numbers.

    Attributes
    ----------
    first_error : int or None
        The first line that looks like an error's.
    stderr_lines : int
        How many lines came from standard error.
    """

    def __init__(self) -> None:
        self.first_error: int | None = None
        self.stderr_lines = 0
        self._bits = bytearray()

    def take(self, first: int, lines: Sequence[str], *, stderr: bool) -> None:
        """Note lines, of which the first has this number."""
        if stderr and lines:
            self._mark(first, first + len(lines))
        if self.first_error is None and lines:
            text = "\n".join(lines)
            if any(word in text for word in _WORDS):
                found = (number for number, line in enumerate(lines, first) if _is_error(line))
                self.first_error = next(found, None)

    def _mark(self, first: int, end: int) -> None:
        self.stderr_lines += end - first
        missing = (end + 7) // 8 - len(self._bits)
        if missing > 0:
            self._bits.extend(bytes(missing))
        for number in range(first, end):
            self._bits[number >> 3] |= 1 << (number & 7)

    def is_stderr(self, number: int) -> bool:
        """Whether a line came from standard error: the stream that brought its end."""
        at = number >> 3
        return at < len(self._bits) and bool(self._bits[at] & (1 << (number & 7)))

    def stderr_between(self, first: int, end: int) -> Iterator[int]:
        """Give the numbers of the lines from standard error, in order."""
        for at in range(max(first, 0) >> 3, min((end + 7) // 8, len(self._bits))):
            byte = self._bits[at]
            if byte:
                for number in range(8 * at, 8 * at + 8):
                    if first <= number < end and byte & (1 << (number & 7)):
                        yield number


def _is_error(line: str) -> bool:
    if not any(word in line for word in _WORDS):
        return False
    words = plain(line)
    return bool(_BEGINNING.match(words) or _LEVEL.search(words, 0, _LEVEL_WITHIN))
