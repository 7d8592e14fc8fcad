"""Train local code on local data, wait, and unpack the results: as written for 0.17."""

import os
import time
import zipfile
from pathlib import Path

from anylearn_jupyter import TrainTaskState, init_sdk, quick_train

init_sdk(os.environ["CLUSTER"], os.environ["CLUSTER_USER"], os.environ["CLUSTER_PASSWORD"])

task, algorithm, datasets, project = quick_train(
    algorithm_dir="code",
    algorithm_force_update=True,
    dataset_dir="data",
    dataset_hyperparam_name="data",
    entrypoint="python train.py",
    output="output",
    hyperparams={"epochs": 2, "lr": 0.1, "verbose": ""},
    task_description="first try",
    resource_polling=1,
)
print("> algorithm", algorithm.name.startswith("code-"), algorithm.state, algorithm.public)
print("> datasets", len(datasets), datasets[0].name.startswith("data-"), datasets[0].state)
print("> project", project.id == task.project_id, bool(project.name))

while not task.finished():
    time.sleep(0.2)
    task.get_detail()
assert task.state == TrainTaskState.SUCCESS, task.get_last_log()
print("> task", task.state, task.description, task.entrypoint, task.output)
print("> mounted", datasets[0].id in task.files, task.algorithm_id == algorithm.id)

logs = task.get_full_log()
print("> lines", len(logs), [line.split("] ", 1)[1] for line in logs])
print("> last", [line.split("] ", 1)[1] for line in task.get_last_log(limit=2)])
print("> any", any("epoch 1" in line for line in logs))
print("> joined", "\n".join(logs).count("\n"))
for entry in task.get_log(limit=1, direction="init"):
    print("> entry", sorted(entry), entry["text"])

print("> status", isinstance(task.get_status(), dict))
task.report_intermediate_metric(0.25)
task.report_final_metric(0.75)
metrics = task.get_intermediate_metric()
print("> metrics", [one["metric"] for one in metrics], task.get_final_metric()["final_metric"])

Path("results").mkdir()
name = task.download_results(save_path="results", async_download=False, polling=1)
with zipfile.ZipFile(Path("results") / name) as archive:
    names = [one.split("/", 1)[-1] for one in archive.namelist() if not one.endswith("/")]
print("> results", sorted(names))
results = task.get_results_file()
print("> file", results.id == task.results_id, results.state)

profile = task.get_train_profile()
print("> profile", profile.entrypoint, profile.dataset_id == datasets[0].id, profile.dataset_dir)
