"""click: commands, groups, options and arguments."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.interpreter import Entry
from anylearn_jupyter.notebook.parsers.library import Library, Model
from anylearn_jupyter.notebook.parsers.things import (
    MISSING,
    Class,
    EnumMember,
    External,
    Function,
    Given,
    Method,
    Thing,
    settled,
)
from anylearn_jupyter.notebook.script_parser import (
    UNKNOWN,
    Bounds,
    ListForm,
    ScriptOption,
    ScriptParser,
    Style,
    Unknown,
)

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter

MARK = "click"

_SETTINGS = ("help_option_names", "show_default", "max_content_width", "terminal_width", "color")
_SUFFIXES = ("command", "cmd", "group", "grp")
_SAME = ("pass_context", "pass_obj", "pass_meta_key")
_TYPES = {
    "builtins.int": "int",
    "click.INT": "int",
    "builtins.float": "float",
    "click.FLOAT": "float",
    "builtins.str": "str",
    "click.STRING": "str",
    "builtins.bool": "truth",
    "click.BOOL": "truth",
    "pathlib.Path": "Path",
}


@dataclass(frozen=True, eq=False)
class Kind(Thing):
    """A type of click's, such as ``click.Choice(…)``."""

    type: str | Unknown | None
    choices: tuple[object, ...] | Unknown | None = None
    bounds: Bounds | None = None
    ignore_case: bool = False
    nargs: int | None = None


@dataclass(eq=False)
class Command(Thing):
    """A command, or a group of them."""

    function: Function | None
    style: Style = Style.CLICK
    options: list[ScriptOption] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    commands: dict[str, Command] = field(default_factory=dict)
    is_group: bool = False
    required: bool | Unknown = True

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give one of its methods."""
        if name in ("command", "group"):
            return Method(lambda run, given: self._own(run, given, is_group=name == "group"))
        if name == "add_command":
            return Method(self._add)
        if name == "main":
            return Method(lambda run, given: self.call(run, given))
        if name in ("result_callback", "resultcallback"):
            return Method(lambda run, given: Method(lambda run, inner: inner.get(0, "f")))
        if name not in ("callback", "name", "params", "help"):
            self.escape(f"Its {name} is used, of which nothing is known here.")
        return UNKNOWN

    def escape(self, reason: str) -> None:
        """Take note that others may add options."""
        if reason not in self.reasons:
            self.reasons.append(reason)

    def call(self, run: Interpreter, given: Given) -> object:
        """Read the command line."""
        words = given.get(0, "args", None)
        if words is not None or given.more:
            self.escape(f"It reads other words than the command line in line {given.line}.")
        conditions = run.conditions
        run.enter(Entry(self.describe, True, conditions, self))
        return UNKNOWN

    def describe(self, script: str) -> ScriptParser:
        """Give the description."""
        return ScriptParser(
            script=script,
            options=(*self.options, _HELP),
            complete=not self.reasons,
            allow_abbrev=False,
            style=self.style,
            commands=tuple((name, one.describe(script)) for name, one in self.commands.items()),
            command_required=self.required if self.is_group else False,
            reasons=tuple(self.reasons),
        )

    def _own(self, run: Interpreter, given: Given, *, is_group: bool) -> object:
        """Model ``@group.command()``."""

        def adopt(made: Command, name: str | None) -> None:
            for one in _names(made, name):
                self.commands[one] = made

        return _command(run, given, is_group=is_group, adopt=adopt)

    def _add(self, run: Interpreter, given: Given) -> object:
        made, name = given.get(0, "cmd"), given.get(1, "name", None)
        if isinstance(made, Command) and (name is None or isinstance(name, str)):
            for one in _names(made, name or made.name):
                self.commands[one] = made
        else:
            self.escape(f"A subcommand that is added in line {given.line} is not known.")
        return None

    name: str | None = None


_HELP = ScriptOption(names=("--help",), action="help", help="show this help")


def _names(command: Command, name: str | None) -> tuple[str, ...]:
    """Give a command's name; its versions of click shorten some in different ways."""
    if name is not None:
        return (name,)
    plain = command.function.name.lower().replace("_", "-") if command.function else "command"
    left, _, suffix = plain.rpartition("-")
    return (left, plain) if left and suffix in _SUFFIXES else (plain,)


def _command(
    run: Interpreter,
    given: Given,
    *,
    is_group: bool,
    adopt: Callable[[Command, str | None], None] | None = None,
) -> object:
    """Model ``@click.command()`` with and without its brackets."""
    first = given.values[0] if given.values else None
    if isinstance(first, Function):
        return _made(first, Given(line=given.line), is_group, adopt)
    named = dict(given.named)
    if isinstance(first, str):
        named["name"] = first

    def decorate(run: Interpreter, inner: Given) -> object:
        function = inner.values[0]
        if not isinstance(function, Function):
            return UNKNOWN
        return _made(function, Given([], named, given.more, given.line), is_group, adopt)

    return Method(decorate)


def _made(
    function: Function,
    given: Given,
    is_group: bool,
    adopt: Callable[[Command, str | None], None] | None,
) -> Command:
    command = Command(function, is_group=is_group)
    for option in reversed(function.marks.get(MARK, [])):
        if isinstance(option, ScriptOption):
            command.options.append(option)
        else:
            command.escape(str(option))
    if given.more or "cls" in given.named or "params" in given.named:
        command.escape(f"It is made in a way of its own in line {given.line}.")
    settings = given.get(None, "context_settings", None)
    if settings is not None and not (
        isinstance(settings, dict) and all(one in _SETTINGS for one in settings)
    ):
        command.escape("It has context_settings.")
    if given.get(None, "invoke_without_command", False) is not False:
        command.required = False
    if given.get(None, "chain", False) is not False:
        command.escape("Its subcommands can be chained.")
    name = given.get(None, "name", None)
    command.name = name if isinstance(name, str) else None
    if adopt is not None:
        adopt(command, command.name)
    return command


# Options.


def _adding(read: Callable[[Given], ScriptOption | None]) -> Model:
    """Make a model of a decorator that adds a parameter."""

    def model(run: Interpreter, given: Given) -> object:
        option = read(given)
        mark: object = option or f"A parameter in line {given.line} is not written out."

        def decorate(run: Interpreter, inner: Given) -> object:
            target = inner.values[0] if inner.values else UNKNOWN
            if isinstance(target, Function):
                target.marks.setdefault(MARK, []).append(mark)
            elif isinstance(target, Command) and option is not None:
                target.options.insert(0, option)
            elif isinstance(target, Command):
                target.escape(str(mark))
            return target

        return Method(decorate)

    return model


def read_option(given: Given, style: Style = Style.CLICK) -> ScriptOption | None:
    """Read the arguments of ``click.option``; None where its names are not known."""
    words = [one for one in given.values if isinstance(one, str)]
    if given.more or len(words) != len(given.values) or "cls" in given.named:
        return None
    yes, no, dest = _spelled(words)
    if not yes:
        return None
    kind = read_kind(given.get(None, "type", None))
    default = _default(given)
    nargs = given.get(None, "nargs", kind.nargs)
    multiple = given.get(None, "multiple", False)
    required = given.get(None, "required", False)
    waived = any(given.get(None, one, None) is not None for one in ("envvar", "prompt", "callback"))
    help_text = given.get(None, "help", None)
    option = ScriptOption(
        names=tuple(yes),
        negations=tuple(no),
        nargs=nargs if isinstance(nargs, int) and nargs != 1 else None,
        type=kind.type if kind.type is not None or kind.choices else _type_of(default, multiple),
        choices=kind.choices,
        bounds=kind.bounds,
        ignore_case=kind.ignore_case,
        required=required if isinstance(required, bool) and not (required and waived) else UNKNOWN,
        default=default,
        help=inspect.cleandoc(help_text) if isinstance(help_text, str) else _unknown(help_text),
        metavar=settled(given.get(None, "metavar", None)),
        dest=dest,
    )
    if given.get(None, "prompt", False) is not False and option.required is False:
        option = replace(option, required=UNKNOWN)
    if multiple is UNKNOWN or nargs is UNKNOWN:
        return replace(option, action=UNKNOWN)
    if multiple is True:
        return replace(option, action="append", list_form=ListForm.AGAIN)
    return _as_flag(option, given)


def _as_flag(option: ScriptOption, given: Given) -> ScriptOption:
    """Make a flag of an option, if it is one."""
    if given.get(None, "count", False) is True:
        return replace(option, action="count", type=None, default=option.default or 0)
    is_flag, flag_value = given.get(None, "is_flag", None), given.get(None, "flag_value", MISSING)
    if is_flag is UNKNOWN:
        return replace(option, action=UNKNOWN)
    if option.negations:
        default = False if "default" not in given.named else option.default
        return replace(option, action="boolean_optional", type=None, default=default)
    if is_flag is True or (is_flag is None and flag_value is not MISSING):
        if flag_value in (MISSING, True):
            default = False if "default" not in given.named else option.default
            return replace(option, action="store_true", type=None, default=default)
        action = "store_false" if flag_value is False else "store_const"
        return replace(option, action=action, type=None)
    return option


def read_argument(given: Given) -> ScriptOption | None:
    """Read the arguments of ``click.argument``; None where its name is not known."""
    words = [one for one in given.values if isinstance(one, str)]
    if given.more or len(words) != len(given.values) or not words or "cls" in given.named:
        return None
    kind = read_kind(given.get(None, "type", None))
    default = _default(given)
    nargs = given.get(None, "nargs", kind.nargs or 1)
    optional = "default" in given.named or given.get(None, "envvar", None) is not None
    required = given.get(None, "required", not optional and nargs != -1)
    count: int | str | Unknown | None = UNKNOWN
    if nargs == -1:
        count = "+" if required is True else "*"
    elif isinstance(nargs, int):
        count = (None if required is True else "?") if nargs == 1 else nargs
    return ScriptOption(
        names=(words[0],),
        nargs=count,
        type=kind.type if kind.type is not None or kind.choices else _type_of(default, nargs != 1),
        choices=kind.choices,
        bounds=kind.bounds,
        ignore_case=kind.ignore_case,
        required=required if isinstance(required, bool) else UNKNOWN,
        default=default,
        help=_unknown(given.get(None, "help", None)),
        metavar=settled(given.get(None, "metavar", None)),
    )


def _unknown(value: object) -> str | Unknown | None:
    return value if isinstance(value, str) or value is None else UNKNOWN


def _spelled(words: list[str]) -> tuple[list[str], list[str], str | None]:
    """Part the strings of an option: those for it, those against it, its name in the script."""
    yes: list[str] = []
    no: list[str] = []
    dest = None
    for word in words:
        if word.isidentifier():
            dest = word
            continue
        first, _, second = word.partition(";" if ";" in word else "/")
        yes += [first.strip()] if first.strip() else []
        no += [second.strip()] if second.strip() else []
    if not all(word.startswith("-") for word in (*yes, *no)):
        return [], [], None
    return yes, no, dest


def _default(given: Given) -> object:
    if "default" not in given.named:
        return None
    value = given.named["default"]
    if isinstance(value, EnumMember):
        return value.name
    found = settled(value)
    return tuple(found) if isinstance(found, list) else found


def _type_of(default: object, several: object) -> str | Unknown | None:
    """Give the type that click takes from a default."""
    if several is True and isinstance(default, tuple):
        default = default[0] if default else None
    if default is UNKNOWN:
        return UNKNOWN
    kinds = {bool: "truth", int: "int", float: "float", str: None}
    return kinds.get(type(default))


def read_kind(value: object) -> Kind:
    """Read what stands behind ``type=``."""
    if value is None:
        return Kind(None)
    if isinstance(value, Kind):
        return value
    if isinstance(value, External):
        return Kind(_TYPES.get(value.name, UNKNOWN))
    if isinstance(value, tuple):
        kinds = {read_kind(one).type for one in value}
        return Kind(kinds.pop() if len(kinds) == 1 else UNKNOWN, nargs=len(value))
    return Kind(UNKNOWN)


def _choice(run: Interpreter, given: Given) -> object:
    value = given.get(0, "choices")
    sensitive = given.get(1, "case_sensitive", True)
    if isinstance(value, Class) and value.is_enum:
        value = [one.name for one in value.members()]
    if isinstance(value, list | tuple) and any(isinstance(one, EnumMember) for one in value):
        value = [one.name if isinstance(one, EnumMember) else one for one in value]
    found = settled(value)
    choices = tuple(map(str, found)) if isinstance(found, list | tuple) else UNKNOWN
    return Kind(None, UNKNOWN if sensitive is UNKNOWN else choices, None, sensitive is False)


def read_bounds(given: Given) -> Bounds | None:
    """Read ``min``, ``max``, ``min_open`` and ``max_open``; None where a limit is not known."""
    low, high = given.get(0, "min", None), given.get(1, "max", None)
    known = isinstance(low, int | float | None) and isinstance(high, int | float | None)
    clamps = given.get(4, "clamp", False)
    if not known or clamps is not False or (low is None and high is None):
        return None
    assert isinstance(low, int | float | None)
    assert isinstance(high, int | float | None)
    opens = (given.get(2, "min_open", False) is True, given.get(3, "max_open", False) is True)
    return Bounds(low, high, *opens)


def _same(run: Interpreter, given: Given) -> object:
    return given.values[0] if given.values else UNKNOWN


def _version(given: Given) -> ScriptOption | None:
    names = tuple(one for one in given.values[1:] if isinstance(one, str))
    return ScriptOption(names=names or ("--version",), action="version", help="show the version")


def library() -> Library:
    """Give what is known of click."""
    models: dict[str, Model] = {
        "command": lambda run, given: _command(run, given, is_group=False),
        "group": lambda run, given: _command(run, given, is_group=True),
        "option": _adding(read_option),
        "argument": _adding(read_argument),
        "version_option": _adding(_version),
        "help_option": lambda run, given: Method(_same),
        "Choice": _choice,
        "IntRange": lambda run, given: Kind("int", None, read_bounds(given)),
        "FloatRange": lambda run, given: Kind("float", None, read_bounds(given)),
        "Path": lambda run, given: Kind("Path"),
        "File": lambda run, given: Kind("Path"),
        "DateTime": lambda run, given: Kind(UNKNOWN),
        "Tuple": lambda run, given: read_kind(_as_tuple(given.get(0, "types"))),
    } | dict.fromkeys(_SAME, _same)
    return Library(
        models={f"click.{name}": model for name, model in models.items()}, harmless={"click"}
    )


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else UNKNOWN
