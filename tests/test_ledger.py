"""The ledger: what it remembers, whom it finds, and what becomes of it when all goes wrong."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anylearn_jupyter.entities import TaskDetail
from anylearn_jupyter.errors import ConfigError, NotFound, OptionError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit import ledger_file
from anylearn_jupyter.submit.ledger import Creation, Ledger, TaskRecord, looks_like_task, now_ms
from anylearn_jupyter.submit.migrations import FORMAT, STEPS


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger() as opened:
        yield opened


def record(number: int, **more: object) -> TaskRecord:
    fields: dict[str, object] = {
        "id": f"TRAI{number:028x}",
        "name": f"name{number}",
        "server": "local",
        "user_id": "USER1",
        "submitted_ms": 1000 + number,
    }
    return TaskRecord(**{**fields, **more})


# Tasks.


def test_a_task_comes_back_as_it_was(ledger: Ledger) -> None:
    kept = record(
        1,
        secret_key="s3cret",
        username="me",
        project_id="PROJ1",
        state=1,
        phase="running",
        working_dir="/some/where",
        digest="d" * 64,
        profile={"request": {"entrypoint": "python 'é☃ \n.py'"}, "facts": {"files": 3}},
        seen_ms=5,
    )

    ledger.record_task(kept)

    assert ledger.task(kept.id) == kept
    assert ledger.tasks() == [kept]
    assert ledger.task("TRAI" + "0" * 28) is None


def test_a_secret_is_never_shown(ledger: Ledger) -> None:
    ledger.record_task(
        record(1, secret_key="s3cret", profile={"request": {"env": [["K", "v3ry"]]}})
    )

    shown = repr(ledger.tasks()) + repr(ledger) + str(ledger.task(record(1).id))

    assert "s3cret" not in shown
    assert "v3ry" not in shown


def test_a_task_of_the_same_id_is_replaced(ledger: Ledger) -> None:
    ledger.record_task(record(1))
    ledger.record_task(record(1, name="another"))

    assert [one.name for one in ledger.tasks()] == ["another"]


def test_the_newest_come_first(ledger: Ledger) -> None:
    for number in (2, 1, 3):
        ledger.record_task(record(number))
    ledger.record_task(record(4, submitted_ms=1003))

    assert [one.id[-1] for one in ledger.tasks()] == ["4", "3", "2", "1"]
    assert [one.id[-1] for one in ledger.tasks(2)] == ["4", "3"]
    assert ledger.tasks(0) == []


def test_what_a_server_said_is_kept_and_empties_nothing(ledger: Ledger) -> None:
    ledger.record_task(record(1, secret_key="key", project_id="PROJ1"))
    said = TaskDetail.from_json({"id": record(1).id, "state": 2, "name": "", "project_id": ""})

    ledger.record_state(said)
    ledger.record_state(TaskDetail.from_json({"id": "TRAI" + "f" * 28, "state": 2}))

    (kept,) = ledger.tasks()
    assert (kept.state, kept.phase, kept.finished) == (2, "succeeded", True)
    assert (kept.name, kept.secret_key, kept.project_id) == ("name1", "key", "PROJ1")
    assert abs(kept.seen_ms - now_ms()) < 60_000


def test_unfinished_tasks_are_given_oldest_first_and_by_directory(ledger: Ledger) -> None:
    states = {1: 0, 2: 1, 3: 2, 4: -1, 5: -2, 6: -3, 7: 4, 8: 77}
    for number, state in states.items():
        ledger.record_task(record(number, state=state, working_dir=f"/d{number % 2}"))

    assert [int(one.id[-1]) for one in ledger.unfinished()] == [1, 2, 7, 8]
    assert [int(one.id[-1]) for one in ledger.unfinished(Path("/d1"))] == [1, 7]
    assert [int(one.id[-1]) for one in ledger.unfinished("/d0")] == [2, 8]
    assert ledger.unfinished("/elsewhere") == []


def test_tasks_are_found_by_their_digest(ledger: Ledger) -> None:
    ledger.record_task(record(1, digest="same"))
    ledger.record_task(record(2, digest="other"))
    ledger.record_task(record(3, digest="same"))

    assert [int(one.id[-1]) for one in ledger.with_digest("same")] == [3, 1]
    assert ledger.with_digest("none") == []


def test_a_directory_whose_name_is_no_text_can_be_kept_and_asked_for(ledger: Ledger) -> None:
    odd = os.fsdecode(b"/work/\xff")
    kept = record(1, working_dir=odd, profile={"request": {"working_dir": odd}})

    ledger.record_task(kept)

    assert [one.id for one in ledger.unfinished(Path(odd))] == [kept.id]
    assert ledger.unfinished("/work/\ufffd") == []
    assert ledger.tasks()[0].profile == kept.profile


# Whom somebody means.


@pytest.fixture
def some(ledger: Ledger) -> Ledger:
    for number, (beginning, name) in enumerate(
        [("ab12", "first"), ("ab34", "twice"), ("cd56", "twice"), ("ef78", "ab34")]
    ):
        ledger.record_task(
            record(number, id=f"TRAI{beginning}{'0' * 24}", name=name, submitted_ms=number)
        )
    return ledger


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("last", "ef78"),
        ("  last ", "ef78"),
        (f"TRAIab12{'0' * 24}", "ab12"),
        ("TRAIcd", "cd56"),
        ("cd", "cd56"),
        ("first", "ab12"),
        ("twice", "cd56"),
        ("ab34", "ef78"),
        ("ab1", "ab12"),
    ],
)
def test_a_task_is_found(some: Ledger, text: str, beginning: str) -> None:
    """By id, by name (the newest of it), by the beginning of an id, or as the last."""
    assert some.match(text).id[4:8] == beginning


@pytest.mark.parametrize("text", ["ab", "TRAIab", "TRAI"])
def test_a_beginning_of_several_lists_them(some: Ledger, text: str) -> None:
    with pytest.raises(OptionError, match=r"is the beginning of \d tasks: .*twice.*write more"):
        some.match(text)


@pytest.mark.parametrize("text", ["nobody", "", " ", "%", "zz", "LAST", "'; DROP TABLE task; --"])
def test_nobody_is_an_error_that_names_the_newest(some: Ledger, text: str) -> None:
    with pytest.raises(NotFound, match="the newest are ab34, twice, first"):
        some.match(text)


def test_an_empty_ledger_says_so(ledger: Ledger) -> None:
    with pytest.raises(NotFound, match="No task was submitted from this machine yet"):
        ledger.match("last")
    with pytest.raises(NotFound, match="nor was any other"):
        ledger.match("x")


def test_a_task_that_is_named_last_does_not_hide_the_last(ledger: Ledger) -> None:
    ledger.record_task(record(1, name="last"))
    ledger.record_task(record(2))

    assert ledger.match("last").id == record(2).id


def test_what_looks_like_a_task() -> None:
    assert looks_like_task("TRAI" + "0" * 28)
    assert not looks_like_task("DSET" + "0" * 28)
    assert not looks_like_task("TRAI")


# Datasets.


def test_known_content_is_known_by_server_and_user(ledger: Ledger) -> None:
    ledger.record_dataset("local", "USER1", "fp1:a", "DSET1", 5)

    assert ledger.dataset("local", "USER1", "fp1:a") == "DSET1"
    assert ledger.dataset("local", "USER2", "fp1:a") is None
    assert ledger.dataset("http://other", "USER1", "fp1:a") is None
    ledger.record_dataset("local", "USER1", "fp1:a", "DSET2", 5)
    assert ledger.dataset("local", "USER1", "fp1:a") == "DSET2"
    ledger.forget_dataset("local", "USER1", "fp1:a")
    ledger.forget_dataset("local", "USER1", "fp1:a")
    assert ledger.dataset("local", "USER1", "fp1:a") is None


# Code.


def test_a_commit_that_an_algorithm_has_is_known(ledger: Ledger) -> None:
    ledger.record_code("local", "USER1", "ALGO1", "c1")
    ledger.record_code("local", "USER1", "ALGO1", "c1")
    ledger.record_code("local", "USER1", "ALGO2", "c1")

    assert ledger.has_code("local", "USER1", "ALGO1", "c1")
    assert not ledger.has_code("local", "USER1", "ALGO1", "c2")
    assert not ledger.has_code("local", "USER2", "ALGO1", "c1")
    ledger.forget_code("local", "USER1", "ALGO1")
    assert not ledger.has_code("local", "USER1", "ALGO1", "c1")
    assert ledger.has_code("local", "USER1", "ALGO2", "c1")


# Creations (faults A7).

SUBJECT = ("task", "local", "USER1", "digest")


def test_a_creation_that_was_answered_is_settled(ledger: Ledger) -> None:
    with ledger.creation(*SUBJECT) as first:
        assert not first.doubtful
        first.made = "TRAI1"
    with ledger.creation(*SUBJECT) as second:
        second.made = "TRAI2"

    assert second.key != first.key
    assert not second.doubtful
    assert len(first.key) >= 32


def test_a_creation_without_an_answer_keeps_its_key(ledger: Ledger) -> None:
    def try_to(raising: Exception) -> Creation:
        with pytest.raises(type(raising)), ledger.creation(*SUBJECT) as creation:
            raise raising
        return creation

    first = try_to(TimeoutError("no answer"))
    second = try_to(TimeoutError("none again"))
    with ledger.creation(*SUBJECT) as third:
        third.made = "TRAI1"

    assert [first.doubtful, second.doubtful, third.doubtful] == [False, True, True]
    assert first.key == second.key == third.key
    with ledger.creation(*SUBJECT) as fourth:
        fourth.refused = True
    assert not fourth.doubtful


def test_a_creation_that_was_refused_leaves_nothing(ledger: Ledger) -> None:
    with contextlib.suppress(OptionError), ledger.creation(*SUBJECT) as first:
        first.refused = True
        raise OptionError("no")
    with ledger.creation(*SUBJECT) as second:
        second.made = "TRAI1"

    assert not second.doubtful
    assert second.key != first.key


@pytest.mark.parametrize("at", range(4))
def test_creations_of_other_subjects_are_no_matter(ledger: Ledger, at: int) -> None:
    with pytest.raises(TimeoutError), ledger.creation(*SUBJECT):
        raise TimeoutError
    other = [*SUBJECT]
    other[at] = "another"

    with ledger.creation(*other) as creation:
        creation.made = "TRAI1"

    assert not creation.doubtful


def test_two_threads_with_the_same_subject_have_two_keys(ledger: Ledger) -> None:
    """Nobody takes the key of somebody who still waits for an answer."""
    with ledger.creation(*SUBJECT) as first, ledger.creation(*SUBJECT) as second:
        assert first.key != second.key
        assert not second.doubtful
        first.made, second.made = "TRAI1", "TRAI2"


BEGIN_AND_WAIT = """
import sys
from anylearn_jupyter.submit.ledger import Ledger

with Ledger() as ledger, ledger.creation("task", "local", "USER1", "digest") as creation:
    print(creation.key, creation.doubtful, flush=True)
    sys.stdin.readline()
    creation.made = "TRAI1"
"""


@pytest.fixture
def waiting() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that has asked, and waits for its answer."""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN_AND_WAIT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    key, doubtful = process.stdout.readline().split()
    assert doubtful == "False"
    yield process, key
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_process_that_was_killed_leaves_doubt_and_its_key(
    ledger: Ledger, waiting: tuple[subprocess.Popen[str], str]
) -> None:
    process, key = waiting
    with ledger.creation(*SUBJECT) as meanwhile:
        meanwhile.made = "TRAI2"
    assert (meanwhile.key != key, meanwhile.doubtful) == (True, False)

    process.send_signal(signal.SIGKILL)
    process.wait()

    with ledger.creation(*SUBJECT) as after:
        after.made = "TRAI1"
    assert (after.key, after.doubtful) == (key, True)
    with ledger.creation(*SUBJECT) as later:
        later.made = "TRAI3"
    assert not later.doubtful


def test_a_process_that_got_its_answer_leaves_none(
    ledger: Ledger, waiting: tuple[subprocess.Popen[str], str]
) -> None:
    process, _ = waiting
    process.communicate("\n", timeout=30)
    assert process.returncode == 0

    with ledger.creation(*SUBJECT) as after:
        after.made = "TRAI2"
    assert not after.doubtful


@pytest.mark.parametrize("changed", ["boot", "age"])
def test_a_process_of_another_boot_or_of_long_ago_is_gone(
    ledger: Ledger, waiting: tuple[subprocess.Popen[str], str], changed: str, home: Path
) -> None:
    """Whatever process has that number now (faults A12)."""
    _, key = waiting
    with closing(sqlite3.connect(home / "ledger.sqlite3")) as other, other:
        if changed == "boot":
            other.execute("UPDATE submission SET boot = 'another'")
        else:
            other.execute("UPDATE submission SET asked_ms = 5")

    with ledger.creation(*SUBJECT) as after:
        after.made = "TRAI1"

    assert (after.key, after.doubtful) == (key, True)


# Several at once.

WRITE_MANY = """
import sys
from anylearn_jupyter.submit.ledger import Ledger, TaskRecord

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
    import warnings

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
from anylearn_jupyter.submit.ledger import Ledger, TaskRecord

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


def test_a_stale_wal_beside_a_good_file_loses_nothing(home: Path) -> None:
    filled(home)
    (home / "ledger.sqlite3-wal").write_bytes(os.urandom(5000))

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
        ledger.record_code("local", "USER1", "ALGO1", "c1")

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


def test_a_profile_that_is_no_json_costs_only_the_profile(ledger: Ledger, home: Path) -> None:
    ledger.record_task(record(1, profile={"a": 1}))
    ledger.record_task(record(2, profile={"a": 1}))
    with closing(sqlite3.connect(home / "ledger.sqlite3")) as other, other:
        other.execute("UPDATE task SET profile = '{' WHERE id = ?", (record(1).id,))
        other.execute("UPDATE task SET profile = '[1]' WHERE id = ?", (record(2).id,))

    assert [one.profile for one in ledger.tasks()] == [{}, {}]
    assert json.dumps([one.name for one in ledger.tasks()]) == '["name2", "name1"]'
