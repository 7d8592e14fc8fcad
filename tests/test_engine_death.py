"""The engine is killed with -9 while tasks run, and started again (faults A2, A3, A10, A14)."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from anylearn_jupyter.engine.processes import Process, bearers
from anylearn_jupyter.engine.task_files import TaskFiles
from anylearn_jupyter.home import Home
from conftest import RunningEngine, engine_command
from engine_fixtures import Talker
from waiting import wait_until

COUNT = """
import os, sys, time
for number in range(1, 200001):
    sys.stdout.write(f"{number}\\n")
    while number % 50000 == 0 and not os.path.exists(f"go{number}"):
        sys.stdout.flush()
        time.sleep(0.02)
sys.exit(7)
"""

WAIT = """
import os, pathlib, signal, sys, time
with open("starts", "a") as starts: starts.write("started\\n")
print("ready", flush=True)
while not os.path.exists("go"): time.sleep(0.02)
how = pathlib.Path("go").read_text()
if how == "signal": os.kill(os.getpid(), signal.SIGSEGV)
sys.exit(int(how))
"""


@pytest.fixture
def talker(engine: RunningEngine, tmp_path: Path) -> Iterator[Talker]:
    """A user with some code on the engine."""
    made = Talker(Home(engine.home), address=engine.address)
    made.send_code(tmp_path / "project", {"count.py": COUNT, "wait.py": WAIT})
    yield made
    for record in Home(engine.home).engine.glob("tasks/*/shim.json"):
        shim = Process.from_record(json.loads(record.read_text()))
        if shim is not None and shim.alive:
            shim.send(signal.SIGTERM)


def files_of(talker: Talker, task_id: str) -> TaskFiles:
    return TaskFiles.of(talker.home.engine / "tasks", task_id)


def kill_engine(talker: Talker) -> None:
    pid = json.loads(engine_command("status", "--json").stdout)["pid"]
    process = Process.find(pid)
    assert process is not None
    assert process.send(signal.SIGKILL)
    wait_until(lambda: not process.alive, 10, "the engine is dead")


def start_engine(talker: Talker) -> None:
    engine_command("start")
    talker.address = json.loads(engine_command("status", "--json").stdout)["address"]


def go_on(talker: Talker, task_id: str, name: str = "go", how: str = "7") -> None:
    waiting = files_of(talker, task_id).code / f".{name}"
    waiting.write_text(how)
    waiting.rename(waiting.with_name(name))


def shim_of(talker: Talker, task_id: str) -> Process:
    found = Process.from_record(json.loads(files_of(talker, task_id).shim.read_text()))
    assert found is not None
    return found


def test_a_count_to_200000_survives_the_engines_death(talker: Talker) -> None:
    task = talker.add_task("python count.py")
    log = files_of(talker, task).log
    wait_until(lambda: log.exists() and b"\n50000\n" in log.read_bytes(), 60, "it counts")
    address = talker.address

    kill_engine(talker)
    go_on(talker, task, "go50000")
    wait_until(lambda: b"\n100000\n" in log.read_bytes(), 60, "it counts on without an engine")
    start_engine(talker)
    assert talker.task(task)["phase"] == "running"
    for number in (100_000, 150_000, 200_000):
        go_on(talker, task, f"go{number}")

    ended = talker.wait_end(task)
    assert (ended["phase"], ended["state"]) == ("failed", -2)
    assert ended["exit"] == {"kind": "exit", "number": 7, "message": ""}
    expected = [str(number) for number in range(1, 200_001)]
    assert talker.log(task).decode() == "\n".join(expected) + "\n"
    lines = [line for line in talker.published_lines(task) if not line.startswith("[Anylearn]")]
    assert lines == expected
    # Running tasks know the engine's address, so the next one listens there again.
    assert talker.address == address


@pytest.mark.parametrize(
    ("how", "phase", "ended"),
    [
        ("0", "succeeded", {"kind": "exit", "number": 0, "message": ""}),
        ("7", "failed", {"kind": "exit", "number": 7, "message": ""}),
        ("signal", "failed", {"kind": "signal", "number": 11, "message": ""}),
    ],
)
@pytest.mark.parametrize("when", ["during", "after"])
def test_the_true_end_is_told(
    talker: Talker, how: str, phase: str, ended: dict[str, object], when: str
) -> None:
    task = talker.add_task("exec python wait.py")
    talker.wait_phase(task, "running")
    files = files_of(talker, task)
    wait_until((files.code / "starts").exists, 20, "it has started")
    shim = shim_of(talker, task)

    kill_engine(talker)
    if when == "during":
        go_on(talker, task, how=how)
        wait_until(lambda: not shim.alive, 20, "the task has ended without an engine")
    start_engine(talker)
    if when == "after":
        assert shim.alive
        go_on(talker, task, how=how)

    found = talker.wait_end(task)
    assert (found["phase"], found["exit"]) == (phase, ended)
    assert found["started_ms"] <= found["finished_ms"]
    assert (files.code / "starts").read_text() == "started\n"
    assert shim_of(talker, task).pid == shim.pid


def test_the_queue_keeps_its_order_and_nothing_starts_twice(talker: Talker) -> None:
    cpus = len(os.sched_getaffinity(0))
    everything = json.dumps([{"default": {"CPU": cpus}}])
    tasks = [talker.add_task("python wait.py", resources=everything) for _ in range(3)]
    talker.wait_phase(tasks[0], "running")

    kill_engine(talker)
    start_engine(talker)

    for number, task in enumerate(tasks):
        talker.wait_phase(task, "running")
        assert [talker.task(later)["phase"] for later in tasks[number + 1 :]] == ["queued"] * (
            2 - number
        )
        go_on(talker, task, how=str(number))
        found = talker.wait_end(task)
        assert found["exit"]["number"] == number
        assert (files_of(talker, task).code / "starts").read_text() == "started\n"


def test_a_task_of_a_dead_engine_can_be_stopped(talker: Talker) -> None:
    task = talker.add_task("python wait.py")
    talker.wait_phase(task, "running")
    kill_engine(talker)
    start_engine(talker)

    talker.call("DELETE", "train_task/delete", id=task, force=0)

    found = talker.wait_end(task)
    assert (found["phase"], found["state"]) == ("aborted", -3)
    assert found["exit"]["message"] == "stopped on request"


def test_the_death_of_engine_shim_and_task_is_a_loss_and_frees_the_place(talker: Talker) -> None:
    cpus = len(os.sched_getaffinity(0))
    everything = json.dumps([{"default": {"CPU": cpus}}])
    task = talker.add_task("python wait.py", resources=everything)
    follower = talker.add_task("true", resources=everything)
    talker.wait_phase(task, "running")
    shim = shim_of(talker, task)
    mark = f"ANYLEARN_TASK_ID={task}".encode()

    kill_engine(talker)
    assert shim.send(signal.SIGKILL)
    start_engine(talker)

    found = talker.wait_phase(task, "lost", timeout_s=10)
    assert (found["state"], found["exit"]["kind"]) == (-3, "unknown")
    assert bearers(mark, not_before=shim.start) == []
    assert talker.wait_end(follower)["phase"] == "succeeded"


def test_an_engine_that_is_stopped_leaves_its_tasks(talker: Talker) -> None:
    task = talker.add_task("python wait.py")
    talker.wait_phase(task, "running")
    shim = shim_of(talker, task)

    engine_command("stop")
    assert shim.alive
    go_on(talker, task, how="7")
    wait_until(lambda: not shim.alive, 20, "the task has ended")
    start_engine(talker)

    assert talker.wait_end(task)["exit"]["number"] == 7
