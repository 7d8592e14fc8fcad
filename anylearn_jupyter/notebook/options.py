"""The options of ``%%anylearn_train``: declared once, shown by ``?``, completed by Tab.

The published options of `quick_train` have their own names with dashes; beside them are the short
ones that people reach for. `training` makes the request of what was given.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

from IPython.core.magic_arguments import (
    ArgDecorator,
    argument,
    argument_group,
    magic_arguments,
)

F = TypeVar("F", bound=Callable[..., object])

_PARSER = "parser"

TRAIN_ARGUMENTS: tuple[ArgDecorator, ...] = (
    argument(
        "entry",
        nargs="*",
        metavar="ENTRY",
        help="what to train: a script such as train.py, which runs as `python train.py`, or a "
        "notebook such as train.ipynb, which is executed",
    ),
    argument("-m", "--module", metavar="MODULE", help="train a module, as `python -m MODULE`"),
    argument("--entrypoint", metavar="COMMAND", help="the whole shell command, instead of ENTRY"),
    argument_group("what is watched"),
    argument(
        "-n", "--name", "--task-name", dest="name", help="the task's name; default: a random one"
    ),
    argument("-o", "--out", metavar="VAR", help="keep the task in this variable"),
    argument("-b", "--block", action="store_true", help="wait for the end, and raise if it failed"),
    argument(
        "-a",
        "--noblock",
        action="store_true",
        help="return at once, also headless; default: in a notebook yes, headless no",
    ),
    argument(
        "--plan",
        "--dry-run",
        dest="plan",
        action="store_true",
        help="show what would be sent, and send nothing",
    ),
    argument("--form", action="store_true", help="fill in the rest in a form, which submits it"),
    argument(
        "--new",
        action="store_true",
        help="start another task also where one of this directory is the same; default in a "
        "notebook: show that one, unless it failed",
    ),
    argument(
        "--reuse",
        action="store_true",
        help="show the same task also headless, where the default is to start another",
    ),
    argument_group("hyperparameters, beside the cell's body"),
    argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a hyperparameter, as a line of the body; overrides it",
    ),
    argument(
        "--params",
        metavar="VAR_OR_FILE",
        help="a dict variable, or a JSON, TOML or YAML file of them; the body overrides it",
    ),
    argument(
        "--hyperparams",
        metavar="{DICT}",
        help="as in quick_train, where texts are shell text; --params overrides it",
    ),
    argument("--hyperparams-prefix", metavar="TEXT", help="before each name; default: two dashes"),
    argument(
        "--hyperparams-delimeter", metavar="TEXT", help="between name and value; default: a space"
    ),
    argument_group("several trainings, for lines `NAME in values` of the body"),
    argument(
        "--sweep",
        metavar="HOW",
        help="grid (default: each value with each), zip (the first with the first) or random:N "
        "(N draws; random:N,seed=S for others)",
    ),
    argument(
        "--parallel",
        metavar="K",
        help="so many of them at once, at most; default: as many as there is room for",
    ),
    argument_group("data"),
    argument(
        "-d",
        "--data",
        action="append",
        default=[],
        metavar="NAME=PATH_OR_ID",
        help="send a folder (once), or name a dataset by its id; the script gets its path as NAME",
    ),
    argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME=PATH_OR_ID",
        help="as -d, for a model",
    ),
    argument("--dataset-dir", metavar="DIR", help="a folder, given to the script as its dataset"),
    argument("--dataset-archive", metavar="FILE", help="the same, packed already"),
    argument(
        "--dataset-id",
        action="append",
        default=[],
        metavar="ID",
        help="a dataset on the server, given to the script as its dataset",
    ),
    argument(
        "--dataset-hyperparam-name",
        metavar="NAME",
        help="the hyperparameter that gets their paths; default: dataset",
    ),
    argument("--model-dir", metavar="DIR", help="a folder, given to the script as its model"),
    argument("--model-archive", metavar="FILE", help="the same, packed already"),
    argument(
        "--model-id",
        action="append",
        default=[],
        metavar="ID",
        help="a model on the server, given to the script as its model",
    ),
    argument(
        "--model-hyperparam-name",
        metavar="NAME",
        help="the hyperparameter that gets their paths; default: model",
    ),
    argument(
        "--pretrain-task-id",
        action="append",
        default=[],
        metavar="ID",
        help="an earlier task, whose results are given to the script",
    ),
    argument(
        "--pretrain-hyperparam-name",
        metavar="NAME",
        help="the hyperparameter that gets their paths; default: pretrain",
    ),
    argument(
        "--resource-uploader",
        metavar="{OBJECT}",
        help="a strategy of your own for uploads; default: in order, with a bar",
    ),
    argument(
        "--resource-polling",
        metavar="SECONDS",
        help="longest pause between two questions about what is being processed; default: 5",
    ),
    argument_group("code"),
    argument(
        "--code",
        action="store_true",
        help="the cell is the script; a line --- ends the hyperparameters above it",
    ),
    argument("--algorithm-dir", metavar="DIR", help="the code directory; default: the notebook's"),
    argument("--include", action="append", default=[], metavar="GLOB", help="send these files too"),
    argument(
        "--exclude", action="append", default=[], metavar="GLOB", help="leave these files out"
    ),
    argument(
        "--require-clean",
        action="store_true",
        help="refuse changes that are not committed; default: they are sent as they are",
    ),
    argument(
        "--algorithm-force-update",
        action="store_true",
        help="send changes that are not committed: the default here, for quick_train's sake",
    ),
    argument(
        "--algorithm-name", metavar="NAME", help="its name on the server; default: from the path"
    ),
    argument("--algorithm-id", metavar="ID", help="train code that is on the server"),
    argument(
        "--algorithm-git-ref", metavar="REF", help="its commit, branch or tag; default: the newest"
    ),
    argument_group("where and how it runs"),
    argument(
        "--server",
        metavar="HOST",
        help="an address, or local for this machine; default: see the login page",
    ),
    argument("-p", "--project", metavar="NAME_OR_ID", help="the project; a new name makes one"),
    argument("--project-name", metavar="NAME", help="the project by name"),
    argument("--project-id", metavar="ID", help="the project by id"),
    argument(
        "--env",
        "--envs",
        dest="env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a variable for the task, or {dict} for several",
    ),
    argument(
        "--secret",
        action="append",
        default=[],
        metavar="NAME",
        help="a variable of this kernel's environment for the task, its value shown nowhere",
    ),
    argument("--mirror-name", metavar="NAME", help="the environment; default: QUICKSTART"),
    argument(
        "--output", metavar="DIR", help="where the script writes its results; default: output"
    ),
    argument("--task-description", metavar="TEXT", help="a text for the task's record"),
    argument(
        "-r",
        "--resources",
        action="append",
        default=[],
        metavar="SPEC",
        help="how much of a resource: CPU=2, or GROUP:NAME=2; %%anylearn_resources lists them",
    ),
    argument("--quota-group-name", metavar="NAME", help="a group of resources, by name or id"),
    argument(
        "--quota-group-request",
        action="append",
        default=[],
        metavar="NAME=AMOUNT",
        help="how much of a resource, or {dict} for several; default: the server's package",
    ),
    argument("--resource-request", metavar="{LIST}", help="the older form of the two above"),
    argument(
        "--timeout",
        metavar="TIME",
        help="stop it after so long, as failed: 90s, 45m, 2h, 1h30m; default: no limit",
    ),
    argument(
        "--retry",
        metavar="N",
        help="where it fails, start it again up to N times; default: 0",
    ),
    argument("--num-nodes", metavar="N", help="machines; default: 1"),
    argument("--nproc-per-node", metavar="N", help="processes on each; default: 1"),
)
"""In the order in which the help shows them."""


def declared(*arguments: ArgDecorator) -> Callable[[F], F]:
    """Declare the options of a magic, in the order of its help; its parser hangs on it."""

    def decorate(function: F) -> F:
        for one in reversed(arguments):
            one(function)
        magic_arguments()(function)
        return function

    return decorate


def parser_of(magic: Callable[..., object]) -> argparse.ArgumentParser:
    """Give the parser that `declared` hung on a magic."""
    parser: argparse.ArgumentParser = getattr(magic, _PARSER)
    return parser
