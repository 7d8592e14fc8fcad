"""Run All is safe: a cell that is run again shows its task, and another when told to (C7)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from anylearn_jupyter.client.connection import disconnect
from anylearn_jupyter.entities import TaskDetail
from anylearn_jupyter.notebook.attached import attached_text
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.task_record import TaskRecord
from conftest import engine_command
from kernel_fixtures import Outputs, RealKernel, kernels

__all__ = ["kernels"]

SCRIPT = """
import argparse, sys, time
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("--go", type=Path)
parser.add_argument("--lr", type=float, default=0.1)
options = parser.parse_args()
while options.go and not options.go.exists():
    time.sleep(0.02)
if options.go:
    sys.exit(int(options.go.read_text() or 0))
"""


@pytest.fixture(autouse=True)
def nothing_left(home: Path) -> Iterator[None]:
    """End whatever engine the test started."""
    disconnect()
    yield
    disconnect()
    engine_command("stop", "--tasks", check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "train.py").write_text(SCRIPT, encoding="utf-8")
    return directory


def shown(outputs: Outputs) -> str:
    """Give the texts of all outputs."""
    return "\n".join(
        output["data"].get("text/plain", "") if "data" in output else output.get("text", "")
        for output in outputs
    )


def test_a_cell_that_is_run_again_shows_its_task(
    kernels: Callable[[Path], RealKernel], project: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    cell = f"%%anylearn_train train.py -o task\ngo = {go}\n"
    kernel = kernels(project)
    kernel.run("%load_ext anylearn_jupyter")
    assert "same as task" not in shown(kernel.run(cell))
    first = kernel.text("print(task.id)")

    text = shown(kernel.run(cell))
    assert kernel.text("print(task.id)") == first
    assert f"same as task {kernel.text('print(task.name)').strip()}" in text
    assert "ago, still " in text
    assert "`--new` starts another" in text
    # In a kernel that knows nothing, too.
    kernel.restart()
    kernel.run("%load_ext anylearn_jupyter")
    assert "same as task" in shown(kernel.run(cell))
    assert kernel.text("print(task.id)") == first
    go.write_text("0")
    kernel.run("task.wait(30)")
    assert "ago, succeeded; " in shown(kernel.run(cell))
    assert kernel.text("print(task.id)") == first

    another = shown(kernel.run(cell.replace("-o", "--new -o")))
    assert "same as task" not in another
    assert kernel.text("print(task.id)") != first


def test_another_value_is_another_task_and_a_failure_is_tried_again(
    kernels: Callable[[Path], RealKernel], project: Path, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    go.write_text("3")
    kernel = kernels(project)
    kernel.run("%load_ext anylearn_jupyter")
    ids = []
    for line in ("", "", "lr = 0.2\n", "lr = 0.2\n"):
        kernel.run(f"%%anylearn_train train.py -o task\ngo = {go}\n{line}")
        ids.append(kernel.text("task.wait(30); print(task.id)"))
    assert len(set(ids)) == 4


def test_headless_it_starts_another_unless_asked_to_reuse(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    try:
        shell.run_line_magic("load_ext", "anylearn_jupyter")
        for words in ("", "", "--reuse", "--reuse --noblock", "--new"):
            shell.run_cell(f"%%anylearn_train train.py {words} -o task").raise_error()
            shell.run_cell("ids = [*globals().get('ids', []), task.id]").raise_error()
        ids = shell.user_ns["ids"]
        text = capsys.readouterr().out
        wrong = shell.run_cell("%%anylearn_train train.py --new --reuse")
    finally:
        shell.run_line_magic("unload_ext", "anylearn_jupyter")
        InteractiveShell.clear_instance()
    assert ids[1] == ids[2] == ids[3]
    assert len(set(ids)) == 3
    assert text.count("Same as task") == 2
    assert "exclude each other" in str(wrong.error_in_exec)


@pytest.mark.parametrize(
    ("state", "phase", "started", "text"),
    [
        (1, "running", 700_000, "started 5 min ago, still running"),
        (0, "queued", None, "submitted 16 min ago, still queued"),
        (2, "succeeded", 1_000_000, "started 0 s ago, succeeded"),
    ],
)
def test_the_sentence_says_how_old_it_is(
    state: int, phase: str, started: int | None, text: str
) -> None:
    record = TaskRecord(id="TRAI1", name="a\nname", server="local", submitted_ms=1)
    detail = TaskDetail(
        id="TRAI1", name="a\nname", state=state, phase=phase, created_ms=1, started_ms=started
    )
    said = attached_text(TrainTask(record, detail), now_ms=1_000_001)
    assert said == f"same as task a name (TRAI1), {text}; `--new` starts another"
