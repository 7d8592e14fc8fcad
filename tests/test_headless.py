"""Notebooks without a front end: nbclient and papermill, real kernels, a real engine."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

from conftest import engine_command

SCRIPT = """
import argparse, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--code", type=int, default=0)
options = parser.parse_args()
for epoch in range(1, options.epochs + 1):
    print(f'[anylearn-metric] {{"step": {epoch}, "loss": {1 / epoch}}}')
    print("epoch", epoch)
for percent in range(0, 101, 10):
    print(f"\\r{percent}%", end="")
print()
print("\\033[32mthe end\\033[0m <script>alert(1)</script>")
sys.exit(options.code)
"""


@pytest.fixture
def work(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a directory with a script; whatever engine is started ends with the test."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "train.py").write_text(SCRIPT, encoding="utf-8")
    yield directory
    engine_command("stop", "--tasks", check=False)


def notebook_of(*cells: str) -> nbformat.NotebookNode:
    made = nbformat.v4.new_notebook()
    made.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return made


def executed(directory: Path, *cells: str) -> nbformat.NotebookNode:
    """Execute a notebook with nbclient; the notebook is whole also where a cell raised."""
    made = notebook_of(*cells)
    client = NotebookClient(made, timeout=120, resources={"metadata": {"path": str(directory)}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client.execute()
    return made


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(one["text"] for one in cell.outputs if one.output_type == "stream")


def static_views(cell: nbformat.NotebookNode) -> list[dict[str, Any]]:
    return [one["data"] for one in cell.outputs if one.output_type == "display_data"]


LOAD = "%load_ext anylearn_jupyter"


def test_a_cell_waits_prints_and_leaves_a_static_view(work: Path) -> None:
    made = executed(work, LOAD, "%%anylearn_train train.py -o task", "print(task.phase)")
    text = printed(made.cells[1])
    lines = text.splitlines()
    assert "an interrupt stops the watching, not the task" in lines[0]
    assert lines[-5:] == [
        "epoch 1",
        "epoch 2",
        "100%",
        "the end <script>alert(1)</script>",
        "[succeeded]",
    ]
    assert "[anylearn-metric]" not in text
    assert "\x1b" not in text
    assert len(lines) < 12
    (view,) = static_views(made.cells[1])
    assert set(view) == {"text/plain", "text/html"}
    assert "succeeded" in view["text/plain"]
    # What was printed above is not there twice in a terminal; the HTML stands alone.
    assert "epoch 2" not in view["text/plain"]
    assert "epoch 2" in view["text/html"]
    assert "data:image/svg+xml" in view["text/html"]
    assert "<script" not in view["text/html"]
    assert printed(made.cells[2]) == "succeeded\n"


def test_no_widget_is_made(work: Path) -> None:
    made = executed(work, LOAD, "%%anylearn_train train.py", "%anylearn_resume last")
    whole = json.dumps(made)
    assert "widget" not in whole
    assert "widgets" not in made.metadata
    html, _ = HTMLExporter().from_notebook_node(made)
    assert "the end &lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script>alert(1)" not in html


def test_a_failing_training_stops_the_notebook(work: Path) -> None:
    made = notebook_of(LOAD, "%%anylearn_train train.py\ncode = 7", "print('not reached')")
    client = NotebookClient(made, timeout=120, resources={"metadata": {"path": str(work)}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(CellExecutionError, match="failed with exit code 7"):
            client.execute()
    (error,) = [one for one in made.cells[1].outputs if one.output_type == "error"]
    assert error.ename == "TaskFailed"
    assert "the end" in error.evalue
    assert len(error.traceback) < 5
    assert made.cells[2].outputs == []


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("%%anylearn_train train.py\nepochs 5", "OptionError"),
        ("%%anylearn_train trian.py", "OptionError"),
        ("%anylearn_resume --al", "OptionError"),
        ("%anylearn_results last", "NotFound"),
        ("%anylearn_login https://anylearn.example.org", "ConfigError"),
    ],
)
def test_a_mistake_stops_the_notebook(work: Path, home: Path, cell: str, name: str) -> None:
    made = notebook_of(LOAD, cell, "print('not reached')")
    client = NotebookClient(made, timeout=120, resources={"metadata": {"path": str(work)}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with pytest.raises(CellExecutionError, match=name):
            client.execute()
    (error,) = made.cells[1].outputs
    assert error.ename == name
    assert len(error.traceback) == 1
    assert made.cells[2].outputs == []
    assert not (home / "engine" / "endpoint.json").exists()


def test_noblock_wins_headless(work: Path) -> None:
    gate = work.parent / "gate"
    (work / "wait.py").write_text(
        "import sys, time, pathlib\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)"
    )
    made = executed(
        work,
        LOAD,
        f"%%anylearn_train wait.py --noblock -o task\n-- {gate}",
        f"print(task.finished()); open({str(gate)!r}, 'w').close(); print(task.wait(30).phase)",
    )
    assert "is submitted" in printed(made.cells[1])
    assert printed(made.cells[2]) == "False\nsucceeded\n"


def test_papermill_runs_it_with_parameters(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # papermill's own
        import papermill

        made = notebook_of(LOAD, "n = 1", "%%anylearn_train train.py -o task\nepochs = {n}")
        made.cells[1].metadata.tags = ["parameters"]
        source, target = work / "in.ipynb", work / "out.ipynb"
        nbformat.write(made, source)
        papermill.execute_notebook(
            str(source),
            str(target),
            {"n": 4},
            cwd=str(work),
            progress_bar=False,
            kernel_name="python3",
        )
    done = nbformat.read(target, as_version=4)
    assert "epoch 4" in printed(done.cells[-1])
    assert "widgets" not in done.metadata
    (view,) = static_views(done.cells[-1])
    assert "succeeded" in view["text/plain"]
