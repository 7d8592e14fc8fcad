"""Everything that a training may read or ask for, through `quick_train`, on a real engine."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.client.connection import current_connection, disconnect
from anylearn_jupyter.errors import DataError, NotFound, OptionError, ServerError
from anylearn_jupyter.submit.fingerprint import fingerprint
from anylearn_jupyter.submit.published import quick_train
from anylearn_jupyter.submit.ready_archive import read_archive
from anylearn_jupyter.submit.task import TrainTask
from conftest import engine_command
from waiting import wait_until

SCRIPT = """
import json, os, sys
from pathlib import Path

print(json.dumps(sys.argv[1:]))
for word in sys.argv[1:]:
    if os.path.isdir(word):
        for path in sorted(Path(word).rglob("*")):
            if path.is_file():
                print("read", path.relative_to(word).as_posix(), path.read_text())
output = Path(os.environ["ANYLEARN_TASK_OUTPUT_PATH"])
output.mkdir()
(output / "weights.txt").write_text("w")
if "wait" in sys.argv:
    sys.stdin.close()
    while not os.path.exists(os.environ["STOP_FILE"]):
        __import__("time").sleep(0.02)
"""


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    disconnect()
    yield
    disconnect()
    engine_command("stop", "--tasks", check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "do.py").write_text(SCRIPT, encoding="utf-8")
    return directory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    directory = tmp_path / "folder"
    (directory / "deep").mkdir(parents=True)
    (directory / "a.txt").write_text("A", encoding="utf-8")
    (directory / "deep" / "b.txt").write_text("B", encoding="utf-8")
    return directory


def trained(project: Path, **options: Any) -> TrainTask:
    task, *_ = quick_train(algorithm_dir=project, entrypoint="python do.py", **options)
    assert task.wait().phase == "succeeded", task.log_text()
    return task


def arguments(task: TrainTask) -> list[str]:
    found: list[str] = json.loads(task.log_text().splitlines()[0])
    return found


def test_a_local_model_is_registered_with_the_algorithm_and_mounted(
    project: Path, folder: Path
) -> None:
    task = trained(project, model_dir=folder)
    assert arguments(task)[0] == "--model"
    assert "read deep/b.txt B" in task.log_text()
    api = current_connection().api
    (model,) = api.models()
    before = api.counters()["upload_bytes"]
    again = trained(project, model_dir=folder, model_hyperparam_name="weights")
    assert arguments(again)[0] == "--weights"
    assert api.counters()["upload_bytes"] == before
    by_id = trained(project, model_id=model.id)
    assert "read a.txt A" in by_id.log_text()


def test_a_dataset_and_a_model_of_one_content_are_two_things(project: Path, folder: Path) -> None:
    task = trained(project, dataset_dir=folder, model_dir=folder)
    assert arguments(task)[::2] == ["--dataset", "--model"]
    api = current_connection().api
    assert (len(api.datasets()), len(api.models())) == (1, 1)


def test_results_of_earlier_tasks_are_mounted(project: Path) -> None:
    first, second = trained(project), trained(project)
    task = trained(project, pretrain_task_id=[first.id, second.id])
    assert arguments(task)[0] == "--pretrain"
    assert task.log_text().count("read weights.txt w") == 2


def test_results_of_a_task_that_has_not_ended_are_refused_by_name(
    project: Path, tmp_path: Path
) -> None:
    stop = tmp_path / "stop"
    running, *_ = quick_train(
        algorithm_dir=project, entrypoint="python do.py wait", envs={"STOP_FILE": str(stop)}
    )
    wait_until(lambda: running.log_text(), 20, "the task's first line")
    with pytest.raises(ServerError, match=f"results of the task {running.id}"):
        quick_train(algorithm_dir=project, entrypoint="python do.py", pretrain_task_id=running.id)
    stop.touch()
    running.wait()


def test_an_archive_is_the_same_data_as_the_folder_that_it_holds(
    project: Path, folder: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "data.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name in ("deep/b.txt", "a.txt"):
            opened.write(folder / name, name)
    assert read_archive(archive).value == fingerprint(folder).value
    task = trained(project, dataset_archive=archive)
    assert "read deep/b.txt B" in task.log_text()
    api = current_connection().api
    before = api.counters()["upload_bytes"]
    trained(project, dataset_dir=folder)
    assert api.counters()["upload_bytes"] == before


def test_a_name_gains_a_version_and_the_one_before_is_trained_by_its_ref(project: Path) -> None:
    first, algorithm, *_ = quick_train(
        algorithm_dir=project, algorithm_name="mine", entrypoint="python do.py one"
    )
    first.wait()
    (project / "do.py").write_text("print('edited')", encoding="utf-8")
    second, same, *_ = quick_train(
        algorithm_dir=project, algorithm_name="mine", entrypoint="python do.py two"
    )
    assert (same.id, same.name) == (algorithm.id, "mine")
    second.wait()
    assert second.log_text() == "edited\n"
    assert second.algorithm_git_ref != first.algorithm_git_ref

    for named in ({"algorithm_id": algorithm.id}, {"algorithm_dir": project}):
        options: dict[str, Any] = {**named, "algorithm_name": "mine"}
        if "algorithm_id" in named:
            del options["algorithm_name"]
        older, *_ = quick_train(
            **options, algorithm_git_ref=first.algorithm_git_ref, entrypoint="python do.py three"
        )
        older.wait()
        assert arguments(older) == ["three"]


def test_a_ready_archive_is_a_model(project: Path, folder: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    task = trained(project, model_archive=archive)
    assert arguments(task)[0] == "--model"
    assert "read deep/b.txt B" in task.log_text()


def test_archives_that_cannot_be_sent(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_archive(tmp_path / "missing.zip")
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as opened:
        opened.writestr("../up.txt", "x")
    with pytest.raises(DataError, match=r"no server unpacks its entry '\.\./up\.txt'"):
        read_archive(bad)
    damaged = tmp_path / "damaged.zip"
    with zipfile.ZipFile(damaged, "w") as opened:
        opened.writestr("a.txt", "x" * 100)
    damaged.write_bytes(damaged.read_bytes().replace(b"xxxx", b"xyxx", 1))
    with pytest.raises(DataError, match="damaged"):
        read_archive(damaged)
    other = tmp_path / "data.tar.gz"
    other.write_bytes(b"not a zip at all")
    assert read_archive(other).value.startswith("fp1:")
    assert read_archive(other).value != fingerprint(other).value


def test_full_names_are_there_without_a_parameter(project: Path, folder: Path) -> None:
    trained(project, dataset_dir=folder)
    connection = current_connection()
    (dataset,) = connection.api.datasets()
    fullname = f"{connection.username}/{dataset.name}"
    task, _, datasets, _ = quick_train(
        algorithm_local_dir=project,
        algorithm_entrypoint=f"python do.py && ls ${dataset.id}",
        dataset_cloud_names=[fullname],
    )
    task.wait()
    assert arguments(task) == []
    assert task.log_text().splitlines()[1:] == ["a.txt", "deep"]
    assert [one.id for one in datasets] == [dataset.id]
    with pytest.raises(NotFound, match="nobody/nothing"):
        quick_train(
            algorithm_dir=project, entrypoint="true", dataset_cloud_names=["nobody/nothing"]
        )


def test_code_by_id_and_by_full_name(project: Path) -> None:
    task, algorithm, *_ = quick_train(algorithm_dir=project, entrypoint="python do.py one")
    task.wait()
    connection = current_connection()
    by_id, *_ = quick_train(algorithm_id=algorithm.id, entrypoint="python do.py two")
    by_id.wait()
    assert arguments(by_id) == ["two"]
    fullname = f"{connection.username}/{algorithm.name}"
    by_name, *_ = quick_train(algorithm_cloud_name=fullname, entrypoint="python do.py three")
    by_name.wait()
    assert arguments(by_name) == ["three"]
    with pytest.raises(NotFound):
        quick_train(algorithm_id="ALGO" + "0" * 28, entrypoint="true")


def test_the_callers_own_uploader_sends_in_its_own_order(project: Path, folder: Path) -> None:
    (folder / "big.bin").write_bytes(bytes(range(256)) * 20_000)
    (folder / "noise.bin").write_bytes(os.urandom(5_000_000))

    class Backwards:
        sent = 0

        def run(self, resource_id: str, chunks: Iterable[bytes]) -> bool:
            api = current_connection().api
            for number, chunk in reversed(list(enumerate(chunks))):
                api.upload_chunk(resource_id, number, chunk)
                self.sent += 1
            return True

    uploader = Backwards()
    (project / "digest.py").write_text(
        "import hashlib, sys, pathlib\n"
        "data = pathlib.Path(sys.argv[2], 'noise.bin').read_bytes()\n"
        "print(hashlib.sha256(data).hexdigest())\n",
        encoding="utf-8",
    )
    task, *_ = quick_train(
        algorithm_dir=project,
        entrypoint="python digest.py",
        dataset_dir=folder,
        resource_uploader=uploader,
    )
    assert task.wait().phase == "succeeded"
    expected = hashlib.sha256((folder / "noise.bin").read_bytes()).hexdigest()
    assert task.log_text() == f"{expected}\n"
    assert uploader.sent > 2

    class Broken:
        def run(self, resource_id: str, chunks: Iterable[bytes]) -> None:
            raise RuntimeError("no line to the server")

    (folder / "new.txt").write_text("new", encoding="utf-8")
    with pytest.raises(RuntimeError, match="no line to the server"):
        quick_train(
            algorithm_dir=project, entrypoint="true", dataset_dir=folder,
            resource_uploader=Broken(),
        )  # fmt: skip
    with pytest.raises(OptionError, match="without a method run"):
        quick_train(algorithm_dir=project, entrypoint="true", resource_uploader=3)


def test_resources_are_asked_for_in_both_forms(project: Path) -> None:
    asked = trained(project, quota_group_name="default", quota_group_request={"CPU": 1})
    (found,) = current_connection().api.http.get("train_task/query", {"id": asked.id})
    assert json.loads(found["resource_request"]) == [{"default": {"CPU": 1}}]
    alone = trained(project, quota_group_request={"CPU": 1})
    (found,) = current_connection().api.http.get("train_task/query", {"id": alone.id})
    assert json.loads(found["resource_request"]) == [{"default": {"CPU": 1}}]
    with pytest.warns(DeprecationWarning, match="quota_group_name"):
        older = trained(project, resource_request=[{"default": {"CPU": 1}}])
    (found,) = current_connection().api.http.get("train_task/query", {"id": older.id})
    assert json.loads(found["resource_request"]) == [{"default": {"CPU": 1}}]
    with pytest.raises(OptionError, match=r"'lab' is no resource group.*default"):
        quick_train(algorithm_dir=project, entrypoint="true", quota_group_name="lab")
    with pytest.raises(OptionError, match="asks for 'two' of 'CPU'"):
        quick_train(algorithm_dir=project, entrypoint="true", quota_group_request={"CPU": "two"})
    with (
        pytest.raises(OptionError, match="names 2 groups"),
        pytest.warns(DeprecationWarning, match="older form"),
    ):
        quick_train(
            algorithm_dir=project,
            entrypoint="true",
            resource_request=[{"a": {"CPU": 1}, "b": {"CPU": 1}}],
        )


def test_newer_names_mean_the_same(project: Path) -> None:
    task, *_ = quick_train(
        algorithm_local_dir=project,
        algorithm_entrypoint="python do.py",
        algorithm_output="./output/",
        algorithm_hyperparams={"lr": 0.1},
        algorithm_hyperparams_prefix="+",
        algorithm_hyperparams_delimeter="=",
        algorithm_envs={"X": "1"},
        image_name="QUICKSTART",
    )
    task.wait()
    assert arguments(task) == ["+lr=0.1"]
    with pytest.raises(OptionError, match="two names of one option"):
        quick_train(algorithm_dir=".", algorithm_local_dir=project, entrypoint="true")
    with pytest.raises(OptionError, match="no option hyperparam; did you mean hyperparams"):
        quick_train(algorithm_dir=".", hyperparam={})


def test_the_callers_mounts_do_not_leak_into_the_next_call(project: Path, folder: Path) -> None:
    hyperparams = {"lr": 0.1}
    trained(project, dataset_dir=folder, hyperparams=hyperparams)
    assert hyperparams == {"lr": 0.1}
    assert arguments(trained(project, hyperparams=hyperparams)) == ["--lr", "0.1"]
    assert arguments(trained(project)) == []
