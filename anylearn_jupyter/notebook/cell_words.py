"""Writing what a person would type: words of a magic's line, and lines of a cell's body.

The other way round is `words`, `expressions` and `grammar`: what is written here is read there as
what it was.
"""

from __future__ import annotations

import re

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.expressions import Names, closing_brace, escaped
from anylearn_jupyter.notebook.grammar import read_line

_PLAIN = re.compile(r"[A-Za-z0-9_./:=,@%+*~^!-]+")
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.\-]*")


def word(text: str) -> str:
    r"""Write a text as one word of a line.

    Examples
    --------
    >>> print(word("train.py"), word("a b"), word("{x}"), word("it's"), word("two\nlines"))
    train.py 'a b' '{x}' 'it'"'"'s' {'two\nlines'}
    """
    return template_word(escaped(text))


def template_word(template: str) -> str:
    """Write a template, whose ``{expression}`` stands for a value, as one word of a line."""
    return _word(template) or "''"


def _word(template: str) -> str:
    written, literal, at = "", "", 0
    while at < len(template):
        char = template[at]
        end = None
        if char in "{}" and template[at : at + 2] == char * 2:
            literal += char
            at += 2
            continue
        if char == "{":
            end = closing_brace(template, at)
        if end is None:
            literal += char
            at += 1
            continue
        written += _quoted(literal) + template[at : end + 1]
        literal, at = "", end + 1
    return written + _quoted(literal)


def _quoted(text: str) -> str:
    if not text or _PLAIN.fullmatch(text):
        return text
    if not text.isprintable():
        return f"{{{text!a}}}"  # a line of a cell has no room for another line
    return "'" + text.replace("'", "'\"'\"'") + "'"


def option_word(flag: str, written: str) -> str:
    """Write an option with its value, which may begin with a dash."""
    return f"{flag}={written}" if written.startswith(("-", "'-")) else f"{flag} {written}"


def value_line(name: str, value: object) -> str | None:
    """Write the line of a body that gives a hyperparameter this value.

    Parameters
    ----------
    name : str
        Without prefix.
    value : object
        A text, or what a Python literal can be: lists and tuples of texts and numbers, None.

    Returns
    -------
    str or None
        None where no line can say it.

    Examples
    --------
    >>> print(value_line("lr", "1e-3"), value_line("note", "a # b"), value_line("b", [0.9, "x"]))
    lr = 1e-3 note = 'a # b' b = [0.9, 'x']
    """
    if not _NAME.fullmatch(name):
        return None
    candidates = [repr(value)]
    if isinstance(value, str):
        candidates = [escaped(value), repr(value), ascii(value)]
    for written in candidates:
        line = f"{name} = {written}"
        if not line.isprintable():
            continue
        try:
            read = read_line(line, Names({}))
        except OptionError:
            continue
        if (read.name, read.value) == (name, value) and isinstance(read.value, str) == isinstance(
            value, str
        ):
            return line
    return None
