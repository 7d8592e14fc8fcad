"""What starts when, and what a task is at its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.engine import scheduler
from anylearn_jupyter.engine.machine import Machine
from anylearn_jupyter.engine.store import TaskRow
from anylearn_jupyter.engine.supervision import Ending, Situation, Stage
from anylearn_jupyter.entities import Exit, TaskPhase
from task_store import TaskStore, new_row

TWO = [{"default": {"CPU": 2}}]
ONE = [{"default": {"CPU": 1}}]


class Recorder:
    """A runner that only writes down what it is asked."""

    def __init__(self, cpus: int) -> None:
        self.machine = Machine(cpus=tuple(range(cpus)), gpus=(), memory_gib=4)
        self.known: dict[str, Situation] = {}
        self.asked: list[tuple[str, str]] = []

    def start(self, task: Any, allocation: Mapping[str, Any]) -> None:
        self.asked.append(("start", task.id))
        self.known[task.id] = Situation(stage=Stage.STARTING)

    def adopt(self, task: Any) -> Situation:
        self.asked.append(("adopt", task.id))
        return self.known.get(task.id, Situation(stage=Stage.NOTHING))

    def stop(self, task_id: str, *, force: bool = False) -> None:
        self.asked.append(("stop", task_id))

    def situation(self, task_id: str) -> Situation | None:
        return self.known.get(task_id)

    def forget(self, task_id: str) -> None:
        del self.known[task_id]

    def end(self, row: TaskRow, ending: Ending) -> None:
        self.known[row.id] = Situation(stage=Stage.ENDED, ending=ending)


@pytest.fixture
def store(tmp_path: Path) -> TaskStore:
    return TaskStore(tmp_path)


def phases(store: TaskStore) -> list[str]:
    return [str(row.phase) for row in store.tasks_in(tuple(TaskPhase))]


def test_a_task_that_waits_is_not_overtaken(store: TaskStore) -> None:
    runner = Recorder(cpus=2)
    rows = [new_row(resources=ONE), new_row(resources=TWO), new_row(resources=ONE)]
    store.add(*rows)

    scheduler.tick(store, runner, 1000)
    assert phases(store) == ["starting", "queued", "queued"]

    runner.end(rows[0], Ending(exit=Exit(kind="exit", number=0), started_ms=1001, finished_ms=1002))
    scheduler.tick(store, runner, 1003)
    assert phases(store) == ["succeeded", "starting", "queued"]
    assert store.row_of(rows[1].id).allocation["cpus"] == [0, 1]
    assert scheduler.quota_group(store, runner.machine)["allocated"] == {
        "CPU": 2,
        "Memory": 0,
        "GPU": 0,
    }
    scheduler.tick(store, runner, 1004)
    assert runner.asked == [("start", rows[0].id), ("start", rows[1].id)]


def test_a_group_runs_so_many_at_once_and_lets_the_others_pass(store: TaskStore) -> None:
    runner = Recorder(cpus=8)
    grouped = {"limit_group": "SWEP1", "group_limit": 2}
    rows = [new_row(**grouped) for _ in range(4)]
    stranger = new_row(limit_group="SWEP1", group_limit=2, creator_id="USER00bb")
    single = new_row()
    store.add(*rows, stranger, single)

    scheduler.tick(store, runner, 1000)
    assert phases(store) == ["starting", "starting", "queued", "queued", "starting", "starting"]

    runner.end(rows[1], Ending(exit=Exit(kind="exit", number=1), started_ms=1001, finished_ms=1002))
    scheduler.tick(store, runner, 1003)
    assert phases(store)[:4] == ["starting", "failed", "starting", "queued"]


def test_times_are_those_of_the_shim_and_never_run_backwards(store: TaskStore) -> None:
    runner = Recorder(cpus=1)
    row = new_row()
    store.add(row)
    scheduler.tick(store, runner, 5000)
    runner.known[row.id] = Situation(stage=Stage.RUNNING, started_ms=5005)
    scheduler.tick(store, runner, 5010)
    found = store.row_of(row.id)
    assert (found.phase, found.started_ms) == (TaskPhase.RUNNING, 5005)

    runner.end(row, Ending(exit=Exit(kind="unknown")))
    scheduler.tick(store, runner, 4000)

    assert store.row_of(row.id).finished_ms == 5005


@pytest.mark.parametrize(
    ("ending", "phase"),
    [
        (Ending(exit=Exit(kind="exit", number=0)), TaskPhase.SUCCEEDED),
        (Ending(exit=Exit(kind="exit", number=1)), TaskPhase.FAILED),
        (Ending(exit=Exit(kind="signal", number=9)), TaskPhase.FAILED),
        (Ending(exit=Exit(kind="start", message="no")), TaskPhase.FAILED),
        (Ending(exit=Exit(kind="unknown")), TaskPhase.LOST),
        (Ending(exit=Exit(kind="exit", number=0), stopped=True), TaskPhase.ABORTED),
        (Ending(exit=Exit(kind="signal", number=15), stopped=True), TaskPhase.ABORTED),
    ],
)
def test_the_last_phase(ending: Ending, phase: TaskPhase) -> None:
    assert scheduler.final_phase(ending) is phase


def test_a_stop_of_a_waiting_task_ends_it_at_once(store: TaskStore) -> None:
    runner = Recorder(cpus=1)
    row = new_row()
    store.add(row)

    assert scheduler.stop(store, runner, row.id, 1234)

    found = store.row_of(row.id)
    assert (found.phase, found.finished_ms) == (TaskPhase.ABORTED, 1234)
    assert runner.asked == []
    assert not scheduler.stop(store, runner, row.id, 1235)
    assert not scheduler.stop(store, runner, "TRAI" + "0" * 28, 1235)


def test_a_stop_of_a_running_task_asks_it_as_often_as_one_asks(store: TaskStore) -> None:
    runner = Recorder(cpus=1)
    row = new_row(phase=TaskPhase.RUNNING)
    store.add(row)

    assert scheduler.stop(store, runner, row.id, 1)
    assert scheduler.stop(store, runner, row.id, 2, force=True)

    assert store.row_of(row.id).phase is TaskPhase.STOPPING
    assert runner.asked == [("stop", row.id), ("stop", row.id)]


def test_a_task_that_this_machine_can_no_longer_serve_fails_and_lets_others_by(
    store: TaskStore,
) -> None:
    runner = Recorder(cpus=1)
    big, small = new_row(resources=TWO), new_row()
    store.add(big, small)

    scheduler.tick(store, runner, 1000)

    assert phases(store) == ["failed", "starting"]
    found = store.row_of(big.id).exit
    assert found is not None
    assert "CPU 2 and this machine has 1" in found.message


def test_adoption_starts_what_never_started_and_counts_what_lives(store: TaskStore) -> None:
    runner = Recorder(cpus=4)
    unstarted = new_row(phase=TaskPhase.STARTING)
    stopping = new_row(phase=TaskPhase.STOPPING)
    vanished = new_row(phase=TaskPhase.RUNNING)
    alive = new_row(phase=TaskPhase.RUNNING)
    asked = new_row(phase=TaskPhase.STOPPING)
    for row in (alive, asked):
        runner.known[row.id] = Situation(stage=Stage.RUNNING)
    store.add(unstarted, stopping, vanished, alive, asked)

    assert scheduler.adopt(store, runner, 1000) == 2

    assert phases(store) == ["starting", "aborted", "lost", "running", "stopping"]
    assert [one for one in runner.asked if one[0] != "adopt"] == [
        ("start", unstarted.id),
        ("stop", asked.id),
    ]


def test_the_group_tells_what_there_is(store: TaskStore) -> None:
    store.add(new_row(phase=TaskPhase.RUNNING, allocation={"CPU": 1, "GPU": 0, "Memory": 2}))

    group = scheduler.quota_group(store, Recorder(cpus=2).machine)

    assert group["name"] == group["id"] == "default"
    assert group["capacity"] == {"CPU": 2, "Memory": 4, "GPU": 0}
    assert group["default"] == {"CPU": 1, "Memory": 0, "GPU": 0}
    assert group["allocated"] == {"CPU": 1, "Memory": 2, "GPU": 0}
