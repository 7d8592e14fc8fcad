"""A sweep without a front end: it is waited for, told line by line, and left as a static table."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from conftest import engine_command

SCRIPT = """
import argparse, sys, time
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, required=True)
parser.add_argument("--note", default="")
parser.add_argument("--until", type=Path)
options = parser.parse_args()
for step in (1, 2, 3):
    print(f'[anylearn-metric] {{"step": {step}, "val_loss": {options.lr * 10 + 1 / step}}}')
sys.stdout.flush()
while options.until and not options.until.exists(): time.sleep(0.02)
sys.exit(7 if options.lr > 0.5 else 0)
"""
LOAD = "%load_ext anylearn_jupyter"


@pytest.fixture
def work(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a directory with a script; whatever engine is started ends with the test."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "train.py").write_text(SCRIPT, encoding="utf-8")
    yield directory
    engine_command("stop", "--tasks", check=False)


def executed(directory: Path, *cells: str) -> nbformat.NotebookNode:
    """Execute a notebook with nbclient."""
    made = nbformat.v4.new_notebook()
    made.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    client = NotebookClient(made, timeout=120, resources={"metadata": {"path": str(directory)}})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client.execute()
    return made


def printed(cell: Any) -> str:
    return "".join(one.text for one in cell.outputs if one.output_type == "stream")


def views(cell: Any) -> list[Any]:
    return [one.data for one in cell.outputs if one.output_type == "display_data"]


def test_a_sweep_is_waited_for_and_leaves_its_table(work: Path) -> None:
    """F9 and F4 of a sweep without a front end: no widget, no script, its words as text."""
    made = executed(
        work,
        LOAD,
        "%%anylearn_train train.py -n digits -o sweep\nlr in [0.3, 0.1]\n"
        "note in ['<script>alert(1)</script>', 'plain']",
        "%anylearn_resume {sweep.tasks[2].id} -o again\nprint(again[0].id == sweep.id, len(again))",
    )
    text = printed(made.cells[1])
    assert len(re.findall(r"^\[\d/4\] lr=0\.\d note=.*: succeeded, val_loss ", text, re.M)) == 4
    (view,) = views(made.cells[1])
    assert "Sweep digits (grid, 4 trainings on this machine): 4 succeeded" in view["text/plain"]
    assert "★ lowest val_loss: 1.333, lr=0.1 note=<script>" in view["text/plain"]
    assert "&lt;script&gt;alert(1)" in view["text/html"]
    assert "<script" not in view["text/html"]
    assert "widgets" not in made.metadata
    assert printed(made.cells[2]) == "True 1\n"
    (again,) = views(made.cells[2])
    assert again == view


def test_a_sweep_of_which_one_fails_stops_the_notebook(work: Path) -> None:
    with pytest.raises(CellExecutionError, match="1 of 2 trainings of the sweep train did not"):
        executed(work, LOAD, "%%anylearn_train train.py\nlr in [0.1, 0.9]", "print('not reached')")


def test_a_whole_sweep_is_stopped_by_its_id_its_name_or_its_variable(work: Path) -> None:
    until = work.parent / "until"
    cell = (
        f"%%anylearn_train train.py -n NAME --noblock -o sweep\nlr in [0.1, 0.2]\nuntil = {until}"
    )
    made = executed(
        work,
        LOAD,
        cell.replace("NAME", "one"),
        "%anylearn_stop {sweep.id[:12]}\nprint(sweep.wait(30))",
        cell.replace("NAME", "two"),
        "%anylearn_stop two\nprint(sweep.wait(30))",
        cell.replace("NAME", "three"),
        "%anylearn_stop sweep\nprint(sweep.wait(30))\n%anylearn_stop sweep",
    )
    for number, name in ((2, "one"), (4, "two"), (6, "three")):
        said = printed(made.cells[number])
        assert f"Sweep {name}: 2 trainings stopped.\n{{'aborted': 2}}" in said
    assert printed(made.cells[6]).endswith("0 trainings stopped, 2 had ended already.\n")


def test_many_unfinished_tasks_are_one_table(work: Path) -> None:
    until = work.parent / "until"
    cells = [
        f"%%anylearn_train train.py -n one-{number} --noblock\nlr = 0.{number}\nuntil = {until}"
        for number in range(6)
    ]
    made = executed(work, LOAD, *cells, "%anylearn_resume", f"open({str(until)!r}, 'w').close()")
    (view,) = views(made.cells[7])
    assert view["text/plain"].startswith("6 tasks (6 trainings on this machine): ")
    for number in range(6):
        assert f"one-{number}" in view["text/plain"]
