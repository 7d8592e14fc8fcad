"""Datasets, models, files and algorithms, as the engine remembers them; no file is touched here."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from anylearn_jupyter.engine.database import Database
from anylearn_jupyter.entities import ResourceState

PREFIX_OF_KIND = {"dataset": "DSET", "model": "MODE", "file": "FILE"}
"""What the ids of each kind begin with (HTTP API, section 2)."""


@dataclass(frozen=True, kw_only=True)
class ResourceRow:
    """A dataset, a model or a file; the columns are explained in `migrations`."""

    id: str
    kind: str
    name: str
    description: str = ""
    filename: str = ""
    public: int = 0
    state: int = ResourceState.CREATED
    problem: str = ""
    finishing: int = 0
    is_zipfile: int = 0
    size: int = 0
    version: int = 0
    algorithm_id: str = ""
    task_id: str | None = None
    creator_id: str = ""
    created_ms: int = 0
    uploaded_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class AlgorithmRow:
    """An algorithm; the columns are explained in `migrations`."""

    id: str
    name: str
    description: str = ""
    filename: str = ""
    public: int = 0
    tags: str = ""
    mirror_id: str = ""
    train_params: str = ""
    follows_norm: int = 0
    state: int = ResourceState.CREATED
    problem: str = ""
    finishing: int = 0
    size: int = 0
    commit_id: str = ""
    creator_id: str = ""
    created_ms: int = 0
    uploaded_ms: int | None = None


Uploadable = ResourceRow | AlgorithmRow
"""Whatever `resource/upload` takes chunks for."""


class Resources:
    """The engine's datasets, models, files and algorithms.

    Parameters
    ----------
    database : Database
        Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, row: Uploadable) -> None:
        """Add one; part of the caller's transaction where there is one."""
        columns = dict(vars(row))
        marks = ", ".join(f":{name}" for name in columns)
        with self._database.transaction() as change:
            change.execute(
                f"INSERT INTO {_table(row.id)} ({', '.join(columns)}) VALUES ({marks})", columns
            )

    def change(self, thing_id: str, **values: Any) -> None:
        """Set columns of one."""
        parts = ", ".join(f"{name} = :{name}" for name in values)
        with self._database.transaction() as change:
            change.execute(
                f"UPDATE {_table(thing_id)} SET {parts} WHERE id = :id", {**values, "id": thing_id}
            )

    def delete(self, thing_id: str) -> None:
        """Forget one, with what was uploaded of it and packed from it."""
        with self._database.transaction() as change:
            change.execute(f"DELETE FROM {_table(thing_id)} WHERE id = ?", (thing_id,))
            change.execute("DELETE FROM chunk WHERE resource_id = ?", (thing_id,))
            change.execute("DELETE FROM compression WHERE resource_id = ?", (thing_id,))

    def resource(self, resource_id: str) -> ResourceRow | None:
        """Give a dataset, model or file, or None."""
        return _resource(self._database.row("SELECT * FROM resource WHERE id = ?", resource_id))

    def algorithm(self, algorithm_id: str) -> AlgorithmRow | None:
        """Give an algorithm, or None."""
        return _algorithm(self._database.row("SELECT * FROM algorithm WHERE id = ?", algorithm_id))

    def uploadable(self, thing_id: str) -> Uploadable | None:
        """Give whatever has this id, or None."""
        return self.resource(thing_id) or self.algorithm(thing_id)

    def of_user(self, user_id: str, kind: str) -> list[ResourceRow]:
        """Give a user's datasets, models or files, the oldest first."""
        rows = self._database.rows(
            "SELECT * FROM resource WHERE creator_id = ? AND kind = ? ORDER BY rowid", user_id, kind
        )
        return [ResourceRow(**dict(row)) for row in rows]

    def newest_named(self, user_id: str, kind: str, name: str) -> ResourceRow | None:
        """Give the newest of a user's things of this name, as equal names are accepted."""
        row = self._database.row(
            "SELECT * FROM resource WHERE creator_id = ? AND kind = ? AND name = ?"
            " ORDER BY rowid DESC",
            user_id,
            kind,
            name,
        )
        return _resource(row)

    def algorithms_of_user(self, user_id: str) -> list[AlgorithmRow]:
        """Give a user's algorithms, the oldest first."""
        rows = self._database.rows(
            "SELECT * FROM algorithm WHERE creator_id = ? ORDER BY rowid", user_id
        )
        return [AlgorithmRow(**dict(row)) for row in rows]

    def algorithm_named(self, user_id: str, name: str) -> AlgorithmRow | None:
        """Give a user's algorithm of this name, or None."""
        row = self._database.row(
            "SELECT * FROM algorithm WHERE creator_id = ? AND name = ?", user_id, name
        )
        return _algorithm(row)

    # Chunks that came and were not put together yet.

    def add_chunk(self, thing_id: str, number: int, size: int) -> None:
        """Note that a chunk is there; the same chunk again replaces it."""
        with self._database.transaction(durable=False) as change:
            change.execute(
                "INSERT OR REPLACE INTO chunk VALUES (?1, ?2, ?3,"
                " (SELECT coalesce(max(arrived), 0) + 1 FROM chunk WHERE resource_id = ?1))",
                (thing_id, number, size),
            )
            self._database.count(upload_bytes=size, upload_chunks=1)

    def chunks(self, thing_id: str) -> list[tuple[int, int, int]]:
        """Give (number, bytes, order of arrival) of each chunk that is there, by number."""
        rows = self._database.rows(
            "SELECT number, bytes, arrived FROM chunk WHERE resource_id = ? ORDER BY number",
            thing_id,
        )
        return [(row["number"], row["bytes"], row["arrived"]) for row in rows]

    def drop_chunks(self, thing_id: str | None = None) -> None:
        """Forget the chunks of one thing, or of all."""
        with self._database.transaction() as change:
            change.execute("DELETE FROM chunk WHERE ?1 IS NULL OR resource_id = ?1", (thing_id,))

    def interrupted(self) -> list[Uploadable]:
        """Give what an engine that died was putting together."""
        found: list[Uploadable] = []
        for table, make in (("resource", ResourceRow), ("algorithm", AlgorithmRow)):
            rows = self._database.rows(f"SELECT * FROM {table} WHERE finishing != 0")
            found += [make(**dict(row)) for row in rows]
        return found

    # Packed for a download.

    def add_compression(
        self, compression_id: str, resource_id: str, subpath: str, user_id: str
    ) -> None:
        """Note that something is to be packed."""
        with self._database.transaction() as change:
            change.execute(
                "INSERT INTO compression VALUES (?, ?, ?, 0, ?, ?)",
                (compression_id, resource_id, subpath, user_id, time.time_ns() // 1_000_000),
            )

    def set_compression(self, compression_id: str, state: int) -> None:
        """Note how far packing has come: 1 in progress, 2 finished, -1 failed, -2 invalid."""
        with self._database.transaction(durable=False) as change:
            change.execute("UPDATE compression SET state = ? WHERE id = ?", (state, compression_id))

    def compression(self, compression_id: str) -> dict[str, Any] | None:
        """Give the columns of one, or None."""
        row = self._database.row("SELECT * FROM compression WHERE id = ?", compression_id)
        return dict(row) if row else None

    def drop_compressions(self, *, before_ms: int) -> list[str]:
        """Forget those that were asked for before a time; gives their ids."""
        with self._database.transaction() as change:
            rows = change.execute(
                "DELETE FROM compression WHERE created_ms < ? RETURNING id", (before_ms,)
            ).fetchall()
        return [row["id"] for row in rows]


def _table(thing_id: str) -> str:
    return "algorithm" if thing_id.startswith("ALGO") else "resource"


def _resource(row: sqlite3.Row | None) -> ResourceRow | None:
    return ResourceRow(**dict(row)) if row is not None else None


def _algorithm(row: sqlite3.Row | None) -> AlgorithmRow | None:
    return AlgorithmRow(**dict(row)) if row is not None else None
