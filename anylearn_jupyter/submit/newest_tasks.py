"""A glance at the ledger, for completion: nothing is made, mended, written or waited for."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.migrations import FORMAT
from anylearn_jupyter.submit.task_record import TaskRecord, record_of

_PATIENCE_S = 0.02


def newest_tasks(home: Home, limit: int) -> list[TaskRecord]:
    """Give the newest tasks of a ledger, newest first.

    Parameters
    ----------
    home : Home
        Whose ledger.
    limit : int
        At most so many.

    Returns
    -------
    list of TaskRecord
        None at all where there is no ledger, or it cannot be read now: it is damaged, of another
        format, or somebody is at it. Who opens a `Ledger` is told.
    """
    if not home.ledger.exists():
        return []
    address = f"{home.ledger.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_S)) as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                return []
            connection.row_factory = sqlite3.Row
            # By the order of the file, so that no other row is read; what was submitted later
            # stands later in it.
            rows = connection.execute(
                "SELECT * FROM task ORDER BY rowid DESC LIMIT ?", (limit,)
            ).fetchall()
    except (sqlite3.Error, UnicodeDecodeError):
        return []
    return sorted(map(record_of, rows), key=lambda record: -record.submitted_ms)
