"""What import statements give names to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.things import Module, Thing
from anylearn_jupyter.notebook.script_parser import UNKNOWN

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter


def imported_names(
    run: Interpreter, statement: ast.Import | ast.ImportFrom, within: Module
) -> Iterator[tuple[str, object]]:
    """Give each name that a statement imports, and what it stands for.

    Parameters
    ----------
    run : Interpreter
        Who follows the modules of the project.
    statement : ast.Import or ast.ImportFrom
        The statement.
    within : Module
        Where it stands.
    """
    if isinstance(statement, ast.ImportFrom):
        yield from _from(run, statement, within)
        return
    for alias in statement.names:
        module = run.imported(alias.name)
        first = alias.name.partition(".")[0]
        yield (alias.asname, module) if alias.asname else (first, run.imported(first))


def _from(
    run: Interpreter, statement: ast.ImportFrom, within: Module
) -> Iterator[tuple[str, object]]:
    name = _absolute(statement, within)
    module = UNKNOWN if name is None else run.imported(name)
    for alias in statement.names:
        if alias.name != "*":
            value = module.attribute(run, alias.name) if isinstance(module, Thing) else UNKNOWN
            yield alias.asname or alias.name, value
        elif isinstance(module, Module):
            yield from [pair for pair in module.names.items() if not pair[0].startswith("_")]
            within.stars += module.stars
        elif name is not None:
            within.stars.append(name)


def _absolute(statement: ast.ImportFrom, within: Module) -> str | None:
    """Give the full name of a module; None where a relative one leads out of the package."""
    name = statement.module or ""
    if not statement.level:
        return name
    steps = within.package.split(".") if within.package else []
    kept = steps[: len(steps) - statement.level + 1]
    return ".".join([*kept, *filter(None, [name])]) if kept else None
