"""``--code``: a cell that is the training script, from its text to a task on the real engine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.grammar import read_setting
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.plan_html import plan_html
from anylearn_jupyter.notebook.plan_view import plan_text
from anylearn_jupyter.notebook.retrying import changed
from anylearn_jupyter.notebook.training import training
from anylearn_jupyter.submit.code_cell import CodeCell, python_source
from anylearn_jupyter.submit.overlay import overlay_of
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.planning import plan
from anylearn_jupyter.submit.request import TrainRequest
from conftest import engine_command
from engine_home import of_the_engine, shared_engine
from kernel_fixtures import RealKernel, kernels

__all__ = ["kernels", "of_the_engine", "shared_engine"]

PARSER = parser_of(AnylearnMagics.anylearn_train)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project"
    (directory / "numbers").mkdir(parents=True)
    (directory / "numbers" / "a.txt").write_text("1\n", encoding="utf-8")
    (directory / "model.py").write_text("WIDTH = 64\n", encoding="utf-8")
    monkeypatch.chdir(directory)
    return directory


def request_of(body: str, line: str = "--code", **variables: object) -> TrainRequest:
    return training(parse_line(PARSER, line, body=True), body, Names(variables)).request


def script_of(request: TrainRequest) -> str:
    (text,) = overlay_of(request).values()
    return text.decode()


def refused(body: str, line: str = "--code") -> str:
    with pytest.raises(OptionError) as caught:
        request_of(body, line)
    return str(caught.value)


# What becomes of the head.


def test_values_become_assignments_where_the_code_has_no_parser(project: Path) -> None:
    body = (
        'lr = 1e-3\ntag = "1"\nname = a b\namp\nbetas = [0.9, 0.999]\nrun = {n}\n---\nprint({lr})\n'
    )
    request = request_of(body, n=7)
    assert request.entrypoint == "python anylearn_cell.py"
    assert request.arguments == ()
    script = script_of(request)
    assert script.splitlines() == [
        "lr = 1e-3",
        "tag = '1'",
        "name = 'a b'",
        "amp = True",
        "betas = [0.9, 0.999]",
        "run = 7",
        "#",
        "#",
        "print({lr})",
    ]


def test_values_become_arguments_where_the_code_has_a_parser(project: Path) -> None:
    code = (
        "import argparse\nparser = argparse.ArgumentParser()\n"
        'parser.add_argument("--lr", type=float)\nprint(parser.parse_args())\n'
    )
    request = request_of(f"lr = 1e-3\n---\n{code}")
    assert request.arguments == (("lr", "1e-3"),)
    assert script_of(request) == f"#\n#\n#\n{code}"
    message = refused(f"lr = fast\n---\n{code}")
    assert "the cell would refuse `lr = fast`" in message


def test_a_cell_without_a_head_is_code_from_its_second_line(project: Path) -> None:
    request = request_of("x = 1\nprint(x)\n", "--code --set y=2")
    assert script_of(request) == "y = 2\nx = 1\nprint(x)\n"


def test_more_values_than_lines_share_the_last_one(project: Path) -> None:
    request = request_of("print(a + b + c)", "--code --set a=1 --set b=2 --set c=3")
    assert script_of(request) == "a = 1; b = 2; c = 3\nprint(a + b + c)"


def test_what_has_to_come_first_in_python_stays_first(project: Path) -> None:
    code = '"""A doc."""\nfrom __future__ import annotations  # first\nprint(lr)\n'
    script = script_of(request_of(f"lr = 0.5\n---\n{code}"))
    assert script.splitlines()[3:] == [
        '"""A doc."""',
        "from __future__ import annotations; lr = 0.5  # first",
        "print(lr)",
    ]
    compile(script, "cell", "exec")


@pytest.mark.parametrize("head", ["a = 1\nb = 2\n---\n", "---\n", "", "# c\n\nx = 1\n---\n"])
def test_a_traceback_names_the_line_of_the_cell(head: str, project: Path) -> None:
    code = "import sys\n\nraise RuntimeError(1)\n"
    script = script_of(request_of(head + code))
    cell = f"%%anylearn_train --code\n{head}{code}"
    line = cell.split("\n").index("raise RuntimeError(1)") + 1
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert f"line {line}," in done.stderr


@pytest.mark.parametrize(
    "value", [1, -2.5, float("inf"), "it's", b"x", None, True, [1, (2,)], {"a": {1}}, (), set()]
)
def test_python_source_gives_the_value_back(value: object) -> None:
    assert eval(python_source(value)) == value


def test_a_value_that_cannot_be_written_is_refused(project: Path) -> None:
    with pytest.raises(OptionError, match=r"`x = .thing.`.*of type object"):
        request_of("x = {thing}\n---\nprint(x)", thing=object())


# Mistakes, before anything is sent.


def test_a_syntax_error_names_the_line_of_the_cell(project: Path) -> None:
    assert refused("lr = 1\n---\nx = 1\nfor in x:\n").startswith(
        "Line 5 of the cell is `for in x:`, which is no Python: "
    )
    assert "`!pip install x`, which is for notebooks only" in refused("!pip install x\n")


@pytest.mark.parametrize(
    ("body", "line", "part"),
    [
        ("print(1)", "train.py --code", "both say what to run"),
        ("print(1)", "--code --entrypoint 'python x.py'", "both say what to run"),
        ("print(1)", "--code --algorithm-id ALGO1", "--algorithm-id"),
        ("lr = 1\n---\n\n", "--code", "there is no code in it"),
        ("learning-rate = 1\n---\nprint(1)", "--code", "such as 'learning_rate'"),
        ("class = 1\n---\nprint(1)", "--code", "such as 'class_'"),
        ("epochs 5\n---\nprint(1)", "--code", "did you mean `epochs = 5`"),
        ("lr = 1\n---\nprint(1)", "train.py", "%%anylearn_train --code"),
    ],
)
def test_mistakes(body: str, line: str, part: str, project: Path) -> None:
    (project / "train.py").touch()
    assert part in refused(body, line)


def test_a_file_of_the_same_name_is_refused(project: Path, home: Path) -> None:
    (project / "anylearn_cell.py").write_text("print(1)\n", encoding="utf-8")
    with pytest.raises(OptionError, match=r"'anylearn_cell\.py' of its own"):
        plan(request_of("print(2)"))


# What is kept.


def test_a_request_comes_back_from_json_with_its_cell(project: Path) -> None:
    request = request_of("lr = 0.1\n---\nprint(lr)\n")
    assert TrainRequest.from_json(request.to_json()) == request
    assert isinstance(request.code_cell, CodeCell)


def test_a_cell_runs_beside_the_modules_and_can_be_repeated(
    project: Path, of_the_engine: None
) -> None:
    before = sorted(project.rglob("*"))
    code = (
        "from model import WIDTH\nfrom pathlib import Path\n"
        "print(WIDTH, lr, sorted(one.name for one in Path(data).iterdir()))\n"
    )
    request = request_of(f"lr = 0.5\n---\n{code}", "--code -d data=numbers")
    task = submit(request).task
    task.wait(60)
    assert task.log_text().splitlines() == ["64 0.5 ['a.txt']"]
    assert sorted(project.rglob("*")) == before, "the directory is not written to"
    changed_request = changed(request, [read_setting("lr=1e-2", "--set", Names({}))])
    assert dict(changed_request.hyperparams) == {"lr": "1e-2"}
    again = task.retry(lr=0.25)
    again.wait(60)
    assert again.log_text().splitlines() == ["64 0.25 ['a.txt']"]


def test_the_same_cell_is_the_same_commit(project: Path, of_the_engine: None) -> None:
    first = plan(request_of("lr = 0.5\n---\nprint(lr)"))
    again = plan(request_of("lr = 0.5\n---\nprint(lr)"))
    other = plan(request_of("lr = 0.6\n---\nprint(lr)"))
    assert first.facts.snapshot_id == again.facts.snapshot_id != other.facts.snapshot_id
    shown = plan(request_of("lr = 0.5\n---\nif lr:\n    print('<b>', lr)"))
    assert "            |     print('<b>', lr)\n" in plan_text(shown)
    assert "if lr:\n    print(&#x27;&lt;b&gt;&#x27;, lr)" in plan_html(shown)
    assert first.packing is not None
    assert first.packing.has("anylearn_cell.py")


def test_a_code_cell_in_a_real_kernel(
    project: Path, home: Path, kernels: Callable[[Path], RealKernel]
) -> None:
    kernel = kernels(project)
    kernel.run("%load_ext anylearn_jupyter")
    shown = kernel.run("%%anylearn_train --code --plan\nlr = 0.5\n---\nprint('rate', lr)")
    text = "".join(one.get("text", "") or one["data"]["text/plain"] for one in shown if one)
    assert "lr = 0.5" in text
    assert "print('rate', lr)" in text
    kernel.run("%%anylearn_train --code -o task\nlr = 0.5\n---\nprint('rate', lr)")
    assert kernel.text("task.wait(60)\nprint(task.log_text())").split() == ["rate", "0.5"]
    engine_command("stop", "--tasks", check=False)
