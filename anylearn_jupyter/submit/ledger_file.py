"""The ledger's file: opening it whole and of our format, or setting it aside with its sidecars."""

from __future__ import annotations

import os
import sqlite3
from contextlib import AbstractContextManager, closing, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

from anylearn_jupyter.client.locks import locked
from anylearn_jupyter.errors import ConfigError
from anylearn_jupyter.submit.migrations import FORMAT, STEPS

BUSY_TIMEOUT_S = 15.0
"""Seconds that a change waits for another process's."""

_SIDECARS = ("-wal", "-shm", "-journal")
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_SCHEMA)


class SetAside(NamedTuple):
    """A damaged file that was renamed: where it is now, and what SQLite said, on one line."""

    path: Path
    reason: str


def open_ledger(path: Path) -> sqlite3.Connection:
    """Open a ledger's file, whole and of our format; it is made if it is missing.

    Raises
    ------
    ConfigError
        It is of a newer format.
    sqlite3.DatabaseError
        It is damaged (`is_damage`), busy for too long, or cannot be written.
    OSError
        It cannot be opened, or another process has been opening it for too long.
    """
    with _nobody_renames(path):
        return _open(path)


def _nobody_renames(path: Path) -> AbstractContextManager[None]:
    """Keep others from setting the file aside, or opening it, so that it stays with its log."""
    return locked(path.with_name(f"{path.name}.lock"), timeout_s=BUSY_TIMEOUT_S)


def _open(path: Path) -> sqlite3.Connection:
    # Made by us first, so that it and its sidecars are readable by the owner alone from the start.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
    try:
        whole = _is_whole(path)
        connection = _connect(str(path))
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _bring_to_our_format(connection, path, whole)
        except BaseException:
            connection.close()
            raise
    except UnicodeDecodeError as error:
        raise _damage("a schema that is no text") from error
    return connection


def set_aside(path: Path) -> SetAside | None:
    """Rename a damaged file and its sidecars; None where another process just did.

    Raises
    ------
    OSError
        It cannot be renamed, or another process has been at it for too long.
    sqlite3.DatabaseError
        As `open_ledger`, but for damage.
    """
    with _nobody_renames(path):
        try:
            _open(path).close()
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            reason = " ".join(str(error).split())
        else:
            return None
        date = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        aside = path.with_name(f"{path.name}.corrupt-{date}")
        for suffix in ("", *_SIDECARS):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return SetAside(aside, reason)


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file itself is at fault."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGED


def storable(text: str) -> str:
    """Write what is no text, such as a directory's name that is no UTF-8, in a way that is one."""
    return text.encode("utf-8", "backslashreplace").decode()


def _connect(name: str, *, uri: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        name, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, uri=uri
    )
    connection.row_factory = sqlite3.Row
    # A text with a damaged byte costs that byte, not the whole ledger.
    connection.text_factory = lambda text: text.decode("utf-8", "replace")
    return connection


def _is_whole(path: Path) -> bool:
    """Raise what SQLite raises for a damaged file, without changing it or a sidecar.

    A connection that may write puts the log into the file when it closes, and deletes the log.

    Returns
    -------
    bool
        False where it cannot be seen without writing (a journal has to be played back first), or
        where the file is new or of another format.
    """
    try:
        with closing(_connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            if _format_of(connection) != FORMAT:
                return False
            _check_whole(connection)
            return True
    except sqlite3.OperationalError as error:
        if (getattr(error, "sqlite_errorcode", 0) & 0xFF) != sqlite3.SQLITE_READONLY:
            raise
        return False


def _bring_to_our_format(connection: sqlite3.Connection, path: Path, whole: bool) -> None:
    found = _format_of(connection)
    if found > FORMAT:
        raise ConfigError(
            f"The record of submitted tasks {path} is of format {found}, which a newer "
            f"anylearn-jupyter wrote; this one knows {FORMAT}: update it, or set ANYLEARN_HOME."
        )
    if found < FORMAT:
        _migrate(connection, path)
    elif not whole:
        _check_whole(connection)


def _format_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check_whole(connection: sqlite3.Connection) -> None:
    """Raise what SQLite raises for a damaged file, where pages, tables or columns are missing."""
    there = _columns_of(connection)
    missing = _our_columns() - there
    tables = {table for table, _ in missing} - {table for table, _ in there}
    if tables:
        raise _damage(f"no table {', '.join(sorted(tables))}")
    if missing:
        raise _damage(f"no column {', '.join('.'.join(one) for one in sorted(missing))}")
    said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    if said != "ok":
        raise _damage(said)


@cache
def _our_columns() -> frozenset[tuple[str, str]]:
    with closing(_connect(":memory:")) as connection:
        for step in STEPS:
            for statement in step:
                connection.execute(statement)
        return _columns_of(connection)


def _columns_of(connection: sqlite3.Connection) -> frozenset[tuple[str, str]]:
    """Give each table's name with each of its columns'; a flipped byte may have renamed one."""
    rows = connection.execute(
        "SELECT owner.name, part.name FROM sqlite_master AS owner, "
        "pragma_table_info(owner.name) AS part WHERE owner.type = 'table'"
    ).fetchall()
    return frozenset((str(row[0]), str(row[1])) for row in rows)


def _damage(reason: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(reason)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a ledger to our format in one transaction, with a copy of the old one beside it."""
    before = _format_of(connection)
    if before > 0:
        copy = path.with_name(f"{path.name}.format-{before}")
        os.close(os.open(copy, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(sqlite3.connect(copy)) as target:
            connection.backup(target)
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been first; what it did is seen from here on.
        for step in STEPS[_format_of(connection) :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
