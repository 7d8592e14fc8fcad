"""The ledger's file: many at once, a fork, every kind of damage, and formats old and new."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from anylearn_jupyter.errors import ConfigError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit import ledger_file
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.migrations import FORMAT, STEPS
from ledger_records import ledger, record

__all__ = ["ledger"]


# Several at once.

WRITE_MANY = """
import sys
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.task_record import TaskRecord

who = int(sys.argv[1])
sys.stdin.readline()
for number in range(25):
    with Ledger() as ledger:
        ledger.record_task(TaskRecord(id=f"TRAI{who:04x}{number:024x}", name="x", server="local"))
        with ledger.creation("task", "local", "USER1", f"{who}") as creation:
            assert not creation.doubtful
            creation.made = "TRAI1"
"""


def test_many_processes_write_at_once(ledger: Ledger) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WRITE_MANY, str(who)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for who in range(6)
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    said = [writer.communicate(timeout=120)[1] for writer in writers]

    assert said == [""] * 6
    assert [writer.returncode for writer in writers] == [0] * 6
    assert len(ledger.tasks()) == 150
    assert ledger.notes == []


def test_many_threads_share_one(ledger: Ledger) -> None:
    failed: list[BaseException] = []

    def write(who: int) -> None:
        try:
            for number in range(20):
                ledger.record_task(record(who * 100 + number))
                ledger.tasks(3)
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=write, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert len(ledger.tasks()) == 160


def test_a_busy_ledger_is_waited_for(ledger: Ledger, home: Path) -> None:
    other = sqlite3.connect(home / "ledger.sqlite3", isolation_level=None, check_same_thread=False)
    with closing(other):
        other.execute("BEGIN IMMEDIATE")
        begun = threading.Event()

        def release() -> None:
            begun.wait(10)
            other.execute("COMMIT")

        thread = threading.Thread(target=release)
        thread.start()
        begun.set()
        ledger.record_task(record(1))
        thread.join()

    assert len(ledger.tasks()) == 1


def test_one_that_stays_busy_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_file, "BUSY_TIMEOUT_S", 0.05)
    with Ledger() as ledger, closing(sqlite3.connect(home / "ledger.sqlite3")) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConfigError, match=r"ledger\.sqlite3 cannot be .* locked"):
            ledger.record_task(record(1))
        other.rollback()
        ledger.record_task(record(1))


def test_a_fork_gets_a_connection_of_its_own(ledger: Ledger) -> None:
    """Also while the parent's lock is held by a thread that the child does not have (C10)."""
    ledger.record_task(record(1))
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with ledger._mutex:
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    parents = ledger._open

    def in_the_child(number: int) -> None:
        ledger.record_task(record(number))
        assert ledger._open is not parents
        assert len(ledger.tasks()) >= 2
        ledger.close()

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=in_the_child, args=(number,)) for number in (2, 3)]
    for child in children:
        start_quietly(child)
    for child in children:
        child.join(30)
    release.set()
    holder.join()

    assert [child.exitcode for child in children] == [0, 0]
    ledger.record_task(record(4))
    assert ledger._open is parents
    assert len(ledger.tasks()) == 4


def start_quietly(child: multiprocessing.process.BaseProcess) -> None:
    """Start a fork: newer Pythons warn where there are threads, which is what this is about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()


def test_a_closed_ledger_opens_again(ledger: Ledger) -> None:
    ledger.record_task(record(1))
    ledger.close()
    ledger.close()

    assert len(ledger.tasks()) == 1


def test_each_change_is_on_the_disk_when_the_call_returns(ledger: Ledger) -> None:
    with ledger._connection() as connection:
        found = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        ]

    assert found == ["wal", 2]


# The file.


def test_it_is_its_owners_alone(ledger: Ledger, home: Path) -> None:
    ledger.record_task(record(1))

    found = {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()}

    assert found == {
        "ledger.sqlite3": 0o600,
        "ledger.sqlite3-wal": 0o600,
        "ledger.sqlite3-shm": 0o600,
        "ledger.sqlite3.lock": 0o600,
    }
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_permissive_umask_changes_nothing(home: Path) -> None:
    before = os.umask(0)
    try:
        with Ledger() as ledger:
            ledger.record_task(record(1))
            assert {path.stat().st_mode & 0o077 for path in home.iterdir()} == {0}
    finally:
        os.umask(before)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "no database": lambda whole: b"this is no database" * 500,
    "garbage header": lambda whole: b"garbage header" + whole[14:],
    "half": lambda whole: whole[: len(whole) // 2],
    "a zeroed page": lambda whole: whole[:4096] + bytes(4096) + whole[8192:],
    "a zeroed schema": lambda whole: whole[:100] + bytes(3996) + whole[4096:],
    "zeros": lambda whole: bytes(len(whole)),
}


def filled(home: Path) -> bytes:
    """Make a ledger with some pages, close it, and give its bytes."""
    with Ledger() as ledger:
        for number in range(40):
            ledger.record_task(record(number, profile={"text": "x" * 500}))
    return (home / "ledger.sqlite3").read_bytes()


def corrupt(home: Path) -> list[Path]:
    """Give the files that were set aside, without their sidecars."""
    found = home.glob("ledger.sqlite3.corrupt-*")
    return sorted(path for path in found if not path.name.endswith(("-wal", "-shm", "-journal")))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_ledger_is_set_aside_with_a_note(damage: str, home: Path) -> None:
    """Nothing of it is deleted, and the next one works (faults B5)."""
    damaged = DAMAGES[damage](filled(home))
    (home / "ledger.sqlite3").write_bytes(damaged)

    with Ledger() as ledger:
        assert ledger.tasks() == []
        ledger.record_task(record(1))
        (note,) = ledger.notes
    with Ledger() as again:
        assert len(again.tasks()) == 1
        assert again.notes == []

    (aside,) = corrupt(home)
    assert aside.read_bytes() == damaged
    assert aside.stat().st_mode & 0o777 == 0o600
    assert note.startswith("The record of submitted tasks was damaged (")
    assert str(aside) in note


def test_an_empty_file_is_a_new_ledger(home: Path) -> None:
    """As a power cut leaves one that was just made: there is nothing in it to keep."""
    filled(home)
    (home / "ledger.sqlite3").write_bytes(b"")

    with Ledger() as ledger:
        ledger.record_task(record(1))
        assert len(ledger.tasks()) == 1


@pytest.mark.parametrize("table", ["task", "dataset", "submission", "code"])
def test_a_missing_table_is_damage(table: str, home: Path) -> None:
    filled(home)
    with closing(sqlite3.connect(home / "ledger.sqlite3")) as connection:
        connection.execute(f"DROP TABLE {table}")

    with Ledger() as ledger:
        assert f"no table {table}" in ledger.notes[0]
        ledger.record_task(record(1))

    assert len(corrupt(home)) == 1


LEAVE_A_LOG = """
import os
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.task_record import TaskRecord

Ledger().record_task(TaskRecord(id="TRAI" + "f" * 28, name="x", server="local"))
os._exit(0)
"""


@pytest.mark.parametrize("log", ["real", "stale"])
def test_sidecars_are_set_aside_too_and_unchanged(log: str, home: Path) -> None:
    """SQLite itself would put the log into the damaged file and delete it."""
    filled(home)
    subprocess.run([sys.executable, "-c", LEAVE_A_LOG], check=True)
    file, wal = home / "ledger.sqlite3", home / "ledger.sqlite3-wal"
    file.write_bytes(file.read_bytes()[:4096] + os.urandom(20_000))
    if log == "stale":
        wal.write_bytes(b"stale")
    before = {path.name: path.read_bytes() for path in (file, wal)}

    with Ledger() as ledger:
        assert ledger.tasks() == []
        assert "\n" not in ledger.notes[0]

    (aside,) = corrupt(home)
    assert aside.read_bytes() == before["ledger.sqlite3"]
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == before["ledger.sqlite3-wal"]


@pytest.mark.parametrize("sidecar", ["-wal", "-journal"])
def test_a_stale_sidecar_of_a_good_file_loses_nothing(sidecar: str, home: Path) -> None:
    filled(home)
    (home / f"ledger.sqlite3{sidecar}").write_bytes(b"stale" * 1000)

    with Ledger() as ledger:
        assert len(ledger.tasks()) == 40


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
    ],
)
@given(
    flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1),
    cut=st.integers(0, 1 << 20),
)
@example(flips=[(3579, 127)], cut=1 << 20)  # a column has another name
@example(flips=[(3579, 128)], cut=1 << 20)  # and one that is no text
def test_flipped_bytes_are_set_aside_or_read_or_refused_in_a_sentence(
    flips: list[tuple[int, int]], cut: int, home: Path
) -> None:
    """Never another exception, never a half-open file, and what is set aside is kept whole."""
    file = home / "ledger.sqlite3"
    if not WHOLE:
        WHOLE.append(filled(home))
    damaged = bytearray(WHOLE[0])
    for at, bits in flips:
        damaged[at % len(damaged)] ^= bits
    del damaged[max(100, cut) :]
    for path in home.iterdir():
        path.unlink()
    file.write_bytes(damaged)

    refused, notes = "", []
    try:
        with Ledger() as ledger:
            ledger.tasks()
            ledger.record_task(record(1))
            assert ledger.task(record(1).id) is not None
            notes = ledger.notes
    except ConfigError as error:
        refused = str(error)

    assert "\n" not in refused + "".join(notes)
    kept = [path.read_bytes() for path in corrupt(home)]
    assert kept == [damaged] * len(notes)


WHOLE: list[bytes] = []


def test_two_that_find_the_damage_at_once_set_it_aside_once(home: Path) -> None:
    filled(home)
    (home / "ledger.sqlite3").write_bytes(b"no database" * 1000)
    begin = threading.Barrier(6)
    notes: list[list[str]] = []

    def open_it(number: int) -> None:
        begin.wait(10)
        with Ledger() as ledger:
            ledger.record_task(record(number))
            notes.append(ledger.notes)

    threads = [threading.Thread(target=open_it, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(map(len, notes)) == [0, 0, 0, 0, 0, 1]
    assert len(corrupt(home)) == 1
    with Ledger() as ledger:
        assert len(ledger.tasks()) == 6


def test_a_newer_format_is_refused_in_one_sentence(home: Path) -> None:
    filled(home)
    with closing(sqlite3.connect(home / "ledger.sqlite3")) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    before = (home / "ledger.sqlite3").read_bytes()

    with pytest.raises(ConfigError) as caught:
        Ledger()

    said = str(caught.value)
    assert f"format {FORMAT + 1}" in said
    assert "update it, or set ANYLEARN_HOME." in said
    assert "\n" not in said
    assert (home / "ledger.sqlite3").read_bytes() == before
    assert corrupt(home) == []


def test_an_older_format_is_brought_forward_with_a_copy_kept(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(home)
    newer = (*STEPS, ("ALTER TABLE task ADD COLUMN note TEXT NOT NULL DEFAULT ''",))
    monkeypatch.setattr(ledger_file, "STEPS", newer)
    monkeypatch.setattr(ledger_file, "FORMAT", len(newer))

    with Ledger() as ledger:
        assert len(ledger.tasks()) == 40
        assert ledger.notes == []

    copy = home / f"ledger.sqlite3.format-{FORMAT}"
    assert copy.stat().st_mode & 0o777 == 0o600
    for path, wanted in ((copy, FORMAT), (home / "ledger.sqlite3", FORMAT + 1)):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (wanted,)
            assert connection.execute("SELECT count(*) FROM task").fetchone() == (40,)


@pytest.mark.parametrize("found", range(1, FORMAT))
def test_every_format_that_was_written_is_read(found: int, home: Path) -> None:
    home.mkdir(mode=0o700)
    with closing(sqlite3.connect(home / "ledger.sqlite3")) as connection, connection:
        for statement in sum(STEPS[:found], ()):
            connection.execute(statement)
        connection.execute(
            "INSERT INTO task VALUES ('TRAI1', 'old', 'local', 'USER1', 'me', 'PROJ1', 'key', 1, "
            "'running', '/d', 'digest', '{}', 1, 2)"
        )
        connection.execute(f"PRAGMA user_version = {found}")

    with Ledger() as ledger:
        (task,) = ledger.tasks()
        ledger.record_task(record(1))
        ledger.record_code("local", "USER1", "name", "c1", "ALGO1")

    assert (task.name, task.secret_key, task.profile) == ("old", "key", {})


def test_a_migration_that_fails_changes_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(home)
    broken = (*STEPS, ("ALTER TABLE task ADD COLUMN note TEXT", "SELECT * FROM nowhere"))
    with monkeypatch.context() as patch:
        patch.setattr(ledger_file, "STEPS", broken)
        patch.setattr(ledger_file, "FORMAT", len(broken))
        with pytest.raises(ConfigError, match="no such table"):
            Ledger()

    with Ledger() as ledger:
        assert len(ledger.tasks()) == 40
        assert ledger.notes == []


def test_a_migrated_ledger_is_what_a_new_one_is(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that migrate at once do it once."""
    filled(home)
    newer = (*STEPS, ("ALTER TABLE task ADD COLUMN note TEXT NOT NULL DEFAULT ''",))
    monkeypatch.setattr(ledger_file, "STEPS", newer)
    monkeypatch.setattr(ledger_file, "FORMAT", len(newer))
    begin = threading.Barrier(4)
    failed: list[BaseException] = []

    def open_it() -> None:
        begin.wait(10)
        try:
            Ledger().close()
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    Ledger(Home(tmp_path / "new")).close()

    assert failed == []
    schemas = []
    for path in (home, tmp_path / "new"):
        with closing(sqlite3.connect(path / "ledger.sqlite3")) as connection:
            schemas.append(connection.execute("SELECT name, sql FROM sqlite_master").fetchall())
    assert schemas[0] == schemas[1]


def test_a_home_that_cannot_be_used_is_one_sentence(home: Path) -> None:
    home.write_bytes(b"a file, where the directory should be")

    with pytest.raises(ConfigError, match="ANYLEARN_HOME"):
        Ledger()
