"""argparse: what its parsers, groups and subcommands are told while a script is read.

Notes
-----
Source: notebook spec, "How a value is put on the command line".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.interpreter import Entry
from anylearn_jupyter.notebook.parsers.library import Library
from anylearn_jupyter.notebook.parsers.standard import CommandLine
from anylearn_jupyter.notebook.parsers.things import (
    MISSING,
    OPEN,
    Class,
    EnumMember,
    External,
    Given,
    Instance,
    Method,
    Thing,
    settled,
)
from anylearn_jupyter.notebook.script_parser import (
    FLAG_ACTIONS,
    UNKNOWN,
    ListForm,
    ScriptOption,
    ScriptParser,
    Style,
    Unknown,
)

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter

SUPPRESS = "==SUPPRESS=="
MAX_CHOICES = 1000

_PARSES = ("parse_args", "parse_known_args", "parse_intermixed_args", "parse_known_intermixed_args")
_HARMLESS = (
    "error", "exit", "format_help", "format_usage", "get_default", "print_help", "print_usage",
    "prog", "description", "epilog", "usage", "formatter_class", "title", "required", "dest",
)  # fmt: skip
_TYPES = {
    "builtins.int": "int",
    "builtins.float": "float",
    "builtins.str": "str",
    "builtins.bool": "bool",
    "pathlib.Path": "Path",
    "pathlib.PurePath": "Path",
}
_NARGS = ("?", "*", "+", "...", "A...")


@dataclass
class Added:
    """One ``add_argument``, and the conditions under which it is reached."""

    option: ScriptOption
    conditions: tuple[int, ...]


@dataclass(eq=False)
class Parser(Thing):
    """An ``ArgumentParser``.

    Attributes
    ----------
    added : list of Added
        Its arguments, those of its groups too.
    reasons : list of str
        Why there may be others.
    required_groups : set of int
        The mutually exclusive groups of which one has to be given.
    defaults : dict
        What ``set_defaults`` said.
    """

    style: Style = Style.ARGPARSE
    added: list[Added] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    groups: int = 0
    required_groups: set[int] = field(default_factory=set)
    defaults: dict[str, object] = field(default_factory=dict)
    without_default: object = None
    allow_abbrev: bool = True
    commands: dict[str, Parser] = field(default_factory=dict)
    command_required: bool | Unknown = False
    level: int = 0

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give one of its methods."""
        if name == "add_argument":
            return Method(lambda run, given: self.add(run, given, None))
        if name == "add_argument_group":
            return Method(lambda run, given: Group(self, None))
        if name == "add_mutually_exclusive_group":
            return Method(self._exclusive)
        if name == "add_subparsers":
            return Method(self._subparsers)
        if name == "set_defaults":
            return Method(self._set_defaults)
        if name in _PARSES:
            return Method(lambda run, given: self._parse(run, given, strict="known" not in name))
        if name not in _HARMLESS:
            self.escape(f"Its {name} is used, of which nothing is known here.")
        return UNKNOWN

    def set_attribute(self, name: str, value: object, where: str) -> None:
        """Take note that an attribute is set."""
        if name not in _HARMLESS:
            self.escape(f"Its {name} is changed in {where}.")

    def escape(self, reason: str) -> None:
        """Take note that others may add options."""
        if reason not in self.reasons:
            self.reasons.append(reason)

    # What it is told.

    def add(self, run: Interpreter, given: Given, group: int | None) -> object:
        """Add an argument."""
        option = read_option(given, group, self.without_default)
        if option is None:
            self.escape(f"An argument that is added in line {given.line} is not written out.")
            return UNKNOWN
        default = self.defaults.get(dest_of(option), MISSING)
        if default is not MISSING and "default" not in given.named:
            option = replace(option, default=default)
        self.added.append(Added(option, run.conditions))
        return UNKNOWN

    def _exclusive(self, run: Interpreter, given: Given) -> Group:
        self.groups += 1
        required = given.get(None, "required", False)
        if required is True and not run.maybe:
            self.required_groups.add(self.groups)
        return Group(self, self.groups)

    def _subparsers(self, run: Interpreter, given: Given) -> Commands:
        required = given.get(None, "required", False)
        known = isinstance(required, bool) and not run.maybe
        self.command_required = bool(required) if known else UNKNOWN
        return Commands(self)

    def _set_defaults(self, run: Interpreter, given: Given) -> object:
        if given.more:
            self.added = [
                replace(one, option=replace(one.option, default=UNKNOWN)) for one in self.added
            ]
            return None
        for name, value in given.named.items():
            default = UNKNOWN if run.maybe else settled(value)
            self.defaults[name] = default
            self.added = [
                replace(one, option=replace(one.option, default=default))
                if dest_of(one.option) == name
                else one
                for one in self.added
            ]
        return None

    def _parse(self, run: Interpreter, given: Given, *, strict: bool) -> object:
        words = given.get(0, "args", None)
        rest_of = words.parser if isinstance(words, Rest) else None
        own = words is None or rest_of is not None
        own = own or (isinstance(words, CommandLine) and words.start == 1)
        if not own:
            self.escape(f"It reads other words than the command line in line {given.line}.")
        conditions = run.conditions
        entry = Entry(
            lambda script: self.describe(script, conditions),
            strict and own,
            conditions,
            self,
            rest_of,
        )
        run.enter(entry)
        return UNKNOWN if strict else (UNKNOWN, Rest(self))

    def describe(self, script: str, conditions: tuple[int, ...] = ()) -> ScriptParser:
        """Give the description, as it is where the command line is read."""
        options: dict[tuple[str, ...], ScriptOption] = {}
        for one in self.added:
            certain = one.conditions == conditions[: len(one.conditions)]
            option = one.option
            if not certain:
                option = replace(option, required=UNKNOWN)
            known = options.get(option.names)
            if known is None or certain:
                key = option.names if known is None else (*option.names, "")
                options[key] = option
            else:
                options[option.names] = _either(known, option)
        return ScriptParser(
            script=script,
            options=tuple(options.values()),
            complete=not self.reasons,
            allow_abbrev=self.allow_abbrev,
            required_groups=frozenset(self.required_groups),
            style=self.style,
            commands=tuple(
                (name, one.describe(script, conditions)) for name, one in self.commands.items()
            ),
            command_required=self.command_required,
            reasons=tuple(self.reasons),
        )


@dataclass(frozen=True)
class Rest(Thing):
    """The words that ``parse_known_args`` left."""

    parser: Parser


@dataclass(eq=False)
class Group(Thing):
    """A group of a parser; `number` where one excludes the other."""

    parser: Parser
    number: int | None

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give one of its methods."""
        if name == "add_argument":
            return Method(lambda run, given: self.parser.add(run, given, self.number))
        if name == "add_mutually_exclusive_group":
            return self.parser.attribute(run, name)
        if name == "add_argument_group":
            return Method(lambda run, given: Group(self.parser, self.number))
        return self.parser.attribute(run, name)

    def escape(self, reason: str) -> None:
        """Take note that others may add options."""
        self.parser.escape(reason)


@dataclass(eq=False)
class Commands(Thing):
    """What ``add_subparsers`` gives."""

    parser: Parser

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give one of its methods."""
        if name == "add_parser":
            return Method(self._add)
        return self.parser.attribute(run, name)

    def set_attribute(self, name: str, value: object, where: str) -> None:
        """Take note of ``required``, as scripts for old Pythons set it."""
        if name == "required":
            self.parser.command_required = value if isinstance(value, bool) else UNKNOWN

    def _add(self, run: Interpreter, given: Given) -> object:
        name, aliases = given.get(0, "name"), settled(given.get(None, "aliases", ()))
        made = _made(run, given)
        if not isinstance(name, str) or not isinstance(aliases, list | tuple):
            self.escape(f"A subcommand that is added in line {given.line} is not written out.")
            return made
        for one in (name, *map(str, aliases)):
            self.parser.commands[one] = made
        return made

    def escape(self, reason: str) -> None:
        """Take note that others may add subcommands."""
        self.parser.escape(reason)


def parser_of(value: object) -> Parser | None:
    """Give the parser that a value is, or that an instance of a subclass has."""
    if isinstance(value, Instance):
        value = value.base
    return value if isinstance(value, Parser) else None


def _made(run: Interpreter, given: Given, style: Style = Style.ARGPARSE) -> Parser:
    """Make a parser as its constructor's arguments say."""
    parser = Parser(style)
    if given.more:
        parser.escape(f"What it is made with in line {given.line} is not written out.")
    for name in ("fromfile_prefix_chars", "prefix_chars", "conflict_handler"):
        if given.get(None, name, None) is not None:
            parser.escape(f"It is made with {name}.")
    default = given.get(None, "argument_default", None)
    parser.without_default = settled(default)
    if given.get(None, "add_help", True) is not False:
        option = ScriptOption(names=("-h", "--help"), action="help", help="show this help")
        parser.added.append(Added(option, ()))
    parser.allow_abbrev = given.get(None, "allow_abbrev", True) is not False
    _take_parents(parser, given.get(None, "parents", ()), given.line)
    return parser


def _take_parents(parser: Parser, parents: object, line: int) -> None:
    known = isinstance(parents, list | tuple) and OPEN not in parents
    for one in parents if known and isinstance(parents, list | tuple) else (None,):
        parent = parser_of(one)
        if parent is None:
            parser.escape(f"One of its parents in line {line} is not known.")
            continue
        moved = [
            replace(
                added,
                option=replace(
                    added.option,
                    group=None
                    if added.option.group is None
                    else added.option.group + parser.groups,
                ),
            )
            for added in parent.added
        ]
        parser.added += moved
        parser.required_groups |= {group + parser.groups for group in parent.required_groups}
        parser.groups += parent.groups
        parser.defaults |= parent.defaults
        parser.reasons += parent.reasons
        parser.commands |= parent.commands


def read_option(given: Given, group: int | None, otherwise: object = None) -> ScriptOption | None:
    """Read the arguments of ``add_argument``; None where its names are not known."""
    dest = given.get(None, "dest", None)
    names = list(given.values)
    if not names and isinstance(dest, str):
        names = [dest]
    texts = tuple(name for name in names if isinstance(name, str) and name)
    if given.more or not texts or len(texts) != len(names):
        return None
    nargs = _nargs(given.get(None, "nargs", None))
    positional = not texts[0].startswith("-")
    needed = nargs in (None, "+", "A...") or isinstance(nargs, int)
    required = given.get(None, "required", positional and needed)
    action = _action(given.get(None, "action", "store"))
    kind, choices = _type_and_choices(given)
    return ScriptOption(
        names=texts,
        action=action,
        nargs=nargs,
        type=kind,
        choices=choices,
        required=required if isinstance(required, bool) else UNKNOWN,
        default=_default(given, action, otherwise),
        help=_text(given.get(None, "help", None)),
        metavar=settled(given.get(None, "metavar", None)),
        dest=_text(dest),
        group=group,
        list_form=ListForm.AGAIN if action in ("append", "extend") else ListForm.WORDS,
    )


def _default(given: Given, action: str | Unknown, otherwise: object) -> object:
    found = settled(given.get(None, "default", MISSING)) if "default" in given.named else MISSING
    if found is MISSING:
        implied: dict[object, object] = {"store_true": False, "store_false": True}
        found = implied.get(action, otherwise)
    return None if found == SUPPRESS else found


def _text(value: object) -> str | Unknown | None:
    return value if isinstance(value, str) or value is None else UNKNOWN


def _action(value: object) -> str | Unknown:
    if isinstance(value, External) and value.name == "argparse.BooleanOptionalAction":
        return "boolean_optional"
    known = value in FLAG_ACTIONS or value in ("store", "append", "extend")
    return value if isinstance(value, str) and known else UNKNOWN


def _nargs(value: object) -> int | str | Unknown | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    return value if isinstance(value, str) and value in _NARGS else UNKNOWN


def _type_and_choices(
    given: Given,
) -> tuple[str | Unknown | None, tuple[object, ...] | Unknown | None]:
    """Give type and choices; of an enumeration the values, as they are typed."""
    kind, choices = given.get(None, "type", None), given.get(None, "choices", None)
    if isinstance(kind, Class) and kind.is_enum:
        whole = tuple(one.value for one in kind.members())
        named = _choices(choices)
        if all(isinstance(one, str) for one in whole):
            return None, whole if choices is None else named
        return UNKNOWN, UNKNOWN
    name: str | Unknown | None = UNKNOWN
    if kind is None:
        name = None
    elif isinstance(kind, External):
        name = _TYPES.get(kind.name, UNKNOWN)
    members = isinstance(choices, list | tuple) and any(
        isinstance(one, EnumMember) for one in choices
    )
    if members or isinstance(choices, Class):
        return name, UNKNOWN  # a word of the command line equals none of them
    return name, _choices(choices)


def _choices(value: object) -> tuple[object, ...] | Unknown | None:
    if value is None:
        return None
    if isinstance(value, range):
        return tuple(value) if len(value) <= MAX_CHOICES else UNKNOWN
    if isinstance(value, Class) and value.is_enum:
        value = value.members()
    found = settled(list(value) if isinstance(value, dict) else value)
    return tuple(found) if isinstance(found, list | tuple | str) else UNKNOWN


def dest_of(option: ScriptOption) -> str:
    """Give the name under which a script finds an option's value."""
    if isinstance(option.dest, str):
        return option.dest
    return option.name.replace("-", "_")


def _either(one: ScriptOption, other: ScriptOption) -> ScriptOption:
    """Join an option that is added in one way or another."""
    return replace(
        one,
        action=one.action if one.action == other.action else UNKNOWN,
        nargs=one.nargs if one.nargs == other.nargs else UNKNOWN,
        type=one.type if one.type == other.type else UNKNOWN,
        choices=one.choices if one.choices == other.choices else UNKNOWN,
        required=one.required if one.required == other.required else UNKNOWN,
        default=one.default if one.default == other.default else UNKNOWN,
        help=one.help if one.help == other.help else UNKNOWN,
    )


def _new(run: Interpreter, given: Given) -> Parser:
    parser = _made(run, given)
    run.made_parsers.append(parser)
    return parser


def _base(run: Interpreter, owner: Class, given: Given) -> Parser:
    parser = _new(run, given)
    if owner.find("add_argument") is not MISSING or owner.find("parse_args") is not MISSING:
        parser.escape(f"The class {owner.name} has its own way of reading.")
    return parser


def library() -> Library:
    """Give what is known of argparse."""
    return Library(
        models={"argparse.ArgumentParser": _new},
        bases={"argparse.ArgumentParser": _base},
        constants={
            "argparse.SUPPRESS": SUPPRESS,
            "argparse.OPTIONAL": "?",
            "argparse.ZERO_OR_MORE": "*",
            "argparse.ONE_OR_MORE": "+",
            "argparse.REMAINDER": "...",
        },
    )
