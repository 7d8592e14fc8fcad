"""The body of a training cell: hyperparameters, one per line.

::

    body  := { blank | "#" text | NAME ("=" | ":") value | NAME "in" values | NAME
             | "--" raw arguments }
    value := "{" expression "}" | Python literal | true | false | null | text with {expression}
    values:= Python list or tuple | "{" expression "}" | range(…) | log(lo, hi[, n])
             | uniform(lo, hi)
    NAME  := letters, digits, "_", "-", "."

An unquoted scalar stays as it is typed, character by character; a quoted value is the string
inside; lists, tuples and dicts are Python literals; ``{expression}`` alone keeps its Python type.
A comment starts at a ``#`` after white space outside quotes. A line that fits no form is an error
that quotes it and shows it corrected.

Notes
-----
Source: notebook spec, "Body: hyperparameters, one per line". ``NAME in values`` is read by
`sweep_lines`; ``---`` is of `code_cells`, and refused here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.expressions import (
    Names,
    closing_brace,
    closing_quote,
    compiled,
    python_literal,
)
from anylearn_jupyter.notebook.sweep_lines import read_sweep
from anylearn_jupyter.notebook.words import split_words


class Truth(Enum):
    """The words that are no text: a bare name is `YES` too."""

    YES = "true"
    NO = "false"
    NULL = "null"


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter as it was written.

    Attributes
    ----------
    name : str
        Without prefix.
    value : object
        `Truth` for a flag; a str for text, exactly as the script shall get it; a `Dimension` for
        a line ``NAME in values``; otherwise what a literal or an expression gave, with its type.
    source : str
        The line or option that it is from, for errors.
    typed : bool
        Whether the value is text that stands without quotes: where Python reads it, ``1e-3`` is a
        number then.
    """

    name: str
    value: object
    source: str
    typed: bool = False


@dataclass(frozen=True)
class Body:
    """What a cell's body says.

    Attributes
    ----------
    parameters : tuple of Parameter
        In their order; no name twice.
    raw : tuple of str
        The words of the lines that begin with ``--``, in their order.
    """

    parameters: tuple[Parameter, ...] = ()
    raw: tuple[str, ...] = ()


_NAME = r"[A-Za-z0-9_.][A-Za-z0-9_.\-]*"
_ASSIGNMENT = re.compile(rf"({_NAME})\s*[=:]\s*(.*)", re.DOTALL)
_SWEEP = re.compile(rf"({_NAME})\s+in\s+(\S.*)")
_BARE = re.compile(_NAME)
_STRING = re.compile(r"(?:[rR]|[bB]|[uU]|[rR][bB]|[bB][rR])?['\"]")
_F_STRING = re.compile(r"(?:[fF][rR]?|[rR][fF])['\"]")
_STRING_PREFIX = re.compile(r"(?<![\w'\"])[A-Za-z]{1,2}\Z")


def read_body(text: str, names: Names) -> Body:
    """Read the body of a cell.

    Parameters
    ----------
    text : str
        The lines below the magic's own.
    names : Names
        To evaluate expressions with.

    Raises
    ------
    OptionError
        A line fits no form, an expression cannot be computed, or a name is given twice.
    """
    parameters: dict[str, Parameter] = {}
    raw: list[str] = []
    given_raw: dict[str, str] = {}
    for line in text.split("\n"):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("--") and set(line) != {"-"}:
            words = raw_words(line, names)
            raw += words
            given_raw |= dict.fromkeys(option_names(words), line)
            continue
        parameter = read_line(line, names)
        earlier = parameters.get(parameter.name)
        if earlier is not None:
            raise _given_twice(parameter.name, earlier.source, line)
        parameters[parameter.name] = parameter
    for name in parameters.keys() & given_raw.keys():
        raise _given_twice(name, parameters[name].source, given_raw[name])
    return Body(tuple(parameters.values()), tuple(raw))


def read_line(line: str, names: Names) -> Parameter:
    """Read one line that is neither blank, nor a comment, nor raw arguments.

    Raises
    ------
    OptionError
        It fits no form; the message quotes it and shows it corrected.
    """
    stripped = without_comment(line)
    if set(stripped) == {"-"}:
        raise OptionError(
            f"The line `{stripped}` ends the head of a cell that is itself the script; write "
            "`%%anylearn_train --code`, or leave the line out."
        )
    assignment = _ASSIGNMENT.fullmatch(stripped)
    if assignment is not None:
        name, value = assignment.groups()
        return Parameter(name, read_value(name, value, line, names), line, _is_typed(value))
    if _BARE.fullmatch(stripped):
        return Parameter(stripped, Truth.YES, line)
    sweep = _SWEEP.fullmatch(stripped)
    if sweep is not None:
        return Parameter(sweep[1], read_sweep(sweep[1], sweep[2], line, names), line)
    raise OptionError(
        f"The line `{line}` is no hyperparameter, which are written NAME = value; did you mean "
        f"`{_corrected(stripped)}`?"
    )


def read_setting(text: str, option: str, names: Names) -> Parameter:
    """Read ``NAME=value`` as an option has it; the value is as in the body.

    Raises
    ------
    OptionError
        It has no such form.
    """
    source = f"{option} {text}"
    assignment = _ASSIGNMENT.fullmatch(text)
    if assignment is None or "=" not in text:
        raise OptionError(f"`{source}` is no setting; write {option} NAME=value.")
    name, value = assignment.groups()
    return Parameter(name, read_value(name, value, source, names), source, _is_typed(value))


def read_value(name: str, text: str, line: str, names: Names) -> object:
    """Read a value.

    Parameters
    ----------
    name, line : str
        Whose it is, and where it stands; for errors.
    text : str
        Without the comment.
    names : Names
        To evaluate expressions with.

    Raises
    ------
    OptionError
        It is missing, or begins as a string, a list or an expression and is none.
    """
    text = text.strip()
    try:
        if not text:
            raise OptionError(f"there is no value; write `{name} = ''` for empty text, or `{name}`")
        if text.startswith("="):
            raise OptionError(f"it has two signs; write `{name} = {text.lstrip('= ') or 'value'}`")
        return _value(name, text, names)
    except OptionError as error:
        reason = str(error).rstrip(".")
        end = "" if reason.endswith("?") else "."
        raise OptionError(f"The line `{line}` cannot be used: {reason}{end}") from error


def _value(name: str, text: str, names: Names) -> object:
    if text in {truth.value for truth in Truth}:
        return Truth(text)
    if _F_STRING.match(text):
        inside = text.strip("fFrR").strip(text[-1])
        raise OptionError(f"expressions need no f and no quotes here; write `{name} = {inside}`")
    if _STRING.match(text):
        return _literal(
            text, f"its quotes do not go around all of it; write `{name} = {text!r}` for this text"
        )
    if text[0] in "[(":
        return _literal(
            text,
            "a bracket begins a list of numbers and quoted strings; variables go into braces, as "
            f"in `{name} = {{[first, second]}}`, and text into quotes, `{name} = {text!r}`",
        )
    if _is_braced(text):
        return _in_braces(text, names)
    return names.text(text)


def _is_typed(text: str) -> bool:
    """Whether a value is text as it stands, perhaps with expressions in it."""
    text = text.strip()
    if text in {truth.value for truth in Truth} or _STRING.match(text):
        return False
    return not (text[0] in "[(" or _is_braced(text))


def _is_braced(text: str) -> bool:
    """Whether a value is one ``{expression}`` and nothing else."""
    begins = text.startswith("{") and not text.startswith("{{")
    return begins and closing_brace(text, 0) == len(text) - 1


def _in_braces(text: str, names: Names) -> object:
    """Give the value of an expression, or of a dict that is written out."""
    if compiled(text[1:-1]) is None:
        try:
            return python_literal(text)
        except ValueError:
            pass  # perhaps an expression with a format
    return names.value(text)


def _literal(text: str, otherwise: str) -> object:
    try:
        return python_literal(text)
    except ValueError as error:
        raise OptionError(otherwise) from error


def raw_words(line: str, names: Names) -> list[str]:
    """Read a line ``--lr 0.1`` (these words) or ``-- rest`` (the words of the rest).

    Expressions stand for text; a quoted word is what is in the quotes.
    """
    templates = split_words(line)
    if templates[0] == "--":
        templates = templates[1:]
    return [names.text(template) for template in templates]


def raw_text(words: tuple[str, ...]) -> str:
    """Write raw words as shell text that gives exactly them."""
    return " ".join(shlex.quote(word) for word in words)


def option_names(words: list[str] | tuple[str, ...]) -> Iterator[str]:
    """Give the names of the long options among raw words."""
    for word in words:
        if word.startswith("--") and len(word) > 2:
            yield word[2:].partition("=")[0]


def without_comment(line: str) -> str:
    """Cut a comment off: from a ``#`` after white space, outside quotes and braces.

    A quote only opens a string where a word may begin (``it's`` has none), and only if it is
    closed.
    """
    at = 0
    while at < len(line):
        char = line[at]
        end = None
        if char in "'\"" and _may_open(line, at):
            end = closing_quote(line, at)
        elif char == "{" and not line.startswith("{{", at):
            end = closing_brace(line, at)
        elif char == "#" and (at == 0 or line[at - 1].isspace()):
            return line[:at].rstrip()
        at = (at if end is None else end) + 1
    return line.rstrip()


def _may_open(line: str, at: int) -> bool:
    before = line[:at]
    return (
        not before
        or not (before[-1].isalnum() or before[-1] in "_'\"")
        or bool(_STRING_PREFIX.search(before))
    )


def _given_twice(name: str, first: str, second: str) -> OptionError:
    return OptionError(
        f"The hyperparameter {name!r} is given twice, by `{first}` and by `{second}`; keep one of "
        "them."
    )


def _corrected(line: str) -> str:
    """Write a line that fits no form as what was probably meant."""
    if line.startswith("-"):
        return f"-- {line}"
    left, sign, right = line.partition("=")
    if sign and left.strip():
        return f"{_as_name(left)} = {right.strip()}"
    first, _, rest = line.partition(" ")
    rest = rest.strip(" \t-=:>")
    return f"{_as_name(first)} = {rest or 'value'}"


def _as_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.\-]+", "_", text.strip()).strip("_-") or "name"
