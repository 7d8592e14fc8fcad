"""The files that travel with a code directory and are not in it.

These are a cell that is the script, and what executes a notebook.

They are in the snapshot's tree like any other file, so the same cell beside the same files gives
the same commit. The user's directory is not written to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit import notebook_runner
from anylearn_jupyter.submit.code_cell import CELL_SCRIPT
from anylearn_jupyter.submit.packing_list import PackedFile, PackingList
from anylearn_jupyter.submit.request import TrainRequest

NOTEBOOK_RUNNER = "anylearn_notebook.py"
"""The name under which travels what executes a notebook, in the root of the code."""


def overlay_of(request: TrainRequest) -> dict[str, bytes]:
    """Give the content of each file that a request adds, by its path in the code.

    Raises
    ------
    OptionError
        A value cannot be put into it.
    """
    files: dict[str, bytes] = {}
    if request.notebook is not None:
        files[NOTEBOOK_RUNNER] = Path(notebook_runner.__file__).read_bytes()
    if request.code_cell is not None:
        values = [(name, str(value)) for name, value in request.hyperparams]
        mounts = [one.name for one in request.data]
        text = request.code_cell.script(values, mounts)
        files[CELL_SCRIPT] = text.encode("utf-8")
    return files


def check_overlay(packing: PackingList, added: Mapping[str, bytes]) -> None:
    """Refuse a directory that has a file of the same name, which would be another one there.

    Raises
    ------
    OptionError
        It has.
    """
    for path in added:
        if packing.has(path) or any(one.path.startswith(f"{path}/") for one in packing.files):
            raise OptionError(
                f"The code directory has a {path!r} of its own, the name of a file that this task "
                f"brings along; rename it, or leave it out with --exclude {path}."
            )


def with_overlay(packing: PackingList, added: Mapping[str, bytes]) -> PackingList:
    """Give a packing list that names the added files too."""
    if not added:
        return packing
    files = [*packing.files, *(PackedFile(path, len(data)) for path, data in added.items())]
    return replace(packing, files=tuple(sorted(files, key=lambda one: one.path.encode())))
