"""How values are put for each style of parser, and what is refused; the library is the judge."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.training import Training, training
from anylearn_jupyter.submit.command import command_text, train_command

OPTIONS = parser_of(AnylearnMagics.anylearn_train)

SCRIPTS = {
    "sub.py": """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0, help="of the dice")
parser.add_argument("--verbose", "-v", action="count", default=0)
parser.add_argument("--truth", type=bool, default=True)
commands = parser.add_subparsers(dest="command", required=True)
fit = commands.add_parser("fit")
fit.add_argument("--lr", type=float, default=0.1, help="step (%(default)s)")
fit.add_argument("--epochs", type=int, required=True)
test = commands.add_parser("test")
test.add_argument("--limit", type=int)
print(parser.parse_args())
""",
    "click_one.py": """
import click
@click.command()
@click.option("--lr", type=float, default=0.1, help="step")
@click.option("--drop", type=click.FloatRange(0, 1, max_open=True))
@click.option("--amp/--no-amp", default=True)
@click.option("--tag", multiple=True)
@click.option("--size", nargs=2, type=int)
@click.option("--mode", type=click.Choice(["Fast", "good"], case_sensitive=False))
@click.option("--truth", type=bool)
@click.option("-v", "--verbose", count=True)
@click.argument("data")
def main(**options):
    print(sorted(options.items()))
main()
""",
    "click_many.py": """
import click
@click.group()
@click.option("--seed", type=int, default=0)
def cli(seed):
    pass
@cli.command()
@click.option("--lr", type=float, required=True)
def fit(lr):
    print(lr)
cli()
""",
    "typer_one.py": """
import typer
from enum import Enum
class Mode(str, Enum):
    fast = "fast"
    good = "good"
def main(epochs: int, lr: float = typer.Option(0.1, max=1), use_amp: bool = True,
         tag: list[str] = [], mode: Mode = Mode.fast):
    print(epochs, lr, use_amp, tag, mode)
typer.run(main)
""",
    "absl_one.py": """
from absl import app, flags
flags.DEFINE_integer("epochs", 3, "passes", lower_bound=1)
flags.DEFINE_bool("amp", True, "half")
flags.DEFINE_list("layers", [], "sizes")
flags.DEFINE_multi_integer("ids", [], "numbers")
flags.DEFINE_enum("mode", "fast", ["fast", "good"], "how")
flags.DEFINE_string("data", None, "a folder", required=True)
def main(argv):
    print(flags.FLAGS.epochs, flags.FLAGS.amp, flags.FLAGS.layers, flags.FLAGS.ids)
app.run(main)
""",
    "tyro_one.py": """
import dataclasses, tyro
@dataclasses.dataclass
class Optimizer:
    learning_rate: float = 0.1
    nesterov: bool = True
@dataclasses.dataclass
class Args:
    data: str
    layers: list[int] = dataclasses.field(default_factory=list)
    limit: int | None = 3
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
print(tyro.cli(Args))
""",
    "simple_one.py": """
from dataclasses import dataclass, field
import simple_parsing
@dataclass
class Config:
    data: str
    amp: bool = True
    layers: list[int] = field(default_factory=list)
    lr: float = 0.1
print(simple_parsing.parse(Config))
""",
    "fire_one.py": """
import fire
def train(data, lr=0.1, amp=True, layers=()):
    print(repr(data), repr(lr), repr(amp), repr(layers))
fire.Fire(train)
""",
    "hydra_one.py": """
import hydra
@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    print(cfg)
main()
""",
}

CONFIG = "defaults:\n  - _self_\n  - model: small\nlr: 0.1\nname: x\nbetas: [1]\nopts: {a: 1}\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the scripts."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in SCRIPTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "conf" / "config.yaml").write_text(CONFIG, encoding="utf-8")
    for name in ("small", "large"):
        (folder / "conf" / "model" / f"{name}.yaml").write_text("width: 3\n", encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def stand_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in that directory."""
    monkeypatch.chdir(project)


def cell(line: str, body: str = "", **variables: object) -> Training:
    """Read a cell."""
    given: argparse.Namespace = parse_line(OPTIONS, line)
    return training(given, body, Names(variables))


def command(line: str, body: str = "", **variables: object) -> list[str]:
    """Give the words that the task would run, behind ``python script``."""
    request = cell(line, body, **variables).request
    start, params = train_command(
        request.entrypoint or "", request.hyperparams, {}, request.raw_arguments
    )
    text = command_text(start, params, request.hyperparams_prefix, request.hyperparams_delimeter)
    return shlex.split(text)[2:]


def accepted(script: str, words: list[str]) -> tuple[bool, str]:
    """Run a script with words; give whether it takes them, and what it says."""
    extra = ["hydra.run.dir=.", "hydra/job_logging=disabled", "hydra.output_subdir=null"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, *words, *(extra if "hydra" in script else [])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0, done.stdout + done.stderr


PLACED = [
    ("sub.py", "fit\nepochs = 3\nlr = 1e-3", ["fit", "--epochs", "3", "--lr", "1e-3"]),
    ("sub.py", "epochs = 3\nfit\nseed = 5", ["--seed", "5", "fit", "--epochs", "3"]),
    ("sub.py", "verbose = 2\nfit\nepochs = 1", ["--verbose", "--verbose", "fit", "--epochs", "1"]),
    ("sub.py", "seed = 4\n-- test --limit 3", ["--seed", "4", "test", "--limit", "3"]),
    ("sub.py", "truth = false\ntest", ["--truth", "", "test"]),
    ("sub.py", "test\nlimit = {n}", ["test", "--limit", "7"]),
    ("click_one.py", "lr = -1e-3\n-- d", ["--lr=-1e-3", "d"]),
    ("click_one.py", "amp = false\n-- d", ["--no-amp", "d"]),
    ("click_one.py", "tag = ['a', 'b']\nsize = [1, 2]\n-- d",
     ["--tag", "a", "--tag", "b", "--size", "1", "2", "d"]),
    ("click_one.py", "mode = FAST\ntruth = false\nverbose = 3\n-- d",
     ["--mode", "FAST", "--truth", "False", "--verbose", "--verbose", "--verbose", "d"]),
    ("click_one.py", "drop = 0.5\ntruth\n-- d", ["--drop", "0.5", "--truth", "True", "d"]),
    ("click_many.py", "seed = 1\nfit\nlr = 2", ["--seed", "1", "fit", "--lr", "2"]),
    ("typer_one.py", "use-amp = false\ntag = ['a', 'b']\nmode = good\n-- 3",
     ["--no-use-amp", "--tag", "a", "--tag", "b", "--mode", "good", "3"]),
    ("absl_one.py", "amp = false\nlayers = [1, 2]\nids = [3, 4]\ndata = d\nmode = good",
     ["--noamp", "--layers", "1,2", "--ids", "3", "--ids", "4", "--data", "d", "--mode", "good"]),
    ("absl_one.py", "-- -epochs 5 --data=x --amp=true extra",
     ["-epochs", "5", "--data=x", "--amp=true", "extra"]),
    ("tyro_one.py", "data = d\nlayers = [1, 2]\nlimit = None\noptimizer.nesterov = false",
     ["--data", "d", "--layers", "1", "2", "--limit", "None", "--optimizer.no-nesterov"]),
    ("tyro_one.py", "data = d\noptimizer.learning_rate = 0.5",
     ["--data", "d", "--optimizer.learning_rate", "0.5"]),
    ("simple_one.py", "data = d\namp = false\nlayers = [1, 2]",
     ["--data", "d", "--amp", "False", "--layers", "1", "2"]),
    ("simple_one.py", "data = d\namp", ["--data", "d", "--amp"]),
    ("fire_one.py", "data = d\namp = false\nlayers = [1, 2]",
     ["--data", "d", "--amp", "False", "--layers", "[1, 2]"]),
    ("hydra_one.py", "lr = 1e-3\nname = a b\nbetas = [1, 2]\nmodel = large",
     ["lr=1e-3", "name=a b", "betas=[1,2]", "model=large"]),
    ("hydra_one.py", "name = {text}\nopts = {'a': 2}\n-- +more=1 ++lr=2",
     ["name='a=b, \\'c\\''", "opts={a:2}", "+more=1", "++lr=2"]),
    ("hydra_one.py", "model.width = 5\nname = null\nlr = {yes}", ["model.width=5", "lr=true"]),
]  # fmt: skip


@pytest.mark.parametrize(("script", "body", "words"), PLACED)
def test_values_are_put_as_the_script_takes_them(script: str, body: str, words: list[str]) -> None:
    assert command(script, body, n=7, yes=True, text="a=b, 'c'") == words
    taken, said = accepted(script, words)
    assert taken, said


REFUSED = [
    ("sub.py", "fit", "required: --epochs"),
    ("sub.py", "", "required: {fit,test}"),
    ("sub.py", "fit\nepochs = ten", "--epochs EPOCHS"),
    ("sub.py", "fit\nepochs = 1\nlr = x", "step (0.1)"),
    ("sub.py", "fit\nepochs = 1\nlimit = 3", "has no option --limit"),
    ("sub.py", "nofit\nepochs = 1", "has no option --nofit"),
    ("sub.py", "truth = no\ntest", "bool()"),
    ("click_one.py", "", "required: data"),
    ("click_one.py", "lr = x\n-- d", "--lr LR  step"),
    ("click_one.py", "drop = 1\n-- d", "not in the range 0<=x<1"),
    ("click_one.py", "mode = slow\n-- d", "choose from"),
    ("click_one.py", "size = [1]\n-- d", "invalid int value: 'd'"),
    ("click_one.py", "truth = perhaps\n-- d", "invalid truth value"),
    ("click_one.py", "nope = 1\n-- d", "has no option --nope"),
    ("click_many.py", "fit", "required: --lr"),
    ("typer_one.py", "lr = 2\n-- 3", "range"),
    ("typer_one.py", "-- x", "invalid int"),
    ("absl_one.py", "epochs = 0\ndata = d", "range"),
    ("absl_one.py", "", "required: --data"),
    ("absl_one.py", "mode = slow\ndata = d", "choose from"),
    ("tyro_one.py", "data = d\nlayers = [1, 'x']", "invalid int"),
    ("tyro_one.py", "", "required: --data"),
    ("simple_one.py", "data = d\nlr = x", "invalid float"),
    ("hydra_one.py", "larning = 1", "To add it, write the line `-- +larning=…`"),
    ("hydra_one.py", "model = huge", "choose from large, small"),
    ("hydra_one.py", "-- +lr=3", "already"),
]


@pytest.mark.parametrize(("script", "body", "shown"), REFUSED)
def test_what_the_script_refuses_is_refused_here(script: str, body: str, shown: str) -> None:
    with pytest.raises(OptionError) as caught:
        cell(script, body)
    assert shown in str(caught.value)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("sub.py", ["fit", "--epochs", "ten"]),
        ("sub.py", ["fit", "--epochs", "1", "--seed", "1"]),
        ("click_one.py", ["--drop", "1", "d"]),
        ("click_one.py", ["--lr", "-3", "d"]),
        ("click_one.py", ["--mode", "FAST", "d", "e"]),
        ("click_many.py", ["fit", "--lr", "1", "--seed", "1"]),
        ("typer_one.py", ["3", "--lr", "2"]),
        ("typer_one.py", ["3", "--tag", "-x"]),
        ("absl_one.py", ["--noamp=true", "--data", "x"]),
        ("absl_one.py", ["--data", "-x", "--epoch", "2"]),
        ("tyro_one.py", ["--data", "d", "--optimizer.learning-rate", "x"]),
        ("hydra_one.py", ["lr"]),
        ("hydra_one.py", ["model.depth=3"]),
        ("hydra_one.py", ["+model.depth=3", "~lr"]),
    ],
)
def test_raw_words_are_refused_as_the_script_refuses_them(script: str, words: list[str]) -> None:
    """The script itself is the judge."""
    taken, _ = accepted(script, words)
    line = "-- " + shlex.join(words)
    if taken:
        cell(script, line)
        return
    with pytest.raises(OptionError):
        cell(script, line)


def test_a_subcommand_of_the_entrypoint_is_known() -> None:
    line = '--entrypoint "python sub.py --seed 1 fit"'
    assert command(line, "epochs = 2") == ["--seed", "1", "fit", "--epochs", "2"]
    with pytest.raises(OptionError, match="has no option --limit"):
        cell(line, "epochs = 2\nlimit = 1")


def test_hydra_marks_can_still_be_said() -> None:
    line = "hydra_one.py --hyperparams-prefix '' --hyperparams-delimeter ="
    assert command(line, "lr = 2") == ["lr=2"]
    assert cell("hydra_one.py", "lr = 2").request.hyperparams == (("lr", "2"),)


def test_what_is_not_all_known_is_said(project: Path) -> None:
    (project / "more.py").write_text(
        "import argparse, strange\nparser = argparse.ArgumentParser()\n"
        "parser.add_argument('--lr', type=float)\nstrange.add(parser)\nparser.parse_args()\n",
        encoding="utf-8",
    )
    made = cell("more.py", "lr = 1\nother = 2")
    assert made.notes == (
        "What more.py takes is not all known here: `strange.add(…)` in line 4 may add others.",
    )
    with pytest.raises(OptionError, match="invalid float"):
        cell("more.py", "lr = x")
