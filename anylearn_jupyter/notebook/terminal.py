r"""A log as a terminal would show it, line by line, with nothing left in it that acts.

Bars that rewrite their line with ``\r`` stay one line; backspaces take back; colours (SGR) are
kept; every other escape sequence, cursor move, title, link, clipboard write and control character
is removed (faults F1 to F3). Memory is bounded whatever comes: a line is cut at `MAX_LINE`
characters with a note, and an unfinished escape sequence holds back at most `_MAX_HELD` ones.

The reader is a machine with little state (the open line, the style, an unfinished sequence), so
the text may come in pieces cut anywhere.
"""

from __future__ import annotations

import re

from anylearn_jupyter.notebook.ansi import PLAIN, SGR, Style, plain
from anylearn_jupyter.submit.metric_lines import METRIC_MARK

MAX_LINE = 10_000
"""Characters of one line that a view keeps, colour sequences included."""

MAX_SEQUENCES = 400
"""Colour sequences that are kept in one line."""

_MAX_HELD = 256

# C0 but \b \t \n \r, DEL, C1, the marks that turn the direction of text around (they can make a
# line read as another one), and halves of surrogate pairs, which no JSON can carry.
_DANGEROUS = "\x00-\x07\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_NEEDS_CARE = re.compile(f"[{_DANGEROUS}\x08\r]")
_DANGER_IN_COLOURS = re.compile(f"[{_DANGEROUS}]")
_SHORT_SGR = re.compile(r"\x1b\[[0-9;:]{0,64}m")
_LEADING_SGR = re.compile(r"(?:\x1b\[[0-9;:]*m)*")
_RESET = "\x1b[0m"
_TOKEN = re.compile(
    r"(?P<sgr>\x1b\[[0-9;:]{0,64}m)"
    r"|(?P<string>\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])"
    r"|(?P<sequence>(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~])"
    r"|(?P<held>(?:\x1b\[|\x9b)[0-?]*[ -/]*\Z|\x1b[ -/]*\Z)"
    r"|(?P<other>\x1b[ -/]+[0-~]|\x1b[0-~])"
    f"|(?P<control>[{_DANGEROUS}])"
)
# What ends the body of an operating system command and its like: BEL, ST, CAN, SUB, or, so that a
# broken one cannot swallow the rest of the log, the end of the line. An escape ends it too; if it
# was half of ST, the backslash goes with it.
_STRING_END = re.compile(r"[\x07\x9c\x18\x1a]|\x1b\\|\n|\r|\x1b\Z|\x1b")
_PARTIAL_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;:]*)?\Z")


class TerminalText:
    """Turns pieces of a log into finished lines and one open line.

    Parameters
    ----------
    style : Style, optional
        The colours that hold at the beginning; for reading on from the middle of a log.

    Attributes
    ----------
    style : Style
        The colours that hold at the end of what was fed.

    Notes
    -----
    Each finished line stands alone: colours that were switched on in an earlier line are repeated
    at its beginning. Source: notebook spec, "The views"; faults F1, F2, F3.
    """

    def __init__(self, style: Style = PLAIN) -> None:
        self.style = style
        self._begin_line()
        self._held = ""
        self._in_string = False

    def _begin_line(self) -> None:
        self._line = ""
        self._line_style = self.style
        self._returned = False
        self._cut_bytes = 0

    @property
    def open_line(self) -> str:
        """The last line so far, which has no end yet; empty when there is none."""
        text = self._whole_line()
        seen = plain(text)
        if seen.startswith(METRIC_MARK[:10]) and METRIC_MARK.startswith(seen[: len(METRIC_MARK)]):
            return ""
        return text

    @property
    def between_lines(self) -> bool:
        """Whether nothing is open: the next character begins a new line."""
        return not (self._line or self._held or self._returned or self._in_string)

    @property
    def _begun(self) -> bool:
        return bool(self._line or self._returned or self._cut_bytes)

    def feed(self, text: str) -> list[str]:
        """Take the next piece of the log and return the lines that it finished.

        Parameters
        ----------
        text : str
            Decoded text, cut anywhere.

        Returns
        -------
        list of str
            Without line ends; printable characters, tabs and colour sequences only. Reports of
            metrics are left out.
        """
        if self._held or self._in_string or _NEEDS_CARE.search(text):
            text = self._clean(self._held + text)
        elif self.style == PLAIN and METRIC_MARK not in text:
            return self._feed_plain(text)
        pieces = text.split("\n")
        finished: list[str] = []
        for piece in pieces[:-1]:
            if self._line_style is PLAIN is self.style and not self._begun and _is_alone(piece):
                line = piece
            else:
                self._write(piece)
                line = self._whole_line()
                self._begin_line()
            if not _is_report(line):
                finished.append(line)
        self._write(pieces[-1])
        return finished

    def _feed_plain(self, text: str) -> list[str]:
        """Take text without colours and control characters: most logs, and all fast ones."""
        pieces = text.split("\n")
        self._write(pieces[0])
        if len(pieces) == 1:
            return []
        first = self._whole_line()
        finished = [] if _is_report(first) else [first]
        for line in pieces[1:-1]:
            if len(line) > MAX_LINE:
                self._begin_line()
                self._append(line)
                line = self._whole_line()
            finished.append(line)
        self._begin_line()
        self._write(pieces[-1])
        return finished

    def close(self) -> list[str]:
        """Return the open line as a finished one, if there is one: the log has ended."""
        self._held = ""
        self._in_string = False
        line = self._whole_line()
        self._begin_line()
        return [line] if line and not _is_report(line) else []

    def _clean(self, text: str) -> str:
        """Remove all but text, line ends, carriage returns, backspaces, tabs and colours."""
        self._held = ""
        if not self._in_string and not _DANGER_IN_COLOURS.search(_SHORT_SGR.sub("", text)):
            return text  # colours alone, as in most logs that need care
        kept: list[str] = []
        at = 0
        while at < len(text):
            if self._in_string:
                at = self._skip_string(text, at)
                continue
            match = _TOKEN.search(text, at)
            if match is None:
                kept.append(text[at:])
                break
            kept.append(text[at : match.start()])
            at = match.end()
            if match["sgr"]:
                kept.append(match["sgr"])
            elif match["string"]:
                self._in_string = True
            elif match["held"] and len(match["held"]) <= _MAX_HELD:
                self._held = match["held"]
            elif match["control"] and "\ud800" <= match["control"] <= "\udfff":
                kept.append("\ufffd")
        return "".join(kept)

    def _skip_string(self, text: str, at: int) -> int:
        """Go to the end of an operating system command; return where text goes on."""
        end = _STRING_END.search(text, at)
        if end is None:
            return len(text)
        if end[0] == "\x1b" and end.end() == len(text):
            self._held = "\x1b"  # perhaps half of ST: the next piece tells
            return len(text)
        self._in_string = False
        return end.start() if end[0] in ("\n", "\r", "\x1b") else end.end()

    def _write(self, piece: str) -> None:
        """Put text without a line end on the open line."""
        if "\r" not in piece:
            if piece:
                self._put(piece)
            return
        for number, part in enumerate(piece.split("\r")):
            if number:
                self._returned = True
            if part:
                self._put(part)

    def _put(self, part: str) -> None:
        colored = "\x1b" in part
        if self._returned and plain(part).strip("\b"):
            # Text after a carriage return rewrites the line. That it rewrites all of it, not only
            # as many characters as it has, is what each kind of bar means.
            self._begin_line()
        if "\b" in part and self._cut_bytes:
            part = part.replace("\b", "")  # what they would take is among what was cut
        elif "\b" in part:
            part = _take_back(self._line + part)
            self._line = ""
        self._append(part)
        if colored:
            reset = part.rfind(_RESET)
            style = self.style if reset < 0 else PLAIN
            for match in SGR.finditer(part, max(reset, 0)):
                style = style.after(match[1])
            self.style = style

    def _append(self, part: str) -> None:
        if "\x1b" in part and self._line.count("\x1b") + part.count("\x1b") > MAX_SEQUENCES:
            part = plain(part)
        room = MAX_LINE - len(self._line)
        if self._cut_bytes or len(part) > room:
            room = 0 if self._cut_bytes else room
            fits = _PARTIAL_SEQUENCE.sub("", part[:room])
            self._cut_bytes += len(part[len(fits) :].encode("utf-8", "replace"))
            part = fits
        self._line += part

    def _whole_line(self) -> str:
        if not self._line:
            return ""
        line = self._line
        if self._line_style is not PLAIN:
            line = self._line_style.sequence() + line
        if self._cut_bytes:
            line += f"\x1b[0;2m … {size_text(self._cut_bytes)} cut"
        return line


def _is_alone(piece: str) -> bool:
    """Whether a line is kept as it is, and leaves no colour switched on."""
    if "\r" in piece or "\b" in piece or len(piece) > MAX_LINE:
        return False
    last = piece.rfind("\x1b")
    return last < 0 or (
        piece.startswith(_RESET, last) and piece.count("\x1b", 0, last) < MAX_SEQUENCES
    )


def _is_report(line: str) -> bool:
    """Whether a line is a report of a metric, which views hide."""
    start = 0
    if line.startswith("\x1b"):
        if line[line.find("m") + 1 :][:1] not in ("\x1b", METRIC_MARK[0]):
            return False
        leading = _LEADING_SGR.match(line)
        start = leading.end() if leading is not None else 0
    return line.startswith(METRIC_MARK[0], start) and plain(line).startswith(METRIC_MARK)


def _take_back(line: str) -> str:
    """Carry out the backspaces of a line: each takes the character before it, if there is one."""
    kept: list[str] = []
    texts: list[int] = []  # where in `kept` characters are, not colour sequences
    for token in re.findall(r"\x1b\[[0-9;:]*m|[\s\S]", line):
        if token == "\b":
            if texts:
                kept[texts.pop()] = ""
        else:
            if len(token) == 1:
                texts.append(len(kept))
            kept.append(token)
    return "".join(kept)


def size_text(size_bytes: int) -> str:
    """Write a number of bytes for people: ``9.9 MB``; decimal units."""
    size = float(size_bytes)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.5 or unit == "GB":
            break
        size /= 1000
    if unit == "bytes":
        return "1 byte" if size_bytes == 1 else f"{size_bytes} bytes"
    return f"{size:.1f} {unit}" if size < 99.95 else f"{size:.0f} {unit}"
