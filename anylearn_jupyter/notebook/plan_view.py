"""``--plan``: what a cell would send, for people; nothing has been sent.

`plan_text` and `plan_html` say the same; the form shows the HTML too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.notebook.plan_html import plan_html
from anylearn_jupyter.notebook.plan_words import (
    code_words,
    command_of,
    count_words,
    data_words,
    dropped,
    left_behind_words,
    names_words,
    queue_words,
    script_lines,
    server_words,
    supervision_words,
    time_words,
    upload_words,
)
from anylearn_jupyter.notebook.printing import CELL_LIMIT, publish
from anylearn_jupyter.notebook.terminal import size_text
from anylearn_jupyter.submit.packing_list import PackingList
from anylearn_jupyter.submit.planning import Plan

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_SHOWN_FILES = 20
_SHOWN_NAMES = 5


def show_plan(shell: InteractiveShell, plan: Plan, notes: Iterable[str] = ()) -> None:
    """Show a plan in the running cell, as text and as HTML.

    Parameters
    ----------
    plan : Plan
        What `planning.plan` found out.
    notes : iterable of str
        What else the user should know.
    """
    told = list(notes)
    publish(shell, plan_text(plan, told), plan_html(plan, told))


def plan_text(plan: Plan, notes: Iterable[str] = ()) -> str:
    """Write a plan as plain text, a label and its lines each.

    Parameters
    ----------
    plan : Plan
        What `planning.plan` found out.
    notes : iterable of str
        What else the user should know.
    """
    lines = ["What would be sent (nothing was):"]
    for label, texts in _rows(plan, notes):
        for number, text in enumerate(texts):
            # A script's lines are shown as they are, with their indentation.
            shown = text if label == "script" else one_line(text, CELL_LIMIT)
            lines.append(f"  {label if number == 0 else '':<9} {shown}")
    return "\n".join(lines)


def _rows(plan: Plan, notes: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    yield "server", [server_words(plan.facts)]
    yield "command", [command_of(plan)]
    yield "code", [code_words(plan), *(_contents(plan.packing) if plan.packing else ())]
    if plan.request.code_cell is not None:
        yield "script", [f"| {line}" for line in script_lines(plan)]
    if plan.packing is not None:
        left_out = [
            f"{names_words(one.paths, _SHOWN_NAMES)}: {one.rule}" for one in dropped(plan.skipped)
        ]
        yield "left out", left_out or ["nothing"]
    if plan.left_behind:
        yield "missing", [left_behind_words(one) for one in plan.left_behind]
    if plan.facts.data:
        yield "data", [data_words(fact, plan) for fact in plan.facts.data]
    yield "upload", [upload_words(plan)]
    yield "queue", list(queue_words(plan))
    yield "time", [time_words(plan)]
    if plan.request.env:
        yield "env", [f"{name}={value}" for name, value in plan.request.env]
    supervised = supervision_words(plan)
    if supervised:
        yield "limits", supervised
    if plan.request.secrets:
        yield "secrets", list(plan.request.secrets)
    yield "results", [f"{plan.facts.output}/"]
    told = list(dict.fromkeys([*plan.notes, *notes]))
    if told:
        yield "note", told


def _contents(packing: PackingList) -> Iterator[str]:
    folders = [
        f"{folder.path} ({count_words(folder.files)}, {size_text(folder.total_bytes)})"
        for folder in packing.largest_folders()
    ]
    if folders:
        yield f"largest: {', '.join(folders)}"
    for path in packing.nested:
        folder = packing.folder(path)
        yield (
            f"repository of its own: {path} ({count_words(folder.files)}, "
            f"{size_text(folder.total_bytes)}), which travels as files"
        )
    for file in packing.files[:_SHOWN_FILES]:
        yield f"{file.path} ({size_text(file.size)})"
    rest = len(packing.files) - _SHOWN_FILES
    if rest > 0:
        yield f"… and {rest} more"
