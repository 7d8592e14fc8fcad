"""Interrupts and a full disk: one sentence that says what goes on, and none of our code."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from anylearn_jupyter.engine.database import Database
from anylearn_jupyter.errors import ConfigError, EngineError, Interrupted
from anylearn_jupyter.home import said_when_full
from anylearn_jupyter.notebook.guard import said
from conftest import engine_command
from kernel_fixtures import RealKernel, kernels

__all__ = ["kernels"]

# Waits at a step of a submission, until the interrupt comes.
HELD = """
import time
from anylearn_jupyter.submit import pipeline
def held(*arguments, **options):
    print("held")
    time.sleep(60)
pipeline.{name} = held
"""


@pytest.fixture
def kernel(
    kernels: Callable[[Path], RealKernel], home: Path, tmp_path: Path
) -> Iterator[RealKernel]:
    """Start a kernel beside a script, and end its engine and tasks afterwards."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text("import time\nprint('begun')\ntime.sleep(60)\n")
    started = kernels(project)
    started.run("%load_ext anylearn_jupyter")
    yield started
    engine_command("stop", "--tasks", check=False)


def interrupted(kernel: RealKernel, source: str, until: str) -> str:
    """Run a cell, interrupt it when it has said something, and give all of its error."""
    cell = kernel.start(source)
    # What it says, and not its source, which comes back too, before anything has run.
    while until not in kernel.client.get_iopub_msg(timeout=30)["content"].get("text", ""):
        pass
    kernel.interrupt()
    (error,) = [one for one in kernel.outputs_of(cell) if one["type"] == "error"]
    return "\n".join(error["traceback"])


@pytest.mark.parametrize(
    ("name", "said_then"),
    [
        ("send_code", "at the step 'Asking the server'; no task was created."),
        ("create_task", "the task was being created, so it may be there"),
    ],
)
@pytest.mark.parametrize(
    "source",
    [
        "%%anylearn_train train.py",
        "from anylearn_jupyter import quick_train\n"
        "quick_train(algorithm_dir='.', entrypoint='python train.py')",
    ],
)
def test_an_interrupted_submission_says_whether_there_is_a_task(
    kernel: RealKernel, name: str, said_then: str, source: str
) -> None:
    kernel.run(HELD.format(name=name))
    told = interrupted(kernel, source, "held")
    assert told.startswith(f"Interrupted: {said_then}")
    assert "\n" not in told


# Says that it waits from within the wait.
TELLING = """
asked = task.connection
task.connection = lambda: (print("waiting"), asked())[1]
"""


@pytest.mark.parametrize(
    ("waits", "until"),
    [
        (f"{TELLING}task.wait()", "waiting"),
        (f"{TELLING}task.results()", "waiting"),
        ("%anylearn_logs last --follow", "begun"),
    ],
)
def test_an_interrupted_wait_says_that_the_task_goes_on(
    kernel: RealKernel, waits: str, until: str
) -> None:
    kernel.run("%%anylearn_train train.py -n waits -o task --noblock")
    told = interrupted(kernel, waits, until)
    task_id = kernel.text("print(task.id)").strip()
    assert told == (
        f"Interrupted: the task waits ({task_id}) goes on. `%anylearn_resume {task_id}` shows it, "
        f"`%anylearn_stop {task_id}` stops it."
    )


def test_any_other_magic_that_is_interrupted_says_so() -> None:
    @said
    def magic() -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="has ended; tasks go on"):
        magic()


# A full disk.


def test_a_full_disk_is_said_with_its_place(home: Path) -> None:
    with pytest.raises(ConfigError, match=f"room left on the disk of {home};"), said_when_full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(ConfigError, match="of /elsewhere/file;"), said_when_full():
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/elsewhere/file")


def test_a_full_database_is_said_too(home: Path, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "small.sqlite3")
    database.execute("CREATE TABLE much (data BLOB)")
    database.execute("PRAGMA max_page_count = 2")
    with pytest.raises(ConfigError, match=f"room left on the disk of {home};"), said_when_full():
        database.execute("INSERT INTO much VALUES (zeroblob(1000000))")
    database.close()


def test_the_engine_says_that_its_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Database, migrations: object) -> None:
        with closing(sqlite3.connect(tmp_path / "small.sqlite3")) as small:
            small.execute("CREATE TABLE much (data BLOB)")
            small.execute("PRAGMA max_page_count = 2")
            small.execute("INSERT INTO much VALUES (zeroblob(1000000))")

    monkeypatch.setattr(Database, "_open", full)
    with pytest.raises(EngineError, match=r"no room left on the disk of .*store\.sqlite3"):
        Database(tmp_path / "store.sqlite3", ())


def test_another_error_stays_as_it_is() -> None:
    with pytest.raises(PermissionError), said_when_full():
        raise PermissionError(errno.EACCES, "no")
