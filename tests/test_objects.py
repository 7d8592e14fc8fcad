"""The published objects, every class and method, against a real engine."""

from __future__ import annotations

import gc
import json
import os
import tracemalloc
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter import (
    Algorithm,
    AnylearnError,
    AsyncResourceDownloader,
    AsyncResourceUploader,
    Dataset,
    File,
    Mirror,
    Model,
    Project,
    QuotaGroup,
    ResourceDownloader,
    ResourceState,
    ResourceUploader,
    SyncResourceDownloader,
    SyncResourceUploader,
    connect,
    disconnect,
    get_dataset,
    get_model,
    get_task_output,
    quick_train,
)
from anylearn_jupyter.client.chunks import CHUNK_BYTES, FileChunks
from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.errors import ConfigError, DataError, NotFound, OptionError, ServerError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.objects.resource import Resource
from engine_home import EngineHome, shared_engine

__all__ = ["shared_engine"]

KINDS: list[type[Resource]] = [Algorithm, Dataset, File, Model]
LISTING: dict[str, Any] = {
    "a.txt": {"name": "a.txt", "type": "file"},
    "deep": {"name": "deep", "type": "dir", "child": {"b.txt": {"name": "b.txt", "type": "file"}}},
}


@pytest.fixture(autouse=True)
def connected(
    home: Path, shared_engine: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Use the module's engine, in its home."""
    monkeypatch.setenv("ANYLEARN_HOME", str(shared_engine.home.root))
    disconnect()
    connect("local")
    yield
    disconnect()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "data.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("a.txt", "A")
        opened.writestr("deep/b.txt", "B")
    return path


def made(name: str, **fields: Any) -> Dataset:
    dataset = Dataset(name=name, **fields)
    assert dataset.save() is True
    return dataset


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_kind_is_registered_read_changed_listed_and_deleted(kind: type[Resource]) -> None:
    thing = kind(name="one", description="first")
    assert thing.id is None
    assert thing.save() is True
    assert thing.id is not None
    same = kind(id=thing.id, load_detail=True)
    assert (same.name, same.description, same.public) == ("one", "first", False)
    assert same.state == ResourceState.CREATED
    assert same.filename == "one.zip"
    assert same.creator_id == current_connection().user_id
    assert same.upload_time
    same.description, same.public = "second", True
    assert same.save() is True
    thing.get_detail()
    assert (thing.description, thing.public) == ("second", True)
    assert thing == same
    assert thing.id in [one.id for one in kind.get_list()]
    assert all(type(one) is kind for one in kind.get_list())
    assert thing.delete(force=True) is True
    assert thing.id not in [one.id for one in kind.get_list()]
    with pytest.raises(NotFound):
        thing.get_detail()
    with pytest.raises(NotFound):
        thing.delete()


@pytest.mark.parametrize("kind", [*KINDS, Project], ids=lambda kind: kind.__name__)
def test_what_is_missing_is_named(kind: type[Resource] | type[Project]) -> None:
    with pytest.raises(OptionError, match=rf"{kind.__name__}\.name is not set"):
        kind().save()
    for call in (kind().get_detail, kind().delete):
        with pytest.raises(OptionError, match=rf"{kind.__name__}\.id is not set"):
            call()


def test_a_save_that_got_no_answer_is_looked_up_before_it_is_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    http = current_connection().api.http
    post = type(http).post

    def lost(self: object, path: str, *words: Any, **options: Any) -> Any:
        post(http, path, *words, **options)
        raise AnylearnError("the kernel was killed here")

    with monkeypatch.context() as patch:
        patch.setattr(type(http), "post", lost)
        with pytest.raises(AnylearnError, match="killed here"):
            made("lost")
    before = [one.id for one in Dataset.get_list() if one.name == "lost"]
    assert len(before) == 1
    assert made("lost").id == before[0]
    assert made("lost").id != before[0]  # that one was settled


def test_content_goes_up_and_comes_down(archive: Path, tmp_path: Path) -> None:
    dataset = made("digits")
    assert dataset.upload(archive) is True
    assert dataset.state == ResourceState.READY
    assert dataset.filename == "data.zip"
    assert dataset.is_zipfile
    assert Dataset.list_dir(str(dataset.id)) == dataset.ls() == LISTING
    name = Dataset.download_file(str(dataset.id), tmp_path / "down", polling=1)
    assert name == f"{dataset.id}.zip"
    with zipfile.ZipFile(tmp_path / "down" / name) as opened:
        assert f"{dataset.id}/a.txt" in opened.namelist()
    folder = dataset.download(tmp_path / "files")
    assert folder == str(tmp_path / "files" / str(dataset.id))
    assert (Path(folder) / "deep" / "b.txt").read_text() == "B"
    part = Path(dataset.download(dest_dir=tmp_path / "part", sub_path="deep"))
    assert [path.name for path in part.rglob("*") if path.is_file()] == ["b.txt"]
    assert dataset.ls("deep") == LISTING["deep"]["child"]
    here = dataset.download()
    assert here == str(Home().results / str(dataset.id))
    assert Path(here, "a.txt").read_text() == "A"


def test_content_is_replaced(archive: Path, tmp_path: Path) -> None:
    dataset = made("twice")
    dataset.upload(str(archive))
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as opened:
        opened.writestr("c.txt", "C")
    assert Dataset.upload_file(str(dataset.id), other, purge=True) is True
    assert list(dataset.ls()) == ["c.txt"]


def test_what_cannot_be_sent_is_refused_before_anything_is(tmp_path: Path, archive: Path) -> None:
    dataset = made("refused")
    for path, words in ((tmp_path / "none.zip", "does not exist"), (tmp_path, "is a directory")):
        with pytest.raises(OptionError, match=words):
            dataset.upload(path)
    with pytest.raises(OptionError, match="chunk_size=0"):
        dataset.upload(archive, chunk_size=0)
    broken = tmp_path / "broken.zip"
    with zipfile.ZipFile(broken, "w") as opened:
        opened.writestr("../out.txt", "x")
    with pytest.raises(ServerError, match="could not take the file"):
        dataset.upload(broken)


def test_a_strategy_of_ones_own_gets_a_list_and_sends(archive: Path, tmp_path: Path) -> None:
    seen: list[object] = []

    class Counting(ResourceUploader):
        def run(self, resource_id: str, chunks: Sequence[bytes]) -> bool:
            seen.extend([resource_id, len(chunks), chunks[0][:2], chunks[-1] == chunks[0]])
            SyncResourceUploader().run(resource_id, chunks)
            return True

    class Fetching(ResourceDownloader):
        def run(self, *, resource_id: str, polling: float, save_path: str | None = None) -> str:
            return f"{resource_id} {polling} {save_path}"

    dataset = made("own way")
    assert dataset.upload(archive, uploader=Counting())
    assert seen == [dataset.id, 1, b"PK", True]
    found = Dataset.download_file(str(dataset.id), "there", polling=2, downloader=Fetching())
    assert found == f"{dataset.id} 2 there"


def test_quick_train_gives_a_strategy_a_list_too(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "go.py").write_text("print('went')", encoding="utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "noise.bin").write_bytes(os.urandom(CHUNK_BYTES * 2))
    counts = []

    class Counting(ResourceUploader):
        def run(self, resource_id: str, chunks: Sequence[bytes]) -> None:
            counts.append((len(chunks), sum(len(chunk) for chunk in chunks)))
            AsyncResourceUploader().run(resource_id, chunks)

    task, algorithm, (dataset,), project = quick_train(
        algorithm_dir=tmp_path / "code",
        entrypoint="python go.py",
        dataset_dir=tmp_path / "data",
        resource_uploader=Counting(),
    )
    assert counts[0][0] == 3
    assert counts[0][1] > CHUNK_BYTES * 2
    assert dataset.ls() == {"noise.bin": {"name": "noise.bin", "type": "file"}}
    assert (type(algorithm), type(dataset), type(project)) == (Algorithm, Dataset, Project)
    assert algorithm.state == dataset.state == ResourceState.READY
    assert (algorithm.id, project.id) == (task.algorithm_id, task.project_id)
    # The fingerprint's mark is not the user's text, and is kept when that is changed.
    assert dataset.description == "data"
    dataset.description = "changed"
    dataset.save()
    dataset.get_detail()
    assert dataset.description == "changed"
    raw = current_connection().api.dataset(str(dataset.id)).description
    assert raw.startswith("changed [anylearn:fp1:")
    task.wait()


def test_chunks_at_once_arrive_whole_and_are_counted(tmp_path: Path) -> None:
    content = tmp_path / "noise.zip"
    with zipfile.ZipFile(content, "w") as opened:
        opened.writestr("noise.bin", os.urandom(CHUNK_BYTES * 5))
    told: list[tuple[int, ...]] = []
    uploader = AsyncResourceUploader(
        on_start=lambda total: told.append((total,)),
        on_progress=lambda done, total: told.append((done, total)),
    )
    dataset = made("at once")
    assert dataset.upload(content, uploader=uploader)
    assert told == [(6,), *[(done, 6) for done in range(1, 7)]]
    AsyncResourceDownloader().run(str(dataset.id), save_path=str(tmp_path / "down"))
    (name,) = AsyncResourceDownloader().run(str(dataset.id), save_path=str(tmp_path / "down"))
    with zipfile.ZipFile(content) as sent, zipfile.ZipFile(tmp_path / "down" / name) as came:
        assert sent.read("noise.bin") == came.read(f"{dataset.id}/noise.bin")


@pytest.mark.parametrize("uploader", [SyncResourceUploader, AsyncResourceUploader])
def test_a_failed_chunk_ends_the_upload_at_once(archive: Path, uploader: Any) -> None:
    with pytest.raises(NotFound):
        uploader().run("DSET" + "0" * 28, FileChunks(archive, 100))


def test_a_download_that_cannot_be_written_says_so(tmp_path: Path, archive: Path) -> None:
    dataset = made("no place")
    dataset.upload(archive)
    with pytest.raises(ConfigError, match="Cannot write to"):
        SyncResourceDownloader().run(str(dataset.id), save_path=str(archive / "below"))


def test_chunks_of_a_file_are_read_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "content"
    path.write_bytes(bytes(range(250)) * 80_000)  # 20 MB
    chunks = FileChunks(path, 1_000_000)
    assert len(chunks) == 21
    assert [len(chunks[-1]), len(chunks[-2]), len(chunks[0])] == [0, 1_000_000, 1_000_000]
    assert chunks[1:3] == [chunks[1], chunks[2]]
    with pytest.raises(IndexError):
        _ = chunks[21]
    gc.collect()
    tracemalloc.start()
    try:
        assert sum(len(chunk) for chunk in chunks) == 20_000_000
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()
    path.write_bytes(b"short")
    with pytest.raises(DataError, match="changed while"):
        _ = chunks[3]
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        _ = chunks[0]


def test_algorithms_tell_what_they_declare() -> None:
    algorithm = Algorithm(
        name="declares",
        train_params=json.dumps([{"name": "lr", "default": 0.1}, {"name": "epochs"}]),
        tags="a,b",
        follows_anylearn_norm=False,
    )
    assert algorithm.default_train_params == {"lr": 0.1}
    assert algorithm.required_train_params == [{"name": "epochs"}]
    algorithm.save()
    found = Algorithm.get_user_custom_algorithm_by_name("declares")
    assert found.id == algorithm.id
    assert found.train_params == [{"name": "lr", "default": 0.1}, {"name": "epochs"}]
    assert (found.tags, found.follows_anylearn_norm) == ("a,b", False)
    assert found.git_address
    found.train_params = [{"name": "x"}]
    found.save()
    assert Algorithm(id=found.id, load_detail=True).train_params == [{"name": "x"}]
    with pytest.raises(NotFound, match="no algorithm 'nothing' of yours"):
        Algorithm.get_user_custom_algorithm_by_name("nothing")
    with pytest.raises(ServerError):
        found.sync_finish("0" * 40)
    with pytest.raises(OptionError, match="checkout_sha"):
        found.sync_finish()


@pytest.mark.parametrize("given", [None, "", "null", "[]", []])
def test_an_algorithm_may_declare_nothing(given: Any) -> None:
    algorithm = Algorithm(train_params=given)
    assert not algorithm.train_params
    assert (algorithm.default_train_params, algorithm.required_train_params) == ({}, [])


@pytest.mark.parametrize("given", ["no json", "{}", "[1]", '[{"default": 1}]'])
def test_declared_parameters_that_are_none(given: str) -> None:
    with pytest.raises(OptionError, match="train_params="):
        Algorithm(train_params=given)


def test_code_can_be_sent_as_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "code.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("train.py", "print(1)")
        opened.writestr("requirements.txt", "")
    algorithm = Algorithm(name="zipped")
    algorithm.save()
    assert algorithm.mirror_id == next(one.id for one in Mirror.get_list())
    assert algorithm.upload(path, purge=True)
    assert algorithm.state == ResourceState.READY


def test_things_are_found_by_their_full_name(archive: Path) -> None:
    user = current_connection().username
    dataset = made("by name")
    dataset.upload(archive)
    found = get_dataset(f"{user}/by name")
    assert (type(found), found.id) == (Dataset, dataset.id)
    assert found.ls() == LISTING
    model = Model(name="named")
    model.save()
    assert get_model(f"{user}/named").id == model.id
    with pytest.raises(NotFound):
        get_dataset(f"{user}/nothing")
    with pytest.raises(NotFound):
        get_task_output("TRAI" + "0" * 28)


def test_models_belong_to_an_algorithm(archive: Path) -> None:
    algorithm = Algorithm(name="of-models")
    algorithm.save()
    model = Model(name="weights", algorithm_id=algorithm.id)
    model.save()
    assert model.upload(archive)
    assert Model(id=model.id, load_detail=True).algorithm_id == algorithm.id


def test_projects() -> None:
    project = Project(name="digits", description="first", datasets=["DSET" + "0" * 28])
    assert project.save() is True
    found = Project(id=project.id, load_detail=True)
    assert (found.name, found.description) == ("digits", "first")
    assert found.datasets == ["DSET" + "0" * 28]
    assert found.creator_id == current_connection().user_id
    assert found.create_time
    found.description = "second"
    assert found.save() is True
    assert [one.description for one in Project.get_list() if one.id == project.id] == ["second"]
    assert project.get_train_tasks() == []
    assert project.delete(force=True) is True
    assert project.id not in [one.id for one in Project.get_list()]
    default = Project.get_my_default_project()
    assert default.name
    assert Project.create_my_default_project().id == default.id


def test_a_server_without_default_projects_gets_one_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(current_connection().api), "default_project", lambda self: None)
    with pytest.raises(NotFound, match="create_my_default_project"):
        Project.get_my_default_project()
    project = Project.create_my_default_project()
    assert project.name is not None
    assert project.name.startswith("notebook-")
    assert project.create_time


def test_groups_and_mirrors() -> None:
    groups = {group.name: group for group in QuotaGroup.get_list()}
    group = groups["default"]
    assert group.capacity["CPU"] >= group.available()["CPU"] >= 0
    assert QuotaGroup(id=group.id, load_detail=True).capacity == group.capacity
    assert QuotaGroup(name="default", load_detail=True).id == group.id
    with pytest.raises(NotFound, match="no quota group 'none'"):
        QuotaGroup(name="none", load_detail=True)
    with pytest.raises(OptionError, match=r"QuotaGroup\.id"):
        QuotaGroup().get_detail()
    assert QuotaGroup(capacity={"CPU": 4, "GPU": 1}, allocated={"CPU": 3}).available() == {
        "CPU": 1,
        "GPU": 1,
    }
    assert "QUICKSTART" in [mirror.name for mirror in Mirror.get_list()]


def test_objects_stay_with_their_server(shared_engine: EngineHome) -> None:
    made("here")
    dataset = Dataset.get_list()[0]
    shared_engine.add_user("ada", "lovelace")
    connect(shared_engine.address, username="ada", password="lovelace")
    dataset.get_detail()
    assert dataset.id not in [one.id for one in Dataset.get_list()]
    assert "server" not in repr(dataset)


def test_what_is_created_is_in_the_ledger_before_it_is_sent(shared_engine: EngineHome) -> None:
    dataset = made("in the ledger")
    with Ledger(Home(shared_engine.home.root)) as ledger, ledger._connection() as connection:
        rows = connection.execute(
            "SELECT kind, made FROM submission WHERE subject = 'save in the ledger'"
        ).fetchall()
    assert [tuple(row) for row in rows] == [("dataset", dataset.id)]
