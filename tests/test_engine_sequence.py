"""The whole of a published `quick_train`, request by request (HTTP API, section 13)."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engine_home import EngineHome, shared_engine
from published import (
    ALGORITHM,
    CHUNK_BYTES,
    MODEL,
    PROJECT,
    RESOURCE,
    TASK,
    Checkout,
    PublishedClient,
    check_shape,
)
from waiting import wait_until

__all__ = ["shared_engine"]

TRAIN = """
import argparse, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--dataset", nargs="*")
parser.add_argument("--lr", type=float)
options = parser.parse_args()
for path in options.dataset:
    print("data", sorted(os.listdir(path)), flush=True)
out = pathlib.Path("output")
out.mkdir(exist_ok=True)
(out / "model.txt").write_text(f"trained with {options.lr}")
print("done")
"""
CODE = {"train.py": TRAIN, "requirements.txt": ""}
GENERATIONS = ("0.16", "0.17", "0.18", "0.20")


@pytest.fixture(scope="module")
def ada(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("ada", "lovelace")
    return PublishedClient.login(shared_engine.address, "ada", "lovelace")


def zipped(files: dict[str, str]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return written.getvalue()


def find_or_add_algorithm(client: PublishedClient, name: str) -> str:
    """Steps c, d, e."""
    form = {
        "name": name, "description": "", "public": "0", "filename": f"{name}.zip", "tags": "",
        "mirror_id": client.mirror_id, "train_params": "null", "follows_anylearn_norm": "0",
    }  # fmt: skip
    found = client.ask("GET", "algorithm/custom", name=name)
    if found.status_code == 404:
        algorithm = client.change("POST", "algorithm/add", **form)
    else:
        check_shape(found.json(), ALGORITHM)
        algorithm = client.change("PUT", "algorithm/update", id=found.json()["id"], **form)
    check_shape(client.one("algorithm/query", id=algorithm), ALGORITHM)
    return algorithm


def send_by_git(client: PublishedClient, algorithm: str, checkout: Checkout) -> str:
    """Steps f and g; gives the commit."""
    commit = checkout.commit(CODE)
    checkout.push(client, client.one("algorithm/query", id=algorithm)["git_address"], "--force")
    assert client.call("POST", "resource/sync_finish", algorithm_id=algorithm, checkout_sha=commit)
    assert client.one("algorithm/query", id=algorithm)["state"] == 3
    return commit


def send_by_archive(client: PublishedClient, algorithm: str, generation: str) -> None:
    """Steps f and g without git."""
    root = "home/ada/project/" if generation in ("0.18", "0.20") else ""
    purge = {} if generation == "0.16" else {"purge": 1}
    client.upload(algorithm, zipped({root + name: text for name, text in CODE.items()}), **purge)
    assert client.wait_ready("algorithm", algorithm)["state"] == 3


def send_dataset(client: PublishedClient, generation: str, name: str) -> str:
    """Steps i, j, k; with 0.20 the caller has done it before."""
    if generation == "0.20":
        client.refused(404, "GET", "dataset/query", fullname=f"ada/{name}")
    dataset = client.add_dataset(name)
    archive = zipped({"a.csv": "1\n", "b.csv": "2\n"})
    client.call("PUT", "dataset/update", id=dataset, name=name,
                description="", public=0, filename="digits.zip")  # fmt: skip
    for number in range(len(archive) // CHUNK_BYTES + 1):
        client.send_chunk(dataset, number, archive)
    assert client.call("POST", "resource/upload_finish", file_id=dataset)
    found = client.wait_ready("dataset", dataset)
    check_shape(found, RESOURCE)
    assert found["state"] == 3
    return dataset


def find_project(client: PublishedClient, generation: str) -> str:
    """Step m."""
    if generation in ("0.16", "0.17"):
        return client.change("POST", "project/add", name="digits", description="", datasets="")
    found = client.call("GET", "project/default")
    assert isinstance(found, list)
    check_shape(found[0], PROJECT)
    project: str = found[0]["id"]
    return project


def add_task(client: PublishedClient, generation: str, **fields: Any) -> dict[str, Any]:
    """Steps n and o."""
    form: dict[str, Any] = {
        "name": "k3v9x2ab", "description": "", "train_params_prefix": "--",
        "train_params_delimeter": " ", "entrypoint": "python train.py", "output": "./output/",
        "mirror_id": client.mirror_id, "num_nodes": 1, "nproc_per_node": 1,
    }  # fmt: skip
    if generation in ("0.18", "0.20"):
        form["envs"] = ""
    if generation == "0.20":
        form |= {"is_local": "False", "sdk_version": "0.20.7"}
    task = client.change("POST", "train_task/add", **form | fields)
    found = client.one("train_task/query", id=task)
    check_shape(found, TASK)
    assert isinstance(json.loads(found["resource_request"]), list)
    return found


@pytest.mark.parametrize("transport", ["git", "archive"])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_published_quick_train_trains(
    ada: PublishedClient, tmp_path: Path, generation: str, transport: str
) -> None:
    (group,) = ada.call("GET", "quota_group/query", name="default")
    dataset = send_dataset(ada, generation, f"digits-{generation}-{transport}")
    assert ada.one("dataset/query", id=dataset)["state"] == 3
    algorithm = find_or_add_algorithm(ada, f"digits-{transport}")
    fields: dict[str, Any] = {}
    if transport == "git":
        fields["algorithm_git_ref"] = send_by_git(ada, algorithm, Checkout(tmp_path / "code"))
    else:
        send_by_archive(ada, algorithm, generation)
    project = find_project(ada, generation)

    task = add_task(
        ada, generation, project_id=project, algorithm_id=algorithm,
        train_params=json.dumps({"lr": 0.1, "dataset": [f'"${dataset}"']}),
        # 0.16 may name a file twice.
        files=f"{dataset},{dataset}" if generation == "0.16" else dataset,
        resources=json.dumps([{group["id"]: {"CPU": 1}}]), **fields,
    )  # fmt: skip

    path = "train_task/log" if generation == "0.16" else "train_task/logs"
    wait_until(lambda: ada.call("GET", path, id=task["id"]), 10, "it has a line at once")
    ended = ada.wait_end(task["id"])
    lines = [line["text"] for line in ada.call("GET", path, id=task["id"])[::-1]]
    assert ended["state"] == 2, lines
    assert lines == ["[Anylearn] task created", "data ['a.csv', 'b.csv']", "done"]
    if generation == "0.20":
        tag = ada.change(
            "POST", "train_task/tag", name=f"t-{transport}", color="#112233",
            text_color="#ffffff", project_id=project, description="",
        )  # fmt: skip
        assert ada.call("PATCH", "train_task/tags", tags=json.dumps({task["id"]: [tag]}))
        names = [one["name"] for one in ada.call("GET", "train_task/tags", project_id=project)]
        assert f"t-{transport}" in names


def test_the_next_task_trains_from_the_results_of_one_before(
    ada: PublishedClient, tmp_path: Path
) -> None:
    """Step l, and an algorithm by its id."""
    algorithm = find_or_add_algorithm(ada, "digits-next")
    commit = send_by_git(ada, algorithm, Checkout(tmp_path / "code"))
    project = ada.one("project/default")["id"]
    common = {"project_id": project, "algorithm_id": algorithm, "algorithm_git_ref": commit}
    first = add_task(ada, "0.17", train_params='{"dataset": [], "lr": 0.5}', **common)
    assert ada.wait_end(first["id"])["state"] == 2
    results = ada.one("file/query", id=first["results_id"])
    check_shape(results, RESOURCE)
    assert results["state"] == 3

    second = add_task(
        ada, "0.17", files=results["id"],
        train_params=json.dumps({"lr": 1, "dataset": [f'"${results["id"]}"']}), **common,
    )  # fmt: skip

    assert ada.wait_end(second["id"])["state"] == 2
    lines = [line["text"] for line in ada.call("GET", "train_task/logs", id=second["id"])]
    assert "data ['model.txt']" in lines


def test_a_model_is_added_and_mounted_like_a_dataset(ada: PublishedClient, tmp_path: Path) -> None:
    algorithm = find_or_add_algorithm(ada, "digits-model")
    commit = send_by_git(ada, algorithm, Checkout(tmp_path / "code"))
    model = ada.change(
        "POST", "model/add", name="weights", description="", public=0, filename="weights.zip",
        algorithm_id=algorithm,
    )  # fmt: skip
    ada.upload(model, zipped({"weights.bin": "w"}))
    found = ada.wait_ready("model", model)
    check_shape(found, MODEL)
    assert (found["state"], found["algorithm_id"]) == (3, algorithm)

    task = add_task(
        ada, "0.17", project_id=ada.one("project/default")["id"], algorithm_id=algorithm,
        algorithm_git_ref=commit, files=model, entrypoint=f'ls "${model}"; true',
        train_params=json.dumps({"model": [f'"${model}"']}),
    )  # fmt: skip

    assert ada.wait_end(task["id"])["state"] == 2
    lines = [line["text"] for line in ada.call("GET", "train_task/logs", id=task["id"])]
    assert "weights.bin" in lines
