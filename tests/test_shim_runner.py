"""The runner in the engine's own process: stops at awkward moments, and systems without pidfd."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from anylearn_jupyter.engine.processes import Process, bearers, kill_orphans
from anylearn_jupyter.engine.runners import shims
from anylearn_jupyter.engine.task_files import TaskFiles, write_record
from anylearn_jupyter.engine.watcher import Watcher
from anylearn_jupyter.entities import FINAL_PHASES, TaskPhase
from supervisor_process import supervise
from task_store import TaskStore, new_row
from test_adoption import make_repository


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A directory with code, whose tasks are gone afterwards."""
    make_repository(tmp_path)
    yield tmp_path
    for directory in (tmp_path / "tasks").glob("TRAI*"):
        mark = f"ANYLEARN_TASK_ID={directory.name}".encode()
        kill_orphans(mark, not_before=0, main=None, own_pid=os.getpid(), limit_s=5)


async def until(condition: Callable[[], object], what: str) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within 30 s: {what}")


def test_a_stop_at_any_moment_of_the_start_aborts_the_task(root: Path) -> None:
    async def scene() -> None:
        store, runner, scheduler, watcher = supervise(root, IOLoop.current())
        phases = []
        for step in range(16):
            row = new_row(entrypoint="echo ready; sleep 600")
            store.add(row)
            scheduler.wake()
            await asyncio.sleep(step * 0.006)
            assert scheduler.stop(row.id)
            await until(lambda row=row: store.row_of(row.id).finished, f"the end, stop {step}")
            phases.append(store.row_of(row.id).phase)
            mark = f"ANYLEARN_TASK_ID={row.id}".encode()
            assert bearers(mark, not_before=0) == []
        runner.close()
        watcher.close()
        store.database.close()
        assert set(phases) == {TaskPhase.ABORTED}

    asyncio.run(scene())


def test_without_handles_and_without_inotify_all_is_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Process) -> int | None:
        raise OSError("no handles here")

    monkeypatch.setattr(Process, "end_handle", refuse)

    async def scene() -> None:
        loop = IOLoop.current()
        store, runner, scheduler, watcher = supervise(root, loop)
        watcher.close()
        looking = Watcher(loop, poll=True)
        monkeypatch.setattr(runner, "_watcher", looking)
        ended, killed = new_row(entrypoint="exit 7"), new_row(entrypoint="echo ready; sleep 600")
        store.add(ended, killed)
        scheduler.wake()
        files = TaskFiles.of(root / "tasks", killed.id)
        await until(lambda: files.log.exists() and files.log.read_bytes(), "the task runs")
        await until(lambda: store.row_of(killed.id).phase is TaskPhase.RUNNING, "it is running")
        record = shims.examine(files).shim
        assert record is not None
        record.send(signal.SIGKILL)
        await until(lambda: store.row_of(killed.id).finished, "the loss is seen")
        await until(lambda: store.row_of(ended.id).finished, "the end is seen")
        found = store.row_of(ended.id).exit
        assert found is not None
        assert (found.kind, found.number) == ("exit", 7)
        assert store.row_of(killed.id).phase is TaskPhase.LOST
        runner.close()
        looking.close()
        store.database.close()

    asyncio.run(scene())


def test_a_shim_that_has_not_said_who_it_is_is_waited_for(root: Path) -> None:
    """The dead engine started a shim that is slow: its lock is held, its record not there yet."""
    store = TaskStore(root)
    row = new_row(phase=TaskPhase.STARTING, allocation={"CPU": 1})
    store.add(row)
    files = TaskFiles.of(root / "tasks", row.id)
    files.root.mkdir(parents=True, mode=0o700)
    lock = os.open(files.lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    slow = subprocess.Popen(["/bin/sleep", "600"], pass_fds=(lock,))
    os.close(lock)

    async def scene() -> None:
        store, runner, scheduler, watcher = supervise(root, IOLoop.current())
        assert scheduler.adopt() == 1
        await asyncio.sleep(0.5)
        assert store.row_of(row.id).phase is TaskPhase.STARTING
        found = Process.find(slow.pid)
        assert found is not None
        write_record(files.shim, found.to_record(), durable=False)
        write_record(files.started, {**found.to_record(), "started_ms": 5}, durable=False)
        await until(lambda: store.row_of(row.id).phase is TaskPhase.RUNNING, "it runs")
        slow.kill()
        await until(lambda: store.row_of(row.id).phase is TaskPhase.LOST, "it is lost")
        runner.close()
        watcher.close()
        store.database.close()

    try:
        asyncio.run(scene())
    finally:
        slow.kill()
        slow.wait(10)
        store.database.close()


def test_closing_leaves_tasks_running_and_queued_ones_in_the_queue(root: Path) -> None:
    async def scene() -> list[str]:
        store, runner, scheduler, watcher = supervise(root, IOLoop.current())
        rows = [new_row(entrypoint="echo ready; sleep 600") for _ in range(12)]
        store.add(*rows)
        scheduler.wake()
        await until(lambda: store.tasks_in((TaskPhase.RUNNING,)), "one runs")
        runner.close()
        watcher.close()
        running = [task.id for task in store.tasks_in((TaskPhase.RUNNING,))]
        assert not store.tasks_in(FINAL_PHASES)
        store.database.close()
        return running

    for task_id in asyncio.run(scene()):
        assert bearers(f"ANYLEARN_TASK_ID={task_id}".encode(), not_before=0)
        shim = shims.examine(TaskFiles.of(root / "tasks", task_id)).shim
        assert shim is not None
        shim.send(signal.SIGTERM)


def test_a_shim_that_cannot_run_says_why(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shims.sys, "executable", "/bin/false")

    async def scene() -> None:
        store, runner, scheduler, watcher = supervise(root, IOLoop.current())
        row = new_row(interpreter="/bin/sh")
        store.add(row)
        scheduler.wake()
        await until(lambda: store.row_of(row.id).finished, "the end")
        found = store.row_of(row.id)
        assert found.phase is TaskPhase.FAILED
        assert found.exit is not None
        assert (found.exit.kind, "its shim could not start it" in found.exit.message) == (
            "start",
            True,
        )
        runner.close()
        watcher.close()
        store.database.close()

    asyncio.run(scene())
