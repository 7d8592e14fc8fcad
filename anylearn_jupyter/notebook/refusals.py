"""What a script's parser would refuse is refused here, before anything is sent, in its own words.

An argparse parser is made from what is known of the script's (`discover`, `made_parser`), and given
the words that the script would get. Of what is unknown the made parser takes anything. The script
itself is not run.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.made_parser import MadeParser, RefusedError, made_parser
from anylearn_jupyter.notebook.overrides import check_overrides
from anylearn_jupyter.notebook.script_parser import ScriptParser, Style, all_names

_YES = ("1", "true", "t")
_NO = ("0", "false", "f")
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
    if not parser.complete or parser.style is Style.HYDRA:
        return  # Hydra's keys are checked as words, where `+` and `~` are seen
    known = [name for one in parser.options if not one.positional for name in all_names(one)]
    shown = [name for one in parser.options if not one.hidden for name in all_names(one)]
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
        long_names = [name for name in shown if name.startswith("--") and name != "--help"]
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
    if parser.style is Style.HYDRA:
        check_overrides(parser, words)
        return
    if parser.style is Style.FIRE:
        return  # a word may be a value, a method or an attribute of what comes back
    whole = parser.root or parser
    try:
        made = made_parser(whole)
    except (argparse.ArgumentError, TypeError, ValueError, AssertionError):
        return  # what argparse itself cannot take is better said by the script's own run
    try:
        if parser.complete:
            made.parse_args(_as_argparse(parser, words))
        else:
            made.parse_known_args(_as_argparse(parser, words))
    except RefusedError as refusal:
        raise _refusal(parser, refusal.parser, str(refusal), sources) from None


def _as_argparse(parser: ScriptParser, words: Sequence[str]) -> list[str]:
    """Write words as argparse takes them, where another library takes more.

    click and absl take what follows an option for its value, also if it begins with a dash; absl
    takes ``-lr`` for ``--lr`` and ``--amp=true`` for ``--amp``.
    """
    if parser.style not in (Style.CLICK, Style.TYPER, Style.ABSL):
        return list(words)
    rest, found = list(words), []
    while rest:
        word = rest.pop(0)
        name, sign, text = word.partition("=")
        if (
            parser.style is Style.ABSL
            and name[:2] != "--"
            and parser.option(f"-{name}") is not None
        ):
            name = f"-{name}"
        option = parser.option(name) if name.startswith("-") else None
        if option is None:
            found.append(word)
        elif option.flag:
            known = text.lower() in (*_YES, *_NO) and name not in option.negations
            found.append(name if known else word)
        elif not sign and rest and option.nargs is None:
            found.append(f"{name}={rest.pop(0)}" if name.startswith("--") else word)
        else:
            found.append(f"{name}{sign}{text}")
    return found


def _refusal(
    parser: ScriptParser, made: MadeParser, message: str, sources: Mapping[str, str]
) -> OptionError:
    """Word a refusal: the line at fault where there is one, and the parser's help for it."""
    made.with_defaults()
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


def _concerned(made: MadeParser, message: str) -> Iterable[argparse.Action]:
    """Find the arguments that a message of argparse's is about."""
    named = re.match(r"argument ([^:]+):", message)
    required = re.match(r"the following arguments are required: (.+)", message)
    names = [named[1]] if named else required[1].split(", ") if required else []
    for action in made._actions:
        shown = "/".join(action.option_strings) or str(action.metavar or action.dest)
        if shown in names:
            yield action


def _help_of(made: MadeParser, action: argparse.Action) -> str:
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
