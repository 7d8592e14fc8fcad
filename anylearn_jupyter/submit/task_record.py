"""What the ledger knows of a task, and how a row of it is written and read."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from anylearn_jupyter.entities import FINAL_STATES, Exit, TaskDetail
from anylearn_jupyter.submit.ledger_file import storable


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """What the ledger knows of a task.

    Attributes
    ----------
    id, name, server, user_id, username, project_id : str
        `server` is ``local`` or an address.
    secret_key : str
        What the task's reports carry. Never shown: `repr` leaves it out.
    state : int
        The published number, as last seen.
    phase : str
        The word, as last seen.
    working_dir : str
        Where it was submitted from, absolute.
    digest : str
        `TrainRequest.digest`; empty where it was submitted elsewhere.
    profile : dict
        ``request`` (`TrainRequest.to_json`), ``facts`` (`Facts.to_json`), and ``seen``
        (`seen_of`) once its state was seen to change.
    submitted_ms, seen_ms : int
        Milliseconds since 1970, UTC: when it was submitted, and when its state was last seen.
    """

    id: str
    name: str
    server: str
    user_id: str = ""
    username: str = ""
    project_id: str = ""
    secret_key: str = field(default="", repr=False)
    state: int = 0
    phase: str = "created"
    working_dir: str = ""
    digest: str = ""
    profile: dict[str, Any] = field(default_factory=dict, repr=False)
    submitted_ms: int = 0
    seen_ms: int = 0

    @property
    def finished(self) -> bool:
        """Whether the task was last seen in a state that it never leaves."""
        return self.state in FINAL_STATES


def row_of(record: TaskRecord) -> dict[str, object]:
    """Give a record as the columns of its row."""
    row: dict[str, object] = {
        name: getattr(record, name) for name in TaskRecord.__dataclass_fields__
    }
    row["profile"] = json.dumps(record.profile)
    return {name: storable(one) if isinstance(one, str) else one for name, one in row.items()}


def record_of(row: sqlite3.Row) -> TaskRecord:
    """Give the record of a row; a profile that is no JSON counts as none."""
    record = TaskRecord(**{name: row[name] for name in TaskRecord.__dataclass_fields__})
    try:
        profile = json.loads(row["profile"])
    except ValueError:
        profile = {}
    return replace(record, profile=profile if isinstance(profile, dict) else {})


def seen_of(detail: TaskDetail) -> dict[str, Any]:
    """Give what is kept of how a task went, beside its state: its exit and its times."""
    return {
        "exit": None if detail.exit is None else asdict(detail.exit),
        "started_ms": detail.started_ms,
        "finished_ms": detail.finished_ms,
    }


def detail_of(record: TaskRecord) -> TaskDetail:
    """Give what was last seen of a task, as its server would say it."""
    found = record.profile.get("seen")
    seen: dict[str, Any] = found if isinstance(found, dict) else {}
    return TaskDetail(
        id=record.id,
        name=record.name,
        state=record.state,
        phase=record.phase,
        project_id=record.project_id,
        secret_key=record.secret_key,
        exit=_exit_of(seen.get("exit")),
        created_ms=record.submitted_ms or None,
        started_ms=_whole(seen.get("started_ms")),
        finished_ms=_whole(seen.get("finished_ms")),
    )


def _exit_of(found: object) -> Exit | None:
    if not isinstance(found, dict):
        return None
    kind, message = found.get("kind"), found.get("message")
    return Exit(
        kind=kind if isinstance(kind, str) else "unknown",
        number=_whole(found.get("number")),
        message=message if isinstance(message, str) else "",
    )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def name_of_sweep(task_name: str) -> str:
    """Give the name of a sweep out of that of one of its tasks: ``digits-3,lr=0.1``: digits."""
    return task_name.partition(",")[0].rpartition("-")[0]
