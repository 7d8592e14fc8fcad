"""Which pieces of content are where in the engine's files, by their digest: a cache.

A piece is a run of bytes of one file whose BLAKE3 is known: a chunk of an upload, or a whole file.
Its file lies in an upload that is not finished (version 0), or in the content of a resource. What
this index says is never believed: whoever takes a piece from a file checks its digest on the way.
So nothing is synced, a file that is damaged or of another format is thrown away, and what an upload
had brought before a power cut is forgotten.

Notes
-----
Source: docs/protocol.md, "delta"; faults, B1, B11 and B12. ``CROSS JOIN`` is SQLite's word for "in
this order": the few pieces of a digest, or the one file of a name first, never all of an owner.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from anylearn_jupyter.home import boot_identity

INDEX_FORMAT = 1
"""The format number of the file (``user_version``)."""

_AT_ONCE = 500
_FILES_AT_ONCE = 250
_SCHEMA = """
CREATE TABLE boot (identity TEXT NOT NULL) STRICT;
CREATE TABLE place (
    id INTEGER PRIMARY KEY,
    user TEXT NOT NULL,
    owner TEXT NOT NULL,            -- an unfinished upload, or a resource: a directory of blobs/
    version INTEGER NOT NULL,       -- of the resource's content; 0 for an upload
    file TEXT NOT NULL,             -- its path in there
    UNIQUE (owner, version, file)
) STRICT;
CREATE TABLE piece (
    digest BLOB NOT NULL,           -- BLAKE3
    place INTEGER NOT NULL,
    start INTEGER NOT NULL,         -- its first byte in the file
    bytes INTEGER NOT NULL,
    PRIMARY KEY (digest, place, start, bytes)
) STRICT, WITHOUT ROWID;
CREATE INDEX piece_of_place ON piece (place, start);
"""
_log = logging.getLogger(__name__)


class Place(NamedTuple):
    """A file that holds pieces: a row, its directory, the version of that, and its path."""

    id: int
    owner: str
    version: int
    file: str


class Piece(NamedTuple):
    """A run of bytes of a file."""

    digest: bytes
    start: int
    size: int


class ChunkIndex:
    """The index of one engine; its methods are called in any thread.

    Parameters
    ----------
    path : Path
        The SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        try:
            self._connection = self._opened()
        except sqlite3.DatabaseError as error:
            _log.warning("the index of chunks is made anew: %s", error)
            for suffix in ("-journal", "-wal", "-shm", ""):
                with contextlib.suppress(FileNotFoundError):
                    path.with_name(path.name + suffix).unlink()
            self._connection = self._opened()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    # What is asked.

    def holds_any(self, user: str) -> bool:
        """Whether there is any piece of this user's."""
        return bool(self._rows("SELECT 1 FROM place WHERE user = ? LIMIT 1", user))

    def lacking(self, user: str, digests: Sequence[bytes]) -> list[int]:
        """Give the indexes of the digests that no file of this user's has."""
        held: set[bytes] = set()
        for start in range(0, len(digests), _AT_ONCE):
            some = digests[start : start + _AT_ONCE]
            marks = ", ".join("?" * len(some))
            found = self._rows(
                "SELECT piece.digest FROM piece CROSS JOIN place ON place.id = piece.place "
                f"WHERE piece.digest IN ({marks}) AND place.user = ?",
                *some,
                user,
            )
            held.update(row[0] for row in found)
        return [index for index, digest in enumerate(digests) if digest not in held]

    def find(self, user: str, digest: bytes) -> list[tuple[Place, Piece]]:
        """Give every place of this user's where a piece should be."""
        found = self._rows(
            "SELECT place.id, owner, version, file, start, bytes FROM piece "
            "CROSS JOIN place ON place.id = piece.place WHERE digest = ? AND user = ?",
            digest,
            user,
        )
        return [(Place(*row[:4]), Piece(digest, *row[4:])) for row in found]

    def file_beginning(self, owner: str, digest: bytes) -> tuple[Place, list[Piece]] | None:
        """Give a file of an upload that begins with this piece, and all pieces of it, in order."""
        found = self._rows(
            "SELECT id, owner, version, file FROM piece CROSS JOIN place ON place.id = piece.place "
            "WHERE digest = ? AND start = 0 AND owner = ? AND version = 0 LIMIT 1",
            digest,
            owner,
        )
        if not found:
            return None
        place = Place(*found[0])
        rows = self._rows(
            "SELECT digest, start, bytes FROM piece WHERE place = ? ORDER BY start", place.id
        )
        return place, [Piece(*row) for row in rows]

    def whole(self, owner: str, file: str) -> Piece | None:
        """Give the piece that a file of an upload begins with, and that all of it may be."""
        found = self._rows(
            "SELECT digest, start, bytes FROM place CROSS JOIN piece ON piece.place = place.id "
            "WHERE owner = ? AND version = 0 AND file = ? AND start = 0",
            owner,
            file,
        )
        return Piece(*found[0]) if found else None

    def owners(self) -> set[str]:
        """Give every directory that is known to hold pieces."""
        return {row[0] for row in self._rows("SELECT DISTINCT owner FROM place")}

    # What is noted.

    def add(self, user: str, owner: str, version: int, pieces: Iterable[tuple[str, Piece]]) -> None:
        """Note pieces of files; what overlaps them there is forgotten, as it was written over."""
        with self._change() as change:
            for file, group in itertools.groupby(pieces, key=lambda pair: pair[0]):
                place = self._place(change, user, owner, version, file)
                for _, piece in group:
                    if version == 0:
                        change.execute(
                            "DELETE FROM piece WHERE place = ? AND start < ? AND start + bytes > ?",
                            (place, piece.start + piece.size, piece.start),
                        )
                    change.execute(
                        "INSERT OR REPLACE INTO piece VALUES (?, ?, ?, ?)",
                        (piece.digest, place, piece.start, piece.size),
                    )

    def add_files(self, user: str, owner: str, files: Sequence[tuple[str, Piece]]) -> None:
        """Note files of an upload that are one piece each, all at once: their names are new."""
        for start in range(0, len(files), _FILES_AT_ONCE):
            some = files[start : start + _FILES_AT_ONCE]
            names = [name for name, _ in some]
            rows = [one for name, piece in some for one in (name, piece.digest, piece.size)]
            with self._change() as change:
                change.execute(
                    "INSERT OR IGNORE INTO place (user, owner, version, file) VALUES "
                    + ", ".join(["(?1, ?2, 0, ?)"] * len(some)),
                    (user, owner, *names),
                )
                # What an earlier attempt left under these names is not theirs.
                change.execute(
                    "DELETE FROM piece WHERE place IN (SELECT id FROM place WHERE owner = ? AND "
                    f"version = 0 AND file IN ({', '.join('?' * len(some))}))",
                    (owner, *names),
                )
                change.execute(
                    "WITH fresh (file, digest, bytes) AS (VALUES "
                    + ", ".join(["(?, ?, ?)"] * len(some))
                    + ") INSERT INTO piece SELECT digest, place.id, 0, bytes FROM fresh "
                    "CROSS JOIN place ON owner = ? AND version = 0 AND place.file = fresh.file",
                    (*rows, owner),
                )

    def inherit(
        self, user: str, source: Place, piece: Piece, target: tuple[str, int, str], start: int
    ) -> None:
        """Note that a piece was copied, with all smaller ones that are known within it."""
        with self._change() as change:
            place = self._place(change, user, *target)
            change.execute(
                "INSERT OR IGNORE INTO piece SELECT digest, ?1, start - ?2 + ?3, bytes FROM piece "
                "WHERE place = ?4 AND start >= ?2 AND start + bytes <= ?2 + ?5",
                (place, piece.start, start, source.id, piece.size),
            )

    def move(self, owner: str, version: int, files: Iterable[tuple[int, str]]) -> None:
        """Note that files have got other paths: (id of the place, path in the new content)."""
        with self._change() as change:
            for place, file in files:
                # What an earlier attempt left under this path is not this file's.
                change.execute(
                    "DELETE FROM place WHERE owner = ? AND version = ? AND file = ?",
                    (owner, version, file),
                )
                change.execute(
                    "UPDATE place SET owner = ?, version = ?, file = ? WHERE id = ?",
                    (owner, version, file, place),
                )

    def drop(self, place: Place, piece: Piece) -> None:
        """Forget a piece that is not what was said of it, and every one that it is part of."""
        with self._change() as change:
            change.execute(
                "DELETE FROM piece WHERE place = ? AND start <= ? AND start + bytes >= ?",
                (place.id, piece.start, piece.start + piece.size),
            )

    def forget(self, owner: str, *, keep_version: int | None = None) -> None:
        """Forget all pieces in a directory, but those of one version of its content."""
        kept = -1 if keep_version is None else keep_version
        with self._change() as change:
            change.execute(
                "DELETE FROM piece WHERE place IN (SELECT id FROM place WHERE owner = ? AND "
                "version != ?)",
                (owner, kept),
            )
            change.execute("DELETE FROM place WHERE owner = ? AND version != ?", (owner, kept))

    # The file.

    def _place(
        self, change: sqlite3.Connection, user: str, owner: str, version: int, file: str
    ) -> int:
        found = change.execute(
            "SELECT id FROM place WHERE owner = ? AND version = ? AND file = ?",
            (owner, version, file),
        ).fetchone()
        if found is not None:
            return int(found[0])
        made = change.execute(
            "INSERT INTO place (user, owner, version, file) VALUES (?, ?, ?, ?)",
            (user, owner, version, file),
        )
        return int(made.lastrowid or 0)

    def _rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def _opened(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, INDEX_FORMAT):
                raise sqlite3.DatabaseError(f"it has format {found}")
            if found == 0:
                connection.executescript(_SCHEMA)
                connection.execute(f"PRAGMA user_version = {INDEX_FORMAT}")
            _forget_before_boot(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def _forget_before_boot(connection: sqlite3.Connection) -> None:
    """Forget what uploads brought before this boot: a power cut may have taken their bytes."""
    boot = boot_identity()
    known = connection.execute("SELECT identity FROM boot").fetchone()
    if known is not None and known[0] == boot:
        return
    connection.execute("DELETE FROM piece WHERE place IN (SELECT id FROM place WHERE version = 0)")
    connection.execute("DELETE FROM place WHERE version = 0")
    connection.execute("DELETE FROM boot")
    connection.execute("INSERT INTO boot VALUES (?)", (boot,))
