"""What is known of a task: its record, what its server last said, and the published attributes."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any, Generic, Self, TypedDict, TypeVar, Unpack, overload

from anylearn_jupyter.client.api.base import parted
from anylearn_jupyter.client.connection import Connection, chosen_server, current_connection
from anylearn_jupyter.config import Settings
from anylearn_jupyter.entities import Exit, TaskDetail, TaskState
from anylearn_jupyter.errors import NotFound
from anylearn_jupyter.submit.facts import Facts
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.task_record import TaskRecord, detail_of

T = TypeVar("T")


class TaskFields(TypedDict, total=False):
    """The published keywords of a task, for one that is made by hand and saved."""

    id: str
    name: str
    description: str
    state: int
    creator_id: str
    project_id: str
    algorithm_id: str
    algorithm_git_ref: str
    train_params: str | dict[str, Any]
    train_params_prefix: str
    train_params_delimeter: str
    files: str | list[str]
    results_id: str
    secret_key: str
    create_time: str
    finish_time: str
    envs: str | dict[str, str]
    final_metric: float
    resource_request: list[dict[str, dict[str, int]]]
    entrypoint: str
    output: str
    mirror_id: str
    num_nodes: int
    nproc_per_node: int


class Told(Generic[T]):
    """An attribute that the server tells; one that is set counts for `save`."""

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the name that it has in the class and in `TaskDetail`."""
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: KnownTask, owner: type) -> T: ...

    def __get__(self, instance: KnownTask | None, owner: type) -> Self | T:
        """Give what was last heard."""
        if instance is None:
            return self
        found: T = getattr(instance.detail, self._name)
        return found

    def __set__(self, instance: KnownTask, value: T) -> None:
        """Take the value for what was heard."""
        instance._set(self._name, value)


class KnownTask:
    """A task as it was last seen; asking is `get_detail`.

    It holds no connection: it knows its server by name and asks for a live connection each time.
    """

    creator_id = Told[str]()
    project_id = Told[str]()
    algorithm_id = Told[str]()
    algorithm_git_ref = Told[str]()
    train_params = Told[str]()
    train_params_prefix = Told[str]()
    train_params_delimeter = Told[str]()
    files = Told[str]()
    results_id = Told[str]()
    secret_key = Told[str]()
    create_time = Told[str]()
    finish_time = Told[str]()
    envs = Told[str]()
    final_metric = Told[float | None]()
    entrypoint = Told[str]()
    output = Told[str]()
    mirror_id = Told[str]()
    num_nodes = Told[int]()
    nproc_per_node = Told[int]()

    def __init__(
        self,
        record: TaskRecord | str | None = None,
        detail: TaskDetail | None = None,
        *,
        load_detail: bool = False,
        **published: Unpack[TaskFields],
    ) -> None:
        unknown = set(published) - set(TaskFields.__annotations__)
        if unknown:
            raise TypeError(f"TrainTask has no keyword {', '.join(sorted(unknown))}")
        if not isinstance(record, TaskRecord):
            known = _record_of(record or published.get("id") or "")
            record = replace(known, name=published.get("name") or known.name)
        self.record = record
        self.id = record.id
        self.server = record.server
        self.trouble = ""
        self.note = ""
        self._detail = detail if detail is not None else detail_of(record)
        for name, value in published.items():
            if name != "id":
                self._set(name, value)
        if load_detail:
            self.get_detail()

    def __repr__(self) -> str:
        """Say on one line what it is, as last seen."""
        return f"<TrainTask {self.name!r} {self.phase}, id {self.id}, on {self.server}>"

    @classmethod
    def seen(cls, detail: TaskDetail, connection: Connection) -> Self:
        """Make a task of what a server said of it; what the ledger knows of it is kept."""
        with Ledger() as ledger:
            record = ledger.task(detail.id)
        return cls(record or record_on(connection, detail), detail)

    # What is known without a request.

    @property
    def name(self) -> str:
        """The task's name."""
        return self._detail.name or self.record.name

    @name.setter
    def name(self, value: str) -> None:
        self._set("name", value)

    @property
    def description(self) -> str:
        """Its description, without the mark that the client may have put at its end."""
        return parted(self._detail.description)[0]

    @description.setter
    def description(self, value: str) -> None:
        self._set("description", value)

    @property
    def detail(self) -> TaskDetail:
        """What the server last said."""
        return self._detail

    @property
    def state(self) -> int:
        """The published number, as last seen (HTTP API, section 2)."""
        return self._detail.state

    @property
    def phase(self) -> str:
        """The word for where it is in its life, as last seen."""
        return self._detail.phase

    @property
    def facts(self) -> Facts | None:
        """What was sent; None for a task that was submitted elsewhere."""
        found = self.record.profile.get("facts")
        if not isinstance(found, dict):
            return None
        facts = Facts.from_json(found)
        return replace(facts, notes=(self.note, *facts.notes)) if self.note else facts

    @property
    def resource_request(self) -> list[dict[str, dict[str, int]]] | None:
        """What it asked for of a group, ``[{group: {resource: amount}}]``; None for nothing."""
        found = json.loads(self._detail.resource_request or "null")
        return found if isinstance(found, list) else None

    @resource_request.setter
    def resource_request(self, value: list[dict[str, dict[str, int]]] | None) -> None:
        self._set("resource_request", value)

    def _set(self, name: str, value: Any) -> None:
        """Take a published attribute, written as it is on the wire."""
        if name == "files" and isinstance(value, list):
            value = ",".join(value)
        elif isinstance(value, dict | list):
            value = json.dumps(value, ensure_ascii=False)
        if value is None:
            value = _DEFAULTS[name]
        self._detail = replace(self._detail, **{name: value})

    # State.

    def connection(self) -> Connection:
        """Give a live connection to its server.

        Raises
        ------
        ServerUnreachable, LoginRequired, EngineError
            The server does not answer, or wants another login.
        """
        return current_connection(self.server)

    def get_detail(self) -> TaskDetail:
        """Ask the server about the task, and keep the answer in the ledger.

        Raises
        ------
        NotFound
            The server has no such task any more.
        ServerUnreachable, LoginRequired, EngineError
            It could not be asked; what is known stays.
        """
        if not self.id:
            raise NotFound(f"The task {self.name!r} is on no server yet; call save() first.")
        try:
            self.saw(self.connection().api.task(self.id))
        except NotFound:
            self.saw_gone()
            raise
        return self._detail

    def saw(self, detail: TaskDetail) -> None:
        """Take what somebody else heard of the task, and keep it in the ledger."""
        changed = (detail.state, detail.phase) != (self.record.state, self.record.phase)
        # A stream of events never carries the key.
        key = detail.secret_key or self._detail.secret_key or self.record.secret_key
        self._detail = replace(detail, secret_key=key)
        self.trouble = ""
        if changed:
            with Ledger() as ledger:
                ledger.record_state(detail)
                self.record = ledger.task(self.id) or self.record

    def saw_gone(self) -> None:
        """Take that the server has it no more: the ledger keeps it, and its end where it was seen.

        Notes
        -----
        Source: faults, D3.
        """
        if not self._detail.finished:
            no_more = Exit(kind="unknown", message="the server has no such task any more")
            deleted = int(TaskState.DELETED)
            self.saw(replace(self._detail, state=deleted, phase="deleted", exit=no_more))

    def status(self) -> str:
        """Ask the server, and give the word for where it is in its life."""
        return self.get_detail().phase

    def finished(self) -> bool:
        """Whether it has ended, in whatever way; asks the server unless that is known."""
        return self._detail.finished or self.get_detail().finished


_DEFAULTS = {one.name: one.default for one in fields(TaskDetail)}


def record_on(connection: Connection, detail: TaskDetail) -> TaskRecord:
    """Describe a task that was submitted elsewhere as the ledger describes its own."""
    return TaskRecord(
        id=detail.id,
        name=detail.name,
        server=connection.server,
        user_id=connection.user_id,
        username=connection.username,
        project_id=detail.project_id,
        secret_key=detail.secret_key,
        state=detail.state,
        phase=detail.phase,
    )


def _record_of(task_id: str) -> TaskRecord:
    """Give what is known of an id, with no request: the ledger's record, or an empty one."""
    if task_id:
        with Ledger() as ledger:
            known = ledger.task(task_id)
        if known is not None:
            return known
    return TaskRecord(id=task_id, name="", server=chosen_server() or Settings.read().host)
