"""The engine's parts, put together, and what the handlers share."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

from tornado.ioloop import IOLoop

from anylearn_jupyter._version import __version__
from anylearn_jupyter.engine.auth import Identification
from anylearn_jupyter.engine.blobs import Blobs
from anylearn_jupyter.engine.database import Database
from anylearn_jupyter.engine.events import EventStream
from anylearn_jupyter.engine.inputs import EngineInputs
from anylearn_jupyter.engine.machine import Machine
from anylearn_jupyter.engine.packing import Packing
from anylearn_jupyter.engine.plain_gateway import PlainGateway
from anylearn_jupyter.engine.projects import Projects
from anylearn_jupyter.engine.repositories import Repositories
from anylearn_jupyter.engine.resources import Resources
from anylearn_jupyter.engine.runners.shims import ShimRunner
from anylearn_jupyter.engine.scheduler import ACTIVE, WAITING, Scheduler
from anylearn_jupyter.engine.store import Store, TaskRow
from anylearn_jupyter.engine.task_files import TaskFiles
from anylearn_jupyter.engine.task_metrics import TaskMetrics
from anylearn_jupyter.engine.users import Users
from anylearn_jupyter.engine.watcher import Watcher
from anylearn_jupyter.home import Home, boot_identity

VERSION: str = __version__
"""The version that runs."""

UNFINISHED = (*WAITING, *ACTIVE)
"""The phases that a task still leaves."""

_STOP_LIMIT_S = 30.0

_log = logging.getLogger(__name__)


class Activity:
    """Whether anybody needs the engine."""

    def __init__(self) -> None:
        self.open_requests = 0
        self._last = time.monotonic()

    def begin(self) -> None:
        """Note that a request has come."""
        self.open_requests += 1

    def end(self) -> None:
        """Note that a request is through, or its client has gone."""
        self.open_requests -= 1
        self.note()

    def note(self) -> None:
        """Note that something happens now."""
        self._last = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since something happened; 0 while a request is open."""
        return 0.0 if self.open_requests else time.monotonic() - self._last


class Engine:
    """Everything that the handlers use.

    Parameters
    ----------
    home : Home
        Where everything of ours is.
    token : str
        The engine's token.
    database : Database
        The store, open.
    loop : IOLoop
        Everything here belongs to its thread.
    plain : PlainGateway, optional
        Makes it a plain gateway, for testing clients.
    """

    def __init__(
        self,
        home: Home,
        token: str,
        database: Database,
        loop: IOLoop,
        *,
        plain: PlainGateway | None = None,
    ) -> None:
        self.home = home
        self.token = token
        self.database = database
        self.plain = plain
        self.port = 0
        self.started_ms = time.time_ns() // 1_000_000
        self.adopted = 0
        self.refuse_new_tasks = False
        self.activity = Activity()
        self.ending = asyncio.Event()
        self.streams: set[EventStream] = set()
        self.algorithm_lock = asyncio.Lock()
        self.store = Store(database)
        self.users = Users(database, token)
        self.identification = Identification(self.users, self.store)
        self.projects = Projects(database)
        self.resources = Resources(database)
        self.repositories = Repositories(home.engine / "git")
        self.blobs = Blobs(
            home.engine / "blobs",
            database=database,
            resources=self.resources,
            store=self.store,
            repositories=self.repositories,
        )
        self.tasks: Path = home.engine / "tasks"
        self.metrics = TaskMetrics(self.tasks)
        self.inputs = EngineInputs(
            self.tasks,
            store=self.store,
            users=self.users,
            resources=self.resources,
            blobs=self.blobs,
            repositories=self.repositories,
            address=lambda: self.address,
        )
        self.packing = Packing(
            resources=self.resources,
            blobs=self.blobs,
            inputs=self.inputs,
            repositories=self.repositories,
        )
        self.machine = Machine.this()
        self.watcher = Watcher(loop)
        self.runner = self._make_runner(loop)
        self.scheduler = Scheduler(self.store, self.runner, loop)
        self.store.on_task_change(self._on_task_change)

    def _make_runner(self, loop: IOLoop) -> ShimRunner:
        return ShimRunner(
            self.tasks,
            inputs=self.inputs,
            watcher=self.watcher,
            loop=loop,
            machine=self.machine,
            on_change=lambda: self.scheduler.wake(),
        )

    def _on_task_change(self, task: TaskRow) -> None:
        self.activity.note()
        if task.finished and task.secrets:
            # One that was never started still has the values.
            TaskFiles.of(self.tasks, task.id).secrets.unlink(missing_ok=True)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def host_and_port(self) -> str:
        """What the proof is made for."""
        return f"127.0.0.1:{self.port}"

    def take_over(self) -> None:
        """Take over what an engine before this one has left: tasks and uploads."""
        known_boot, boot = self.database.meta("boot"), boot_identity()
        if known_boot != boot:
            # A power cut may have taken bytes of chunks that were confirmed; they come again.
            self.resources.drop_chunks()
            self.database.set_meta("boot", boot)
        self.blobs.resume(self.users.name_of)
        self.adopted = self.scheduler.adopt()
        if self.adopted:
            _log.info("engine restarted, %d tasks adopted", self.adopted)

    def status(self) -> dict[str, object]:
        """Give what ``engine/status`` answers (docs/protocol.md, "engine")."""
        return {
            "address": self.address,
            "pid": os.getpid(),
            "version": VERSION,
            "started_ms": self.started_ms,
            "home": str(self.home.root),
            "tasks": self.store.tasks_by_phase(),
            "idle_s": round(self.activity.idle_s, 1),
            "adopted": self.adopted,
        }

    def now_ms(self) -> int:
        """Give the time; milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000

    def unfinished(self) -> list[TaskRow]:
        """Give the tasks that have not ended, in the order of the queue."""
        return self.store.tasks_in(UNFINISHED)

    @property
    def unneeded_s(self) -> float:
        """Seconds for which nobody has needed the engine: no task, no request, no upload."""
        if self.unfinished() or self.blobs.busy:
            return 0.0
        return min(self.activity.idle_s, time.monotonic() - self.blobs.last_upload)

    async def stop_tasks(self) -> int:
        """Stop every task, and wait until each has its final phase.

        Returns
        -------
        int
            How many have not ended within the time that a task has for it.
        """
        for task in self.unfinished():
            self.scheduler.stop(task.id)
        news = asyncio.Event()
        forget = self.store.on_task_change(lambda _task: news.set())
        deadline = time.monotonic() + _STOP_LIMIT_S
        try:
            while left := self.unfinished():
                news.clear()
                try:
                    await asyncio.wait_for(news.wait(), deadline - time.monotonic())
                except TimeoutError:
                    return len(left)
        finally:
            forget()
        return 0

    def end_streams(self) -> None:
        """End every stream of events; their clients ask again, and find the next engine."""
        for stream in list(self.streams):
            stream.close()

    def close(self) -> None:
        """Leave everything as it is; tasks go on."""
        self.runner.close()
        self.watcher.close()
        self.database.close()
