"""Showing a task in the cell that runs: its live card with its twin beside it, or the twin alone.

This module is light. The widget's libraries are imported when the first card is shown.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook import twin
from anylearn_jupyter.notebook.monitor import monitor
from anylearn_jupyter.notebook.task_view import TaskView
from anylearn_jupyter.notebook.twin_output import Publisher, TwinOutput
from anylearn_jupyter.submit.task import TrainTask

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.widget import TaskCard


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
    # What captures keeps each version instead of the last.
    captures = isinstance(shell.display_pub, CapturingDisplayPublisher)
    begin_twin(card, shell.display_pub, once=captures)
    monitor().show(task, card.feed)


def begin_twin(card: TaskCard, publisher: Publisher, *, once: bool = False) -> None:
    """Put the twin of a card out, and keep it up to date.

    It has also the tasks that are begun from the card later.

    Parameters
    ----------
    once : bool, default False
        Leave it as it is now.
    """
    shown = [(card.feed.task, card.feed.view)]
    twin_output = card_twin(shown, publisher)
    twin_output.begin()
    if once:
        return

    def add(task: TrainTask, view: TaskView) -> None:
        shown.append((task, view))
        monitor().show(task, twin_output)

    card.on_later = add
    monitor().show(card.feed.task, twin_output)


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


def card_twin(shown: list[tuple[TrainTask, TaskView]], publisher: Publisher) -> TwinOutput:
    """Give the output beside a card; `TwinOutput` says of which cell the publisher has to be.

    Parameters
    ----------
    shown : list of (TrainTask, TaskView)
        The card's task, and those that were begun from the card, as they come.
    """
    return TwinOutput(
        draw=lambda: _joined([bundle(task, view) for task, view in shown]),
        version=lambda: sum(view.version for _, view in shown),
        turn=lambda: sum(view.state_version for _, view in shown) + len(shown),
        publisher=publisher,
    )


def _joined(bundles: list[dict[str, str]]) -> dict[str, str]:
    """Put several outputs into one, below each other."""
    return {kind: "\n".join(one[kind] for one in bundles) for kind in bundles[0]}
