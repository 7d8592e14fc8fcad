"""A plan as HTML without a script, for pages light and dark; every word in it is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.notebook.plan_words import (
    Dropped,
    code_words,
    command_of,
    count_words,
    data_words,
    dropped,
    left_behind_words,
    names_words,
    queue_total,
    queue_words,
    script_lines,
    server_words,
    supervision_words,
    time_total,
    time_words,
    upload_total,
    upload_words,
)
from anylearn_jupyter.notebook.printing import CELL_LIMIT
from anylearn_jupyter.notebook.terminal import size_text
from anylearn_jupyter.submit.code_cell import CELL_SCRIPT
from anylearn_jupyter.submit.packing_list import Folder, PackingList
from anylearn_jupyter.submit.planning import Plan

SHOWN_FILES = 500
"""Files that the folded list names."""

_SHOWN_NAMES = 12
_NO_MATH = "mathjax_ignore tex2jax_ignore"
_FRAME = (
    "border:1px solid rgba(128,128,128,.4);border-radius:8px;padding:12px 16px;margin:4px 0;"
    "max-width:1080px;line-height:1.45;font-family:system-ui,sans-serif;font-size:13px"
)
_FAINT = "opacity:.75"
_MONO = (
    "font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace);font-size:12px"
)
_BAR = "#2f6fdb"
_WARNING = "#a06a00"


def plan_html(plan: Plan, notes: Iterable[str] = ()) -> str:
    """Write a plan as HTML that stands alone.

    Parameters
    ----------
    plan : Plan
        What `planning.plan` found out.
    notes : iterable of str
        What else the user should know.
    """
    told = dict.fromkeys([*plan.notes, *notes])
    parts = [
        _head(plan),
        _tiles(plan),
        *(_warning(left_behind_words(one)) for one in plan.left_behind),
        *(_warning(note) for note in told),
        _command(plan),
        _section("Code", [_line(code_words(plan)), *_contents(plan)]),
        *_script(plan),
        *_left_out(plan),
        *_data(plan),
        _section("Queue", [_line(text) for text in queue_words(plan)]),
        _section("Time", [_line(time_words(plan))]),
        *_rest(plan),
    ]
    return f'<div class="{_NO_MATH}" style="{_FRAME}">{"".join(parts)}</div>'


def _head(plan: Plan) -> str:
    where = f"to {_said(server_words(plan.facts))}; nothing has been sent"
    return (
        '<div style="margin-bottom:8px"><b style="font-size:15px">What would be sent</b> '
        f'<span style="{_FAINT}">{where}</span></div>'
    )


def _tiles(plan: Plan) -> str:
    files = "on the server" if plan.packing is None else count_words(len(plan.packing.files))
    tiles = [
        ("code", files, "" if plan.packing is None else size_text(plan.packing.total_bytes)),
        ("upload", upload_total(plan), ""),
        ("queue", queue_total(plan), ""),
        ("time", time_total(plan), ""),
    ]
    drawn = "".join(
        '<div style="flex:1 1 130px;background:rgba(128,128,128,.1);border-radius:6px;'
        f'padding:6px 12px"><div style="{_FAINT};font-size:12px">{label}</div>'
        f'<div style="font-size:15px;font-weight:600">{_said(value)}'
        f'<span style="{_FAINT};font-weight:400;font-size:12px"> {_said(beside)}</span></div></div>'
        for label, value, beside in tiles
    )
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px;margin:8px 0">{drawn}</div>'


def _warning(text: str) -> str:
    return (
        f'<div style="border-left:3px solid {_WARNING};padding:2px 10px;margin:6px 0;'
        f'overflow-wrap:anywhere">{_said(text)}</div>'
    )


def _command(plan: Plan) -> str:
    return (
        '<pre style="background:rgba(128,128,128,.1);color:inherit;border-radius:6px;'
        f'padding:6px 12px;margin:8px 0;white-space:pre-wrap;overflow-wrap:anywhere;{_MONO}">'
        f"{_said(command_of(plan))}</pre>"
    )


def _section(title: str, lines: Iterable[str]) -> str:
    """Write a heading beside its lines, below each other where the page is narrow."""
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:2px 12px;margin:6px 0">'
        f'<div style="flex:0 0 88px;{_FAINT}">{_said(title)}</div>'
        f'<div style="flex:1 1 260px;min-width:0">{"".join(lines)}</div></div>'
    )


def _line(text: str) -> str:
    return f'<div style="overflow-wrap:anywhere">{_said(text)}</div>'


def _contents(plan: Plan) -> Iterator[str]:
    packing = plan.packing
    if packing is None:
        return
    folders = packing.largest_folders()
    if len(folders) > 1:
        yield _folders(folders, packing.total_bytes)
    for path in packing.nested:
        found = packing.folder(path)
        yield _line(
            f"{path} is a repository of its own and travels as files "
            f"({count_words(found.files)}, {size_text(found.total_bytes)})"
        )
    if packing.files:
        yield _all_files(packing)


def _folders(folders: list[Folder], total_bytes: int) -> str:
    """Draw each folder's part of all bytes as a bar."""
    rows = "".join(
        '<div style="display:flex;gap:10px;align-items:center">'
        f'<span style="flex:0 1 180px;overflow-wrap:anywhere;{_MONO}">'
        f"{_said(_folder_name(one))}</span>"
        '<span style="flex:1 1 80px;background:rgba(128,128,128,.15);border-radius:3px;height:6px">'
        f'<span style="display:block;background:{_BAR};border-radius:3px;height:6px;'
        f'width:{100 * one.total_bytes / max(total_bytes, 1):.1f}%"></span></span>'
        f'<span style="flex:0 0 150px;{_FAINT}">{size_text(one.total_bytes)}, '
        f"{count_words(one.files)}</span></div>"
        for one in folders
    )
    return f'<div style="margin:4px 0;max-width:640px">{rows}</div>'


def _folder_name(folder: Folder) -> str:
    return "(here)" if folder.path == "." else f"{folder.path}/"


def _all_files(packing: PackingList) -> str:
    names = [f"{one.path}  {size_text(one.size)}" for one in packing.files[:SHOWN_FILES]]
    rest = len(packing.files) - len(names)
    if rest > 0:
        names.append(f"… and {rest:,} more")
    return _folded(f"All {count_words(len(packing.files))}", names)


def _folded(title: str, lines: Iterable[str]) -> str:
    return _folded_text(title, "\n".join(_said(line) for line in lines))


def _folded_text(title: str, text: str) -> str:
    """Fold text that is HTML already."""
    return (
        f'<details style="margin:4px 0"><summary style="cursor:pointer">{_said(title)}</summary>'
        '<pre style="background:none;color:inherit;margin:4px 0;padding:0 0 0 14px;'
        "max-height:320px;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere;"
        f'{_MONO}">{text}</pre></details>'
    )


def _script(plan: Plan) -> Iterator[str]:
    lines = script_lines(plan)
    if lines:
        text = html.escape("\n".join(lines))
        yield _section("Script", [_folded_text(f"{CELL_SCRIPT}, the cell itself", text)])


def _left_out(plan: Plan) -> Iterator[str]:
    if plan.packing is None:
        return
    found = dropped(plan.skipped)
    yield _section("Left out", [_rule(one) for one in found] or [_line("nothing")])


def _rule(one: Dropped) -> str:
    names = names_words(one.paths, _SHOWN_NAMES)
    return (
        f'<div style="overflow-wrap:anywhere"><span style="{_FAINT}">{_said(one.rule)}:</span> '
        f'<span style="{_MONO}">{_said(names)}</span></div>'
    )


def _data(plan: Plan) -> Iterator[str]:
    if plan.facts.data:
        yield _section("Data", [_line(data_words(fact, plan)) for fact in plan.facts.data])
    yield _section("Upload", [_line(upload_words(plan))])


def _rest(plan: Plan) -> Iterator[str]:
    if plan.request.env:
        yield _section("Variables", [_line(f"{name}={value}") for name, value in plan.request.env])
    supervised = supervision_words(plan)
    if supervised:
        yield _section("Limits", [_line(words) for words in supervised])
    if plan.request.secrets:
        yield _section("Secrets", [_line(", ".join(plan.request.secrets))])
    yield _section("Results", [_line(f"{plan.facts.output}/")])


def _said(text: str) -> str:
    return html.escape(one_line(text, CELL_LIMIT))
