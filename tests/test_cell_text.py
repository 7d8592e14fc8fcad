"""The cell that makes a request: read again, it makes an equal one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.cell_text import cell_text, normal
from anylearn_jupyter.notebook.cell_words import template_word, word
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.training import training
from anylearn_jupyter.notebook.words import split_words
from anylearn_jupyter.submit.command import quote_value
from anylearn_jupyter.submit.request import DataInput, InputKind, TrainRequest

PARSER = parser_of(AnylearnMagics.anylearn_train)
SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--betas", type=float, nargs=2)
parser.add_argument("--tag", action="append")
parser.add_argument("--amp", action="store_true")
parser.add_argument("--pin", action=argparse.BooleanOptionalAction)
parser.add_argument("--title")
parser.add_argument("--data", nargs="*")
parser.add_argument("-v", "--verbose", action="count")
parser.add_argument("rest", nargs="*")
parser.parse_args()
"""
ODD = [
    "plain", "two words", "", "it's", '"quoted"', "{braces}", "{{", "}", "# no comment", "a # b",
    "a#b", " around ", "-dash", "--dashes", "-0.5", "[1, 2]", "(", "{'a': 1}", "true", "null",
    "False", "two\nlines", "tab\there", "line\u2028separator", "\x0cform", "日本語 ünïcode 🎉",
    "$HOME `x`",
    "back\\slash", "a\\ b", "'", "a=b", "= x", ": y", "1e-3", "%time", "!ls", "what?", "r'raw'",
    "f'{x}'", "~/home", "*", "a,b;c|d&e<f>g", "\\", "'{a}'", '"{a}', "x'{y}'\nz",
]  # fmt: skip


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "a project"
    (directory / "code dir").mkdir(parents=True)
    monkeypatch.chdir(directory)
    (directory / "train.py").write_text(SCRIPT, encoding="utf-8")
    (directory / "code dir" / "train.py").write_text(SCRIPT, encoding="utf-8")
    (directory / "plain.py").write_text("import sys\n", encoding="utf-8")
    (directory / "numbers").mkdir()
    (directory / "it's {data}").mkdir()
    (directory / "m.zip").write_bytes(b"")
    return directory


def made_by(text: str) -> TrainRequest:
    """Run a cell's text through IPython's own reading and ours, up to the request."""
    code = TransformerManager().transform_cell(text)
    if "\n" not in text:
        text += "\n"
        code = TransformerManager().transform_cell(text + "\n")
    found: list[tuple[str, str, str]] = []

    class Shell:
        def run_cell_magic(self, name: str, line: str, body: str) -> None:
            found.append((name, line, body))

    exec(code, {"get_ipython": Shell})
    ((name, line, body),) = found
    assert name == "anylearn_train"
    return training(parse_line(PARSER, line, body=True), body, Names({})).request


def check(request: TrainRequest) -> str:
    text = cell_text(request)
    assert normal(made_by(text)) == normal(request), text
    return text


@pytest.mark.parametrize("text", ODD)
def test_a_word_is_read_as_the_text(text: str) -> None:
    (template,) = split_words(word(text))
    assert Names({}).text(template) == text
    assert word(text).isprintable()


def test_a_template_keeps_its_expressions() -> None:
    for template in ("{x}", "a b{cfg['a b']}c", "lr={lr:.2f} {{so}}", "{a}{b}", "it's {x}"):
        assert split_words(template_word(template)) == [template]


def test_two_dashes_are_a_value() -> None:
    given = parse_line(PARSER, "train.py --hyperparams-prefix=-- --hyperparams-delimeter==")
    assert (given.hyperparams_prefix, given.hyperparams_delimeter) == ("--", "=")


@pytest.mark.parametrize("script", ["train.py", "plain.py"])
@pytest.mark.parametrize("text", ODD)
def test_any_value_comes_back(script: str, text: str, project: Path) -> None:
    if script == "train.py" and text in ("-dash", "--dashes"):
        return  # argparse itself takes it for an option
    check(
        TrainRequest(
            entrypoint=f"python {script}",
            algorithm_dir=project,
            hyperparams=(("title", quote_value(text)),),
        )
    )


def test_it_is_what_a_person_would_type(project: Path) -> None:
    text = check(
        TrainRequest(
            entrypoint="python train.py",
            algorithm_dir=project,
            data=(DataInput("data", path=project / "numbers"),),
            task_name="first try",
            quota_request=(("CPU", 2),),
            hyperparams=(
                ("lr", "1e-3"),
                ("betas", "0.9 0.999"),
                ("tag", "'a b' --tag c"),
                ("amp", ""),
                ("no-pin", ""),
            ),
            raw_arguments="--title=-x file",
        )
    )
    assert text == (
        "%%anylearn_train train.py -n 'first try' -d data=numbers -r CPU=2\n"
        "lr = 1e-3\nbetas = [0.9, 0.999]\ntag = ['a b', 'c']\namp\nno-pin\ntitle = -x\n-- file"
    )


def test_every_option_comes_back(project: Path) -> None:
    dataset, model = "DSET" + "0" * 28, "MODE" + "1" * 28
    check(
        TrainRequest(
            entrypoint="python train.py",
            algorithm_dir=project / "code dir",
            algorithm_git_ref="main",
            algorithm_name="mine",
            require_clean=True,
            output="out put",
            mirror_name="OTHER",
            hyperparams=(("lr", 0.5), ("betas", [1, 2])),
            data=(
                DataInput("data", path=project / "it's {data}"),
                DataInput("data", id=dataset),
                DataInput("title", path=project / "numbers", kind=InputKind.MODEL),
                DataInput("title", id=model, kind=InputKind.MODEL),
            ),
            quota_group="lab",
            quota_request=(("CPU", 2), ("Memory", 8)),
            num_nodes=2,
            nproc_per_node=4,
            project_name="a project",
            task_name="-odd {name}",
            task_description="two\nlines",
            env=(("A", ""), ("B", "x {y} 'z' \n")),
            include=("*.bin",),
            exclude=("a b", "c"),
            server="https://anylearn.example.org",
            polling_s=1.5,
            secrets=("HF_TOKEN", "WANDB_API_KEY"),
            timeout_s=5400.5,
            retries=3,
        )
    )
    check(
        TrainRequest(
            entrypoint=None,
            algorithm_dir=None,
            algorithm_id="ALGO1",
            project_id="PROJ" + "a" * 28,
            data=(
                DataInput("d", path=project / "m.zip", archive=True),
                DataInput("m", path=project / "m.zip", archive=True, kind=InputKind.MODEL),
                DataInput("t", id="TRAI1", kind=InputKind.TASK),
                DataInput("t", id="TRAI2", kind=InputKind.TASK),
            ),
        )
    )


@pytest.mark.parametrize(
    "entrypoint", ["python -m pkg.mod", "torchrun train.py -x '{a}'", "python 'my script.py'"]
)
def test_what_is_run_comes_back(entrypoint: str, project: Path) -> None:
    (project / "my script.py").touch()
    check(
        TrainRequest(
            entrypoint=entrypoint,
            algorithm_dir=project,
            hyperparams=(("a", "$HOME/x"), ("b.c", "1")),
            hyperparams_prefix="+",
            hyperparams_delimeter="=",
        )
    )


def test_many_random_requests_come_back(project: Path) -> None:
    chosen = random.Random(4)
    for number in range(300):
        names = chosen.sample(["x", "y-z", "lr.a", "_n", "0"], chosen.randint(0, 5))
        values = tuple(
            (name, chosen.choice(["", quote_value(chosen.sample(ODD, chosen.randint(1, 3)))]))
            for name in names
        )
        check(
            TrainRequest(
                entrypoint="python plain.py",
                algorithm_dir=project,
                task_name=chosen.choice([None, *ODD[:2], f"n{number}"]),
                task_description=chosen.choice(ODD),
                hyperparams=values,
                hyperparams_prefix=chosen.choice(["--", "-", "", "+"]),
                hyperparams_delimeter=chosen.choice([" ", "="]),
                raw_arguments=quote_value(chosen.sample(ODD, chosen.randint(1, 3)))
                if chosen.random() < 0.5
                else "",
                env=tuple((f"E{at}", chosen.choice(ODD)) for at in range(chosen.randint(0, 3))),
                output=chosen.choice([None, *filter(None, ODD)]),
            )
        )


def test_a_request_whose_paths_are_gone_is_written_all_the_same(project: Path) -> None:
    gone = TrainRequest(
        entrypoint="python train.py",
        algorithm_dir=project / "gone",
        data=(DataInput("data", path=project / "away"),),
        hyperparams=(("lr", "0.1"),),
    )
    assert cell_text(gone) == (
        "%%anylearn_train train.py --algorithm-dir gone -d data=away\nlr = 0.1"
    )
    named = TrainRequest(entrypoint=None, algorithm_dir=None, algorithm_fullname="me/it")
    assert "# no option names the algorithm 'me/it'" in cell_text(named)
