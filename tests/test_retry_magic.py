"""``%anylearn_retry`` in a real shell and a real kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from anylearn_jupyter.client.connection import disconnect
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.retrying import check_changes
from anylearn_jupyter.submit.request import TrainRequest
from conftest import engine_command
from kernel_fixtures import RealKernel, kernels

__all__ = ["kernels"]

SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--tag", action="append")
parser.add_argument("--amp", action=argparse.BooleanOptionalAction)
parser.add_argument("--name")
print("code 1", vars(parser.parse_args()))
"""


@pytest.fixture
def project(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "train.py").write_text(SCRIPT, encoding="utf-8")
    monkeypatch.chdir(directory)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    disconnect()
    yield directory
    disconnect()
    engine_command("stop", "--tasks", check=False)


@pytest.fixture
def shell(project: Path) -> Iterator[InteractiveShell]:
    config = Config()
    config.HistoryManager.enabled = False
    ip = InteractiveShell.instance(config=config)
    ip.run_line_magic("load_ext", "anylearn_jupyter")
    yield ip
    ip.run_line_magic("unload_ext", "anylearn_jupyter")
    InteractiveShell.clear_instance()


def retried(shell: InteractiveShell, line: str) -> str:
    """Retry with a line, and give what the script printed."""
    shell.run_cell(f"%anylearn_retry {line} -o again").raise_error()
    task: Any = shell.user_ns["again"]
    return str(task.log_text().strip())


def test_values_are_changed_as_the_script_takes_them(shell: InteractiveShell) -> None:
    body = "lr = 0.5\ntag = ['a b', 'c']\namp\nname = old\n"
    shell.run_cell(f"%%anylearn_train train.py -o task\n{body}").raise_error()

    assert retried(shell, "task").endswith(
        "{'lr': 0.5, 'tag': ['a b', 'c'], 'amp': True, 'name': 'old'}"
    )
    changes = "--set lr=1e-3 --set amp=false --set name={'new ' + 'one'} --set tag={['d']}"
    assert retried(shell, f"task {changes}").endswith(
        "{'lr': 0.001, 'tag': ['d'], 'amp': False, 'name': 'new one'}"
    )
    assert retried(shell, "again --set amp=true --set name=null").endswith(
        "{'lr': 0.001, 'tag': ['d'], 'amp': True, 'name': None}"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("task --set lr=fast", "invalid float value: 'fast'"),
        ("task --set rl=1", "rl"),
        ("task --set lr", "is no setting"),
        ("task --set lr=1 --set lr=2", "gives 'lr' twice"),
        ("task --exact --set lr=1", "--exact changes nothing"),
        ("nothing", "'nothing' is no task"),
    ],
)
def test_a_mistake_submits_nothing(shell: InteractiveShell, line: str, said: str) -> None:
    shell.run_cell("%%anylearn_train train.py -o task").raise_error()
    done = shell.run_cell(f"%anylearn_retry {line} -o again")
    assert said in str(done.error_in_exec)
    assert "again" not in shell.user_ns


def test_exact_trains_the_code_of_then(
    shell: InteractiveShell, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("%%anylearn_train train.py -o task\nlr = 0.5").raise_error()
    (project / "train.py").write_text("print('code 2')", encoding="utf-8")

    assert retried(shell, "task") == "code 2"
    capsys.readouterr()
    assert "code 1 {'lr': 0.5" in retried(shell, "task --exact")
    task = shell.user_ns["task"]
    text = capsys.readouterr().out
    assert f"digest equal: {task.record.digest}" in text
    assert shell.user_ns["again"].record.digest == task.record.digest


def test_in_a_notebook_it_shows_the_card(
    kernels: Callable[[Path], RealKernel], project: Path
) -> None:
    kernel = kernels(project)
    kernel.run("%load_ext anylearn_jupyter")
    kernel.run("%%anylearn_train train.py -n first -o task")
    kernel.run("task.wait(30)")
    outputs = kernel.run("%anylearn_retry first --exact -o again")
    shown = [output["data"] for output in outputs if output["type"] == "display_data"]

    assert any("application/vnd.jupyter.widget-view+json" in data for data in shown)
    assert any("digest equal: " in data.get("text/plain", "") for data in shown)
    assert kernel.text("print(again.id != task.id, again.wait(30).phase)") == "True succeeded\n"


def test_new_values_of_a_card_are_checked_by_the_scripts_parser(project: Path) -> None:
    request = TrainRequest(
        entrypoint="python train.py",
        algorithm_dir=project,
        hyperparams=(("lr", "slow"), ("name", "x")),
    )
    with pytest.raises(OptionError, match="would refuse `lr = slow`"):
        check_changes(request, {"lr": "slow"})
    check_changes(replace(request, hyperparams=(("lr", "0.5"),)), {"lr": "0.5"})
