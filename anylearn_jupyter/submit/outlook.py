"""What can be told beforehand of a task's way: its place in the queue, and how long it may take."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.connection import Connection
from anylearn_jupyter.entities import TaskPhase
from anylearn_jupyter.submit.capacity import GroupCapacity, capacity
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.quota import DEFAULT_GROUP
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.task_record import TaskRecord, detail_of

LOOKED_AT_TASKS = 500
"""The newest tasks of the ledger, among which earlier runs are looked for."""

COUNTED_RUNS = 10
"""So many of the newest runs make an estimate."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a task would find in the group that it draws from.

    Attributes
    ----------
    group : GroupCapacity
        The group, as it is now.
    wanted : tuple of (str, float)
        What the task would get of each resource, by the server's names and in its units.
    """

    group: GroupCapacity
    wanted: tuple[tuple[str, float], ...]

    @property
    def starts_at_once(self) -> bool | None:
        """Whether nothing waits and all is free; None where the server does not say."""
        free = [(self.group.resource(name), amount) for name, amount in self.wanted]
        if self.group.queue_length is None or not free:
            return None
        if any(one is None or one.free is None for one, _ in free):
            return None
        fits = all(one is not None and amount <= (one.free or 0) for one, amount in free)
        return fits and self.group.queue_length == 0

    @property
    def too_much(self) -> tuple[tuple[str, float, float], ...]:
        """Each resource of which more is wanted than the group has: name, wanted, had."""
        found = [(self.group.resource(name), amount) for name, amount in self.wanted]
        return tuple(
            (one.name, amount, one.total)
            for one, amount in found
            if one is not None and amount > one.total
        )


@dataclass(frozen=True, kw_only=True)
class RunTimes:
    """How long earlier runs took, in seconds from start to end.

    Attributes
    ----------
    runs : int
        How many were counted.
    median_s, shortest_s, longest_s : float
        Of these.
    same_values : bool
        Whether all had the hyperparameters of this request; else any.
    """

    runs: int
    median_s: float
    shortest_s: float
    longest_s: float
    same_values: bool


def place_of(request: TrainRequest, connection: Connection) -> Place | None:
    """Say what a task would find; None where the server does not list its group.

    Raises
    ------
    ServerUnreachable, LoginRequired, ServerError
        As the server says.
    """
    named = (request.quota_group or DEFAULT_GROUP).casefold()
    groups = capacity(connection)
    group = next((one for one in groups if one.id.casefold() == named), None) or next(
        (one for one in groups if one.name.casefold() == named), None
    )
    if group is None:
        return None
    if not request.quota_request:
        wanted = [(one.name, one.default) for one in group.resources if one.default > 0]
        return Place(group=group, wanted=tuple(wanted))
    asked = [(group.resource(name), name, amount) for name, amount in request.quota_request]
    return Place(
        group=group,
        wanted=tuple((one.name if one else name, float(amount)) for one, name, amount in asked),
    )


def run_times(request: TrainRequest, ledger: Ledger, server: str, api: Api) -> RunTimes | None:
    """Say how long earlier runs of the same entry took on a server; None where there are none.

    Those that succeeded count, of the same command in the same directory. Where some had the same
    hyperparameters, only they do. Times that were not seen when a task ended are asked for.

    Parameters
    ----------
    request : TrainRequest
        What would run.
    ledger : Ledger
        Where earlier runs are looked for.
    server : str
        As the ledger has it.
    api : Api
        Of that server.

    Raises
    ------
    ServerUnreachable, LoginRequired, ServerError
        As the server says.
    """
    found = [
        (record, earlier)
        for record in ledger.tasks(LOOKED_AT_TASKS)
        if record.server == server and (earlier := _request_of(record)) is not None
        and _is_same_entry(request, earlier) and not _failed(record)
    ]  # fmt: skip
    same = [record for record, earlier in found if earlier.hyperparams == request.hyperparams]
    for records, same_values in ((same, True), ([record for record, _ in found], False)):
        times = _times_of(records[:COUNTED_RUNS], api)
        if times:
            return RunTimes(
                runs=len(times),
                median_s=statistics.median(times),
                shortest_s=min(times),
                longest_s=max(times),
                same_values=same_values,
            )
    return None


def _request_of(record: TaskRecord) -> TrainRequest | None:
    kept = record.profile.get("request")
    return TrainRequest.from_json(kept) if isinstance(kept, dict) else None


def _is_same_entry(request: TrainRequest, earlier: TrainRequest) -> bool:
    mine = (request.entrypoint, request.algorithm_dir, request.algorithm_id)
    return mine == (earlier.entrypoint, earlier.algorithm_dir, earlier.algorithm_id)


def _failed(record: TaskRecord) -> bool:
    return record.finished and record.phase != TaskPhase.SUCCEEDED


def _times_of(records: list[TaskRecord], api: Api) -> list[float]:
    details = {record.id: detail_of(record) for record in records}
    unseen = [
        one.id for one in details.values() if one.started_ms is None or one.finished_ms is None
    ]
    details |= api.tasks(unseen)
    return [
        (one.finished_ms - one.started_ms) / 1000
        for one in details.values()
        if one.phase == TaskPhase.SUCCEEDED
        and one.started_ms is not None and one.finished_ms is not None
    ]  # fmt: skip
