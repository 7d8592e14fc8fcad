"""What a magic says: plain lines, and outputs that are text and HTML at once."""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from anylearn_jupyter.client.replies import one_line

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from anylearn_jupyter.submit.task import TrainTask

CELL_LIMIT = 2_000
"""Characters of one cell or line of a table."""

_SHORT = 24

# Away from typesetters of LaTeX, which would look for formulas in words that are not ours.
_NO_MATH = "mathjax_ignore tex2jax_ignore"


def say(text: str) -> None:
    """Write a line to the cell's output, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def name_of(task: TrainTask) -> str:
    """Name a task in a line: a name is somebody's text, and may hold anything."""
    return f"{one_line(task.name)} ({one_line(task.id)})"


def show_table(
    shell: InteractiveShell, heads: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Show a table as text with columns and as HTML; every cell is escaped."""
    listed = [[one_line(word, CELL_LIMIT) for word in row] for row in rows]
    widths = [
        max(len(row[column]) for row in [list(heads), *listed]) for column in range(len(heads))
    ]
    lines = [
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in [list(heads), *listed]
    ]
    head = "".join(f'<th style="text-align:left">{html.escape(word)}</th>' for word in heads)
    body = "".join("<tr>" + "".join(_cell(word) for word in row) + "</tr>" for row in listed)
    markup = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    publish(shell, "\n".join(lines), f'<table class="{_NO_MATH}">{markup}</table>')


def _cell(word: str) -> str:
    """Write a cell; a short one, such as a date, stays on one line in a narrow page."""
    look = "text-align:left" if len(word) > _SHORT else "text-align:left;white-space:nowrap"
    return f'<td style="{look}">{html.escape(word)}</td>'


def show_rows(
    shell: InteractiveShell, title: str, rows: Iterable[tuple[str, Sequence[str]]]
) -> None:
    """Show named things, each with one or several lines, as text and as HTML; all escaped."""
    title = one_line(title, CELL_LIMIT)
    lines = [title]
    body = ""
    rows = list(rows)
    width = max((len(one_line(label)) for label, _ in rows), default=0)
    for label, given in rows:
        label, texts = one_line(label), [one_line(text, CELL_LIMIT) for text in given]
        for number, text in enumerate(texts):
            lines.append(f"  {label if number == 0 else '':<{width}} {text}")
        cell = "<br>".join(html.escape(text) for text in texts)
        body += (
            f'<tr><th style="text-align:left;vertical-align:top">{html.escape(label)}</th>'
            f'<td style="text-align:left;overflow-wrap:anywhere">{cell}</td></tr>'
        )
    markup = f"<p>{html.escape(title)}</p><table>{body}</table>"
    publish(shell, "\n".join(lines), f'<div class="{_NO_MATH}">{markup}</div>')


def publish(
    shell: InteractiveShell,
    text: str,
    markup: str,
    *,
    display_id: str | None = None,
    update: bool = False,
) -> None:
    """Put an output into the running cell, or a new version of one that is there."""
    transient = {"display_id": display_id} if display_id else {}
    shell.display_pub.publish(
        {"text/plain": text, "text/html": markup}, transient=transient, update=update
    )
