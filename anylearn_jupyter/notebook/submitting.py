"""How far a submission is, in the cell: one line that changes, or plain lines where none can.

Both are `submit.progress.Progress`; all calls come from the thread that submits.
"""

from __future__ import annotations

import html
import time
import uuid
from types import TracebackType
from typing import TYPE_CHECKING, Self

from anylearn_jupyter.notebook.printing import publish, say
from anylearn_jupyter.notebook.terminal import size_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

TICK_S = 0.1
"""Seconds between two versions of the line, at least."""

PLAIN_S = 10.0
"""Seconds between two plain lines about the same transfer."""


class LineProgress:
    """One output that says which step it is, with a bar while bytes move.

    As a context manager it ends as one short line: how long it took, or where it stopped.

    Parameters
    ----------
    shell : InteractiveShell
        The running cell's; it needs a front end that can replace an output.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._display_id = uuid.uuid4().hex
        self._begun_at = time.monotonic()
        self._shown_at: float | None = None
        self._step = ""
        self._label = ""
        self._label_at = 0.0

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Write the last version."""
        if kind is None:
            self._show(f"Submitted in {time.monotonic() - self._begun_at:.1f} s.", now=True)
        elif self._step:
            self._show(f"Stopped at: {self._step}.", now=True)

    def step(self, name: str, detail: str = "") -> None:
        """Show the step."""
        self._step = name
        self._show(f"{name} …", now=True)

    def bytes(self, label: str, sent: int, total: int) -> None:
        """Show the bar of a transfer."""
        from tqdm import tqdm

        if label != self._label:
            self._label, self._label_at = label, time.monotonic()
        bar = tqdm.format_meter(
            sent,
            total,
            time.monotonic() - self._label_at,
            prefix=label,
            unit="B",
            unit_scale=True,
            ncols=88,
        )
        self._show(bar, now=False)

    def note(self, text: str) -> None:
        """Write a line that stays."""
        say(f"note: {text}")

    def _show(self, text: str, *, now: bool) -> None:
        moment = time.monotonic()
        if not now and self._shown_at is not None and moment - self._shown_at < TICK_S:
            return
        markup = f'<pre class="mathjax_ignore" style="margin:0">{html.escape(text)}</pre>'
        update = self._shown_at is not None
        self._shown_at = moment
        publish(self._shell, text, markup, display_id=self._display_id, update=update)


class PlainProgress:
    """A few plain lines about long transfers, and notes; for terminals and saved notebooks."""

    def __init__(self) -> None:
        self._label = ""
        self._begun_at = 0.0
        self._said_at = 0.0

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave everything as it is."""

    def step(self, name: str, detail: str = "") -> None:
        """Say nothing: a step is short, and its transfers speak for themselves."""

    def bytes(self, label: str, sent: int, total: int) -> None:
        """Say how far a transfer is, now and then, and that it has ended if it took long."""
        now = time.monotonic()
        if label != self._label:
            self._label, self._begun_at, self._said_at = label, now, now
        done = total > 0 and sent >= total
        if now - self._said_at >= PLAIN_S or (done and now - self._begun_at >= 1):
            self._said_at = now
            share = f" ({sent / total:.0%})" if total and not done else ""
            say(f"{label}: {size_text(sent)}{share}")

    def note(self, text: str) -> None:
        """Write a line."""
        say(f"note: {text}")
