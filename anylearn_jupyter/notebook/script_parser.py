"""What is known of the parser of a training script; `discover` finds it out.

One description serves every kind of parser. Its words are argparse's, the richest of them: a click
option with ``multiple`` appends, a Hydra key is an option whose name has no dashes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

FLAG_ACTIONS = (
    "store_true",
    "store_false",
    "store_const",
    "append_const",
    "count",
    "help",
    "version",
    "boolean_optional",
)
"""The actions that take no value."""


class Unknown(Enum):
    """The type of `UNKNOWN`."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        """Write the name."""
        return "UNKNOWN"


UNKNOWN = Unknown.UNKNOWN
"""Stands for what is not written out in the script."""


class Style(Enum):
    """Who reads the command line."""

    ARGPARSE = "argparse"
    CLICK = "click"
    TYPER = "typer"
    HYDRA = "hydra"
    HF = "HfArgumentParser"
    SIMPLE_PARSING = "simple-parsing"
    TYRO = "tyro"
    ABSL = "absl"
    FIRE = "fire"


class ListForm(Enum):
    """How several values are put on the command line."""

    WORDS = "words"
    """``--x 1 2``"""
    AGAIN = "again"
    """``--x 1 --x 2``"""
    COMMAS = "commas"
    """``--x 1,2``"""
    SPACES = "spaces"
    """``--x '1 2'``, one word"""
    LITERAL = "literal"
    """``x=[1,2]``, one word"""


@dataclass(frozen=True)
class FromEnvironment:
    """A default that the script takes from its environment.

    Attributes
    ----------
    variable : str
        Its name.
    otherwise : object
        What the script takes where there is no such variable.
    """

    variable: str
    otherwise: object = None

    def __str__(self) -> str:
        """Say both."""
        return f"${self.variable} or {self.otherwise}"


@dataclass(frozen=True)
class Bounds:
    """What a number has to be within; None where there is no limit.

    Attributes
    ----------
    low, high : float or None
        The limits.
    low_open, high_open : bool
        Whether the limit itself is out.
    """

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    def hold(self, number: float) -> bool:
        """Whether a number is within."""
        if self.low is not None and (number < self.low or (self.low_open and number == self.low)):
            return False
        return self.high is None or not (
            number > self.high or (self.high_open and number == self.high)
        )

    def __str__(self) -> str:
        """Write it as click does: ``0<=x<1``."""
        low = "" if self.low is None else f"{self.low}{'<' if self.low_open else '<='}"
        high = "" if self.high is None else f"{'<' if self.high_open else '<='}{self.high}"
        return f"{low}x{high}"


@dataclass(frozen=True, kw_only=True)
class ScriptOption:
    """One thing that a script takes.

    Attributes
    ----------
    names : tuple of str
        The option strings, dashes included; of a positional argument, and of a Hydra key, its
        name alone.
    action : str or Unknown
        argparse's word; ``boolean_optional`` for ``BooleanOptionalAction`` and the like.
    nargs : int, str, None or Unknown
        As argparse has it.
    type : str, None or Unknown
        ``int``, ``float``, ``str``, ``Path``; ``truth`` for what takes the words true and false;
        ``bool`` for Python's own, which takes every text but the empty one as true; None where
        none is given.
    choices : tuple, None or Unknown
        What is allowed.
    required : bool or Unknown
        Unknown too where it is only added under a condition.
    default : object
        The value, or a `FromEnvironment`; None where none is given.
    help, metavar, dest : str, None or Unknown
        As written.
    group : int or None
        The number of its mutually exclusive group.
    negations : tuple of str
        The strings that say no.
    list_form : ListForm
        How several values are written.
    bounds : Bounds or None
        What a number has to be within.
    ignore_case : bool
        Whether upper and lower case are the same in its choices.
    keyed : bool
        Whether it is written ``name=value``, without dashes.
    level : int
        0 for the script's own, 1 for those of a subcommand, and so on: where on the command line
        it stands.
    typed : bool
        Whether a value of another type is refused; Hydra's YAML only shows one.
    takes_none : bool
        Whether the word None is a value, too.
    """

    names: tuple[str, ...]
    action: str | Unknown = "store"
    nargs: int | str | Unknown | None = None
    type: str | Unknown | None = None
    choices: tuple[object, ...] | Unknown | None = None
    required: bool | Unknown = False
    default: object = None
    help: str | Unknown | None = None
    metavar: object = None
    dest: str | Unknown | None = None
    group: int | None = None
    negations: tuple[str, ...] = ()
    list_form: ListForm = ListForm.WORDS
    bounds: Bounds | None = None
    ignore_case: bool = False
    keyed: bool = False
    level: int = 0
    typed: bool = True
    takes_none: bool = False

    @property
    def name(self) -> str:
        """The name by which a cell gives it: the first long one, without dashes."""
        long_names = [name for name in self.names if name.startswith("--")]
        return (long_names or list(self.names))[0].lstrip("-")

    @property
    def positional(self) -> bool:
        """Whether it is no option."""
        return not self.keyed and not self.names[0].startswith("-")

    @property
    def flag(self) -> bool:
        """Whether it takes no value."""
        return self.action in FLAG_ACTIONS

    @property
    def appends(self) -> bool:
        """Whether it is given once for each value."""
        return self.action in ("append", "extend") or self.list_form is ListForm.AGAIN

    @property
    def several(self) -> bool | Unknown:
        """Whether it takes more than one value."""
        if self.action is UNKNOWN or self.nargs is UNKNOWN:
            return UNKNOWN
        many = self.nargs not in (None, "?", 0, 1)
        return not self.flag and (many or self.appends or self.list_form is not ListForm.WORDS)

    @property
    def kind(self) -> str:
        """What control fits: flag, choice, int, float, truth, path, text or unknown."""
        if self.flag:
            return "flag"
        if self.choices is not None:
            return "unknown" if self.choices is UNKNOWN else "choice"
        if self.type is UNKNOWN or self.action is UNKNOWN:
            return "unknown"
        return {
            "int": "int",
            "float": "float",
            "truth": "truth",
            "bool": "truth",
            "Path": "path",
        }.get(self.type or "str", "text")

    @property
    def hidden(self) -> bool:
        """Whether the script's own help leaves it out."""
        return self.help == "==SUPPRESS=="


@dataclass(frozen=True, kw_only=True)
class ScriptParser:
    """What a script's parser is known to take.

    Attributes
    ----------
    script : str
        The script's path as it stands in the entrypoint.
    options : tuple of ScriptOption
        In the order of the text; with a chosen subcommand its options too (`chosen`).
    complete : bool
        Whether there can be no other options: nobody else adds some, and what the script does not
        know is an error.
    allow_abbrev : bool
        Whether it takes the beginnings of names.
    required_groups : frozenset of int
        The mutually exclusive groups of which one has to be given.
    style : Style
        Who reads the command line.
    commands : tuple of (str, ScriptParser)
        The subcommands, aliases too.
    command_required : bool or Unknown
        Whether one of them has to be given.
    path : tuple of str
        The subcommands that were chosen.
    root : ScriptParser or None
        The whole of which this is the chosen part.
    reasons : tuple of str
        Why there may be more than is known, a sentence each.
    """

    script: str
    options: tuple[ScriptOption, ...]
    complete: bool
    allow_abbrev: bool = True
    required_groups: frozenset[int] = frozenset()
    style: Style = Style.ARGPARSE
    commands: tuple[tuple[str, ScriptParser], ...] = ()
    command_required: bool | Unknown = False
    path: tuple[str, ...] = ()
    root: ScriptParser | None = None
    reasons: tuple[str, ...] = ()

    def option(self, word: str) -> ScriptOption | None:
        """Find the option that a word such as ``--lr`` names; a beginning will do where allowed."""
        for one in reversed(self.options):  # a subcommand's own before the script's
            if not one.positional and word in all_names(one):
                return one
        if not (self.complete and self.allow_abbrev and word.startswith("--")):
            return None
        near = [
            one
            for one in self.options
            if not one.positional and any(name.startswith(word) for name in all_names(one))
        ]
        return near[0] if len(near) == 1 else None

    def negation(self, name: str) -> str | None:
        """Give the word that says no to a name, where the script has one."""
        named = self.option(f"--{name}")
        if named is not None and f"--{name}" not in named.negations and named.negations:
            return next((no for no in named.negations if no.startswith("--")), named.negations[0])
        for word in (f"--no-{name}", f"--no_{name}"):
            for one in self.options:
                if not one.positional and word in all_names(one) and one.flag:
                    return word
        return None

    def command(self, name: str) -> ScriptParser | None:
        """Find a subcommand of the innermost one that is chosen."""
        return dict(self.commands).get(name)

    def chosen(self, words: Sequence[str]) -> ScriptParser:
        """Choose the subcommands that a command line names.

        Parameters
        ----------
        words : sequence of str
            What the script gets, as far as it is known.

        Returns
        -------
        ScriptParser
            The options of all that are chosen; of this one alone where none is, or where it
            cannot be told which.
        """
        found: ScriptParser = self
        for word in _bare_words(self, words):
            inner = found.command(word)
            if inner is None:
                break
            found = entered(found, word, inner)
        return found


def entered(outer: ScriptParser, name: str, inner: ScriptParser) -> ScriptParser:
    """Join a parser with one of its subcommands: the options of both, and where each stands."""
    level = len(outer.path) + 1
    first_group = 1 + max((one.group or 0 for one in outer.options), default=0)
    moved = tuple(
        replace(one, level=level, group=None if one.group is None else one.group + first_group)
        for one in inner.options
    )
    groups = outer.required_groups | {group + first_group for group in inner.required_groups}
    return replace(
        inner,
        script=outer.script,
        options=(*outer.options, *moved),
        complete=outer.complete and inner.complete,
        required_groups=frozenset(groups),
        path=(*outer.path, name),
        root=outer.root or outer,
        reasons=(*outer.reasons, *inner.reasons),
    )


def _bare_words(parser: ScriptParser, words: Sequence[str]) -> Iterator[str]:
    """Give the words that are neither options nor their values; end where that is in doubt."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            yield word
            inner = parser.command(word)
            parser = inner if inner is not None else parser
            continue
        name, sign, _ = word.partition("=")
        option = parser.option(name)
        if option is None:
            return
        if option.flag or sign:
            continue
        count = 1 if option.nargs is None else option.nargs
        if not isinstance(count, int):
            return
        del rest[:count]


def all_names(option: ScriptOption) -> tuple[str, ...]:
    """Give an option's strings, with those that say no."""
    added = tuple(
        f"--no-{name[2:]}"
        for name in option.names
        if option.action == "boolean_optional" and name.startswith("--") and not option.negations
    )
    return option.names + added + option.negations
