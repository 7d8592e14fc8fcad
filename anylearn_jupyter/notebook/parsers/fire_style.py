"""python-fire: a function whose parameters are options, their values Python literals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.interpreter import Entry
from anylearn_jupyter.notebook.parsers.library import Library
from anylearn_jupyter.notebook.parsers.things import MISSING, Function, Given, settled
from anylearn_jupyter.notebook.script_parser import (
    UNKNOWN,
    ListForm,
    ScriptOption,
    ScriptParser,
    Style,
)

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter


def _fire(run: Interpreter, given: Given) -> object:
    """Model ``fire.Fire``: of a function; what else it takes has no fixed options."""
    target = given.get(0, "component", None)
    reasons: list[str] = []
    options: list[ScriptOption] = []
    if not isinstance(target, Function) or target.wrapped or len(given.values) > 1:
        reasons.append(f"Line {given.line} gives fire more than one plain function.")
    elif isinstance(target, Function):
        arguments = target.node.args
        for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            options.append(_option(one.arg, target.defaults.get(one.arg, MISSING)))
        if arguments.kwarg is not None:
            reasons.append("It takes any option.")
        if arguments.vararg is not None:
            options.append(ScriptOption(names=(arguments.vararg.arg,), nargs="*"))

    def describe(script: str) -> ScriptParser:
        return ScriptParser(
            script=script,
            options=tuple(options),
            complete=not reasons,
            allow_abbrev=False,
            style=Style.FIRE,
            reasons=tuple(reasons),
        )

    run.enter(Entry(describe, True, run.conditions))
    return UNKNOWN


def _option(name: str, default: object) -> ScriptOption:
    dashed = name.replace("_", "-")
    truth = isinstance(default, bool)
    return ScriptOption(
        names=(f"--{name}",) if dashed == name else (f"--{name}", f"--{dashed}"),
        type="truth" if truth else None,
        nargs="?" if truth else None,
        negations=(f"--no{name}",) if truth else (),
        # What is missing may be given by place, too.
        required=UNKNOWN if default is MISSING else False,
        default=None if default is MISSING else settled(default),
        list_form=ListForm.LITERAL,
    )


def library() -> Library:
    """Give what is known of fire."""
    return Library(models={"fire.Fire": _fire}, harmless={"fire"})
