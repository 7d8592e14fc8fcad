"""The live table of a sweep, or of any tasks: a widget whose page side is ``static/table.js``.

What is small and has to survive a reload of the page are traits. The rows are messages:

- to the page, ``rows``: a number that counts up (`seq`), the rows that have changed since the last
  one, and what is new of the row that is open. What the page misses it asks for with ``hello``.
- to the page, ``card``: which widget is the card of a row that was asked for.
- from the page: ``hello``, ``open`` (a row, for its last lines), ``card`` (a row), ``stop`` (rows
  that the user has confirmed), ``retry`` (what failed).

The page's messages are only put down for the sender thread of the monitor, which is also the only
one that sends; the server is asked in threads of their own.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import traitlets

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.errors import AnylearnError
from anylearn_jupyter.notebook.monitor import monitor
from anylearn_jupyter.notebook.page_widget import PageWidget, page_module, page_styles
from anylearn_jupyter.notebook.table import bundle
from anylearn_jupyter.notebook.table_rows import Row, row_of, servers_text
from anylearn_jupyter.notebook.task_view import TaskView
from anylearn_jupyter.notebook.twin_output import Publisher, TwinOutput
from anylearn_jupyter.notebook.widget import TaskCard
from anylearn_jupyter.submit.sweep_ranking import mode_of, series_of
from anylearn_jupyter.submit.task_group import TaskGroup

MAX_MESSAGE = 256_000
"""Characters of rows after which a message is sent: well below 2 MB whatever they hold (F9)."""

OPEN_LINES = 14
"""Lines of the log that a row shows when it is open."""

_LINE_CHARACTERS = 2_000
MODULES = (
    "words",
    "colors",
    "drawing",
    "twin",
    "table_store",
    "table_row",
    "table_order",
    "table_question",
    "table_counts",
    "table_grid",
    "table",
)
_logger = logging.getLogger(__name__)


class FollowedGroup:
    """A group of tasks and what is known of them, kept up to date by the monitor.

    Parameters
    ----------
    group : TaskGroup
        Any.
    views : sequence of TaskView, optional
        What somebody else keeps up to date; None has the monitor follow the tasks.
    """

    def __init__(self, group: TaskGroup, views: Sequence[TaskView] | None = None) -> None:
        self.group = group
        self.views: Sequence[TaskView] = views or monitor().follow_all(group.tasks)

    def renew(self) -> None:
        """Follow the tasks that stand in the place of others now."""
        self.views = monitor().follow_all(self.group.tasks)


class GroupTable(PageWidget):
    """The live view of several tasks in one cell.

    Parameters
    ----------
    followed : FollowedGroup
        What it shows.

    Notes
    -----
    Source: notebook spec, "The views"; faults F4, F9; notebook-views guide, section 7.
    """

    _esm = page_module(MODULES)
    _css = page_styles(("task", "table"))
    group_id = traitlets.Unicode().tag(sync=True)
    header = traitlets.Dict().tag(sync=True)

    def __init__(self, followed: FollowedGroup) -> None:
        self.feed = TableFeed(self, followed)
        super().__init__(group_id=followed.group.id, header=header_of(followed.group))
        self.on_msg(self._received)

    def bundle(self) -> dict[str, Any]:
        """Give the output that shows it, with a line of text for where there are no widgets."""
        found = self._repr_mimebundle_()
        data: dict[str, Any] = dict(found[0] if isinstance(found, tuple) else found or {})
        data["text/plain"] = str(self.header["title"])
        # A page that knows HTML and no widgets shows the twin, which says that and more.
        data["text/html"] = "<div></div>"
        return data

    def _received(self, widget: object, content: object, buffers: object) -> None:
        """Put a message of the page down for the sender thread."""
        if not isinstance(content, dict):
            return
        kind, feed = content.get("k"), self.feed
        if kind == "hello":
            monitor().ask(feed.begin_again)
        elif kind == "open":
            place = content.get("place")
            monitor().ask(lambda: feed.open_row(place if isinstance(place, int) else None))
        elif kind == "card":
            place = content.get("place")
            monitor().ask(lambda: feed.show_card(place if isinstance(place, int) else None))
        elif kind == "stop":
            places = content.get("places")
            if isinstance(places, list):
                feed.stop([one for one in places if isinstance(one, int)])
        elif kind == "retry":
            feed.retry()


class TableFeed:
    """What one table's page has been given; a `monitor.Display`.

    Parameters
    ----------
    table : GroupTable
        Who sends.
    followed : FollowedGroup
        What it shows.
    """

    def __init__(self, table: GroupTable, followed: FollowedGroup) -> None:
        self._table = table
        self._followed = followed
        self._seq = 0
        self._versions = [-1] * len(followed.views)
        self._named: list[str] = [""] * len(followed.views)
        self._series: dict[str, int] = {}
        self._told_series = 0
        self._open: int | None = None
        self._open_version = -1
        self._card: TaskCard | None = None

    # Display; the sender thread.

    def refresh(self, room: int) -> float | None:
        """Send the rows that have changed."""
        changed = []
        for place, view in enumerate(self._followed.views):
            if view.version != self._versions[place]:
                self._versions[place] = view.version
                changed.append(place)
        if changed:
            self._send_rows(changed)
        return None

    def retire(self) -> None:
        """Say that a newer table is up to date instead."""
        self._table.send({"k": "retired"})

    def begin_again(self) -> None:
        """Send what a page needs that has nothing: all rows."""
        self.show_card(None)
        self._named = [""] * len(self._named)
        self._told_series = 0
        self._open_version = -1
        self._versions = [view.version for view in self._followed.views]
        self._send_rows(range(len(self._versions)), begin=True)
        monitor().show_of_many(self)

    def open_row(self, place: int | None) -> None:
        """Show the last lines of one task from now on, or of none."""
        self._open = place if place is not None and 0 <= place < len(self._versions) else None
        self._open_version = -1
        self.show_card(None)
        if self._open is not None:
            self._send_rows(())

    def show_card(self, place: int | None) -> None:
        """Make the card of one task, which the page draws within the table, or none."""
        if self._card is not None:
            monitor().hide(self._card.feed)
            self._card.close()
            self._card = None
        if place is None or not 0 <= place < len(self._versions):
            return
        task = self._followed.group.tasks[place]
        self._card = TaskCard(task, self._followed.views[place])
        monitor().show(task, self._card.feed)
        self._table.send({"k": "card", "p": place, "model": self._card.model_id})

    def _send_rows(self, places: Sequence[int], *, begin: bool = False) -> None:
        rows: list[dict[str, Any]] = []
        size = 0
        for place in places:
            rows.append(self._row_json(place))
            size += len(json.dumps(rows[-1]))
            if size >= MAX_MESSAGE:
                self._send_message(rows, begin=begin)
                rows, size, begin = [], 0, False
        if rows or begin or not places:
            self._send_message(rows, begin=begin)

    def _send_message(self, rows: Sequence[dict[str, Any]], *, begin: bool) -> None:
        names = list(self._series)[self._told_series :]
        self._told_series = len(self._series)
        self._seq += 1
        self._table.send(
            {
                "k": "rows",
                "seq": self._seq,
                "begin": begin,
                "now_ms": time.time_ns() // 1_000_000,
                "series": [[name, mode_of(name)] for name in names],
                "choice": series_of(list(self._series)),
                "rows": rows,
                "open": self._open_json(),
            }
        )

    def _row_json(self, place: int) -> dict[str, Any]:
        row = row_of(self._followed.group, place, self._followed.views[place])
        told: dict[str, Any] = {
            "p": place,
            "s": row.phase,
            "m": [self._extent_json(name, row) for name in row.extents],
        }
        if row.finished:
            told["w"] = row.state
        if row.share is not None:
            told["f"] = round(row.share, 3)
        if row.started_ms is not None:
            told["a"] = row.started_ms
        if row.finished_ms is not None:
            told["z"] = row.finished_ms
        if self._named[place] != row.id:
            self._named[place] = row.id
            told |= {"id": row.id, "name": row.name, "v": row.values}
        return told

    def _extent_json(self, name: str, row: Row) -> list[float]:
        number = self._series.setdefault(name, len(self._series))
        return [number, *row.extents[name]]

    def _open_json(self) -> dict[str, Any] | None:
        """Give what is new of the open row; None where that is nothing."""
        place = self._open
        if place is None:
            return None
        view = self._followed.views[place]
        if view.version == self._open_version:
            return None
        self._open_version = view.version
        snapshot = view.snapshot(lines=OPEN_LINES)
        cause = () if snapshot.cause is None else snapshot.cause.text
        return {
            "p": place,
            "lines": [line[:_LINE_CHARACTERS] for line in snapshot.lines[-OPEN_LINES:]],
            "count": snapshot.line_count,
            "cause": [line[:_LINE_CHARACTERS] for line in cause],
            "trouble": snapshot.trouble,
        }

    # Stopping and trying again; in threads of their own, as the server may take its time.

    def stop(self, places: Sequence[int]) -> None:
        """Stop these tasks."""
        group = self._followed.group
        known = [place for place in places if 0 <= place < len(group.tasks)]

        def work() -> str:
            stopped = group.stop_tasks(known)
            for place in known:
                self._followed.views[place].learned(group.tasks[place].detail)
            return f"{len(stopped)} stopped." if stopped else "They had ended already."

        self._do("stop", f"{len(known)} are being stopped …", work)

    def retry(self) -> None:
        """Submit what failed again."""

        def work() -> str:
            again = self._followed.group.retry_failed()
            if not again:
                return "Nothing has failed."
            monitor().ask(self._renew)
            return f"{len(again)} submitted again."

        self._do("retry", "What failed is submitted again …", work)

    def _renew(self) -> None:
        self._followed.renew()
        self._versions = [-1] * len(self._versions)

    def _do(self, what: str, begun: str, work: Callable[[], str]) -> None:
        self._say(begun, busy=True)
        name = f"anylearn-table-{what}"
        threading.Thread(target=self._done, args=(what, work), name=name, daemon=True).start()

    def _done(self, what: str, work: Callable[[], str]) -> None:
        """Do it, and say how it went; the top of a thread."""
        try:
            self._say(work())
        except AnylearnError as error:
            self._say(f"That did not work: {one_line(str(error))}")
        except Exception as error:
            _logger.exception("a table's %s failed", what)
            self._say(f"That did not work: {type(error).__name__}")

    def _say(self, text: str, *, busy: bool = False) -> None:
        monitor().ask(lambda: self._table.send({"k": "notice", "text": text, "busy": busy}))


def table_twin(followed: FollowedGroup, publisher: Publisher) -> TwinOutput:
    """Give the output beside a table; `TwinOutput` says of which cell the publisher has to be."""
    return TwinOutput(
        draw=lambda: bundle(followed.group, followed.views),
        version=lambda: sum(view.version for view in followed.views),
        turn=lambda: all(view.over for view in followed.views),
        publisher=publisher,
    )


def header_of(group: TaskGroup) -> dict[str, Any]:
    """Give what a table says of a group whatever its state."""
    return {
        "title": one_line(group.title, 80),
        "kind": group.kind_text,
        "server": servers_text(group),
        "parallel": group.parallel,
        "names": [one_line(name, 60) for name in group.names],
        "total": len(group),
        "task": group.tasks[0].id,
    }
