r"""Splitting the line of a magic into words, as a shell would, with ``{expression}`` kept whole.

IPython's own splitting keeps quotes in values, breaks a value with a space, and takes expressions
apart; `shlex` cuts ``http://x#y`` at the ``#``. The rules here:

- white space separates words, but not in quotes and not in balanced braces;
- in single quotes everything is itself; in double quotes ``\"`` and ``\\`` are escapes, and
  ``{expression}`` is one; outside quotes a backslash makes the next character itself;
- outside quotes ``{expression}`` keeps its own quotes, and stands for itself also with spaces;
- a ``#`` begins a comment only at the beginning or after white space.

Each word is a template (`expressions`): braces from single quotes are written as ``{{`` and ``}}``.

Notes
-----
Source: notebook spec, "Facts that decide the parser".
"""

from __future__ import annotations

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.expressions import closing_brace, escaped


def split_words(line: str) -> list[str]:
    """Split a line into words, each a template.

    Raises
    ------
    OptionError
        A quote or a brace is never closed; the message quotes the line.

    Examples
    --------
    >>> split_words("train.py --set lr={cfg['lr']} -n 'a b'  # a comment")
    ['train.py', '--set', "lr={cfg['lr']}", '-n', 'a b']
    >>> split_words("--env URL=http://x#y '{as it is}'")
    ['--env', 'URL=http://x#y', '{{as it is}}']
    """
    return _Splitter(line).words()


class _Splitter:
    """Reads one line from left to right."""

    def __init__(self, line: str) -> None:
        self._line = line
        self._at = 0
        self._word: str | None = None

    def words(self) -> list[str]:
        """Give all words."""
        found: list[str] = []
        while self._at < len(self._line):
            char = self._line[self._at]
            if char.isspace():
                if self._word is not None:
                    found.append(self._word)
                self._word = None
                self._at += 1
            elif char == "#" and self._word is None:
                break
            else:
                self._word = (self._word or "") + self._piece(char)
        if self._word is not None:
            found.append(self._word)
        return found

    def _piece(self, char: str) -> str:
        """Read the next piece of a word, and go past it."""
        if char == "'":
            return escaped(self._up_to("'"))
        if char == '"':
            return self._in_double_quotes()
        if char == "{":
            return self._braces()
        self._at += 1
        if char != "\\" or self._at == len(self._line):
            return char
        self._at += 1
        return escaped(self._line[self._at - 1])

    def _up_to(self, mark: str) -> str:
        end = self._line.find(mark, self._at + 1)
        if end < 0:
            raise self._unclosed(mark)
        text = self._line[self._at + 1 : end]
        self._at = end + 1
        return text

    def _in_double_quotes(self) -> str:
        text = ""
        start = self._at
        self._at += 1
        while self._at < len(self._line):
            char = self._line[self._at]
            if char == '"':
                self._at += 1
                return text
            if char == "{":
                text += self._braces()
            elif char == "\\" and self._line[self._at + 1 : self._at + 2] in ('"', "\\"):
                text += self._line[self._at + 1]
                self._at += 2
            else:
                text += char
                self._at += 1
        self._at = start
        raise self._unclosed('"')

    def _braces(self) -> str:
        """Read ``{{``, or a whole expression."""
        if self._line.startswith("{{", self._at):
            self._at += 2
            return "{{"
        end = closing_brace(self._line, self._at)
        if end is None:
            raise self._unclosed("{")
        text = self._line[self._at : end + 1]
        self._at = end + 1
        return text

    def _unclosed(self, mark: str) -> OptionError:
        way_out = (
            "write {{ for the character" if mark == "{" else f"write \\{mark} for the character"
        )
        return OptionError(
            f"In the line `{self._line.strip()}` the {mark} before "
            f"`{self._line[self._at + 1 :].strip()[:30]}` is never closed; close it, or {way_out}."
        )
