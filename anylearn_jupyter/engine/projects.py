"""Projects and the tags of their tasks, as the engine remembers them."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from anylearn_jupyter.engine.database import Database
from anylearn_jupyter.entities import new_id

DEFAULT_PROJECT = "Default project"
"""What a user's default project is called."""


@dataclass(frozen=True, kw_only=True)
class ProjectRow:
    """A project; the columns are explained in `migrations`."""

    id: str
    name: str
    description: str = ""
    datasets: str = ""
    is_default: int = 0
    creator_id: str = ""
    created_ms: int = 0
    updated_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class TagRow:
    """A tag of a project's tasks (HTTP API, section 5)."""

    id: str
    project_id: str
    name: str
    color: str = ""
    text_color: str = ""
    description: str = ""


class Projects:
    """The engine's projects.

    Parameters
    ----------
    database : Database
        Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def project(self, project_id: str) -> ProjectRow | None:
        """Give a project, or None."""
        return _project(self._database.row("SELECT * FROM project WHERE id = ?", project_id))

    def of_user(self, user_id: str) -> list[ProjectRow]:
        """Give a user's projects, the oldest first; the default one is among them."""
        rows = self._database.rows(
            "SELECT * FROM project WHERE creator_id = ? ORDER BY rowid", user_id
        )
        return [ProjectRow(**dict(row)) for row in rows]

    def named(self, user_id: str, name: str) -> ProjectRow | None:
        """Give the oldest of a user's projects of this name, so that it stays the same one."""
        row = self._database.row(
            "SELECT * FROM project WHERE creator_id = ? AND name = ? ORDER BY rowid", user_id, name
        )
        return _project(row)

    def default(self, user_id: str) -> ProjectRow:
        """Give a user's default project, made on first use."""
        with self._database.transaction():
            row = self._database.row(
                "SELECT * FROM project WHERE creator_id = ? AND is_default", user_id
            )
            found = _project(row)
            if found is None:
                now_ms = time.time_ns() // 1_000_000
                found = ProjectRow(
                    id=new_id("PROJ"),
                    name=DEFAULT_PROJECT,
                    description="Tasks that name no project",
                    is_default=1,
                    creator_id=user_id,
                    created_ms=now_ms,
                    updated_ms=now_ms,
                )
                self.add(found)
        return found

    def add(self, row: ProjectRow) -> None:
        """Add a project; part of the caller's transaction where there is one."""
        columns = dict(vars(row))
        marks = ", ".join(f":{name}" for name in columns)
        with self._database.transaction() as change:
            change.execute(f"INSERT INTO project ({', '.join(columns)}) VALUES ({marks})", columns)

    def change(self, project_id: str, **values: str | int) -> None:
        """Set columns of a project."""
        parts = ", ".join(f"{name} = :{name}" for name in values)
        with self._database.transaction() as change:
            change.execute(
                f"UPDATE project SET {parts} WHERE id = :id", {**values, "id": project_id}
            )

    def delete(self, project_id: str) -> None:
        """Forget a project and its tags; its tasks stay."""
        with self._database.transaction() as change:
            change.execute(
                "DELETE FROM task_tag WHERE tag_id IN (SELECT id FROM tag WHERE project_id = ?)",
                (project_id,),
            )
            change.execute("DELETE FROM tag WHERE project_id = ?", (project_id,))
            change.execute("DELETE FROM project WHERE id = ?", (project_id,))

    # Tags.

    def tags(self, project_id: str) -> list[TagRow]:
        """Give a project's tags, by name."""
        rows = self._database.rows(
            "SELECT * FROM tag WHERE project_id = ? ORDER BY name", project_id
        )
        return [TagRow(**dict(row)) for row in rows]

    def tag(self, tag_id: str) -> TagRow | None:
        """Give a tag, or None."""
        row = self._database.row("SELECT * FROM tag WHERE id = ?", tag_id)
        return TagRow(**dict(row)) if row else None

    def put_tag(self, tag: TagRow) -> None:
        """Add a tag, or replace the one with this id."""
        with self._database.transaction() as change:
            change.execute(
                "INSERT INTO tag (id, project_id, name, color, text_color, description) VALUES"
                " (:id, :project_id, :name, :color, :text_color, :description)"
                " ON CONFLICT (id) DO UPDATE SET name = :name, color = :color,"
                " text_color = :text_color, description = :description",
                vars(tag),
            )

    def set_tags(self, tags_of_tasks: dict[str, list[str]]) -> None:
        """Give tasks the tags that they have from now on."""
        with self._database.transaction() as change:
            for task_id, tag_ids in tags_of_tasks.items():
                change.execute("DELETE FROM task_tag WHERE task_id = ?", (task_id,))
                change.executemany(
                    "INSERT OR IGNORE INTO task_tag VALUES (?, ?)",
                    [(task_id, tag_id) for tag_id in tag_ids],
                )


def _project(row: sqlite3.Row | None) -> ProjectRow | None:
    return ProjectRow(**dict(row)) if row is not None else None
