"""Submitting a sweep: one snapshot and one upload for all, then a task for each point.

The key of each task is written down before it is asked for, under the digest of the sweep and its
own place. A sweep whose submission broke off is gone on with by the next submission of the same.
The same holds for a task that was made by a process that died before it wrote the record down.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from typing import Any

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.entities import FINAL_STATES, TaskDetail, TaskState
from anylearn_jupyter.errors import Interrupted, OptionError
from anylearn_jupyter.home import said_when_full
from anylearn_jupyter.submit.again import request_again
from anylearn_jupyter.submit.checks import check_request
from anylearn_jupyter.submit.code import SentCode, code_kept
from anylearn_jupyter.submit.description import describe
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.inputs import MountedInput
from anylearn_jupyter.submit.ledger import Creation, Ledger
from anylearn_jupyter.submit.pipeline import (
    create_task,
    provide_code,
    provide_inputs,
    recorded,
    takes_chunks,
)
from anylearn_jupyter.submit.preparation import Preparation, prepare
from anylearn_jupyter.submit.progress import Progress, SilentProgress, ToldProgress
from anylearn_jupyter.submit.projects import make_project
from anylearn_jupyter.submit.survey import Survey, survey
from anylearn_jupyter.submit.sweep import Sweep, sweep_tasks
from anylearn_jupyter.submit.sweep_points import FORMAT
from anylearn_jupyter.submit.sweep_request import Point, SweepRequest
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.task_form import TaskCommand
from anylearn_jupyter.submit.task_record import TaskRecord
from anylearn_jupyter.submit.tasks import refresh

GROUP_LIMIT = "group_limit"
"""The feature of a server that keeps ``--parallel`` itself (docs/protocol.md)."""

_AT_ONCE = 8


def submit_sweep(
    request: SweepRequest, progress: Progress | None = None, *, reuse: bool = False
) -> Sweep:
    """Submit all trainings of a sweep.

    Parameters
    ----------
    request : SweepRequest
        What to train.
    progress : Progress, optional
        Who is told how far it is; None for nobody.
    reuse : bool, default False
        Where the same sweep was submitted before, show what of it is unfinished or has succeeded
        instead of training that again. `Sweep.reused` says how many these are.

    Returns
    -------
    Sweep
        All of its tasks have been created.

    Raises
    ------
    OptionError, SnapshotError, DataError
        A mistake that was found here; nothing has been sent.
    ServerError, ServerUnreachable, LoginRequired, EngineError
        As the server says; submitting again creates the rest.
    Interrupted
        By the user; submitting again creates the rest.

    Notes
    -----
    Source: notebook spec, "``%%anylearn_train``", ``--sweep``; quick_train spec, "The steps".
    """
    request.check()
    for point in request.points:
        check_request(point.request)
    return _carried_out(request.named(), progress, None, reuse=reuse)


def retry_points(sweep: Sweep, places: Sequence[int], progress: Progress | None = None) -> None:
    """Submit some trainings of a sweep again, with what is in their directories now.

    Parameters
    ----------
    places : sequence of int
        Their numbers in the sweep; `sweep.tasks` has the new tasks in their places afterwards.

    Raises
    ------
    NotFound
        They were not submitted from this machine.
    As `submit_sweep`.
    """
    points = [
        Point(
            tuple(sweep.values[place].items()),
            replace(
                request_again(sweep.tasks[place].record, {}), task_name=sweep.tasks[place].name
            ),
        )
        for place in places
    ]
    again = SweepRequest(tuple(points), sweep.kind, sweep.parallel)
    again.check()
    made = _carried_out(again, progress, _known_as(sweep, places))
    sweep.put(dict(zip(places, made.tasks, strict=True)))


def _known_as(sweep: Sweep, places: Sequence[int]) -> _Known:
    return _Known(sweep.id, sweep.digest, {}, tuple(places), len(sweep.tasks))


@dataclass(frozen=True)
class _Known:
    """A sweep that is there already.

    Attributes
    ----------
    id, digest : str
        As its tasks' profiles have them.
    kept : dict
        Place to task, of what need not be created.
    places : tuple of int
        The place of each point of the request, in the whole sweep.
    count : int
        Trainings of the whole sweep.
    """

    id: str
    digest: str
    kept: dict[int, TrainTask]
    places: tuple[int, ...]
    count: int


def _carried_out(
    request: SweepRequest, progress: Progress | None, known: _Known | None, *, reuse: bool = False
) -> Sweep:
    told = ToldProgress(progress or SilentProgress())
    creating = _Creating(request)
    try:
        with said_when_full():
            return creating.submitted(told, known, reuse=reuse)
    except KeyboardInterrupt:
        raise Interrupted(creating.interrupted_text(told.at)) from None


class _Creating:
    """One submission of a sweep, and how far it has come."""

    def __init__(self, request: SweepRequest) -> None:
        self._request = request
        self._made: dict[int, TrainTask] = {}

    def interrupted_text(self, step: str) -> str:
        """Say what an interrupt has left."""
        total = len(self._request.points)
        if not self._made:
            return f"at the step '{step or 'Checking'}'; run it again to submit the sweep."
        return (
            f"{len(self._made)} of {total} tasks of the sweep were created, and they run. "
            "Submitting again creates the others, and none twice."
        )

    def submitted(self, told: ToldProgress, known: _Known | None, *, reuse: bool) -> Sweep:
        """Send what all have in common, and create the tasks that are not there."""
        first = self._request.points[0].request
        with Ledger() as ledger:
            prepared = prepare(first, told, ledger.home)
            told.step("Asking the server", first.server or "")
            connection = current_connection(first.server)
            destination = Destination(connection, ledger, told, first.polling_s)
            self._check_parallel(destination)
            if prepared.seen and not takes_chunks(first, destination):
                prepared.read_rest(told)
            found = survey(prepared, destination)
            with code_kept(first, prepared.snapshot, found.algorithm, destination):
                code = provide_code(prepared, found, destination)
                inputs = provide_inputs(prepared, found, code.algorithm, destination)
                if known is None:
                    known = self._known(prepared, destination, reuse=reuse)
                project = found.project or make_project(first, destination)
                shared = _Shared(
                    prepared, replace(found, project=project), code, inputs, destination
                )
                self._create(shared, known, told)
        reused = len(known.kept)
        tasks = known.kept | self._made
        sweep = Sweep([tasks[place] for place in sorted(tasks)])
        sweep.reused = reused
        return sweep

    def _check_parallel(self, destination: Destination) -> None:
        if self._request.parallel is not None and GROUP_LIMIT not in destination.api.features:
            raise OptionError(
                f"--parallel cannot be kept by {destination.connection.address}, which starts a "
                "task as soon as it has room; leave it out, or ask more resources for each "
                "training, so that fewer of them fit."
            )

    def _known(self, prepared: Preparation, destination: Destination, *, reuse: bool) -> _Known:
        """Find what there is of this sweep already, or begin a new one."""
        digests = [
            replace(prepared, request=point.request).digest(destination.server)
            for point in self._request.points
        ]
        digest = self._request.digest(digests)
        places = tuple(range(len(digests)))
        tasks = sweep_tasks(destination.ledger, "digest", digest)
        if tasks and (len(tasks) < len(places) or reuse):
            whole = len(tasks) == len(places)
            if whole:
                refresh(tasks.values())
            kept = {place: task for place, task in tasks.items() if not whole or not _in_vain(task)}
            sweep_id = str(next(iter(tasks.values())).record.profile["sweep"]["id"])
            return _Known(sweep_id, digest, kept, places, len(places))
        return _Known(f"SWEP{secrets.token_hex(14)}", digest, {}, places, len(places))

    def _create(self, shared: _Shared, known: _Known, told: ToldProgress) -> None:
        """Create the tasks that are missing, several at once."""
        missing = [
            (place, point)
            for place, point in zip(known.places, self._request.points, strict=True)
            if place not in known.kept
        ]
        if not missing:
            return
        step = f"Creating {len(missing)} tasks" if len(missing) != 1 else "Creating the task"
        told.step(step)
        # In a pool of its own, which an interrupt leaves without waiting; each call ends by itself.
        pool = ThreadPoolExecutor(_AT_ONCE, "anylearn-sweep")
        try:
            # The first one alone: a mistake that all of them have is told once.
            self._made[missing[0][0]] = shared.task(missing[0], self._request, known)
            waiting: dict[Future[TrainTask], int] = {
                pool.submit(shared.task, one, self._request, known): one[0] for one in missing[1:]
            }
            for done in as_completed(waiting):
                self._made[waiting[done]] = done.result()
                told.step(f"{step} ({len(self._made)} done)")
        except Exception:
            if self._made:
                told.note(f"{len(self._made)} tasks were created; submitting again goes on there.")
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class _Shared:
    """What all tasks of a sweep have in common."""

    prepared: Preparation
    found: Survey
    code: SentCode
    inputs: Sequence[MountedInput]
    destination: Destination

    def task(self, one: tuple[int, Point], request: SweepRequest, known: _Known) -> TrainTask:
        """Create one of them, and keep it."""
        place, point = one
        prepared = replace(self.prepared, request=point.request)
        command = TaskCommand.of(
            point.request, [(one.input.name, one.resource.id) for one in self.inputs]
        )
        told = _profile(place, point, request, known)

        def keep(detail: TaskDetail, creation: Creation) -> TaskRecord:
            facts = describe(
                prepared,
                connection=self.destination.connection,
                code_sent=self.code.sent,
                data=tuple(one.fact for one in self.inputs),
                command=detail.command or command.text,
                notes=(),
            )
            more = {"sweep": told}
            return recorded(point.request, detail, facts, self.destination, creation, more)

        assert self.found.project is not None
        limits: Mapping[str, Any] = {}
        if request.parallel is not None:
            # Not its id: who goes on with a sweep of which no record was written has another one.
            limits = {"limit_group": known.digest, "group_limit": request.parallel}
        return create_task(
            prepared,
            self.found,
            self.code,
            self.found.project,
            command,
            self.inputs,
            self.destination,
            keep,
            subject=f"{known.digest}:{place}",
            more=limits,
        )


def _profile(place: int, point: Point, request: SweepRequest, known: _Known) -> dict[str, Any]:
    """Give what the record of a task says of its sweep."""
    return {
        "id": known.id,
        "digest": known.digest,
        "index": place,
        "count": known.count,
        "values": [[name, _kept(value)] for name, value in point.values],
        "kind": str(request.kind),
        "format": FORMAT,
        "parallel": request.parallel,
    }


def _in_vain(task: TrainTask) -> bool:
    """Whether a task has ended without success."""
    return task.state in FINAL_STATES and task.state != TaskState.SUCCESS


def _kept(value: object) -> object:
    """Give a swept value as JSON can hold it."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return list(value) if isinstance(value, list | tuple) else str(value)
