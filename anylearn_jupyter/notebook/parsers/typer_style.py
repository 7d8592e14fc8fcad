"""typer: functions whose parameters are options and arguments."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.annotations import Shape, shape_of, words_of
from anylearn_jupyter.notebook.parsers.click_style import Command, Kind, read_bounds, read_kind
from anylearn_jupyter.notebook.parsers.interpreter import Entry
from anylearn_jupyter.notebook.parsers.library import Library
from anylearn_jupyter.notebook.parsers.things import (
    MISSING,
    External,
    Function,
    Given,
    Method,
    Thing,
    settled,
)
from anylearn_jupyter.notebook.script_parser import (
    UNKNOWN,
    ListForm,
    ScriptOption,
    Style,
    Unknown,
)

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter

_CONTEXTS = ("typer.Context", "click.Context", "typer.CallbackParam")
_NO_CHANGE = ("name", "help", "add_completion", "no_args_is_help", "pretty_exceptions_enable",
              "pretty_exceptions_show_locals", "pretty_exceptions_short", "rich_markup_mode",
              "short_help", "epilog", "rich_help_panel", "hidden", "deprecated")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Parameter(Thing):
    """``typer.Option(…)`` or ``typer.Argument(…)``; `default` is MISSING where it has none."""

    is_option: bool
    given: Given
    default: object


@dataclass(eq=False)
class App(Thing):
    """``typer.Typer()``."""

    commands: dict[str, Function] = field(default_factory=dict)
    apps: dict[str, App] = field(default_factory=dict)
    callback: Function | None = None
    bare: bool | Unknown = False
    reasons: list[str] = field(default_factory=list)

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give one of its methods."""
        if name == "command":
            return Method(self._command)
        if name == "callback":
            return Method(self._callback)
        if name == "add_typer":
            return Method(self._add)
        self.escape(f"Its {name} is used, of which nothing is known here.")
        return UNKNOWN

    def escape(self, reason: str) -> None:
        """Take note that others may add options."""
        self.reasons.append(reason)

    def call(self, run: Interpreter, given: Given) -> object:
        """Read the command line."""
        if given.values or given.named or given.more:
            self.escape(f"It reads other words than the command line in line {given.line}.")
        command = self.command(run)
        run.enter(Entry(command.describe, True, run.conditions, self))
        return UNKNOWN

    def command(self, run: Interpreter, *, alone: bool = True) -> Command:
        """Give it as a command: its only one, or a group."""
        if alone and len(self.commands) == 1 and not self.apps and self.callback is None:
            (function,) = self.commands.values()
            command = _command(run, function)
        else:
            command = Command(self.callback, Style.TYPER, is_group=True)
            if self.callback is not None:
                command = replace(_command(run, self.callback), is_group=True)
            command.required = UNKNOWN if self.bare is UNKNOWN else not self.bare
            for name, function in self.commands.items():
                command.commands[name] = _command(run, function)
            for name, app in self.apps.items():
                command.commands[name] = app.command(run, alone=False)
        for reason in self.reasons:
            command.escape(reason)
        return command

    def _command(self, run: Interpreter, given: Given) -> object:
        name = given.get(0, "name", None)

        def decorate(run: Interpreter, inner: Given) -> object:
            function = inner.values[0] if inner.values else UNKNOWN
            if not isinstance(function, Function) or not isinstance(name, str | None):
                self.escape(f"A command in line {given.line} is not known.")
                return function
            plain = function.name.lower().replace("_", "-")
            self.commands[name or plain] = function
            if any(one in given.named for one in ("cls", "context_settings")) or given.more:
                self.escape(f"A command is made in a way of its own in line {given.line}.")
            return function

        return Method(decorate)

    def _callback(self, run: Interpreter, given: Given) -> object:
        bare = given.get(None, "invoke_without_command", False)

        def decorate(run: Interpreter, inner: Given) -> object:
            function = inner.values[0] if inner.values else UNKNOWN
            if isinstance(function, Function):
                self.callback = function
                self.bare = bare if isinstance(bare, bool) else UNKNOWN
            return function

        return Method(decorate)

    def _add(self, run: Interpreter, given: Given) -> object:
        app, name = given.get(0, "typer_instance"), given.get(None, "name", None)
        if isinstance(app, App) and isinstance(name, str):
            self.apps[name] = app
        else:
            self.escape(f"What is added in line {given.line} is not known.")
        return None


def _command(run: Interpreter, function: Function) -> Command:
    """Read a function's parameters."""
    command = Command(function, Style.TYPER)
    arguments = function.node.args
    if arguments.vararg is not None or arguments.kwarg is not None:
        command.escape("It takes any number of arguments.")
    for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
        context = (
            run.evaluation.quiet_name(one.annotation, function.scope) if one.annotation else ""
        )
        if context in _CONTEXTS:
            continue
        option = _option(run, function, one)
        if option is None:
            command.escape(f"The parameter {one.arg} in line {one.lineno} is not written out.")
        else:
            command.options.append(option)
    return command


def _option(run: Interpreter, function: Function, node: ast.arg) -> ScriptOption | None:
    """Read one parameter; None where its names are not known."""
    shape = shape_of(run, node.annotation, function.scope)
    if node.annotation is None:
        shape = replace(shape, type="str")
    default = function.defaults.get(node.arg, MISSING)
    extras = [one for one in shape.extras if isinstance(one, Parameter)]
    parameter = extras[-1] if extras else None
    if isinstance(default, Parameter):
        parameter, default = default, default.default
    elif parameter is not None and default is MISSING:
        default = parameter.default
    if default is ...:
        default = MISSING
    is_option = parameter.is_option if parameter is not None else default is not MISSING
    given = parameter.given if parameter is not None else Given()
    names = [one for one in given.values if one is not MISSING]
    if given.more or not all(isinstance(one, str) for one in names):
        return None
    words = [one for one in names if isinstance(one, str)]
    option = _described(shape, default, given)
    if option is None:
        return None
    if not is_option:
        return _argument(replace(option, names=(node.arg,)), shape)
    plain = f"--{node.arg.replace('_', '-')}"
    return _spelled(option, shape, words, plain, given)


def _described(shape: Shape, default: object, given: Given) -> ScriptOption | None:
    """Say all of a parameter but its names and how many words it takes."""
    kind = read_kind(given.get(None, "click_type", None))
    choices = words_of(shape.choices, names=False) or kind.choices
    type_name = kind.type if "click_type" in given.named else shape.type
    custom = any(name in given.named for name in ("parser", "click_type", "default_factory"))
    waived = any(given.get(None, one, None) is not None for one in ("envvar", "prompt"))
    found = settled(default) if default is not MISSING else None
    help_text = given.get(None, "help", None)
    return ScriptOption(
        names=("",),
        type=UNKNOWN if "parser" in given.named else type_name,
        choices=choices,
        ignore_case=given.get(None, "case_sensitive", True) is False,
        bounds=read_bounds(Given(named=given.named)),
        required=UNKNOWN if waived or custom else default is MISSING,
        default=UNKNOWN if "default_factory" in given.named else found,
        help=help_text if isinstance(help_text, str | None) else UNKNOWN,
        metavar=settled(given.get(None, "metavar", None)),
    )


def _argument(option: ScriptOption, shape: Shape) -> ScriptOption:
    needed = option.required is True
    if shape.many:
        return replace(option, nargs="+" if needed else "*")
    if shape.length is not None:
        return replace(option, nargs=shape.length)
    return replace(option, nargs=None if needed else "?")


def _spelled(
    option: ScriptOption, shape: Shape, words: list[str], plain: str, given: Given
) -> ScriptOption | None:
    """Give an option its names, and say how it takes values."""
    yes = [first for word in words if (first := word.partition("/")[0].strip())]
    no = [second for word in words if (second := word.partition("/")[2].strip())]
    if not all(word.startswith("-") for word in (*yes, *no)):
        return None
    option = replace(option, names=tuple(yes) or (plain,), negations=tuple(no))
    if given.get(None, "count", False) is True:
        return replace(option, action="count", type=None)
    if shape.many:
        return replace(option, action="append", list_form=ListForm.AGAIN)
    if shape.length is not None:
        return replace(option, nargs=shape.length)
    if shape.type != "truth":
        return option
    if not words:
        return replace(
            option, action="boolean_optional", type=None, negations=(f"--no-{plain[2:]}",)
        )
    action = "boolean_optional" if no else "store_true"
    return replace(option, action=action, type=None)


def _parameter(run: Interpreter, given: Given, *, is_option: bool) -> object:
    """Model ``typer.Option``: its first value is the default, unless ``Annotated`` has it."""
    values = list(given.values)
    default: object = given.named.get("default", MISSING)
    # In Annotated there is no default, and what stands first is a name.
    named = bool(values) and isinstance(values[0], str) and values[0].startswith("-")
    if values and not named and "default" not in given.named:
        default = values.pop(0)
    return Parameter(is_option, replace(given, values=values), default)


def _run(run: Interpreter, given: Given) -> object:
    """Model ``typer.run``."""
    function = given.get(0, "function")
    if isinstance(function, Function):
        command = _command(run, function)
        run.enter(Entry(command.describe, True, run.conditions, command))
    return UNKNOWN


def _app(run: Interpreter, given: Given) -> object:
    app = App()
    if given.more or any(name not in _NO_CHANGE for name in given.named):
        if given.get(None, "invoke_without_command", False) is True:
            app.bare = True
        else:
            app.escape(f"It is made in a way of its own in line {given.line}.")
    return app


def library() -> Library:
    """Give what is known of typer."""
    return Library(
        models={
            "typer.Typer": _app,
            "typer.run": _run,
            "typer.Option": lambda run, given: _parameter(run, given, is_option=True),
            "typer.Argument": lambda run, given: _parameter(run, given, is_option=False),
        },
        constants={"typer.FileText": Kind("Path"), "typer.Context": External("typer.Context")},
        harmless={"typer"},
    )
