"""Train, stream the log, train again from the results, find both again: as written for 0.18."""

import os

from anylearn_jupyter import (
    Algorithm,
    File,
    Project,
    QuotaGroup,
    TrainTask,
    TrainTaskState,
    init_sdk,
    quick_train,
    resume_unfinished_local_train_tasks,
)

init_sdk(
    cluster_address=os.environ["CLUSTER"],
    username=os.environ["CLUSTER_USER"],
    password=os.environ["CLUSTER_PASSWORD"],
)

project = Project(name="digits", description="made by a script")
project.save()
group = next(one for one in QuotaGroup.get_list() if one.name == "default")
print("> group", group.level, group.available()["CPU"] <= group.capacity["CPU"])


def train(**options):
    task, algorithm, _, used = quick_train(
        algorithm_name="digits-code",
        algorithm_local_dir="code",
        algorithm_force_update=True,
        algorithm_entrypoint="python train.py",
        algorithm_output="output",
        algorithm_envs={"COLOUR": "blue green"},
        project_id=project.id,
        mirror_name="QUICKSTART",
        quota_group_name=group.name,
        quota_group_request={"CPU": 1},
        **options,
    )
    assert used.id == project.id
    return task, algorithm


first, algorithm = train(task_name="first", algorithm_hyperparams={"epochs": 1})
for line in first.stream_log(init_limit=100, polling=1):
    print("> first:", line.split("] ", 1)[1])
print("> finished", first.finished())

second, same = train(
    task_name="second",
    algorithm_hyperparams={"opt.lr": 0.5},
    hyperparams_prefix="++",
    hyperparams_delimeter="=",
    pretrain_task_id=[first.id],
    pretrain_hyperparam_name="start",
)
print("> same algorithm", same.id == algorithm.id)
lines = list(second.stream_log(polling=1))
print("> second:", lines[-1].split("] ", 1)[1])

found = TrainTask(id=second.id, load_detail=True)
print("> found", found.name, found.state == TrainTaskState.SUCCESS, found.envs)
print("> request", found.resource_request, found.num_nodes, found.nproc_per_node)
print("> tasks", sorted(task.name for task in project.get_train_tasks(load_detail=True)))
print("> listed", File.list_dir(resource_id=found.results_id))

named = Algorithm.get_user_custom_algorithm_by_name(name="digits-code")
print("> named", named.id == algorithm.id, named.default_train_params, named.required_train_params)
first.get_detail()
second.get_detail()
print("> unfinished", len(resume_unfinished_local_train_tasks()) <= 2)
print("> deleted", first.delete(), second.delete(force=True))
