"""The one value that every way of submitting builds: magic, form, Python, retry, replay.

It says what is to be trained, not how it gets there; `pipeline.submit` is a list of steps over it.
It is frozen and holds no object of the caller's that could change: what is mounted in one call
never leaks into the next (quick_train spec, "Mistakes").
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from anylearn_jupyter.client.upload import ResourceUploader
from anylearn_jupyter.submit.code_cell import CodeCell, python_source
from anylearn_jupyter.submit.command import quote_value, shell_text

DIGEST_FORMAT = 1
"""The format number of `TrainRequest.digest`; another number makes every digest another one."""

DEFAULT_MIRROR = "QUICKSTART"
"""The environment that every server has (HTTP API, section 4)."""


class InputKind(StrEnum):
    """What an input is on the server."""

    DATASET = "dataset"
    MODEL = "model"
    TASK = "task"
    """An earlier task, whose results are the input."""


@dataclass(frozen=True)
class DataInput:
    """Something that the training reads: a dataset, a model, or the results of an earlier task.

    Attributes
    ----------
    name : str
        The hyperparameter that receives its path, without prefix. Several inputs of one name give
        that hyperparameter several paths. Empty for one that is there and given to no parameter.
    path : Path or None
        A local directory, file or ready-made archive, sent unless the server has its content.
    id : str or None
        What is on the server, by its id.
    kind : InputKind
        A path is never a task.
    archive : bool
        The path is an archive whose content is the data.
    fullname : str or None
        What is on the server, as ``<username>/<name>``. Exactly one of `path`, `id` and `fullname`
        is given.
    """

    name: str
    path: Path | None = None
    id: str | None = None
    kind: InputKind = InputKind.DATASET
    archive: bool = False
    fullname: str | None = None

    @property
    def where(self) -> str:
        """What it is called in a sentence: its path, id or full name."""
        return str(self.path) if self.path is not None else self.id or str(self.fullname)

    def to_json(self) -> dict[str, Any]:
        """Give it as it is kept in the ledger."""
        path = str(self.path) if self.path is not None else None
        return {**asdict(self), "path": path, "kind": str(self.kind)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> DataInput:
        """Read what `to_json` gave; keys of a newer program are ignored."""
        own = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        own["path"] = Path(own["path"]) if own.get("path") else None
        own["kind"] = InputKind(own.get("kind", InputKind.DATASET))
        return cls(**own)


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What to train: the whole of what a user said, and nothing that was found out later.

    Attributes
    ----------
    entrypoint : str or None
        Shell command that starts the training in the root of the code, without the hyperparameters.
        None: the algorithm's own, on servers where it has one.
    algorithm_dir : Path or None
        The code directory. None only where the code is on the server.
    algorithm_id, algorithm_fullname : str or None
        Code that is on the server, by its id or as ``<username>/<name>``; skips every step about
        local code.
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
    quota_group : str or None
        The group of resources by name or id. None: the group ``default``.
    quota_request : tuple of (str, int)
        How much of each resource. Empty: the group's default package.
    num_nodes, nproc_per_node : int
        Machines, and processes on each.
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
    code_cell : CodeCell or None
        A cell that is the script; it travels with the code directory. Where its values are
        assigned, `hyperparams` are Python source instead of shell text.
    notebook : str or None
        A notebook of the code directory that is executed; what does that travels along, and
        `hyperparams` are Python source.
    secrets : tuple of str
        Names of variables whose values the task gets and nobody is shown; never the values.
    timeout_s : float or None
        Seconds after which the server stops it. None: no limit.
    retries : int
        How often the server starts it again where it fails.
    polling_s : float
        Seconds between two questions about a resource that the server is still processing, at most.
    uploader : object or None
        The caller's own strategy for uploads (``run(resource_id, chunks)``); not part of what is
        kept or compared.

    Notes
    -----
    Source: quick_train spec, "The call"; architecture, decision 1.
    """

    entrypoint: str | None
    algorithm_dir: Path | None
    algorithm_id: str | None = None
    algorithm_fullname: str | None = None
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
    quota_group: str | None = None
    quota_request: tuple[tuple[str, int], ...] = ()
    num_nodes: int = 1
    nproc_per_node: int = 1
    project_id: str | None = None
    project_name: str | None = None
    task_name: str | None = None
    task_description: str = ""
    env: tuple[tuple[str, str], ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    server: str | None = None
    working_dir: Path = field(default_factory=Path.cwd)
    code_cell: CodeCell | None = None
    notebook: str | None = None
    secrets: tuple[str, ...] = ()
    timeout_s: float | None = None
    retries: int = 0
    polling_s: float = 5.0
    uploader: ResourceUploader | None = field(default=None, compare=False, repr=False)

    @property
    def is_code_on_server(self) -> bool:
        """Whether the code is named by what it is called on the server."""
        return self.algorithm_id is not None or self.algorithm_fullname is not None

    @property
    def python_values(self) -> bool:
        """Whether the values in `hyperparams` are Python source; else they are shell text."""
        if self.notebook is not None:
            return True
        return self.code_cell is not None and self.code_cell.assigned

    @property
    def arguments(self) -> tuple[tuple[str, Any], ...]:
        """The hyperparameters that stand on the command line, as shell text."""
        if not self.python_values:
            return self.hyperparams
        swept = None if self.code_cell is None else self.code_cell.swept
        return tuple(
            (name, shlex.quote(str(value)))
            for name, value in self.hyperparams
            if swept is None or name in swept
        )

    def value_text(self, value: object) -> str:
        """Write a plain value as `hyperparams` of this request have it.

        Raises
        ------
        OptionError
            It has no such form.
        """
        return python_source(value) if self.python_values else quote_value(value)

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
        # Inputs of one name keep their order, which is that of the paths on the command line.
        data = sorted(
            (
                (one.name, str(one.kind), fingerprints[one.path] if one.path else one.where)
                for one in self.data
            ),
            key=lambda named: named[0],
        )
        # A server knows its groups and resources by name, whatever its case.
        group = (self.quota_group or "").casefold()
        amounts = sorted((name.casefold(), amount) for name, amount in self.quota_request)
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
            "resources": [group, amounts],
            "nodes": [self.num_nodes, self.nproc_per_node],
        }
        if self.secrets:
            content["secrets"] = sorted(self.secrets)
        text = json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Give the request as it is kept in the ledger."""
        plain = {
            name: getattr(self, name)
            for name in self.__dataclass_fields__
            if name not in ("data", "hyperparams", "code_cell", "uploader")
        }
        return {
            **plain,
            "algorithm_dir": str(self.algorithm_dir) if self.algorithm_dir else None,
            "working_dir": str(self.working_dir),
            "hyperparams": [[name, _kept(value)] for name, value in self.hyperparams],
            "data": [one.to_json() for one in self.data],
            "code_cell": self.code_cell.to_json() if self.code_cell else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainRequest:
        """Read what `to_json` gave, also after its way through JSON text.

        Keys of a newer program are ignored, and those that an older one did not write have their
        defaults.
        """
        own = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        for name in ("hyperparams", "env", "quota_request"):
            own[name] = tuple((str(key), value) for key, value in own.get(name, ()))
        for name in ("include", "exclude", "secrets"):
            own[name] = tuple(own.get(name, ()))
        own["data"] = tuple(DataInput.from_json(one) for one in own.get("data", ()))
        own["algorithm_dir"] = Path(own["algorithm_dir"]) if own.get("algorithm_dir") else None
        own["code_cell"] = CodeCell.from_json(own["code_cell"]) if own.get("code_cell") else None
        own["working_dir"] = Path(own.get("working_dir") or Path.cwd())
        own.pop("uploader", None)
        return cls(**own)


def _kept(value: object) -> object:
    """Give a value as JSON can hold it: as it is where that is the same, else as shell text."""
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, list | tuple) and all(isinstance(one, str | int | float) for one in value):
        return list(value)
    return shell_text(value)
