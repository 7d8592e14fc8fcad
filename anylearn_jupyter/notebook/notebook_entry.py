"""A notebook as the thing to train: what of it is known before it is executed, without doing that.

::

    %%anylearn_train train.ipynb
    lr = 1e-3

Its parameters are the plain assignments in the cell that is tagged ``parameters``.
"""

from __future__ import annotations

import ast
import json
import shlex
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.discover import Reading
from anylearn_jupyter.notebook.script_parser import UNKNOWN, ScriptOption, ScriptParser
from anylearn_jupyter.submit.overlay import NOTEBOOK_RUNNER
from anylearn_jupyter.submit.preparation import DEFAULT_OUTPUT
from anylearn_jupyter.submit.request import DataInput

_TAG = "parameters"
_SHELL = ("%", "!")
_OURS = "%%anylearn_train"


@dataclass(frozen=True)
class ReadNotebook:
    """What could be read of a notebook.

    Attributes
    ----------
    known : dict or None
        Its parameters with their defaults, `UNKNOWN` for one that is not written out; None where
        no cell is tagged, so that any name will do.
    note : str
        What the user should know who gives values; may be empty.
    """

    known: dict[str, object] | None
    note: str = ""


def notebook_command(entry: str, output: str | None, data: tuple[DataInput, ...]) -> str:
    """Write the shell command that executes a notebook of the code directory."""
    result = PurePosixPath(output or DEFAULT_OUTPUT) / PurePosixPath(entry).name
    paths = ",".join(dict.fromkeys(one.name for one in data if one.name)) or "-"
    words = (NOTEBOOK_RUNNER, entry, str(result), paths)
    return f"python {shlex.join(words)}"


def read_notebook(path: Path, entry: str) -> ReadNotebook:
    """Look at a notebook; it is not executed.

    Parameters
    ----------
    entry : str
        How it is named in messages.

    Raises
    ------
    OptionError
        It is no notebook, is not for Python, or would train itself.
    """
    notebook = _loaded(path, entry)
    cells = list(_code_cells(notebook))
    for number, (source, _) in enumerate(cells, 1):
        if source.lstrip().startswith(_OURS):
            raise OptionError(
                f"{entry} has a cell that trains (code cell {number}: "
                f"`{source.lstrip().splitlines()[0]:.80}`), which the task would do again; train a "
                "notebook without such a cell."
            )
    language = _language(notebook)
    if language != "python":
        return ReadNotebook({}, f"{entry} is in {language}, so it takes no values.")
    tagged = next((source for source, tags in cells if _TAG in tags), None)
    if tagged is None:
        return ReadNotebook(
            None,
            f"No cell of {entry} is tagged `{_TAG}`, so the values are put on top, unchecked.",
        )
    return ReadNotebook(_assigned(tagged))


def notebook_reading(path: Path, entry: str) -> Reading:
    """Give a notebook's parameters as the options of a script, for who shows what it takes.

    Types are those of the defaults, to which values are held.

    Raises
    ------
    OptionError
        As `read_notebook`.
    """
    found = read_notebook(path, entry)
    reasons = (found.note,) if found.note else ()
    if found.known is None:
        return Reading(None, reasons)
    options = tuple(_as_option(name, default) for name, default in found.known.items())
    return Reading(ScriptParser(script=entry, options=options, complete=True), reasons)


def _as_option(name: str, default: object) -> ScriptOption:
    kinds = {bool: "truth", int: "int", float: "float"}
    many = isinstance(default, list | tuple)
    return ScriptOption(
        names=(f"--{name}",),
        type=kinds.get(type(default)),
        nargs="*" if many else None,
        default=default,
    )


def _loaded(path: Path, entry: str) -> dict[str, Any]:
    try:
        notebook = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}  # the snapshot says so, with what there is
    except OSError as error:
        raise OptionError(f"{entry} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise OptionError(f"{entry} is no notebook: {error}.") from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise OptionError(f"{entry} is no notebook of format 4; open and save it with Jupyter.")
    return notebook


def _code_cells(notebook: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Give the source and the tags of each code cell."""
    for cell in notebook.get("cells", []):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = cell.get("source", "")
            text = source if isinstance(source, str) else "".join(map(str, source))
            metadata = cell.get("metadata")
            tags = metadata.get("tags") if isinstance(metadata, dict) else None
            yield text, tags if isinstance(tags, list) else []


def _language(notebook: dict[str, Any]) -> str:
    metadata = notebook.get("metadata")
    if not isinstance(metadata, dict):
        return "python"
    for holder, key in (("kernelspec", "language"), ("language_info", "name")):
        found = metadata.get(holder)
        if isinstance(found, dict) and found.get(key):
            return str(found[key])
    return "python"


def _assigned(source: str) -> dict[str, object]:
    """Read the plain assignments of the tagged cell."""
    lines = ["" if one.lstrip().startswith(_SHELL) else one for one in source.splitlines()]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    found: dict[str, object] = {}
    for node in tree.body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(node, ast.Assign | ast.AnnAssign):
                found[target.id] = _default(node.value)
    return found


def _default(node: ast.expr | None) -> object:
    try:
        return UNKNOWN if node is None else ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return UNKNOWN
