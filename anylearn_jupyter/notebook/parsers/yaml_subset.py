"""Reads the part of YAML that configuration files are written in.

Block and flow mappings and sequences, plain, quoted and block scalars, comments. What goes beyond
(anchors, aliases, tags, merge keys, several documents, complex keys) is refused as a whole: nothing
is read wrongly. Plain scalars are resolved as OmegaConf does (YAML 1.1, and ``1e-3`` is a number).

Notes
-----
There is no YAML library among the run-time dependencies, and one that can make Python objects would
be much for reading names and defaults.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_BYTES = 500_000
MAX_DEPTH = 50

_NULLS = ("", "~", "null", "Null", "NULL")
_TRUTHS = {
    word: truth
    for words, truth in (("yes true on", True), ("no false off", False))
    for plain in words.split()
    for word in (plain, plain.capitalize(), plain.upper())
}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)")
_OTHER_INT = re.compile(r"[-+]?(?:0b[0-1_]+|0[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*(?::[0-5]?\d)+)")
_FLOAT = re.compile(
    r"[-+]?(?:\d[\d_]*\.[\d_]*(?:[eE][-+]?\d+)?|\d[\d_]*[eE][-+]?\d+|\.\d[\d_]*(?:[eE][-+]?\d+)?)"
)
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_SIGNED_POINT = re.compile(r"[-+]\.\d")  # a text to one library, a number to another
_DATE = re.compile(r"\d{4}-\d\d?-\d\d?(?:[Tt ].*)?")
_KEY = re.compile(
    r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#&*!|>'"%@`\[\]{},?-][^#]*?|[-?][^\s#][^#]*?)\s*:(?:\s+|$)"""
)
_INDICATOR = re.compile(r"[-?:](?:[\s,\]}]|$)")
_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "/": "/", "0": "\0", "r": "\r", " ": " "}


class YamlError(ValueError):
    """A text is no YAML, or goes beyond the part that is read."""


@dataclass(frozen=True)
class _Line:
    indent: int
    text: str
    number: int


def read_yaml(text: str) -> object:
    """Read a document.

    Returns
    -------
    object
        dicts, lists and scalars; None for an empty one.

    Raises
    ------
    YamlError
        It cannot be read as what it says; the message is a clause with the line.
    """
    if len(text) > MAX_BYTES:
        raise YamlError(f"is longer than the {MAX_BYTES} characters that are read")
    text = text.replace("\r\n", "\n").removeprefix("\ufeff")
    if any((char.isspace() or not char.isprintable()) and char not in " \t\n" for char in text):
        raise YamlError("has white space or control characters of an unusual kind")
    return _Reader(text).document()


class _Reader:
    """Reads the lines of one document."""

    def __init__(self, text: str) -> None:
        self._raw = text.split("\n")
        self._lines = [
            _Line(len(line) - len(line.lstrip(" ")), line.strip(), number)
            for number, line in enumerate(self._raw)
        ]
        self._at = 0

    def document(self) -> object:
        self._skip()
        if self._at < len(self._lines) and self._lines[self._at].text == "---":
            self._at += 1
        value = self._block(-1, 0)
        self._skip()
        if self._at < len(self._lines):
            raise self._error("is not understood")
        return value

    def _error(self, what: str) -> YamlError:
        number = self._lines[min(self._at, len(self._lines) - 1)].number + 1
        return YamlError(f"has a line {number} that {what}")

    def _skip(self) -> None:
        """Go to the next line that says something."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.text and not line.text.startswith("#"):
                if line.indent == 0 and line.text.startswith(("...", "%")):
                    raise self._error("begins or ends a document in a way that is not read here")
                if "\t" in self._raw[line.number][: line.indent + 1]:
                    raise self._error("is indented with a tab")
                return
            self._at += 1

    def _block(self, outer: int, depth: int) -> object:
        """Read what is indented more than `outer`."""
        self._skip()
        if self._at >= len(self._lines) or self._lines[self._at].indent <= outer:
            return None
        if depth > MAX_DEPTH:
            raise self._error("is nested too deeply")
        line = self._lines[self._at]
        if line.text == "-" or line.text.startswith("- "):
            return self._sequence(line.indent, depth)
        if _KEY.match(line.text):
            return self._mapping(line.indent, depth)
        self._at += 1
        return self._scalar(line.text, outer)

    def _sequence(self, indent: int, depth: int) -> list[object]:
        found: list[object] = []
        while True:
            self._skip()
            if self._at >= len(self._lines) or self._lines[self._at].indent < indent:
                return found
            line = self._lines[self._at]
            if line.indent > indent or not (line.text == "-" or line.text.startswith("- ")):
                if line.indent == indent:
                    return found
                raise self._error("is indented otherwise than those before")
            rest = line.text[1:].lstrip()
            if not rest or rest.startswith("#"):
                self._at += 1
                found.append(self._block(indent, depth + 1))
                continue
            inner = indent + len(line.text) - len(rest)
            if _KEY.match(rest) or rest.startswith("- ") or rest == "-":
                self._lines[self._at] = _Line(inner, rest, line.number)
                found.append(self._block(indent, depth + 1))
            else:
                self._at += 1
                found.append(self._scalar(rest, indent))

    def _mapping(self, indent: int, depth: int) -> dict[object, object]:
        found: dict[object, object] = {}
        while True:
            self._skip()
            if self._at >= len(self._lines) or self._lines[self._at].indent < indent:
                return found
            line = self._lines[self._at]
            match = _KEY.match(line.text)
            if line.indent > indent or match is None:
                raise self._error("is not understood")
            key = self._inline(match[1])
            if isinstance(key, list | dict) or key == "<<":
                raise self._error("has a key that is not read here")
            if key in found:
                raise self._error(f"gives {key!r} a second time")
            rest = line.text[match.end() :]
            self._at += 1
            if not rest or rest.startswith("#"):
                found[key] = self._value_below(indent, depth)
            else:
                found[key] = self._scalar(rest, indent)

    def _value_below(self, indent: int, depth: int) -> object:
        """Read the value of a key that stands alone; a sequence may stand below it unindented."""
        self._skip()
        if self._at < len(self._lines):
            line = self._lines[self._at]
            if line.indent == indent and (line.text == "-" or line.text.startswith("- ")):
                return self._sequence(indent, depth + 1)
        return self._block(indent, depth + 1)

    def _scalar(self, text: str, indent: int) -> object:
        """Read a value that begins on the line before `_at`, and may go on."""
        if text[0] in "|>":
            return self._literal(text, indent)
        if text[0] in "[{'\"":
            while not _closed(text):
                if self._at >= len(self._lines):
                    raise self._error("is not closed")
                text += " " + self._lines[self._at].text
                self._at += 1
            return self._inline(text)
        last, text = text, _without_comment(text)
        while self._at < len(self._lines):  # a plain text goes on in lines that are indented more
            line = self._lines[self._at]
            if not line.text or line.text.startswith("#") or line.indent <= indent:
                break
            ended = _without_comment(last) != last
            if ended or _KEY.match(line.text) or line.text.startswith(("...", "---")):
                raise self._error("is not understood")
            last = line.text
            text += " " + _without_comment(last)
            self._at += 1
        return self._inline(text)

    def _literal(self, head: str, indent: int) -> str:
        """Read a block scalar."""
        if indent < 0 or not re.fullmatch(r"[|>]-?", _without_comment(head)):
            raise self._error("has a block text of a kind that is not read here")
        lines: list[str] = []
        inner: int | None = None
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.text and line.indent <= indent:
                break
            inner = line.indent if inner is None and line.text else inner
            lines.append(self._raw[line.number][inner or 0 :].rstrip("\n") if line.text else "")
            self._at += 1
        text = "\n".join(lines).rstrip("\n")
        if head[0] == ">":
            if re.search(r"\n[ \t\n]|\A\s", text):
                raise self._error("has a folded text of a kind that is not read here")
            text = text.replace("\n", " ")
        cut_off = self._at == len(self._lines) and bool(self._raw[-1].strip())
        return text if "-" in head or not text or cut_off else text + "\n"

    def _inline(self, text: str) -> object:
        value, end = _Flow(text, self._error("is not understood")).value(0, 0)
        rest = text[end:].strip()
        if rest and not rest.startswith("#"):
            raise self._error("is not understood")
        return value


class _Flow:
    """Reads a value that is written on one line."""

    def __init__(self, text: str, error: YamlError) -> None:
        self._text = text
        self._error = error

    def value(self, at: int, depth: int) -> tuple[object, int]:
        """Give the value that begins at a place, and where it ends."""
        text = self._text
        at = self._space(at)
        if depth > MAX_DEPTH:
            raise self._error
        if at >= len(text):
            return None, at
        if text[at] == "[":
            return self._items(at + 1, depth)
        if text[at] == "{":
            return self._pairs(at + 1, depth)
        if text[at] in "'\"":
            return self._quoted(at)
        if text[at] in "&*!%@`|>,]}#" or (depth and text[at] == "?") or _INDICATOR.match(text, at):
            raise self._error
        return self._plain(at, inside=depth > 0)

    def _space(self, at: int) -> int:
        while at < len(self._text) and self._text[at].isspace():
            at += 1
        return at

    def _items(self, at: int, depth: int) -> tuple[object, int]:
        found: list[object] = []
        while True:
            at = self._space(at)
            if self._text[at : at + 1] == "]":
                return found, at + 1
            value, at = self.value(at, depth + 1)
            found.append(value)
            at = self._comma(at, "]")

    def _pairs(self, at: int, depth: int) -> tuple[object, int]:
        found: dict[object, object] = {}
        while True:
            at = self._space(at)
            if self._text[at : at + 1] == "}":
                return found, at + 1
            key, at = self.value(at, depth + 1)
            at = self._space(at)
            value: object = None
            if self._text[at : at + 1] == ":":
                value, at = self.value(at + 1, depth + 1)
            if isinstance(key, list | dict):
                raise self._error
            found[key] = value
            at = self._comma(at, "}")

    def _comma(self, at: int, closing: str) -> int:
        at = self._space(at)
        if self._text[at : at + 1] == ",":
            return at + 1
        if self._text[at : at + 1] != closing:
            raise self._error
        return at

    def _quoted(self, at: int) -> tuple[object, int]:
        quote, found = self._text[at], ""
        at += 1
        while at < len(self._text):
            char = self._text[at]
            if char == "\\" and quote == '"':
                escaped = _ESCAPES.get(self._text[at + 1 : at + 2])
                if escaped is None:
                    raise self._error
                found += escaped
                at += 2
            elif char == quote:
                if quote == "'" and self._text[at + 1 : at + 2] == "'":
                    found += "'"
                    at += 2
                    continue
                return found, at + 1
            else:
                found += char
                at += 1
        raise self._error

    def _plain(self, at: int, *, inside: bool) -> tuple[object, int]:
        end = at
        text = self._text
        while end < len(text):
            char = text[end]
            if inside and char in ",[]{}" and not text.startswith("${", at):
                break
            if inside and text.startswith("${", end):
                closing = text.find("}", end)
                if closing < 0:
                    raise self._error
                end = closing + 1
                continue
            if char == ":" and (end + 1 == len(text) or text[end + 1] in " ,]}"):
                if not inside:
                    raise self._error
                break
            if inside and char in ",[]{}":
                break
            end += 1
        return resolved(text[at:end].strip(), self._error), end


def resolved(text: str, error: YamlError) -> object:
    """Give what a plain scalar stands for.

    Raises
    ------
    YamlError
        It is of a kind that is not read here: a date, an octal number.
    """
    if text in _NULLS:
        return None
    if text in _TRUTHS:
        return _TRUTHS[text]
    if _INT.fullmatch(text):
        return int(text.replace("_", ""))
    if _OTHER_INT.fullmatch(text) or _DATE.fullmatch(text) or _SIGNED_POINT.match(text):
        raise error
    if _FLOAT.fullmatch(text):
        return float(text.replace("_", ""))
    special = _SPECIAL.fullmatch(text)
    if special is not None:
        return float("nan") if special[3] else float(f"{special[1]}inf")
    return text


def _without_comment(text: str) -> str:
    found = re.search(r"(?:^|\s)#", text)
    return text[: found.start()].rstrip() if found else text


def _closed(text: str) -> bool:
    """Whether brackets and quotes that a text opens are closed in it."""
    depth, quote, at = 0, "", 0
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\" and quote == '"':
                at += 1
            elif char == quote:
                quote = ""
        elif char in "'\"" and (at == 0 or text[at - 1] in " [{,:"):
            quote = char
        elif char in "[{":
            depth += 1
        elif char in "]}":
            depth -= 1
        elif char == "#" and at and text[at - 1].isspace():
            break
        at += 1
    return depth <= 0 and not quote
