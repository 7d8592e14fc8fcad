"""The ledger: this machine's memory of what was submitted from it.

One SQLite file under ``ANYLEARN_HOME``, readable by its owner alone, in WAL mode, each change one
transaction that is on the disk before the call returns. A `Ledger` may be used from several threads
(one at a time gets in) and after a fork (the child opens the file anew). Any number of processes
may have it open.

A file of a newer format is refused. A file that is damaged is set aside as
``ledger.sqlite3.corrupt-<date>`` with its sidecars, and a new one is begun: nothing of it is
deleted, and `Ledger.notes` says so (faults, B5). What a server still has can be found there again.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from anylearn_jupyter.entities import FINAL_STATES, TaskDetail, is_id
from anylearn_jupyter.errors import ConfigError, NotFound, OptionError
from anylearn_jupyter.home import Home, boot_identity, make_private_directory
from anylearn_jupyter.submit.ledger_file import is_damage, open_ledger, set_aside, storable
from anylearn_jupyter.submit.task_record import TaskRecord, record_of, row_of, seen_of

SETTLED_AFTER_S = 3600.0
"""Age after which a creation counts as abandoned, whatever process has its number now."""

_LAST_COMMITS = 16

_log = logging.getLogger(__name__)


class Ledger:
    """The ledger of one ``ANYLEARN_HOME``; a context manager that closes it.

    Parameters
    ----------
    home : Home, optional
        Default: the one of this moment.

    Raises
    ------
    ConfigError
        It was written by a newer program, or cannot be read or written.

    Notes
    -----
    Source: architecture, "Where things are"; quick_train spec, step 8; faults, A7, B1, B5, C10.
    """

    def __init__(self, home: Home | None = None) -> None:
        self.home = home if home is not None else Home()
        self.notes: list[str] = []
        self._mutex = threading.RLock()
        self._pid = os.getpid()
        self._open: sqlite3.Connection | None = None
        self._left_to_parent: list[sqlite3.Connection] = []
        with self._connection():
            pass

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def __repr__(self) -> str:
        """Name the file."""
        return f"Ledger({str(self.home.ledger)!r})"

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._mutex:
            opened, self._open = self._open, None
            if opened is not None and self._pid == os.getpid():
                opened.close()

    # Tasks.

    def record_task(self, record: TaskRecord, creation: Creation | None = None) -> None:
        """Keep a task; one of the same id is replaced.

        Parameters
        ----------
        creation : Creation, optional
            What made it; it is settled in the same instant.
        """
        row = row_of(record)
        names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        with self._connection() as connection:
            connection.execute(f"INSERT OR REPLACE INTO task ({names}) VALUES ({marks})", row)
            if creation is not None:
                connection.execute(
                    "UPDATE submission SET made = ? WHERE key = ?", (record.id, creation.key)
                )
        if creation is not None:
            creation.settled = True

    def record_state(self, detail: TaskDetail) -> None:
        """Keep what a server last said of a task that is known here; others are left alone."""
        with self._connection() as connection:
            connection.execute(
                "UPDATE task SET state = :state, phase = :phase, seen_ms = :now, "
                "name = coalesce(nullif(:name, ''), name), "
                "project_id = coalesce(nullif(:project, ''), project_id), "
                "secret_key = coalesce(nullif(:key, ''), secret_key), "
                "profile = CASE WHEN json_valid(profile) "
                "THEN json_set(profile, '$.seen', json(:seen)) ELSE profile END WHERE id = :id",
                {
                    "state": detail.state,
                    "phase": detail.phase,
                    "now": now_ms(),
                    "name": storable(detail.name),
                    "project": storable(detail.project_id),
                    "key": detail.secret_key,
                    "seen": storable(json.dumps(seen_of(detail))),
                    "id": detail.id,
                },
            )

    def task(self, task_id: str) -> TaskRecord | None:
        """Give a task by its whole id; None where it was not submitted from here."""
        found = self._tasks("WHERE id = ?", (task_id,))
        return found[0] if found else None

    def tasks(self, limit: int | None = None) -> list[TaskRecord]:
        """Give the newest tasks, newest first; all of them without a limit."""
        return self._tasks("", (), limit)

    def unfinished(self, working_dir: Path | str | None = None) -> list[TaskRecord]:
        """Give the tasks last seen unfinished, oldest first.

        Parameters
        ----------
        working_dir : Path or str, optional
            Only those submitted from this directory.
        """
        marks = ", ".join("?" for _ in FINAL_STATES)
        where = f"WHERE state NOT IN ({marks})"
        values: list[object] = [int(state) for state in FINAL_STATES]
        if working_dir is None:
            return self._tasks(where, values)[::-1]
        values.append(storable(str(working_dir)))
        return self._tasks(f"{where} AND working_dir = ?", values)[::-1]

    def with_digest(self, digest: str) -> list[TaskRecord]:
        """Give the tasks of requests with this digest, newest first."""
        return self._tasks("WHERE digest = ?", (digest,))

    def match(self, text: str) -> TaskRecord:
        """Find the task that somebody means.

        Parameters
        ----------
        text : str
            ``last`` (the newest), an id, a name (the newest task of that name), or the beginning of
            an id, with or without its four capitals, that fits one task only.

        Raises
        ------
        OptionError
            It fits several; the message lists them.
        NotFound
            It fits none.
        """
        text = text.strip()
        records = self.tasks()
        if text == "last" and records:
            return records[0]
        by_id = [record for record in records if record.id == text]
        by_name = [record for record in records if record.name == text]
        by_prefix = [
            record for record in records if text and record.id.startswith((text, f"TRAI{text}"))
        ]
        for found in (by_id, by_name[:1], by_prefix):
            if len(found) == 1:
                return found[0]
        if by_prefix:
            listed = ", ".join(f"{one.id} ({one.name})" for one in by_prefix[:5])
            raise OptionError(
                f"{text!r} is the beginning of {len(by_prefix)} tasks: {listed}"
                f"{', …' if len(by_prefix) > 5 else ''}; write more of it."
            )
        if text == "last":
            raise NotFound("No task was submitted from this machine yet.")
        names = ", ".join(dict.fromkeys(record.name for record in records[:5]))
        raise NotFound(
            f"{text!r} is no task that was submitted from this machine"
            + (f"; the newest are {names}." if names else ", nor was any other.")
        )

    # Datasets.

    def dataset(self, server: str, user_id: str, fingerprint: str) -> str | None:
        """Give the dataset with this content; None where none is known."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT id FROM dataset WHERE server = ? AND user_id = ? AND fingerprint = ?",
                (server, user_id, fingerprint),
            ).fetchone()
        return None if row is None else str(row["id"])

    def record_dataset(
        self, server: str, user_id: str, fingerprint: str, dataset_id: str, size_bytes: int
    ) -> None:
        """Keep that a server has this content, whole."""
        with self._connection() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO dataset VALUES (?, ?, ?, ?, ?, ?)",
                (server, user_id, fingerprint, dataset_id, size_bytes, now_ms()),
            )

    def forget_dataset(self, server: str, user_id: str, fingerprint: str) -> None:
        """Drop what is kept of this content: the server has it no more."""
        with self._connection() as connection:
            connection.execute(
                "DELETE FROM dataset WHERE server = ? AND user_id = ? AND fingerprint = ?",
                (server, user_id, fingerprint),
            )

    # Code.

    def algorithm_with(self, server: str, user_id: str, name: str, commit: str) -> str | None:
        """Give the algorithm of this name that this commit was brought to from here."""
        with self._connection() as connection:
            row = connection.execute(
                "SELECT algorithm_id FROM code WHERE server = ? AND user_id = ? AND name = ? "
                "AND commit_id = ?",
                (server, user_id, name, commit),
            ).fetchone()
        return None if row is None else str(row["algorithm_id"])

    def commits_of(self, server: str, user_id: str, algorithm_id: str) -> list[str]:
        """Give the commits that were last brought to an algorithm from here, newest first."""
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT commit_id FROM code WHERE server = ? AND user_id = ? AND algorithm_id = ? "
                "ORDER BY recorded_ms DESC LIMIT ?",
                (server, user_id, algorithm_id, _LAST_COMMITS),
            ).fetchall()
        return [str(row["commit_id"]) for row in rows]

    def record_code(
        self, server: str, user_id: str, name: str, commit: str, algorithm_id: str
    ) -> None:
        """Keep that an algorithm has this commit, as its server has confirmed.

        A power cut may take that back, as the server is asked again where it is not known.
        """
        with self._connection(durable=False) as connection:
            connection.execute(
                "INSERT OR REPLACE INTO code VALUES (?, ?, ?, ?, ?, ?)",
                (server, user_id, name, commit, algorithm_id, now_ms()),
            )

    def forget_code(self, server: str, user_id: str, name: str) -> None:
        """Drop what is kept of an algorithm's commits: its server lacks one of them."""
        with self._connection() as connection:
            connection.execute(
                "DELETE FROM code WHERE server = ? AND user_id = ? AND name = ?",
                (server, user_id, name),
            )

    # Creations.

    @contextmanager
    def creation(self, kind: str, server: str, user_id: str, subject: str) -> Iterator[Creation]:
        """Write down a POST that creates, before it is sent, and its outcome afterwards.

        Where an earlier creation of the same subject was left without an outcome (its process died,
        or it got no answer), its key is used again, and `Creation.doubtful` is true.

        Parameters
        ----------
        kind : str
            ``algorithm``, ``dataset``, ``project`` or ``task``.
        server, user_id : str
            Where, and as whom.
        subject : str
            What it is about: a name, a fingerprint, a digest.

        Yields
        ------
        Creation
            Set `made` to the id that the server gave. If the block raises, the row stays open,
            unless `settle` was called.

        Notes
        -----
        Source: quick_train spec, step 6; faults, A7.
        """
        creation = self._begin(kind, server, user_id, subject)
        try:
            yield creation
        finally:
            # Busy until it is settled: no other thread may take its key for an abandoned one.
            if not creation.settled and (creation.made is not None or creation.refused):
                self._settle(creation)
            _busy_keys.discard(creation.key)

    def _begin(self, kind: str, server: str, user_id: str, subject: str) -> Creation:
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT * FROM submission WHERE kind = ? AND subject = ? AND server = ? "
                "AND user_id = ? AND made IS NULL ORDER BY asked_ms",
                (kind, subject, server, user_id),
            ).fetchall()
            for row in rows:
                if _abandoned(row):
                    connection.execute(
                        "UPDATE submission SET boot = ?, pid = ?, asked_ms = ? WHERE key = ?",
                        (boot_identity(), os.getpid(), now_ms(), row["key"]),
                    )
                    _busy_keys.add(str(row["key"]))
                    return Creation(key=str(row["key"]), doubtful=True)
            # Within the transaction, so that whoever sees the row knows that it is busy.
            key = secrets.token_hex(16)
            _busy_keys.add(key)
            connection.execute(
                "INSERT INTO submission VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                (key, kind, server, user_id, subject, boot_identity(), os.getpid(), now_ms()),
            )
        return Creation(key=key, doubtful=False)

    def _settle(self, creation: Creation) -> None:
        with self._connection() as connection:
            if creation.made is None:
                connection.execute("DELETE FROM submission WHERE key = ?", (creation.key,))
            else:
                connection.execute(
                    "UPDATE submission SET made = ? WHERE key = ?", (creation.made, creation.key)
                )

    # The file.

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Give the open file for one transaction, to a module with a table of its own."""
        return self._connection()

    def _tasks(
        self, where: str, values: Iterable[object], limit: int | None = None
    ) -> list[TaskRecord]:
        """Read tasks, newest first."""
        query = f"SELECT * FROM task {where} ORDER BY submitted_ms DESC, rowid DESC LIMIT ?"
        with self._connection() as connection:
            rows = connection.execute(query, (*values, -1 if limit is None else limit)).fetchall()
        return [record_of(row) for row in rows]

    @contextmanager
    def _connection(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Give the open file to one thread, for one transaction, on the disk when this returns."""
        if self._pid != os.getpid():
            # The parent's lock may be held for ever here, and its connection is not to be closed.
            self._mutex = threading.RLock()
            if self._open is not None:
                self._left_to_parent.append(self._open)
            self._open, self._pid = None, os.getpid()
        with self._mutex:
            if self._open is None:
                self._open = self._opened()
            connection = self._open
            try:
                if not durable:
                    connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("BEGIN IMMEDIATE")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._unusable(error) from error
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if not durable:
                    connection.execute("PRAGMA synchronous = FULL")

    def _opened(self) -> sqlite3.Connection:
        """Open the file, of our format; a damaged one is set aside first."""
        path = self.home.ledger
        make_private_directory(path.parent)
        try:
            return open_ledger(path)
        except OSError as error:
            raise self._unusable(error) from error
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise self._unusable(error) from error
            try:
                aside = set_aside(path)
                opened = open_ledger(path)
            except (sqlite3.Error, OSError) as second:
                raise self._unusable(second) from second
        if aside is not None:
            note = (
                f"The record of submitted tasks was damaged ({aside.reason}) and is set aside as "
                f"{aside.path}; a new one was begun, and the tasks themselves go on."
            )
            _log.warning(note)
            self.notes.append(note)
        return opened

    def _unusable(self, error: Exception) -> ConfigError:
        return ConfigError(
            f"The record of submitted tasks {self.home.ledger} cannot be read or written: "
            f"{' '.join(str(error).split())}."
        )


@dataclass(kw_only=True)
class Creation:
    """A POST that creates, while it is under way.

    Attributes
    ----------
    key : str
        The idempotency key.
    doubtful : bool
        An earlier call with this key may have been carried out.
    made : str or None
        The id, once the server gave it.
    refused : bool
        The server definitely made nothing: the key is forgotten.
    settled : bool
        The outcome is written down already.
    """

    key: str
    doubtful: bool
    made: str | None = None
    refused: bool = False
    settled: bool = False


_busy_keys: set[str] = set()
"""Keys of creations that a thread of this process is waiting for."""


def now_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def _abandoned(row: sqlite3.Row) -> bool:
    """Whether nobody waits for the outcome of a creation any more."""
    if row["key"] in _busy_keys:
        return False
    if row["boot"] != boot_identity() or row["pid"] == os.getpid():
        return True
    if now_ms() - int(row["asked_ms"]) > SETTLED_AFTER_S * 1000:
        return True
    return not _process_exists(int(row["pid"]))


def _process_exists(pid: int) -> bool:
    if os.name == "nt":
        return True  # there, signal 0 would end it; its age decides
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def looks_like_task(text: str) -> bool:
    """Whether the text is the whole id of a task, known here or not."""
    return is_id(text, "TRAI")
