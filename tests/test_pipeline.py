"""From a request to a running task, on a real engine: once, reused, nothing on a mistake."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.connection import current_connection, disconnect
from anylearn_jupyter.errors import (
    AnylearnError,
    DataError,
    EngineError,
    LoginRequired,
    NotFound,
    OptionError,
    ServerUnreachable,
    SnapshotError,
)
from anylearn_jupyter.home import Endpoint, Home
from anylearn_jupyter.submit.code import default_algorithm_name
from anylearn_jupyter.submit.description import plain_value
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.planning import plan
from anylearn_jupyter.submit.progress import SilentProgress
from anylearn_jupyter.submit.published import quick_train
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from conftest import engine_command

TRAIN = """
import json, os, sys
from pathlib import Path

print(json.dumps(sys.argv[1:]))
output = Path(os.environ["ANYLEARN_TASK_OUTPUT_PATH"])
output.mkdir(exist_ok=True)
(output / "args.json").write_text(json.dumps(sys.argv[1:]))
(output / "sub").mkdir()
(output / "sub" / "model.bin").write_bytes(b"model")
"""


class Listener(SilentProgress):
    """Keeps what a submission tells."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.notes: list[str] = []
        self.sent: list[tuple[str, int, int]] = []

    def step(self, name: str, detail: str = "") -> None:
        self.steps.append(name)

    def bytes(self, label: str, sent: int, total: int) -> None:
        self.sent.append((label, sent, total))

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Close this process's connections, and end whatever engine the test started."""
    disconnect()
    yield
    disconnect()
    engine_command("stop", "--tasks", check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Make a code directory with data in it, in no repository."""
    directory = tmp_path / "project"
    (directory / "numbers").mkdir(parents=True)
    (directory / "train.py").write_text(TRAIN, encoding="utf-8")
    (directory / "numbers" / "a.txt").write_text("1\n", encoding="utf-8")
    return directory


def request_of(project: Path, **changes: Any) -> TrainRequest:
    made = TrainRequest(
        entrypoint="python train.py",
        algorithm_dir=project,
        data=(DataInput("data", path=project / "numbers"),),
        working_dir=project,
    )
    return replace(made, **changes)


def api() -> Api:
    return current_connection().api


def counters() -> dict[str, int]:
    return api().counters()


def test_a_request_becomes_a_task_that_the_ledger_knows(project: Path, home: Path) -> None:
    listener = Listener()
    made = submit(request_of(project, hyperparams=(("lr", 0.1),), task_name="first"), listener)

    assert made.task.wait().phase == "succeeded"
    assert made.task.log_text().splitlines()[-1].startswith('["--data", "')
    assert '"--lr", "0.1"]' in made.task.log_text()
    assert listener.steps == [
        "Capturing the code",
        "Reading the data",
        "Asking the server",
        "Sending the code",
        "Sending the data",
        "Creating the task",
    ]
    assert [label for label, _, _ in listener.sent][-1] == "sending numbers"
    with Ledger(Home(home)) as ledger:
        (record,) = ledger.tasks()
    assert (record.id, record.name) == (made.task.id, "first")
    assert record.server == made.task.server
    assert record.working_dir == str(project)
    assert record.state == 2
    facts = made.task.facts
    assert facts is not None
    assert facts.params == (("lr", "0.1"),)
    assert facts.code_sent
    assert facts.data[0].uploaded_bytes > 0
    assert facts.digest == record.digest
    assert record.profile["request"]["entrypoint"] == "python train.py"


def test_the_same_again_sends_nothing(project: Path) -> None:
    first = submit(request_of(project))
    before = counters()
    listener = Listener()
    second = submit(request_of(project), listener)

    after = counters()
    assert after["upload_bytes"] == before["upload_bytes"]
    assert after["git_bytes"] == before["git_bytes"]
    assert second.task.id != first.task.id
    assert second.datasets == first.datasets
    assert "Sending the data" not in listener.steps
    facts = second.task.facts
    assert facts is not None
    assert not facts.code_sent
    assert facts.data[0].reused


def test_a_lost_ledger_costs_no_upload(project: Path, home: Path) -> None:
    first = submit(request_of(project))
    before = counters()
    for path in home.glob("ledger.sqlite3*"):
        path.unlink()
    second = submit(request_of(project))
    assert second.datasets[0].id == first.datasets[0].id
    assert counters()["upload_bytes"] == before["upload_bytes"]


def test_the_same_content_elsewhere_is_the_same_dataset(project: Path, tmp_path: Path) -> None:
    first = submit(request_of(project))
    copy = tmp_path / "elsewhere"
    shutil.copytree(project / "numbers", copy)
    second = submit(request_of(project, data=(DataInput("data", path=copy),)))
    assert second.datasets[0].id == first.datasets[0].id


def test_data_that_was_deleted_on_the_server_is_sent_again_with_a_note(project: Path) -> None:
    first = submit(request_of(project))
    first.task.wait()
    dataset = first.datasets[0].id
    api().http.delete("dataset/delete", {"id": dataset, "force": 0})
    listener = Listener()
    second = submit(request_of(project), listener)
    assert second.datasets[0].id != dataset
    assert any(dataset in note and "sent again" in note for note in listener.notes)
    assert second.task.wait().phase == "succeeded"


def test_an_upload_that_broke_off_goes_on_under_the_same_dataset(project: Path) -> None:
    (project / "numbers" / "big.bin").write_bytes(os.urandom(5_000_000))

    class Cut(Exception):
        pass

    class Interrupting(Listener):
        def bytes(self, label: str, sent: int, total: int) -> None:
            if label.startswith("sending numbers") and sent > 2_500_000:
                raise Cut

    with pytest.raises(Cut):
        submit(request_of(project), Interrupting())
    begun = [one for one in api().datasets() if "[anylearn:fp1:" in one.description]
    assert len(begun) == 1
    assert begun[0].state != 3
    made = submit(request_of(project))
    assert made.datasets[0].id == begun[0].id
    assert made.task.wait().phase == "succeeded"


def test_data_by_id_and_by_path_are_both_mounted(project: Path, tmp_path: Path) -> None:
    known = submit(request_of(project)).datasets[0]
    other = tmp_path / "other"
    other.mkdir()
    (other / "b.txt").write_text("2\n", encoding="utf-8")
    task, _, datasets, _ = quick_train(
        algorithm_dir=project,
        entrypoint="python train.py",
        dataset_id=known.id,
        dataset_dir=other,
    )
    assert len(datasets) == 2
    task.wait()
    words = task.log_text()
    assert words.count("--dataset") == 1
    assert all(dataset.id in words for dataset in datasets)


def test_an_edit_sends_a_small_pack_and_old_versions_stay(project: Path) -> None:
    first = submit(request_of(project))
    before = counters()["git_bytes"]
    (project / "train.py").write_text(TRAIN + "# edited\n", encoding="utf-8")
    second = submit(request_of(project))
    assert 0 < counters()["git_bytes"] - before < 5_000
    assert second.algorithm.id == first.algorithm.id
    refs = (first.task.detail.algorithm_git_ref, second.task.detail.algorithm_git_ref)
    assert refs[0] != refs[1]
    again = submit(
        request_of(project, algorithm_dir=None, algorithm_id=first.algorithm.id,
                   algorithm_git_ref=refs[0])
    )  # fmt: skip
    assert again.task.detail.algorithm_git_ref == refs[0]
    assert again.task.wait().phase == "succeeded"


def test_projects_by_name_are_found_again(project: Path) -> None:
    first = submit(request_of(project, project_name="vision"))
    second = submit(request_of(project, project_name="vision"))
    assert first.project.name == "vision"
    assert second.project.id == first.project.id
    third = submit(request_of(project, project_id=first.project.id))
    assert third.project == second.project
    default = submit(request_of(project))
    assert default.project.id != first.project.id


def test_code_travels_as_an_archive_where_git_cannot(project: Path) -> None:
    from anylearn_jupyter.submit import code
    from anylearn_jupyter.submit.destination import Destination
    from anylearn_jupyter.submit.snapshot import snapshot

    first = submit(request_of(project))
    with Ledger() as ledger:
        destination = Destination(current_connection(), ledger, Listener())
        (project / "train.py").write_text("print('by archive')\n", encoding="utf-8")
        request = request_of(project)
        sent = code._by_archive(request, first.algorithm, snapshot(project), destination)
    assert sent.git_ref is None
    request = request_of(
        project, algorithm_dir=None, algorithm_id=sent.algorithm.id, algorithm_git_ref=None
    )
    made = submit(request)
    made.task.wait()
    assert made.task.log_text() == "by archive\n"


# Mistakes: one sentence that names the input and the way out, and nothing was sent.


def broken_requests(project: Path) -> dict[str, tuple[TrainRequest, type[Exception], str]]:
    (project / "results").mkdir()
    (project / "results" / "old.txt").write_text("old", encoding="utf-8")
    (project / "link").symlink_to(project / "numbers")
    data = (DataInput("data", path=project / "missing"),)
    near = "does not exist in .*did you mean 'train.py'"
    return {
        "script": (request_of(project, entrypoint="python trian.py"), OptionError, near),
        "absolute": (request_of(project, output="/results"), OptionError, "absolute"),
        "upwards": (request_of(project, output="a/../../b"), OptionError, r"'\.\.'"),
        "itself": (request_of(project, output="."), OptionError, "no folder of its own"),
        "full": (request_of(project, output="results"), OptionError, "results/old.txt"),
        "link": (request_of(project, output="link"), OptionError, "link or a file"),
        "data": (request_of(project, data=data), DataError, "missing' is not there"),
        "name": (request_of(project, algorithm_name="a b"), OptionError, "algorithm_name='a b'"),
        "task": (request_of(project, task_name="x" * 51), OptionError, "task name"),
        "both": (
            request_of(project, project_id="PROJ1", project_name="p"),
            OptionError,
            "project_id and project_name",
        ),
        "twice": (request_of(project, hyperparams=(("data", "x"),)), OptionError, "both"),
        "nothing": (request_of(project, entrypoint=None), OptionError, "no entrypoint"),
    }


MISTAKES = (
    "script", "absolute", "upwards", "itself", "full", "link", "data", "name", "task", "both",
    "twice", "nothing",
)  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
@pytest.mark.parametrize("call", [submit, plan])
def test_a_mistake_is_one_sentence_and_nobody_was_asked(
    call: Any, name: str, project: Path, home: Path
) -> None:
    request, kind, words = broken_requests(project)[name]
    with pytest.raises(kind, match=words) as caught:
        call(request)
    assert isinstance(caught.value, AnylearnError)
    assert "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [f"{kind.__name__}: {caught.value}"]
    assert Endpoint.read(Home(home)) is None, "no engine was even started"


def test_a_dirty_repository_is_refused_by_name_and_sent_with_the_option(project: Path) -> None:
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-C", str(project)]
    subprocess.run([*git, "init", "-q"], check=True)
    with pytest.raises(SnapshotError, match="algorithm_force_update"):
        quick_train(algorithm_dir=project, entrypoint="python train.py")
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "all"], check=True)
    clean, *_ = quick_train(algorithm_dir=project, entrypoint="python train.py")
    (project / "new.py").write_text("", encoding="utf-8")
    with pytest.raises(SnapshotError, match="not committed"):
        quick_train(algorithm_dir=project, entrypoint="python train.py")
    dirty, *_ = quick_train(
        algorithm_dir=project, entrypoint="python train.py", algorithm_force_update=True
    )
    assert clean.facts is not None
    assert dirty.facts is not None
    assert not clean.facts.dirty
    assert dirty.facts.dirty
    assert clean.facts.head == dirty.facts.head != ""


def test_what_the_server_lacks_is_an_error_before_anything_is_uploaded(project: Path) -> None:
    submit(request_of(project))
    before = counters()
    (project / "numbers" / "new.txt").write_text("new", encoding="utf-8")
    missing = (DataInput("x", id="DSET" + "0" * 28), DataInput("data", path=project / "numbers"))
    for request, kind, words in (
        (request_of(project, data=missing), NotFound, "DSET0000"),
        (request_of(project, project_id="PROJ" + "0" * 28), NotFound, "PROJ0000"),
        (request_of(project, mirror_name="nope"), OptionError, "QUICKSTART"),
    ):
        with pytest.raises(kind, match=words):
            submit(request)
    assert counters() == before


def test_a_server_that_is_not_there_is_said_and_nothing_is_lost(project: Path) -> None:
    with pytest.raises(LoginRequired, match="anylearn_login"):
        submit(request_of(project, server="http://127.0.0.1:9"))
    os.environ.update(ANYLEARN_HOST="http://127.0.0.1:9", ANYLEARN_AUTH_TOKEN="t")
    try:
        with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:9"):
            submit(request_of(project))
        told = plan(request_of(project))
    finally:
        del os.environ["ANYLEARN_HOST"], os.environ["ANYLEARN_AUTH_TOKEN"]
    assert told.upload_bytes is None
    assert any("unknown" in note for note in told.notes)
    with Ledger() as ledger:
        assert ledger.tasks() == []


def test_an_engine_that_cannot_start_is_said_with_its_own_words(project: Path, home: Path) -> None:
    (home / "engine").mkdir(parents=True, mode=0o700)
    (home / "engine" / "store.sqlite3").write_bytes(b"no database at all" * 400)
    with pytest.raises(EngineError, match="cannot start"):
        submit(request_of(project))


# A plan.


def test_a_plan_says_what_would_travel_and_makes_nothing(project: Path) -> None:
    told = plan(request_of(project, hyperparams=(("note", "'a b'"),)))
    assert told.packing is not None
    assert [file.path for file in told.packing.files] == ["train.py"]
    assert {skipped.path: skipped.reason for skipped in told.packing.skipped} == {
        "numbers/": "data folder that this task mounts"
    }
    assert told.upload_bytes == 2
    assert told.command.startswith('python train.py --data "$<')
    assert told.facts.params == (("note", "a b"),)
    assert counters()["tasks_created"] == 0
    assert api().datasets() == []
    submit(request_of(project))
    known = plan(request_of(project))
    assert known.upload_bytes == 0
    assert known.facts.data[0].id


# Exactly once.

KILLED = """
import os, signal, sys
from pathlib import Path
from anylearn_jupyter.client.api import Api
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.request import TrainRequest

method = sys.argv[2]
if method == "record_task":  # before it: the answer came, and was not written down
    Ledger.record_task = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
else:
    real = getattr(Api, method)

    def made_and_killed(self, *args, **kwargs):
        real(self, *args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(Api, method, made_and_killed)
project = Path(sys.argv[1])
submit(TrainRequest(entrypoint="python train.py", algorithm_dir=project, project_name="once",
                    working_dir=project))
"""


@pytest.mark.parametrize("method", ["add_algorithm", "add_project", "add_task", "record_task"])
def test_a_client_killed_after_the_server_did_it_makes_nothing_twice(
    method: str, project: Path
) -> None:
    """A7: the answer never came, or nobody wrote it down; the next submission looks first."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(project), method], check=False, timeout=60
    )
    assert done.returncode == -signal.SIGKILL
    made = submit(request_of(project, data=(), project_name="once"))
    assert made.task.wait().phase == "succeeded"
    assert counters()["tasks_created"] == 1
    named = [one for one in api().projects() if one.name == "once"]
    assert len(named) == 1
    with Ledger() as ledger:
        assert [record.id for record in ledger.tasks()] == [made.task.id]
    # Wanted again, it is another task.
    submit(request_of(project, data=(), project_name="once"))
    assert counters()["tasks_created"] == 2


# What is small.


def test_default_names_follow_the_resolved_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / ("Ünï code (1)" + "x" * 60)
    odd.mkdir()
    name = default_algorithm_name(odd)
    assert len(name) <= 40
    assert name.startswith("-n--code--1-x")
    monkeypatch.chdir(odd)
    assert default_algorithm_name(Path()) == name
    assert default_algorithm_name(tmp_path) != name


def test_values_are_shown_without_the_quotes_of_one_word() -> None:
    assert plain_value("'it'\"'\"'s'") == "it's"
    assert plain_value("'a' b") == "'a' b"
    assert plain_value([1, "x y"]) == "1 'x y'"
    assert plain_value("'open") == "'open"
