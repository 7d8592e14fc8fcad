"""`-r`, `--model`, `%anylearn_resources` and `%anylearn_config`, in a shell with a real engine."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from anylearn_jupyter.client.connection import current_connection, disconnect
from anylearn_jupyter.config import SavedDefaults, save_default_host
from anylearn_jupyter.errors import AnylearnError, OptionError
from anylearn_jupyter.home import Home
from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.training import training
from anylearn_jupyter.submit.request import DataInput, InputKind, TrainRequest
from conftest import engine_command

CPUS = len(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "train.py").write_text("print('done')\n", encoding="utf-8")
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def shell(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config()
    config.HistoryManager.enabled = False
    ip = InteractiveShell.instance(config=config)
    ip.run_line_magic("load_ext", "anylearn_jupyter")
    yield ip
    ip.run_line_magic("unload_ext", "anylearn_jupyter")
    InteractiveShell.clear_instance()
    disconnect()
    engine_command("stop", "--tasks", check=False)


def request_of(line: str, **variables: object) -> TrainRequest:
    given = parse_line(parser_of(AnylearnMagics.anylearn_train), line, body=True)
    return training(given, "", Names(variables)).request


# -r and --model


def test_resources_in_short() -> None:
    request = request_of("train.py -r CPU=2 -r lab-gpus:RTX-4090={n} --resources Memory=8", n=1)
    assert request.quota_group == "lab-gpus"
    assert request.quota_request == (("CPU", 2), ("RTX-4090", 1), ("Memory", 8))
    assert request_of("train.py -r CPU=2").quota_group is None
    assert request_of("train.py -r CPU=2 --quota-group-name lab").quota_group == "lab"
    assert request_of("train.py -r a:b:CPU=2").quota_group == "a:b"


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("-r CPU", "write -r CPU=2"),
        ("-r =2", "write -r CPU=2"),
        ("-r :CPU=2", "write -r CPU=2"),
        ("-r CPU=two", "'two' is no whole number"),
        ("-r CPU=-1", "'-1' is no whole number"),
        ("-r CPU=1 -r cpu=2", "gives cpu twice"),
        ("-r a:CPU=1 -r b:Memory=2", "two groups, 'a' and 'b'"),
        ("-r a:CPU=1 --quota-group-name b", "draws from one"),
        ("-r CPU=1 --quota-group-request CPU=1", "both say how much"),
    ],
)
def test_resources_that_cannot_be_asked_for(words: str, shown: str) -> None:
    with pytest.raises(OptionError) as caught:
        request_of(f"train.py {words}")
    assert shown in str(caught.value)


def test_a_model_by_path_or_id(project: Path) -> None:
    (project / "weights").mkdir()
    model = "MODE" + "0" * 28
    assert request_of(f"train.py --model a=weights --model b={model}").data == (
        DataInput("a", path=project / "weights", kind=InputKind.MODEL),
        DataInput("b", id=model, kind=InputKind.MODEL),
    )
    with pytest.raises(OptionError, match="--model a: there is nothing at 'missing'"):
        request_of("train.py --model a=missing")
    with pytest.raises(OptionError, match="write --model NAME=PATH"):
        request_of("train.py --model weights")


def test_names_go_to_the_server_as_it_spells_them(shell: InteractiveShell) -> None:
    shell.run_cell(
        "%%anylearn_train train.py -n small -r cpu=1 -r DEFAULT:memory=0 -o t"
    ).raise_error()
    task = shell.user_ns["t"]
    (found,) = current_connection().api.http.get("train_task/query", {"id": task.id})
    assert json.loads(found["resource_request"]) == [{"default": {"CPU": 1, "Memory": 0}}]
    for words, shown in (
        ("-r CPUs=1", "did you mean 'CPU'? It has: CPU, GPU, Memory"),
        ("-r lab:CPU=1", "'lab' is no resource group"),
    ):
        error = shell.run_cell(f"%%anylearn_train train.py {words}").error_in_exec
        assert isinstance(error, OptionError)
        assert shown in str(error)


def test_the_table_of_resources(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_cell("%anylearn_resources").raise_error()
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["group", "resource", "free", "of"]
    assert rows[0].split() == ["default", "CPU", str(CPUS), str(CPUS), "1", "0"]
    assert any(row.startswith("besteffort") for row in rows)
    error = shell.run_cell("%anylearn_resources http://127.0.0.1:9").error_in_exec
    assert isinstance(error, AnylearnError)


# %anylearn_config


def test_defaults_are_kept_shown_and_forgotten(
    shell: InteractiveShell, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = "%anylearn_config project={name} 'resources=CPU=1 Memory=2' block=yes"
    assert isinstance(shell.run_cell(setting).error_in_exec, OptionError), "there is no name yet"
    assert SavedDefaults.read(Home(home)) == SavedDefaults()
    shell.user_ns["name"] = "digits"
    shell.run_cell(setting).raise_error()
    kept = SavedDefaults(project="digits", resources=("CPU=1", "Memory=2"), block=True)
    assert SavedDefaults.read(Home(home)) == kept
    assert Home(home).config.stat().st_mode & 0o777 == 0o600
    capsys.readouterr()
    shell.run_cell("%anylearn_config").raise_error()
    shown = capsys.readouterr().out
    assert "digits" in shown
    assert "CPU=1 Memory=2" in shown
    assert "yes" in shown
    shell.run_cell("%anylearn_config project= resources= block=").raise_error()
    assert SavedDefaults.read(Home(home)) == SavedDefaults()


def test_a_server_is_kept_beside_the_others(shell: InteractiveShell, home: Path) -> None:
    shell.run_cell("%anylearn_config server=https://a.example.org/ block=no").raise_error()
    assert SavedDefaults.read(Home(home)) == SavedDefaults(
        host="https://a.example.org", block=False
    )
    save_default_host(Home(home), None)
    assert SavedDefaults.read(Home(home)) == SavedDefaults(block=False)
    shell.run_cell("%anylearn_config server=local").raise_error()
    assert SavedDefaults.read(Home(home)).host is None


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("projct=x", "did you mean 'project'?"),
        ("password=x", "has no setting 'password'"),
        ("project", "write project=VALUE"),
        ("block=maybe", "neither yes nor no"),
        ("resources=CPU", "write resources= CPU=2"),
        ("server=host", "has no scheme"),
        ("server=https://me:pw@host", "holds a user name"),
    ],
)
def test_settings_that_cannot_be_kept(
    shell: InteractiveShell, home: Path, words: str, shown: str
) -> None:
    error = shell.run_cell(f"%anylearn_config project=x {words}").error_in_exec
    assert isinstance(error, AnylearnError)
    assert shown in str(error)
    assert SavedDefaults.read(Home(home)) == SavedDefaults(), "nothing of it was kept"
    assert "pw" not in str(error)


def test_a_cells_own_options_win_over_what_is_kept(home: Path) -> None:
    SavedDefaults(project="digits", resources=("lab:CPU=1",)).save(Home(home))
    request = request_of("train.py")
    assert (request.project_name, request.project_id) == ("digits", None)
    assert (request.quota_group, request.quota_request) == ("lab", (("CPU", 1),))
    own = request_of("train.py -p other -r Memory=2")
    assert own.project_name == "other"
    assert (own.quota_group, own.quota_request) == (None, (("Memory", 2),))
    project = "PROJ" + "0" * 28
    SavedDefaults(project=project).save(Home(home))
    assert request_of("train.py").project_id == project
    assert request_of("train.py --project-name x").project_name == "x"


def test_a_cell_waits_as_is_kept(shell: InteractiveShell, home: Path) -> None:
    SavedDefaults(block=False).save(Home(home))
    shell.run_cell("%%anylearn_train --entrypoint 'exec sleep 600' -o t").raise_error()
    task = shell.user_ns["t"]
    assert not task.get_detail().finished
    task.stop()
    shell.run_cell("%%anylearn_train train.py -o done -b").raise_error()
    assert shell.user_ns["done"].detail.finished


def test_a_file_that_cannot_be_read_is_said(shell: InteractiveShell, home: Path) -> None:
    home.mkdir(exist_ok=True)
    Home(home).config.write_text("{")
    error = shell.run_cell("%anylearn_config").error_in_exec
    assert isinstance(error, AnylearnError)
    assert "mend or delete it" in str(error)
    Home(home).config.write_text('{"host": 3, "resources": "x", "block": "yes", "new": 1}')
    assert SavedDefaults.read(Home(home)) == SavedDefaults()
