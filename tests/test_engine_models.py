"""A model of a task's results (HTTP API, section 9.7)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine_home import EngineHome, shared_engine
from published import MODEL, PublishedClient, check_shape

__all__ = ["shared_engine"]

TRAIN = """
import os, pathlib, zipfile
out = pathlib.Path("output")
(out / "deep").mkdir(parents=True)
(out / "weights.txt").write_text("weights")
(out / "deep" / "curve.csv").write_text("1")
with zipfile.ZipFile(out / "model.zip", "w") as archive:
    archive.writestr("inside.txt", "1")
(out / "way-out").symlink_to("/etc")
"""


@pytest.fixture(scope="module")
def ada(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("ada", "lovelace")
    return PublishedClient.login(shared_engine.address, "ada", "lovelace")


@pytest.fixture(scope="module")
def task(ada: PublishedClient, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A task that has ended and left results."""
    algorithm, commit = ada.send_code(
        "code", tmp_path_factory.mktemp("code") / "code", {"train.py": TRAIN}
    )
    added = ada.change(
        "POST", "train_task/add", name="t", project_id=ada.one("project/default")["id"],
        algorithm_id=algorithm, algorithm_git_ref=commit, train_params="{}",
        entrypoint="python train.py",
    )  # fmt: skip
    found = ada.wait_end(added)
    assert found["state"] == 2
    return found


def form_of(task: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "file_id": task["results_id"], "file_path": ".", "name": "model", "description": "d",
        "algorithm_id": task["algorithm_id"], "is_zipfile": "0", "public": 0,
    } | fields  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "listed"),
    [
        ({}, {"deep", "weights.txt", "model.zip"}),
        ({"file_path": "deep"}, {"curve.csv"}),
        ({"file_path": "weights.txt"}, {"weights.txt"}),
        ({"file_path": "model.zip"}, {"model.zip"}),
        ({"file_path": "model.zip", "is_zipfile": "1"}, {"inside.txt"}),
    ],
)
def test_a_model_is_made_of_results(
    ada: PublishedClient, task: dict[str, Any], fields: dict[str, str], listed: set[str]
) -> None:
    made = ada.change("POST", "model/transform", **form_of(task, **fields))

    found = ada.wait_ready("model", made)
    check_shape(found, MODEL)
    assert (found["state"], found["algorithm_id"]) == (3, task["algorithm_id"])
    assert set(ada.call("GET", "resource/listdir", file_id=made)) == listed


def test_a_model_outlives_the_results(ada: PublishedClient, task: dict[str, Any]) -> None:
    made = ada.change("POST", "model/transform", **form_of(task))
    again = ada.ask(
        "POST", "model/transform", **form_of(task), headers={"Idempotency-Key": "k1"}
    ).json()
    repeated = ada.ask(
        "POST", "model/transform", **form_of(task), headers={"Idempotency-Key": "k1"}
    ).json()
    assert again["data"] == repeated["data"] != made
    second = ada.call("GET", "model/list")

    assert {made, again["data"]} <= {one["id"] for one in second}


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"file_path": "../shim.json"}, 400),
        ({"file_path": "/etc/passwd"}, 400),
        ({"file_path": "way-out/passwd"}, 400),
        ({"file_path": "nothing"}, 400),
        ({"file_path": ""}, 400),
        ({"file_id": "FILE" + "0" * 28}, 404),
        ({"file_id": "DSET" + "0" * 28}, 404),
        ({"name": ""}, 400),
    ],
)
def test_what_is_no_result_is_refused(
    shared_engine: EngineHome,
    ada: PublishedClient,
    task: dict[str, Any],
    fields: dict[str, str],
    status: int,
) -> None:
    blobs = shared_engine.home.engine / "blobs"
    before = {path.name for path in blobs.iterdir()}

    ada.refused(status, "POST", "model/transform", **form_of(task, **fields))

    assert {path.name for path in blobs.iterdir()} == before


def test_results_of_a_task_that_runs_make_no_model(
    ada: PublishedClient, task: dict[str, Any], tmp_path: Path
) -> None:
    release = tmp_path / "release"
    running = ada.one("train_task/query", id=ada.change(
        "POST", "train_task/add", name="t", project_id=task["project_id"],
        algorithm_id=task["algorithm_id"], train_params="{}",
        entrypoint=f"until [ -e '{release}' ]; do sleep 0.05; done",
    ))  # fmt: skip

    said = ada.refused(409, "POST", "model/transform", **form_of(running))

    assert "has not ended" in said
    release.touch()
    assert ada.wait_end(running["id"])["state"] == 2
