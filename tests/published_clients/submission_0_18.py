"""A user of the published client 0.18.3: submits, watches, takes results, submits again.

`python submission_0_18.py ADDRESS USER git|archive`, the password in the environment, in an empty
directory.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from anylearn import get_task_output, init_sdk, quick_train
from anylearn.applications.quickstart import resume_unfinished_local_train_tasks
from anylearn.interfaces.resource import SyncResourceDownloader
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

transport = sys.argv[3]
init_sdk(ADDRESS, USER, PASSWORD, disable_git=transport == "archive")
# An archive's members carry the path as it is given here.
code = write_code(f"project/algo-{transport}")
data = write_data("digits")
seen = Path("seen").absolute()
options = {
    "algorithm_dir": str(code if transport == "git" else code.absolute()),
    "algorithm_force_update": True,
    "dataset_dir": str(data),
    "entrypoint": ENTRYPOINT,
    "output": "output",
    "hyperparams": {"lr": 0.1, "fast": ""},
    "algorithm_envs": {"MODE": "slow $HOME", "SEEN": str(seen)},
    "resource_polling": 0.1,
    "quota_group_name": "default",
    "quota_group_request": {"CPU": 1},
}

task, algorithm, datasets, project = quick_train(task_description="the first", **options)
assert [one.state for one in datasets] == [3]
assert algorithm.state == 3
assert (project.name, task.description) == ("Default project", "the first")

# A submission that is still running is found again, and its log is followed to the end.
assert [one.id for one in resume_unfinished_local_train_tasks()] == [task.id]
followed = []
for line in task.stream_log(polling=0.1):
    followed += texts([line])
    if followed[-1] == f"line {LINES - 1}":
        seen.touch()
assert followed[-1] == "done", followed
wait_finished(task)
assert task.state == 2, task.get_full_log()
assert task.resource_request == [{"default": {"CPU": 1}}]

lines = texts(task.get_full_log())
assert lines == [
    "input ['0.csv', '1.csv', '2.csv']",
    "lr 0.1 fast True MODE slow $HOME",
    *(f"line {number}" for number in range(LINES)),
    "done",
], lines
assert texts(task.get_last_log(limit=2)) == [f"line {LINES - 1}", "done"]
assert task.get_status()

assert task.get_final_metric()["final_metric"] == 0.75
assert [one["metric"] for one in task.get_intermediate_metric()] == [0, 0.1, 0.2]

# Results, through both layers.
results = task.get_results_file()
assert (results.id, results.state) == (task.results_id, 3)
for name, more in (
    ("together", {}),
    ("in-order", {"async_download": False, "downloader": SyncResourceDownloader()}),
):
    Path(name).mkdir()
    task.download_results(save_path=name, polling=0.1, **more)
    (archive,) = Path(name).glob("*.zip")
    assert archive.stat().st_size
output = get_task_output(task.id)
assert set(output.ls()) == {"deep", "model.txt"}, output.ls()
taken = Path(output.download(dest_dir=Path("artifacts")))
assert (taken / "model.txt").read_text() == "weights", sorted(taken.rglob("*"))
assert (taken / "deep" / "curve.csv").read_text() == "1,2"

# A model of the results is an input like any other; data that did not change is not sent again.
model = task.transform_model(file_path=".", name=f"weights-{transport}", polling=0.1)
assert (model.state, model.algorithm_id) == (3, algorithm.id)
again, same_algorithm, same_datasets, _ = quick_train(
    model_id=model.id, pretrain_task_id=task.id, **options
)
assert same_algorithm.id == algorithm.id
assert [one.id for one in same_datasets if one.id != model.id] == [datasets[0].id]
wait_finished(again)
assert again.state == 2, again.get_full_log()
found = texts(again.get_full_log())[:3]
assert found == [
    "input ['0.csv', '1.csv', '2.csv']",
    "input ['deep', 'model.txt']",
    "input ['deep', 'model.txt']",
], found
print(json.dumps({"task": task.id, "algorithm": algorithm.id, "dataset": datasets[0].id}))
