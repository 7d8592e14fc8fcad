"""The steps that make an engine's store, in order; the number of steps taken is its format number.

A step that was ever released is never changed: a store that exists has taken it. Times are
milliseconds since 1970, UTC. The comments say what a reader of the tables cannot see.
"""

from __future__ import annotations

FIRST = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;

CREATE TABLE user (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    password TEXT,                  -- scrypt; NULL: nobody can log in with a password
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE session (
    digest TEXT PRIMARY KEY,        -- SHA-256 of the token, which itself is kept nowhere
    user_id TEXT NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    kind TEXT NOT NULL CHECK (kind IN ('access', 'refresh')),
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE project (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    datasets TEXT NOT NULL,         -- ids with commas
    is_default INTEGER NOT NULL,
    creator_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX project_default ON project (creator_id) WHERE is_default;

CREATE TABLE resource (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('dataset', 'model', 'file')),
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    filename TEXT NOT NULL,
    public INTEGER NOT NULL,
    state INTEGER NOT NULL,
    problem TEXT NOT NULL,          -- why state is -2
    finishing INTEGER NOT NULL,     -- what came is being put together: 1, dropping what was: 2
    is_zipfile INTEGER NOT NULL,
    size INTEGER NOT NULL,          -- bytes of the archive that was sent
    version INTEGER NOT NULL,       -- which directory of its content is the present one; 0: none
    algorithm_id TEXT NOT NULL,
    task_id TEXT,                   -- whose results it is; its content is then the task's output
    creator_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    uploaded_ms INTEGER
) STRICT;
CREATE INDEX resource_of_user ON resource (creator_id, kind, name);

CREATE TABLE algorithm (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    filename TEXT NOT NULL,
    public INTEGER NOT NULL,
    tags TEXT NOT NULL,
    mirror_id TEXT NOT NULL,
    train_params TEXT NOT NULL,
    follows_norm INTEGER NOT NULL,
    state INTEGER NOT NULL,
    problem TEXT NOT NULL,
    finishing INTEGER NOT NULL,
    size INTEGER NOT NULL,
    commit_id TEXT NOT NULL,        -- its present code; '': none yet
    creator_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    uploaded_ms INTEGER,
    UNIQUE (creator_id, name)
) STRICT;

CREATE TABLE chunk (
    resource_id TEXT NOT NULL,      -- of a resource or an algorithm
    number INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    arrived INTEGER NOT NULL,       -- in which order they came
    PRIMARY KEY (resource_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE compression (
    id TEXT PRIMARY KEY,
    resource_id TEXT NOT NULL,
    subpath TEXT NOT NULL,
    state INTEGER NOT NULL,
    creator_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE task (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,   -- the order of the queue
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    phase TEXT NOT NULL,
    creator_id TEXT NOT NULL,
    project_id TEXT NOT NULL,
    algorithm_id TEXT NOT NULL,
    algorithm_git_ref TEXT NOT NULL,
    entrypoint TEXT NOT NULL,
    output TEXT NOT NULL,
    args TEXT NOT NULL,             -- train_params as it was sent
    train_params_prefix TEXT NOT NULL,
    train_params_delimeter TEXT NOT NULL,
    envs TEXT NOT NULL,
    files TEXT NOT NULL,            -- ids with commas
    resources TEXT NOT NULL,        -- as the scheduler reads it
    resource_request TEXT NOT NULL, -- as it was sent
    mirror_name TEXT NOT NULL,
    mirror_id TEXT NOT NULL,
    interpreter TEXT NOT NULL,
    submitter_env TEXT NOT NULL,
    results_id TEXT NOT NULL,
    secret_key TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    started_ms INTEGER,
    finished_ms INTEGER,
    exit TEXT,
    allocation TEXT NOT NULL,
    final_metric REAL
) STRICT;
CREATE INDEX task_phase ON task (phase, sequence);
CREATE INDEX task_project ON task (project_id, sequence);

CREATE TABLE metric (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    task_id TEXT NOT NULL,
    value REAL NOT NULL,
    ms INTEGER NOT NULL
) STRICT;
CREATE INDEX metric_task ON metric (task_id, sequence);

CREATE TABLE tag (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    name TEXT NOT NULL,
    color TEXT NOT NULL,
    text_color TEXT NOT NULL,
    description TEXT NOT NULL,
    UNIQUE (project_id, name)
) STRICT;

CREATE TABLE task_tag (
    task_id TEXT NOT NULL,
    tag_id TEXT NOT NULL,
    PRIMARY KEY (task_id, tag_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE answer (
    user_id TEXT NOT NULL,
    path TEXT NOT NULL,
    key TEXT NOT NULL,              -- the Idempotency-Key
    created_id TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (user_id, path, key)
) STRICT, WITHOUT ROWID
"""

SECOND = """
ALTER TABLE user ADD COLUMN email TEXT NOT NULL DEFAULT '';

ALTER TABLE task ADD COLUMN num_nodes INTEGER NOT NULL DEFAULT 1;
ALTER TABLE task ADD COLUMN nproc_per_node INTEGER NOT NULL DEFAULT 1;
ALTER TABLE task ADD COLUMN is_local INTEGER NOT NULL DEFAULT 0;  -- its user's own machine runs it

CREATE TABLE local_task (
    task_id TEXT PRIMARY KEY,
    output_cache_pointer INTEGER,   -- how far its agent has sent what it wrote
    error_cache_pointer INTEGER,
    heartbeat_ms INTEGER            -- when its agent was last heard of
) STRICT
"""

TASK_GROUPS = """
ALTER TABLE task ADD COLUMN limit_group TEXT NOT NULL DEFAULT '';

ALTER TABLE task ADD COLUMN group_limit INTEGER NOT NULL DEFAULT 0
"""

SUPERVISION = """
ALTER TABLE task ADD COLUMN timeout_s REAL;    -- how long it may run; NULL: without a limit

ALTER TABLE task ADD COLUMN retries INTEGER NOT NULL DEFAULT 0
"""

SECRETS = """
ALTER TABLE task ADD COLUMN secrets TEXT NOT NULL DEFAULT ''
"""

MIGRATIONS: tuple[str, ...] = (FIRST, SECOND, TASK_GROUPS, SUPERVISION, SECRETS)
"""SQL of each step; a store of format n has taken the first n."""
