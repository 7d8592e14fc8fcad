"""A store of tasks in one file, for tests of the supervision without the rest of the engine."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from anylearn_jupyter.entities import Exit, TaskPhase, new_id

if TYPE_CHECKING:
    from anylearn_jupyter.engine.store import TaskRow


@dataclass(frozen=True)
class Row:
    """What of the engine's `TaskRow` the supervision reads."""

    id: str = field(default_factory=lambda: new_id("TRAI"))
    name: str = "task"
    phase: TaskPhase = TaskPhase.QUEUED
    creator_id: str = "USER00000000000000000000000000aa"
    project_id: str = "PROJ00000000000000000000000000aa"
    algorithm_id: str = "ALGO00000000000000000000000000aa"
    algorithm_git_ref: str = ""
    entrypoint: str = "true"
    output: str = "output"
    train_params: dict[str, Any] = field(default_factory=dict)
    train_params_prefix: str = "--"
    train_params_delimeter: str = " "
    envs: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    resources: tuple[dict[str, Any], ...] = ()
    interpreter: str | None = None
    submitter_env: dict[str, str] = field(default_factory=dict)
    secret_key: str = "TKEY00000000000000000000000000aa"
    started_ms: int | None = None
    finished_ms: int | None = None
    exit: Exit | None = None
    allocation: dict[str, Any] = field(default_factory=dict)

    @property
    def row(self) -> TaskRow:
        return cast("TaskRow", self)


class FileStore:
    """Keeps rows in the order of the queue, in memory and in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: dict[str, Row] = {}
        if path.exists():
            for data in json.loads(path.read_text()):
                data["phase"] = TaskPhase(data["phase"])
                data["exit"] = Exit.from_json(data["exit"]) if data["exit"] else None
                self.rows[data["id"]] = Row(**data)

    def add(self, *rows: Row) -> None:
        self.rows |= {row.id: row for row in rows}
        self._save()

    def task(self, task_id: str) -> TaskRow | None:
        found = self.rows.get(task_id)
        return found.row if found else None

    def tasks_in(self, phases: tuple[TaskPhase, ...]) -> list[TaskRow]:
        return [row.row for row in self.rows.values() if row.phase in phases]

    def move_task(
        self, task_id: str, to: TaskPhase, *, of: tuple[TaskPhase, ...], **changes: Any
    ) -> bool:
        row = self.rows.get(task_id)
        if row is None or row.phase not in of:
            return False
        self.rows[task_id] = dataclasses.replace(row, phase=to, **changes)
        self._save()
        return True

    def _save(self) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps([dataclasses.asdict(row) for row in self.rows.values()]))
        new.replace(self._path)
