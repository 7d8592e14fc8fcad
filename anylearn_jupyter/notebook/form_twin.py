"""A form as text and as HTML without a script: the cell that it stands for.

It is what a saved or exported notebook shows of a form, and what the tasks that were submitted
from it show there below.
"""

from __future__ import annotations

import html
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.displaypub import DisplayPublisher

_FRAME = (
    "border:1px solid rgba(128,128,128,.4);border-radius:8px;padding:12px 16px;margin:4px 0;"
    "max-width:900px;line-height:1.45;font-family:system-ui,sans-serif;font-size:13px"
)
_PRE = (
    "background:rgba(128,128,128,.08);color:inherit;border-radius:6px;padding:8px 12px;"
    "margin:6px 0 0;white-space:pre-wrap;overflow-wrap:anywhere;font-size:12px;"
    "font-family:var(--jp-code-font-family,ui-monospace,Menlo,Consolas,monospace)"
)
_SAID = "A form needs a notebook that is open and its kernel; this cell does the same:"


def as_text(cell: str) -> str:
    """Write a form as plain text."""
    return f"{_SAID}\n\n{cell}"


def as_html(form_id: str, cell: str) -> str:
    """Write a form as one ``div`` that its live view finds by ``data-snap`` and hides."""
    return (
        f'<div data-snap="{html.escape(form_id)}" class="mathjax_ignore tex2jax_ignore" '
        f'style="{_FRAME}"><div style="opacity:.8">{_SAID}</div>'
        f'<pre style="{_PRE}">{html.escape(cell)}</pre></div>'
    )


class FormTwin:
    """The output beside a form that a saved notebook keeps.

    Parameters
    ----------
    form_id : str
        Of the form that it stands for.
    publisher : DisplayPublisher
        Of the cell's own shell.
    """

    def __init__(self, form_id: str, publisher: DisplayPublisher) -> None:
        self._form_id = form_id
        self._publisher = publisher
        self._display_id = uuid.uuid4().hex
        self._cell = ""
        self._below: dict[str, dict[str, Any]] = {}
        self._begun = False

    def begin(self, cell: str) -> None:
        """Put it into the running cell."""
        self._cell = cell
        self._publish(update=False)
        self._begun = True

    def follow(self, cell: str) -> None:
        """Write it anew where the cell has changed; nothing before it was put out."""
        if cell != self._cell:
            self._cell = cell
            self._publish(update=True)

    def below(self, key: str) -> Below:
        """Give the place below it of one task; the newest stands first."""
        return Below(self, key)

    def put_below(self, key: str, data: dict[str, Any]) -> None:
        """Write what stands below it for one task."""
        known = key in self._below
        self._below = self._below | {key: data} if known else {key: data, **self._below}
        self._publish(update=True)

    def _publish(self, *, update: bool) -> None:
        if update and not self._begun:
            return
        texts = [as_text(self._cell), *(one["text/plain"] for one in self._below.values())]
        markups = [
            as_html(self._form_id, self._cell),
            *(one["text/html"] for one in self._below.values()),
        ]
        self._publisher.publish(
            {"text/plain": "\n\n".join(texts), "text/html": "".join(markups)},
            transient={"display_id": self._display_id},
            update=update,
        )


class Below:
    """Takes what the twin of a task publishes, and puts it below the form's."""

    def __init__(self, twin: FormTwin, key: str) -> None:
        self._twin = twin
        self._key = key

    def publish(
        self, data: dict[str, Any], *, transient: dict[str, str], update: bool = False
    ) -> None:
        """Write a version of it."""
        self._twin.put_below(self._key, data)
