"""The things that client and engine both speak of: data and their JSON, no input or output.

The numbers and key names are those of the HTTP API, sections 2, 5, 6, 7 and 9. Unknown keys are
ignored, and an unknown state number is kept and shown, never taken for a failure.
"""

from __future__ import annotations

import re
import secrets
import uuid
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Self

ID_PATTERN = re.compile(r"[A-Z]{4}[0-9a-f]{28}")
"""An id: four capitals and 28 lowercase hexadecimal digits (HTTP API, section 2)."""


def new_id(prefix: str) -> str:
    """Make an id: a version-1 UUID whose first four digits are replaced by the prefix.

    The digits that fall away are the ones that count seconds: what is left of the time comes again
    every 6.6 ms, so two ids of one machine would soon be equal. The node and the sequence are
    therefore random, as RFC 9562 allows (with the multicast bit set, so that no network card has
    that number), which also keeps the machine's own address out of what is shown and sent.

    Parameters
    ----------
    prefix : str
        Four capitals, such as ``TRAI``.

    Notes
    -----
    Source: HTTP API, section 2; RFC 9562, section 6.10.
    """
    node = secrets.randbits(48) | 1 << 40
    return prefix + uuid.uuid1(node=node, clock_seq=secrets.randbits(14)).hex[4:]


def is_id(text: str, prefix: str = "") -> bool:
    """Whether the text has the form of an id, and begins with the prefix."""
    return text.startswith(prefix) and ID_PATTERN.fullmatch(text) is not None


class TaskPhase(StrEnum):
    """The word for where a task is in its life; the state diagram is in docs/architecture.md."""

    CREATED = "created"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    LOST = "lost"


FINAL_PHASES = (TaskPhase.SUCCEEDED, TaskPhase.FAILED, TaskPhase.ABORTED, TaskPhase.LOST)
"""The phases that a task never leaves."""


class TaskState(IntEnum):
    """The published number for a task's state (HTTP API, section 2)."""

    CREATED = 0
    RUNNING = 1
    SUCCESS = 2
    DELETED = -1
    FAILED = -2
    ABORTED = -3
    # The published spellings of the last two.
    FAIL = -2
    ABORT = -3


TrainTaskState = TaskState
"""The published name of `TaskState`."""

FINAL_STATES = (TaskState.SUCCESS, TaskState.DELETED, TaskState.FAILED, TaskState.ABORTED)
"""The published states that a task never leaves."""

STATE_OF_PHASE = {
    TaskPhase.CREATED: TaskState.CREATED,
    TaskPhase.QUEUED: TaskState.CREATED,
    TaskPhase.STARTING: TaskState.RUNNING,
    TaskPhase.RUNNING: TaskState.RUNNING,
    TaskPhase.STOPPING: TaskState.RUNNING,
    TaskPhase.SUCCEEDED: TaskState.SUCCESS,
    TaskPhase.FAILED: TaskState.FAILED,
    TaskPhase.ABORTED: TaskState.ABORTED,
    TaskPhase.LOST: TaskState.ABORTED,
}
"""The published number that each phase has."""

_PHASE_OF_STATE = {
    0: "queued",
    1: "running",
    2: "succeeded",
    -1: "deleted",
    -2: "failed",
    -3: "aborted",
    3: "pending",
    4: "retrying",
    5: "locked",
}


def phase_of_state(state: int) -> str:
    """Give the word for a published state number, for servers that send no phase.

    Returns
    -------
    str
        A word of `TaskPhase` where one fits; ``deleted``, ``pending``, ``retrying`` and
        ``locked`` for the numbers that only such servers use; ``unknown(n)`` for any other.
    """
    return _PHASE_OF_STATE.get(state, f"unknown({state})")


class ResourceState(IntEnum):
    """The state of a dataset, model, file or algorithm (HTTP API, section 2)."""

    CREATED = 1
    UPLOADING = 2
    READY = 3
    DELETED = -1
    ERROR = -2


@dataclass(frozen=True, kw_only=True)
class Exit:
    """How a task's process ended.

    Attributes
    ----------
    kind : str
        ``exit`` (it returned), ``signal`` (it was ended by one), ``start`` (it could not be
        started) or ``unknown`` (nobody saw the end).
    number : int or None
        The exit code, or the signal's number; None for the other kinds.
    message : str
        What there is to say beyond the number; may be empty.
    """

    kind: str
    number: int | None = None
    message: str = ""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Exit:
        """Read the engine's ``exit`` object."""
        number = data.get("number")
        return cls(
            kind=str(data.get("kind", "unknown")),
            number=number if isinstance(number, int) else None,
            message=str(data.get("message") or ""),
        )

    def to_json(self) -> dict[str, Any]:
        """Write the engine's ``exit`` object."""
        return {"kind": self.kind, "number": self.number, "message": self.message}


@dataclass(frozen=True, kw_only=True)
class TaskDetail:
    """What a server says of a task, at one moment.

    Attributes
    ----------
    id, name, description, project_id, algorithm_id, algorithm_git_ref, results_id : str
        As in the HTTP API, section 9.2; empty where the server sent null.
    secret_key : str
        What the task's own reports carry. Never shown: `repr` leaves it out.
    state : int
        The published number, also where it is none that we know.
    phase : str
        The server's own word where it sends one, else the one for `state`.
    exit : Exit or None
        How the process ended; None before that, and from servers that do not say.
    created_ms, started_ms, finished_ms : int or None
        Milliseconds since 1970, UTC; None where it has not happened or is not told.
    queue_position : int or None
        1 for the next to start; None when not waiting, or not told.
    entrypoint, output, command : str
        The shell command's first part, the results' folder, and the whole command as it is run
        (the last one only from servers that tell it).
    train_params, envs, resource_request : str
        JSON text of the parameters, the variables and the resources, as they were sent.
    files : str
        Ids of what is mounted, with commas.
    final_metric : float or None
        What the task reported; None before that, and from servers that do not say it here.
    """

    id: str
    name: str = ""
    description: str = ""
    state: int = 0
    phase: str = ""
    project_id: str = ""
    algorithm_id: str = ""
    algorithm_git_ref: str = ""
    results_id: str = ""
    secret_key: str = ""
    entrypoint: str = ""
    output: str = ""
    command: str = ""
    train_params: str = ""
    train_params_prefix: str = "--"
    train_params_delimeter: str = " "
    creator_id: str = ""
    files: str = ""
    envs: str = ""
    mirror_id: str = ""
    resource_request: str = ""
    num_nodes: int = 1
    nproc_per_node: int = 1
    final_metric: float | None = None
    create_time: str = ""
    finish_time: str = ""
    exit: Exit | None = None
    created_ms: int | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    queue_position: int | None = None

    def __repr__(self) -> str:
        """Name the task and its phase; never its secret key."""
        return f"TaskDetail(id={self.id!r}, name={self.name!r}, phase={self.phase!r})"

    @property
    def finished(self) -> bool:
        """Whether the task has reached a state that it never leaves."""
        return self.state in FINAL_STATES

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> TaskDetail:
        """Read one object of ``train_task/query`` or of the engine's events."""
        state = _integer(data.get("state")) or 0
        ended = data.get("exit")
        return cls(
            id=_text(data.get("id")),
            name=_text(data.get("name")),
            description=_text(data.get("description")),
            state=state,
            phase=_text(data.get("phase")) or phase_of_state(state),
            project_id=_text(data.get("project_id")),
            algorithm_id=_text(data.get("algorithm_id")),
            algorithm_git_ref=_text(data.get("algorithm_git_ref")),
            results_id=_text(data.get("results_id")),
            secret_key=_text(data.get("secret_key")),
            entrypoint=_text(data.get("entrypoint")),
            output=_text(data.get("output")),
            command=_text(data.get("command")),
            train_params=_text(data.get("train_params") or data.get("args")),
            train_params_prefix=_text(data.get("train_params_prefix", "--")),
            train_params_delimeter=_text(data.get("train_params_delimeter", " ")),
            creator_id=_text(data.get("creator_id")),
            files=_text(data.get("files")),
            envs=_text(data.get("envs")),
            mirror_id=_text(data.get("mirror_id")),
            resource_request=_text(data.get("resource_request")),
            num_nodes=_integer(data.get("num_nodes")) or 1,
            nproc_per_node=_integer(data.get("nproc_per_node")) or 1,
            final_metric=_number(data.get("final_metric")),
            create_time=_text(data.get("create_time")),
            finish_time=_text(data.get("finish_time")),
            exit=Exit.from_json(ended) if isinstance(ended, dict) else None,
            created_ms=_integer(data.get("created_ms")),
            started_ms=_integer(data.get("started_ms")),
            finished_ms=_integer(data.get("finished_ms")),
            queue_position=_integer(data.get("queue_position")),
        )


@dataclass(frozen=True, kw_only=True)
class Resource:
    """What algorithms, datasets, models and files have in common (HTTP API, section 6.2).

    Attributes
    ----------
    file_path : str
        Where the server keeps it, in its own words.
    """

    id: str
    name: str = ""
    description: str = ""
    state: int = 0
    public: bool = False
    upload_time: str = ""
    filename: str = ""
    is_zipfile: bool = False
    file_path: str = ""
    size: str = ""
    creator_id: str = ""
    node_id: str = ""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read one object of a query or a list."""
        return cls(**cls._read(data))

    @classmethod
    def _read(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": _text(data.get("id")),
            "name": _text(data.get("name")),
            "description": _text(data.get("description")),
            "state": _integer(data.get("state")) or 0,
            "public": bool(data.get("public")),
            "upload_time": _text(data.get("upload_time")),
            "filename": _text(data.get("filename")),
            "is_zipfile": bool(_integer(data.get("is_zipfile"))) or data.get("is_zipfile") is True,
            "file_path": _text(data.get("file")),
            "size": _text(data.get("size")),
            "creator_id": _text(data.get("creator_id")),
            "node_id": _text(data.get("node_id")),
        }


@dataclass(frozen=True, kw_only=True)
class Algorithm(Resource):
    """Code on the server (HTTP API, section 7.1); `train_params` is JSON text."""

    tags: str = ""
    mirror_id: str = ""
    train_params: str = ""
    follows_anylearn_norm: bool = False
    git_address: str = ""
    git_migrated: bool = False

    @classmethod
    def _read(cls, data: dict[str, Any]) -> dict[str, Any]:
        return super()._read(data) | {
            "tags": _text(data.get("tags")),
            "mirror_id": _text(data.get("mirror_id")),
            "train_params": _text(data.get("train_params")),
            "follows_anylearn_norm": bool(data.get("follows_anylearn_norm")),
            "git_address": _text(data.get("git_address")),
            "git_migrated": bool(data.get("git_migrated")),
        }


@dataclass(frozen=True, kw_only=True)
class Dataset(Resource):
    """Data on the server."""


@dataclass(frozen=True, kw_only=True)
class Model(Resource):
    """A model on the server, of an algorithm."""

    algorithm_id: str = ""

    @classmethod
    def _read(cls, data: dict[str, Any]) -> dict[str, Any]:
        return super()._read(data) | {"algorithm_id": _text(data.get("algorithm_id"))}


@dataclass(frozen=True, kw_only=True)
class File(Resource):
    """A file on the server, such as a task's results."""


@dataclass(frozen=True, kw_only=True)
class QuotaGroup:
    """A group of resources that tasks draw from (HTTP API, section 4).

    Attributes
    ----------
    id, name, level, node_level : str
        As the server says.
    capacity, allocated, default : dict
        Resource to amount: what the group has, what is in use, what a task gets that asks for
        nothing.
    tells_use : bool
        Whether the server said what is in use; a resource that is missing there has nothing in use.
    queue_length : int or None
        How many tasks wait for this group; None where the server does not say
        (docs/protocol.md, ``queue``).
    """

    id: str
    name: str = ""
    level: str = ""
    node_level: str = ""
    capacity: dict[str, float] = field(default_factory=dict)
    allocated: dict[str, float] = field(default_factory=dict)
    default: dict[str, float] = field(default_factory=dict)
    tells_use: bool = True
    queue_length: int | None = None

    @property
    def available(self) -> dict[str, float]:
        """What is free now, over the resources of `capacity`."""
        return {name: has - self.allocated.get(name, 0) for name, has in self.capacity.items()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> QuotaGroup:
        """Read one object of ``quota_group/query`` or ``quota_group/list``."""
        return cls(
            id=_text(data.get("id")),
            name=_text(data.get("name")),
            level=_text(data.get("level")),
            node_level=_text(data.get("node_level")),
            capacity=_amounts(data.get("capacity")),
            allocated=_amounts(data.get("allocated")),
            default=_amounts(data.get("default")),
            tells_use=isinstance(data.get("allocated"), dict),
            queue_length=_count(data.get("queue_length")),
        )


@dataclass(frozen=True, kw_only=True)
class Project:
    """A group of tasks on the server (HTTP API, section 5); `datasets` are ids."""

    id: str
    name: str = ""
    description: str = ""
    create_time: str = ""
    update_time: str = ""
    creator_id: str = ""
    datasets: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Project:
        """Read one object of ``project/query`` or ``project/list``."""
        return cls(
            id=_text(data.get("id")),
            name=_text(data.get("name")),
            description=_text(data.get("description")),
            create_time=_text(data.get("create_time")),
            update_time=_text(data.get("update_time")),
            creator_id=_text(data.get("creator_id")),
            datasets=_ids(data.get("datasets")),
        )


def _ids(value: object) -> tuple[str, ...]:
    """Read ids that come as a list, or as text with commas."""
    found = value if isinstance(value, list) else _text(value).split(",")
    return tuple(_text(one).strip() for one in found if _text(one).strip())


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _amounts(value: object) -> dict[str, float]:
    if not isinstance(value, dict):
        return {}
    return {
        str(name): amount
        for name, amount in value.items()
        if isinstance(amount, int | float) and not isinstance(amount, bool)
    }


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _integer(value: object) -> int | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    try:
        return int(str(value))
    except ValueError:
        return None
