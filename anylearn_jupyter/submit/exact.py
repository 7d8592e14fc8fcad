"""Repeating a task exactly: its snapshot, its data, its values and its environment, not today's.

What was sent then is named by its content, so it is either there unchanged, here or on the server,
or the repetition is refused. That it is the same is proved by equal digests before a task is made.
"""

from __future__ import annotations

from pathlib import Path

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.errors import DataError, OptionError, SnapshotError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.attach import is_known_code
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.facts import DataFact, Facts
from anylearn_jupyter.submit.fingerprint import Fingerprint, fingerprint
from anylearn_jupyter.submit.kept_snapshots import kept_snapshot, sent_snapshot
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.local_data import Content
from anylearn_jupyter.submit.pipeline import carried_out, interruptible
from anylearn_jupyter.submit.preparation import Preparation
from anylearn_jupyter.submit.progress import Progress, SilentProgress, ToldProgress
from anylearn_jupyter.submit.ready_archive import read_archive
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from anylearn_jupyter.submit.snapshot import Snapshot
from anylearn_jupyter.submit.snapshot_store import KEPT_SNAPSHOTS
from anylearn_jupyter.submit.stat_cache import StatCache
from anylearn_jupyter.submit.submission import Submission
from anylearn_jupyter.submit.survey import Survey, survey
from anylearn_jupyter.submit.task_record import TaskRecord

_WAY_OUT = "without --exact, a retry trains what is in its directories now"


def submit_exactly(
    record: TaskRecord, request: TrainRequest, progress: Progress | None = None
) -> Submission:
    """Submit a task again with exactly what it was made of.

    Parameters
    ----------
    record : TaskRecord
        The task.
    request : TrainRequest
        What it asked for (`again.request_again`).
    progress : Progress, optional
        Who is told how far it is; it gets the note that the digests are equal.

    Raises
    ------
    SnapshotError
        The code is neither kept here nor on the server any more, or was never named by its commit.
    DataError
        Data is not on the server any more, and what is here is not what it was.
    OptionError
        The digest is another one, since another version of this program made it.
    As `pipeline.submit`.

    Notes
    -----
    Source: notebook spec, "Companions"; issue 4, "Safe Run All, compare, replay".
    """
    told = ToldProgress(progress or SilentProgress())
    with interruptible(told), Ledger() as ledger:
        facts = _facts(record)
        told.step("Finding what was sent")
        captured = None if request.is_code_on_server else _code(record, request, facts, ledger.home)
        prepared = Preparation(
            request=request,
            snapshot=captured,
            contents=_contents(request, facts),
            seen={},
            notes=(),
        )
        _check_digest(record, prepared)
        told.step("Asking the server", record.server)
        connection = current_connection(record.server)
        destination = Destination(connection, ledger, told, request.polling_s)
        found = survey(prepared, destination)
        _check_code_is_there(record, prepared, found, destination)
        _read_what_is_missing(record, prepared, found)
        told.note(f"Repeats {record.name} ({record.id}) exactly: digest equal: {record.digest}")
        return carried_out(prepared, found, destination, told)


def _facts(record: TaskRecord) -> Facts:
    found = record.profile.get("facts")
    if not isinstance(found, dict):
        raise SnapshotError(
            f"What was sent for {record.name} ({record.id}) is not known here, so it cannot be "
            f"repeated exactly; {_WAY_OUT}."
        )
    return Facts.from_json(found)


def _code(record: TaskRecord, request: TrainRequest, facts: Facts, home: Home) -> Snapshot:
    """Give the snapshot that the task was made of; without files where it is not kept here."""
    if request.algorithm_dir is None or not facts.snapshot_id:
        raise SnapshotError(
            f"The code of {record.name} ({record.id}) is not known, so it cannot be repeated "
            f"exactly; {_WAY_OUT}."
        )
    kept = kept_snapshot(
        request.algorithm_dir, facts.snapshot_id, home, head=facts.head, dirty=facts.dirty
    )
    return kept or sent_snapshot(request.algorithm_dir, facts.snapshot_id, home)


def _contents(request: TrainRequest, facts: Facts) -> dict[Path, Content]:
    """Give the content of each local path as it was then; nothing is read."""
    known = {fact.path: fact for fact in facts.data if fact.path is not None}
    return {
        one.path: _content_of(known[one.path])
        for one in request.data
        if one.path is not None and one.path in known
    }


def _content_of(fact: DataFact) -> Fingerprint:
    return Fingerprint(
        value=fact.fingerprint,
        root=fact.path or Path(),
        files=fact.files or 0,
        total_bytes=fact.size_bytes or 0,
        _contents=(),
    )


def _check_digest(record: TaskRecord, prepared: Preparation) -> None:
    """Prove that the request is the one of then."""
    request = prepared.request
    unknown = [one for one in request.data if one.path and one.path not in prepared.contents]
    if not is_known_code(request) or unknown:
        what = "code" if not unknown else f"data {unknown[0].path}"
        raise SnapshotError(
            f"The {what} of {record.name} ({record.id}) was not named by its content, so it cannot "
            f"be repeated exactly; {_WAY_OUT}."
        )
    if prepared.digest(record.server) != record.digest:
        raise OptionError(
            f"{record.name} ({record.id}) was submitted by another version of anylearn-jupyter, "
            f"which names trainings in another way, so it cannot be repeated exactly; {_WAY_OUT}."
        )


def _check_code_is_there(
    record: TaskRecord, prepared: Preparation, found: Survey, destination: Destination
) -> None:
    """Refuse a snapshot that is not kept here, unless the server says that it has it."""
    captured, algorithm = prepared.snapshot, found.algorithm
    if captured is None or captured.files:
        return
    by_git = destination.connection.git_auth() is not None
    if by_git and algorithm and algorithm.git_address and found.confirmed == algorithm.id:
        return
    raise SnapshotError(
        f"The code of {record.name} ({record.id}), snapshot {captured.commit[:12]}, is neither "
        f"kept here (the last {KEPT_SNAPSHOTS} of a directory are) nor on "
        f"{destination.connection.address} any more, so it cannot be repeated exactly; {_WAY_OUT}."
    )


def _read_what_is_missing(record: TaskRecord, prepared: Preparation, found: Survey) -> None:
    """Read the data that the server has no more, which has to be what it was."""
    for one in prepared.request.data:
        if one.path is None or one in found.known:
            continue
        now = _read(record, one)
        if now.value != prepared.contents[one.path].value:
            raise DataError(
                f"The data {one.path} is not what {record.name} ({record.id}) was trained on, and "
                f"{record.server} has that no more, so it cannot be repeated exactly; {_WAY_OUT}."
            )
        prepared.contents[one.path] = now


def _read(record: TaskRecord, one: DataInput) -> Content:
    assert one.path is not None
    if not one.path.exists():
        raise DataError(
            f"The data {one.path} of {record.name} ({record.id}) is gone, here and on "
            f"{record.server}, so it cannot be repeated exactly."
        )
    return read_archive(one.path) if one.archive else fingerprint(one.path, cache=StatCache())
