"""What a form shows of a script's own options: which control each one gets, and what it says.

Controls come from what is known of the script's parser (`script_parser`); a value in a control is
written as a line of the cell's body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.notebook.cell_words import value_line
from anylearn_jupyter.notebook.script_parser import UNKNOWN, ScriptOption, ScriptParser, entered

_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.\-]*")
_NOUNS = {"int": "whole number", "float": "number", "path": "path", "truth": "true or false"}
_HELP_LIMIT = 300
_DEFAULT_LIMIT = 60
_SHOWN_CHOICES = 8
_NOT_OFFERED = ("help", "version")


@dataclass(frozen=True)
class OptionField:
    """The control of one option of a script.

    Attributes
    ----------
    name : str
        As the body names it.
    kind : str
        ``flag`` (given or not), ``choice`` (one of `choices`), or ``text``.
    hint : str
        What it takes, and its help.
    placeholder : str
        What the script takes without it; empty where that is not known.
    choices : tuple of (str, str)
        What is shown, and what is written behind the name: empty for a name alone.
    required : bool
        Whether the script refuses to run without it.
    """

    name: str
    kind: str
    hint: str
    placeholder: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    required: bool = False

    def written(self, shown: str) -> str | None:
        """Give what a choice writes behind the name; None for the script's own default."""
        return dict(self.choices).get(shown)

    def chosen(self, value: str | None) -> str | None:
        """Give what a control shows for what is written; None where it cannot show it."""
        if value is None:
            return ""
        return next((shown for shown, written in self.choices if written == value), None)

    def matches(self, words: Iterable[str]) -> bool:
        """Whether all words are in its name or hint."""
        text = f"{self.name} {self.hint}".casefold()
        return all(word.casefold() in text for word in words)


@dataclass(frozen=True)
class Subcommand:
    """A subcommand that is to be chosen.

    Attributes
    ----------
    names : tuple of str
        What there is.
    chosen : str
        The one that the cell names; empty for none.
    """

    names: tuple[str, ...]
    chosen: str


def chosen_parser(
    parser: ScriptParser, words: Iterable[str], names: Iterable[str]
) -> tuple[ScriptParser, tuple[Subcommand, ...]]:
    """Follow the subcommands that a cell names, in its entrypoint and by lines of its body.

    Parameters
    ----------
    words : iterable of str
        What the entrypoint gives the script.
    names : iterable of str
        Of the body's lines.
    """
    found = parser.chosen(tuple(words))
    given = list(names)
    levels: list[Subcommand] = []
    while found.commands:
        chosen = next((one for one in given if found.command(one) is not None), "")
        levels.append(Subcommand(tuple(dict(found.commands)), chosen))
        inner = found.command(chosen)
        if inner is None:
            break
        given.remove(chosen)
        found = entered(found, chosen, inner)
    return found, tuple(levels)


def fields_of(parser: ScriptParser) -> tuple[OptionField, ...]:
    """Give the controls of a script, in the order of its text; what has no name has none."""
    offered = [one for one in parser.options if _offered(one)]
    by_name = {one.name: one for one in offered}  # a subcommand's own, where both have it
    return tuple(_field(one, parser) for one in by_name.values())


def by_place(parser: ScriptParser) -> tuple[str, ...]:
    """Give what a script takes by its place, which raw words give."""
    return tuple(one.names[0] for one in parser.options if one.positional and not one.hidden)


def _offered(option: ScriptOption) -> bool:
    named = _NAME.fullmatch(option.name) is not None  # no line of a body can give any other
    return named and not (option.positional or option.hidden or option.action in _NOT_OFFERED)


def _field(option: ScriptOption, parser: ScriptParser) -> OptionField:
    choices = tuple(_choices(option, parser))
    kind = "choice" if choices else "text"
    if len(choices) == 1:
        kind = "flag"
    return OptionField(
        name=option.name,
        kind=kind,
        hint=hint_of(option),
        placeholder=_default_text(option),
        choices=choices,
        required=option.required is True,
    )


def _choices(option: ScriptOption, parser: ScriptParser) -> Iterable[tuple[str, str]]:
    """Give what can be chosen; nothing for what is typed."""
    if option.action == "count":
        return
    if option.flag:
        negation = parser.negation(option.name)
        yield ("yes" if negation else "given", "")
        if negation:
            yield "no", "false"
    elif option.kind == "truth" and not option.several:
        yield "true", "true"
        yield "false", "false"
    elif isinstance(option.choices, tuple) and option.several is False:
        for choice in option.choices:
            line = value_line(option.name, str(choice))
            if line is not None:
                yield one_line(str(choice)), line.partition(" = ")[2]


def hint_of(option: ScriptOption) -> str:
    """Say in a line what an option takes, and its help; its default stands in its control."""
    parts = [*_type_parts(option)]
    if option.required is True:
        parts.insert(0, "required")
    if isinstance(option.help, str) and option.help:
        parts.append(_filled_help(option))
    return " · ".join(parts)


def _type_parts(option: ScriptOption) -> Iterable[str]:
    if option.flag:
        return
    if option.kind == "unknown":
        yield "not known before it runs"
    elif option.kind in _NOUNS:
        yield _NOUNS[option.kind] + ("s" if option.several is True else "")
    elif option.several is True and option.choices is None:
        yield "several texts"
    if option.several is True:
        count = f"{option.nargs} values, " if isinstance(option.nargs, int) else ""
        yield f"{count}in a list: [a, b]"
    if isinstance(option.choices, tuple) and option.several is not False:
        shown = ", ".join(one_line(str(one)) for one in option.choices[:_SHOWN_CHOICES])
        yield f"of {shown}{', …' if len(option.choices) > _SHOWN_CHOICES else ''}"
    if option.bounds is not None:
        yield str(option.bounds)


def _default_text(option: ScriptOption) -> str:
    """Say what the script takes where nothing is given; empty where that is nothing or unknown."""
    if option.required is True or option.default is None or option.default is UNKNOWN:
        return ""
    return f"default {one_line(str(option.default), _DEFAULT_LIMIT) or 'empty'}"


def _filled_help(option: ScriptOption) -> str:
    """Give an option's help with argparse's ``%(default)s`` filled in."""
    text = one_line(str(option.help), _HELP_LIMIT)
    filled = text.replace("%(default)s", str(option.default)).replace("%%", "%")
    return one_line(filled, _HELP_LIMIT)
