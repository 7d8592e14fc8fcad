"""The cell that a form stands for: its options as templates, its body line by line.

The text of this cell is the one truth of a form. A control changes a word or a line of it and
leaves every other one as it is; what no control shows stays in it all the same.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Iterator

from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.cell_text import MAGIC, CellText
from anylearn_jupyter.notebook.cell_words import option_word, template_word
from anylearn_jupyter.notebook.grammar import without_comment
from anylearn_jupyter.notebook.words import split_words

OWN_BUTTONS = ("form", "plan")
"""Options that a form has no field for: it is one, and its button shows the other."""

_LINE = re.compile(r"([A-Za-z0-9_.][A-Za-z0-9_.\-]*)(?:\s*[=:]\s*(.*))?", re.DOTALL)
_END_OF_HEAD = "---"


class Draft:
    """A training cell that is being written.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of ``%%anylearn_train``.
    given : argparse.Namespace
        The options, their texts as templates.
    body : str
        The lines below.
    """

    def __init__(
        self, parser: argparse.ArgumentParser, given: argparse.Namespace, body: str = ""
    ) -> None:
        self._parser = parser
        self._given = argparse.Namespace(**vars(given))
        lines = body.rstrip("\n").split("\n") if body.strip() else []
        head, code = _divided(lines) if given.code else (lines, ())
        self._lines = [line.rstrip() for line in head]
        self._code = code

    @classmethod
    def of_line(cls, parser: argparse.ArgumentParser, line: str, body: str = "") -> Draft:
        """Read a cell.

        Raises
        ------
        OptionError
            Its line has an option that is none.
        """
        return cls(parser, parse_line(parser, line, body=True), body)

    # The line.

    def texts(self, dest: str) -> list[str]:
        """Give the templates of an option, none where it is not given."""
        value = getattr(self._given, dest)
        if value is None or isinstance(value, bool):
            return []
        return [value] if isinstance(value, str) else list(value)

    def text(self, dest: str) -> str:
        """Give the template of an option as one writes it alone; empty where it is not given.

        Several ones are written as words of a line.
        """
        action = self.action(dest)
        texts = self.texts(dest)
        return " ".join(map(template_word, texts)) if is_list(action) else "".join(texts[:1])

    def is_set(self, dest: str) -> bool:
        """Whether an option without a value is given."""
        return getattr(self._given, dest) is True

    def put(self, dest: str, text: str) -> None:
        """Give an option what was typed into its field; nothing leaves it out.

        Raises
        ------
        OptionError
            A quote or a brace of several words is never closed.
        """
        if is_list(self.action(dest)):
            self.put_texts(dest, split_words(text))
        else:
            setattr(self._given, dest, text or None)

    def put_texts(self, dest: str, texts: Iterable[str]) -> None:
        """Give a repeated option these templates."""
        setattr(self._given, dest, list(texts))

    def put_flag(self, dest: str, *, on: bool) -> None:
        """Give an option without a value, or leave it out."""
        setattr(self._given, dest, on)

    def action(self, dest: str) -> argparse.Action:
        """Give the declaration of an option."""
        return next(one for one in self._parser._actions if one.dest == dest)

    # The body.

    def value(self, name: str) -> str | None:
        """Give what stands behind a name of the body, as it was typed.

        Returns
        -------
        str or None
            Empty for a name alone; None where there is no such line.
        """
        for line in self._lines:
            found = _named(line)
            if found is not None and found[0] == name:
                return found[1]
        return None

    def put_value(self, name: str, value: str | None) -> None:
        """Write the line of a hyperparameter; an empty value makes a name alone, None no line."""
        line = None if value is None else name if value == "" else f"{name} = {value}"
        for at, old in enumerate(self._lines):
            found = _named(old)
            if found is not None and found[0] == name:
                self._lines[at : at + 1] = [] if line is None else [line]
                return
        if line is not None:
            self._lines.append(line)

    @property
    def given(self) -> argparse.Namespace:
        """The options as `training` takes them."""
        return argparse.Namespace(**vars(self._given))

    @property
    def lines(self) -> list[str]:
        """The lines of the body, without the code of a cell that is itself the script."""
        return list(self._lines)

    def put_lines(self, lines: Iterable[str]) -> None:
        """Write the body anew."""
        self._lines = list(lines)

    @staticmethod
    def name_of(line: str) -> str | None:
        """Give the name that a line ``NAME = value`` or ``NAME`` gives; None for any other."""
        found = _named(line)
        return None if found is None else found[0]

    def names(self) -> list[str]:
        """Give the names of the body's lines ``NAME = value`` and ``NAME``, in their order."""
        return [found[0] for line in self._lines if (found := _named(line)) is not None]

    def other_lines(self, shown: Callable[[str], bool]) -> list[str]:
        """Give the lines that no control shows: of other names, comments, raw words, sweeps."""
        return [line for line in self._lines if not _shown(line, shown)]

    def put_other_lines(self, lines: Iterable[str], shown: Callable[[str], bool]) -> None:
        """Write other lines in place of those that no control shows."""
        self._lines = [line for line in self._lines if _shown(line, shown)]
        self._lines += [line.rstrip() for line in lines]

    # The whole.

    @property
    def code(self) -> tuple[str, ...]:
        """What stands below ``---`` in a cell that is itself the script, that line included."""
        return self._code

    @property
    def cell(self) -> CellText:
        """The cell, without the form's own option."""
        return CellText(tuple(self._words()), (*self._lines, *self._code))

    @property
    def body(self) -> str:
        """The lines below the first one."""
        return "\n".join((*self._lines, *self._code))

    def __str__(self) -> str:
        """Write the cell as it is run."""
        return str(self.cell)

    def _words(self) -> Iterator[str]:
        for action in self._parser._actions:
            value = getattr(self._given, action.dest)
            if action.dest in OWN_BUTTONS or value in (None, False, [], ""):
                continue
            if not action.option_strings:
                yield from map(template_word, self.texts(action.dest))
            elif value is True:
                yield short_flag(action)
            else:
                for text in self.texts(action.dest):
                    yield option_word(short_flag(action), template_word(text))


def is_list(action: argparse.Action) -> bool:
    """Whether an option may be given several times, or takes several words."""
    return isinstance(action, argparse._AppendAction) or action.nargs == "*"


def short_flag(action: argparse.Action) -> str:
    """Give the way to write an option that people use: the first that is declared."""
    return action.option_strings[0]


def with_magic(text: str) -> tuple[str, str]:
    """Divide a cell's text into what follows the magic's name, and the body."""
    first, _, body = text.strip("\n").partition("\n")
    return first.strip().removeprefix(MAGIC).strip(), body


def _divided(lines: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Divide a body into its head and the code of a cell that is itself the script."""
    for at, line in enumerate(lines):
        if line.strip() == _END_OF_HEAD:
            return lines[:at], tuple(lines[at:])
    return [], (_END_OF_HEAD, *lines) if lines else ()


def _named(line: str) -> tuple[str, str] | None:
    """Take a line ``NAME = value`` or ``NAME`` apart; the value as it was typed."""
    stripped = line.strip()
    if not stripped or stripped.startswith(("#", "--")):
        return None
    found = _LINE.fullmatch(without_comment(stripped))
    if found is None:
        return None
    value = found[2]
    if value is None:
        return found[1], ""
    return (found[1], value.strip()) if value.strip() else None


def _shown(line: str, shown: Callable[[str], bool]) -> bool:
    found = _named(line)
    return found is not None and shown(found[0])
