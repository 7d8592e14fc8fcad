"""The engine as a plain gateway: nothing beyond the published API, and its quirks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from anylearn_jupyter.engine.routes import ROUTES, Route
from engine_home import EngineHome, own_engine
from published import TASK, Checkout, PublishedClient, check_shape
from waiting import wait_until

__all__ = ["own_engine"]

OURS = [route for route in ROUTES if route.is_own and not route.path.startswith("/api/engine/")]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineHome]:
    made = EngineHome(tmp_path_factory.mktemp("gateway") / "anylearn-home")
    made.start("--plain-gateway")
    made.add_user("ada", "lovelace")
    yield made
    made.stop("--tasks")
    made.wait_gone()


@pytest.fixture
def ada(gateway: EngineHome) -> PublishedClient:
    return PublishedClient.login(gateway.address, "ada", "lovelace")


def test_the_default_project_is_an_object_when_it_is_made_and_a_list_afterwards(
    gateway: EngineHome,
) -> None:
    gateway.add_user("bob", "battery")
    bob = PublishedClient.login(gateway.address, "bob", "battery")

    made = bob.call("GET", "project/default")
    again = bob.call("GET", "project/default")

    assert set(made) == {"data"}
    assert [one["id"] for one in again] == [made["data"]]


@pytest.mark.parametrize("route", OURS, ids=lambda route: route.path)
def test_nothing_of_ours_is_there(ada: PublishedClient, route: Route) -> None:
    answer = ada.ask(route.method, route.path.removeprefix("/api/"))
    assert answer.status_code == 404
    assert set(answer.json()) == {"msg"}


@pytest.mark.parametrize("kind", ["dataset", "model", "file", "algorithm", "project", "train_task"])
def test_an_id_that_does_not_exist_is_an_empty_list(ada: PublishedClient, kind: str) -> None:
    prefix = {"dataset": "DSET", "model": "MODE", "file": "FILE", "algorithm": "ALGO",
              "project": "PROJ", "train_task": "TRAI"}[kind]  # fmt: skip
    assert ada.call("GET", f"{kind}/query", id=prefix + "0" * 28) == []
    if kind not in ("file", "train_task"):
        assert ada.ask("GET", f"{kind}/query", fullname="ada/unknown").status_code == 404
    assert ada.ask("GET", "algorithm/custom", name="unknown").status_code == 404


def test_an_idempotency_key_means_nothing_and_names_are_not_unique(ada: PublishedClient) -> None:
    made = {
        ada.ask(
            "POST", "dataset/add", headers={"Idempotency-Key": "k"},
            name="n", description="", public=0, filename="n.zip",
        ).json()["data"]
        for _ in range(2)
    }  # fmt: skip
    assert len(made) == 2


def test_what_was_uploaded_is_processed_for_a_while(ada: PublishedClient) -> None:
    dataset = ada.add_dataset()
    ada.upload(dataset, b"x")
    assert ada.one("dataset/query", id=dataset)["state"] == 2
    assert ada.wait_ready("dataset", dataset)["state"] == 3

    compression = ada.call("POST", "resource/compression", file_id=dataset)["data"]
    form = {"file_id": dataset, "compression_id": compression}
    states = [ada.call("GET", "resource/compression", **form)[0]["state"] for _ in range(2)]
    assert states == [1, 2]
    # The other dialect: a form in the body of a GET.
    assert ada.call("GET", "resource/compression", form=form) == {"data": True}


def test_git_wants_a_name_and_a_password(
    gateway: EngineHome, ada: PublishedClient, tmp_path: Path
) -> None:
    ada.send_code("code", tmp_path / "code", {"train.py": "1"})
    address = ada.one("algorithm/query", id=ada.call("GET", "algorithm/custom", name="code")["id"])

    checkout = Checkout(tmp_path / "other")
    refused = checkout.git(
        "-c", f"http.extraHeader=Authorization: Bearer {ada.token}",
        "ls-remote", address["git_address"], check=False,
    )  # fmt: skip

    assert refused.returncode != 0


def test_a_task_is_on_its_way_for_a_while_and_has_published_keys_only(
    ada: PublishedClient, tmp_path: Path
) -> None:
    algorithm, commit = ada.send_code("waits", tmp_path / "code", {"train.py": "1"})
    release = tmp_path / "release"
    project = ada.change("POST", "project/add", name="p", description="", datasets="")
    made = ada.call(
        "POST", "train_task/add", name="t", project_id=project, algorithm_id=algorithm,
        algorithm_git_ref=commit, train_params="{}", interpreter="/no/such/python",
        entrypoint=f"until [ -e '{release}' ]; do sleep 0.05; done",
    )  # fmt: skip
    assert set(made) == {"data", "message"}
    task = made["data"]

    states = [ada.one("train_task/query", id=task)["state"] for _ in range(3)]
    assert states == [3, 5, 4]
    wait_until(
        lambda: ada.one("train_task/query", id=task)["state"] == 1, 20, "it is running at last"
    )
    release.touch()
    found = ada.wait_end(task)
    check_shape(found, TASK)
    assert found["state"] == 2
    assert not {"phase", "exit", "command", "created_ms"} & set(found)
    line = ada.call("GET", "train_task/logs", id=task)[0]
    after = {"index": line["offset"], "offset_index": line["offset_index"]}
    assert ada.call("GET", "train_task/logs", id=task, direction="back", **after) == []


def test_the_variable_makes_one_too(own_engine: EngineHome) -> None:
    own_engine.extra["ANYLEARN_ENGINE_PLAIN_GATEWAY"] = "1"
    own_engine.start()
    local = PublishedClient(own_engine.address, own_engine.token)
    assert local.ask("GET", "capabilities").status_code == 404
