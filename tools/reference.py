"""Write docs/reference.md anew from the declarations of the magics, `train` and `quick_train`.

Run it after a change of an option: `.venv/bin/python tools/reference.py`. `--check` writes nothing
and fails where the page is stale.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from anylearn_jupyter import errors
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.python_call import train
from anylearn_jupyter.submit.published import quick_train

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"

HEAD = """# Reference

This page is written by `tools/reference.py` from the declarations that `%name?` shows, too. How
things belong together is told in [the magics](magics.md), [from Python](python.md) and the other
pages.
"""

PUBLISHED = {"name": "task_name", "env": "envs"}
"""What `quick_train` calls an option of the cell."""


def page() -> str:
    """Give the text of the page."""
    parts = [HEAD, *map(magic_section, magics()), *python_section(), *error_section()]
    return "\n".join(parts)


def magics() -> list[str]:
    """List the magics: training first, then by name."""
    names = [name for name in vars(AnylearnMagics) if name.startswith("anylearn_")]
    return sorted(names, key=lambda name: (name != "anylearn_train", name))


def magic_section(name: str) -> str:
    """Describe a magic: what it is for, its usage, its options by their groups."""
    parser = parser_of(getattr(AnylearnMagics, name))
    text = inspect.cleandoc(parser.description or "")
    signs = "%%" if name == "anylearn_train" else "%"
    lines = [f"## {signs}{name}", "", *fenced(text), "```text", usage(parser, signs), "```", ""]
    for group in parser._action_groups:
        rows = [row(action) for action in group._group_actions if action.dest != "help"]
        if rows:
            title = group.title if group.title not in ("positional arguments", "options") else ""
            lines += [*([f"{title[0].upper()}{title[1:]}:", ""] if title else []), *table(rows), ""]
    return "\n".join(lines)


def usage(parser: argparse.ArgumentParser, signs: str) -> str:
    """Write the arguments in their places; the options are in the table."""
    places = []
    for action in parser._actions:
        if not action.option_strings:
            name = str(action.metavar or action.dest)
            many = {"*": f"[{name} …]", "+": f"{name} …", "?": f"[{name}]"}
            places.append("[ENTRY]" if name == "ENTRY" else many.get(str(action.nargs), name))
    options = ["[options]"] if any(action.option_strings for action in parser._actions) else []
    return " ".join([f"{signs}{parser.prog}", *places, *options])


def row(action: argparse.Action) -> tuple[str, str]:
    """Give an option as it is written, and its help."""
    if not action.option_strings:
        return f"`{action.metavar or action.dest}`", help_of(action)
    value = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    again = "; may be repeated" if isinstance(action, argparse._AppendAction) else ""
    names = ", ".join(f"`{string}`" for string in action.option_strings[:-1])
    last = f"`{action.option_strings[-1]}{value}`"
    return f"{names}{', ' if names else ''}{last}", help_of(action) + again


def help_of(action: argparse.Action) -> str:
    """Give the help as it is shown: argparse's own escape is taken out."""
    return str(action.help or "").replace("%%", "%")


def table(rows: list[tuple[str, str]], heads: tuple[str, str] = ("option", "meaning")) -> list[str]:
    """Write a table in Markdown."""
    escaped = [tuple(cell.replace("|", "\\|") for cell in cells) for cells in rows]
    lines = [f"| {heads[0]} | {heads[1]} |", "| --- | --- |"]
    return [*lines, *(f"| {first} | {second} |" for first, second in escaped)]


def fenced(text: str) -> Iterator[str]:
    """Turn the literal blocks of a docstring into fences."""
    blocks = re.split(r"^::\n\n((?:(?: {4}.*)?\n)+)", f"{text}\n", flags=re.MULTILINE)
    for number, block in enumerate(blocks):
        if number % 2:
            yield from ("```text", inspect.cleandoc(block), "```", "")
        elif block.strip():
            yield from (block.strip(), "")


def python_section() -> Iterator[str]:
    """Describe `train` and `quick_train`: which option of the cell each argument is."""
    published = inspect.signature(quick_train).parameters
    yield "## train()\n"
    yield "`anylearn_jupyter.train(entry, params, ...)` takes what a cell takes, under these names;"
    yield "`quick_train()` has the published ones. Meanings are those of the table above.\n"
    rows = []
    for name, parameter in inspect.signature(train).parameters.items():
        other = PUBLISHED.get(name, name)
        default = "" if parameter.default is None else f" = {parameter.default!r}"
        rows.append((f"`{name}{default}`", f"`{other}`" if other in published else ""))
    yield "\n".join(table(rows, ("`train`", "`quick_train`")))
    yield ""
    yield "## quick_train()\n"
    rows = [
        (f"`{name}`", "" if one.default is None else f"`{one.default!r}`")
        for name, one in published.items()
        if one.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    yield "\n".join(table(rows, ("argument", "default")))
    yield ""


def error_section() -> Iterator[str]:
    """List the errors that are raised on purpose, each below the one that it is a kind of."""
    yield "## Errors\n"
    yield "All are `anylearn_jupyter.errors`, and can be caught by class.\n"
    rows = []
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, BaseException):
            parent = kind.__bases__[0].__name__
            meaning = (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")
            rows.append((f"`{name}` ({parent})", meaning))
    yield "\n".join(table(rows, ("error", "meaning")))
    yield ""


def main() -> int:
    """Write the page, or compare it."""
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print("docs/reference.md is stale; run `.venv/bin/python tools/reference.py`.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
