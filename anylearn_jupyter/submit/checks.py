"""Mistakes in a request that can be seen without looking at anything else."""

from __future__ import annotations

import math

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.code import check_algorithm_name
from anylearn_jupyter.submit.projects import check_project_name
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.secrets import check_names

MAX_RETRIES = 100
"""Most times that a task is started again where it fails."""

NAME_LIMIT = 50
"""Characters of a task's name (HTTP API, section 9.1)."""


def check_request(request: TrainRequest) -> None:
    """Refuse names that no server takes, and contradictions, before any work.

    Raises
    ------
    OptionError
        One sentence that names the option.
    """
    if request.algorithm_dir is None and not request.is_code_on_server:
        raise OptionError(
            "Neither algorithm_dir nor algorithm_id is given; name the code directory, or an "
            "algorithm that is on the server."
        )
    if request.entrypoint is None and not request.is_code_on_server:
        raise OptionError(
            "There is no entrypoint; name the script to train or the whole command, such as "
            '"python train.py".'
        )
    if request.project_id is not None and request.project_name is not None:
        raise OptionError("project_id and project_name are both given; leave one of them out.")
    if request.algorithm_name is not None:
        check_algorithm_name(request.algorithm_name)
    if request.project_name is not None:
        check_project_name(request.project_name)
    _check_task_name(request.task_name)
    _check_values(request)
    check_names(request)
    for option, value in (
        ("num_nodes", request.num_nodes),
        ("nproc_per_node", request.nproc_per_node),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise OptionError(f"{option}={value!r} is no whole number of at least 1.")
        if value > 1 and request.notebook is not None:
            raise OptionError(
                f"{option}={value!r} cannot be used with the notebook {request.notebook}, which is "
                "executed by one process; leave it out, or train a script."
            )
    retries = request.retries
    if isinstance(retries, bool) or not isinstance(retries, int) or not 0 <= retries <= MAX_RETRIES:
        raise OptionError(f"--retry {retries!r} is no whole number from 0 to {MAX_RETRIES}.")
    if request.timeout_s is not None and not 0 < request.timeout_s < math.inf:
        raise OptionError(f"--timeout {request.timeout_s!r} is no number of seconds above 0.")


def _check_task_name(name: str | None) -> None:
    if name is not None and (not name.strip() or len(name) > NAME_LIMIT or not name.isprintable()):
        raise OptionError(
            f"The task name {name!r} cannot be used; write 1 to {NAME_LIMIT} printable characters."
        )


def _check_values(request: TrainRequest) -> None:
    """Refuse a name that would be on the command line twice."""
    mounted = {one.name for one in request.data}
    for name, _ in request.hyperparams:
        if name in mounted:
            raise OptionError(
                f"{name!r} is both a hyperparameter and the name of mounted data; leave one out."
            )
