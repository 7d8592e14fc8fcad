"""The ledger's schema, as the steps from each format number to the next.

A step is never changed once it was released; a new format is a new step at the end.
"""

from __future__ import annotations

STEPS: tuple[tuple[str, ...], ...] = (
    (
        # What was submitted from here. `profile` is JSON: what was asked for, and what was sent.
        """
        CREATE TABLE task (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            server TEXT NOT NULL,           -- 'local' or an address
            user_id TEXT NOT NULL,
            username TEXT NOT NULL,
            project_id TEXT NOT NULL,
            secret_key TEXT NOT NULL,
            state INTEGER NOT NULL,         -- as last seen
            phase TEXT NOT NULL,
            working_dir TEXT NOT NULL,
            digest TEXT NOT NULL,           -- of the request
            profile TEXT NOT NULL,
            submitted_ms INTEGER NOT NULL,  -- milliseconds since 1970, UTC
            seen_ms INTEGER NOT NULL
        ) STRICT
        """,
        "CREATE INDEX task_by_time ON task (submitted_ms DESC)",
        "CREATE INDEX task_by_digest ON task (digest)",
        # Content that a server has, complete.
        """
        CREATE TABLE dataset (
            server TEXT NOT NULL,
            user_id TEXT NOT NULL,
            fingerprint TEXT NOT NULL,
            id TEXT NOT NULL,
            size_bytes INTEGER NOT NULL,
            recorded_ms INTEGER NOT NULL,
            PRIMARY KEY (server, user_id, fingerprint)
        ) STRICT
        """,
        # A POST that creates, written down before it is sent. A row without `made` whose process is
        # gone is one whose outcome nobody knows.
        """
        CREATE TABLE submission (
            key TEXT PRIMARY KEY,           -- the idempotency key
            kind TEXT NOT NULL,             -- algorithm, dataset, project, task
            server TEXT NOT NULL,
            user_id TEXT NOT NULL,
            subject TEXT NOT NULL,          -- name, fingerprint or digest: what it is about
            boot TEXT NOT NULL,             -- of the process that asked
            pid INTEGER NOT NULL,
            asked_ms INTEGER NOT NULL,
            made TEXT                       -- the id that the server gave
        ) STRICT
        """,
        "CREATE INDEX submission_open ON submission (kind, subject) WHERE made IS NULL",
    ),
    (
        # Commits that an algorithm's repository has, so that nobody has to ask it.
        """
        CREATE TABLE code (
            server TEXT NOT NULL,
            user_id TEXT NOT NULL,
            name TEXT NOT NULL,             -- the algorithm's
            commit_id TEXT NOT NULL,
            algorithm_id TEXT NOT NULL,
            recorded_ms INTEGER NOT NULL,
            PRIMARY KEY (server, user_id, name, commit_id)
        ) STRICT
        """,
    ),
    (
        # Uploads by numbered chunks that are not finished: how many the server has confirmed.
        """
        CREATE TABLE upload (
            server TEXT NOT NULL,
            user_id TEXT NOT NULL,
            resource_id TEXT NOT NULL,
            content TEXT NOT NULL,          -- its fingerprint
            format TEXT NOT NULL,           -- what makes the same bytes of the same content
            chunks INTEGER NOT NULL,        -- from the first on, without a gap
            PRIMARY KEY (server, user_id, resource_id)
        ) STRICT
        """,
    ),
)
"""The statements of each step; the first makes format 1."""

FORMAT = len(STEPS)
"""The format number that this program writes."""
