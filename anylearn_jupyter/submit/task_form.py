"""What a server is told when a task is created: its command, its form, and whose Python it is."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.submit.command import command_text, train_command
from anylearn_jupyter.submit.inputs import MountedInput
from anylearn_jupyter.submit.preparation import DEFAULT_OUTPUT
from anylearn_jupyter.submit.quota import ResourceRequest
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.supervised import supervision_form

_NAME_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class TaskCommand:
    """What a server needs to write the command, and the command as people read it.

    Attributes
    ----------
    entrypoint : str or None
        None: the algorithm's own.
    params : dict
        ``train_params``.
    text : str
        The whole command, mounts as placeholders.
    """

    entrypoint: str | None
    params: dict[str, Any]
    text: str

    @classmethod
    def of(cls, request: TrainRequest, mounted: Iterable[tuple[str, str]]) -> TaskCommand:
        """Mount each id under a name; an id without a name is given to no parameter.

        Parameters
        ----------
        mounted : iterable of (str, str)
            Names and ids, in the request's order.
        """
        mounts: dict[str, list[str]] = {}
        for name, resource_id in mounted:
            if name:
                mounts.setdefault(name, []).append(resource_id)
        entrypoint, params = train_command(
            request.entrypoint or "", request.arguments, mounts, request.raw_arguments
        )
        prefix, delimiter = request.hyperparams_prefix, request.hyperparams_delimeter
        text = command_text(entrypoint, params, prefix, delimiter)
        return cls(entrypoint or None, params, text)


def task_form(
    request: TrainRequest,
    command: TaskCommand,
    mounted: Iterable[MountedInput],
    resources: ResourceRequest | None,
) -> dict[str, Any]:
    """Give the fields of ``train_task/add`` that the request alone decides.

    Notes
    -----
    Source: HTTP API, section 9.1. What is absent there is None here, and not sent.
    """
    return {
        "name": request.task_name or random_name(),
        "description": request.task_description,
        "train_params": command.params,
        "train_params_prefix": request.hyperparams_prefix,
        "train_params_delimeter": request.hyperparams_delimeter,
        "envs": dict(request.env) or None,
        "files": ",".join(dict.fromkeys(one.resource.id for one in mounted)) or None,
        "resources": resources,
        "num_nodes": request.num_nodes,
        "nproc_per_node": request.nproc_per_node,
        "entrypoint": command.entrypoint,
        "output": request.output or DEFAULT_OUTPUT,
        **supervision_form(request),
    }


def submitter(api: Api) -> Mapping[str, Any]:
    """Say whose Python it is, to a server that can run that one (docs/protocol.md)."""
    offered = api.capabilities.get("interpreter")
    if not isinstance(offered, dict):
        return {}
    names = offered.get("environment")
    wanted = names if isinstance(names, list) else []
    return {
        "interpreter": sys.executable,
        "submitter_env": {name: os.environ[name] for name in wanted if name in os.environ},
    }


def random_name() -> str:
    """Make the name of a task that has none: 8 random letters and digits (HTTP API, 9.1)."""
    return "".join(secrets.choice(_NAME_LETTERS) for _ in range(8))
