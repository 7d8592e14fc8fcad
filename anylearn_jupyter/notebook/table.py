"""Showing several tasks in the cell that runs: their live table with its twin, or the twin alone.

This module is light. The widget's libraries are imported when the first table is shown.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

from anylearn_jupyter.client.follow import START, Cursor, Event, follow
from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.errors import Interrupted
from anylearn_jupyter.notebook import table_twin
from anylearn_jupyter.notebook.curves import number_text
from anylearn_jupyter.notebook.monitor import monitor
from anylearn_jupyter.notebook.printing import say
from anylearn_jupyter.notebook.table_rows import (
    best_of,
    counts_text,
    row_of,
    rows_of,
    values_text,
)
from anylearn_jupyter.notebook.task_view import TaskView
from anylearn_jupyter.submit.sweep import Sweep
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.task_group import TaskGroup, in_threads

if TYPE_CHECKING:
    from collections.abc import Sequence

FEW = 50
"""Trainings of which each has a line of its own when it ends, without a front end."""

SUMMARY_S = 15.0
"""Seconds between two lines that sum up, where there are more."""


def bundle(group: TaskGroup, views: Sequence[TaskView]) -> dict[str, str]:
    """Give a table's twin as the text and the HTML of one output."""
    rows = rows_of(group, views)
    return {
        "text/plain": table_twin.as_text(group, rows),
        "text/html": table_twin.as_html(group, rows),
    }


def show_group(group: TaskGroup) -> None:
    """Show tasks in one table in the running cell, and follow them there in the background.

    Displays the live table and, as an output of its own, the twin that a saved notebook keeps.
    Where there is no kernel, shows text.

    Parameters
    ----------
    group : TaskGroup
        A sweep, or any; finished or not.

    Notes
    -----
    Source: notebook spec, "The views".
    """
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        show_static_table(group)
        return
    from anylearn_jupyter.notebook.table_widget import FollowedGroup, GroupTable, table_twin

    followed = FollowedGroup(group)
    table = GroupTable(followed)
    shell.display_pub.publish(table.bundle())
    shown = table_twin(followed, shell.display_pub)
    shown.begin()
    monitor().show_of_many(table.feed)
    if not isinstance(shell.display_pub, CapturingDisplayPublisher):
        monitor().show_of_many(shown)  # what captures keeps each version instead of the last


def show_static_table(group: TaskGroup, views: Sequence[TaskView] | None = None) -> None:
    """Show tasks in the running cell as text and script-free HTML, as it is now.

    Parameters
    ----------
    views : sequence of TaskView, optional
        What is known of its tasks; None asks for states and reads the logs.

    Notes
    -----
    Source: notebook spec, "Headless".
    """
    from IPython.core.getipython import get_ipython

    if views is None:
        views = read_views(group)
    data = bundle(group, views)
    shell = get_ipython()
    if shell is None:
        sys.stdout.write(data["text/plain"] + "\n")
    else:
        shell.display_pub.publish(data)
    for trouble in dict.fromkeys(task.trouble for task in group.tasks if task.trouble):
        say(f"Some states are as last seen: {one_line(trouble)}")


def read_views(group: TaskGroup) -> list[TaskView]:
    """Read states and logs as they are now."""
    group.refresh()
    views = [TaskView(task.detail) for task in group.tasks]
    for view, text in zip(views, in_threads(_log_text, group.tasks), strict=True):
        view.take_log(text)
    return views


def _log_text(task: TrainTask) -> str:
    """Read a task's log; empty where its server does not answer, which its trouble says."""
    return "" if task.trouble else task.log_text()


def watch_sweep_to_the_end(sweep: Sweep) -> None:
    """Print a sweep's progress until all of it has ended, show its table, raise if any failed.

    Interrupting stops the watching, not the tasks.

    Raises
    ------
    TaskFailed
        At least one did not succeed.
    Interrupted
        By the user.
    """
    say(
        f"Sweep {one_line(sweep.name)} of {len(sweep)} trainings on {sweep.server}; an interrupt "
        "stops the watching, not the trainings."
    )
    watcher = _Watcher(sweep)
    try:
        watcher.watch()
    except KeyboardInterrupt:
        raise Interrupted(sweep.goes_on_text()) from None
    show_static_table(sweep, watcher.views)
    sweep.raise_if_failed()


class _Watcher:
    """Prints how a sweep goes on: a line for each end, or now and then one for many."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        self.views = [TaskView(task.detail) for task in sweep.tasks]
        self._places = {task.id: place for place, task in enumerate(sweep.tasks)}
        self._ended = 0
        self._said_at = time.monotonic()
        self._trouble = ""

    def watch(self) -> None:
        """Follow all tasks until each has ended."""
        stop = threading.Event()
        cursors: dict[str, Cursor] = dict.fromkeys(self._places, START)
        try:
            for event in follow(self._sweep.tasks[0].connection, cursors, stop=stop):
                self._take(event)
        finally:
            stop.set()

    def _take(self, event: Event) -> None:
        if event.kind == "trouble":
            if not self._trouble:
                say(f"[{one_line(event.text)}]")
            self._trouble = event.text
            return
        if self._trouble:
            self._trouble = ""
            say("[the server answers again]")
        place = self._places[event.task_id]
        self.views[place].take(event)
        task = self._sweep.tasks[place]
        if event.detail is not None:
            task.saw(event.detail)
        if event.kind == "gone":
            task.saw_gone()
        if event.kind in ("end", "gone"):
            self._say_end(place)

    def _say_end(self, place: int) -> None:
        self._ended += 1
        row = row_of(self._sweep, place, self.views[place])
        last = self._ended == len(self.views)
        if len(self.views) <= FEW or row.phase != "succeeded":
            found = best_of([row])
            metric = ""
            if found is not None:
                series, mode, _ = found
                metric = f", {one_line(series, 40)} {number_text(row.extents[series].best(mode))}"
            say(
                f"[{self._ended}/{len(self.views)}] {values_text(self._sweep, row)}: "
                f"{row.state}{metric}"
            )
        elif last or time.monotonic() - self._said_at >= SUMMARY_S:
            self._said_at = time.monotonic()
            say(
                f"[{self._ended}/{len(self.views)}] {counts_text(rows_of(self._sweep, self.views))}"
            )
