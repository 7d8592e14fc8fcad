"""The live card: a widget whose page side is ``static/task.js`` and the modules beside it.

What is small and has to survive a reload of the page are traits: they are the widget's state. The
log, the points of the curves and the progress are messages:

- to the page, ``news``: a number that counts up (`seq`), the newest lines with the number of the
  first, and points with their place. What the page finds missing it asks for: lines by number,
  everything else with ``hello``.
- from the page: ``hello`` (it begins, or has missed something), what the panel of the log asks for
  (`log_feed`), and what the buttons do (`card_actions`).

The page's messages come in the main thread or in one of the kernel's others; they are only put
down for the sender thread of the monitor, which is also the only one that sends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import traitlets

from anylearn_jupyter.entities import TaskDetail, TaskPhase
from anylearn_jupyter.notebook.card_actions import CardActions
from anylearn_jupyter.notebook.descriptions import (
    fact_rows,
    name_of,
    progress_text,
    server_text,
    state_text,
)
from anylearn_jupyter.notebook.log_feed import MAX_MESSAGE, LogFeed, log_json
from anylearn_jupyter.notebook.monitor import monitor
from anylearn_jupyter.notebook.page_widget import PageWidget, page_module, page_styles
from anylearn_jupyter.notebook.series import Point
from anylearn_jupyter.notebook.task_view import LogPart, SeriesPart, TaskView
from anylearn_jupyter.submit.task import TrainTask

REPLAY_LINES = 2_000
"""Lines that a page is given when it begins; it asks for others as they are looked at."""

_POINT_CHARACTERS = 24
MODULES = (
    "words",
    "colors",
    "drawing",
    "log_store",
    "store",
    "log",
    "log_panel",
    "curves",
    "timeline",
    "twin",
    "retry",
    "task",
)


class TaskCard(PageWidget):
    """The live view of one task in one cell.

    Parameters
    ----------
    task : TrainTask
        What it shows.
    view : TaskView
        What is known of it, kept up to date by the monitor.

    Notes
    -----
    Source: notebook spec, "The views"; faults F1, F3, F4, F7, F9.
    """

    _esm = page_module(MODULES)
    _css = page_styles(("task", "log"))
    task_id = traitlets.Unicode().tag(sync=True)
    header = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)
    later: traitlets.List[str] = traitlets.List().tag(sync=True)

    def __init__(self, task: TrainTask, view: TaskView) -> None:
        self.feed = CardFeed(self, task, view)
        self.actions = CardActions(self, task, view)
        self.on_later: Callable[[TrainTask, TaskView], None] = lambda task, view: None
        super().__init__(task_id=task.id, header=header_of(task, view.detail), state=state_of(view))
        self.on_msg(self._received)

    def bundle(self) -> dict[str, Any]:
        """Give the output that shows it, with a line of text for where there are no widgets."""
        found = self._repr_mimebundle_()
        data: dict[str, Any] = dict(found[0] if isinstance(found, tuple) else found or {})
        detail = self.feed.view.detail
        data["text/plain"] = (
            f"Task {name_of(detail)} ({detail.id}) on {server_text(self.feed.task.server)}"
        )
        # A page that knows HTML and no widgets shows the twin, which says that and more.
        data["text/html"] = "<div></div>"
        return data

    def show_later(self, task: TrainTask, view: TaskView) -> None:
        """Show a task that was begun from this card below it."""
        card = TaskCard(task, view)
        card.on_later = self.on_later
        self.later = [*self.later, f"IPY_MODEL_{card.model_id}"]
        monitor().show(task, card.feed)
        self.on_later(task, view)

    def _received(self, widget: object, content: object, buffers: object) -> None:
        """Put a message of the page down for the sender thread."""
        if not isinstance(content, dict):
            return
        if content.get("k") == "stop":
            self.actions.stop()
        elif content.get("k") == "results":
            self.actions.fetch_results()
        elif content.get("k") == "retry":
            self.actions.retry(content.get("changes"))
        elif content.get("k") == "hello":
            monitor().ask(self.feed.begin_again)
        else:
            self.feed.log.asked(content)


class CardFeed:
    """What one card's page has been given; a `monitor.Display`.

    Parameters
    ----------
    card : TaskCard
        Who sends.
    task : TrainTask
        What it shows.
    view : TaskView
        What is known of it.
    """

    def __init__(self, card: TaskCard, task: TrainTask, view: TaskView) -> None:
        self.task = task
        self.view = view
        self._card = card
        self._seq = 0
        self._version = -1
        self._state_version = view.state_version
        self._lines = 0
        self.log = LogFeed(card.send, task, view)
        self._marks: dict[str, tuple[int, int, int]] = {}

    # Display; the sender thread.

    def refresh(self, room: int) -> float | None:
        """Send what is new since the last time."""
        if self.view.version == self._version:
            return self.log.grown()
        self._version = self.view.version
        if self.view.state_version != self._state_version:
            self._state_version = self.view.state_version
            self._card.header = header_of(self.task, self.view.detail)
            self._card.state = state_of(self.view)
        self._send_news(self._new_lines(room), self._new_points())
        return self.log.grown()

    def retire(self) -> None:
        """Say that another card of this task is up to date instead."""
        self._card.send({"k": "retired"})

    def begin_again(self) -> None:
        """Send what a page needs that has nothing: the newest lines, all curves, the state."""
        self._marks = {}
        self._version = self.view.version
        self._card.state = state_of(self.view)
        self.log.begin_again()
        self._lines = 0
        self._send_news(self._new_lines(MAX_MESSAGE), self._new_points(), begin=True)
        monitor().show(self.task, self)

    def _new_lines(self, room: int) -> LogPart:
        """Give the lines that the page lacks; none while it shows the end of what is being read."""
        if self.view.preview is not None:
            self._lines = 0
            return self.view.new_lines(0, 0, room)
        part = self.view.new_lines(self._lines, REPLAY_LINES, room)
        self._lines = part.total
        return part

    def _new_points(self) -> list[SeriesPart]:
        parts = self.view.new_points(self._marks)
        self._marks.update({part.name: part.mark for part in parts})
        return parts

    def _send_news(self, log: LogPart, points: list[SeriesPart], *, begin: bool = False) -> None:
        """Send lines and points; more points than one message should hold go into several."""
        progress, left_s = self.view.progress()
        batches = _batches(points)
        for number, batch in enumerate(batches):
            self._seq += 1
            self._card.send(
                {
                    "k": "news",
                    "seq": self._seq,
                    "begin": begin and number == 0,
                    "now_ms": time.time_ns() // 1_000_000,
                    "log": log_json(log) if number == 0 else None,
                    "preview": self.log.preview() if number == 0 else None,
                    "points": [_series_json(part) for part in batch],
                    "progress": None
                    if progress is None
                    else {
                        "share": min(progress.done / progress.total, 1),
                        "text": progress_text(progress, left_s),
                    },
                }
            )


def header_of(task: TrainTask, detail: TaskDetail) -> dict[str, Any]:
    """Give what a card says of a task whatever its state."""
    return {
        "name": name_of(detail),
        "server": server_text(task.server),
        "rows": [list(row) for row in fact_rows(task.facts, detail)],
        "params": [] if task.facts is None else [list(pair) for pair in task.facts.params],
        "repeatable": task.facts is not None,
    }


def state_of(view: TaskView) -> dict[str, Any]:
    """Give what a card says of a task's state; the page counts the seconds itself."""
    snapshot = view.snapshot(lines=0)
    detail = snapshot.detail
    stoppable = not detail.finished and not snapshot.gone
    return {
        "phase": "gone" if snapshot.gone else detail.phase,
        "text": state_text(snapshot),
        "finished": detail.finished or snapshot.gone,
        "stoppable": stoppable and detail.phase != TaskPhase.STOPPING,
        "created_ms": detail.created_ms,
        "started_ms": detail.started_ms,
        "finished_ms": detail.finished_ms,
        "trouble": snapshot.trouble,
        "cause": None if snapshot.cause is None else asdict(snapshot.cause),
    }


def _batches(points: list[SeriesPart]) -> list[list[SeriesPart]]:
    """Divide series so that no message is long; at least one batch, which may be empty."""
    batches: list[list[SeriesPart]] = [[]]
    room = MAX_MESSAGE
    for part in points:
        size = (len(part.points) + 2) * _POINT_CHARACTERS
        if size > room and batches[-1]:
            batches.append([])
            room = MAX_MESSAGE
        batches[-1].append(part)
        room -= size
    return batches


def _series_json(part: SeriesPart) -> dict[str, Any]:
    return {
        "name": part.name,
        "start": part.start,
        "points": [_point_json(point) for point in part.points],
        "last": _point_json(part.last) if part.last is not None else None,
    }


def _point_json(point: Point) -> list[float]:
    return [int(number) if number == int(number) else number for number in point]
