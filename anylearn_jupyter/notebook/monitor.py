"""The news of all tasks that this kernel shows: read once, and sent ten times a second.

One reader thread for each server (there is rarely more than one) follows all of its tasks in one
stream and puts what comes into their `TaskView`; one sender thread brings it to the displays. They
begin with the first task that is shown and end when there is nothing more to follow. Neither holds
a lock while it waits for the network or the page.

When a task joins, the stream of its server begins anew at the cursors of all: what was read stays
read, so there is neither a gap nor a repeat. A child after a fork begins without threads and
without tasks.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from anylearn_jupyter.client.follow import Event, follow
from anylearn_jupyter.entities import TaskDetail
from anylearn_jupyter.errors import AnylearnError
from anylearn_jupyter.notebook.background import Background
from anylearn_jupyter.notebook.task_view import TaskView
from anylearn_jupyter.submit.task import TrainTask

TICK_S = 0.1
"""Seconds between two times that the displays are brought up to date, at least."""

CHARACTERS_A_TICK = 80_000
"""Characters of log that all displays together are sent at once: less than 1 MB a second."""

MESSAGES_A_SECOND = 400
"""Messages that all displays together are sent, at most; a server drops them past 1,000."""

MAX_DISPLAYS = 6
"""Displays of one task that are kept up to date; the oldest retires for a new one."""

MAX_TABLES = 12
"""Displays of several tasks that are kept up to date; the oldest retires for a new one."""

_JOIN_S = 5.0
# While a task writes on, the next piece comes within this, also from an engine that is a little
# behind its pace of 40 ms; so what is sent is not old already.
_FRESH_S = 0.06
_CLOSED = (
    "This view stands still, since anylearn_jupyter was unloaded; the task goes on. "
    "%reload_ext anylearn_jupyter and %anylearn_resume show it again."
)
_logger = logging.getLogger(__name__)


class Display(Protocol):
    """Something that shows a task: a card, or a twin. Called by the sender thread alone."""

    def refresh(self, room: int) -> float | None:
        """Show what is new.

        Parameters
        ----------
        room : int
            Characters of log that may be sent.

        Returns
        -------
        float or None
            Seconds after which it wants to be called again, even without news.
        """

    def retire(self) -> None:
        """Be told that nothing more will come."""


@dataclass
class _Followed:
    """A task, its objects in the user's hands, and where it is shown."""

    view: TaskView
    tasks: list[TrainTask]
    displays: list[Display] = field(default_factory=list)


@dataclass
class _Reader:
    """The thread that reads one server's stream."""

    thread: threading.Thread
    restart: threading.Event = field(default_factory=threading.Event)


class Monitor:
    """All tasks that one process follows for its displays.

    Attributes
    ----------
    background : Background
        For what displays are asked and what may wait for a server.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._followed: dict[str, _Followed] = {}
        self._of_many: list[Display] = []
        self._readers: dict[str, _Reader] = {}
        self._sender: threading.Thread | None = None
        self._asked: deque[Callable[[], None]] = deque()
        self._wake = threading.Event()
        self._came = threading.Event()
        self._closed = threading.Event()
        self.background = Background()

    def follow(self, task: TrainTask) -> TaskView:
        """Begin to follow a task, unless that is done already, and give what is known of it."""
        return self.follow_all([task])[0]

    def follow_all(self, tasks: Sequence[TrainTask]) -> list[TaskView]:
        """Follow several tasks, whose streams then begin anew once and not once for each."""
        views = []
        servers = []
        with self._lock:
            for task in tasks:
                followed = self._followed.get(task.id)
                if followed is None:
                    followed = self._followed[task.id] = _Followed(TaskView(task.detail), [])
                if all(task is not known for known in followed.tasks):
                    followed.tasks.append(task)
                views.append(followed.view)
                if not followed.view.over:
                    servers.append(task.server)
            for server in dict.fromkeys(servers):
                self._read_server(server)
        return views

    def show_of_many(self, display: Display) -> None:
        """Keep a display of several tasks up to date from now on."""
        with self._lock:
            if all(display is not known for known in self._of_many):
                self._of_many.append(display)
            retired = self._of_many.pop(0) if len(self._of_many) > MAX_TABLES else None
        if retired is not None:
            self.ask(retired.retire)
        self._send_soon()

    def show(self, task: TrainTask, display: Display) -> None:
        """Keep a display up to date from now on, if this monitor follows its task.

        It does not where the display is older than the monitor (`close_monitor`).
        """
        with self._lock:
            if task.id not in self._followed:
                return
            displays = self._followed[task.id].displays
            if all(display is not known for known in displays):
                displays.append(display)
            retired = displays.pop(0) if len(displays) > MAX_DISPLAYS else None
        if retired is not None:
            self.ask(retired.retire)
        self._send_soon()

    def hide(self, display: Display) -> None:
        """Keep a display up to date no longer; it is not told."""
        with self._lock:
            for shown in (self._of_many, *(one.displays for one in self._followed.values())):
                shown[:] = [known for known in shown if known is not display]

    def ask(self, work: Callable[[], None]) -> None:
        """Let the sender thread do something short, before its next round."""
        self._asked.append(work)
        self._send_soon()

    def close(self) -> None:
        """End the threads; what is shown stays as it is, and says why."""
        self._closed.set()
        self.background.close()
        with self._lock:
            threads = [reader.thread for reader in self._readers.values()]
            for reader in self._readers.values():
                reader.restart.set()
            if self._sender is not None:
                threads.append(self._sender)
        self._wake.set()
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(_JOIN_S)
        with self._lock:
            standing = [one for one in self._followed.values() if not one.view.over]
        for one in standing:
            one.view.take(Event("", "trouble", text=_CLOSED))
        self._round()

    @property
    def threads(self) -> int:
        """How many threads are at work."""
        with self._lock:
            return len(self._readers) + (self._sender is not None)

    # Reading.

    def _read_server(self, server: str) -> None:
        """Have a reader for a server that knows all of its tasks; the lock is held."""
        reader = self._readers.get(server)
        if reader is not None:
            reader.restart.set()
            return
        name = f"anylearn-reader-{server}"
        thread = threading.Thread(target=self._read, args=(server,), name=name, daemon=True)
        self._readers[server] = _Reader(thread)
        thread.start()

    def _read(self, server: str) -> None:
        """Follow a server's tasks until each has ended; the top of a reader thread."""
        restart = self._next_round(server)
        while restart is not None:
            try:
                self._read_stream(server, restart)
            except Exception as error:
                _logger.exception("the views of the tasks on %s have stopped", server)
                self._tell_all(server, f"the view has stopped: {type(error).__name__}: {error}")
                with self._lock:
                    self._readers.pop(server, None)
                return
            restart = self._next_round(server)

    def _next_round(self, server: str) -> threading.Event | None:
        """Prepare the next stream; None, and the reader is gone, when there is nothing to read."""
        with self._lock:
            if self._closed.is_set() or not self._unfinished(server):
                self._readers.pop(server, None)
                self._wake.set()
                return None
            restart = threading.Event()
            self._readers[server].restart = restart
            return restart

    def _unfinished(self, server: str) -> dict[str, _Followed]:
        return {
            task_id: followed
            for task_id, followed in self._followed.items()
            if followed.tasks[0].server == server and not followed.view.over
        }

    def _read_stream(self, server: str, restart: threading.Event) -> None:
        with self._lock:
            followed = self._unfinished(server)
        if not followed:
            return
        connection = next(iter(followed.values())).tasks[0].connection
        cursors = {task_id: one.view.cursor for task_id, one in followed.items()}
        for event in follow(connection, cursors, stop=restart):
            if event.kind == "trouble":
                self._tell_all(server, event.text)
            else:
                self._take(followed[event.task_id], event)
            if restart.is_set():
                return

    def _take(self, followed: _Followed, event: Event) -> None:
        followed.view.take(event)
        self._came.set()
        self._wake.set()
        if event.detail is not None:
            for task in list(followed.tasks):
                _record(task, event.detail)

    def _tell_all(self, server: str, text: str) -> None:
        with self._lock:
            followed = list(self._unfinished(server).values())
        for one in followed:
            one.view.take(Event("", "trouble", text=text))
        self._wake.set()

    # Sending.

    def _send_soon(self) -> None:
        with self._lock:
            if self._sender is None:
                thread = threading.Thread(target=self._send, name="anylearn-sender", daemon=True)
                self._sender = thread
                thread.start()
        self._wake.set()

    def _send(self) -> None:
        """Bring the displays up to date until nothing more can come; the top of the thread."""
        due_s: float | None = 0.0
        while True:
            self._wake.wait(due_s)
            self._wake.clear()
            while self._asked:
                _carefully(self._asked.popleft())
            displays, due_s = self._round()
            with self._lock:
                idle = not self._readers and due_s is None
                if (self._closed.is_set() or idle) and not self._wake.is_set() and not self._asked:
                    self._sender = None
                    return
            self._closed.wait(max(TICK_S, displays / MESSAGES_A_SECOND))
            if self._came.is_set():
                self._came.clear()
                self._came.wait(_FRESH_S)

    def _round(self) -> tuple[int, float | None]:
        """Refresh every display once; say how many there are, and when the next one is due."""
        with self._lock:
            shown = [(one.displays, d) for one in self._followed.values() for d in one.displays]
            shown += [(self._of_many, d) for d in self._of_many]
        room = CHARACTERS_A_TICK // max(len(shown), 1)
        dues = []
        for displays, display in shown:
            try:
                due_s = display.refresh(room)
            except Exception:
                _logger.exception("a display of a task cannot be brought up to date any more")
                with self._lock:
                    displays[:] = [d for d in displays if d is not display]
                continue
            if due_s is not None:
                dues.append(due_s)
        return len(shown), min(dues, default=None)


def _carefully(work: Callable[[], None]) -> None:
    """Do what somebody asked for; the sender thread goes on whatever it raises."""
    try:
        work()
    except Exception:
        _logger.exception("what a display asked for could not be done")


def _record(task: TrainTask, detail: TaskDetail) -> None:
    """Let the user's object and the ledger know; a ledger in trouble does not end the view."""
    try:
        task.saw(detail)
    except (AnylearnError, sqlite3.Error, OSError):
        _logger.exception("the state of %s could not be written down", task.id)


_monitor: Monitor | None = None
_monitor_lock = threading.Lock()


def monitor() -> Monitor:
    """Give this process's monitor."""
    global _monitor  # one for the process, made when first needed, and anew after a fork
    with _monitor_lock:
        if _monitor is None:
            _monitor = Monitor()
        return _monitor


def close_monitor() -> None:
    """End the threads of this process's monitor, if it has one; the next view begins a new one."""
    global _monitor  # see `monitor`
    with _monitor_lock:
        found, _monitor = _monitor, None
    if found is not None:
        found.close()


def _forget_after_fork() -> None:
    global _monitor, _monitor_lock  # see `monitor`; the parent may have held the lock
    _monitor = None
    _monitor_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)
