"""`quick_train` under its published name, options and defaults: a thin shell over the pipeline."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from anylearn_jupyter.client.upload import ResourceUploader
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.command import NAME_PATTERN
from anylearn_jupyter.submit.objects.algorithm import Algorithm
from anylearn_jupyter.submit.objects.dataset import Dataset
from anylearn_jupyter.submit.objects.project import Project
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.progress import TqdmProgress
from anylearn_jupyter.submit.quota import checked_amounts
from anylearn_jupyter.submit.renamed_options import with_renamed
from anylearn_jupyter.submit.request import DEFAULT_MIRROR, DataInput, InputKind, TrainRequest
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
    dataset_archive: str | Path | None = None,
    model_hyperparam_name: str = "model",
    model_id: str | Sequence[str] | None = None,
    model_dir: str | Path | None = None,
    model_archive: str | Path | None = None,
    pretrain_hyperparam_name: str = "pretrain",
    pretrain_task_id: str | Sequence[str] | None = None,
    project_id: str | None = None,
    project_name: str | None = None,
    entrypoint: str | None = None,
    output: str | None = None,
    mirror_name: str = DEFAULT_MIRROR,
    resource_uploader: ResourceUploader | None = None,
    resource_polling: float = 5,
    hyperparams: Mapping[str, Any] | None = None,
    hyperparams_prefix: str = "--",
    hyperparams_delimeter: str = " ",
    resource_request: Sequence[Mapping[str, Mapping[str, int]]] | None = None,
    quota_group_name: str | None = None,
    quota_group_request: Mapping[str, int] | None = None,
    task_name: str | None = None,
    task_description: str | None = None,
    envs: Mapping[str, str] | None = None,
    num_nodes: int = 1,
    nproc_per_node: int = 1,
    **renamed: Any,
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
        The parameter, without its prefix, that receives the paths of the datasets.
    dataset_id : str or sequence of str, optional
        Datasets that are on the server.
    dataset_dir, dataset_archive : path, optional
        A local directory or file, and a ready-made archive; uploaded unless the content is known.
        Whatever is given is mounted, also several at once.
    model_hyperparam_name, model_id, model_dir, model_archive
        The same for models, which are registered against the algorithm.
    pretrain_hyperparam_name : str, default "pretrain"
        The parameter that receives the paths of earlier tasks' results.
    pretrain_task_id : str or sequence of str, optional
        Earlier tasks.
    project_id, project_name : str, optional
        At most one. A name without a project makes one. Default: the user's default project.
    entrypoint : str, optional
        Shell command that starts the training in the root of the code.
    output : str, optional
        Where the training writes its results, relative to the root of the code. Default:
        ``output``.
    mirror_name : str, default "QUICKSTART"
        The environment by name.
    resource_uploader : ResourceUploader, optional
        A strategy of the caller's for uploads: ``run(resource_id, chunks)``. None: in order, with
        a progress bar.
    resource_polling : float, default 5
        Most seconds between two questions about what the server is processing.
    hyperparams : Mapping, optional
        Appended to the entrypoint, in order. A string is shell text; ``''`` makes a bare flag; the
        items of a list are quoted one by one. It is not changed.
    hyperparams_prefix, hyperparams_delimeter : str
        Before each name, and between name and value: ``"+"`` and ``"="`` for Hydra.
    resource_request : sequence of one mapping, optional
        The older form of the next two, ``[{group: {resource: amount}}]``; deprecated.
    quota_group_name : str, optional
        A group of resources by name or id.
    quota_group_request : Mapping, optional
        How much of each resource. Without it the server's default package applies.
    task_name : str, optional
        1 to 50 characters. Default: 8 random ones.
    task_description : str, optional
        Free text.
    envs : Mapping, optional
        Variables for the task.
    num_nodes, nproc_per_node : int, default 1
        Machines, and processes on each.
    **renamed
        The names that 0.17 and later gave to some of these (`renamed_options.RENAMED`).

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
    given = {name: value for name, value in locals().items() if name != "renamed"}
    with TqdmProgress() as progress:
        made = submit(request_of(**with_renamed(given, renamed, quick_train)), progress)
    server = made.task.server
    return (
        made.task,
        Algorithm.of(made.algorithm, server),
        [Dataset.of(one, server) for one in made.datasets],
        Project.of(made.project, server),
    )


def request_of(**options: Any) -> TrainRequest:
    """Build the one value of a training from the options of `quick_train`, by their names.

    Raises
    ------
    OptionError
        An option that cannot be used; one sentence that names it.
    """
    on_server = options["algorithm_id"] is not None or options["algorithm_fullname"] is not None
    return TrainRequest(
        algorithm_id=_optional_text("algorithm_id", options["algorithm_id"]),
        algorithm_fullname=_optional_text("algorithm_cloud_name", options["algorithm_fullname"]),
        algorithm_name=_optional_text("algorithm_name", options["algorithm_name"]),
        algorithm_dir=_directory(on_server, options["algorithm_dir"]),
        algorithm_git_ref=_optional_text("algorithm_git_ref", options["algorithm_git_ref"]),
        require_clean=not options["algorithm_force_update"],
        data=given_inputs(options),
        project_id=_optional_text("project_id", options["project_id"]),
        project_name=_optional_text("project_name", options["project_name"]),
        entrypoint=_optional_text("entrypoint", options["entrypoint"]),
        output=_optional_text("output", options["output"]),
        mirror_name=options["mirror_name"],
        hyperparams=checked_hyperparams(options["hyperparams"]),
        hyperparams_prefix=options["hyperparams_prefix"],
        hyperparams_delimeter=options["hyperparams_delimeter"],
        **given_resources(options),
        num_nodes=options["num_nodes"],
        nproc_per_node=options["nproc_per_node"],
        task_name=_optional_text("task_name", options["task_name"]),
        task_description=options["task_description"] or "",
        env=checked_variables(options["envs"]),
        polling_s=_seconds("resource_polling", options["resource_polling"]),
        uploader=_uploader(options["resource_uploader"]),
    )


def given_resources(options: Mapping[str, Any]) -> dict[str, Any]:
    """Read the group and the amounts, in the present form or in the older one.

    Raises
    ------
    OptionError
        Both forms at once, or one that cannot be read.
    """
    group = _optional_text("quota_group_name", options["quota_group_name"])
    amounts = checked_amounts(options["quota_group_request"], "quota_group_request")
    older = options["resource_request"]
    if older is None:
        return {"quota_group": group, "quota_request": amounts}
    warnings.warn(
        "resource_request is the older form; use quota_group_name and quota_group_request.",
        DeprecationWarning,
        stacklevel=4,
    )
    if group is not None or amounts:
        raise OptionError(
            "resource_request is the older form of quota_group_name and quota_group_request; "
            "leave it out."
        )
    groups = [pair for entry in older for pair in entry.items()]
    if len(groups) != 1:
        raise OptionError(
            f"resource_request={older!r} names {len(groups)} groups; name one, as in "
            "[{'default': {'CPU': 2}}]."
        )
    ((name, wanted),) = groups
    return {"quota_group": name, "quota_request": checked_amounts(wanted, "resource_request")}


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


def given_inputs(options: Mapping[str, Any]) -> tuple[DataInput, ...]:
    """Read everything that is to be mounted, in the order of the options.

    Raises
    ------
    OptionError
        A name or an id that cannot be one.
    """
    found: list[DataInput] = []
    for kind, noun in ((InputKind.DATASET, "dataset"), (InputKind.MODEL, "model")):
        name = options[f"{noun}_hyperparam_name"]
        found += [DataInput(name, id=one, kind=kind) for one in _ids(f"{noun}_id", options)]
        for option, archive in ((f"{noun}_dir", False), (f"{noun}_archive", True)):
            path = options[option]
            if path is not None:
                place = Path(path).expanduser()
                found.append(DataInput(name, path=place, kind=kind, archive=archive))
        found += [
            DataInput("", fullname=one, kind=kind) for one in _ids(f"{noun}_cloud_names", options)
        ]
    name = options["pretrain_hyperparam_name"]
    found += [
        DataInput(name, id=one, kind=InputKind.TASK) for one in _ids("pretrain_task_id", options)
    ]
    for used in found:
        if used.fullname is None:
            checked_mount_name(used.name)
    return tuple(found)


def _ids(option: str, options: Mapping[str, Any]) -> list[str]:
    given = options.get(option)
    found = [given] if isinstance(given, str) else list(given or ())
    for one in found:
        if not isinstance(one, str) or not one:
            raise OptionError(f"{option} has {one!r}; give an id as text.")
    return found


def _directory(on_server: bool, algorithm_dir: str | Path | None) -> Path | None:
    if algorithm_dir is None:
        return None
    directory = Path(algorithm_dir).expanduser()
    if not on_server and not directory.is_dir():
        what = "is no directory" if directory.exists() else "does not exist"
        raise OptionError(f"algorithm_dir={str(algorithm_dir)!r} {what}; name the code directory.")
    return directory


def _uploader(given: Any) -> ResourceUploader | None:
    if given is not None and not callable(getattr(given, "run", None)):
        raise OptionError(
            f"resource_uploader is a {type(given).__name__} without a method run(resource_id, "
            "chunks)."
        )
    uploader: ResourceUploader | None = given
    return uploader


def _optional_text(name: str, value: str | None) -> str | None:
    if value is not None and not isinstance(value, str):
        raise OptionError(f"{name}={value!r} is a {type(value).__name__}; give a text.")
    return value


def _seconds(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise OptionError(f"{name}={value!r} is no number of seconds above 0.")
    return float(value)
