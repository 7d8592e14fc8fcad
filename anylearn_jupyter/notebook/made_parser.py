"""An argparse parser made from what is known of a script's: it refuses what that would refuse."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

from anylearn_jupyter.notebook.script_parser import (
    UNKNOWN,
    ScriptOption,
    ScriptParser,
)

TRUTH_WORDS = ("1", "true", "t", "yes", "y", "on", "0", "false", "f", "no", "n", "off")

_TYPES: dict[object, Callable[[str], object]] = {"int": int, "float": float, "bool": bool}


class RefusedError(Exception):
    """What argparse says before it would end the process.

    Attributes
    ----------
    parser : MadeParser
        The one, or the subcommand's, that says it.
    """

    def __init__(self, message: str, parser: MadeParser) -> None:
        super().__init__(message)
        self.parser = parser


class MadeParser(argparse.ArgumentParser):
    """A parser that raises instead of printing and exiting."""

    known: dict[str, object]

    def error(self, message: str) -> NoReturn:
        """Raise what it would print."""
        raise RefusedError(message, self)

    def with_defaults(self) -> None:
        """Let the help texts show the script's defaults."""
        for action in self._actions:
            default = self.known.get(action.dest)
            action.default = "unknown" if default is UNKNOWN else default


def made_parser(parser: ScriptParser) -> MadeParser:
    """Make a parser, with its subcommands.

    Parameters
    ----------
    parser : ScriptParser
        The whole of it, not its chosen part.

    Raises
    ------
    ArgumentError, TypeError, ValueError
        argparse does not take it.
    """
    made = MadeParser(
        prog=parser.script,
        add_help=False,
        allow_abbrev=parser.allow_abbrev and parser.complete,
    )
    _fill(made, parser)
    return made


def _fill(made: MadeParser, parser: ScriptParser) -> None:
    made.known = {}
    groups: dict[int, Any] = {}
    for number, option in enumerate(parser.options):
        if option.positional and not parser.complete:
            continue
        place: Any = made
        if option.group is not None:
            if option.group not in groups:
                groups[option.group] = made.add_mutually_exclusive_group(
                    required=option.group in parser.required_groups
                )
            place = groups[option.group]
        action = place.add_argument(*option.names, **_argument(option))
        made.known[action.dest] = option.default
        if option.negations:
            place.add_argument(*option.negations, action="store_false", dest=f"no {number}")
    if parser.commands and parser.complete:
        required = parser.command_required is True
        commands = made.add_subparsers(required=required, metavar=_names(parser), dest="command")
        for name, inner in parser.commands:
            added = commands.add_parser(name, add_help=False, allow_abbrev=inner.allow_abbrev)
            _fill(added, inner)


def _names(parser: ScriptParser) -> str:
    return "{" + ",".join(name for name, _ in parser.commands) + "}"


def _argument(option: ScriptOption) -> dict[str, Any]:
    """Give the keywords of ``add_argument``; what is unknown is left open."""
    found: dict[str, Any] = {"help": option.help if isinstance(option.help, str) else None}
    if not option.positional:
        found["required"] = option.required is True
        if isinstance(option.dest, str):
            found["dest"] = option.dest
    if option.action in ("help", "version"):
        return found | {"action": "store_true"}
    if option.action == "boolean_optional":
        plain = bool(option.negations)
        return found | {"action": "store_true" if plain else argparse.BooleanOptionalAction}
    if option.action == "store_const" or option.action == "append_const":
        return found | {"action": option.action, "const": None}
    if option.flag:
        return found | {"action": option.action}
    known = isinstance(option.action, str)
    found["action"] = option.action if known else "append"
    nargs = option.nargs if known else "*"
    found["nargs"] = "*" if nargs is UNKNOWN else nargs
    kind = _type(option)
    if kind is not None:
        found["type"] = kind
    if isinstance(option.choices, tuple) and option.type is not UNKNOWN:
        low = option.ignore_case
        found["choices"] = [str(one).lower() for one in option.choices] if low else option.choices
    if isinstance(option.metavar, str):
        found["metavar"] = option.metavar
    return found


def _type(option: ScriptOption) -> Callable[[str], object] | None:
    """Make the function that reads a word; None where every word will do."""
    kind = _TYPES.get(option.type)
    if option.ignore_case:
        return str.lower
    if option.type == "truth":
        kind = _truth
    if kind is None or not (option.bounds or option.takes_none):
        return kind
    read = kind

    def within(text: str) -> object:
        if option.takes_none and text == "None":
            return None
        value = read(text)
        number = value if isinstance(value, int | float) else None
        if number is not None and option.bounds and not option.bounds.hold(number):
            raise argparse.ArgumentTypeError(f"{text} is not in the range {option.bounds}")
        return value

    within.__name__ = str(option.type)
    return within


def _truth(text: str) -> bool:
    if text.lower() not in TRUTH_WORDS:
        raise argparse.ArgumentTypeError(f"invalid truth value: {text!r}")
    return text.lower() in TRUTH_WORDS[:6]
