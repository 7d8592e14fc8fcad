"""Make, upload, change, list and delete things by hand, and a task of them: for 0.18."""

import json
import os
import shutil
import time
from pathlib import Path

from anylearn_jupyter import (
    Algorithm,
    AsyncResourceUploader,
    Dataset,
    File,
    Mirror,
    Model,
    Project,
    ResourceDownloader,
    ResourceState,
    ResourceUploader,
    SyncResourceDownloader,
    SyncResourceUploader,
    TrainTask,
    init_sdk,
)

init_sdk(os.environ["CLUSTER"], os.environ["CLUSTER_USER"], os.environ["CLUSTER_PASSWORD"])


class Counting(ResourceUploader):
    def run(self, resource_id, chunks):
        print("> chunks", len(chunks), [len(chunk) for chunk in chunks][-1] == len(chunks[-1]))
        return SyncResourceUploader().run(resource_id=resource_id, chunks=chunks)


class Fetching(ResourceDownloader):
    def run(self, resource_id, polling, save_path=None):
        print("> fetching into", save_path)
        return SyncResourceDownloader().run(
            resource_id=resource_id, save_path=save_path, polling=polling
        )


# Data.
archive = shutil.make_archive("data", "zip", "data")
dataset = Dataset(name="digits", description="by hand", public=False)
print("> saved", dataset.save(), dataset.id.startswith("DSET"))
print("> uploaded", dataset.upload(archive, uploader=Counting()))
dataset.get_detail()
print("> dataset", dataset.state == ResourceState.READY, dataset.filename, bool(dataset.size))
print("> listing", Dataset.list_dir(dataset.id))
dataset.description = "changed"
print("> changed", dataset.save(), Dataset(id=dataset.id, load_detail=True).description)
print("> in list", dataset.id in [one.id for one in Dataset.get_list()])
again = Dataset.upload_file(
    resource_id=dataset.id,
    file_path=archive,
    uploader=AsyncResourceUploader(
        on_start=lambda total: print("> start", total),
        on_progress=lambda done, total: print("> progress", done, total),
    ),
)
print("> again", again)
Path("fetched").mkdir()
fetched = Dataset.download_file(
    resource_id=dataset.id, save_path="fetched", polling=1, downloader=Fetching()
)
print("> fetched", (Path("fetched") / fetched).exists())

# Code, as an archive.
mirror = next(one for one in Mirror.get_list() if one.name == "QUICKSTART")
algorithm = Algorithm(
    name="by-hand",
    mirror_id=mirror.id,
    follows_anylearn_norm=False,
    train_params=json.dumps([{"name": "lr", "default": 0.1}, {"name": "epochs"}]),
)
print("> algorithm", algorithm.save())
code = shutil.make_archive("code", "zip", "code")
print("> code", algorithm.upload(code, purge=True, uploader=SyncResourceUploader()))
algorithm.get_detail()
print("> params", algorithm.default_train_params, algorithm.required_train_params)

# A task of both.
project = Project(name="by hand")
print("> project", project.save(), Project(id=project.id, load_detail=True).name)
task = TrainTask(
    name="by hand",
    project_id=project.id,
    algorithm_id=algorithm.id,
    train_params=json.dumps({"epochs": 1, "data": [f'"${dataset.id}"']}),
    files=[dataset.id],
    entrypoint="python train.py",
    output="output",
    mirror_id=mirror.id,
)
print("> task", task.save(), task.id.startswith("TRAI"))
task.get_detail()
while not task.finished():
    time.sleep(0.2)
    task.get_detail()
print("> log", [line.split("] ", 1)[1] for line in task.get_full_log()])
print("> results", File(id=task.results_id, load_detail=True).state == ResourceState.READY)

# A model, and away with everything.
model = Model(name="weights", algorithm_id=algorithm.id)
print("> model", model.save(), model.upload(archive, uploader=SyncResourceUploader()))
print("> models", [(one.name, one.algorithm_id == algorithm.id) for one in Model.get_list()])
project.description = "over"
print("> updated", project.save(), Project.get_my_default_project().id != project.id)
for thing in (model, dataset):
    print("> deleted", thing.delete(force=True))
print("> gone", dataset.id not in [one.id for one in Dataset.get_list()])
