"""``{expression}`` in what a person types: where it ends, and what it is worth.

A *template* is text in which ``{expression}`` stands for a value of the notebook, and ``{{`` and
``}}`` for braces. An expression is evaluated in the user's namespace, as IPython's own ``{}`` is,
and may end with a conversion or a format as in an f-string (``{lr:.3f}``). ``$`` is never special.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any

from anylearn_jupyter.errors import OptionError

_OPENING = {"(": ")", "[": "]", "{": "}"}
_CONVERSIONS: dict[str, Callable[[object], str]] = {"r": repr, "s": str, "a": ascii}
_MISSING_NAME = re.compile(r"name '([^']+)' is not defined")


@dataclass(frozen=True)
class Expression:
    """What stands between two braces.

    Attributes
    ----------
    text : str
        As it was typed, without the braces.
    code : CodeType
        The compiled expression, without what follows it.
    conversion : str
        ``r``, ``s`` or ``a``; empty without one.
    format_spec : str or None
        What stands behind a colon; None without one.
    """

    text: str
    code: CodeType
    conversion: str = ""
    format_spec: str | None = None

    @property
    def plain(self) -> bool:
        """Whether the value keeps its type: nothing makes text of it."""
        return not self.conversion and self.format_spec is None


def closing_brace(text: str, start: int) -> int | None:
    """Find the brace that closes the one at `start`.

    Brackets within are balanced, and what is in quotes does not count.

    Returns
    -------
    int or None
        None where it is never closed.
    """
    expected: list[str] = []
    at = start
    while at < len(text):
        char = text[at]
        if char in "'\"":
            end = closing_quote(text, at)
            if end is None:
                return None
            at = end
        elif char in _OPENING:
            expected.append(_OPENING[char])
        elif char in ")]}":
            if char != expected.pop():
                return None
            if not expected:
                return at
        at += 1
    return None


def closing_quote(text: str, start: int) -> int | None:
    """Find the end of the Python string whose quote is at `start`; None where it has none."""
    mark = text[start]
    if text.startswith(mark * 3, start):
        end = text.find(mark * 3, start + 3)
        return None if end < 0 else end + 2
    at = start + 1
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == mark:
            return at
        at += 1
    return None


def pieces(template: str) -> list[str | Expression]:
    """Take a template apart into text and expressions.

    Raises
    ------
    OptionError
        A brace is left alone, or what stands in braces is no expression.
    """
    found: list[str | Expression] = []
    literal = ""
    at = 0
    while at < len(template):
        char = template[at]
        if char in "{}" and template[at : at + 2] == char * 2:
            literal += char
            at += 2
        elif char == "{":
            end = closing_brace(template, at)
            if end is None:
                raise OptionError(
                    f"{template!r} has a {{ that is never closed; write {{{{ for the character."
                )
            if literal:
                found.append(literal)
                literal = ""
            found.append(read_expression(template[at + 1 : end]))
            at = end + 1
        elif char == "}":
            raise OptionError(
                f"{template!r} has a }} that closes nothing; write }}}} for the character."
            )
        else:
            literal += char
            at += 1
    if literal:
        found.append(literal)
    return found


def read_expression(text: str) -> Expression:
    """Compile what stands in braces.

    Raises
    ------
    OptionError
        It is no Python expression.
    """
    code = compiled(text)
    if code is not None:
        return Expression(text, code)
    for at in _outer_colons(text):
        code = compiled(text[:at])
        if code is not None:
            return Expression(text, code, format_spec=text[at + 1 :])
        converted = re.fullmatch(r"(?s)(.+)!([rsa])\s*", text[:at])
        code = compiled(converted[1]) if converted else None
        if converted and code is not None:
            return Expression(text, code, converted[2], text[at + 1 :])
    converted = re.fullmatch(r"(?s)(.+)!([rsa])\s*", text)
    code = compiled(converted[1]) if converted else None
    if converted and code is not None:
        return Expression(text, code, converted[2])
    raise OptionError(
        f"{{{text}}} is no Python expression; for braces themselves write {{{{ and }}}}."
    )


def compiled(text: str) -> CodeType | None:
    """Compile a Python expression; None where it is none."""
    import warnings

    try:
        with warnings.catch_warnings():
            # `{"5" is x}` works as it does in a cell; the warning would name our own line.
            warnings.simplefilter("ignore", SyntaxWarning)
            return compile(text.strip(), "<expression in braces>", "eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _outer_colons(text: str) -> list[int]:
    """Find the colons that are in no bracket and in no quotes."""
    found: list[int] = []
    depth = at = 0
    while at < len(text):
        char = text[at]
        if char in "'\"":
            at = closing_quote(text, at) or len(text)
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == ":" and depth == 0:
            found.append(at)
        at += 1
    return found


class Names:
    """The user's variables, to evaluate expressions with.

    Parameters
    ----------
    variables : dict
        The user's namespace itself; nothing is put into it but what an expression assigns.
    """

    def __init__(self, variables: dict[str, Any]) -> None:
        self._variables = variables

    def has(self, name: str) -> bool:
        """Whether there is a variable of this name."""
        return name in self._variables

    def variable(self, name: str) -> object:
        """Give the value of a variable that is there."""
        return self._variables[name]

    def text(self, template: str) -> str:
        """Write a template as text.

        Raises
        ------
        OptionError
            An expression cannot be computed.
        """
        return "".join(
            piece if isinstance(piece, str) else self._written(piece) for piece in pieces(template)
        )

    def value(self, template: str) -> object:
        """Give the value of a template: with its type where it is only ``{expression}``."""
        found = pieces(template)
        if len(found) == 1 and isinstance(found[0], Expression) and found[0].plain:
            return self.computed(found[0])
        return self.text(template)

    def computed(self, expression: Expression) -> object:
        """Evaluate an expression.

        Raises
        ------
        OptionError
            It raised an exception; the message has it.
        """
        try:
            # The user's own text in the user's own kernel: it can do no more than a cell can.
            return eval(expression.code, self._variables)
        except Exception as error:
            missing = _MISSING_NAME.search(str(error)) if isinstance(error, NameError) else None
            guess = self._guess(missing[1]) if missing else ""
            said = f"{type(error).__name__}: {error}{guess or '.'}"
            raise OptionError(f"{{{expression.text}}} cannot be computed: {said}") from error

    def _written(self, expression: Expression) -> str:
        value = self.computed(expression)
        if expression.conversion:
            value = _CONVERSIONS[expression.conversion](value)
        try:
            return format(value, self.text(expression.format_spec or ""))
        except (TypeError, ValueError) as error:
            raise OptionError(
                f"{{{expression.text}}} cannot be written as text: {error}."
            ) from error

    def _guess(self, name: str) -> str:
        public = [one for one in self._variables if not one.startswith("_")]
        close = difflib.get_close_matches(name, public, n=1)
        return f"; did you mean {close[0]!r}?" if close else ""


def escaped(text: str) -> str:
    """Write text as a template that means exactly this text."""
    return text.replace("{", "{{").replace("}", "}}")


def python_literal(text: str) -> object:
    """Read a Python literal.

    Raises
    ------
    ValueError
        It is none.
    """
    try:
        return ast.literal_eval(text)
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(str(error)) from error
