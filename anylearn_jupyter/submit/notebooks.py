"""Notebooks as code: what a person wrote, without what running left in the file.

Outputs, execution counts, times and widget state do not travel, so that they do not leave the
machine, and saving a notebook does not make new code (quick-train specification, "What travels").
The result is written in one way, whatever program saved the file.
"""

from __future__ import annotations

import json
from typing import Any

_CELL_MARKS = ("ExecuteTime", "collapsed", "execution", "papermill", "scrolled", "trusted")
_NOTEBOOK_MARKS = ("papermill", "signature", "widgets")


def without_outputs(data: bytes) -> bytes | None:
    """Give a notebook's bytes without what running it left there.

    Parameters
    ----------
    data : bytes
        The file, of notebook format 3 or newer.

    Returns
    -------
    bytes or None
        JSON in UTF-8 with sorted keys; the same for each notebook that has the same cells. None
        where it is no notebook, so that it travels as it is.
    """
    try:
        notebook = json.loads(data)
        if not isinstance(notebook, dict) or not _clean(notebook):
            return None
        # Half a surrogate pair, which JSON can escape and UTF-8 cannot write, stays escaped.
        try:
            return _written(notebook, ascii_only=False)
        except UnicodeEncodeError:
            return _written(notebook, ascii_only=True)
    except (ValueError, RecursionError):
        return None


def _written(notebook: dict[str, Any], *, ascii_only: bool) -> bytes:
    text = json.dumps(notebook, ensure_ascii=ascii_only, indent=1, sort_keys=True)
    return f"{text}\n".encode()


def _clean(notebook: dict[str, Any]) -> bool:
    """Take away what running left, in place; False when it has not a notebook's form."""
    sheets = notebook.get("worksheets")
    holders = [notebook] if isinstance(notebook.get("cells"), list) else sheets
    if not isinstance(holders, list):
        return False
    for holder in holders:
        cells = holder.get("cells") if isinstance(holder, dict) else None
        if not isinstance(cells, list):
            return False
        for cell in cells:
            if not isinstance(cell, dict):
                return False
            _clean_cell(cell)
    metadata = notebook.get("metadata")
    if isinstance(metadata, dict):
        for mark in _NOTEBOOK_MARKS:
            metadata.pop(mark, None)
        # The kernel writes its version here each time; programs that run notebooks read the name.
        language = metadata.get("language_info")
        if isinstance(language, dict):
            metadata["language_info"] = {"name": language.get("name")}
    return True


def _clean_cell(cell: dict[str, Any]) -> None:
    if cell.get("cell_type") == "code":
        cell["outputs"] = []
        if "prompt_number" in cell:
            cell["prompt_number"] = None
        else:
            cell["execution_count"] = None
    metadata = cell.get("metadata")
    if isinstance(metadata, dict):
        for mark in _CELL_MARKS:
            metadata.pop(mark, None)
        hidden = metadata.get("jupyter")
        if isinstance(hidden, dict):
            hidden.pop("outputs_hidden", None)
            if not hidden:
                del metadata["jupyter"]
