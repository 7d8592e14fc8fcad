"""A sweep on a real engine: one snapshot and one upload, each task once, and what follows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.client.connection import current_connection, disconnect
from anylearn_jupyter.errors import NotFound, OptionError, TaskFailed, WaitEnded
from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.training import training
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.sweep import Sweep, sweep_of
from anylearn_jupyter.submit.sweeping import submit_sweep
from anylearn_jupyter.submit.tasks import find_task
from conftest import engine_command
from waiting import wait_until

SCRIPT = """
import argparse, os, sys, time
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--batch", type=int, choices=[16, 32, 64])
parser.add_argument("--data")
parser.add_argument("--until", type=Path)
options = parser.parse_args()
for step in (1, 2, 3):
    loss = options.lr * 10 + abs(2 - step)
    print(f'[anylearn-metric] {{"step": {step}, "loss": {loss}}}', flush=True)
while options.until and not options.until.exists(): time.sleep(0.02)
if options.lr > 0.5 and not Path(os.environ.get("MENDED", "none")).exists(): sys.exit(7)
"""

Submit = Callable[..., Sweep]


@pytest.fixture
def work(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Stand in a directory with a script; whatever engine is started ends with the test."""
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "train.py").write_text(SCRIPT, encoding="utf-8")
    (directory / "numbers").mkdir()
    (directory / "numbers" / "a.txt").write_text("1" * 1000, encoding="utf-8")
    monkeypatch.chdir(directory)
    yield directory
    disconnect()
    engine_command("stop", "--tasks", check=False)


@pytest.fixture
def submit(work: Path) -> Submit:
    """Return a function that submits a cell's sweep."""

    def call(line: str, body: str, *, reuse: bool = False, **variables: object) -> Sweep:
        given = parse_line(parser_of(AnylearnMagics.anylearn_train), line, body=True)
        wanted = training(given, body, Names(variables))
        assert wanted.sweep is not None
        return submit_sweep(wanted.sweep, reuse=reuse)

    return call


def counters() -> dict[str, Any]:
    found: dict[str, Any] = current_connection().api.http.get("engine/counters")
    return found


GRID = "lr in [0.1, 0.2]\nbatch in (16, 32)"


def test_all_share_code_and_data_and_show_their_values(submit: Submit) -> None:
    sweep = submit("train.py -n digits -d data=numbers", GRID)
    assert [task.name for task in sweep.tasks] == [
        "digits-1,lr=0.1,batch=16",
        "digits-2,lr=0.1,batch=32",
        "digits-3,lr=0.2,batch=16",
        "digits-4,lr=0.2,batch=32",
    ]
    assert sweep.values[2] == {"lr": 0.2, "batch": 16}
    assert counters()["uploads_finished"] == 1
    facts = [task.facts for task in sweep.tasks]
    assert len({fact.snapshot_id for fact in facts if fact is not None}) == 1
    assert sweep.wait(60) == {"succeeded": 4}
    sweep.raise_if_failed()
    assert sweep.finished
    server = os.environ.get("ANYLEARN_HOST", "local")
    assert repr(sweep) == f"<Sweep 'digits' of 4: 4 succeeded, id {sweep.id}, on {server}>"
    told = sweep.tasks[3].record.profile["sweep"]
    assert (told["id"], told["index"], told["count"]) == (sweep.id, 3, 4)
    assert told["values"] == [["lr", 0.2], ["batch", 32]]


def test_the_best_and_the_rows_come_from_the_logs(submit: Submit) -> None:
    sweep = submit("train.py --sweep random:3,seed=4", "lr in log(1e-3, 1e-1)")
    assert str(sweep.kind) == "random:3,seed=4"
    sweep.wait(60)
    lowest = min(sweep.values, key=lambda values: values["lr"])
    assert sweep.values[sweep.tasks.index(sweep.best())] == lowest
    assert sweep.best("loss", "max") is not sweep.best("loss", "min")
    row = sweep.rows()[0]
    assert list(row) == [
        "task", "name", "lr", "state", "seconds", "loss", "loss.min", "loss.max",
    ]  # fmt: skip
    assert row["loss"] == row["loss.max"] == row["loss.min"] + 1
    with pytest.raises(NotFound, match="tells the metric 'acc'; they tell loss"):
        sweep.best("acc")
    with pytest.raises(OptionError, match="neither 'min' nor 'max'"):
        sweep.best("loss", "lowest")


def test_the_results_are_a_frame_that_pandas_works_with(submit: Submit) -> None:
    sweep = submit("train.py -n digits", "lr in [0.2, 0.1, 0.9]\nbatch in (16, 32)")
    sweep.wait(60)
    frame = sweep.results_frame()
    assert list(frame.columns) == [
        "task", "name", "lr", "batch", "state", "seconds", "loss", "loss.min", "loss.max",
    ]  # fmt: skip
    assert list(frame["task"]) == [task.id for task in sweep.tasks]
    assert str(frame["lr"].dtype) == "float64"
    assert str(frame["batch"].dtype) == "int64"
    assert (frame["seconds"] >= 0).all()
    best = frame.sort_values("loss.min").iloc[0]
    assert (best["lr"], best["loss.min"]) == (0.1, 1.0)
    assert frame.groupby("state").size().to_dict() == {"failed": 2, "succeeded": 4}
    assert frame.pivot(index="lr", columns="batch", values="loss").shape == (3, 2)


def test_without_pandas_an_error_names_it(submit: Submit, tmp_path: Path) -> None:
    sweep = submit("train.py", "lr in [0.1, 0.2]")
    sweep.wait(60)
    # Also where it is installed for these tests: a package of that name that cannot be imported.
    without = tmp_path / "without" / "pandas"
    without.mkdir(parents=True)
    (without / "__init__.py").write_text("raise ImportError('there is none')", encoding="utf-8")
    code = f"""
from anylearn_jupyter.submit.sweep import sweep_of
from anylearn_jupyter.submit.tasks import find_task
sweep_of(find_task({sweep.tasks[0].id!r})).results_frame()
"""
    path = os.pathsep.join([str(without.parent), str(Path(__file__).parent.parent)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert "%pip install pandas" in done.stderr


def test_so_many_run_at_once_and_no_kernel_need_live(submit: Submit, work: Path) -> None:
    until = work.parent / "until"
    sweep = submit("train.py --parallel 1", f"lr in [0.1, 0.2, 0.3]\nuntil = {until}")

    def running() -> bool:
        sweep.refresh()
        return sweep.counts() == {"running": 1, "queued": 2}

    # This machine has room for as many as it has processors, and only one may run.
    wait_until(running, 30, "one runs and two wait")
    with pytest.raises(WaitEnded, match="3 tasks of the sweep train"):
        sweep.wait(0.2)
    until.touch()
    assert sweep.wait(60) == {"succeeded": 3}


def test_stopping_all_and_the_worse_half(submit: Submit, work: Path) -> None:
    until = work.parent / "until"
    amounts = "--quota-group-name default --quota-group-request CPU=0"
    sweep = submit(f"train.py {amounts}", f"lr in [0.4, 0.1, 0.3, 0.2]\nuntil = {until}")

    def told() -> bool:
        sweep.refresh()
        return sweep.counts() == {"running": 4} and all("loss" in one for one in sweep.extents())

    wait_until(told, 30, "all run and have told their loss")
    assert [task.name for task in sweep.stop_worst_half()] == ["train-1,lr=0.4", "train-3,lr=0.3"]
    wait_until(
        lambda: (sweep.refresh(), sweep.counts())[1] == {"aborted": 2, "running": 2},
        30,
        "two are stopped",
    )
    sweep.stop()
    assert sweep.wait(30) == {"aborted": 4}
    assert sweep.retry_failed() == [], "what was stopped is not tried again"


def test_what_failed_is_tried_again_in_its_place(submit: Submit, work: Path) -> None:
    mended = work.parent / "mended"
    sweep = submit(f"train.py --env MENDED={mended}", "lr in [0.1, 0.9, 0.95]")
    assert sweep.wait(60) == {"succeeded": 1, "failed": 2}
    with pytest.raises(TaskFailed, match="2 of 3 trainings of the sweep train") as caught:
        sweep.raise_if_failed()
    assert caught.value.exit_code == 7
    before = sweep.tasks
    mended.touch()
    again = sweep.retry_failed()
    assert [task.name for task in again] == [task.name for task in before[1:]]
    assert sweep.tasks[0] is before[0]
    assert sweep.wait(60) == {"succeeded": 3}

    found = sweep_of(find_task(before[1].id))
    assert found is not None
    assert [task.id for task in found.tasks] == [task.id for task in sweep.tasks]
    assert sweep_of(again[0]) is not None


def test_the_same_sweep_again_shows_what_there_is(submit: Submit) -> None:
    first = submit("train.py", "lr in [0.1, 0.9]")
    first.wait(60)
    again = submit("train.py", "lr in [0.1, 0.9]", reuse=True)
    assert (again.id, again.reused) == (first.id, 1)
    assert again.tasks[0].id == first.tasks[0].id
    assert again.tasks[1].id != first.tasks[1].id, "what failed is trained again"
    other = submit("train.py", "lr in [0.1, 0.9]")
    assert other.id != first.id
    assert other.reused == 0


def submitted_until_killed(
    work: Path, owner: str, method: str, last: int, line: str, body: str
) -> None:
    """Submit a sweep in a process that is killed in the last of so many calls of a method."""
    code = f"""
import os, signal
from anylearn_jupyter.client.api import Api
from anylearn_jupyter.submit import sweeping
from anylearn_jupyter.submit.ledger import Ledger
done = []
real = {owner}.{method}
def dying(self, *args, **kwargs):
    done.append(args)
    if "{owner}" == "Api": made = real(self, *args, **kwargs)
    if len(done) == {last}: os.kill(os.getpid(), signal.SIGKILL)
    return made if "{owner}" == "Api" else real(self, *args, **kwargs)
{owner}.{method} = dying
sweeping._AT_ONCE = 1
from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.training import training
given = parse_line(parser_of(AnylearnMagics.anylearn_train), {line!r}, body=True)
sweeping.submit_sweep(training(given, {body!r}, Names({{}})).sweep)
"""
    died = subprocess.run(
        [sys.executable, "-c", code], cwd=work, timeout=60, capture_output=True, text=True
    )
    assert died.returncode == -signal.SIGKILL, died.stderr


@pytest.mark.parametrize(("owner", "method"), [("Api", "add_task"), ("Ledger", "record_task")])
@pytest.mark.parametrize("last", [1, 3])
def test_a_submission_that_broke_off_goes_on_and_makes_none_twice(
    submit: Submit, work: Path, owner: str, method: str, last: int
) -> None:
    """A7: the process is killed when the server has made a task and no record of it is written."""
    line = "train.py" if "ANYLEARN_HOST" in os.environ else "train.py --parallel 4"
    body = "lr in {[n / 100 for n in range(10)]}"
    submitted_until_killed(work, owner, method, last, line, body)
    sweep = submit(line, body)
    assert len(sweep.tasks) == 10
    assert sweep.reused == last - 1, "the last one was created, and its record was not written"
    assert counters()["tasks_created"] == 10
    assert sweep.wait(60) == {"succeeded": 10}
    with Ledger() as ledger:
        assert len(ledger.tasks()) == 10


def test_a_limit_holds_for_a_task_of_which_no_record_was_written(
    submit: Submit, work: Path
) -> None:
    until = work.parent / "until"
    line, body = "train.py --parallel 1", f"lr in [0.1, 0.2, 0.3]\nuntil = {until}"
    submitted_until_killed(work, "Api", "add_task", 1, line, body)
    sweep = submit(line, body)
    wait_until(
        lambda: (sweep.refresh(), sweep.counts())[1].get("running"), 30, "the first one runs"
    )
    assert sweep.counts() == {"running": 1, "queued": 2}
    until.touch()
    assert sweep.wait(60) == {"succeeded": 3}


def test_a_server_that_keeps_no_limit_is_said_before_anything_is_sent(
    submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = current_connection().api
    monkeypatch.setattr(
        api, "_capabilities", {k: v for k, v in api.capabilities.items() if k != "group_limit"}
    )
    with pytest.raises(OptionError, match="--parallel cannot be kept"):
        submit("train.py --parallel 2", GRID)
    assert counters()["tasks_created"] == 0
    assert json.loads(engine_command("status", "--json").stdout)
