"""A task directory and its shim, without an engine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.engine.processes import Process, kill_orphans
from anylearn_jupyter.engine.task_files import TaskFiles, write_record
from anylearn_jupyter.entities import new_id
from waiting import wait_until


@dataclass
class ShimTask:
    """One task, run by a shim that the test starts."""

    files: TaskFiles
    process: subprocess.Popen[bytes] | None = None
    env: dict[str, str] = field(default_factory=dict)

    def start(self, command: str, *, limits: tuple[int, int] | None = None, **launch: Any) -> None:
        """Write ``launch.json`` and start the shim; `limits` is (resource, value) for it."""
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANYLEARN_TASK_ID": self.files.task_id,
            "PYTHONUNBUFFERED": "1",
        }
        record = {"command": command, "cwd": str(self.files.code), "env": self.env, **launch}
        write_record(self.files.launch, record, durable=False)
        words = [sys.executable, "-P", "-m", "anylearn_jupyter.engine.shim", str(self.files.root)]
        if limits is not None:
            words = ["/usr/bin/prlimit", f"--fsize={limits[1]}", *words]
        with self.files.shim_log.open("ab") as said:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
            )

    def ask_to_stop(self) -> None:
        assert self.process is not None
        self.process.terminate()

    def wait(self, timeout_s: float = 30) -> dict[str, Any]:
        """Wait for the shim's end and give the exit record."""
        assert self.process is not None
        self.process.wait(timeout_s)
        assert self.files.exit.exists(), self.files.shim_log.read_text()
        record: dict[str, Any] = json.loads(self.files.exit.read_text())
        return record

    def run(self, command: str, **launch: Any) -> dict[str, Any]:
        self.start(command, **launch)
        return self.wait()

    def log(self) -> bytes:
        return self.files.log.read_bytes() if self.files.log.exists() else b""

    def wait_for_log(self, text: bytes, timeout_s: float = 20) -> None:
        wait_until(lambda: text in self.log(), timeout_s, f"{text!r} in the log")

    def relatives(self) -> list[Process]:
        """What carries the task's id, whoever its parent is."""
        from anylearn_jupyter.engine.processes import bearers

        return bearers(f"ANYLEARN_TASK_ID={self.files.task_id}".encode(), not_before=0)


@pytest.fixture
def make_task(tmp_path: Path) -> Iterator[Callable[[], ShimTask]]:
    """Make tasks, and leave no process behind."""
    made: list[ShimTask] = []

    def make() -> ShimTask:
        files = TaskFiles(tmp_path / "tasks" / new_id("TRAI"))
        files.code.mkdir(parents=True)
        files.root.chmod(0o700)
        made.append(ShimTask(files))
        return made[-1]

    yield make
    for task in made:
        if task.process is not None:
            with contextlib.suppress(ProcessLookupError):
                task.process.kill()
            task.process.wait(10)
        kill_orphans(
            f"ANYLEARN_TASK_ID={task.files.task_id}".encode(),
            not_before=0,
            main=None,
            own_pid=os.getpid(),
            limit_s=5,
        )


@pytest.fixture
def task(make_task: Callable[[], ShimTask]) -> ShimTask:
    """One task."""
    return make_task()


def python(code: str) -> str:
    """Write a shell command that runs this code."""
    import shlex

    return f"exec {shlex.quote(sys.executable)} -c {shlex.quote(code)}"
