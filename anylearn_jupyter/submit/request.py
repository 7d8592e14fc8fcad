"""The one value that every way of submitting builds: magic, form, Python, retry, replay.

It says what is to be trained, not how it gets there; `pipeline.submit` is a list of steps over it.
It is frozen and holds no object of the caller's that could change: what is mounted in one call
never leaks into the next (quick_train spec, "Mistakes").
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anylearn_jupyter.submit.command import shell_text

DIGEST_FORMAT = 1
"""The format number of `TrainRequest.digest`; another number makes every digest another one."""

DEFAULT_MIRROR = "QUICKSTART"
"""The environment that every server has (HTTP API, section 4)."""


@dataclass(frozen=True)
class DataInput:
    """A dataset that the training reads.

    Attributes
    ----------
    name : str
        The hyperparameter that receives its path, without prefix. Several inputs of one name give
        that hyperparameter several paths.
    path : Path or None
        A local directory, sent unless the server has its content already.
    id : str or None
        A dataset that is on the server. Exactly one of `path` and `id` is given.
    """

    name: str
    path: Path | None = None
    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What to train: the whole of what a user said, and nothing that was found out later.

    Attributes
    ----------
    entrypoint : str or None
        Shell command that starts the training in the root of the code, without the hyperparameters.
        None: the algorithm's own, on servers where it has one.
    algorithm_dir : Path or None
        The code directory. None only together with `algorithm_id`.
    algorithm_id : str or None
        Code that is on the server; skips every step about local code.
    algorithm_git_ref : str or None
        Commit, branch or tag of the algorithm to train from. Default: what was just sent, or with
        `algorithm_id` the algorithm's current code.
    algorithm_name : str or None
        The algorithm's name on the server. Default: from the directory's absolute path.
    require_clean : bool
        Refuse a code directory with changes that are not committed.
    output : str or None
        Where the training writes its results, relative to the root of the code. None: the server's
        default, ``output``.
    mirror_name : str
        The environment by name.
    hyperparams : tuple of (str, Any)
        In the order of the command line. A string is shell text as published (`command.quote_value`
        makes one of a plain value); an empty one makes a bare flag.
    hyperparams_prefix, hyperparams_delimeter : str
        What stands before each name, and between name and value. (The odd spelling is the
        published one.)
    raw_arguments : str
        Shell text that is appended to the command as it is.
    data : tuple of DataInput
        What is mounted.
    project_id, project_name : str or None
        At most one of them. Default: the user's default project.
    task_name : str or None
        1 to 50 characters. Default: 8 random ones.
    task_description : str
        Free text.
    env : tuple of (str, str)
        Variables for the task.
    include, exclude : tuple of str
        Globs that bring back what would not travel, and leave out more.
    server : str or None
        An address or ``local``. Default: this process's server.
    working_dir : Path
        Where it was submitted from, absolute: what `%anylearn_resume` goes by.
    polling_s : float
        Seconds between two questions about a resource that the server is still processing, at most.

    Notes
    -----
    Source: quick_train spec, "The call"; architecture, decision 1.
    """

    entrypoint: str | None
    algorithm_dir: Path | None
    algorithm_id: str | None = None
    algorithm_git_ref: str | None = None
    algorithm_name: str | None = None
    require_clean: bool = False
    output: str | None = None
    mirror_name: str = DEFAULT_MIRROR
    hyperparams: tuple[tuple[str, Any], ...] = ()
    hyperparams_prefix: str = "--"
    hyperparams_delimeter: str = " "
    raw_arguments: str = ""
    data: tuple[DataInput, ...] = ()
    project_id: str | None = None
    project_name: str | None = None
    task_name: str | None = None
    task_description: str = ""
    env: tuple[tuple[str, str], ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    server: str | None = None
    working_dir: Path = field(default_factory=Path.cwd)
    polling_s: float = 5.0

    def digest(
        self, snapshot_id: str, fingerprints: Mapping[Path, str], *, server: str | None = None
    ) -> str:
        """Name what would be computed: the same digest, the same training.

        Parameters
        ----------
        snapshot_id : str
            The code: the snapshot's commit id, or the algorithm's id where it is on the server.
        fingerprints : Mapping
            The content of each local path in `data`.
        server : str, optional
            The server that it goes to; default: the request's own `server`.

        Returns
        -------
        str
            64 hexadecimal digits. They depend on code, command, values, data, environment,
            resources and server, and neither on names and descriptions, nor on where the
            directories are, nor on the order in which the data was named.

        Notes
        -----
        Source: notebook spec, "Run All is safe".
        """
        data = sorted(
            (one.name, one.id or fingerprints[one.path] if one.path else str(one.id))
            for one in self.data
        )
        content = {
            "format": DIGEST_FORMAT,
            "server": server if server is not None else self.server or "",
            "code": [snapshot_id, self.algorithm_git_ref or ""],
            "entrypoint": self.entrypoint or "",
            "output": self.output or "",
            "mirror": self.mirror_name,
            "values": [[name, shell_text(value)] for name, value in self.hyperparams],
            "form": [self.hyperparams_prefix, self.hyperparams_delimeter],
            "raw": self.raw_arguments,
            "data": data,
            "env": sorted(self.env),
        }
        text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Give the request as it is kept in the ledger; values as the text that was sent."""
        return {
            "entrypoint": self.entrypoint,
            "algorithm_dir": str(self.algorithm_dir) if self.algorithm_dir else None,
            "algorithm_id": self.algorithm_id,
            "algorithm_git_ref": self.algorithm_git_ref,
            "algorithm_name": self.algorithm_name,
            "require_clean": self.require_clean,
            "output": self.output,
            "mirror_name": self.mirror_name,
            "hyperparams": [[name, shell_text(value)] for name, value in self.hyperparams],
            "hyperparams_prefix": self.hyperparams_prefix,
            "hyperparams_delimeter": self.hyperparams_delimeter,
            "raw_arguments": self.raw_arguments,
            "data": [
                {"name": one.name, "path": str(one.path) if one.path else None, "id": one.id}
                for one in self.data
            ],
            "project_id": self.project_id,
            "project_name": self.project_name,
            "task_name": self.task_name,
            "task_description": self.task_description,
            "env": [list(pair) for pair in self.env],
            "include": list(self.include),
            "exclude": list(self.exclude),
            "server": self.server,
            "working_dir": str(self.working_dir),
        }
