"""From the words of a training cell to its request: every option, layer and mistake."""

from __future__ import annotations

import inspect
import shlex
from pathlib import Path

import pytest

from anylearn_jupyter import connect, disconnect, quick_train
from anylearn_jupyter.errors import ConfigError, OptionError
from anylearn_jupyter.notebook.arguments import option_strings, parse_line
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.training import Training, training
from anylearn_jupyter.submit.command import command_text, train_command
from anylearn_jupyter.submit.request import DataInput, InputKind, TrainRequest

SCRIPT = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, help="passes over the data")
parser.add_argument("--lr", type=float)
parser.add_argument("--mode", choices=["fast", "good"])
parser.add_argument("--betas", type=float, nargs=2)
parser.add_argument("--tag", action="append")
parser.add_argument("--pair", action="append", nargs=2)
parser.add_argument("--amp", action="store_true")
parser.add_argument("--pin", action=argparse.BooleanOptionalAction)
parser.add_argument("--title")
parser.add_argument("--config")
parser.add_argument("--data")
parser.parse_args()
"""

PARSER = parser_of(AnylearnMagics.anylearn_train)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a directory with a script that has a parser, and one that has none."""
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    (directory / "train.py").write_text(SCRIPT, encoding="utf-8")
    (directory / "plain.py").write_text("import sys\nprint(sys.argv)\n", encoding="utf-8")
    (directory / "numbers").mkdir()
    return directory


def cell(line: str, body: str = "", server: str = "", **variables: object) -> Training:
    given = parse_line(PARSER, line, body=True)
    return training(given, body, Names(variables), configured_server=server)


def request_of(line: str, body: str = "", **variables: object) -> TrainRequest:
    return cell(line, body, **variables).request


def words_of(request: TrainRequest) -> list[str]:
    """Give what the script would get; data as its id or path."""
    mounts: dict[str, list[str]] = {}
    for one in request.data:
        mounts.setdefault(one.name, []).append(str(one.id or one.path))
    entrypoint, params = train_command(
        request.entrypoint or "", request.hyperparams, mounts, request.raw_arguments
    )
    text = command_text(
        entrypoint, params, request.hyperparams_prefix, request.hyperparams_delimeter
    )
    return shlex.split(text)


def refused(line: str, body: str = "", **variables: object) -> str:
    with pytest.raises(OptionError) as caught:
        cell(line, body, **variables)
    message = str(caught.value)
    assert len(message) < 600
    return message


# The options.


def test_a_lone_script_is_a_whole_request(project: Path) -> None:
    assert request_of("train.py") == TrainRequest(
        entrypoint="python train.py", algorithm_dir=project, working_dir=project
    )


def test_every_option_arrives(project: Path) -> None:
    (project / "code").mkdir()
    (project / "code" / "train.py").write_text(SCRIPT, encoding="utf-8")
    request = request_of(
        "train.py -n 'a name' -p 'a project' --algorithm-dir code --algorithm-name mine "
        "--algorithm-git-ref main --require-clean --output out --mirror-name OTHER "
        "--hyperparams-delimeter = -d data=numbers --env A=1 --env B='x y=z' --include '*.bin' "
        "--exclude a --exclude b --server local --task-description {text} --resource-polling 1.5 "
        "--set lr=0.5",
        "epochs = 5",
        text="some words",
    )
    assert request == TrainRequest(
        entrypoint="python train.py",
        algorithm_dir=project / "code",
        algorithm_name="mine",
        algorithm_git_ref="main",
        require_clean=True,
        output="out",
        mirror_name="OTHER",
        hyperparams=(("epochs", "5"), ("lr", "0.5")),
        hyperparams_delimeter="=",
        data=(DataInput("data", path=project / "numbers"),),
        project_name="a project",
        task_name="a name",
        task_description="some words",
        env=(("A", "1"), ("B", "x y=z")),
        include=("*.bin",),
        exclude=("a", "b"),
        server="local",
        working_dir=project,
        polling_s=1.5,
    )


def test_every_option_of_quick_train_is_an_option_here() -> None:
    names = set(inspect.signature(quick_train).parameters) - {"renamed"}
    published = {f"--{name.replace('_', '-')}" for name in names}
    assert published <= set(option_strings(PARSER))


def test_what_to_run(project: Path) -> None:
    (project / "pkg").mkdir()
    (project / "pkg" / "__main__.py").write_text(SCRIPT, encoding="utf-8")
    assert request_of("-m pkg").entrypoint == "python -m pkg"
    assert words_of(request_of("-m pkg", "amp"))[-1] == "--amp"
    (project / "my train.py").touch()
    assert request_of("'my train.py'").entrypoint == "python 'my train.py'"
    assert request_of(str(project / "train.py")).entrypoint == "python train.py"
    assert request_of('--entrypoint "torchrun train.py -x {n}"', n=2).entrypoint == (
        "torchrun train.py -x 2"
    )
    here = request_of("--algorithm-id ALGO1")
    assert (here.entrypoint, here.algorithm_dir, here.algorithm_id) == (None, None, "ALGO1")


def test_data(project: Path) -> None:
    dataset = "DSET" + "0" * 28
    request = request_of(
        f"plain.py -d a=numbers -d a={dataset} -d b={{folder}} --dataset-dir numbers "
        f"--dataset-id {dataset} --dataset-hyperparam-name c",
        folder=project / "numbers",
    )
    assert request.data == (
        DataInput("a", path=project / "numbers"),
        DataInput("a", id=dataset),
        DataInput("b", path=project / "numbers"),
        DataInput("c", id=dataset),
        DataInput("c", path=project / "numbers"),
    )


def test_models_and_earlier_tasks(project: Path) -> None:
    (project / "m.zip").write_bytes(b"")
    request = request_of(
        "plain.py --model-dir numbers --model-archive m.zip --model-id MODE1 "
        "--pretrain-task-id TRAI1 --pretrain-task-id TRAI2 --pretrain-hyperparam-name from"
    )
    assert request.data == (
        DataInput("model", id="MODE1", kind=InputKind.MODEL),
        DataInput("model", path=project / "numbers", kind=InputKind.MODEL),
        DataInput("model", path=project / "m.zip", kind=InputKind.MODEL, archive=True),
        DataInput("from", id="TRAI1", kind=InputKind.TASK),
        DataInput("from", id="TRAI2", kind=InputKind.TASK),
    )


def test_resources() -> None:
    request = request_of(
        "train.py --quota-group-name lab --quota-group-request CPU=2 "
        "--quota-group-request {more} --num-nodes 2 --nproc-per-node {n}",
        more={"Memory": 8},
        n=4,
    )
    assert (request.quota_group, request.quota_request) == ("lab", (("CPU", 2), ("Memory", 8)))
    assert (request.num_nodes, request.nproc_per_node) == (2, 4)
    with pytest.warns(DeprecationWarning, match="older form"):
        older = request_of("train.py --resource-request {[{'lab': {'CPU': 1}}]}")
    assert (older.quota_group, older.quota_request) == ("lab", (("CPU", 1),))


def test_an_uploader_is_an_object() -> None:
    class Mine:
        def run(self, resource_id: str, chunks: object) -> None:
            """Send nothing."""

    mine = Mine()
    assert request_of("train.py --resource-uploader {mine}", mine=mine).uploader is mine
    assert request_of("train.py --resource-uploader mine", mine=mine).uploader is mine
    assert "without a method run" in refused("train.py --resource-uploader {1}")


def test_a_project_by_name_or_id() -> None:
    project_id = "PROJ" + "a" * 28
    assert request_of(f"train.py -p {project_id}").project_id == project_id
    assert request_of("train.py --project-name x").project_name == "x"
    assert request_of("train.py --project-id x").project_id == "x"


def test_a_dict_of_variables() -> None:
    assert request_of("train.py --env {env} --env C=3", env={"A": "1", "B": "2"}).env == (
        ("A", "1"),
        ("B", "2"),
        ("C", "3"),
    )


def test_only_named_variables_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "x")
    assert request_of("train.py").env == ()


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("train.py --lr 0.1", "the line `lr = 0.1`"),
        ("train.py --lr=0.1", "the line `lr = 0.1`"),
        ("train.py --amp", "the line `amp`"),
        ("train.py --amp -b", "the line `amp`"),
        ("train.py epochs=5", "the line `epochs = 5`"),
        ("train.py data.csv", "the line `-- data.csv`"),
        ("train.py -- --x 1", "the line `-- --x 1`"),
        ("train.py --nmae x", "did you mean `--name`?"),
        ("train.py --blok", "did you mean `--block`?"),
        ("train.py -nfoo", "did you mean `-n foo`?"),
        ("train.py --proj x", "has no option --proj"),
        ("train.py --sweep grid", "write a line such as `lr in [0.1, 0.01]`"),
        ("train.py --parallel 2", "write a line such as `lr in [0.1, 0.01]`"),
        ("train.py --help", "%%anylearn_train?"),
        ("train.py -n", "expected one argument"),
        ("train.py -n a -n b", "given twice"),
        ("train.py -b=1", "ignored explicit argument"),
        ("", "There is nothing to run"),
        ("train.py -m pkg", "both say what to run"),
        ("train.py --entrypoint x", "both say what to run"),
        ("train.ipynb --algorithm-id ALGO1", "leave out --algorithm-id"),
        ("train.sh", "--entrypoint"),
        ("-m not/a/module", "names no module"),
        ("/elsewhere/train.py", "--algorithm-dir /elsewhere"),
        ("train.py --algorithm-dir missing", "does not exist"),
        ("train.py --algorithm-dir train.py", "is no directory"),
        ("train.py -d data", "write -d NAME=PATH"),
        ("train.py -d data=", "write -d NAME=PATH"),
        ("train.py -d data=missing", "'missing'"),
        ("train.py -d 'a b=numbers'", "'a b'"),
        ("train.py --dataset-dir missing", "'missing'"),
        ("train.py --env A", "write --env NAME=VALUE"),
        ("train.py --env 1A=2", "1A"),
        ("train.py --env A=1 --env A=2", "A twice"),
        ("train.py --num-nodes two", "whole number"),
        ("train.py --quota-group-request CPU", "NAME=VALUE"),
        ("train.py --quota-group-request CPU=much", "whole number"),
        ("train.py --resource-request x", "list in braces"),
        ("train.py --model-dir missing", "'missing'"),
        ("train.py --set lr", "write --set NAME=value"),
        ("train.py --set lr=1 --set lr=2", "twice"),
        ("train.py -p a --project-id b", "more than once"),
        ("train.py --require-clean --algorithm-force-update", "exclude each other"),
        ("train.py --resource-polling soon", "seconds"),
        ("train.py --resource-polling 0", "seconds"),
        ("train.py -n {nam}", "did you mean 'name'?"),
        ("train.py -n 'open", "never closed"),
        ("train.py --params missing.json", "cannot be read"),
        ("train.py --params missing", "neither a variable nor"),
        ("train.py --params missing.yaml", "cannot be read"),
        ("train.py --params name", "is a"),
        ("train.py --hyperparams name", "give a dict"),
        ("train.py --params {bad}", "'a b'"),
    ],
)
def test_mistakes_in_the_line(line: str, shown: str) -> None:
    assert shown in refused(line, name="x", bad={"a b": 1})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", '{"lr": 0.5, "betas": [0.9, 1], "amp": true}'),
        ("p.toml", "lr = 0.5\nbetas = [0.9, 1]\namp = true\n"),
        ("p.yaml", "lr: 0.5  # slow\nbetas:\n  - 0.9\n  - 1\namp: yes\n"),
        ("p.yml", "{lr: 5e-1, betas: [0.9, 1], amp: true}\n"),
    ],
)
def test_a_file_of_hyperparameters(name: str, text: str, project: Path) -> None:
    (project / name).write_text(text, encoding="utf-8")
    words = words_of(request_of(f"train.py --params {name}", "lr = 0.1"))
    assert words[2:] == ["--lr", "0.1", "--betas", "0.9", "1", "--amp"]


def test_a_yaml_file_that_goes_beyond_is_refused(project: Path) -> None:
    (project / "p.yaml").write_text("a: &x 1\nb: *x\n", encoding="utf-8")
    assert "load the file yourself" in refused("train.py --params p.yaml")
    (project / "p.yaml").write_text("- 1\n", encoding="utf-8")
    assert "is a list; give a dict" in refused("train.py --params p.yaml")


def test_a_variable_that_is_no_dict_is_refused() -> None:
    assert "is a int" in refused("train.py --params n", n=3)


# Which server.


def test_the_servers_precedence(monkeypatch: pytest.MonkeyPatch, engine: object) -> None:
    assert cell("train.py --server https://a/", server="https://b").request.server == "https://a"
    assert cell("train.py", server="https://b/").request.server == "https://b"
    assert cell("train.py").request.server is None
    connect("local")
    try:
        assert cell("train.py", server="https://b").request.server is None
    finally:
        disconnect()
    with pytest.raises(ConfigError, match="https://host"):
        cell("train.py --server host")


# Values and the script's parser.


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("lr = 1e-3", ["--lr", "1e-3"]),
        ("title = a  $HOME 'b'", ["--title", "a  $HOME 'b'"]),
        ("title = ''", ["--title", ""]),
        ("title = {value}", ["--title", "it's\nhere"]),
        ("betas = [0.9, 0.999]", ["--betas", "0.9", "0.999"]),
        ("betas = {numbers}", ["--betas", "1", "2"]),
        ("tag = ['a b', 'c']", ["--tag", "a b", "--tag", "c"]),
        ("tag = one", ["--tag", "one"]),
        ("tag = []", []),
        ("pair = [[1, 2], [3, 4]]", ["--pair", "1", "2", "--pair", "3", "4"]),
        ("amp", ["--amp"]),
        ("amp = true", ["--amp"]),
        ("amp = True", ["--amp"]),
        ("amp = {yes}", ["--amp"]),
        ("amp = false", []),
        ("amp = {no}", []),
        ("amp = null", []),
        ("amp = {nothing}", []),
        ("pin", ["--pin"]),
        ("pin = false", ["--no-pin"]),
        ("pin = {no}", ["--no-pin"]),
        ("pin = null", []),
        ("title = {yes}", ["--title", "True"]),
        ("title = True", ["--title", "True"]),
        ("title = -x", ["--title=-x"]),
        ("lr = -1e-3", ["--lr=-1e-3"]),
        ("lr = -0.5", ["--lr", "-0.5"]),
        ("config = {'a': [1, None]}", ["--config", '{"a": [1, null]}']),
        ("--lr 0.1 --title 'a b'", ["--lr", "0.1", "--title", "a b"]),
        ("-- --title {value}", ["--title", "it's\nhere"]),
    ],
)
def test_where_the_parser_can_be_read(line: str, words: list[str]) -> None:
    request = request_of(
        "train.py", line, value="it's\nhere", numbers=(1, 2), yes=True, no=False, nothing=None
    )
    assert words_of(request)[2:] == words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("x = 1e-3", ["--x", "1e-3"]),
        ("x = -a", ["--x", "-a"]),
        ("x = [1, 'a b']", ["--x", "1", "a b"]),
        ("x", ["--x"]),
        ("x = false", []),
        ("x = {yes}", ["--x"]),
        ("x = True", ["--x", "True"]),
        ("x = {nothing}", []),
    ],
)
def test_where_nothing_is_readable_it_is_name_and_value(line: str, words: list[str]) -> None:
    made = cell("plain.py", line, yes=True, nothing=None)
    assert words_of(made.request)[2:] == words
    assert bool(made.notes) == bool(words)
    assert all("No parser can be read in plain.py" in note for note in made.notes)


def test_words_of_the_entrypoint_count_too(project: Path) -> None:
    (project / "needs.py").write_text(
        SCRIPT.replace('"--data"', '"--data", required=True'), encoding="utf-8"
    )
    made = cell('--entrypoint "python -u needs.py --data x"', "lr = 1")
    assert words_of(made.request) == ["python", "-u", "needs.py", "--data", "x", "--lr", "1"]
    assert made.notes == ()
    assert "would refuse" in refused('--entrypoint "python needs.py --data x --nope"', "lr = 1")


def test_any_command_is_unreadable_but_works() -> None:
    made = cell('--entrypoint "cd sub && python train.py"', "x = 1")
    assert made.notes
    assert words_of(made.request)[-2:] == ["--x", "1"]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("epochs = ten", "--epochs EPOCHS  passes over the data"),
        ("lr = abc", "would refuse `lr = abc`"),
        ("mode = slow", "choose from"),
        ("betas = [1]", "expected 2 arguments"),
        ("amp = 5", "unrecognized arguments: 5"),
        ("lr", "expected one argument"),
        ("epocs = 5", "did you mean 'epochs'?"),
        ("zzz = false", "has no option --zzz"),
        ("lr = {thing}", "`lr = {thing}`"),
        ("-- extra", "unrecognized arguments: extra"),
    ],
)
def test_what_the_parser_would_refuse(body: str, shown: str) -> None:
    assert shown in refused("train.py", body, thing=object())


def test_required_options_and_data(project: Path) -> None:
    (project / "needs.py").write_text(
        SCRIPT.replace('"--data"', '"--data", required=True, help="a folder"'), encoding="utf-8"
    )
    message = refused("needs.py")
    assert "the following arguments are required: --data" in message
    assert "`-d data=PATH`" in message
    assert request_of("needs.py -d data=numbers").data
    assert words_of(request_of("needs.py", "-- --data x"))[-2:] == ["--data", "x"]
    assert "given twice" in refused("needs.py -d data=numbers", "data = x")
    assert "has no option --dat" in refused("train.py -d datta=numbers")


def test_the_layers_override_each_other(project: Path) -> None:
    (project / "p.json").write_text('{"lr": 0.1, "epochs": 1, "amp": true, "title": null}')
    request = request_of(
        "train.py --hyperparams {old} --params p.json --set epochs=4",
        "lr = 0.3",
        old={"lr": "9", "mode": "fast", "title": "t"},
    )
    # `null` in a stronger layer takes the value of a weaker one away.
    assert request.hyperparams == (
        ("mode", "fast"), ("lr", "0.3"), ("epochs", "4"), ("amp", ""),
    )  # fmt: skip


def test_parameters_from_toml_and_variables(project: Path) -> None:
    (project / "p.toml").write_text('lr = 0.1\nbetas = [0.9, 0.99]\n[config]\na = "x"\n')
    assert words_of(request_of("train.py --params p.toml"))[2:] == [
        "--lr", "0.1", "--betas", "0.9", "0.99", "--config", '{"a": "x"}',
    ]  # fmt: skip
    held = {"lr": 0.5, "title": "a b"}
    assert words_of(request_of("train.py --params held", held=held))[2:] == [
        "--lr", "0.5", "--title", "a b",
    ]  # fmt: skip
    assert held == {"lr": 0.5, "title": "a b"}


def test_hydra_forms() -> None:
    request = request_of(
        "plain.py --hyperparams-prefix '' --hyperparams-delimeter =", "model.lr = 0.1\nname = a b"
    )
    assert words_of(request)[2:] == ["model.lr=0.1", "name=a b"]
