"""A1 and A2 from the notebook: kernels and engines die, the task and its log do not notice."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.client.follow import Cursor, follow
from anylearn_jupyter.home import Endpoint, Home
from anylearn_jupyter.submit.ledger import Ledger
from conftest import engine_command
from kernel_fixtures import RealKernel, kernels
from waiting import wait_until

__all__ = ["kernels"]

COUNT = """
import os, sys, time
from pathlib import Path

print("pid", os.getpid(), flush=True)
for block in range(200):
    first = block * 1000 + 1
    sys.stdout.write("".join(f"{n}\\n" for n in range(first, first + 1000)))
    sys.stdout.flush()
    time.sleep(0.02)
    while block == 150 and not Path(os.environ["GO_ON_FILE"]).exists():
        time.sleep(0.02)
sys.exit(7)
"""

TICK = """
import os, time
from pathlib import Path

print("pid", os.getpid(), flush=True)
tick = 0
while not Path(os.environ["STOP_FILE"]).exists():
    tick += 1
    print("tick", tick, flush=True)
    time.sleep(0.05)
print("the end", flush=True)
"""

EXPECTED = "".join(f"{n}\n" for n in range(1, 200_001))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make the directory that is submitted."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "count.py").write_text(COUNT, encoding="utf-8")
    (directory / "tick.py").write_text(TICK, encoding="utf-8")
    return directory


@pytest.fixture(autouse=True)
def no_engine_left(home: Path) -> Iterator[None]:
    """End whatever engine the test's calls have started."""
    yield
    engine_command("stop", "--tasks", check=False)


def tasks_of(home: Path) -> list[str]:
    """Read the ids of the tasks that were submitted."""
    with Ledger(Home(home)) as ledger:
        return [record.id for record in ledger.tasks(10)]


def only_task(home: Path) -> str:
    (task,) = tasks_of(home)
    return task


@dataclass
class Reader:
    """Follows one task's log in a thread of its own, from a cursor that outlives it."""

    task_id: str
    text: str = ""
    cursor: Cursor = None
    ended: bool = False

    def read_until(self, enough: Callable[[Reader], bool], timeout_s: float) -> None:
        """Follow until the condition is true, then stop; the next call goes on from there."""
        stop = threading.Event()
        watchdog = threading.Timer(timeout_s, stop.set)
        watchdog.start()
        try:
            for event in follow(current_connection, {self.task_id: self.cursor}, stop=stop):
                if event.kind == "log":
                    self.text += event.text
                    self.cursor = event.cursor
                self.ended = event.kind == "end"
                if enough(self):
                    return
        finally:
            watchdog.cancel()
        raise AssertionError(f"the log did not get there; it has {self.text.count(chr(10))} lines")

    def read_lines(self, count: int) -> None:
        self.read_until(lambda reader: reader.text.count("\n") >= count, 60)

    def read_to_the_end(self) -> None:
        self.read_until(lambda reader: reader.ended, 120)


def task_process(reader: Reader) -> psutil.Process:
    """Find the task's own process by the number that it printed first."""
    reader.read_lines(1)
    return psutil.Process(int(reader.text.split()[1]))


def kill_engine() -> int:
    """Kill the running engine with SIGKILL and return its number."""
    endpoint = Endpoint.read(Home())
    assert endpoint is not None
    process = psutil.Process(endpoint.pid)
    os.kill(endpoint.pid, signal.SIGKILL)
    process.wait(timeout=10)
    return endpoint.pid


def test_a_log_is_whole_after_the_kernel_and_the_engine_were_killed(
    kernels: Callable[[Path], RealKernel], project: Path, home: Path, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    kernel = kernels(project)
    kernel.run("%load_ext anylearn_jupyter")
    kernel.run(f"%%anylearn_train count.py --env GO_ON_FILE={go_on}")
    reader = Reader(only_task(home))

    reader.read_lines(20_000)
    kernel.kill()
    reader.read_lines(60_000)
    killed = kill_engine()
    assert reader.text.count("\n") < 152_000, "the engine was killed in the middle"

    second = kernels(project)
    second.run("%load_ext anylearn_jupyter")
    second.run("%anylearn_resume -o tasks")
    go_on.touch()
    restarted = Endpoint.read(Home())
    assert restarted is not None
    assert restarted.pid != killed
    reader.read_to_the_end()

    assert reader.text.partition("\n")[2] == EXPECTED
    told = second.text("d = tasks[0].get_detail(); print(d.phase, d.exit.kind, d.exit.number)")
    assert told == "failed exit 7\n"
    whole = second.text("log = tasks[0].log_text(); print(len(log), hash(log) != 0)")
    assert whole.split()[0] == str(len(reader.text))


def kill(kernel: RealKernel) -> None:
    kernel.kill()


def restart(kernel: RealKernel) -> None:
    kernel.restart()


def shut_down(kernel: RealKernel) -> None:
    kernel.shut_down()


def interrupt(kernel: RealKernel) -> None:
    """Interrupt a cell that waits for the task: it stops waiting, and that is all."""
    kernel.interrupt()


@pytest.mark.parametrize("ending", [kill, restart, shut_down, interrupt])
def test_no_ending_of_a_kernel_reaches_the_task(
    ending: Callable[[RealKernel], None],
    kernels: Callable[[Path], RealKernel],
    project: Path,
    home: Path,
    tmp_path: Path,
) -> None:
    """A1: the same task, the same process, the same log, and the engine alive."""
    stop_file = tmp_path / "stop"
    kernel = kernels(project)
    kernel.run("%load_ext anylearn_jupyter")
    waits = "--block" if ending is interrupt else "--noblock"
    sent = kernel.start(f"%%anylearn_train tick.py {waits} --env STOP_FILE={stop_file}")
    wait_until(lambda: tasks_of(home), 30, "a submitted task")
    reader = Reader(only_task(home))
    process = task_process(reader)
    started = process.create_time()
    engine = Endpoint.read(Home())

    ending(kernel)
    if ending is interrupt:
        outputs = kernel.outputs_of(sent)
        assert [o["ename"] for o in outputs if o["type"] == "error"] == ["Interrupted"]
    reader.read_lines(reader.text.count("\n") + 50)

    assert process.is_running()
    assert process.create_time() == started
    assert Endpoint.read(Home()) == engine
    again = kernel if ending is interrupt else kernels(project)
    if again is not kernel:
        again.run("%load_ext anylearn_jupyter")
    again.run("%anylearn_resume -o tasks")
    assert again.text("print(tasks[0].id, tasks[0].get_detail().phase)") == (
        f"{reader.task_id} running\n"
    )
    stop_file.touch()
    reader.read_to_the_end()
    lines = reader.text.splitlines()
    ticks = len(lines) - 2
    assert lines[1:] == [*(f"tick {n}" for n in range(1, ticks + 1)), "the end"]
    assert again.text("print(tasks[0].wait().phase)") == "succeeded\n"
