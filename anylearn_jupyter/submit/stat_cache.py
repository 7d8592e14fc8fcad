"""What is known of datasets that were read before, so that what did not change is not read again.

One SQLite file under ``ANYLEARN_HOME``: for each dataset its fingerprint, and for each directory in
it the names, states (`data_scan.state_of`: size, times, inode, device, mode) and digests of its
files. A file whose state is the same has the same content; git's rule for the grain of the clock
holds: of a file that was young when it was read no state is kept, so that it is read once more.

It is a cache. Nothing of it is synced, so a power cut may damage it; each dataset's rows have a
checksum. What does not fit its checksum is not believed; a file that SQLite cannot read, or that
another version wrote, is thrown away; where it cannot be read or written at all, data is read as if
there were none. None of this is an error to anybody.

Notes
-----
Source: issue "Everything quick_train can do", item 5; faults E13. Nothing stays open between two
calls, so that threads and forks need no care; what was used last is held.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from blake3 import blake3

from anylearn_jupyter.errors import ConfigError
from anylearn_jupyter.home import Home, make_private_directory
from anylearn_jupyter.submit.data_scan import Folder, Scan, cut
from anylearn_jupyter.submit.folder_work import DIGEST_BYTES, STATE

CACHE_FORMAT = 2
"""The format number of the file (``user_version``); a file of another one is made again."""

KEPT_DATASETS = 200
"""How many datasets are kept: those used last."""

NO_STATE = bytes(STATE.size)
"""A state that no file has: inode 0."""

_log = logging.getLogger(__name__)
_BUSY_TIMEOUT_S = 2.0
_USED_AGAIN_S = 86_400
_SIDECARS = ("-journal", "-wal", "-shm")
_NOT_ITS_FAULT = (
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM),
    *(sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM),
)
_SCHEMA = (
    """
    CREATE TABLE dataset (
        id INTEGER PRIMARY KEY,
        root BLOB NOT NULL UNIQUE,      -- the resolved path
        value TEXT NOT NULL,            -- its fingerprint
        checksum BLOB NOT NULL,         -- of the value and all folders
        used_s INTEGER NOT NULL         -- seconds since 1970, to a day
    ) STRICT
    """,
    """
    CREATE TABLE folder (
        dataset INTEGER NOT NULL,
        prefix BLOB NOT NULL,
        names BLOB NOT NULL,            -- joined by '/'
        states BLOB NOT NULL,
        digests BLOB NOT NULL,
        PRIMARY KEY (dataset, prefix)
    ) STRICT
    """,
    f"PRAGMA user_version = {CACHE_FORMAT}",
)


_HELD_BYTES = 32 << 20


@dataclass
class KnownFolder:
    """The files of one directory: names joined by ``/``, states and digests one after the other.

    Attributes
    ----------
    records : bytes
        Their records in the fingerprint, once they have been made in this process; not kept.
    """

    names: bytes
    states: bytes
    digests: bytes
    records: bytes = field(default=b"", compare=False)

    @cached_property
    def checksum(self) -> bytes:
        """The BLAKE3 of what is kept."""
        hasher = blake3()
        for part in (self.names, self.states, self.digests):
            hasher.update(len(part).to_bytes(8, "little"))
            hasher.update(part)
        return hasher.digest()

    @property
    def memory(self) -> int:
        """About how many bytes it takes, with its records."""
        return 2 * len(self.names) + len(self.states) + 4 * len(self.digests)


@dataclass(frozen=True)
class Known:
    """What is known of a dataset.

    Attributes
    ----------
    value : str
        Its fingerprint.
    folders : dict
        By their prefix; those without files are left out.
    """

    value: str
    folders: dict[str, KnownFolder]

    @cached_property
    def files(self) -> int:
        """How many files."""
        return sum(len(folder.digests) for folder in self.folders.values()) // DIGEST_BYTES

    def fits(self, found: Scan) -> bool:
        """Whether nothing at all has changed."""
        return len(self.folders) == len(found.folders) and all(map(self.unchanged, found.folders))

    def unchanged(self, folder: Folder) -> KnownFolder | None:
        """Give what is known of a directory if nothing in it has changed."""
        known = self.folders.get(folder.prefix)
        if known is None or known.states != folder.joined_states:
            return None
        return known if known.names == folder.joined_names else None

    def digests(self, folder: Folder) -> list[bytes]:
        """Give the digest of each file of a directory; empty where it has changed, or is new."""
        known = self.folders.get(folder.prefix)
        if known is None:
            return [b""] * folder.files
        digests, states = cut(known.digests, DIGEST_BYTES), cut(known.states, STATE.size)
        now = cut(folder.joined_states, STATE.size)
        if known.names == folder.joined_names:
            return [
                digest if before == state else b""
                for digest, before, state in zip(digests, states, now, strict=True)
            ]
        names = known.names.decode().split("/")
        before = dict(zip(zip(names, states, strict=True), digests, strict=True))
        return [before.get(one, b"") for one in zip(folder.names, now, strict=True)]

    @cached_property
    def checksum(self) -> bytes:
        """The BLAKE3 of all of it."""
        hasher = blake3(self.value.encode())
        for prefix in sorted(self.folders):
            name = prefix.encode()
            hasher.update(len(name).to_bytes(8, "little") + name + self.folders[prefix].checksum)
        return hasher.digest()

    @cached_property
    def memory(self) -> int:
        """About how many bytes it takes."""
        return sum(folder.memory for folder in self.folders.values())


_recent: dict[tuple[str, str], tuple[tuple[int, ...], Known]] = {}
"""What this process last read or wrote, with the cache's own state then; the last used is last.

A stale one is harmless, as what is known of a file counts only while the file's state is the same.
"""


def _state_of_file(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns


class StatCache:
    """The cache of one ``ANYLEARN_HOME``.

    Parameters
    ----------
    home : Home, optional
        Default: the one of this moment.
    """

    def __init__(self, home: Home | None = None) -> None:
        self._path = (home if home is not None else Home()).stat_cache
        self._place = str(self._path)

    def load(self, root: Path) -> Known | None:
        """Give what is known of the dataset at a resolved path; None where nothing is."""
        key = self._place, str(root)
        held = _recent.get(key)
        if held is not None and held[0] == _state_of_file(self._path):
            _recent.pop(key, None)
            _recent[key] = held
            return held[1]
        with self._forgiving(), closing(self._open()) as connection:
            known = _read(connection, os.fsencode(root))
            if known is not None:
                self._hold(root, known)
            return known
        return None

    def save(self, root: Path, known: Known, before: Known | None = None) -> None:
        """Keep what is known of a dataset.

        Parameters
        ----------
        root : Path
            Its resolved path.
        known : Known
            All of it.
        before : Known, optional
            What `load` gave: only what differs is written.
        """
        with self._forgiving(), closing(self._open()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            _write(connection, os.fsencode(root), known, before)
            connection.execute("COMMIT")
            self._hold(root, known)

    def _hold(self, root: Path, known: Known) -> None:
        """Hold what is known, as reading the file costs more; within `_HELD_BYTES` in all."""
        key = self._place, str(root)
        _recent.pop(key, None)
        state = _state_of_file(self._path)
        if state is not None and known.memory <= _HELD_BYTES:
            _recent[key] = state, known
        while sum(one.memory for _, one in list(_recent.values())) > _HELD_BYTES:
            _recent.pop(next(iter(_recent)), None)

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Go on without a cache when it fails, and throw a damaged one away."""
        try:
            yield
        except (OSError, ConfigError) as error:
            _log.debug("The cache %s cannot be used: %s", self._path, error)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            # A damaged schema is quoted in SQLite's own words, which need not be text.
            _log.debug("The cache %s is of no use: %s", self._path, error)
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _NOT_ITS_FAULT:
                self._discard()

    def _open(self) -> sqlite3.Connection:
        make_private_directory(self._path.parent)
        # Made by us first, so that it is readable by the owner alone from the start.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
        connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = OFF")
            if _format_of(connection) != CACHE_FORMAT:
                connection.execute("BEGIN IMMEDIATE")
                _make(connection)
                connection.execute("COMMIT")
        except BaseException:
            connection.close()
            raise
        return connection

    def _discard(self) -> None:
        # The journal first: left to a new file, it would be played into it.
        for suffix in (*_SIDECARS, ""):
            with contextlib.suppress(OSError):
                self._path.with_name(self._path.name + suffix).unlink()


def _format_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _make(connection: sqlite3.Connection) -> None:
    """Make the tables in a new file; refuse one that is of another format."""
    found = _format_of(connection)
    if found == CACHE_FORMAT:
        return  # another process was first
    if found != 0:
        raise sqlite3.DatabaseError(f"format {found}, not {CACHE_FORMAT}")
    for statement in _SCHEMA:
        connection.execute(statement)


def _read(connection: sqlite3.Connection, root: bytes) -> Known | None:
    """Read a dataset's rows as they were at one moment; None where they do not fit together."""
    connection.execute("BEGIN")
    row = connection.execute(
        "SELECT id, value, checksum, used_s FROM dataset WHERE root = ?", (root,)
    ).fetchone()
    if row is None:
        return None
    number, value, checksum, used_s = row
    rows = connection.execute(
        "SELECT prefix, names, states, digests FROM folder WHERE dataset = ?", (number,)
    ).fetchall()
    connection.execute("COMMIT")
    try:
        known = Known(value, {prefix.decode(): KnownFolder(*parts) for prefix, *parts in rows})
        whole = known.checksum == checksum
        long_ago = abs(time.time() - used_s) > _USED_AGAIN_S
    except (TypeError, ValueError, AttributeError) as error:
        raise sqlite3.DatabaseError(f"a value of another type: {error}") from error
    if whole and long_ago:
        # Busy for long, it would cost what was just found.
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute(
                "UPDATE dataset SET used_s = ? WHERE id = ?", (int(time.time()), number)
            )
    return known if whole else None


def _write(connection: sqlite3.Connection, root: bytes, known: Known, before: Known | None) -> None:
    """Write a dataset's rows, only those that differ if the others are as they were loaded."""
    row = connection.execute("SELECT id, checksum FROM dataset WHERE root = ?", (root,)).fetchone()
    afresh = row is None or before is None or row[1] != before.checksum
    if before is None or afresh:
        before = Known("", {})
        if row is not None:
            _forget(connection, row[0])
        row = connection.execute(
            "INSERT INTO dataset (root, value, checksum, used_s) VALUES (?, '', x'', 0) "
            "RETURNING id",
            (root,),
        ).fetchone()
    number = row[0]
    connection.execute(
        "UPDATE dataset SET value = ?, checksum = ?, used_s = ? WHERE id = ?",
        (known.value, known.checksum, int(time.time()), number),
    )
    if gone := before.folders.keys() - known.folders.keys():
        connection.executemany(
            "DELETE FROM folder WHERE dataset = ? AND prefix = ?",
            [(number, prefix.encode()) for prefix in gone],
        )
    connection.executemany(
        "INSERT OR REPLACE INTO folder VALUES (?, ?, ?, ?, ?)",
        [
            (number, prefix.encode(), folder.names, folder.states, folder.digests)
            for prefix, folder in known.folders.items()
            if before.folders.get(prefix) != folder
        ],
    )
    if afresh:
        too_many = connection.execute(
            "SELECT id FROM dataset ORDER BY used_s DESC, id DESC LIMIT -1 OFFSET ?",
            (KEPT_DATASETS,),
        ).fetchall()
        for old in too_many:
            _forget(connection, old[0])


def _forget(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("DELETE FROM folder WHERE dataset = ?", (number,))
    connection.execute("DELETE FROM dataset WHERE id = ?", (number,))
