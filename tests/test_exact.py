"""Repeating a task exactly: what was sent then is trained again, or it is said what is gone."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.errors import AnylearnError, DataError, OptionError, SnapshotError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.kept_snapshots import kept_snapshot, store_of
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from anylearn_jupyter.submit.task import TrainTask
from engine_home import of_the_engine, shared_engine

__all__ = ["of_the_engine", "shared_engine"]

pytestmark = pytest.mark.usefixtures("of_the_engine")

SCRIPT = """
import os, sys
from pathlib import Path
words = sys.argv[1:]
print("code", {number}, "lr", words[words.index("--lr") + 1], "env", os.environ.get("WORD"))
print("data", (Path(words[words.index("--data") + 1]) / "a.txt").read_text())
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    (directory / "numbers").mkdir(parents=True)
    (directory / "train.py").write_text(SCRIPT.format(number=1), encoding="utf-8")
    (directory / "numbers" / "a.txt").write_text(f"first {tmp_path.name}", encoding="utf-8")
    return directory


@pytest.fixture
def first(project: Path) -> TrainTask:
    """Give a task that has ended; the directory is another one by now."""
    task = submit(
        TrainRequest(
            entrypoint="python train.py",
            algorithm_dir=project,
            data=(DataInput("data", path=project / "numbers"),),
            hyperparams=(("lr", 0.1),),
            env=(("WORD", "then"),),
            project_name=project.parent.name,
            working_dir=project,
        )
    ).task
    task.wait(60)
    (project / "train.py").write_text(SCRIPT.format(number=2), encoding="utf-8")
    (project / "numbers" / "a.txt").write_text("second", encoding="utf-8")
    return task


def dataset_of(task: TrainTask) -> str:
    assert task.facts is not None
    return task.facts.data[0].id


def lose_code_here(project: Path) -> None:
    """Take our own store of the directory away."""
    shutil.rmtree(store_of(project, Home()).git_dir)


def lose_code_there(task: TrainTask) -> None:
    """Delete the algorithm on the server."""
    current_connection().api.delete_resource("algorithm", task.get_detail().algorithm_id)


def test_an_exact_retry_trains_what_was_sent_then(first: TrainTask, project: Path) -> None:
    again = first.retry(exact=True)
    again.wait(60)

    assert again.id != first.id
    assert again.log_text() == first.log_text()
    assert "code 1 lr 0.1 env then" in again.log_text()
    assert again.record.digest == first.record.digest
    assert again.facts is not None
    assert again.facts.snapshot_id == first.facts.snapshot_id
    assert f"digest equal: {first.record.digest}" in " ".join(again.facts.notes)
    assert again.facts.data[0].id == dataset_of(first)
    plain = first.retry()
    plain.wait(60)
    assert "code 2" in plain.log_text()
    assert "data second" in plain.log_text()


def test_a_directory_that_is_gone_does_not_matter(first: TrainTask, project: Path) -> None:
    shutil.rmtree(project)
    again = first.retry(exact=True)
    again.wait(60)
    assert again.log_text() == first.log_text()


def test_a_snapshot_that_the_server_has_is_enough(first: TrainTask, project: Path) -> None:
    lose_code_here(project)
    again = first.retry(exact=True)
    again.wait(60)
    assert again.log_text() == first.log_text()


def test_a_snapshot_that_is_kept_here_is_sent_again(first: TrainTask, project: Path) -> None:
    lose_code_there(first)
    again = first.retry(exact=True)
    again.wait(60)
    assert again.log_text() == first.log_text()


def test_code_that_is_gone_is_said(first: TrainTask, project: Path) -> None:
    lose_code_here(project)
    lose_code_there(first)
    with pytest.raises(SnapshotError, match=r"is neither kept here .* nor on .* without --exact"):
        first.retry(exact=True)


def test_data_that_is_gone_there_is_sent_again_if_it_is_the_same(
    first: TrainTask, project: Path, tmp_path: Path
) -> None:
    current_connection().api.delete_resource("dataset", dataset_of(first))
    with pytest.raises(DataError, match=r"is not what .* was trained on"):
        first.retry(exact=True)
    (project / "numbers" / "a.txt").write_text(f"first {tmp_path.name}", encoding="utf-8")
    again = first.retry(exact=True)
    again.wait(60)
    assert again.log_text() == first.log_text()
    current_connection().api.delete_resource("dataset", dataset_of(again))
    shutil.rmtree(project / "numbers")
    with pytest.raises(DataError, match="is gone, here and on"):
        first.retry(exact=True)


def test_an_exact_retry_changes_nothing_and_needs_to_know_what(first: TrainTask) -> None:
    with pytest.raises(OptionError, match=r"changes nothing; leave out either exact or lr"):
        first.retry(exact=True, lr=0.2)
    by_id = submit(
        TrainRequest(
            entrypoint="python train.py --lr 1 --data .",
            algorithm_dir=None,
            algorithm_id=first.get_detail().algorithm_id,
        )
    ).task
    with pytest.raises(SnapshotError, match="was not named by its content"):
        by_id.retry(exact=True)
    with pytest.raises(AnylearnError, match="was not submitted from this machine"):
        TrainTask("TRAI" + "1" * 28).retry(exact=True)


def test_a_digest_of_another_format_is_no_proof(first: TrainTask) -> None:
    with Ledger() as ledger:
        ledger.record_task(replace(first.record, digest="0" * 64))
    with pytest.raises(OptionError, match="another version"):
        TrainTask(first.id).retry(exact=True)


def test_the_files_of_a_kept_snapshot(first: TrainTask, project: Path) -> None:
    assert first.facts is not None
    kept = kept_snapshot(project, first.facts.snapshot_id, Home())
    assert kept is not None
    assert [one.path for one in kept.packing.files] == ["requirements.txt", "train.py"]
    assert kept_snapshot(project, "0" * 40, Home()) is None
    assert kept_snapshot(project / "other", first.facts.snapshot_id, Home()) is None
    zipped = subprocess.run(
        ["git", "--git-dir", store_of(project, Home()).git_dir, "cat-file", "-t", kept.commit],
        capture_output=True,
        text=True,
        check=True,
    )
    assert zipped.stdout == "commit\n"
