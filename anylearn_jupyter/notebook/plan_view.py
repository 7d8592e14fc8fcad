"""``--plan``: what a cell would send, for people; nothing has been sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.printing import show_rows
from anylearn_jupyter.notebook.terminal import size_text
from anylearn_jupyter.submit.facts import DataFact, Facts
from anylearn_jupyter.submit.packing_list import PackingList, Skipped
from anylearn_jupyter.submit.planning import Plan

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_UNSENT = re.compile(r'"\$(<[^>"]*>)"')  # a mount whose id is not known yet
_SHOWN_FILES = 20
_SHOWN_SKIPPED = 5


def show_plan(shell: InteractiveShell, plan: Plan, notes: Iterable[str] = ()) -> None:
    """Show a plan in the running cell, as text and as HTML.

    Parameters
    ----------
    plan : Plan
        What `planning.plan` found out.
    notes : iterable of str
        What else the user should know.
    """
    rows = [("server", [_server(plan.facts)]), ("command", [_UNSENT.sub(r"\1", plan.command)])]
    rows.append(("code", list(_code(plan))))
    if plan.packing is not None:
        rows.append(("left out", list(_skipped(plan.packing.skipped)) or ["nothing"]))
    if plan.facts.data:
        rows.append(("data", [_data(fact, plan) for fact in plan.facts.data]))
        rows.append(("upload", [_upload(plan)]))
    if plan.request.env:
        rows.append(("env", [f"{name}={value}" for name, value in plan.request.env]))
    rows.append(("results", [f"{plan.facts.output}/"]))
    told = list(dict.fromkeys([*plan.notes, *notes]))
    if told:
        rows.append(("note", told))
    show_rows(shell, "What would be sent (nothing was):", rows)


def _server(facts: Facts) -> str:
    if facts.server == "local":
        return "local, the engine on this machine"
    return f"{facts.server}, as {facts.username}" if facts.username else facts.server


def _code(plan: Plan) -> Iterator[str]:
    packing = plan.packing
    if packing is None:
        yield f"algorithm {plan.request.algorithm_id}, which is on the server"
        return
    state = ""
    if packing.head:
        changed = " with changes that are not committed" if packing.dirty else ""
        state = f", at commit {packing.head[:12]}{changed}"
    size = size_text(packing.total_bytes)
    yield f"{_count(len(packing.files))}, {size}, of {packing.root}{state}"
    folders = [
        f"{folder.path} ({_count(folder.files)}, {size_text(folder.total_bytes)})"
        for folder in packing.largest_folders()
    ]
    if folders:
        yield f"largest: {', '.join(folders)}"
    yield from _files(packing)


def _files(packing: PackingList) -> Iterator[str]:
    for file in packing.files[:_SHOWN_FILES]:
        yield f"{file.path} ({size_text(file.size)})"
    rest = len(packing.files) - _SHOWN_FILES
    if rest > 0:
        yield f"… and {rest} more"


def _skipped(skipped: Iterable[Skipped]) -> Iterator[str]:
    """Give what each rule left out, the first few by name."""
    by_reason: dict[str, list[str]] = {}
    for one in skipped:
        by_reason.setdefault(one.reason, []).append(one.path)
    for reason, paths in by_reason.items():
        more = f" and {len(paths) - _SHOWN_SKIPPED} more" if len(paths) > _SHOWN_SKIPPED else ""
        yield f"{', '.join(paths[:_SHOWN_SKIPPED])}{more}: {reason}"


def _data(fact: DataFact, plan: Plan) -> str:
    if fact.path is None:
        return f"{fact.name}: dataset {fact.id}, which is on the server"
    size = f"{_count(fact.files or 0)}, {size_text(fact.size_bytes or 0)}"
    if fact.id:
        state = f"already there as {fact.id}"
    else:
        state = "to upload" if plan.upload_bytes is not None else "to upload, if it is not there"
    return f"{fact.name}: {fact.path} ({size}), {state}"


def _upload(plan: Plan) -> str:
    if plan.upload_bytes is None:
        return "unknown, as the server could not be asked"
    return size_text(plan.upload_bytes) if plan.upload_bytes else "nothing"


def _count(files: int) -> str:
    return "1 file" if files == 1 else f"{files} files"
