"""The engine's own store, for tests of the supervision without the rest of the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anylearn_jupyter.engine.database import Database
from anylearn_jupyter.engine.store import Store, TaskRow
from anylearn_jupyter.entities import new_id


def new_row(**fields: Any) -> TaskRow:
    """Make a task that only prints nothing, but for these fields."""
    params = fields.get("train_params", {})
    values: dict[str, Any] = {
        "id": new_id("TRAI"),
        "name": "task",
        "creator_id": "USER00000000000000000000000000aa",
        "project_id": "PROJ00000000000000000000000000aa",
        "algorithm_id": "ALGO00000000000000000000000000aa",
        "algorithm_git_ref": "snapshot",
        "entrypoint": "true",
        "output": "output",
        "args": json.dumps(params),
        "secret_key": "TKEY00000000000000000000000000aa",
    }
    return TaskRow(**values | fields)


class TaskStore(Store):
    """A store that a test may also set back, as only a power cut can."""

    def __init__(self, root: Path) -> None:
        self.database = Database(root / "store.sqlite3")
        super().__init__(self.database)

    def add(self, *rows: TaskRow) -> None:
        for row in rows:
            self.add_task(row)

    def row_of(self, task_id: str) -> TaskRow:
        found = self.task(task_id)
        assert found is not None
        return found

    def set_back(self, task_id: str, **columns: Any) -> None:
        """Change a task behind the engine's back."""
        parts = ", ".join(f"{name} = :{name}" for name in columns)
        with self.database.transaction() as change:
            change.execute(f"UPDATE task SET {parts} WHERE id = :id", {**columns, "id": task_id})
