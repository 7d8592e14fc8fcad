"""``--code``: a cell that is itself the training script, with its hyperparameters in a head.

::

    %%anylearn_train --code
    lr = 1e-3
    ---
    print(lr)

The first line ``---`` ends the head; a cell without one is code from its second line on. The code
is taken word for word: no braces are expanded in it.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from pathlib import Path

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.discover import Reading, read_script
from anylearn_jupyter.submit.code_cell import CELL_SCRIPT, CodeCell

_SHELL = ("!", "%")


@dataclass(frozen=True)
class ReadCell:
    """A cell that is the script.

    Attributes
    ----------
    head : str
        The lines of its hyperparameters.
    code : CodeCell
        What travels.
    reading : Reading
        What is known of the parser that it builds.
    """

    head: str
    code: CodeCell
    reading: Reading


def read_cell(body: str, directory: Path) -> ReadCell:
    """Take a cell apart and look at its code; it is not run.

    Parameters
    ----------
    body : str
        What stands below the magic's line.
    directory : Path
        The code directory, whose modules it may import.

    Raises
    ------
    OptionError
        There is no code, or it is no Python; the message quotes the cell's line.

    Notes
    -----
    Source: notebook spec, "``--code``: the cell is the training script".
    """
    lines = body.split("\n")
    end = next((at for at, line in enumerate(lines) if line.strip() == "---"), None)
    head = [] if end is None else lines[:end]
    source = "\n".join(lines if end is None else lines[end + 1 :])
    above = 1 if end is None else end + 2  # the magic's own line is the first
    if not source.strip():
        raise OptionError(
            "--code trains the cell itself, and there is no code in it; write it below the line "
            "`%%anylearn_train --code`, or below a line --- that ends the hyperparameters."
        )
    _check(source, above)
    reading = read_script(directory / CELL_SCRIPT, "the cell", root=directory, text=source)
    return ReadCell("\n".join(head), CodeCell(source, above, not reading.parsers), reading)


def _check(source: str, above: int) -> None:
    """Refuse what Python would, before anything is sent."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the user's own, and told where it runs
            ast.parse(source)
            source.encode()
    except SyntaxError as error:
        number = error.lineno or 1
        lines = source.split("\n")
        line = lines[min(number, len(lines)) - 1].strip()
        if line.startswith(_SHELL):
            why = "which is for notebooks only; a script is plain Python"
        else:
            why = f"which is no Python: {error.msg}"
        raise OptionError(f"Line {above + number} of the cell is `{line:.200}`, {why}.") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise OptionError(f"The cell is no Python: {error}.") from error
