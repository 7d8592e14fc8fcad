"""The engine's SQLite file: opening, migrating, transactions, and the small tables of everyone.

Locking: one connection for the whole process, behind a lock, so that threads may read as well; the
file itself is shared with `anylearn-engine user`, which SQLite's own locks serve (WAL). Every
change is in an explicit transaction. It is durable when it returns, unless `durable=False` says
that a power cut may take the last ones back.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from anylearn_jupyter.engine.migrations import MIGRATIONS
from anylearn_jupyter.errors import EngineError

_APPLICATION_ID = 0x616E796C  # "anyl", so that `file` and we know our own
_BUSY_TIMEOUT_S = 10.0


class Database:
    """One store file.

    Parameters
    ----------
    path : Path
        Is made if it is not there, private to its owner.
    migrations : sequence of str, optional
        SQL of each step.

    Raises
    ------
    EngineError
        The file was written by a newer program, or is no store of ours.
    """

    def __init__(self, path: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._depth = 0
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=_BUSY_TIMEOUT_S
        )
        self._connection.row_factory = sqlite3.Row
        try:
            self._open(migrations)
        except EngineError:
            self.close()
            raise
        except sqlite3.DatabaseError as error:
            self.close()
            if getattr(error, "sqlite_errorname", "") == "SQLITE_FULL":
                raise EngineError(
                    f"There is no room left on the disk of the engine's store {path}; make room "
                    "there, or set ANYLEARN_HOME to a directory on another disk."
                ) from error
            raise EngineError(
                f"The engine's store {path} cannot be read ({error}); move it away with its "
                "-wal and -shm files, and the engine makes a new one."
            ) from error

    def close(self) -> None:
        """Close the file; nothing can be asked afterwards."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Change things together: all of it, or, when the block raises, none.

        A transaction within one is part of it.
        """
        with self._lock:
            if self._depth:
                self._depth += 1
                try:
                    yield self._connection
                finally:
                    self._depth -= 1
                return
            if not durable:
                self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            else:
                self._connection.execute("COMMIT")
            finally:
                self._depth = 0
                if not durable:
                    self._connection.execute("PRAGMA synchronous=FULL")

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Read all rows of a query."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """Read the first row of a query; None if there is none."""
        with self._lock:
            found: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
            return found

    # What does not belong to any one thing.

    def meta(self, key: str) -> str | None:
        """Read a remembered text."""
        found = self.row("SELECT value FROM meta WHERE key = ?", key)
        return found["value"] if found else None

    def set_meta(self, key: str, value: str) -> None:
        """Remember a text."""
        with self.transaction() as change:
            change.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def count(self, **amounts: int) -> None:
        """Add to counters (docs/protocol.md, "counters")."""
        with self.transaction(durable=False) as change:
            change.executemany(
                "INSERT INTO counter VALUES (?1, ?2)"
                " ON CONFLICT (name) DO UPDATE SET value = value + ?2",
                list(amounts.items()),
            )

    def counters(self) -> dict[str, int]:
        """Read all counters that were ever added to."""
        return {row["name"]: row["value"] for row in self.rows("SELECT * FROM counter")}

    def answered(self, user_id: str, path: str, key: str | None) -> str | None:
        """Give the id that this key has made before; None if it has made nothing.

        Notes
        -----
        Source: docs/protocol.md, "idempotency".
        """
        if key is None:
            return None
        found = self.row(
            "SELECT created_id FROM answer WHERE user_id = ? AND path = ? AND key = ?",
            user_id,
            path,
            key,
        )
        return found["created_id"] if found else None

    def remember_answer(
        self, user_id: str, path: str, key: str | None, created_id: str, now_ms: int
    ) -> None:
        """Keep what a key has made; belongs into the transaction that makes it."""
        if key is not None:
            with self.transaction() as change:
                change.execute(
                    "INSERT INTO answer VALUES (?, ?, ?, ?, ?)",
                    (user_id, path, key, created_id, now_ms),
                )

    def _open(self, migrations: Sequence[str]) -> None:
        connection = self._connection
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        self._refuse_newer(len(migrations))
        if self._format() < len(migrations):
            self._migrate(migrations)

    def _format(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def _refuse_newer(self, known: int) -> None:
        if self._format() > known:
            raise EngineError(
                f"The engine's store {self.path} has format {self._format()} and this program "
                f"reads up to {known}; use the newer anylearn-jupyter that wrote it, or another "
                "ANYLEARN_HOME."
            )

    def _migrate(self, migrations: Sequence[str]) -> None:
        """Take the steps that are missing, in one transaction, after a copy of what there is."""
        connection = self._connection
        before = self._format()
        if before:
            backup = self.path.with_name(f"{self.path.name}.format-{before}")
            copy = sqlite3.connect(backup)
            try:
                connection.backup(copy)
            finally:
                copy.close()
        with self.transaction():
            # Another process may have been faster.
            self._refuse_newer(len(migrations))
            for step in migrations[self._format() :]:
                for statement in _statements(step):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(migrations)}")
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")


def _statements(script: str) -> Iterator[str]:
    """Split a script, as `executescript` would commit the open transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
