"""From a request to a running task: a short list of named steps.

Each step begins with what the one before found. `preparation` looks at what is here, `survey` at
what the server has; only then something is sent. `planning.plan` stops after these two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.entities import Algorithm, Project, TaskDetail
from anylearn_jupyter.errors import Interrupted
from anylearn_jupyter.home import said_when_full
from anylearn_jupyter.submit.attach import one_at_a_time, same_task
from anylearn_jupyter.submit.checks import check_request
from anylearn_jupyter.submit.code import SentCode, code_kept, send_code
from anylearn_jupyter.submit.delta_upload import fits
from anylearn_jupyter.submit.description import describe
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.facts import Facts
from anylearn_jupyter.submit.inputs import MountedInput, local_input, remote_input
from anylearn_jupyter.submit.ledger import Creation, Ledger, now_ms
from anylearn_jupyter.submit.local_data import Provided
from anylearn_jupyter.submit.preparation import Preparation, prepare
from anylearn_jupyter.submit.progress import Progress, SilentProgress, ToldProgress
from anylearn_jupyter.submit.projects import make_project
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.secrets import secret_values
from anylearn_jupyter.submit.submission import Submission
from anylearn_jupyter.submit.survey import Survey, local_data_of, survey
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.task_form import TaskCommand, submitter, task_form
from anylearn_jupyter.submit.task_record import TaskRecord

_CREATING = "Creating the task"


def submit(
    request: TrainRequest, progress: Progress | None = None, *, reuse: bool = False
) -> Submission:
    """Carry out a request: send what the server lacks, create the task, remember all of it.

    Parameters
    ----------
    request : TrainRequest
        What to train.
    progress : Progress, optional
        Who is told how far it is; None for nobody.
    reuse : bool, default False
        Where a task of the same directory trains just this already, or has with success, attach to
        it instead of making another one (`attach.same_task`).

    Returns
    -------
    Submission
        The task has been created and may be waiting for room; or it was there already.

    Raises
    ------
    OptionError, SnapshotError, DataError
        A mistake that was found here; nothing has been sent.
    ServerError, ServerUnreachable, LoginRequired, EngineError
        As the server says. Submitting again goes on from there, and makes nothing twice.
    Interrupted
        By the user; it says whether there may be a task.

    Notes
    -----
    Source: quick_train spec, "The steps".
    """
    told = ToldProgress(progress or SilentProgress())
    with interruptible(told):
        return _submitted(request, told, reuse=reuse)


@contextmanager
def interruptible(told: ToldProgress) -> Iterator[None]:
    """Say, where the user interrupts a submission, whether there may be a task.

    Raises
    ------
    Interrupted
        Instead of KeyboardInterrupt.
    """
    try:
        with said_when_full():
            yield
    except KeyboardInterrupt:
        raise Interrupted(_interrupted_text(told.at)) from None


def _interrupted_text(step: str) -> str:
    if step == _CREATING:
        return (
            "the task was being created, so it may be there (`%anylearn_tasks`) or not. Submitting "
            "again asks the server first, and makes nothing twice."
        )
    return f"at the step '{step or 'Checking'}'; no task was created. Run it again to submit it."


def _submitted(request: TrainRequest, told: ToldProgress, *, reuse: bool) -> Submission:
    check_request(request)
    secret_values(request)
    with Ledger() as ledger:
        prepared = prepare(request, told, ledger.home, kept=False)
        with prepared.keeping():
            told.step("Asking the server", request.server or "")
            connection = current_connection(request.server)
            destination = Destination(connection, ledger, told, request.polling_s)
            if prepared.seen and not takes_chunks(request, destination):
                prepared.read_rest(told)
            same = same_task(prepared, destination) if reuse else None
            if same is not None:
                return same
            found = survey(prepared, destination)
            return carried_out(prepared, found, destination, told, reuse=reuse)


def carried_out(
    prepared: Preparation,
    found: Survey,
    destination: Destination,
    told: ToldProgress,
    *,
    reuse: bool = False,
) -> Submission:
    """Send what the server lacks, and create the task; the second half of the steps."""
    request = prepared.request
    with code_kept(request, prepared.snapshot, found.algorithm, destination):
        code = provide_code(prepared, found, destination)
        inputs = provide_inputs(prepared, found, code.algorithm, destination)
        project = found.project or make_project(request, destination)
        # Looked for again: data may be known only now, and another kernel may have been first.
        with one_at_a_time(prepared, destination, reuse=reuse):
            same = same_task(prepared, destination) if reuse else None
            return same or _created(prepared, found, code, project, inputs, destination, told)


def _created(
    prepared: Preparation,
    found: Survey,
    code: SentCode,
    project: Project,
    inputs: Sequence[MountedInput],
    destination: Destination,
    told: ToldProgress,
) -> Submission:
    """Create the task of what has been sent, and keep it."""
    request = prepared.request
    command = TaskCommand.of(request, [(one.input.name, one.resource.id) for one in inputs])
    told.step(_CREATING)

    def keep(detail: TaskDetail, creation: Creation) -> TaskRecord:
        facts = describe(
            prepared,
            connection=destination.connection,
            code_sent=code.sent,
            data=tuple(one.fact for one in inputs),
            command=detail.command or command.text,
            notes=told.notes,
        )
        return recorded(request, detail, facts, destination, creation)

    return Submission(
        task=create_task(prepared, found, code, project, command, inputs, destination, keep),
        algorithm=code.algorithm,
        inputs=tuple(inputs),
        project=project,
    )


def provide_code(prepared: Preparation, found: Survey, destination: Destination) -> SentCode:
    """Make sure that the code is on the server."""
    if found.code is not None:
        return found.code
    assert prepared.snapshot is not None
    return send_code(
        prepared.request,
        prepared.snapshot,
        found.algorithm,
        found.confirmed,
        found.mirror_id,
        destination,
    )


def provide_inputs(
    prepared: Preparation, found: Survey, algorithm: Algorithm, destination: Destination
) -> list[MountedInput]:
    """Make sure that each input is on the server, in the request's order.

    The same content twice is sent once: the second one finds it there.
    """
    inputs = []
    for one in prepared.request.data:
        if one.path is None:
            inputs.append(remote_input(one, found.remote[one]))
            continue
        resource = found.known.get(one)
        if resource is not None:
            provided = Provided(resource, 0, prepared.contents[one.path])
        else:
            provided = local_data_of(one, prepared, destination, algorithm.id).provide()
        prepared.contents[one.path] = provided.content
        prepared.seen.pop(one.path, None)
        inputs.append(local_input(one, provided.content, provided.resource, provided.sent))
    return inputs


def takes_chunks(request: TrainRequest, destination: Destination) -> bool:
    """Whether data travels by chunks of content, so that it is read while it is sent."""
    return request.uploader is None and fits(destination.api.delta)


def create_task(
    prepared: Preparation,
    found: Survey,
    code: SentCode,
    project: Project,
    command: TaskCommand,
    inputs: Sequence[MountedInput],
    destination: Destination,
    keep: Callable[[TaskDetail, Creation], TaskRecord],
    *,
    subject: str | None = None,
    more: Mapping[str, Any] | None = None,
) -> TrainTask:
    """Create the task, once, and read it back where the reply does not hold it.

    Parameters
    ----------
    keep : callable
        Writes it down (`recorded`); a task that was made and not written down is found by the next
        submission of the same.
    subject : str, optional
        What the creation is about; default: the request's digest.
    more : Mapping, optional
        More fields of the form.
    """
    api = destination.api
    fields: dict[str, Any] = {
        **task_form(prepared.request, command, inputs, found.resources),
        "project_id": project.id,
        "algorithm_id": code.algorithm.id,
        "algorithm_git_ref": code.git_ref,
        "mirror_id": found.mirror_id,
        "secrets": secret_values(prepared.request) or None,
        **submitter(api),
        **(more or {}),
    }
    replied: dict[str, TaskDetail] = {}
    made: list[TrainTask] = []

    def written_down(task_id: str, creation: Creation) -> None:
        detail = replied.get(task_id) or api.task(task_id)
        made.append(TrainTask(keep(detail, creation), detail))

    destination.create_once(
        "task",
        subject or prepared.digest(destination.server),
        lambda key, doubtful: api.add_task(fields, key, doubtful=doubtful, replied=replied),
        written_down,
    )
    return made[0]


def recorded(
    request: TrainRequest,
    detail: TaskDetail,
    facts: Facts,
    destination: Destination,
    creation: Creation,
    more: Mapping[str, Any] | None = None,
) -> TaskRecord:
    """Keep the task with all that is needed to recall, compare, repeat and resume it.

    Parameters
    ----------
    creation : Creation
        What made it.
    more : Mapping, optional
        What else belongs into its profile.
    """
    now = now_ms()
    record = TaskRecord(
        id=detail.id,
        name=detail.name,
        server=destination.server,
        user_id=destination.user_id,
        username=destination.connection.username,
        project_id=detail.project_id,
        secret_key=detail.secret_key,
        state=detail.state,
        phase=detail.phase,
        working_dir=str(request.working_dir),
        digest=facts.digest,
        profile={"request": request.to_json(), "facts": facts.to_json(), **(more or {})},
        submitted_ms=now,
        seen_ms=now,
    )
    destination.ledger.record_task(record, creation)
    return record
