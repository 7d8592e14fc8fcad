"""Mistakes of the published client that are not carried over, and have no other place for a test.

docs/compatibility.md lists all of them with their tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.client.connection import current_connection, disconnect
from anylearn_jupyter.errors import AnylearnError, NotFound, ServerError, ServerUnreachable
from anylearn_jupyter.submit import destination
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.progress import SilentProgress
from anylearn_jupyter.submit.projects import find_project
from anylearn_jupyter.submit.request import DataInput, InputKind, TrainRequest
from faulty_server import FaultyServer, Request, faulty_server
from scripted_api import Cut, Routes, answering, connection_to, scripted

NOTHING = (404, {"msg": "no such thing"})
DATASET = {"id": "DSET1", "name": "d", "state": 3}
GROUP = {
    "id": "QGRP1", "name": "lab", "level": "Guarantee", "node_level": "",
    "capacity": {"CPU": 8}, "default": {"CPU": 1}, "allocated": {},
}  # fmt: skip
TASK = {"id": "TRAI1", "name": "t", "state": 2, "secret_key": "S", "results_id": "FILE1"}
LOOK_UPS: Routes = {
    "GET mirror/list": [{"id": "MIRR1", "name": "QUICKSTART"}],
    "GET quota_group/list": [GROUP],
    "GET algorithm/custom": NOTHING,
    "GET project/query": NOTHING,
    "GET project/list": [],
    "GET dataset/list": [],
    "GET dataset/query": [DATASET],
    "GET model/query": [{**DATASET, "id": "MODE1"}],
    "GET train_task/query": [TASK],
    "GET file/query": [{**DATASET, "id": "FILE1"}],
}
"""Each look-up of a first submission with everything in it, and a good answer to it."""


def cut(request: Request) -> None:
    raise Cut


@contextmanager
def server_of(routes: Routes, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """Make a scripted server this process's, which is asked once and not again."""
    disconnect()
    me = {"GET user/me": {"id": "USER1", "username": "ada"}}
    with faulty_server(answering({**me, **routes})) as server:
        monkeypatch.setenv("ANYLEARN_HOST", server.address)
        monkeypatch.setenv("ANYLEARN_AUTH_TOKEN", "token")
        current_connection().api.http.attempts = 1
        yield server
        disconnect()


def request_of(tmp_path: Path) -> TrainRequest:
    project = tmp_path / "project"
    (project / "numbers").mkdir(parents=True)
    (project / "numbers" / "a.txt").write_text("1\n", encoding="utf-8")
    (project / "train.py").write_text("print(1)\n", encoding="utf-8")
    return TrainRequest(
        entrypoint="python train.py",
        algorithm_dir=project,
        project_name="p",
        quota_group="lab",
        quota_request=(("CPU", 1),),
        data=(
            DataInput("data", path=project / "numbers"),
            DataInput("more", id="DSET1"),
            DataInput("model", kind=InputKind.MODEL, id="MODE1"),
            DataInput("pretrain", kind=InputKind.TASK, id="TRAI1"),
        ),
        working_dir=project,
    )


@pytest.mark.parametrize(
    "failure", [(403, {"msg": "no"}), (500, {}), cut], ids=["403", "500", "cut"]
)
@pytest.mark.parametrize("look_up", LOOK_UPS)
def test_a_look_up_that_fails_is_no_reason_to_create(
    look_up: str, failure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server_of({**LOOK_UPS, look_up: failure}, monkeypatch) as server:
        with pytest.raises(AnylearnError) as caught:
            submit(request_of(tmp_path))
        assert not isinstance(caught.value, NotFound)
        asked = server.paths()
        assert look_up.replace(" ", " /api/") in asked
        assert [path for path in asked if not path.startswith("GET ")] == []


def test_a_project_of_somebody_else_is_no_default_one(tmp_path: Path) -> None:
    project = {"id": "PROJ1", "name": "notebook-a1b2c3", "creator_id": "USER2"}
    for owner, found in (("USER2", None), ("USER1", "PROJ1")):
        listed = [{**project, "creator_id": owner}]
        with scripted({"GET project/list": listed}) as (api, _), Ledger() as ledger:
            place = Destination(connection_to(api), ledger, SilentProgress())
            request = TrainRequest(entrypoint="true", algorithm_dir=tmp_path)
            one = find_project(request, place)
            assert (one.id if one else None) == found


@pytest.mark.parametrize(
    ("state", "words"),
    [(2, r"not done with the data \(DSET1\) after 0.1 s"), (-2, "could not take")],
)
def test_a_wait_for_what_is_processed_has_an_end(
    state: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destination, "READY_TIMEOUT_S", 0.1)
    routes = {"GET dataset/query": [{**DATASET, "state": state}]}
    with scripted(routes) as (api, _), Ledger() as ledger:
        place = Destination(connection_to(api), ledger, SilentProgress(), 0.02)
        with pytest.raises(ServerError if state < 0 else ServerUnreachable, match=words):
            place.wait_ready(api.dataset, "DSET1", "the data")
