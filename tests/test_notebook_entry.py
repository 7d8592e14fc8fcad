"""``%%anylearn_train train.ipynb``: from a notebook to its executed copy among the results."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from anylearn_jupyter.entities import TaskPhase
from anylearn_jupyter.errors import OptionError, TaskFailed
from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.cell_text import cell_text
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.grammar import read_setting
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.retrying import changed
from anylearn_jupyter.notebook.training import Training, training
from anylearn_jupyter.submit import notebook_runner
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.planning import plan
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.sweeping import submit_sweep
from anylearn_jupyter.submit.task import TrainTask
from conftest import engine_command
from engine_home import of_the_engine, shared_engine
from kernel_fixtures import RealKernel, kernels
from waiting import wait_until

__all__ = ["kernels", "of_the_engine", "shared_engine"]

PARSER = parser_of(AnylearnMagics.anylearn_train)
PARAMETERS = """
# What can be changed.
lr = 0.1
epochs: int = 3
name = "resnet"
betas = [0.9, 0.999]
amp = False
data = None
computed = 2 ** 3
"""
CELLS = (
    "import sys\nfrom pathlib import Path\nfrom helper import DOUBLE",
    "print('training', name, lr * DOUBLE, epochs, betas, amp)",
    "print('trouble', file=sys.stderr)\n'a value'",
    "if data: print(sorted(one.name for one in Path(data).iterdir()))",
)


def write_notebook(path: Path, *cells: str, parameters: str | None = PARAMETERS) -> None:
    notebook = nbformat.v4.new_notebook(metadata={
        "kernelspec": {"name": "some-other", "language": "python", "display_name": "x"},
    })  # fmt: skip
    if parameters is not None:
        tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
        notebook.cells = [nbformat.v4.new_markdown_cell("# Title"), tagged]
    notebook.cells += [nbformat.v4.new_code_cell(one) for one in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(notebook), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project"
    write_notebook(directory / "train.ipynb", *CELLS)
    (directory / "helper.py").write_text("DOUBLE = 2\n", encoding="utf-8")
    (directory / "numbers").mkdir()
    (directory / "numbers" / "a.txt").write_text("1\n", encoding="utf-8")
    monkeypatch.chdir(directory)
    return directory


def asked(line: str, body: str = "", **variables: object) -> Training:
    return training(parse_line(PARSER, line, body=True), body, Names(variables))


def request_of(line: str, body: str = "", **variables: object) -> TrainRequest:
    return asked(line, body, **variables).request


def trained(line: str, body: str = "") -> TrainTask:
    task = submit(request_of(line, body)).task
    task.wait(120)
    return task


def executed(task: TrainTask, to: Path, name: str = "train.ipynb") -> Any:
    """Give the notebook that a task has left among its results."""
    task.results(to=to, wait=False)
    (path,) = to.rglob(name)
    return nbformat.read(path, as_version=4)


def said(notebook: Any) -> str:
    return "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )


# What is asked for.


def test_values_are_arguments_of_what_executes_it(project: Path) -> None:
    request = request_of("train.ipynb -d data=numbers", "lr = 1e-3\nname = '1'\namp\nbetas = [1]")
    assert request.entrypoint == ("python anylearn_notebook.py train.ipynb output/train.ipynb data")
    assert request.arguments == (
        ("lr", "1e-3"), ("name", "''\"'\"'1'\"'\"''"), ("amp", "True"), ("betas", "'[1]'"),
    )  # fmt: skip
    assert TrainRequest.from_json(request.to_json()) == request


@pytest.mark.parametrize(
    ("line", "body", "part"),
    [
        ("train.ipynb", "rate = 1", "has no parameter 'rate'; it has: lr = 0.1, epochs = 3"),
        ("train.ipynb", "epoch = 1", "did you mean 'epochs'?"),
        ("train.ipynb", "lr = fast", "lr is a number in train.ipynb (0.1), and 'fast' is text"),
        ("train.ipynb -d images=numbers", "", "has no parameter 'images'"),
        ("train.ipynb", "--lr 1", "has no command line"),
        ("train.ipynb --code", "x = 1", "both say what to run"),
        ("train.ipynb --num-nodes 2", "", "num_nodes=2 cannot be used with the notebook"),
        ("train.ipynb --nproc-per-node 2", "", "is executed by one process"),
        ("gone.ipynb", "", "does not exist"),
        ("trian.ipynb", "", "did you mean 'train.ipynb'?"),
        ("broken.ipynb", "", "is no notebook"),
        ("itself.ipynb", "", "has a cell that trains (code cell 2"),
        ("other.ipynb", "x = 1", "has no parameter 'x'; it has: none"),
    ],
)
def test_mistakes(line: str, body: str, part: str, project: Path, home: Path) -> None:
    (project / "broken.ipynb").write_text("{", encoding="utf-8")
    write_notebook(project / "itself.ipynb", "%%anylearn_train itself.ipynb\nlr = 1")
    write_notebook(project / "other.ipynb", parameters=None)
    text = (project / "other.ipynb").read_text().replace('"python"', '"R"')
    (project / "other.ipynb").write_text(text, encoding="utf-8")
    with pytest.raises(OptionError) as caught:
        plan(request_of(line, body))
    assert part in str(caught.value)


def test_without_a_tagged_cell_any_name_will_do_and_a_note_says_so(project: Path) -> None:
    write_notebook(project / "plain.ipynb", "print(anything)", parameters=None)
    made = asked("plain.ipynb", "anything = 1")
    assert made.notes == (
        "No cell of plain.ipynb is tagged `parameters`, so the values are put on top, unchecked.",
    )


def test_it_comes_back_as_a_cell_and_with_other_values(project: Path) -> None:
    request = request_of("train.ipynb", "lr = 0.5\nname = 'a b'")
    text = cell_text(request)
    assert text.startswith("%%anylearn_train train.ipynb\n")
    line, body = text.removeprefix("%%anylearn_train ").split("\n", 1)
    assert request_of(line, body) == request
    again = changed(request, [read_setting("lr=1e-2", "--set", Names({}))])
    assert dict(again.hyperparams) == {"lr": "1e-2", "name": "'a b'"}


# What executes it.


def test_words_become_values() -> None:
    words = ["--lr", "1e-3", "--name", "'1'", "--plain", "a b", "--inf", 'float("inf")',
             "--data", "/x y", "--more", "/a", "/b"]  # fmt: skip
    assert notebook_runner.read_values(words, ["data", "more"]) == {
        "lr": "1e-3", "name": "'1'", "plain": "'a b'", "inf": 'float("inf")',
        "data": "'/x y'", "more": "['/a', '/b']",
    }  # fmt: skip


def test_an_environment_without_nbclient_is_told_what_to_install(project: Path) -> None:
    words = [sys.executable, "-I", "-S", notebook_runner.__file__, "train.ipynb", "out.ipynb", "-"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert "has no nbclient and nbformat and ipykernel" in done.stderr
    assert "pip install nbclient ipykernel" in done.stderr
    assert not (project / "out.ipynb").exists()


# On the engine.


def test_it_is_executed_with_its_values_and_kept(
    project: Path, of_the_engine: None, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    task = trained("train.ipynb -d data=numbers", "lr = 0.25\nname = 'vit'\nbetas = [1, 2]\namp")

    assert task.phase == TaskPhase.SUCCEEDED, task.log_text()
    lines = task.log_text().splitlines()
    assert "training vit 0.5 3 [1, 2] True" in lines
    assert {"trouble", "'a value'", "['a.txt']"} <= set(lines)
    assert "[cell 4 of 6] print('training', name, lr * DOUBLE, epochs, betas, amp)" in lines
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    notebook = executed(task, tmp_path / "results")
    injected = notebook.cells[2]
    assert injected.metadata.tags == ["injected-parameters"]
    assert injected.source.splitlines()[:4] == [
        "# Parameters", notebook.cells[2].source.splitlines()[1], "lr = 0.25", "name = 'vit'",
    ]  # fmt: skip
    assert injected.source.splitlines()[1].startswith("data = '/")
    assert "training vit 0.5" in said(notebook)
    nbformat.validate(notebook)


def test_a_failed_one_is_kept_with_its_traceback(
    project: Path, of_the_engine: None, tmp_path: Path
) -> None:
    write_notebook(project / "train.ipynb", "print('before')", "1 / 0", "print('never')")
    task = trained("train.ipynb --output kept")

    assert task.phase == TaskPhase.FAILED
    assert task.log_text().splitlines()[:3] == [
        "[cell 1 of 4] lr = 0.1", "[cell 2 of 4] print('before')", "before",
    ]  # fmt: skip
    with pytest.raises(TaskFailed, match="ZeroDivisionError"):
        task.raise_if_failed()
    notebook = executed(task, tmp_path / "results")
    (error,) = notebook.cells[-2].outputs
    assert (error.output_type, error.ename) == ("error", "ZeroDivisionError")
    assert notebook.cells[-1].outputs == []
    assert "before" in said(notebook)


def test_a_stopped_one_keeps_what_it_has_done(
    project: Path, of_the_engine: None, tmp_path: Path
) -> None:
    write_notebook(
        project / "train.ipynb",
        "print('done')",
        "import time; print('on', flush=True); time.sleep(600)",
    )
    task = submit(request_of("train.ipynb")).task
    wait_until(lambda: "on\n" in task.log_text(), 60, "it runs")
    task.stop()
    task.wait(60)
    assert task.phase == TaskPhase.ABORTED
    assert "done" in said(executed(task, tmp_path / "results"))


def test_it_runs_in_its_own_folder(project: Path, of_the_engine: None) -> None:
    write_notebook(
        project / "deep" / "er.ipynb", "import os; print('at', os.path.basename(os.getcwd()))",
        parameters=None,
    )  # fmt: skip
    task = trained("deep/er.ipynb")
    assert "at deep" in task.log_text().splitlines(), task.log_text()


@pytest.mark.parametrize("code", [False, True])
def test_each_training_of_a_sweep_has_its_own_values(
    code: bool, project: Path, of_the_engine: None
) -> None:
    """Both a notebook and a ``--code`` cell share one snapshot, and get what differs beside it."""
    cell = "print('training', name, lr)\n"
    write_notebook(project / "train.ipynb", cell)
    line = "--code -d data=numbers" if code else "train.ipynb -d data=numbers"
    body = "lr in [0.5, 0.25]\nname = 'vit'\n" + (f"---\nprint(data[:1])\n{cell}" if code else "")
    made = asked(line, body)
    assert made.sweep is not None
    sweep = submit_sweep(made.sweep)
    sweep.wait(120)
    told = [task.log_text() for task in sweep.tasks]
    assert ["training vit 0.5" in text for text in told] == [True, False], told
    assert ["training vit 0.25" in text for text in told] == [False, True], told


def test_a_notebook_in_a_real_kernel(
    project: Path, home: Path, kernels: Callable[[Path], RealKernel]
) -> None:
    kernel = kernels(project)
    kernel.run("%load_ext anylearn_jupyter")
    kernel.run("%%anylearn_train train.ipynb -o task\nlr = 0.5")
    text = kernel.text("task.wait(120)\nprint(task.phase, task.log_text())", timeout_s=150)
    assert "succeeded" in text
    assert "training resnet 1.0" in text
    engine_command("stop", "--tasks", check=False)
