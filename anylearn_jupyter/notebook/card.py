"""Showing a task in the cell that runs: its live card with its twin beside it, or the twin alone.

This module is light. The widget's libraries are imported when the first card is shown.
"""

from __future__ import annotations

import sys
import time
import uuid
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook import twin
from anylearn_jupyter.notebook.monitor import monitor
from anylearn_jupyter.notebook.task_view import TaskView
from anylearn_jupyter.submit.task import TrainTask

if TYPE_CHECKING:
    from IPython.core.displaypub import DisplayPublisher

TWIN_S = 10.0
"""Seconds between two versions of a twin while only its log and metrics change, at most."""

YOUNG_TWIN_S = 1.0
"""The same for a twin that was just put out; the pause grows with its age. Somebody who saves the
notebook a few seconds after the cell has run finds the first lines in it."""


def show_task(task: TrainTask) -> None:
    """Show a task in the running cell, and follow it there in the background.

    Displays the live card and, as an output of its own, the twin that a saved notebook keeps. May
    be called for one task in several cells. Where there is no kernel, shows text.

    Parameters
    ----------
    task : TrainTask
        Any, finished or not.

    Notes
    -----
    Source: notebook spec, "The views"; faults F7, F8.
    """
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        show_static(task)
        return
    from anylearn_jupyter.notebook.widget import TaskCard

    view = monitor().follow(task)
    card = TaskCard(task, view)
    shell.display_pub.publish(card.bundle())
    shown = Twin(task, view, shell.display_pub)
    shown.begin()
    monitor().show(task, card.feed)
    if not isinstance(shell.display_pub, CapturingDisplayPublisher):
        monitor().show(task, shown)  # what captures keeps each version instead of the last


def show_static(task: TrainTask, *, log_was_printed: bool = False) -> None:
    """Show a task in the running cell as text and script-free HTML, as it is now.

    Asks the server for its state and its whole log; makes no widget and follows nothing.

    Parameters
    ----------
    task : TrainTask
        Any, finished or not.
    log_was_printed : bool, default False
        The cell has the log above already: the text, which a terminal shows below it, leaves it
        out. The HTML has it, as it also stands alone.

    Raises
    ------
    ServerUnreachable, ServerError
        The server could not be asked.

    Notes
    -----
    Source: notebook spec, "Headless".
    """
    from IPython.core.getipython import get_ipython

    view = TaskView(task.get_detail())
    view.take_log(task.log_text())
    data = bundle(task, view)
    if log_was_printed:
        data["text/plain"] = twin.as_text(view.snapshot(lines=0), task.facts, task.server)
    shell = get_ipython()
    if shell is None:
        sys.stdout.write(data["text/plain"] + "\n")
    else:
        shell.display_pub.publish(data)


def bundle(task: TrainTask, view: TaskView) -> dict[str, str]:
    """Give a task's twin as the text and the HTML of one output."""
    snapshot = view.snapshot()
    return {
        "text/plain": twin.as_text(snapshot, task.facts, task.server),
        "text/html": twin.as_html(snapshot, task.facts, task.server),
    }


class Twin:
    """The output beside a card that a saved notebook keeps; a `monitor.Display`.

    Parameters
    ----------
    task : TrainTask
        What it shows.
    view : TaskView
        What is known of it.
    publisher : DisplayPublisher
        Of the cell's own shell. It is kept, since a later cell may put another one in its place
        for a while (``%%capture``), and an update in there would be that cell's (faults, F8).
    """

    def __init__(self, task: TrainTask, view: TaskView, publisher: DisplayPublisher) -> None:
        self._task = task
        self._view = view
        self._publisher = publisher
        self._display_id = uuid.uuid4().hex
        self._version = -1
        self._state_version = -1
        self._written_at = 0.0
        self._begun_at = 0.0

    def begin(self) -> None:
        """Put it into the running cell."""
        self._begun_at = time.monotonic()
        self._write(update=False)

    def refresh(self, room: int) -> float | None:
        """Write a new version at a change of state, and now and then while there is news."""
        if self._view.version == self._version:
            return None
        age_s = self._written_at - self._begun_at
        pause_s = min(TWIN_S, max(YOUNG_TWIN_S, age_s))
        wait_s = self._written_at + pause_s - time.monotonic()
        if self._view.state_version == self._state_version and wait_s > 0:
            return wait_s
        self._write(update=True)
        return None

    def retire(self) -> None:
        """Write a last version."""
        self._write(update=True)

    def _write(self, *, update: bool) -> None:
        self._version, self._state_version = self._view.version, self._view.state_version
        self._written_at = time.monotonic()
        self._publisher.publish(
            bundle(self._task, self._view),
            transient={"display_id": self._display_id},
            update=update,
        )
