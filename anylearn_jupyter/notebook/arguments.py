"""The line of a magic against its declared options, with errors that a cell can catch.

The options are declared with `magic_arguments`, so that ``%magic?`` shows them; the parser that
hangs on the method is the only list of them. argparse's own ways (abbreviations, exits, a later
value silently replacing an earlier one) are kept out.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence

from IPython.core.error import UsageError

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.words import split_words

_NUMBER = re.compile(r"-\.?\d.*")


def parse_line(
    parser: argparse.ArgumentParser, line: str, *, body: bool = False
) -> argparse.Namespace:
    """Read the line of a magic.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The magic's, with its name as ``prog``.
    line : str
        What follows the magic's name.
    body : bool, default False
        Whether the magic has a body for hyperparameters, which an unknown option may be meant for.

    Returns
    -------
    argparse.Namespace
        Texts are templates: their expressions are still to be evaluated.

    Raises
    ------
    OptionError
        An unknown option, one without its value, or one given twice.
    """
    words = split_words(line)
    _check_options(parser, words, body=body)
    parser.allow_abbrev = False
    try:
        return _with_dashes(parser, parser.parse_args(words))
    except (UsageError, argparse.ArgumentError) as error:
        raise OptionError(
            f"%{parser.prog}: {error}; `%{parser.prog}?` shows its options."
        ) from error


def _with_dashes(parser: argparse.ArgumentParser, found: argparse.Namespace) -> argparse.Namespace:
    """Give a value that is two dashes back: argparse makes an empty list of `--x=--` (to 3.12)."""
    for action in parser._actions:
        single = isinstance(action, argparse._StoreAction) and action.nargs is None
        if single and getattr(found, action.dest) == []:
            setattr(found, action.dest, "--")
    return found


def option_strings(parser: argparse.ArgumentParser) -> list[str]:
    """List a magic's options."""
    return [string for action in parser._actions for string in action.option_strings]


def is_option(word: str) -> bool:
    """Whether a word is an option, known or not, and no value."""
    return len(word) > 1 and word[0] == "-" and " " not in word and not _NUMBER.match(word)


def _check_options(parser: argparse.ArgumentParser, words: Sequence[str], *, body: bool) -> None:
    known = {string: action for action in parser._actions for string in action.option_strings}
    seen: set[argparse.Action] = set()
    for at, word in enumerate(words):
        if not is_option(word):
            continue
        name = word.partition("=")[0]
        action = known.get(name)
        if action is None:
            raise OptionError(_unknown(parser, word, words[at + 1 :], body=body))
        if action in seen and not isinstance(action, argparse._AppendAction):
            raise OptionError(f"%{parser.prog}: {name} is given twice; keep one of them.")
        seen.add(action)


def _unknown(parser: argparse.ArgumentParser, word: str, rest: Sequence[str], *, body: bool) -> str:
    """Say what to write instead of an unknown option."""
    magic = f"%%{parser.prog}" if body else f"%{parser.prog}"
    if word in ("-h", "--help"):
        return f"`{magic}?` shows the options of {magic}."
    known = option_strings(parser)
    name, sign, value = word.partition("=")
    if word[:2] in known and not word.startswith("--"):
        near = [f"{word[:2]} {word[2:]}"]
    else:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    guess = f"did you mean `{near[0]}`?" if near else f"`%{parser.prog}?` shows its options."
    message = f"{magic} has no option {name}; {guess}"
    if not body:
        return message
    if word == "--":
        return f"Arguments of the script stand below {magic}, as the line `-- {' '.join(rest)}`."
    if not sign and rest and not is_option(rest[0]):
        value = rest[0]
    line = f"{name.lstrip('-')} = {value}" if value else name.lstrip("-")
    return f"{message} A hyperparameter of the script stands below it, as the line `{line}`."
