"""Which subcommand of a script a cell chooses, and where what it is given has to stand.

A subcommand is named in the entrypoint (``python train.py fit``), by a raw line (``-- fit``) or by
a bare line of the body (``fit``). The last is added to the entrypoint, after the options that
belong to the script itself: parsers want them in this order.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from anylearn_jupyter.notebook.grammar import Parameter, Truth
from anylearn_jupyter.notebook.placing import place
from anylearn_jupyter.notebook.script_parser import ScriptParser, entered
from anylearn_jupyter.submit.command import command_text, entry_module, entry_script


@dataclass(frozen=True)
class Chosen:
    """What is left to put on the command line.

    Attributes
    ----------
    parser : ScriptParser
        With the options of the subcommands.
    parameters : list of Parameter
        Those that stand behind the entrypoint.
    entrypoint : str
        With what was added.
    """

    parser: ScriptParser
    parameters: list[Parameter]
    entrypoint: str


def words_after_script(entrypoint: str) -> list[str] | None:
    """Give the words that a command gives its script; None where only a shell could tell."""
    try:
        words = shlex.split(entrypoint)
    except ValueError:
        return None
    script = entry_script(entrypoint) or entry_module(entrypoint)
    return words[words.index(script) + 1 :] if script in words else None


def choose(
    parser: ScriptParser,
    parameters: Sequence[Parameter],
    raw: Sequence[str],
    entrypoint: str,
    prefix: str,
) -> Chosen:
    """Find the subcommands that are named, and put those of the body into the entrypoint.

    Parameters
    ----------
    parser : ScriptParser
        The script's.
    parameters : sequence of Parameter
        What the cell gives, in its order.
    raw : sequence of str
        The words of its raw lines.
    entrypoint : str
        What is run.
    prefix : str
        What stands before each name.
    """
    found = parser.chosen(words_after_script(entrypoint) or [])
    rest: list[Parameter] = []
    names: list[str] = []
    for one in parameters:
        inner = found.command(one.name) if one.value is Truth.YES else None
        if inner is None or found.option(prefix + one.name) is not None:
            rest.append(one)
            continue
        found = entered(found, one.name, inner)
        names.append(one.name)
    first_level = len(found.path) - len(names)
    for offset, name in enumerate(names):
        level = first_level + offset
        outer = [one for one in rest if _level(found, prefix + one.name) == level]
        rest = [one for one in rest if one not in outer]
        placed = place(outer, (), found, prefix=prefix)
        text = command_text(entrypoint, dict(placed.hyperparams), prefix)
        entrypoint = " ".join(filter(None, [text, placed.raw_arguments, shlex.quote(name)]))
    return Chosen(found.chosen(raw) if found.commands else found, rest, entrypoint)


def _level(parser: ScriptParser, word: str) -> int | None:
    option = parser.option(word)
    return None if option is None else option.level
