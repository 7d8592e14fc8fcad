"""A process that supervises tasks as the engine does, and that a test can kill.

``python supervisor_process.py <directory> [<where to die>]``: the store is in the
directory's ``store.sqlite3``, the code's repository in ``code.git``. It adopts, then schedules, and
ends when it is killed; or by itself, with -9, at one of ``prepare``, ``spawn`` and ``spawned``.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from tornado.ioloop import IOLoop

from anylearn_jupyter.engine.machine import Machine
from anylearn_jupyter.engine.runners import shims
from anylearn_jupyter.engine.scheduler import Scheduler
from anylearn_jupyter.engine.watcher import Watcher
from task_store import TaskStore


class Inputs:
    """One repository for every algorithm; mounts are directories of the same name."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def repository(self, algorithm_id: str) -> Path:
        return self._root / "code.git"

    def mount(self, resource_id: str) -> Path:
        path = self._root / resource_id
        if not path.exists():
            raise LookupError(f"The dataset {resource_id} is not there any more.")
        return path

    def address(self) -> str:
        return "http://127.0.0.1:1"


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arrange_death(at: str) -> None:
    prepare, spawn = shims.prepare, shims._spawn_shim

    def dying_prepare(*words: Any, **options: Any) -> None:
        if at == "prepare":
            _die()
        prepare(*words, **options)

    def dying_spawn(*words: Any) -> int:
        if at == "spawn":
            _die()
        pid = spawn(*words)
        if at == "spawned":
            _die()
        return pid

    shims.prepare = dying_prepare
    shims._spawn_shim = dying_spawn


def supervise(root: Path, loop: IOLoop) -> tuple[TaskStore, shims.ShimRunner, Scheduler, Watcher]:
    """Put the parts together."""
    store = TaskStore(root)
    watcher = Watcher(loop)
    runner = shims.ShimRunner(
        root / "tasks",
        inputs=Inputs(root),
        watcher=watcher,
        loop=loop,
        machine=Machine(cpus=tuple(sorted(os.sched_getaffinity(0))), gpus=(), memory_gib=4),
        on_change=lambda: scheduler.wake(),
        stop_grace_s=5,
    )
    scheduler = Scheduler(store, runner, loop)
    return store, runner, scheduler, watcher


def main() -> None:
    root = Path(sys.argv[1])
    if len(sys.argv) > 2:
        _arrange_death(sys.argv[2])
    loop = IOLoop.current()

    def begin() -> None:
        _, _, scheduler, _ = supervise(root, loop)
        scheduler.adopt()
        (root / "adopted").touch()

    loop.add_callback(begin)
    loop.start()


if __name__ == "__main__":
    main()
