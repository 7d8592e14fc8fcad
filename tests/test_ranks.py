"""Distributed tasks: real processes on this machine, one log, one failure ends all."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.engine.ranks import LINE_BYTES, METRIC_MARK, Lines
from anylearn_jupyter.tracking import METRIC_MARK as MARK_OF_TRACKING
from engine_home import EngineHome, shared_engine
from published import PublishedClient
from shim_fixtures import ShimTask, make_task, python, task
from waiting import wait_until

__all__ = ["make_task", "shared_engine", "task"]

NAMES = (
    "MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
    "NODE_RANK",
)  # fmt: skip


def start(task: ShimTask, code: str, *, nodes: int = 1, each: int = 2, grace_s: float = 5) -> None:
    """Start a distributed task as `launch.prepare` writes it down."""
    import shlex
    import sys

    from anylearn_jupyter.engine import ranks

    words = (sys.executable, "-I", ranks.__file__, str(task.files.root))
    task.start(
        f"exec {shlex.join(words)}", rank_command=python(code), num_nodes=nodes,
        nproc_per_node=each, stop_grace_s=grace_s,
    )  # fmt: skip


def run(task: ShimTask, code: str, **options: Any) -> dict[str, Any]:
    start(task, code, **options)
    return task.wait()


def lines_of(task: ShimTask) -> list[str]:
    return task.log().decode().splitlines()


def test_every_process_has_the_variables_of_its_rank(task: ShimTask) -> None:
    code = f"import json, os; print(json.dumps({{name: os.environ[name] for name in {NAMES}}}))"

    ended = run(task, code, nodes=2, each=2)

    assert (ended["kind"], ended["number"]) == ("exit", 0), task.log()
    found = {}
    for line in lines_of(task):
        prefix, _, text = line.partition("] ")
        found[prefix] = json.loads(text)
    assert set(found) == {f"[rank {number}" for number in range(4)}
    places = [
        tuple(int(found[f"[rank {number}"][name]) for name in ("RANK", "NODE_RANK", "LOCAL_RANK"))
        for number in range(4)
    ]
    assert places == [(0, 0, 0), (1, 0, 1), (2, 1, 0), (3, 1, 1)]
    common = {
        (one["MASTER_ADDR"], one["MASTER_PORT"], one["WORLD_SIZE"], one["LOCAL_WORLD_SIZE"])
        for one in found.values()
    }
    ((address, port, world, local),) = common
    assert (address, world, local) == ("127.0.0.1", "4", "2")
    assert 1024 < int(port) < 65536


def test_they_meet_at_the_masters_address(task: ShimTask) -> None:
    """As `torch.distributed` does: rank 0 listens, the others come."""
    code = """
import os, socket, time
place = (os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]))
if os.environ["RANK"] == "0":
    with socket.create_server(place) as server:
        for _ in range(2):
            print("met", server.accept()[0].recv(100).decode())
else:
    while True:
        try:
            with socket.create_connection(place) as other:
                other.sendall(os.environ["RANK"].encode())
            break
        except ConnectionRefusedError:
            time.sleep(0.02)
"""
    ended = run(task, code, each=3)
    assert ended["number"] == 0
    assert sorted(lines_of(task)) == ["[rank 0] met 1", "[rank 0] met 2"]


def test_one_failure_ends_all_and_is_the_tasks_own(task: ShimTask) -> None:
    code = """
import os, sys, time
print("up", flush=True)
if os.environ["RANK"] == "1":
    time.sleep(0.3)
    sys.exit(7)
time.sleep(300)
"""
    ended = run(task, code, each=3)

    assert (ended["kind"], ended["number"]) == ("exit", 7)
    assert "[Anylearn] rank 1 ended with exit code 7, so the other ranks are ended." in lines_of(
        task
    )
    assert not task.relatives()


def test_a_rank_that_ignores_the_end_is_killed_and_a_signal_is_told(task: ShimTask) -> None:
    code = """
import os, signal, time
if os.environ["RANK"] == "0":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    time.sleep(300)
time.sleep(0.5)
os.kill(os.getpid(), signal.SIGSEGV)
"""
    ended = run(task, code, grace_s=0.5)

    assert (ended["kind"], ended["number"]) == ("signal", signal.SIGSEGV)
    assert not task.relatives()


def test_a_stop_reaches_every_rank(task: ShimTask) -> None:
    code = """
import signal, sys, time
def end(*_):
    print("saved", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(300)
"""
    start(task, code)
    for rank in range(2):
        task.wait_for_log(b"[rank %d] up" % rank)

    task.ask_to_stop()

    ended = task.wait()
    assert ended["stopped"]
    assert not task.relatives()
    assert sorted(line for line in lines_of(task) if "saved" in line) == [
        "[rank 0] saved", "[rank 1] saved",
    ]  # fmt: skip


def test_much_output_of_all_ranks_stays_whole_lines(task: ShimTask) -> None:
    code = """
import os, sys
for number in range(20_000):
    print("x" * 60, os.environ["RANK"], number)
    if number % 1000 == 0:
        print("err", number, file=sys.stderr, flush=True)
"""
    assert run(task, code, each=3)["number"] == 0

    lines = lines_of(task)
    for rank in range(3):
        own = [line for line in lines if line.startswith(f"[rank {rank}] x")]
        expected = [f"[rank {rank}] {'x' * 60} {rank} {number}" for number in range(20_000)]
        assert own == expected
    assert len(lines) == 3 * 20_020


# Lines.


def test_the_mark_is_that_of_tracking() -> None:
    assert MARK_OF_TRACKING.encode() == METRIC_MARK


def test_reports_of_rank_0_alone_are_read_by_views() -> None:
    report = METRIC_MARK + b'{"loss": 1}\n'
    assert Lines(0).feed(report, 0) == report
    assert Lines(1).feed(report, 0) == b"[rank 1] " + report


def test_a_line_in_parts_is_one_line() -> None:
    lines = Lines(2)
    assert lines.feed(b"a", 0) == b""
    assert lines.feed(b"b\nc", 0) == b"[rank 2] ab\n"
    assert lines.end() == b"[rank 2] c\n"
    assert lines.end() == b""


def test_a_bar_is_shown_once_a_second_as_it_is_then() -> None:
    lines = Lines(0)
    assert lines.feed(b"\r 10%", 10.0) == b"[rank 0]  10%\n"
    assert lines.feed(b"\r 20%", 10.5) == b""
    assert lines.feed(b"\r 30%", 11.1) == b"[rank 0]  30%\n"
    assert lines.feed(b"\r100%\n", 11.2) == b"[rank 0] \r100%\n"


def test_a_line_without_end_is_passed_on_in_parts() -> None:
    lines = Lines(0)
    found = lines.feed(b"x" * (LINE_BYTES + 5), 0)
    assert found == b"[rank 0] " + b"x" * (LINE_BYTES + 5) + b"\n"
    assert lines.feed(b"y\n", 0) == b"[rank 0] y\n"


# By the engine.


@pytest.fixture(scope="module")
def ada(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("ada", "lovelace")
    return PublishedClient.login(shared_engine.address, "ada", "lovelace")


@pytest.fixture
def add(ada: PublishedClient, tmp_path: Path) -> Callable[..., str]:
    """Add a distributed task of this code."""

    def do(code: str, **fields: Any) -> str:
        algorithm = ada.ask("GET", "algorithm/custom", name=tmp_path.name)
        assert algorithm.status_code == 404
        made, commit = ada.send_code(tmp_path.name, tmp_path / "code", {"go.py": code})
        return ada.change(
            "POST", "train_task/add", name="t", project_id=ada.one("project/default")["id"],
            algorithm_id=made, algorithm_git_ref=commit, train_params='{"lr": [1, 2]}',
            entrypoint="python go.py", **fields,
        )  # fmt: skip

    return do


def test_the_engine_runs_a_distributed_task(ada: PublishedClient, add: Callable[..., str]) -> None:
    code = """
import os, pathlib, sys
print(sys.argv[1:], os.environ["RANK"], os.environ["WORLD_SIZE"])
out = pathlib.Path("output")
out.mkdir(exist_ok=True)
(out / os.environ["RANK"]).write_text("1")
"""
    made = add(code, num_nodes=2, nproc_per_node=2)

    found = ada.wait_end(made)
    lines = [one["text"] for one in ada.call("GET", "train_task/logs", id=made)]
    assert found["state"] == 2, lines
    assert (found["num_nodes"], found["nproc_per_node"]) == (2, 2)
    assert {line for line in lines if line.startswith("[rank")} == {
        f"[rank {rank}] ['--lr', '1', '2'] {rank} 4" for rank in range(4)
    }
    assert set(ada.call("GET", "resource/listdir", file_id=found["results_id"])) == set("0123")


def test_a_distributed_task_is_stopped_and_leaves_no_process(
    ada: PublishedClient, add: Callable[..., str]
) -> None:
    made = add("import time; print('up', flush=True); time.sleep(300)", nproc_per_node=3)

    def up() -> bool:
        lines = [one["text"] for one in ada.call("GET", "train_task/logs", id=made)]
        return {f"[rank {rank}] up" for rank in range(3)} <= set(lines)

    wait_until(up, 20, "all ranks run")
    ada.change("DELETE", "train_task/delete", id=made)

    assert ada.wait_end(made)["state"] == -3
    from anylearn_jupyter.engine.processes import bearers

    assert not bearers(f"ANYLEARN_TASK_ID={made}".encode(), not_before=0)
