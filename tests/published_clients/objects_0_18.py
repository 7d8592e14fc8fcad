"""The objects of the published client 0.18.3: made, changed, listed, uploaded, taken, deleted.

`python objects_0_18.py ADDRESS USER`, the password in the environment, in an empty directory.
"""

from __future__ import annotations

import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

import anylearn
from anylearn import init_sdk
from anylearn.interfaces import Project, TrainTask, User
from anylearn.interfaces.mirror import Mirror
from anylearn.interfaces.quota.group import QuotaGroup
from anylearn.interfaces.resource import (
    Algorithm,
    AsyncResourceDownloader,
    AsyncResourceUploader,
    Dataset,
    File,
    Model,
    SyncResourceDownloader,
    SyncResourceUploader,
)
from requests import HTTPError
from steps import ADDRESS, ENTRYPOINT, PASSWORD, USER, wait_finished, write_code

init_sdk(ADDRESS, USER, PASSWORD, disable_git=True)
CHUNK_BYTES = 2_048_000


# What the server offers.
(mirror,) = [one for one in Mirror.get_list() if one.name == "QUICKSTART"]
groups = {one.name: one for one in QuotaGroup.get_list()}
group = QuotaGroup(name="default", load_detail=True)
assert group.id == groups["default"].id == "default"
assert group.available()["CPU"] <= group.capacity["CPU"]
assert User.user_check(USER) is True
assert USER in [one.username for one in User.get_list()]

# A file of exactly two chunks: the client sends a third, which is empty.
archive = Path("data.zip")
with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as written:
    written.writestr("a/b.bin", b"b")
plain = Path("plain.bin")
plain.write_bytes(b"x" * (2 * CHUNK_BYTES))

dataset = Dataset(name="by-hand", description="d", public=False, filename="plain.bin")
assert dataset.save()
assert dataset.upload(str(plain), uploader=SyncResourceUploader())
dataset.get_detail()
assert dataset.id in [one.id for one in Dataset.get_list()]
listed = Dataset.list_dir(dataset.id)
assert set(listed) == {"plain.bin"}, listed
dataset.description = "changed"
assert dataset.save()
assert Dataset(id=dataset.id, load_detail=True).description == "changed"
for name, downloader in (("a", SyncResourceDownloader()), ("b", AsyncResourceDownloader())):
    Path(name).mkdir()
    Dataset.download_file(dataset.id, name, polling=0.1, downloader=downloader)
    (taken,) = Path(name).glob("*.zip")
    with zipfile.ZipFile(taken) as got:
        (member,) = [one for one in got.namelist() if not one.endswith("/")]
        assert got.read(member) == plain.read_bytes()

# All chunks at once, in any order.
file = File(name="all-at-once", description="", public=False, filename="big.zip")
assert file.save()
with zipfile.ZipFile("big.zip", "w", zipfile.ZIP_STORED) as written:
    written.writestr("one.bin", b"1" * (3 * CHUNK_BYTES))
    written.writestr("deep/two.bin", b"2")
assert file.upload("big.zip", uploader=AsyncResourceUploader())
file.get_detail()
assert set(File.list_dir(file.id)) == {"one.bin", "deep"}

# An algorithm by archive, a model of it, a project, a task, each by its own object.
code = write_code("code")
shutil.make_archive("code", "zip", code)
algorithm = Algorithm(
    name="by-hand", description="", public=False, filename="code.zip", mirror_id=mirror.id,
)  # fmt: skip
assert algorithm.save()
assert algorithm.upload("code.zip", purge=True, uploader=SyncResourceUploader())
algorithm.get_detail()
assert algorithm.id in [one.id for one in Algorithm.get_list()]
assert Algorithm.get_user_custom_algorithm_by_name("by-hand").id == algorithm.id
model = Model(
    name="weights", description="", public=False, filename="data.zip", algorithm_id=algorithm.id
)
assert model.save()
assert model.upload(str(archive), uploader=SyncResourceUploader())
assert model.id in [one.id for one in Model.get_list()]

project = Project(name="by-hand", description="p", datasets=[dataset.id])
assert project.save()
project.description = "another"
assert project.save()
assert Project(id=project.id, load_detail=True).description == "another"
assert project.id in [one.id for one in Project.get_list()]
task = TrainTask(
    name="by-hand", description="t", project_id=project.id, algorithm_id=algorithm.id,
    train_params=f'{{"model": ["\\"${model.id}\\""]}}', files=[model.id], entrypoint=ENTRYPOINT,
    output="output", mirror_id=mirror.id,
)  # fmt: skip
assert task.save()
task.get_detail()
assert task.id in [one.id for one in project.get_train_tasks()]
wait_finished(task)
assert task.state == 2, task.get_full_log()
assert task.delete()

# By full name.
found = anylearn.get_dataset(f"{USER}/by-hand")
assert found.id == dataset.id
assert anylearn.get_model(f"{USER}/weights").id == model.id
unknown = None
with suppress(HTTPError):
    unknown = anylearn.get_dataset(f"{USER}/unknown")
assert unknown is None

for thing in (project, model, algorithm, file, dataset):
    assert thing.delete(force=True), thing
gone = None
with suppress(HTTPError):
    gone = Dataset(id=dataset.id, load_detail=True)
assert gone is None
assert dataset.id not in [one.id for one in Dataset.get_list()]
