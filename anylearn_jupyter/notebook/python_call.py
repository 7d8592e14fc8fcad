"""`train`: what a training cell does, as one call from Python, with the options' own names.

The arguments become the words of a cell, each value as an expression that is worth it, and take the
cell's own way from there. So both mean the same by construction.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.training import Training, training
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.planning import Plan
from anylearn_jupyter.submit.planning import plan as plan_of
from anylearn_jupyter.submit.progress import TqdmProgress
from anylearn_jupyter.submit.sweeping import submit_sweep

if TYPE_CHECKING:
    from anylearn_jupyter.client.upload import ResourceUploader
    from anylearn_jupyter.submit.sweep import Sweep
    from anylearn_jupyter.submit.task import TrainTask

NOT_HERE = frozenset(("out", "noblock", "new", "set", "form"))
"""Options of a cell that a call has no use for: it returns its value, neither waits nor takes what
is there unless told so, `params` are the values, and `form` is a function of its own."""

_HERE_ONLY = ("params", "search", "code", "plan", "block", "reuse")

Some = str | Path | Sequence[str | Path]
Named = Mapping[str, Any] | Sequence[str] | str


def train(
    entry: str | Path | None = None,
    params: Mapping[str, Any] | str | Path | None = None,
    *,
    search: Mapping[str, Iterable[Any] | str] | None = None,
    code: str | None = None,
    module: str | None = None,
    entrypoint: str | None = None,
    name: str | None = None,
    block: bool = False,
    plan: bool = False,
    reuse: bool = False,
    hyperparams: Mapping[str, Any] | None = None,
    hyperparams_prefix: str | None = None,
    hyperparams_delimeter: str | None = None,
    sweep: str | None = None,
    parallel: int | None = None,
    data: Named = (),
    model: Named = (),
    dataset_dir: str | Path | None = None,
    dataset_archive: str | Path | None = None,
    dataset_id: Some = (),
    dataset_hyperparam_name: str | None = None,
    model_dir: str | Path | None = None,
    model_archive: str | Path | None = None,
    model_id: Some = (),
    model_hyperparam_name: str | None = None,
    pretrain_task_id: Some = (),
    pretrain_hyperparam_name: str | None = None,
    resource_uploader: ResourceUploader | None = None,
    resource_polling: float | None = None,
    algorithm_dir: str | Path | None = None,
    include: Some = (),
    exclude: Some = (),
    require_clean: bool = False,
    algorithm_force_update: bool = False,
    algorithm_name: str | None = None,
    algorithm_id: str | None = None,
    algorithm_git_ref: str | None = None,
    server: str | None = None,
    project: str | None = None,
    project_name: str | None = None,
    project_id: str | None = None,
    env: Named = (),
    secret: Some = (),
    mirror_name: str | None = None,
    output: str | None = None,
    task_description: str | None = None,
    resources: Named = (),
    quota_group_name: str | None = None,
    quota_group_request: Mapping[str, int] | None = None,
    resource_request: Sequence[Mapping[str, Mapping[str, int]]] | None = None,
    timeout: str | None = None,
    retry: int | None = None,
    num_nodes: int | None = None,
    nproc_per_node: int | None = None,
) -> TrainTask | Sweep | Plan:
    """Train, as a cell ``%%anylearn_train`` does; every option has the name that it has there.

    Parameters
    ----------
    entry : path, optional
        The script.
    params : Mapping or path, optional
        Plain values that reach the script exactly, as lines ``NAME = {value}`` of a cell; or a
        JSON, TOML or YAML file of them. True makes a flag, None leaves one out.
    search : Mapping, optional
        Values to try, as lines ``NAME in values``: an iterable, or a text such as
        ``"log(1e-4, 1e-1)"``. It makes a sweep.
    code : str, optional
        The script itself, instead of `entry`.
    block : bool, default False
        Wait for the end, and raise if it failed.
    plan : bool, default False
        Send nothing, and give what would be sent.
    reuse : bool, default False
        Give a task of this directory that is the same, unless it failed.
    data, model, env, resources : Mapping or sequence of str
        ``{"images": "./images"}``, or ``["images=./images"]`` as in a cell.
    quota_group_request : Mapping, optional
        As in `quick_train`.
    module, entrypoint, name, ...
        As ``%%anylearn_train?`` and docs/reference.md say; None and an empty sequence mean the
        default.

    Returns
    -------
    TrainTask, Sweep or Plan
        The task, which has been created; a sweep with `search`; a plan with `plan`.

    Raises
    ------
    OptionError, SnapshotError, DataError
        A mistake in the call, the code or the data; nothing has been sent.
    ServerError, ServerUnreachable, LoginRequired, EngineError
        As the server says. Calling again goes on from there, and makes nothing twice.
    TaskFailed
        It was waited for, and failed.

    Examples
    --------
    >>> task = train("train.py", {"lr": 1e-3}, data={"images": "./images"})  # doctest: +SKIP

    Notes
    -----
    Source: issue 4, part 1; notebook spec, first paragraph.
    """
    wanted = training_of(dict(locals()))
    if plan:
        return plan_of(wanted.request)
    with TqdmProgress() as progress:
        for note in wanted.notes:
            progress.note(note)
        made: TrainTask | Sweep
        if wanted.sweep is not None:
            made = submit_sweep(wanted.sweep, progress, reuse=reuse)
        else:
            made = submit(wanted.request, progress, reuse=reuse).task
    if block:
        made.wait()
        made.raise_if_failed()
    return made


def training_of(arguments: Mapping[str, Any]) -> Training:
    """Give what a call of `train` asks for.

    Parameters
    ----------
    arguments : Mapping
        All arguments of `train`, by their names.

    Raises
    ------
    OptionError, ConfigError
        Something cannot be used; nothing has been sent.
    """
    words = _Words(arguments)
    return training(words.given, words.body, Names(words.variables))


class _Words:
    """The words of a cell for the arguments of a call.

    Attributes
    ----------
    given : argparse.Namespace
        The options as templates.
    body : str
        The lines below.
    variables : dict
        What the expressions in them name.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.variables: dict[str, Any] = {}
        parser = parser_of(AnylearnMagics.anylearn_train)
        self.given = parse_line(parser, "", body=True)
        for action in parser._actions:
            if action.dest in arguments and action.dest not in _HERE_ONLY:
                setattr(self.given, action.dest, self._option(action, arguments[action.dest]))
        self.given.code = arguments["code"] is not None
        params = arguments["params"]
        if isinstance(params, str | Path):
            self.given.params = self._expression(str(params))
        self.body = "\n".join(self._lines(params, arguments["search"], arguments["code"]))

    def _option(self, action: argparse.Action, value: Any) -> Any:
        if action.nargs == 0:
            return bool(value)
        if action.dest == "entry":
            return [] if value is None else [self._expression(str(value))]
        if action.dest == "quota_group_request":
            return [] if value is None else [self._expression(value)]
        if not isinstance(action, argparse._AppendAction):
            return None if value is None else self._expression(value)
        if isinstance(value, Mapping):
            return [
                f"{self._expression(name)}={self._expression(one)}" for name, one in value.items()
            ]
        several = [value] if isinstance(value, str | Path) else value
        return [self._expression(one) for one in several]

    def _lines(self, params: Any, search: Any, code: str | None) -> list[str]:
        lines: list[str] = []
        if isinstance(params, Mapping):
            lines += [f"{name} = {self._expression(value)}" for name, value in params.items()]
        for name, values in (search or {}).items():
            text = values if isinstance(values, str) else self._expression(list(values))
            lines.append(f"{name} in {text}")
        return lines if code is None else [*lines, "---", code]

    def _expression(self, value: Any) -> str:
        """Keep a value as a variable, and give the expression that is worth it."""
        name = f"value_{len(self.variables)}"
        self.variables[name] = value
        return f"{{{name}}}"
