"""The engine's store: compare-and-set of phases, migrations, transactions, and newer files."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.engine.database import Database
from anylearn_jupyter.engine.migrations import MIGRATIONS
from anylearn_jupyter.engine.store import Store, TaskRow
from anylearn_jupyter.entities import FINAL_PHASES, Exit, TaskPhase, new_id
from anylearn_jupyter.errors import EngineError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(tmp_path / "store.sqlite3")
    yield opened
    opened.close()


def add(store: Store, name: str = "one", **values: Any) -> TaskRow:
    row = TaskRow(id=new_id("TRAI"), name=name, **values)
    store.add_task(row)
    found = store.task(row.id)
    assert found is not None
    return found


def test_a_task_comes_back_as_it_was_added(database: Database) -> None:
    store = Store(database)
    added = add(
        store,
        args='{"lr": 0.1, "flag": ""}',
        train_params={"lr": 0.1, "flag": ""},
        envs={"A": "b c"},
        files=[new_id("DSET"), new_id("FILE")],
        resources=[{"default": {"CPU": 1}}],
        submitter_env={"PATH": "/bin"},
        secret_key="TKEY-canary",
        output="./output/",
    )
    assert added.train_params == {"lr": 0.1, "flag": ""}
    assert added.envs == {"A": "b c"}
    assert len(added.files) == 2
    assert added.resources == [{"default": {"CPU": 1}}]
    assert added.phase is TaskPhase.QUEUED
    assert "TKEY-canary" not in repr(added)


def test_a_phase_changes_only_from_where_it_is_expected(database: Database) -> None:
    store = Store(database)
    seen: list[tuple[str, str]] = []
    store.on_task_change(lambda task: seen.append((task.id, task.phase)))
    task = add(store)
    assert not store.move_task(task.id, TaskPhase.RUNNING, of=(TaskPhase.STARTING,))
    assert store.move_task(
        task.id, TaskPhase.STARTING, of=(TaskPhase.QUEUED,), allocation={"CPU": 1, "cpus": [0]}
    )
    assert store.move_task(task.id, TaskPhase.RUNNING, of=(TaskPhase.STARTING,), started_ms=5)
    ended = Exit(kind="exit", number=7)
    assert store.move_task(
        task.id, TaskPhase.FAILED, of=(TaskPhase.RUNNING,), exit=ended, finished_ms=9
    )
    final = store.task(task.id)
    assert final is not None
    assert (final.exit, final.started_ms, final.finished_ms) == (ended, 5, 9)
    assert final.allocation == {"CPU": 1, "cpus": [0]}
    assert [phase for _, phase in seen] == ["starting", "running", "failed"]


@pytest.mark.parametrize("phase", FINAL_PHASES)
def test_a_final_phase_is_never_left(database: Database, phase: TaskPhase) -> None:
    store = Store(database)
    task = add(store)
    assert store.move_task(task.id, phase, of=(TaskPhase.QUEUED,))
    for to in TaskPhase:
        assert not store.move_task(task.id, to, of=tuple(TaskPhase))


def test_of_two_who_end_a_task_one_does(database: Database) -> None:
    store = Store(database)
    for _ in range(20):
        task = add(store)
        barrier = threading.Barrier(2)
        won: list[TaskPhase] = []

        def end(
            to: TaskPhase,
            *,
            task: TaskRow = task,
            barrier: threading.Barrier = barrier,
            won: list[TaskPhase] = won,
        ) -> None:
            barrier.wait()
            if store.move_task(task.id, to, of=(TaskPhase.QUEUED,)):
                won.append(to)

        threads = [
            threading.Thread(target=end, args=(to,))
            for to in (TaskPhase.ABORTED, TaskPhase.SUCCEEDED)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        now = store.task(task.id)
        assert now is not None
        assert [now.phase] == won


def test_the_queue_has_the_order_of_addition(database: Database) -> None:
    store = Store(database)
    tasks = [add(store, name) for name in ("a", "b", "c")]
    assert [task.name for task in store.tasks_in((TaskPhase.QUEUED,))] == ["a", "b", "c"]
    assert [store.queue_position(task) for task in tasks] == [1, 2, 3]
    store.move_task(tasks[0].id, TaskPhase.STARTING, of=(TaskPhase.QUEUED,))
    assert store.queue_position(tasks[2]) == 2
    started = store.task(tasks[0].id)
    assert started is not None
    assert store.queue_position(started) is None


def test_what_fails_in_the_middle_leaves_nothing(database: Database) -> None:
    store = Store(database)
    row = TaskRow(id=new_id("TRAI"), name="half")

    def fail_half_way() -> None:
        with database.transaction():
            store.add_task(row)
            database.count(tasks_created=1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert store.task(row.id) is None
    assert database.counters() == {}


def test_counters_and_answers_outlive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    first = Database(path)
    first.count(upload_bytes=3)
    first.count(upload_bytes=4, upload_chunks=1)
    first.remember_answer("USER", "/api/x/add", "key", "DSET", 1)
    first.close()
    second = Database(path)
    assert second.counters() == {"upload_bytes": 7, "upload_chunks": 1}
    assert second.answered("USER", "/api/x/add", "key") == "DSET"
    assert second.answered("USER", "/api/y/add", "key") is None
    with pytest.raises(sqlite3.IntegrityError):
        second.remember_answer("USER", "/api/x/add", "key", "DSET2", 1)
    second.close()


def test_the_file_is_private_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    database = Database(path)
    assert path.stat().st_mode & 0o077 == 0
    row = database.row("PRAGMA journal_mode")
    assert row is not None
    assert row[0] == "wal"
    with database.transaction(durable=False):
        pass
    synchronous = database.row("PRAGMA synchronous")
    assert synchronous is not None
    assert synchronous[0] == 2
    database.close()


def test_a_newer_store_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    Database(path, [*MIGRATIONS, "CREATE TABLE later (a TEXT) STRICT"]).close()
    known = len(MIGRATIONS)
    words = rf"format {known + 1} and this program reads up to {known}.*newer"
    with pytest.raises(EngineError, match=words):
        Database(path)


def test_an_older_store_is_copied_and_then_brought_up(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    old = Database(path)
    task = add(Store(old))
    old.close()
    new = Database(path, [*MIGRATIONS, "ALTER TABLE task ADD COLUMN more TEXT NOT NULL DEFAULT ''"])
    row = new.row("SELECT id, more FROM task")
    assert row is not None
    assert tuple(row) == (task.id, "")
    new.close()
    kept = path.with_name(f"store.sqlite3.format-{len(MIGRATIONS)}")
    assert Database(kept).row("SELECT id FROM task")


def test_every_format_that_there_was_is_read(tmp_path: Path) -> None:
    """A store of format 1 with a user, and one with a task of that time."""
    path = tmp_path / "store.sqlite3"
    old = Database(path, MIGRATIONS[:1])
    with old.transaction() as change:
        change.execute("INSERT INTO user VALUES ('USER1', 'ada', NULL, 5)")
        columns = [row["name"] for row in old.rows("SELECT name FROM pragma_table_info('task')")]
        values = TaskRow(id="TRAI1", name="of old").stored()
        known = {name: value for name, value in values.items() if name in columns}
        marks = ", ".join(f":{name}" for name in known)
        change.execute(f"INSERT INTO task ({', '.join(known)}) VALUES ({marks})", known)
    old.close()

    database = Database(path)
    task = Store(database).task("TRAI1")
    assert task is not None
    assert (task.name, task.num_nodes, task.nproc_per_node, task.is_local) == ("of old", 1, 1, 0)
    row = database.row("SELECT name, email FROM user")
    assert row is not None
    assert tuple(row) == ("ada", "")
    database.close()


def test_a_step_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    Database(path).close()
    broken = "CREATE TABLE half (a TEXT) STRICT; CREATE TABLE half (a TEXT) STRICT;"
    with pytest.raises(EngineError, match="cannot be read"):
        Database(path, [*MIGRATIONS, broken])
    database = Database(path)
    assert database.row("SELECT name FROM sqlite_master WHERE name = 'half'") is None
    database.close()


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite3"
    path.write_bytes(b"this is no database, however long it may be" * 100)
    with pytest.raises(EngineError, match=r"store\.sqlite3 cannot be read .* move it away"):
        Database(path)
