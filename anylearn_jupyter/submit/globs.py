"""The patterns of ``--include`` and ``--exclude``: git's ignore patterns, without its ``!``.

A pattern without ``/`` (but at its end) fits a name at any depth; any other fits the path from the
code directory on. ``*`` and ``?`` stop at ``/``, ``**`` does not, ``[a-z]`` and ``[!a-z]`` are
sets, a backslash takes the next character as it is, and a ``/`` at the end fits directories only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from anylearn_jupyter.errors import OptionError


@dataclass(frozen=True)
class Glob:
    """One pattern.

    Attributes
    ----------
    text : str
        As it was typed.

    Raises
    ------
    OptionError
        It is empty, or leads out of the directory.
    """

    text: str
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _directories_only: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the pattern."""
        plain = self.text.removeprefix("./")
        body = plain.rstrip("/")
        parts = body.split("/")
        if not body or ".." in parts:
            raise OptionError(
                f"The pattern {self.text!r} names nothing below the code directory; write it "
                "relative to that directory, such as 'data/*.csv' or '*.log'."
            )
        prefix = "(?:.*/)?" if len(parts) == 1 else ""
        try:
            pattern = re.compile(prefix + _translated(body.removeprefix("/")), re.DOTALL)
        except re.error as error:
            raise OptionError(
                f"The pattern {self.text!r} cannot be read ({error}); a '[' that is meant as it is "
                "has a backslash before it."
            ) from error
        object.__setattr__(self, "_directories_only", plain.endswith("/"))
        object.__setattr__(self, "_pattern", pattern)

    def fits(self, path: str, *, is_directory: bool) -> bool:
        """Whether this very path fits; the directories above it are for the caller to try."""
        if self._directories_only and not is_directory:
            return False
        return self._pattern.fullmatch(path) is not None


def parents(path: str) -> list[str]:
    """Give the directories that a relative path is in, outermost first."""
    found = []
    at = path.find("/")
    while at >= 0:
        found.append(path[:at])
        at = path.find("/", at + 1)
    return found


def literal(path: str) -> str:
    """Write a path as a pattern that fits it alone, anchored at the top."""
    escaped = re.sub(r"([*?\[\\])", r"\\\1", path)
    return "/" + re.sub(r" $", r"\\ ", escaped)


def _translated(body: str) -> str:
    """Make the regular expression of a pattern without its ``/`` at the ends."""
    out: list[str] = []
    at = 0
    while at < len(body):
        if body.startswith("**/", at) and (at == 0 or body[at - 1] == "/"):
            out.append("(?:.*/)?")
            at += 3
        elif body.startswith("**", at):
            out.append(".*")
            at += 2
        elif body[at] == "*":
            out.append("[^/]*")
            at += 1
        elif body[at] == "?":
            out.append("[^/]")
            at += 1
        elif body[at] == "[" and (end := body.find("]", at + 2)) > 0:
            out.append(_set(body[at + 1 : end]))
            at = end + 1
        else:
            at += body[at] == "\\" and at + 1 < len(body)
            out.append(re.escape(body[at]))
            at += 1
    return "".join(out)


def _set(inside: str) -> str:
    negated = inside[0] in "!^"
    members = inside[1:] if negated else inside
    escaped = re.sub(r"([\\\[\]&~|^])", r"\\\1", members)
    return f"(?!/)[{'^' if negated else ''}{escaped}]"
