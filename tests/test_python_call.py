"""`train()` means what the cell means: the same request for the same options, word for word."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import anylearn_jupyter
from anylearn_jupyter import train
from anylearn_jupyter.errors import OptionError, TaskFailed
from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.python_call import training_of
from anylearn_jupyter.notebook.training import Training, training
from anylearn_jupyter.submit.planning import Plan
from anylearn_jupyter.submit.sweep import Sweep
from anylearn_jupyter.submit.task import TrainTask
from engine_home import of_the_engine, shared_engine

__all__ = ["of_the_engine", "shared_engine"]

SCRIPT = """
import argparse, sys
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--title")
parser.add_argument("--amp", action="store_true")
parser.add_argument("--data")
parser.add_argument("--net")
parser.add_argument("--code", type=int, default=0)
print(sys.argv[1:])
sys.exit(parser.parse_args().code)
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project"
    (directory / "numbers").mkdir(parents=True)
    (directory / "numbers" / "a.txt").write_text("1")
    (directory / "train.py").write_text(SCRIPT, encoding="utf-8")
    (directory / "p.json").write_text('{"lr": 0.5}')
    monkeypatch.chdir(directory)
    return directory


def asked_by_call(*positional: Any, **named: Any) -> Training:
    bound = inspect.signature(train).bind(*positional, **named)
    bound.apply_defaults()
    return training_of(bound.arguments)


def asked_by_cell(line: str, body: str = "", **variables: Any) -> Training:
    parser = parser_of(AnylearnMagics.anylearn_train)
    return training(parse_line(parser, line, body=True), body, Names(variables))


DATASET = "DSET" + "0" * 28
ODD = "it's $HOME\n{x} \"#"


@pytest.mark.parametrize(
    ("line", "body", "positional", "named"),
    [
        ("train.py", "", ("train.py",), {}),
        ("train.py", "lr = {v}\namp = {yes}", ("train.py", {"lr": 1e-3, "amp": True}), {}),
        ("train.py", "title = {odd}", ("train.py", {"title": ODD}), {}),
        ("train.py --params p.json", "", (Path("train.py"), "p.json"), {}),
        (
            "train.py -d data=numbers --model net={mode}", "",
            ("train.py",), {"data": {"data": "numbers"}, "model": [f"net=MODE{'0' * 28}"]},
        ),
        (
            "train.py -r CPU=2 -r Memory=4 --env A={odd} -n x -p proj", "",
            ("train.py",),
            {"resources": {"CPU": 2, "Memory": 4}, "env": {"A": ODD}, "name": "x",
             "project": "proj"},
        ),
        (
            "train.py --quota-group-name lab --quota-group-request {q} --timeout 2h --retry 3", "",
            ("train.py",),
            {"quota_group_name": "lab", "quota_group_request": {"CPU": 1}, "timeout": "2h",
             "retry": 3},
        ),
        (
            "-m pkg --include '*.bin' --exclude a --exclude b --num-nodes 2 --output out", "",
            (), {"module": "pkg", "include": "*.bin", "exclude": ["a", "b"], "num_nodes": 2,
                 "output": "out"},
        ),
        (
            "train.py --dataset-id {dset} --dataset-hyperparam-name data --require-clean "
            "--resource-polling 0.5", "",
            ("train.py",),
            {"dataset_id": DATASET, "dataset_hyperparam_name": "data", "require_clean": True,
             "resource_polling": 0.5},
        ),
        ("--code", "lr = {v}\n---\nprint(lr)", (None, {"lr": 1e-3}), {"code": "print(lr)"}),
        (
            "train.py --sweep grid --parallel 2", "title = {odd}\nlr in {three}",
            ("train.py", {"title": ODD}),
            {"search": {"lr": (0.1, 0.2, 0.3)}, "sweep": "grid", "parallel": 2},
        ),
        (
            "train.py --sweep random:4,seed=1", "lr in log(1e-4, 1e-1)",
            ("train.py",), {"search": {"lr": "log(1e-4, 1e-1)"}, "sweep": "random:4,seed=1"},
        ),
        (
            "train.py --hyperparams {shell} --hyperparams-prefix +", "",
            ("train.py",), {"hyperparams": {"lr": "1 2"}, "hyperparams_prefix": "+"},
        ),
    ],
)  # fmt: skip
def test_a_call_asks_for_what_the_cell_asks_for(
    line: str, body: str, positional: tuple[Any, ...], named: dict[str, Any]
) -> None:
    by_cell = asked_by_cell(
        line,
        body,
        v=1e-3,
        yes=True,
        odd=ODD,
        three=[0.1, 0.2, 0.3],
        q={"CPU": 1},
        shell={"lr": "1 2"},
        dset=DATASET,
        mode=f"MODE{'0' * 28}",
    )
    by_call = asked_by_call(*positional, **named)
    assert by_call.request == by_cell.request
    assert by_call.notes == by_cell.notes
    if by_cell.sweep is None:
        assert by_call.sweep is None
    else:
        assert by_call.sweep is not None
        assert by_call.sweep.points == by_cell.sweep.points


def test_a_mistake_is_the_same_sentence() -> None:
    with pytest.raises(OptionError, match="did you mean 'lr'"):
        asked_by_call("train.py", {"lrr": 1})
    with pytest.raises(OptionError, match="given twice"):
        asked_by_call("train.py", {"data": 1}, data={"data": "numbers"})
    with pytest.raises(TypeError, match="unexpected keyword"):
        train("train.py", nmae="x")  # type: ignore[call-arg]


def test_what_the_caller_gave_is_not_changed() -> None:
    params, data = {"lr": 0.1}, {"data": "numbers"}
    asked_by_call("train.py", params, data=data)
    assert (params, data) == ({"lr": 0.1}, {"data": "numbers"})


@pytest.mark.usefixtures("of_the_engine")
def test_a_call_trains_plans_sweeps_and_raises() -> None:
    told = train("train.py", {"lr": 0.1}, data={"data": "numbers"}, plan=True)
    assert isinstance(told, Plan)
    assert told.upload_bytes == 1
    task = train("train.py", {"title": ODD}, data={"data": "numbers"}, block=True)
    assert isinstance(task, TrainTask)
    assert repr(ODD) in task.log_text()
    again = train("train.py", {"title": ODD}, data={"data": "numbers"}, reuse=True)
    assert isinstance(again, TrainTask)
    assert again.id == task.id
    assert task.id in {one.id for one in anylearn_jupyter.recent_tasks(5)}
    made = train("train.py", search={"lr": [0.1, 0.2]}, block=True)
    assert isinstance(made, Sweep)
    assert [one.phase for one in made.tasks] == ["succeeded", "succeeded"]
    with pytest.raises(TaskFailed, match="exit code 3"):
        train("train.py", {"code": 3}, block=True)
