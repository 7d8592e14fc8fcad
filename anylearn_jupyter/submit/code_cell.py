"""A cell that is itself the training script: what of it is kept, and the file that travels.

The file has the cell's own line numbers: the magic's line, the head and the ``---`` are lines of it
too, so that a traceback names the line that the cell has. Values that no parser of the script
reads are assignments in these lines. Nothing is put into the code's own text, with one exception:
a docstring and ``from __future__`` imports have to come first in Python, so the assignments then
follow the last of these, on its line.
"""

from __future__ import annotations

import ast
import keyword
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from anylearn_jupyter.errors import OptionError

CELL_SCRIPT = "anylearn_cell.py"
"""The name under which a cell travels, in the root of the code."""

_ABOVE = "#"
_ARGV = '__import__("sys").argv'


@dataclass(frozen=True)
class CodeCell:
    """The code of a cell.

    Attributes
    ----------
    source : str
        What stands below the head, word for word.
    lines_above : int
        How many lines of the cell are above it, the magic's own included.
    assigned : bool
        Whether values are assignments on top of the code; else they are its command line.
    swept : tuple of str
        Those of the assigned values that differ between the trainings of a sweep, which have one
        code: they come by the command line.
    """

    source: str
    lines_above: int
    assigned: bool
    swept: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Give it as it is kept in the ledger."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CodeCell:
        """Read what `to_json` gave; keys of a newer program are ignored."""
        own = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        return cls(**{**own, "swept": tuple(own.get("swept", ()))})

    def script(self, values: Iterable[tuple[str, str]], mounts: Sequence[str]) -> str:
        """Write the file that travels.

        Parameters
        ----------
        values : iterable of (str, str)
            Names and Python source; used where they are assigned.
        mounts : sequence of str
            The hyperparameters that get the paths of data, one for each input; their values are
            only known where the task runs, and are taken from its command line.

        Notes
        -----
        Source: notebook spec, "``--code``: the cell is the training script".
        """
        lines: list[str] = []
        if self.assigned:
            lines, at = _mounted(mounts)
            for name, source in values:
                if name in self.swept:
                    lines.append(f'{name} = __import__("ast").literal_eval({_ARGV}[{at + 1}])')
                    at += 2
                else:
                    lines.append(f"{name} = {source}")
        prelude = _prelude_end(self.source)
        if lines and prelude is not None:
            above = [_ABOVE] * self.lines_above
            return "\n".join([*above, _after(self.source, prelude, "; ".join(lines))])
        above = [*lines[: self.lines_above], *[_ABOVE] * (self.lines_above - len(lines))]
        if len(lines) > self.lines_above:
            above[-1] = "; ".join([above[-1], *lines[self.lines_above :]])
        return "\n".join([*above, self.source])


def check_name(name: str, source: str) -> None:
    """Refuse a name that cannot be assigned to.

    Raises
    ------
    OptionError
        It is no Python name.
    """
    try:
        ast.parse(f"{name} = 0")
        plain = name.isidentifier()
    except SyntaxError:
        plain = False
    if not plain:
        raise OptionError(
            f"`{source}`: {name!r} is no Python variable, and the code has no parser that could "
            f"take it; choose a name such as {_as_variable(name)!r}."
        )


def python_source(value: object) -> str:
    r"""Write a value as Python that gives it back; for what a script or a notebook is given.

    Raises
    ------
    OptionError
        It is no plain value: a number, text, truth value, None, path, or a list, tuple, set or
        dict of these.

    Examples
    --------
    >>> python_source([1, "it's", None]), python_source(float("inf"))
    ('[1, "it\'s", None]', 'float("inf")')
    """
    plain = _unwrapped(value)
    if plain is None or type(plain) in (bool, int, str, bytes):
        return repr(plain)
    if isinstance(plain, str):
        return repr(str(plain))
    if isinstance(plain, int):
        return repr(int(plain))
    if isinstance(plain, float):
        return repr(float(plain)) if plain - plain == 0 else f'float("{float(plain)}")'
    if isinstance(plain, PurePath):
        return repr(str(plain))
    if isinstance(plain, Mapping):
        pairs = (f"{python_source(key)}: {python_source(one)}" for key, one in plain.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(plain, list):
        return f"[{', '.join(map(python_source, plain))}]"
    if isinstance(plain, tuple):
        return f"({''.join(f'{python_source(one)}, ' for one in plain)})"
    if isinstance(plain, set | frozenset):
        return f"{{{', '.join(map(python_source, plain))}}}" if plain else "set()"
    return _refused(value)


def typed_source(text: str) -> str:
    """Write what was typed without quotes as Python: a literal as it stands, all else as text.

    Examples
    --------
    >>> typed_source("1e-3"), typed_source("1_000"), typed_source("resnet 50")
    ('1e-3', '1_000', "'resnet 50'")
    """
    try:
        ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return repr(text)
    return text if "\n" not in text and "#" not in text else repr(ast.literal_eval(text))


def _mounted(mounts: Sequence[str]) -> tuple[list[str], int]:
    """Take the paths of data from the command line, where they come first (`train_command`).

    Gives where what follows begins, too.
    """
    counts: dict[str, int] = {}
    for name in mounts:
        if name:
            counts[name] = counts.get(name, 0) + 1
    lines, at = [], 1
    for name, count in counts.items():
        one = f"[{at + 1}]" if count == 1 else f"[{at + 1}:{at + 1 + count}]"
        lines.append(f"{name} = {_ARGV}{one}")
        at += 1 + count
    return lines, at


def _prelude_end(source: str) -> tuple[int, int] | None:
    """Give line and byte of the end of what has to come first in Python; None without any."""
    last: ast.stmt | None = None
    for number, node in enumerate(ast.parse(source).body):
        docstring = (
            number == 0
            and isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        )
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not (docstring or future):
            break
        last = node
    if last is None or last.end_lineno is None or last.end_col_offset is None:
        return None
    return last.end_lineno, last.end_col_offset


def _after(source: str, end: tuple[int, int], text: str) -> str:
    lines = source.split("\n")
    line = lines[end[0] - 1].encode()
    lines[end[0] - 1] = f"{line[: end[1]].decode()}; {text}{line[end[1] :].decode()}"
    return "\n".join(lines)


def _unwrapped(value: object) -> object:
    """Take the Python number out of a NumPy scalar, and the list out of an array."""
    if isinstance(value, str | bytes | Mapping | list | tuple | set | frozenset):
        return value
    as_list = getattr(value, "tolist", None)
    return value if as_list is None else as_list()


def _refused(value: object) -> str:
    raise OptionError(
        f"The value {value!r:.80} is of type {type(value).__name__}, which cannot be written into "
        "a script; give text, a number, a truth value, a path, or a list or dict of these."
    )


def _as_variable(name: str) -> str:
    text = "".join(char if char.isalnum() else "_" for char in name).strip("_") or "value"
    if keyword.iskeyword(text):
        return f"{text}_"
    return f"x{text}" if text[0].isdigit() else text
