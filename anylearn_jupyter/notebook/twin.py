"""A task as text and as HTML without a script: the twin of its card.

It is what a saved, exported or printed notebook shows, a terminal, and a viewer that knows no
widgets. It carries everything in itself: no style sheet, no link, no picture from elsewhere; its
colours are those of the page around it, or stand out on light and dark ones alike.

Every word that is not written here goes through `html.escape`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.entities import TaskPhase
from anylearn_jupyter.notebook import curves
from anylearn_jupyter.notebook.ansi import plain, static_html
from anylearn_jupyter.notebook.descriptions import (
    CODE_ROWS,
    SIGNS,
    as_of_text,
    fact_rows,
    latest_values,
    name_of,
    progress_text,
    server_text,
    state_text,
    times_text,
)
from anylearn_jupyter.notebook.task_view import Snapshot
from anylearn_jupyter.submit.facts import Facts

TEXT_LINES = 20
"""Lines of the log in the plain text."""

_LINE_CHARACTERS = 2_000
_MAX_VALUES = 12
_COLORS = {
    TaskPhase.SUCCEEDED: "#23832f",
    TaskPhase.FAILED: "#d32f3b",
    TaskPhase.ABORTED: "#a06a00",
    TaskPhase.LOST: "#a06a00",
}
_OTHER_COLOR = "#2f6fdb"
_FRAME = (
    "border:1px solid rgba(128,128,128,.4);border-radius:8px;padding:12px 16px;margin:4px 0;"
    "max-width:1080px;line-height:1.45;font-family:system-ui,sans-serif;font-size:13px"
)
_FAINT = "opacity:.72"
# Pages with a typesetter for LaTeX look for formulas in every output, and a formula may hold a
# link: these classes keep it away from words that are not ours.
_NO_MATH = "mathjax_ignore tex2jax_ignore"
_MONO = "font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace)"


def as_text(snapshot: Snapshot, facts: Facts | None, server: str) -> str:
    """Write a task as plain text, without colours.

    Parameters
    ----------
    snapshot : Snapshot
        The task at one moment.
    facts : Facts or None
        What was sent, where that is known.
    server : str
        ``local`` or an address.
    """
    detail = snapshot.detail
    sign = SIGNS.get(TaskPhase(detail.phase), "…") if detail.phase in list(TaskPhase) else "…"
    head = [f"{sign} {name_of(detail)}", state_text(snapshot), f"on {server_text(server)}"]
    lines = [" · ".join(part for part in (*head, times_text(detail, snapshot.heard_ms)) if part)]
    if snapshot.cause is not None:
        lines += [f"  {line[:_LINE_CHARACTERS]}" for line in snapshot.cause.text]
    rows = [("id", one_line(detail.id)), *fact_rows(facts, detail)]
    if snapshot.progress is not None and not detail.finished:
        rows.append(("progress", progress_text(snapshot.progress, snapshot.left_s)))
    values = latest_values(snapshot.series)[:_MAX_VALUES]
    if values:
        rows.append(("metrics", "  ".join(f"{name} {value}" for name, value in values)))
    lines += [f"  {label:<11} {text}" for label, text in rows]
    lines += [f"  {text}" for text in (one_line(snapshot.trouble), as_of_text(snapshot)) if text]
    shown = snapshot.lines[-TEXT_LINES:]
    if shown:
        lines.append(f"  log, {_which_lines(len(shown), snapshot.line_count)}:")
        lines += [f"    {plain(line)[:_LINE_CHARACTERS]}" for line in shown]
    return "\n".join(lines)


def as_html(snapshot: Snapshot, facts: Facts | None, server: str) -> str:
    """Write a task as one ``div`` that its live card finds by ``data-snap`` and hides."""
    detail = snapshot.detail
    parts = [
        _head(snapshot, server),
        *_cause(snapshot),
        *_notices(snapshot),
        _facts_table(facts, snapshot),
        *_progress(snapshot),
        *_metrics(snapshot),
        *_log(snapshot),
    ]
    return (
        f'<div data-snap="{html.escape(detail.id)}" class="{_NO_MATH}" style="{_FRAME}">'
        f"{''.join(parts)}</div>"
    )


def _head(snapshot: Snapshot, server: str) -> str:
    detail = snapshot.detail
    color = _color(snapshot)
    badge = (
        f'<span style="display:inline-block;border:1px solid {color};color:{color};'
        f'border-radius:10px;padding:0 9px;font-weight:600">{_said(state_text(snapshot))}</span>'
    )
    times = times_text(detail, snapshot.heard_ms)
    return (
        f'<div style="margin-bottom:6px">{badge} <b style="font-size:15px;margin-left:4px">'
        f"{_said(name_of(detail))}</b> "
        f'<span style="{_FAINT}">on {_said(server_text(server))}</span></div>'
        f'<div style="{_FAINT}">{_said(times)}{" · " if times else ""}'
        f'<span style="{_MONO}">{_said(one_line(detail.id))}</span></div>'
    )


def _cause(snapshot: Snapshot) -> Iterable[str]:
    """Show a failure's cause before anything else."""
    cause = snapshot.cause
    if cause is None:
        return
    place = f'<div style="{_MONO};font-size:12px;margin-top:2px">{_said(cause.place)}</div>'
    lines = "\n".join(_said(line[:_LINE_CHARACTERS]) for line in cause.lines)
    trace = (
        f'<pre style="margin:6px 0 0;padding:0;background:none;color:inherit;{_FAINT};'
        f'white-space:pre-wrap;overflow-wrap:anywhere;{_MONO};font-size:12px">{lines}</pre>'
    )
    yield (
        f'<div style="border-left:3px solid {_color(snapshot)};padding:4px 12px;margin:8px 0;'
        f'overflow-wrap:anywhere"><b>{_said(cause.summary)}</b>'
        f"{place if cause.place else ''}{trace if lines else ''}</div>"
    )


def _notices(snapshot: Snapshot) -> Iterable[str]:
    for text in (one_line(snapshot.trouble), as_of_text(snapshot)):
        if text:
            yield (
                '<div style="border-left:3px solid #a06a00;padding:2px 10px;margin:8px 0">'
                f"{_said(text)}</div>"
            )


def _facts_table(facts: Facts | None, snapshot: Snapshot) -> str:
    label_look = f"flex:0 0 88px;{_FAINT}"
    look = "overflow-wrap:anywhere;min-width:0"
    rows = "".join(
        f'<div style="display:flex;gap:12px"><span style="{label_look}">{_said(label)}</span>'
        f'<span style="{look}{_font(label)}">{_said(text)}</span></div>'
        for label, text in fact_rows(facts, snapshot.detail)
    )
    return f'<div style="margin:8px 0">{rows}</div>' if rows else ""


def _font(label: str) -> str:
    return f";{_MONO};font-size:12px" if label in CODE_ROWS else ""


def _progress(snapshot: Snapshot) -> Iterable[str]:
    progress = snapshot.progress
    if progress is None or snapshot.detail.finished:
        return
    share = min(progress.done / progress.total, 1)
    yield (
        '<div style="background:rgba(128,128,128,.25);border-radius:4px;height:6px;'
        f'margin:10px 0 2px"><div style="background:{_OTHER_COLOR};border-radius:4px;height:6px;'
        f'width:{100 * share:.1f}%"></div></div>'
        f'<div style="{_FAINT}">{_said(progress_text(progress, snapshot.left_s))}</div>'
    )


def _metrics(snapshot: Snapshot) -> Iterable[str]:
    panels = curves.panels(snapshot.series)
    curved = {name for panel in panels for name, _ in panel.series}
    values = latest_values([one for one in snapshot.series if one[0] not in curved])
    if values:
        words = "".join(
            f'<span style="margin-right:16px"><span style="{_FAINT}">{_said(name)}</span> '
            f"<b>{_said(value)}</b></span>"
            for name, value in values[:_MAX_VALUES]
        )
        yield f'<div style="margin:8px 0">{words}</div>'
    if panels:
        drawn = "".join(curves.picture(panel) for panel in panels[: curves.MAX_PANELS])
        yield f'<div style="display:flex;flex-wrap:wrap;gap:8px;margin:8px 0">{drawn}</div>'
    if len(panels) > curves.MAX_PANELS:
        yield f'<div style="{_FAINT}">and {len(panels) - curves.MAX_PANELS} more curves</div>'


def _log(snapshot: Snapshot) -> Iterable[str]:
    if not snapshot.lines:
        return
    lines = "\n".join(static_html(line[:_LINE_CHARACTERS]) for line in snapshot.lines)
    which = _which_lines(len(snapshot.lines), snapshot.line_count)
    yield (
        f'<div style="{_FAINT};margin-top:8px">Log, {which}</div>'
        '<pre style="background:rgba(128,128,128,.08);color:inherit;border-radius:6px;'
        f"padding:8px 12px;margin:4px 0 0;overflow:auto;{_MONO};font-size:12px;"
        f'line-height:1.4">{lines}</pre>'
    )


def _which_lines(shown: int, total: int) -> str:
    if shown >= total:
        return "its only line" if total == 1 else f"all {total:,} lines"
    return f"the last {shown:,} of {total:,} lines"


def _color(snapshot: Snapshot) -> str:
    phase = snapshot.detail.phase
    return next((color for known, color in _COLORS.items() if known == phase), _OTHER_COLOR)


def _said(text: str) -> str:
    return html.escape(text)
