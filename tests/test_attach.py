"""Submitting just the same again attaches to the task that is there, where that is wanted (C7)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from anylearn_jupyter.submit.task import TrainTask
from engine_home import of_the_engine, shared_engine

__all__ = ["of_the_engine", "shared_engine"]

pytestmark = pytest.mark.usefixtures("of_the_engine")

SCRIPT = """
import sys, time
from pathlib import Path
# {test}
words = sys.argv[1:]
go = Path(words[words.index("--go") + 1])
while not go.exists():
    time.sleep(0.02)
sys.exit(int(go.read_text() or 0))
"""
AT_ONCE = 5


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "project"
    (directory / "numbers").mkdir(parents=True)
    # Each test's own code: a digest knows no test, and the ledger is the module's.
    (directory / "train.py").write_text(SCRIPT.format(test=tmp_path), encoding="utf-8")
    (directory / "numbers" / "a.txt").write_text(f"{tmp_path}\n", encoding="utf-8")
    yield directory
    go(project=directory)


def go(project: Path, code: int = 0) -> None:
    """Let the tasks of a project end with a code."""
    new = project.parent / "new"
    new.write_text(str(code), encoding="utf-8")
    new.replace(project.parent / "go")


def request_of(project: Path) -> TrainRequest:
    return TrainRequest(
        entrypoint="python train.py",
        algorithm_dir=project,
        data=(DataInput("data", path=project / "numbers"),),
        hyperparams=(("lr", 0.1), ("go", str(project.parent / "go"))),
        project_name=project.parent.name,
        working_dir=project,
    )


def attached_to(request: TrainRequest) -> TrainTask | None:
    """Submit with reuse; None where that made another task."""
    made = submit(request, reuse=True)
    return made.task if made.attached else None


def tasks_made() -> int:
    return current_connection().api.counters()["tasks_created"]


def test_an_unfinished_and_a_succeeded_task_are_attached_to(project: Path) -> None:
    first = submit(request_of(project), reuse=True)
    before = tasks_made()

    assert not first.attached
    second = submit(request_of(project), reuse=True)
    assert second.attached
    assert second.task.id == first.task.id
    assert (second.algorithm.id, second.project.id) == (first.algorithm.id, first.project.id)
    assert [one.id for one in second.datasets] == [one.id for one in first.datasets]
    go(project)
    first.task.wait()
    third = submit(request_of(project), reuse=True)
    assert third.attached
    assert third.task.detail.phase == "succeeded"
    assert tasks_made() == before


def test_without_being_asked_another_task_is_started(project: Path) -> None:
    first, second = submit(request_of(project)), submit(request_of(project))

    assert not second.attached
    assert first.task.id != second.task.id
    found = attached_to(request_of(project))
    assert found is not None
    assert found.id == second.task.id, "the newest one"


def test_a_failed_or_stopped_task_is_never_attached_to(project: Path) -> None:
    failed = submit(request_of(project)).task
    go(project, 3)
    failed.wait()
    (project.parent / "go").unlink()
    stopped = submit(request_of(project), reuse=True)
    assert not stopped.attached
    stopped.task.stop()
    # Being stopped is as good as stopped.
    third = submit(request_of(project), reuse=True)
    assert not third.attached
    stopped.task.wait()
    fourth = attached_to(request_of(project))
    assert fourth is not None
    assert fourth.id == third.task.id


def test_a_task_that_its_server_has_no_more_is_not_attached_to(project: Path) -> None:
    first = submit(request_of(project)).task
    gone = replace(first.record, id=f"TRAI{'f' * 28}", submitted_ms=first.record.submitted_ms + 1)
    with Ledger() as ledger:
        ledger.record_task(gone)

    found = attached_to(request_of(project))
    assert found is not None
    assert found.id == first.id
    with Ledger() as ledger:
        known = ledger.task(gone.id)
    assert known is not None
    assert known.phase == "deleted"


def test_neither_another_users_nor_another_directorys(project: Path, tmp_path: Path) -> None:
    first = submit(request_of(project)).task
    with Ledger() as ledger:
        ledger.record_task(replace(first.record, user_id="USER0"))

    assert attached_to(request_of(project)) is None
    (tmp_path / "elsewhere").mkdir()
    elsewhere = replace(request_of(project), working_dir=tmp_path / "elsewhere")
    assert attached_to(elsewhere) is None
    assert attached_to(request_of(project)) is not None


@pytest.mark.parametrize("change", ["code", "value", "data", "environment", "resources"])
def test_what_differs_is_another_task(project: Path, change: str) -> None:
    submit(request_of(project))
    request = request_of(project)
    if change == "code":
        (project / "other.py").write_text("1", encoding="utf-8")
    elif change == "value":
        request = replace(request, hyperparams=(("lr", 0.2), *request.hyperparams[1:]))
    elif change == "data":
        (project / "numbers" / "a.txt").write_text(f"2 {project}", encoding="utf-8")
    elif change == "environment":
        request = replace(request, env=(("A", "1"),))
    else:
        request = replace(request, quota_group="default", quota_request=(("CPU", 1),))

    assert attached_to(request) is None


def test_a_name_and_a_description_make_no_other_training(project: Path) -> None:
    first = submit(request_of(project)).task
    found = attached_to(replace(request_of(project), task_name="b", task_description="c"))

    assert found is not None
    assert found.id == first.id


def test_data_that_was_only_looked_at_is_known_before_a_task_is_made(project: Path) -> None:
    first = submit(request_of(project)).task
    for path in (project / "numbers").iterdir():
        os.utime(path, (1, 1))  # whether it has changed can only be seen by reading it

    found = attached_to(request_of(project))
    assert found is not None
    assert found.id == first.id


def test_code_on_the_server_without_a_commit_is_no_known_code(project: Path) -> None:
    sent = submit(request_of(project))
    by_id = replace(request_of(project), algorithm_dir=None, algorithm_id=sent.algorithm.id)
    submit(by_id)

    assert attached_to(by_id) is None
    commit = sent.task.facts.snapshot_id if sent.task.facts is not None else ""
    by_commit = replace(by_id, algorithm_git_ref=commit)
    made = submit(by_commit).task
    found = attached_to(by_commit)
    assert found is not None
    assert found.id == made.id


def test_threads_that_submit_at_once_make_one_task(project: Path) -> None:
    before = tasks_made()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        made = list(pool.map(lambda _: submit(request_of(project), reuse=True), range(AT_ONCE)))

    assert len({one.task.id for one in made}) == 1
    assert sum(not one.attached for one in made) == 1
    assert tasks_made() == before + 1


SUBMIT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_attach import request_of
from anylearn_jupyter.submit.pipeline import submit
print("ready", flush=True)
sys.stdin.readline()
print(submit(request_of(Path(sys.argv[2])), reuse=True).task.id)
"""


def test_kernels_that_run_the_cell_at_once_make_one_task(project: Path) -> None:
    before = tasks_made()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SUBMIT, str(Path(__file__).parent), str(project)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0].strip() for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(set(outputs)) == 1
    assert tasks_made() == before + 1
