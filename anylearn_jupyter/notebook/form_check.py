"""Whether what stands in a form would be accepted, found out as one types: nothing is called.

The cell is read as the magic would read it, and what that refuses is matched to the control that
it is about. Expressions are looked up only where that runs no code of the user's: a name, a
literal, an element of a list or a dict. Anything else is computed when the cell is submitted.
"""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from anylearn_jupyter.errors import AnylearnError, OptionError
from anylearn_jupyter.notebook.expressions import Expression, Names
from anylearn_jupyter.notebook.form_draft import Draft, is_list
from anylearn_jupyter.notebook.grammar import read_body
from anylearn_jupyter.notebook.training import Training, training

ENTRY = "option entry"
OTHER_LINES = "other lines"
"""Keys of two fields; the others are `option_key` and `value_key`."""

_STILL_NODES = (
    ast.Expression,
    ast.Constant,
    ast.Name,
    ast.Load,
    ast.List,
    ast.Tuple,
    ast.Dict,
    ast.Subscript,
    ast.UnaryOp,
    ast.USub,
)
_PLAIN_TYPES = (str, int, float, bool, type(None))
_ROUNDS = 12
_REQUIRED = re.compile(r"the following arguments are required: ([^\n]+?)\.(?: |\n|$)")
_ARGUMENT = re.compile(r"argument ([^:\n]+):")
_FLAG = re.compile(r"(?<![\w-])--?[a-z][\w-]*")
_ABOUT_ENTRY = re.compile(r"nothing to run|entrypoint|\bscript\b|is no option; arguments of")


def option_key(dest: str) -> str:
    """Name the field of one of the magic's options."""
    return f"option {dest}"


def value_key(name: str) -> str:
    """Name the field of a hyperparameter."""
    return f"value {name}"


class NotNowError(Exception):
    """An expression would run code, so it is left for the submission."""


class StillNames(Names):
    """The user's variables, of which only what is plain is looked at."""

    def computed(self, expression: Expression) -> object:
        """Look an expression up.

        Raises
        ------
        NotNowError
            It would run code, or gives something that may.
        OptionError
            There is no such name, or element.
        """
        if not _is_still(expression, self._variables):
            raise NotNowError
        value = super().computed(expression)
        if not _is_plain(value):
            raise NotNowError
        return value

    def variable(self, name: str) -> object:
        """Give the value of a variable that is there."""
        value = super().variable(name)
        if not _is_plain(value):
            raise NotNowError
        return value


@dataclass(frozen=True)
class Checked:
    """What is wrong with a form, and what is still open.

    Attributes
    ----------
    errors : Mapping
        The magic's own sentence by the field that it is about.
    general : tuple of str
        Sentences that are about no single field.
    missing : tuple of str
        Names that the script requires and nothing gives.
    later : tuple of str
        Expressions that are computed at the submission.
    training : Training or None
        What was understood; None where something is wrong.
    """

    errors: Mapping[str, str] = field(default_factory=dict)
    general: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    training: Training | None = None


def check(
    parser: argparse.ArgumentParser,
    line: str,
    body: str,
    variables: dict[str, Any],
    *,
    configured_server: str = "",
) -> Checked:
    """Find everything that is wrong with a cell, one fault after the other.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        Of ``%%anylearn_train``.
    line, body : str
        The cell.
    variables : dict
        The user's namespace.
    configured_server : str
        What ``%config`` says; empty for nothing.
    """
    try:
        draft = Draft.of_line(parser, line, body)
    except OptionError as error:
        return Checked(general=(str(error),))
    names = StillNames(variables)
    later = tuple(_leave_for_later(draft, parser, names))
    errors: dict[str, str] = {}
    for _ in range(_ROUNDS):
        try:
            wanted = _training(parser, draft, names, configured_server)
        except NotNowError:
            return Checked(errors, later=later)
        except AnylearnError as error:
            message = str(error)
            if message.startswith("There is nothing to run"):
                return Checked(errors, missing=("the script",), later=later)
            missing = _missing(message)
            if missing:
                known = {*errors, *later}
                open_names = tuple(one for one in missing if value_key(one) not in known)
                return Checked(errors, missing=() if later else open_names, later=later)
            key = _field_of(message, draft, parser)
            if key == ENTRY:
                return Checked({**errors, ENTRY: message}, later=later)
            if key is None or key in errors or not _leave_out(draft, key):
                general = () if key in errors else (message,)
                return Checked(errors, general, later=later)
            errors[key] = message
            continue
        return Checked(errors, later=later, training=wanted if not errors else None)
    return Checked(errors, later=later)


def _training(
    parser: argparse.ArgumentParser, draft: Draft, names: Names, configured_server: str
) -> Training:
    given = Draft.of_line(parser, draft.cell.line).given
    return training(given, draft.body, names, configured_server=configured_server)


def _leave_for_later(
    draft: Draft, parser: argparse.ArgumentParser, names: StillNames
) -> Iterator[str]:
    """Take out what has to be computed, and name it."""
    for action in parser._actions:
        kept = []
        for text in draft.texts(action.dest):
            if _is_for_later(lambda text=text: names.value(text)):
                yield text
            else:
                kept.append(text)
        if len(kept) == len(draft.texts(action.dest)):
            continue
        if is_list(action):
            draft.put_texts(action.dest, kept)
        else:
            draft.put(action.dest, "")
    kept_lines = []
    for line in draft.lines:
        if _is_for_later(lambda line=line: read_body(line, names)):
            yield line
        else:
            kept_lines.append(line)
    draft.put_lines(kept_lines)


def _is_for_later(read: Any) -> bool:
    try:
        read()
    except NotNowError:
        return True
    except OptionError:
        return False  # it is said with everything else that is wrong
    return False


def _is_still(expression: Expression, variables: Mapping[str, Any]) -> bool:
    """Whether looking an expression up runs nothing of the user's."""
    text = expression.text
    if expression.format_spec is not None:
        text = text[: len(text) - len(expression.format_spec) - 1]
    if expression.conversion:
        text = text.rstrip()[:-2]
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    nodes = list(ast.walk(tree))
    named = [node.id for node in nodes if isinstance(node, ast.Name)]
    return all(isinstance(node, _STILL_NODES) for node in nodes) and all(
        _is_plain(variables[name]) for name in named if name in variables
    )


def _is_plain(value: object, depth: int = 4) -> bool:
    """Whether a value is of Python's own types all through, of which none runs other code."""
    if type(value) in _PLAIN_TYPES:  # isinstance would ask the value itself
        return True
    if depth == 0:
        return False
    if type(value) in (list, tuple) and isinstance(value, list | tuple):
        return all(_is_plain(one, depth - 1) for one in value)
    if type(value) is dict and isinstance(value, dict):
        return all(_is_plain(name, 0) and _is_plain(one, depth - 1) for name, one in value.items())
    return False


# Which field a sentence is about.


def _missing(message: str) -> tuple[str, ...]:
    found = _REQUIRED.search(message)
    if found is None:
        return ()
    return tuple(_name_in(word) for word in found[1].split(", "))


def _field_of(message: str, draft: Draft, parser: argparse.ArgumentParser) -> str | None:
    """Find the field that a sentence of the magic's is about; None for none of them."""
    for line in draft.lines:
        if f"`{line.strip()}`" in message:
            name = draft.name_of(line)
            return OTHER_LINES if name is None else value_key(name)
    found = _ARGUMENT.search(message)
    if found is not None and draft.value(_name_in(found[1])) is not None:
        return value_key(_name_in(found[1]))
    dests = {word: one.dest for one in parser._actions for word in one.option_strings}
    for word in _FLAG.findall(message):
        dest = dests.get(word)
        if dest is not None and (draft.texts(dest) or draft.is_set(dest)):
            return option_key(dest)
    if message.startswith("The project is given more than once"):
        return option_key("project")
    return ENTRY if _ABOUT_ENTRY.search(message) else None


def _name_in(strings: str) -> str:
    """Give the name by which a body gives an option, of argparse's ``-e/--epochs``."""
    words = strings.split("/")
    long_words = [word for word in words if word.startswith("--")]
    return (long_words or words)[0].strip().lstrip("-")


def _leave_out(draft: Draft, key: str) -> bool:
    """Take a field's content out, so that the next fault is found; False where that is not so."""
    before = str(draft)
    kind, _, name = key.partition(" ")
    if kind == "value":
        draft.put_value(name, None)
    elif key == OTHER_LINES:
        draft.put_other_lines((), lambda name: True)
    elif draft.is_set(name):
        draft.put_flag(name, on=False)
    elif key != ENTRY:
        draft.put(name, "")
    return str(draft) != before
