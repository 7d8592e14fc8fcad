"""How far a submission is, in the cell: one line that changes, or plain lines where none can.

Both are `submit.progress.Progress`; all calls come from the thread that submits.
"""

from __future__ import annotations

import html
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.printing import publish, say
from anylearn_jupyter.notebook.terminal import size_text

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

TICK_S = 0.1
"""Seconds between two versions of the line, at least."""

PLAIN_S = 10.0
"""Seconds between two plain lines about the same transfer."""

# HTML in an output has other margins and letters than what a cell prints.
_LIKE_PRINTED = (
    "margin:0;padding:0 var(--jp-code-padding,0);font-size:var(--jp-code-font-size,13px);"
    "line-height:var(--jp-code-line-height,1.3)"
)


@contextmanager
def line_progress(shell: InteractiveShell) -> Iterator[LineProgress]:
    """Show a submission in one output, which ends as one short line.

    It says how long the submission took, or where it stopped.

    Parameters
    ----------
    shell : InteractiveShell
        The running cell's; it needs a front end that can replace an output.
    """
    progress = LineProgress(shell)
    try:
        yield progress
    except BaseException:
        progress.end(stopped=True)
        raise
    progress.end(stopped=False)


class LineProgress:
    """One output that says which step it is, with a bar while bytes move.

    Parameters
    ----------
    shell : InteractiveShell
        As for `line_progress`.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell
        self._display_id = uuid.uuid4().hex
        self._begun_at = time.monotonic()
        self._shown_at: float | None = None
        self._step = ""
        self._label = ""
        self._label_at = 0.0
        self._files = ""
        self._attached = ""

    def attached(self, sentence: str) -> None:
        """Say at the end that there was such a task already."""
        self._attached = sentence

    def step(self, name: str, detail: str = "") -> None:
        """Show the step."""
        self._step = name
        self._show(f"{name} …", now=True)

    def bytes(self, label: str, sent: int, total: int) -> None:
        """Show the bar of a transfer."""
        from tqdm import tqdm

        if label != self._label:
            self._label, self._label_at, self._files = label, time.monotonic(), ""
        bar = tqdm.format_meter(
            sent,
            total,
            time.monotonic() - self._label_at,
            prefix=label,
            unit="B",
            unit_scale=True,
            ncols=88,
            postfix=self._files,
        )
        self._show(bar, now=False)

    def files(self, label: str, done: int, total: int) -> None:
        """Show beside the bar of a transfer, from its next version on, how many files are done."""
        if label == self._label and total > 1:
            self._files = f"{done:,}/{total:,} files"

    def note(self, text: str) -> None:
        """Write a line that stays."""
        say(f"note: {text}")

    def end(self, *, stopped: bool) -> None:
        """Write the last version: how long it took, what was there, or where it stopped."""
        if self._attached and not stopped:
            self._show(f"{self._attached[0].upper()}{self._attached[1:]}.", now=True)
        elif not stopped:
            took_s = max(time.monotonic() - self._begun_at, 0.1)
            self._show(f"Submitted in {took_s:.1f} s.", now=True)
        elif self._step:
            self._show(f"Stopped at: {self._step}.", now=True)

    def _show(self, text: str, *, now: bool) -> None:
        moment = time.monotonic()
        if not now and self._shown_at is not None and moment - self._shown_at < TICK_S:
            return
        markup = f'<pre class="mathjax_ignore" style="{_LIKE_PRINTED}">{html.escape(text)}</pre>'
        update = self._shown_at is not None
        self._shown_at = moment
        publish(self._shell, text, markup, display_id=self._display_id, update=update)


class PlainProgress:
    """A few plain lines about long transfers, and notes; for terminals and saved notebooks."""

    def __init__(self) -> None:
        self._label = ""
        self._begun_at = 0.0
        self._said_at = 0.0
        self._files = ""

    def step(self, name: str, detail: str = "") -> None:
        """Say nothing: a step is short, and its transfers speak for themselves."""

    def bytes(self, label: str, sent: int, total: int) -> None:
        """Say how far a transfer is, now and then, and that it has ended if it took long."""
        now = time.monotonic()
        if label != self._label:
            self._label, self._begun_at, self._said_at, self._files = label, now, now, ""
        done = total > 0 and sent >= total
        if now - self._said_at >= PLAIN_S or (done and now - self._begun_at >= 1):
            self._said_at = now
            took_s = max(now - self._begun_at, 1e-3)
            facts = [self._files] if self._files else []
            if total and not done and sent > 0:
                left_s = took_s * (total - sent) / sent
                facts.insert(0, f"{sent / total:.0%}")
                facts += [f"{size_text(int(sent / took_s))}/s", f"{left_s:.0f} s left"]
            said = f" ({', '.join(facts)})" if facts else ""
            say(f"{label}: {size_text(sent)}{said}")

    def files(self, label: str, done: int, total: int) -> None:
        """Keep for the next line how many files of a transfer are done."""
        if label == self._label and total > 1:
            self._files = f"{done:,} of {total:,} files"

    def attached(self, sentence: str) -> None:
        """Say that there was such a task already."""
        say(f"{sentence[0].upper()}{sentence[1:]}.")

    def note(self, text: str) -> None:
        """Write a line."""
        say(f"note: {text}")
