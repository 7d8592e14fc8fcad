"""A user of the published client 0.20.7: logs in, makes data, submits, takes results, tags.

`python submission_0_20.py ADDRESS USER`, the password in the environment, in an empty directory.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import anylearn
from anylearn import create_dataset, get_dataset, get_task_output, quick_train
from anylearn.anyboard.reader.cloud_reader import CloudReader
from anylearn.anyboard.reader.metric.base import MetricQuery, MetricType
from anylearn.interfaces.resource import Dataset, SyncResourceUploader
from anylearn.interfaces.train_task import TrainTask
from anylearn.sdk.auth import (
    authenticate,
    authenticate_by_access_token,
    authenticate_by_password,
)
from steps import (
    ADDRESS,
    ENTRYPOINT,
    LINES,
    PASSWORD,
    USER,
    texts,
    wait_finished,
    write_code,
    write_data,
)

auth = authenticate_by_password(username=USER, password=PASSWORD, host=ADDRESS)
assert auth.username == USER
assert authenticate_by_access_token(USER, auth.access_token, host=ADDRESS).username == USER
assert authenticate(host=ADDRESS).username == USER
anylearn.init(host=ADDRESS)
anylearn.init_sdk(ADDRESS, USER, PASSWORD)

# Data first, by itself: quick_train of this generation takes none from a directory.
dataset = create_dataset("digits", description="three files")
# This client's object layer uploads through a jump server only; its resources do so in chunks.
archive = shutil.make_archive("digits", "zip", write_data("digits"))
assert Dataset(id=dataset.id, load_detail=True).upload(archive, uploader=SyncResourceUploader())
again = get_dataset(f"{USER}/digits")
assert (again.id, again.state) == (dataset.id, 3)
taken = Path(again.download(dest_dir=Path("taken")))
assert sorted(path.name for path in taken.rglob("*.csv")) == ["0.csv", "1.csv", "2.csv"]

write_code("algo")
options = {
    "algorithm_cloud_name": "digits-code",
    "algorithm_local_dir": "algo",
    "algorithm_force_update": True,
    "algorithm_entrypoint": ENTRYPOINT,
    "algorithm_output": "output",
    "algorithm_envs": {"MODE": "slow"},
    "dataset_id": dataset.id,
    "tags": ["first", "published"],
    "quota_group_request": {"name": "default", "CPU": 1},
}
task, algorithm, datasets, project = quick_train(
    algorithm_hyperparams={"lr": 0.1, "fast": ""}, task_description="of 0.20", **options
)
wait_finished(task)
assert task.state == 2, task.get_full_log()
lines = texts(task.get_full_log())
assert lines == [
    "input ['0.csv', '1.csv', '2.csv']",
    "lr 0.1 fast True MODE slow",
    *(f"line {number}" for number in range(LINES)),
    "done",
], lines
assert task.get_final_metric()["final_metric"] == 0.75
assert len(task.get_intermediate_metric()) == 3

output = get_task_output(task.id)
assert set(output.ls()) == {"deep", "model.txt"}
results = Path(output.download(dest_dir=Path("results")))
assert (results / "model.txt").read_text() == "weights"

# The same again, from the results of the first, with the same tags.
second, same, _, _ = quick_train(
    algorithm_hyperparams={"lr": 0.5},
    pretrain_task_id=task.id,
    dataset_cloud_names=[f"{USER}/digits"],
    **options,
)
assert same.id == algorithm.id
wait_finished(second)
assert second.state == 2, second.get_full_log()
print(json.dumps({"task": task.id, "project": project.id, "second": second.id}))

# A task that the client's own machine runs.
local = TrainTask(
    name="local", project_id=project.id, algorithm_id=algorithm.id, train_params="{}",
    entrypoint="true", is_local=True,
)  # fmt: skip
assert local.save()
local.get_detail()
assert local.update_state(1)
local.heartbeat()
local.upload_logs('of my own machine\n[anylearn-metric] {"step": 7, "loss": 0.5}\n')
local.upload_local_task_catch("output_cache_pointer", 5)
assert local.get_local_task_catch()["output_cache_pointer"] == 5
assert local.update_state(2)
wait_finished(local)
assert (local.state, texts(local.get_full_log())[0]) == (2, "of my own machine")
reader = CloudReader(ADDRESS, auth.access_token)
(meta,) = reader.get_metric_meta(project.id)
assert (meta.task_id, meta.name, meta.type, meta.count) == (local.id, "loss", MetricType.SCALAR, 1)
(series,) = reader.get_metric(MetricType.SCALAR, project.id, [MetricQuery(local.id, "loss", 0, 10)])
assert [(one.step, one.value) for one in series.record_list] == [(7, 0.5)]
