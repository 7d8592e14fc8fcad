"""A table of tasks without a live view: as plain text, and as HTML without scripts.

For saved, exported and headless notebooks. A word of a task's becomes text and nothing else.
"""

from __future__ import annotations

import html
import time
from collections.abc import Sequence

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.notebook.curves import number_text
from anylearn_jupyter.notebook.descriptions import clock_text, duration_text
from anylearn_jupyter.notebook.table_rows import (
    Row,
    best_of,
    counts_text,
    servers_text,
    values_text,
)
from anylearn_jupyter.submit.task_group import TaskGroup

SHOWN_ROWS = 50
"""Rows that the HTML shows: the best ones, then the others in their order."""

TEXT_ROWS = 20
"""The same of the plain text."""

_FRAME = (
    "border:1px solid rgba(128,128,128,.4);border-radius:8px;padding:12px 16px;margin:4px 0;"
    "max-width:1080px;line-height:1.45;font-family:system-ui,sans-serif;font-size:13px;"
    "overflow-x:auto"
)
_FAINT = "opacity:.72"
_COLORS = {"succeeded": "#1e7e34", "failed": "#c62828", "running": "#2f6fdb"}
_OTHER_COLOR = "#8a6a00"
_CELL = "text-align:left;padding:2px 14px 2px 0;white-space:nowrap;border:0;background:none"


def as_text(group: TaskGroup, rows: Sequence[Row]) -> str:
    """Write a group of tasks as plain text, without colours."""
    table = _Table(group, rows)
    shown = table.chosen(TEXT_ROWS)
    cells = [table.heads, *(table.cells(row) for row in shown)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(table.heads))]
    lines = [table.title(), f"  {table.best_text()}" if table.best_text() else ""]
    lines += [
        "  " + "  ".join(word.ljust(w) for word, w in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    lines += [f"  {text}" for text in (table.rest_text(len(shown)), table.as_of_text())]
    return "\n".join(line for line in lines if line.strip())


def as_html(group: TaskGroup, rows: Sequence[Row]) -> str:
    """Write it as one ``div`` that its live table finds by ``data-snap`` and hides."""
    table = _Table(group, rows)
    shown = table.chosen(SHOWN_ROWS)
    head = "".join(
        f'<th style="{_CELL};{_FAINT};font-weight:400">{_said(word)}</th>' for word in table.heads
    )
    body = "".join(table.row_html(row) for row in shown)
    faint = "".join(
        f'<div style="{_FAINT};margin-top:6px">{_said(text)}</div>'
        for text in (table.rest_text(len(shown)), table.as_of_text())
        if text
    )
    best = table.best_text()
    return (
        f'<div data-snap="{html.escape(group.id)}" class="mathjax_ignore tex2jax_ignore" '
        f'style="{_FRAME}"><div><b style="font-size:15px">{_said(table.title())}</b></div>'
        + (f'<div style="margin:6px 0">{_said(best)}</div>' if best else "")
        + f'<table style="border-collapse:collapse;margin:6px 0 0;font-size:13px">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{faint}</div>"
    )


class _Table:
    """The words of a table."""

    def __init__(self, group: TaskGroup, rows: Sequence[Row]) -> None:
        self._group = group
        self._rows = rows
        self._best = best_of(rows)
        names = [one_line(name, 40) for name in group.names]
        series = [one_line(self._best[0], 40)] if self._best is not None else []
        best = [f"best {series[0]}"] if series else []
        self.heads = ["", "#", *names, "state", *series, *best, "took"]

    def title(self) -> str:
        """Say what it is and how far."""
        kind, parallel = self._group.kind_text, self._group.parallel
        limit = f", {parallel} at once" if parallel else ""
        return (
            f"{one_line(self._group.title, 80)} ({f'{kind}, ' if kind else ''}"
            f"{len(self._rows):,} trainings on {servers_text(self._group)}{limit}): "
            f"{counts_text(self._rows)}"
        )

    def best_text(self) -> str:
        """Name the best training; empty without a metric."""
        if self._best is None:
            return ""
        series, mode, order = self._best
        row = self._rows[order[0]]
        value = number_text(row.extents[series].best(mode))
        word = "lowest" if mode == "min" else "highest"
        return (
            f"★ {word} {one_line(series, 60)}: {value}, {values_text(self._group, row)} "
            f"({one_line(row.id)})"
        )

    def chosen(self, limit: int) -> list[Row]:
        """Give the rows that are shown: all in their order, or the best ones first."""
        if len(self._rows) <= limit:
            return list(self._rows)
        order = self._best[2] if self._best is not None else []
        places = list(dict.fromkeys([*order, *range(len(self._rows))]))
        return [self._rows[place] for place in places[:limit]]

    def cells(self, row: Row) -> list[str]:
        """Give the words of a row."""
        numbers = []
        is_best = False
        if self._best is not None:
            series, mode, order = self._best
            found = row.extents.get(series)
            is_best = order[0] == row.place
            numbers = [
                number_text(found.last) if found else "",
                number_text(found.best(mode)) if found else "",
            ]
        state = row.state
        if row.share is not None and not row.finished:
            state += f" {100 * row.share:.0f} %"
        return ["★" if is_best else "", str(row.place + 1), *row.values, state, *numbers, took(row)]

    def row_html(self, row: Row) -> str:
        """Write a row; the best one is bold."""
        cells = self.cells(row)
        weight = ";font-weight:600" if cells[0] else ""
        color = _COLORS.get(row.phase, _OTHER_COLOR)
        at = 2 + len(self._group.names)
        words = "".join(
            f'<td style="{_CELL}{weight}{f";color:{color}" if column == at else ""}">'
            f"{_said(word)}</td>"
            for column, word in enumerate(cells)
        )
        return f"<tr>{words}</tr>"

    def rest_text(self, shown: int) -> str:
        """Say how many rows are not here."""
        more = len(self._rows) - shown
        if not more:
            return ""
        return f"and {more:,} more"

    def as_of_text(self) -> str:
        """Say of when this is, unless it is final."""
        if all(row.finished for row in self._rows):
            return ""
        return (
            f"as of {clock_text(time.time_ns() // 1_000_000)}; %anylearn_resume "
            f"{one_line(self._rows[0].id)} shows now"
        )


def took(row: Row) -> str:
    """Say how long a training took; empty before its end."""
    if row.started_ms is None or row.finished_ms is None:
        return ""
    return duration_text((row.finished_ms - row.started_ms) / 1000)


def _said(text: str) -> str:
    return html.escape(text)
