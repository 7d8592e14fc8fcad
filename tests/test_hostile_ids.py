"""An id is a server's word, and any text; none of them becomes a path (faults E17)."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anylearn_jupyter.client.connection import disconnect
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.objects.transfers import SyncResourceDownloader
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.task_record import TaskRecord
from faulty_server import faulty_server, reply
from scripted_api import Routes, answering

IDS = (
    *("..", "../../evil", "/evil", "a/b", "%2e%2e%2fevil", "x" * 300, "nul\n", "~"),
    *("TRAI1/../../evil", "\u202eTRAI"),
)


@pytest.mark.parametrize("task_id", IDS)
def test_results_of_a_task_of_any_id_land_below_the_home(
    task_id: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("model.bin", b"model")
    routes: Routes = {
        "GET user/me": {"id": "USER1", "username": "ada"},
        "POST resource/compression": {"data": "COMP1"},
        "GET train_task/query": [{"id": task_id, "state": 2, "results_id": "FILE1"}],
        "GET resource/compression": {"data": True},
        "GET resource/download": reply(packed.getvalue()),
    }
    with faulty_server(answering(routes)) as server:
        monkeypatch.setenv("ANYLEARN_HOST", server.address)
        monkeypatch.setenv("ANYLEARN_AUTH_TOKEN", "t")
        record = TaskRecord(id=task_id, name="t", server=server.address, state=2)
        task = TrainTask(record)
        folder = task.results(wait=False)
        disconnect()
    assert folder.parent == home / "results"
    assert (folder / "model.bin").read_bytes() == b"model"
    places = {path for path in tmp_path.rglob("*") if path.is_file() and "model" in path.name}
    assert places == {folder / "model.bin"}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=st.text(max_size=120), other=st.text(max_size=120))
def test_two_ids_have_two_directories_that_are_plain_names(one: str, other: str) -> None:
    results = Home(Path("/home-of-test"))
    places = [results.results_of(text) for text in (one, other)]
    assert all(place.parent == results.results for place in places)
    assert all(place.name.isascii() and not place.name.startswith(".") for place in places)
    assert (places[0] == places[1]) == (one == other)


@pytest.mark.parametrize("task_id", IDS)
def test_the_ledger_finds_any_id_again(task_id: str) -> None:
    with Ledger() as ledger:
        ledger.record_task(TaskRecord(id=task_id, name="t", server="s", state=2))
        found = ledger.task(task_id)
        assert found is not None
        assert found.id == task_id


@pytest.mark.parametrize("file_id", IDS)
def test_an_archive_of_any_id_lands_in_the_directory_that_was_asked_for(
    file_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes: Routes = {
        "GET user/me": {"id": "USER1", "username": "ada"},
        "POST resource/compression": {"data": "COMP1"},
        "GET resource/compression": {"data": True},
        "GET resource/download": reply(b"an archive"),
    }
    target = tmp_path / "deep" / "target"
    with faulty_server(answering(routes)) as server:
        monkeypatch.setenv("ANYLEARN_HOST", server.address)
        monkeypatch.setenv("ANYLEARN_AUTH_TOKEN", "t")
        disconnect()
        name = SyncResourceDownloader().run(file_id, str(target))
        disconnect()
    assert (target / name).read_bytes() == b"an archive"
    assert [path for path in tmp_path.rglob("*.zip") if path.parent != target] == []
