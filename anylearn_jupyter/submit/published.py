"""`quick_train` under its published name, options and defaults: a thin shell over the pipeline."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anylearn_jupyter.entities import Algorithm, Dataset, Project
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.command import NAME_PATTERN
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.progress import TqdmProgress
from anylearn_jupyter.submit.request import DEFAULT_MIRROR, DataInput, TrainRequest
from anylearn_jupyter.submit.task import TrainTask

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def quick_train(
    algorithm_id: str | None = None,
    algorithm_name: str | None = None,
    algorithm_dir: str | Path | None = None,
    algorithm_git_ref: str | None = None,
    algorithm_force_update: bool = False,
    dataset_hyperparam_name: str = "dataset",
    dataset_id: str | Sequence[str] | None = None,
    dataset_dir: str | Path | None = None,
    project_id: str | None = None,
    project_name: str | None = None,
    entrypoint: str | None = None,
    output: str | None = None,
    mirror_name: str = DEFAULT_MIRROR,
    hyperparams: Mapping[str, Any] | None = None,
    hyperparams_prefix: str = "--",
    hyperparams_delimeter: str = " ",
    resource_polling: float = 5,
    task_name: str | None = None,
    task_description: str | None = None,
    envs: Mapping[str, str] | None = None,
) -> tuple[TrainTask, Algorithm, list[Dataset], Project]:
    r"""Train: from local code and data to a task that the server runs, in one call.

    Anything that the server has already is reused. Without `connect` before it, it connects by
    itself: to ``ANYLEARN_HOST``, the saved default, or the embedded engine, which is started.

    Parameters
    ----------
    algorithm_id : str, optional
        An algorithm on the server: skips everything about local code, and trains its current code.
    algorithm_name : str, optional
        The algorithm's name; an existing one gains a version. Default: from the directory's path.
    algorithm_dir : path, optional
        The local code directory. Nothing in it is changed.
    algorithm_git_ref : str, optional
        Commit, branch or tag to train from. Default: what was just sent.
    algorithm_force_update : bool, default False
        False: changes that are not committed are refused. True: they are sent as they are.
    dataset_hyperparam_name : str, default "dataset"
        The parameter, without its prefix, that receives the paths of the data.
    dataset_id : str or sequence of str, optional
        Datasets that are on the server.
    dataset_dir : path, optional
        A local directory or file, uploaded unless its content is known; beside `dataset_id`, both
        are mounted.
    project_id, project_name : str, optional
        At most one. A name without a project makes one. Default: the user's default project.
    entrypoint : str, optional
        Shell command that starts the training in the root of the code.
    output : str, optional
        Where the training writes its results, relative to the root of the code. Default:
        ``output``.
    mirror_name : str, default "QUICKSTART"
        The environment by name.
    hyperparams : Mapping, optional
        Appended to the entrypoint, in order. A string is shell text; ``''`` makes a bare flag; the
        items of a list are quoted one by one. It is not changed.
    hyperparams_prefix, hyperparams_delimeter : str
        Before each name, and between name and value.
    resource_polling : float, default 5
        Most seconds between two questions about what the server is processing.
    task_name : str, optional
        1 to 50 characters. Default: 8 random ones.
    task_description : str, optional
        Free text.
    envs : Mapping, optional
        Variables for the task.

    Returns
    -------
    tuple
        The task, which has been created and may be waiting for room; its algorithm; its datasets;
        its project.

    Raises
    ------
    OptionError, SnapshotError, DataError
        A mistake in the call, the code or the data; nothing has been sent.
    ServerError, ServerUnreachable, LoginRequired, EngineError
        As the server says. Calling again goes on from there, and makes nothing twice.

    Examples
    --------
    >>> task, algorithm, datasets, project = quick_train(
    ...     algorithm_dir=".", entrypoint="python train.py", hyperparams={"lr": 0.1}
    ... )  # doctest: +SKIP

    Notes
    -----
    Source: quick_train spec, "The call".
    """
    request = TrainRequest(
        algorithm_id=_optional_text("algorithm_id", algorithm_id),
        algorithm_name=_optional_text("algorithm_name", algorithm_name),
        algorithm_dir=_directory(algorithm_id, algorithm_dir),
        algorithm_git_ref=_optional_text("algorithm_git_ref", algorithm_git_ref),
        require_clean=not algorithm_force_update,
        data=_data(dataset_hyperparam_name, dataset_id, dataset_dir),
        project_id=_optional_text("project_id", project_id),
        project_name=_optional_text("project_name", project_name),
        entrypoint=_optional_text("entrypoint", entrypoint),
        output=_optional_text("output", output),
        mirror_name=mirror_name,
        hyperparams=checked_hyperparams(hyperparams),
        hyperparams_prefix=hyperparams_prefix,
        hyperparams_delimeter=hyperparams_delimeter,
        task_name=_optional_text("task_name", task_name),
        task_description=task_description or "",
        env=checked_variables(envs),
        polling_s=_seconds("resource_polling", resource_polling),
    )
    with TqdmProgress() as progress:
        made = submit(request, progress)
    return made.task, made.algorithm, made.datasets, made.project


def checked_hyperparams(given: Mapping[str, Any] | None) -> tuple[tuple[str, Any], ...]:
    """Take names and values out of a caller's mapping, which is neither kept nor changed.

    Raises
    ------
    OptionError
        It is no mapping, or a name is no text.
    """
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise OptionError(
            f"hyperparams is a {type(given).__name__}; give a dict of names and values."
        )
    for name in given:
        if not isinstance(name, str) or not name or any(c.isspace() or c == "\0" for c in name):
            raise OptionError(f"hyperparams has the name {name!r}; a name is text without spaces.")
    return tuple(
        (name, list(value) if isinstance(value, list | tuple) else value)
        for name, value in given.items()
    )


def checked_variables(given: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    """Take variables for the task out of a caller's mapping.

    Raises
    ------
    OptionError
        A name that no variable can have, or a value that is no text.
    """
    for name, value in (given or {}).items():
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise OptionError(
                f"The variable {name!r} cannot be set; names have letters, digits and '_'."
            )
        if not isinstance(value, str) or "\0" in value:
            raise OptionError(f"The variable {name} is a {type(value).__name__}; give it a text.")
    return tuple((given or {}).items())


def checked_mount_name(name: str) -> str:
    """Refuse a name that no hyperparameter with a path can have.

    Raises
    ------
    OptionError
        It has other characters than letters, digits and ``_ . -``, or begins with one of the two.
    """
    if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name):
        raise OptionError(
            f"{name!r} cannot be the hyperparameter that receives a path; write its name without "
            "the prefix, such as 'data'."
        )
    return name


def _directory(algorithm_id: str | None, algorithm_dir: str | Path | None) -> Path | None:
    if algorithm_dir is None:
        return None
    directory = Path(algorithm_dir).expanduser()
    if algorithm_id is None and not directory.is_dir():
        what = "is no directory" if directory.exists() else "does not exist"
        raise OptionError(f"algorithm_dir={str(algorithm_dir)!r} {what}; name the code directory.")
    return directory


def _data(
    name: str, dataset_id: str | Sequence[str] | None, dataset_dir: str | Path | None
) -> tuple[DataInput, ...]:
    ids = [dataset_id] if isinstance(dataset_id, str) else list(dataset_id or ())
    if not ids and dataset_dir is None:
        return ()
    checked_mount_name(name)
    for one in ids:
        if not isinstance(one, str) or not one:
            raise OptionError(f"dataset_id has {one!r}; give the id of a dataset as text.")
    found = [DataInput(name, id=one) for one in ids]
    if dataset_dir is not None:
        found.append(DataInput(name, path=Path(dataset_dir).expanduser()))
    return tuple(found)


def _optional_text(name: str, value: str | None) -> str | None:
    if value is not None and not isinstance(value, str):
        raise OptionError(f"{name}={value!r} is a {type(value).__name__}; give a text.")
    return value


def _seconds(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise OptionError(f"{name}={value!r} is no number of seconds above 0.")
    return float(value)
