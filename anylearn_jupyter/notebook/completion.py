"""Tab in a cell of one of our magics: options, what each may be, and hyperparameters in the body.

Nobody is asked over the network; `suggestions` says where the words come from.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from anylearn_jupyter.notebook.options import parser_of

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.magics import AnylearnMagics
    from anylearn_jupyter.notebook.suggestions import Known, Suggest

_LINE = re.compile(r"(?:.*=\s*)?%{1,2}(anylearn_\w+)\s")
_CELL = re.compile(r"\s*%%(anylearn_\w+)(?:\s(.*))?")
_NAME = re.compile(r"\s*([\w.-]*)")
_VALUE = re.compile(r"\s*([\w.-]+)\s*[=:]\s*([^\s{'\"]*)")
_FLAGS = (argparse._StoreTrueAction, argparse._StoreFalseAction, argparse._HelpAction)


class MagicMatcher:
    """Gives completions for the lines of our magics, and nothing for any other line.

    Parameters
    ----------
    magics : AnylearnMagics
        Whose options are offered.
    """

    def __init__(self, magics: AnylearnMagics) -> None:
        self._magics = magics

    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        """Complete what stands before the cursor."""
        before = context.text_until_cursor
        line = _LINE.match(before)
        if line is not None and hasattr(self._magics, line[1]):
            rest = before[line.end() :]
            start = _last_word(rest)
            found = self._words(line[1], _split(rest[:start]), rest[start:])
            return _result(found, rest[start:], context.token)
        fragment, found = self._in_body(context.full_text, context.cursor_line, before)
        return _result(found, fragment, context.token)

    @property
    def _variables(self) -> Mapping[str, Any]:
        """The user's variables, without IPython's own."""
        shell = self._magics.shell
        if shell is None:
            return {}
        hidden = shell.user_ns_hidden
        return {name: one for name, one in shell.user_ns.items() if name not in hidden}

    def _words(self, name: str, words: list[str], fragment: str) -> Iterable[str]:
        """Give whole words that begin with the fragment."""
        from anylearn_jupyter.notebook.suggestions import Known

        known = Known(words, self._variables)
        actions = parser_of(getattr(self._magics, name))._actions
        options = {string: one for one in actions for string in one.option_strings}
        option, sign, value = fragment.partition("=")
        if sign and option in options:
            # The option and its value are one word, quotes and all.
            return [f"{option}={one}" for one in _offered(name, options[option], known, value)]
        previous = options.get(words[-1]) if words else None
        if previous is not None and not isinstance(previous, _FLAGS):
            return _offered(name, previous, known, fragment)
        if not fragment.startswith("-"):
            argument = _argument(actions, options, words)
            if argument is not None:
                return _offered(name, argument, known, fragment)
        return _unused(options, words, fragment)

    def _in_body(self, cell: str, at: int, before: str) -> tuple[str, list[str]]:
        """Give the beginning of a word in the body of a training cell, and whole words for it."""
        from anylearn_jupyter.notebook.suggestions import Known, offered, values_of_option

        lines = cell.split("\n")[: at + 1]
        head = next((number for number, line in enumerate(lines) if line.strip()), at)
        magic = _CELL.match(lines[head]) if head < at else None
        body = lines[head + 1 : -1]
        if magic is None or magic[1] != "anylearn_train" or "---" in body:
            return "", []
        parser = Known(_split(magic[2] or ""), self._variables).parser
        if parser is None:
            return "", []
        value, name = _VALUE.fullmatch(before), _NAME.fullmatch(before)
        if value is not None:
            named = next((one for one in offered(parser) if one.name == value[1]), None)
            known = () if named is None else values_of_option(named)
            return value[2], [word for word in known if word.startswith(value[2])]
        if name is None:
            return "", []
        given = {found[1] for found in map(_NAME.match, body) if found is not None}
        free = [one for one in offered(parser) if one.name not in given]
        words = [one.name if one.flag else f"{one.name} = " for one in free]
        return name[1], [word for word in words if word.startswith(name[1])]


def matcher_for(magics: AnylearnMagics) -> Any:
    """Make the function that is put among the completer's custom matchers."""
    matcher = MagicMatcher(magics)

    def anylearn_matcher(context: CompletionContext) -> SimpleMatcherResult:
        return matcher.match(context)

    return context_matcher(identifier="anylearn_jupyter.magics")(anylearn_matcher)


def _result(words: Iterable[str], fragment: str, token: str) -> SimpleMatcherResult:
    """Give words to IPython, which replaces its token: that may begin within our word."""
    skipped = max(0, len(fragment) - len(token))
    found = [SimpleCompletion(text=word[skipped:], type="param") for word in words]
    return SimpleMatcherResult(completions=found, suppress=bool(found))


def _offered(name: str, action: argparse.Action, known: Known, fragment: str) -> list[str]:
    """Give the values of an option that begin with the fragment, whatever the case of letters."""
    if "{" in fragment and not fragment.endswith("}"):
        return []  # an expression, which Python's own completion knows
    suggest = suggest_for(name, action.dest)
    if suggest is None:
        return []
    start = fragment.casefold()
    found = dict.fromkeys(map(_quoted, filter(None, suggest(known, _unquoted(fragment)))))
    return [word for word in found if word.casefold().startswith(start)]


def suggest_for(magic: str, option: str) -> Suggest | None:
    """Give what offers values for an option of a magic; None where nobody can guess them."""
    from anylearn_jupyter.notebook import suggestions

    if magic == "anylearn_stop" and option == "ids":
        return suggestions.unfinished_tasks
    if magic == "anylearn_resume" and option == "ids":
        return suggestions.tasks_and_sweeps
    if magic == "anylearn_retry" and option == "set":
        return suggestions.settings_again
    return suggestions.VALUES.get(option)


def _unused(options: Mapping[str, argparse.Action], words: list[str], fragment: str) -> list[str]:
    """Give the long options that can still be given."""
    again = argparse._AppendAction
    used = {options[word] for word in words if word in options}
    return [
        string
        for string, action in options.items()
        if string.startswith("--")
        and string.startswith(fragment)
        and (action not in used or isinstance(action, again))
        and not isinstance(action, argparse._HelpAction)
    ]


def _argument(
    actions: Iterable[argparse.Action], options: Mapping[str, argparse.Action], words: list[str]
) -> argparse.Action | None:
    """Find the argument without a name that comes next; None where all are there."""
    given = 0
    rest = iter(words)
    for word in rest:
        if word.partition("=")[0] not in options:
            given += 1
        elif "=" not in word and not isinstance(options[word], _FLAGS):
            next(rest, None)
    for action in actions:
        if action.option_strings:
            continue
        many = action.nargs in ("*", "+") and action.dest != "entry"
        if many or given == 0:
            return action
        given -= 1
    return None


def _last_word(text: str) -> int:
    """Find where the last word of a line begins; white space in open quotes belongs to it."""
    quote, start = "", 0
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char.isspace():
            start = at + 1
    return start


def _split(text: str) -> list[str]:
    from anylearn_jupyter.errors import OptionError
    from anylearn_jupyter.notebook.words import split_words

    try:
        return split_words(text)
    except OptionError:
        return text.split()  # still being written


def _quoted(word: str) -> str:
    """Write a word as one; what is an expression or begins a value stays as it is."""
    return word if re.fullmatch(r"[\w@%+=:,./~-]*|\{\w+\}", word) else shlex.quote(word)


def _unquoted(fragment: str) -> str:
    return fragment.lstrip("'\"")
