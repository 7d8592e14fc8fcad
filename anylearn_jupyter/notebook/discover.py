"""The options of a training script, read from its text; it is never imported or run.

What is written out is known, and what follows from it: constants, simple expressions, functions
and classes of the project. Anything else is `UNKNOWN` and nobody guesses it. How a text is read
stands in `parsers`.

Notes
-----
Source: notebook spec, "How a value is put on the command line"; faults, F10.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from anylearn_jupyter.notebook.parsers import argparse_style
from anylearn_jupyter.notebook.parsers.interpreter import Entry, Interpreter
from anylearn_jupyter.notebook.parsers.packages import Packages
from anylearn_jupyter.notebook.parsers.project import Project, UnreadableError, parsed, parsed_text
from anylearn_jupyter.notebook.script_parser import ScriptParser


@dataclass(frozen=True)
class Reading:
    """What could be read of a script.

    Attributes
    ----------
    parser : ScriptParser or None
        None where it has none, or not exactly one.
    reasons : tuple of str
        Why it is not all known, a sentence each; empty where it is.
    parsers : int
        How many it makes that may read its command line.
    """

    parser: ScriptParser | None
    reasons: tuple[str, ...] = ()
    parsers: int = 0


def discover(path: Path, script: str | None = None) -> ScriptParser | None:
    """Read the parser of a script; `read_script` tells why there is none.

    Parameters
    ----------
    path : Path
        The file.
    script : str, optional
        How it is named in messages; default: the path.
    """
    return read_script(path, script).parser


def read_script(
    path: Path,
    script: str | None = None,
    *,
    root: Path | None = None,
    package: str = "",
    as_module: bool = False,
    text: str | None = None,
) -> Reading:
    """Read the parser of a script.

    Parameters
    ----------
    path : Path
        The file.
    script : str, optional
        How it is named in messages; default: the path.
    root : Path, optional
        The code directory, whose modules it may import; default: the script's folder.
    package : str
        The package that it is run in (``python -m package.module``); empty for a script.
    as_module : bool
        Whether it is run with ``-m``, so that Python looks for modules in the code directory first.
    text : str, optional
        What the file will have in it where it is not there yet.
    """
    name = script or str(path)
    place = root or path.parent
    project = Project(place, place if as_module else path.parent)
    try:
        tree, source = parsed(path) if text is None else parsed_text(text)
    except UnreadableError as error:
        return Reading(None, (f"{name} {error}.",))
    run = Interpreter(project, Packages())
    run.main.file = path
    with _no_collection():
        run.read(tree, source, package)
    made = len(run.made_parsers) or len(run.entries)
    return replace(_reading(run, name), parsers=made)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Put the search for reference cycles off: thousands of nodes are made, none is garbage yet."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _reading(run: Interpreter, script: str) -> Reading:
    """Choose the parser that reads the command line, of those that were found."""
    entries = _last_of_each(run.entries)
    if not entries:
        made = run.made_parsers
        if len(made) != 1 or not isinstance(made[0], argparse_style.Parser):
            what = f"{len(made)} parsers, none of which" if made else "no parser that"
            return Reading(None, (f"{script} has {what} reads its command line.", *run.reasons))
        made[0].escape("It is not seen to read the command line.")
        found = made[0].describe(script)
    elif len(entries) > 1:
        return Reading(None, (f"{script} has {len(entries)} parsers.", *run.reasons))
    else:
        found = entries[0].describe(script)
        if not entries[0].strict and found.complete:
            found = replace(
                found, complete=False, reasons=(*found.reasons, "It leaves other words alone.")
            )
        found = _with_earlier(found, entries[0], run)
    if run.reasons:
        found = replace(
            found, complete=False, reasons=tuple(dict.fromkeys((*found.reasons, *run.reasons)))
        )
    return Reading(found, found.reasons)


def _last_of_each(entries: list[Entry]) -> list[Entry]:
    """Leave out those whose parser gives what it leaves to another one, or reads again."""
    before = [entry.rest_of for entry in entries if entry.rest_of is not None]
    found: list[Entry] = []
    for entry in entries:
        again = any(entry.thing is not None and one.thing is entry.thing for one in found)
        if not again and entry.thing not in before:
            found.append(entry)
    return found


def _with_earlier(parser: ScriptParser, entry: Entry, run: Interpreter) -> ScriptParser:
    """Add the options that another parser took before this one."""
    while entry.rest_of is not None:
        earlier = next((one for one in run.entries if one.thing is entry.rest_of), None)
        if earlier is None or earlier.thing is entry.thing:
            break
        first = earlier.describe(parser.script)
        names = {option.names for option in parser.options}
        added = tuple(one for one in first.options if one.names not in names)
        parser = replace(
            parser,
            options=(*added, *parser.options),
            complete=parser.complete and not first.reasons,
            reasons=tuple(dict.fromkeys((*first.reasons, *parser.reasons))),
        )
        entry = earlier
    return parser
