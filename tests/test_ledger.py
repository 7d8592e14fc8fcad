"""The ledger: what it remembers, whom it finds, and creations whose outcome nobody knows."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from anylearn_jupyter.entities import TaskDetail
from anylearn_jupyter.errors import NotFound, OptionError
from anylearn_jupyter.submit.ledger import Creation, Ledger, looks_like_task, now_ms
from ledger_records import ledger, record

__all__ = ["ledger"]


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
    odd = os.fsdecode(b"/odd/\xff")
    kept = record(1, working_dir=odd, profile={"request": {"working_dir": odd}})

    ledger.record_task(kept)

    assert [one.id for one in ledger.unfinished(Path(odd))] == [kept.id]
    assert ledger.unfinished("/odd/\ufffd") == []
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
    ledger.record_code("local", "USER1", "name", "c1", "ALGO1")
    ledger.record_code("local", "USER1", "name", "c1", "ALGO2")
    ledger.record_code("local", "USER1", "another", "c1", "ALGO3")

    assert ledger.algorithm_with("local", "USER1", "name", "c1") == "ALGO2"
    assert ledger.algorithm_with("local", "USER1", "name", "c2") is None
    assert ledger.algorithm_with("local", "USER2", "name", "c1") is None
    assert ledger.algorithm_with("http://other", "USER1", "name", "c1") is None
    ledger.forget_code("local", "USER1", "name")
    assert ledger.algorithm_with("local", "USER1", "name", "c1") is None
    assert ledger.algorithm_with("local", "USER1", "another", "c1") == "ALGO3"


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


# What was written by hand.


def test_a_profile_that_is_no_json_costs_only_the_profile(ledger: Ledger, home: Path) -> None:
    ledger.record_task(record(1, profile={"a": 1}))
    ledger.record_task(record(2, profile={"a": 1}))
    with closing(sqlite3.connect(home / "ledger.sqlite3")) as other, other:
        other.execute("UPDATE task SET profile = '{' WHERE id = ?", (record(1).id,))
        other.execute("UPDATE task SET profile = '[1]' WHERE id = ?", (record(2).id,))

    assert [one.profile for one in ledger.tasks()] == [{}, {}]
    assert json.dumps([one.name for one in ledger.tasks()]) == '["name2", "name1"]'
