"""Tab in the cells of our magics: every kind of value, from memory alone and at once."""

from __future__ import annotations

import socket
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from anylearn_jupyter.client import credentials
from anylearn_jupyter.client.connection import connect, disconnect
from anylearn_jupyter.entities import TaskPhase
from anylearn_jupyter.home import Home
from anylearn_jupyter.notebook import suggestions
from anylearn_jupyter.notebook.completion import suggest_for
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.submit.choices import learn_choices
from anylearn_jupyter.submit.known_choices import known
from anylearn_jupyter.submit.ledger import Ledger
from conftest import RunningEngine
from ledger_records import record

MOST_S = 0.05
"""What a press of Tab may take."""

SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, help="passes over the data")
parser.add_argument("--lr", type=float)
parser.add_argument("--mode", choices=["fast", "good"])
parser.add_argument("--amp", action="store_true")
parser.add_argument("--images")
parser.add_argument("--secret-knob", help=argparse.SUPPRESS)
parser.parse_args()
"""


@pytest.fixture
def ip(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """Give a shell in a project, with the extension loaded and a memory of tasks and servers."""
    project = tmp_path / "project"
    (project / "lab").mkdir(parents=True)
    (project / "lab" / "__init__.py").write_text("")
    (project / "lab" / "fit.py").write_text("")
    (project / "images").mkdir()
    (project / "with space").mkdir()
    (project / "train.py").write_text(SCRIPT, encoding="utf-8")
    (project / "notes.txt").write_text("")
    monkeypatch.chdir(project)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "anylearn_jupyter")
    yield shell
    shell.run_line_magic("unload_ext", "anylearn_jupyter")
    InteractiveShell.clear_instance()


@pytest.fixture
def memory(home: Path) -> None:
    """Fill the ledger with many tasks, and the memory with what servers listed."""
    request = {
        "entrypoint": "python train.py",
        "algorithm_dir": None,
        "project_name": "digits of mine",
        "mirror_name": "PYTORCH",
        "quota_group": "lab-gpus",
        "hyperparams": [["lr", "0.1"], ["epochs", "2"]],
        "env": [["WANDB_MODE", "offline"]],
        "data": [{"name": "images", "kind": "dataset", "id": "DSET1"}],
    }
    facts = {
        "data": [{"kind": "dataset", "id": "DSET1"}, {"kind": "model", "id": "MODE1"}],
        "params": [["x", "y" * 50]] * 20,
    }
    with Ledger(Home()) as ledger:
        for number in range(300):
            phase = TaskPhase.RUNNING if number % 50 == 0 else TaskPhase.SUCCEEDED
            ledger.record_task(
                record(
                    number,
                    state=1 if phase == TaskPhase.RUNNING else 2,
                    phase=phase,
                    server="https://anylearn.example.org",
                    project_id="PROJ1",
                    profile={"request": request, "facts": facts},
                )
            )
    login = credentials.Login("USER1", "ann", "token", "refresh")
    credentials.save(Home(), "https://lab.example.org", login)
    Home().choices.write_text(
        '{"format": 1, "servers": {"ann@https://lab.example.org": {'
        '"groups": ["default", "lab-gpus"], "resources": ["CPU", "RTX-4090"],'
        '"projects": ["vision"], "mirrors": ["QUICKSTART", "JAX"],'
        '"datasets": ["DSET2"], "models": ["MODE2"]}}}'
    )


def tab(ip: InteractiveShell, cell: str) -> list[str]:
    """Press Tab at the end of a cell, and give what would be put instead of the last word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # IPython calls its own completions provisional
        return [one.text for one in ip.Completer.completions(cell, len(cell))]


TRAIN = "%%anylearn_train train.py "


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("%%anylearn_train tr", ["train.py"]),
        ("%%anylearn_train ", ["images/", "lab/", "train.py", "'with space/'"]),
        ("%%anylearn_train -m la", ["lab"]),
        ("%%anylearn_train -m lab.f", ["lab.fit"]),
        (f"{TRAIN}--proj", ["--project", "--project-name", "--project-id"]),
        (f"{TRAIN}-b --bl", []),
        (f"{TRAIN}-p ", ["'digits of mine'", "vision"]),
        (f"{TRAIN}-p vi", ["vision"]),
        (f"{TRAIN}--project=vi", ["vision"]),
        (f"{TRAIN}--project-id P", ["PROJ1"]),
        (f"{TRAIN}--mirror-name ", ["PYTORCH", "JAX", "QUICKSTART"]),
        (f"{TRAIN}--server ", ["local", "https://anylearn.example.org", "https://lab.example.org"]),
        (f"{TRAIN}-r cp", ["CPU="]),
        (f"{TRAIN}-r ", ["CPU=", "RTX-4090=", "default:", "lab-gpus:"]),
        (f"{TRAIN}-r lab-gpus:rt", ["lab-gpus:RTX-4090="]),
        (f"{TRAIN}--quota-group-name lab", ["lab-gpus"]),
        (f"{TRAIN}--env W", ["WANDB_MODE="]),
        (f"{TRAIN}--secret ANYLEARN_HO", ["ANYLEARN_HOME"]),
        (f"{TRAIN}-d im", ["images="]),
        (f"{TRAIN}-d images=im", ["images/"]),
        (f"{TRAIN}-d images=DS", ["DSET1", "DSET2"]),
        (f"{TRAIN}--model net=MO", ["MODE1", "MODE2"]),
        (f"{TRAIN}--dataset-id ", ["DSET1", "DSET2"]),
        (f"{TRAIN}--model-id ", ["MODE1", "MODE2"]),
        (f"{TRAIN}--set e", ["epochs="]),
        (f"{TRAIN}--set mode=", ["fast", "good"]),
        (f"{TRAIN}--sweep ra", ["random:"]),
        (f"{TRAIN}--params chos", ["chosen"]),
        (f"{TRAIN}--hyperparams ", ["{chosen}"]),
        (f"{TRAIN}--algorithm-dir la", ["lab/"]),
        ("%anylearn_resume name29", [f"name29{n}" for n in range(9, -1, -1)]),
        ("%anylearn_stop name2", ["name250", "name200"]),
        ("%anylearn_show name299 la", ["last"]),
        ("%anylearn_retry name299 --set ", ["lr=", "epochs="]),
        ("%anylearn_results last --to la", ["lab/"]),
        ("%anylearn_login https://l", ["https://lab.example.org"]),
        ("%anylearn_config pro", ["project="]),
        ("%anylearn_config block=", ["yes", "no"]),
        ("%anylearn_config project=v", ["vision"]),
        (f"{TRAIN}\ne", ["epochs = "]),
        (f"{TRAIN}\nlr = 1\n", ["epochs = ", "mode = ", "amp", "images = "]),
        (f"{TRAIN}\nmode = ", ["fast", "good"]),
        (f"{TRAIN}\nmode = g", ["good"]),
        (f"{TRAIN}\namp = t", ["true"]),
    ],
)  # fmt: skip
def test_tab_offers(ip: InteractiveShell, cell: str, words: list[str]) -> None:
    ip.user_ns["chosen"] = {"lr": 1}
    found = tab(ip, cell)
    # IPython replaces a part of the word only, where one of its own separators is in it.
    assert [word for word in words if not any(word.endswith(one) for one in found)] == []
    assert len(found) == len(words), found


@pytest.mark.parametrize("cell", [f"{TRAIN}-n x", f"{TRAIN}-o ch", f"{TRAIN}--env A={{ch", "ch"])
def test_where_nothing_is_known_python_completes_as_ever(ip: InteractiveShell, cell: str) -> None:
    ip.user_ns["chosen"] = {"lr": 1}
    found = tab(ip, cell)
    assert ("chosen" in found) == cell.endswith("ch")
    assert "--project" not in found


def test_code_below_the_line_completes_as_python(ip: InteractiveShell) -> None:
    assert "epochs = " not in tab(ip, f"{TRAIN}--code\nlr = 1\n---\nep")
    assert "epochs = " not in tab(ip, "%%timeit train.py\nep")


def test_every_option_is_completed_or_known_to_be_free() -> None:
    for name in dir(AnylearnMagics):
        if name.startswith("anylearn_"):
            for action in parser_of(getattr(AnylearnMagics, name))._actions:
                takes_value = action.nargs != 0
                covered = suggest_for(name, action.dest) or action.dest in suggestions.FREE
                assert covered or not takes_value, f"{action.dest} of %{name}"


@pytest.mark.usefixtures("memory")
def test_a_press_of_tab_asks_nobody_and_is_at_once(
    ip: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [
        *(f"{TRAIN}{option} " for option in ("-p", "--server", "-r", "-d", "--model", "--set")),
        *(f"{TRAIN}{option} " for option in ("--pretrain-task-id", "--dataset-id", "--env")),
        *(f"%anylearn_{name} " for name in ("resume", "stop", "logs", "show", "retry", "login")),
        f"{TRAIN}\n",
        "%%anylearn_train ",
    ]
    for cell in cells:
        tab(ip, cell)  # modules that are imported once

    def no_socket(*_: object, **__: object) -> None:
        raise AssertionError("a completion opened a socket")

    monkeypatch.setattr(socket, "socket", no_socket)
    monkeypatch.setattr(socket, "create_connection", no_socket)
    for cell in cells:
        times = []
        for _ in range(5):
            start = time.process_time()  # what others do on this machine is no matter
            found = tab(ip, cell)
            times.append(time.process_time() - start)
            assert found, cell
        assert min(times) < MOST_S, (cell, times)


def test_an_edited_script_is_read_again(ip: InteractiveShell) -> None:
    assert "width = " not in tab(ip, f"{TRAIN}\nw")
    Path("train.py").write_text(SCRIPT.replace("--lr", "--width"), encoding="utf-8")
    assert tab(ip, f"{TRAIN}\nw") == ["width = "]


def test_what_a_server_lists_is_learned_for_tab(engine: RunningEngine) -> None:
    learn_choices(connect("local"))
    disconnect()
    assert "QUICKSTART" in known("mirrors")
    assert "default" in known("groups")
    assert "CPU" in known("resources")


def test_sweeps_are_offered_where_they_can_be_named(ip: InteractiveShell) -> None:
    with Ledger(Home()) as ledger:
        for number in (1, 2):
            told = {"sweep": {"id": "SWEP1", "index": number - 1}}
            ledger.record_task(record(number, name=f"digits-{number},lr=0.1", profile=told))
    names = ["digits", "digits-1,lr=0.1", "digits-2,lr=0.1"]
    assert tab(ip, "%anylearn_stop dig") == names
    assert tab(ip, "%anylearn_resume dig") == names
    assert tab(ip, "%anylearn_resume SW") == ["SWEP1"]
    assert tab(ip, "%anylearn_logs dig") == names[1:]
