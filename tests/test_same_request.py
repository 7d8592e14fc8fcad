"""The same asked again is known as the same: its digest is stable, and the ledger finds it (C7)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.planning import plan
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from engine_home import of_the_engine, shared_engine

__all__ = ["of_the_engine", "shared_engine"]

pytestmark = pytest.mark.usefixtures("of_the_engine")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    (directory / "numbers").mkdir(parents=True)
    # Each test's own code: a digest knows no test, and the ledger is the module's.
    (directory / "train.py").write_text(f"print({tmp_path.name!r})\n", encoding="utf-8")
    (directory / "numbers" / "a.txt").write_text("1\n", encoding="utf-8")
    return directory


def request_of(project: Path) -> TrainRequest:
    return TrainRequest(
        entrypoint="python train.py",
        algorithm_dir=project,
        data=(DataInput("data", path=project / "numbers"),),
        hyperparams=(("lr", 0.1),),
        project_name=project.parent.name,
        working_dir=project,
    )


def nothing(project: Path) -> TrainRequest:
    return request_of(project)


def touched(project: Path) -> TrainRequest:
    for path in project.rglob("*"):
        os.utime(path, (1, 1))
    return request_of(project)


def written_again(project: Path) -> TrainRequest:
    shutil.copytree(project, project.parent / "copy")
    shutil.rmtree(project)
    shutil.copytree(project.parent / "copy", project)
    return request_of(project)


def data_moved(project: Path) -> TrainRequest:
    shutil.copytree(project / "numbers", project.parent / "elsewhere")
    data = (DataInput("data", path=project.parent / "elsewhere"),)
    return replace(request_of(project), data=data, exclude=("numbers",))


def named(project: Path) -> TrainRequest:
    return replace(request_of(project), task_name="another name")


@pytest.mark.parametrize("change", [nothing, touched, written_again, data_moved, named])
def test_an_unchanged_input_is_found_in_the_ledger_by_its_digest(
    change: Callable[[Path], TrainRequest], project: Path
) -> None:
    first = submit(request_of(project))
    again = change(project)
    digest = plan(again).facts.digest
    with Ledger() as ledger:
        assert [found.id for found in ledger.with_digest(digest)] == [first.task.id]
    second = submit(again)
    with Ledger() as ledger:
        found = ledger.with_digest(digest)
    assert [one.id for one in found] == [second.task.id, first.task.id], "newest first"
    assert {one.working_dir for one in found} == {str(project)}


def code_edited(project: Path) -> TrainRequest:
    (project / "train.py").write_text("print(2)\n", encoding="utf-8")
    return request_of(project)


def data_edited(project: Path) -> TrainRequest:
    (project / "numbers" / "a.txt").write_text("2\n", encoding="utf-8")
    return request_of(project)


def other_value(project: Path) -> TrainRequest:
    return replace(request_of(project), hyperparams=(("lr", 0.2),))


@pytest.mark.parametrize("change", [code_edited, data_edited, other_value])
def test_a_changed_input_is_another_request(
    change: Callable[[Path], TrainRequest], project: Path
) -> None:
    submit(request_of(project))
    digest = plan(change(project)).facts.digest
    with Ledger() as ledger:
        assert ledger.with_digest(digest) == []


AGAIN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_same_request import request_of
from anylearn_jupyter.submit.planning import plan
print(plan(request_of(Path(sys.argv[2]))).facts.digest)
"""


def test_another_kernel_finds_it_too(project: Path) -> None:
    made = submit(request_of(project))
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, str(Path(__file__).parent), str(project)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    with Ledger() as ledger:
        (found,) = ledger.with_digest(done.stdout.strip())
    assert found.id == made.task.id
