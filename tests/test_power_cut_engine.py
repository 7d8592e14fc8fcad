"""A power cut under a running engine: what it had confirmed is there when it starts again (B1)."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from anylearn_jupyter.client.connection import current_connection, disconnect
from anylearn_jupyter.engine.processes import Process
from anylearn_jupyter.errors import AnylearnError
from anylearn_jupyter.home import Endpoint, Home
from anylearn_jupyter.submit.pipeline import Submission, submit
from anylearn_jupyter.submit.progress import SilentProgress
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from conftest import engine_command
from power_cut import Disk, possible, run_apart
from waiting import wait_until

pytestmark = pytest.mark.skipif(not possible(), reason="a power cut needs root and loop devices")

TRAIN = """
import hashlib, os, sys, time
from pathlib import Path

files = sorted(path for path in Path(sys.argv[2]).rglob("*") if path.is_file())
print(*[f"{path.name}={hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files])
sys.stdout.flush()
while not Path(os.environ["STOP_FILE"]).exists():
    time.sleep(0.02)
sys.exit(7)
"""


class Cut(Exception):
    """Raised by a listener in the middle of an upload."""


class Interrupting(SilentProgress):
    def bytes(self, label: str, sent: int, total: int) -> None:
        if label.startswith("sending numbers") and sent > 5_000_000:
            raise Cut


def a_project(place: Path) -> Path:
    project = place / "project"
    (project / "numbers").mkdir(parents=True)
    (project / "train.py").write_text(TRAIN, encoding="utf-8")
    for number in range(3):
        (project / "numbers" / f"{number}.bin").write_bytes(os.urandom(2_500_000))
    return project


def request_of(project: Path) -> TrainRequest:
    return TrainRequest(
        entrypoint="python train.py",
        algorithm_dir=project,
        data=(DataInput("data", path=project / "numbers"),),
        env=(("STOP_FILE", str(project.parent / "stop")),),
        working_dir=project,
    )


def expected_line(project: Path) -> str:
    files = sorted((project / "numbers").iterdir())
    return " ".join(f"{one.name}={hashlib.sha256(one.read_bytes()).hexdigest()}" for one in files)


@contextmanager
def a_home(disk: Disk) -> Iterator[Home]:
    """Use a home on the disk; whatever engine runs for it ends with the block."""
    with disk.mounted() as root:
        os.environ["ANYLEARN_HOME"] = str(root / "home")
        try:
            yield Home(root / "home")
        finally:
            disconnect()
            engine_command("stop", "--tasks", check=False)


@contextmanager
def started_again(disk: Disk, cut: Path) -> Iterator[None]:
    """Use what a cut has left; its engine ends with the block."""
    with disk.after(cut):
        try:
            yield
        finally:
            disconnect()
            engine_command("stop", "--tasks", check=False)


def kill_engine(home: Home) -> None:
    endpoint = Endpoint.read(home)
    assert endpoint is not None
    process = Process.find(endpoint.pid)
    assert process is not None
    process.send(signal.SIGKILL)
    wait_until(lambda: not process.alive, 10, "the engine is dead")
    disconnect()


def check_repositories(home: Home) -> None:
    for repository in home.engine.glob("git/*/*.git"):
        done = subprocess.run(
            ["git", "-C", str(repository), "fsck", "--full", "--strict"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def trained(made: Submission) -> str:
    assert made.task.wait(60).phase == "failed", made.task.log_text()
    return made.task.log_text().splitlines()[0]


def test_what_the_engine_had_confirmed_is_there_after_a_cut(tmp_path: Path) -> None:
    """Code, data and tasks whose creation was answered; an end that was told."""
    project = a_project(tmp_path)

    def work() -> None:
        disk = Disk(tmp_path / "disk")
        with a_home(disk) as home:
            made = submit(request_of(project))
            wait_until(lambda: made.task.log_text(), 30, "the task has begun")
            while_running = disk.cut()
            (tmp_path / "stop").touch()
            assert trained(made) == expected_line(project)
            when_ended = disk.cut()
            kill_engine(home)
            for cut, phase in ((while_running, "lost"), (when_ended, "failed")):
                with started_again(disk, cut):
                    detail = current_connection().api.task(made.task.id)
                    assert detail.phase == phase
                    if phase == "failed":
                        assert detail.exit is not None
                        assert detail.exit.number == 7
                    check_repositories(home)
                    known = (DataInput("data", id=made.datasets[0].id),)
                    again = submit(
                        TrainRequest(
                            entrypoint="python train.py",
                            algorithm_dir=None,
                            algorithm_id=made.algorithm.id,
                            algorithm_git_ref=made.task.detail.algorithm_git_ref,
                            data=known,
                            env=request_of(project).env,
                            working_dir=project,
                        )
                    )
                    assert trained(again) == expected_line(project), phase
                    assert trained(submit(request_of(project))) == expected_line(project)

    run_apart(work)


def test_an_upload_that_a_cut_broke_off_ends_whole(tmp_path: Path) -> None:
    """Chunks that were confirmed and not yet on the disk are not taken for what they were."""
    project = a_project(tmp_path)

    def work() -> None:
        disk = Disk(tmp_path / "disk")
        with a_home(disk) as home:
            with pytest.raises((Cut, AnylearnError)):
                submit(request_of(project), Interrupting())
            cut = disk.cut()
            kill_engine(home)
            with started_again(disk, cut):
                (tmp_path / "stop").touch()
                assert trained(submit(request_of(project))) == expected_line(project)

    run_apart(work)
