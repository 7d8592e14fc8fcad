"""A submission changes no byte of the user's directory and runs none of its programs (faults E1).

Snapshots alone in every state, then whole submissions to a real engine, data included.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.errors import SnapshotError
from anylearn_jupyter.submit.packing import packing_list
from anylearn_jupyter.submit.pipeline import Submission, submit
from anylearn_jupyter.submit.planning import plan
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from anylearn_jupyter.submit.snapshot import snapshot
from engine_home import of_the_engine, shared_engine
from repository_states import STATES, Made, every_byte, git, make, write

__all__ = ["of_the_engine", "shared_engine"]


@pytest.mark.parametrize("state", STATES)
def test_every_byte_is_the_same_after_snapshots(state: str, tmp_path: Path) -> None:
    made = make(state, tmp_path)
    before = every_byte(made.top)

    packing_list(made.code)
    first = snapshot(made.code)
    second = snapshot(made.code)
    packed = b"".join(second.pack())

    assert every_byte(made.top) == before
    assert not made.tell_tale.exists()
    assert first.commit == second.commit
    assert packed.startswith(b"PACK")


def a_request(made: Made, **changes: Any) -> TrainRequest:
    """Ask for a training whose data is a folder inside the code directory."""
    request = TrainRequest(
        entrypoint="ls; true",
        algorithm_dir=made.code,
        data=(DataInput("data", path=made.code / "numbers"),),
        working_dir=made.code,
    )
    return replace(request, **changes)


def with_data(state: str, where: Path) -> Made:
    made = make(state, where)
    write(made.code / "numbers" / "a.txt", "1\n")
    write(made.code / "numbers" / "deep" / "b.txt", "2\n")
    return made


def commit_of(made: Submission) -> str:
    assert made.task.facts is not None
    return made.task.facts.snapshot_id


@pytest.mark.parametrize("state", STATES)
@pytest.mark.usefixtures("of_the_engine")
def test_every_byte_is_the_same_after_submissions(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = with_data(state, tmp_path)
    monkeypatch.chdir(made.code)
    before = every_byte(made.top)

    plan(a_request(made))
    first = submit(a_request(made))
    ended = first.task.wait(60)
    second = submit(a_request(made))
    second.task.wait(60)
    first.task.results()

    assert every_byte(made.top) == before
    assert not made.tell_tale.exists()
    assert ended.phase == "succeeded", first.task.log_text()
    assert commit_of(first) == commit_of(second)
    assert second.task.facts is not None
    assert not second.task.facts.code_sent
    assert [one.reused for one in second.task.facts.data] == [True]
    assert [one.id for one in first.datasets] == [one.id for one in second.datasets]


@pytest.mark.usefixtures("of_the_engine")
def test_the_same_tree_in_a_clone_and_a_copy_is_one_snapshot_and_one_dataset(
    tmp_path: Path,
) -> None:
    made = with_data("clean", tmp_path)
    shutil.rmtree(made.top / "output")
    (made.top / "secret.txt").unlink()
    git(tmp_path, "clone", "-q", str(made.top), "a clone")
    shutil.copytree(made.top / "numbers", tmp_path / "a clone" / "numbers")
    shutil.copytree(made.top, tmp_path / "plain", ignore=shutil.ignore_patterns(".git"))
    places = [made.top, tmp_path / "a clone", tmp_path / "plain"]
    before = [every_byte(place) for place in places]

    submissions = [submit(a_request(Made(place, place, made.tell_tale))) for place in places]

    assert len({commit_of(one) for one in submissions}) == 1
    assert len({one.datasets[0].id for one in submissions}) == 1
    assert [every_byte(place) for place in places] == before


@pytest.mark.parametrize("state", ["dirty", "staged", "hostile", "unborn"])
@pytest.mark.usefixtures("of_the_engine")
def test_a_refusal_changes_no_byte_either(state: str, tmp_path: Path) -> None:
    made = with_data(state, tmp_path)
    before = every_byte(made.top)

    with pytest.raises(SnapshotError):
        submit(a_request(made, require_clean=True))

    assert every_byte(made.top) == before
    assert not made.tell_tale.exists()


def test_the_traps_are_alive(tmp_path: Path) -> None:
    """Git as it comes runs them, so that their silence means something."""
    made = make("hostile", tmp_path)

    git(made.top, "status", check=False)

    assert made.tell_tale.exists()


def test_a_directory_without_a_repository_gains_none(tmp_path: Path) -> None:
    made = make("no_repository", tmp_path)

    snapshot(made.code)

    assert not list(made.top.rglob(".git"))


@pytest.mark.parametrize("state", ["clean", "dirty", "nested", "no_repository"])
def test_variables_of_a_git_that_runs_us_do_not_count(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that was started by a hook has these (faults E7)."""
    made = make(state, tmp_path)
    expected = snapshot(made.code).commit
    other = make("staged", tmp_path)
    monkeypatch.setenv("GIT_DIR", str(other.top / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.top))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other.top / ".git" / "index"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(other.top / ".git" / "objects"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare'='true'")
    before = every_byte(tmp_path / state), every_byte(other.top)
    shutil.rmtree(os.environ["ANYLEARN_HOME"])

    assert snapshot(made.code).commit == expected
    assert (every_byte(tmp_path / state), every_byte(other.top)) == before


def test_the_same_tree_is_the_same_commit_in_another_clone_and_place(tmp_path: Path) -> None:
    made = make("clean", tmp_path)
    shutil.rmtree(made.top / "output")
    (made.top / "secret.txt").unlink()
    git(tmp_path, "clone", "-q", str(made.top), "a clone")
    shutil.copytree(made.top, tmp_path / "plain", ignore=shutil.ignore_patterns(".git"))
    commits = {snapshot(made.code).commit}

    commits.add(snapshot(tmp_path / "a clone").commit)
    commits.add(snapshot(tmp_path / "plain").commit)

    assert len(commits) == 1


def test_a_subdirectory_is_the_same_commit_as_a_copy_of_it(tmp_path: Path) -> None:
    made = make("subdirectory", tmp_path)
    shutil.copytree(made.code, tmp_path / "copy")

    assert snapshot(made.code).commit == snapshot(tmp_path / "copy").commit


def test_a_partial_clone_does_not_fetch(tmp_path: Path) -> None:
    """What a lazy clone lacks would be fetched by a program that its configuration names."""
    made = make("clean", tmp_path)
    git(made.top, "config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=tree:0", "--no-checkout", f"file://{made.top}", "lazy")
    lazy = tmp_path / "lazy"
    tell_tale = tmp_path / "fetched"
    trap = write(tmp_path / "trap", f"#!/bin/sh\ntouch '{tell_tale}'\n")
    trap.chmod(0o755)
    git(lazy, "config", "remote.origin.uploadpack", str(trap))
    write(lazy / "train.py", "print('here')\n")
    before = every_byte(lazy)

    taken = snapshot(lazy)

    assert taken.has("train.py")
    assert not tell_tale.exists()
    assert every_byte(lazy) == before
    git(lazy, "status", check=False)
    assert tell_tale.exists(), "git as it comes runs it"


def test_a_repository_of_somebody_else_is_read(tmp_path: Path) -> None:
    """Git itself refuses it for its owner, also to root (faults E6)."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    made = make("dirty", tmp_path)
    subprocess.run(["chown", "-R", "65534", str(made.top)], check=True)
    before = every_byte(made.top)

    taken = snapshot(made.code)

    assert taken.head is not None
    assert taken.dirty
    assert every_byte(made.top) == before
