"""What a script's parser would refuse is refused here, before anything is sent, in its own words.

An argparse parser is made from what is known of the script's (`discover`), and given the words that
the script would get. Of what is unknown the made parser takes anything. The script itself is not
run.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.script_parser import (
    UNKNOWN,
    ScriptOption,
    ScriptParser,
    all_names,
)

_TYPES: dict[object, Any] = {"int": int, "float": float, "bool": bool}
_SHOWN_OPTIONS = 12


def check_names(parser: ScriptParser, sources: Mapping[str, str]) -> None:
    """Refuse a name that the script does not know.

    Parameters
    ----------
    parser : ScriptParser
        What is known of the script.
    sources : Mapping
        Each word with its prefix (``--lr``), and the line or option that gives it.

    Raises
    ------
    OptionError
        The message names what is near.
    """
    if not parser.complete:
        return
    known = [name for one in parser.options if not one.positional for name in all_names(one)]
    for word, source in sources.items():
        if parser.option(word) is not None:
            continue
        positional = [one for one in parser.options if one.positional]
        if any(one.names[0] == word.lstrip("-") for one in positional):
            raise OptionError(
                f"`{source}`: {parser.script} takes {word.lstrip('-')!r} by its place and not by a "
                "name; write the line `-- value`."
            )
        near = difflib.get_close_matches(word.replace("_", "-"), known, n=1)
        near = near or difflib.get_close_matches(word, known, n=1)
        long_names = [name for name in known if name.startswith("--") and name != "--help"]
        listed = ", ".join(long_names[:_SHOWN_OPTIONS]) or "none with a long name"
        more = ", …" if len(long_names) > _SHOWN_OPTIONS else ""
        guess = f"; did you mean {near[0].lstrip('-')!r}?" if near else "."
        raise OptionError(
            f"`{source}`: {parser.script} has no option {word}{guess} Its options: {listed}{more}."
        )


def check_words(parser: ScriptParser, words: Sequence[str], sources: Mapping[str, str]) -> None:
    """Refuse a command line that the script's parser would refuse.

    Parameters
    ----------
    parser : ScriptParser
        What is known of the script.
    words : sequence of str
        What the script would get, mounts included.
    sources : Mapping
        As for `check_names`.

    Raises
    ------
    OptionError
        With the parser's message and its help for that option.
    """
    try:
        made = _made(parser)
    except (argparse.ArgumentError, TypeError, ValueError, AssertionError):
        return  # what argparse itself cannot take is better said by the script's own run
    try:
        if parser.complete:
            made.parse_args(list(words))
        else:
            made.parse_known_args(list(words))
    except _RefusedError as refusal:
        raise _refusal(parser, made, str(refusal), sources) from None


class _RefusedError(Exception):
    """What argparse says before it would end the process."""


class _MadeParser(argparse.ArgumentParser):
    """A parser that raises instead of printing and exiting."""

    def error(self, message: str) -> NoReturn:
        raise _RefusedError(message)


def _made(parser: ScriptParser) -> _MadeParser:
    made = _MadeParser(
        prog=parser.script,
        add_help=False,
        allow_abbrev=parser.allow_abbrev and parser.complete,
    )
    groups: dict[int, Any] = {}
    for option in parser.options:
        if option.positional and not parser.complete:
            continue
        place: Any = made
        if option.group is not None:
            if option.group not in groups:
                groups[option.group] = made.add_mutually_exclusive_group(
                    required=option.group in parser.required_groups
                )
            place = groups[option.group]
        place.add_argument(*option.names, **_argument(option))
    return made


def _argument(option: ScriptOption) -> dict[str, Any]:
    """Give the keywords of ``add_argument``; what is unknown is left open."""
    found: dict[str, Any] = {"help": option.help if isinstance(option.help, str) else None}
    if not option.positional:
        found["required"] = option.required is True
        if isinstance(option.dest, str):
            found["dest"] = option.dest
    if option.default is not UNKNOWN and not isinstance(option.default, str):
        found["default"] = option.default  # argparse would convert a text
    if option.action in ("help", "version"):
        return found | {"action": "store_true"}
    if option.action == "boolean_optional":
        return found | {"action": argparse.BooleanOptionalAction}
    if option.action == "store_const" or option.action == "append_const":
        return found | {"action": option.action, "const": None}
    if option.flag:
        return found | {"action": option.action}
    known = isinstance(option.action, str)
    found["action"] = option.action if known else "append"
    nargs = option.nargs if known else "*"
    found["nargs"] = "*" if nargs is UNKNOWN else nargs
    if option.type in _TYPES:
        found["type"] = _TYPES[option.type]
    if isinstance(option.choices, tuple) and option.type is not UNKNOWN:
        found["choices"] = option.choices
    if isinstance(option.metavar, str):
        found["metavar"] = option.metavar
    return found


def _refusal(
    parser: ScriptParser, made: _MadeParser, message: str, sources: Mapping[str, str]
) -> OptionError:
    """Word a refusal: the line at fault where there is one, and the parser's help for it."""
    actions = list(_concerned(made, message))
    strings = {string for action in actions for string in action.option_strings}
    lines = [source for word, source in sources.items() if word in strings]
    what = f"`{lines[0]}`" if len(lines) == 1 else "this"
    shown = "".join(f"\n{text}" for text in map(_help_of, [made] * len(actions), actions) if text)
    way_out = ""
    if message.startswith("the following arguments are required") and actions:
        names = [_written(action) for action in actions]
        way_out = f" Add {' and '.join(names)}."
    return OptionError(f"{parser.script} would refuse {what}: {message}.{way_out}{shown}")


def _concerned(made: _MadeParser, message: str) -> Iterable[argparse.Action]:
    """Find the arguments that a message of argparse's is about."""
    named = re.match(r"argument ([^:]+):", message)
    required = re.match(r"the following arguments are required: (.+)", message)
    names = [named[1]] if named else required[1].split(", ") if required else []
    for action in made._actions:
        shown = "/".join(action.option_strings) or str(action.metavar or action.dest)
        if shown in names:
            yield action


def _help_of(made: _MadeParser, action: argparse.Action) -> str:
    formatter = argparse.HelpFormatter(prog=made.prog, width=100)
    try:
        formatter.add_argument(action)
        return formatter.format_help().rstrip("\n")
    except (KeyError, TypeError, ValueError):  # a text that argparse cannot format either
        return ""


def _written(action: argparse.Action) -> str:
    if action.option_strings:
        name = action.option_strings[-1].lstrip("-")
        return f"the line `{name} = …` (or `-d {name}=PATH` for data)"
    return f"the line `-- {action.metavar or action.dest}`"
