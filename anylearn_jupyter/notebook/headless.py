"""Without a front end: wait for the task's end, print its log as it comes, raise if it failed.

Headless is IPython without a kernel, and a request whose front end takes no input (nbclient,
papermill, ``nbconvert --execute``, ``jupyter execute``).

Notes
-----
Source: notebook spec, "The views", Headless; notebook-views guide, section 4.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from anylearn_jupyter.client.follow import START
from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.entities import TaskDetail
from anylearn_jupyter.errors import NotFound
from anylearn_jupyter.notebook.ansi import plain
from anylearn_jupyter.notebook.descriptions import server_text
from anylearn_jupyter.notebook.printing import name_of, say
from anylearn_jupyter.notebook.terminal import TerminalText
from anylearn_jupyter.submit.outcome import outcome_text
from anylearn_jupyter.submit.task import TrainTask

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

OPEN_LINE_S = 10.0
"""Seconds between two prints of a line that a bar keeps rewriting."""


def is_headless(shell: InteractiveShell) -> bool:
    """Whether nobody can see a live view of the running cell; ask at the beginning of the cell."""
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return True
    request = kernel.get_parent() or {}
    return request.get("content", {}).get("allow_stdin") is False


def watch_to_the_end(task: TrainTask) -> None:
    """Print a task's progress until it has ended, show its static view, and raise if it failed.

    Interrupting stops the watching, not the task; the first line says so.

    Raises
    ------
    TaskFailed
        It ended, and not well.
    NotFound
        The server has no such task any more.
    """
    from anylearn_jupyter.notebook.card import show_static

    say(waiting_text(task))
    with task.outliving_interrupts():
        LogPrinter(task).print_to_the_end()
    show_static(task, log_was_printed=True)
    task.raise_if_failed()


def waiting_text(task: TrainTask) -> str:
    """Say what is waited for, and what an interrupt does."""
    return (
        f"Task {name_of(task)} on {server_text(task.server)}; an interrupt stops the watching, not "
        f"the task: `%anylearn_stop {task.id}` does."
    )


class LogPrinter:
    """Prints a task's log as it comes: metric lines hidden, bars collapsed, no escape sequences.

    Parameters
    ----------
    task : TrainTask
        Whose.
    """

    def __init__(self, task: TrainTask) -> None:
        self._task = task
        self._text = TerminalText()
        self._phase = ""
        self._open_line = ""
        self._open_at = time.monotonic()
        self._in_trouble = False

    def print_to_the_end(self) -> None:
        """Read and print until the task has ended and all of its log is there."""
        stop = threading.Event()
        try:
            for event in self._task.follow(START, stop=stop):
                self._recover(event.kind)
                if event.kind == "log":
                    self._print_log(event.text)
                elif event.kind == "gone":
                    raise NotFound(
                        f"The task {self._task.id} is not on {self._task.server} any more."
                    )
                elif event.kind == "trouble" and not self._in_trouble:
                    self._in_trouble = True
                    say(f"[{one_line(event.text)}]")
                elif event.detail is not None:
                    self._task.saw(event.detail)
                    self._print_state(event.detail)
        finally:
            stop.set()
        for line in self._text.close():
            say(plain(line))

    def _recover(self, kind: str) -> None:
        if self._in_trouble and kind != "trouble":
            self._in_trouble = False
            say("[the server answers again]")

    def _print_state(self, detail: TaskDetail) -> None:
        if detail.phase != self._phase and not detail.finished:
            self._phase = detail.phase
            place = detail.queue_position
            say(f"[{one_line(detail.phase)}{f', place {place}' if place else ''}]")
        elif detail.finished and self._phase != "end":
            self._phase = "end"
            say(f"[{outcome_text(detail)}]")

    def _print_log(self, text: str) -> None:
        lines = [plain(line) for line in self._text.feed(text)]
        if lines:
            say("\n".join(lines))
            self._open_at = time.monotonic()
        open_line = plain(self._text.open_line)
        # A bar that rewrites its line all day is seen to move, and does not fill the notebook.
        if open_line != self._open_line and time.monotonic() - self._open_at >= OPEN_LINE_S:
            self._open_line, self._open_at = open_line, time.monotonic()
            if open_line:
                say(open_line)
