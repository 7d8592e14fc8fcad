"""Tasks of a real engine, added and run over plain HTTP (HTTP API, sections 8, 9.1 to 9.3, 12)."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.engine.task_files import TaskFiles
from engine_home import EngineHome, shared_engine
from published import TASK, TASK_PHASE, PublishedClient, check_error, check_shape
from waiting import wait_until

__all__ = ["shared_engine"]

# Writes what it got into its output, where the test reads it.
TELL = """
import json, os, pathlib, sys
told = {"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(),
        "python": sys.executable, "files": sorted(os.listdir())}
for name in os.environ.get("ANYLEARN_ARTIFACT_IDS", "").split(","):
    if name:
        told[name] = sorted(os.listdir(os.environ[name]))
pathlib.Path(os.environ["ANYLEARN_TASK_OUTPUT_PATH"]).mkdir(parents=True, exist_ok=True)
pathlib.Path(os.environ["ANYLEARN_TASK_OUTPUT_PATH"], "told.json").write_text(json.dumps(told))
print("told")
"""
WAIT = (
    "import os, time\nprint('ready', flush=True)\nwhile not os.path.exists('go'): time.sleep(.02)"
)


class Work:
    """One user's code and project, and the tasks that are made of them."""

    def __init__(self, engine: EngineHome, client: PublishedClient, directory: Path) -> None:
        self.engine = engine
        self.client = client
        self.algorithm, self.commit = client.send_code(
            "code", directory, {"tell.py": TELL, "wait.py": WAIT, "requirements.txt": ""}
        )
        self.project = client.one("project/default")["id"]

    @property
    def form(self) -> dict[str, Any]:
        """What a published client sends at least."""
        return {
            "name": "task", "project_id": self.project, "algorithm_id": self.algorithm,
            "algorithm_git_ref": self.commit, "train_params": "{}", "entrypoint": "true",
        }  # fmt: skip

    def add(self, **fields: Any) -> str:
        return self.client.change("POST", "train_task/add", **{**self.form, **fields})

    def run(self, **fields: Any) -> dict[str, Any]:
        return self.client.wait_end(self.add(**fields))

    def told(self, task: dict[str, Any]) -> dict[str, Any]:
        """What a task that ran `tell.py` has written into its results."""
        assert task["state"] == 2, (task, self.log(task["id"]))
        found: dict[str, Any] = json.loads(self.results(task)["told.json"])
        return found

    def results(self, task: dict[str, Any]) -> dict[str, bytes]:
        """Download the results, as the object layer does."""
        results = task["results_id"]
        packed = self.client.call("POST", "resource/compression", file_id=results)["data"]
        fields = {"file_id": results, "compression_id": packed}
        wait_until(
            lambda: self.client.one("resource/compression", **fields)["state"] == 2, 20, "packed"
        )
        answer = self.client.ask("GET", "resource/download", **fields)
        assert answer.ok, answer.text
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            return {
                name.removeprefix(f"{results}/"): archive.read(name)
                for name in archive.namelist()
                if not name.endswith("/")
            }

    def log(self, task_id: str) -> str:
        return self.client.ask("GET", "train_task/log_bytes", id=task_id).text

    def code(self, task_id: str) -> Path:
        return TaskFiles.of(self.engine.home.engine / "tasks", task_id).code

    def wait_phase(self, task_id: str, phase: str) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            found = self.client.one("train_task/query", id=task_id)
            return found if found["phase"] == phase else None

        return wait_until(reached, 30, f"{task_id} is {phase}")


@pytest.fixture(scope="module")
def work(shared_engine: EngineHome, tmp_path_factory: pytest.TempPathFactory) -> Work:
    shared_engine.add_user("ada", "lovelace")
    client = PublishedClient.login(shared_engine.address, "ada", "lovelace")
    return Work(shared_engine, client, tmp_path_factory.mktemp("code") / "code")


@pytest.fixture(scope="module")
def bob(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("bob", "battery")
    return PublishedClient.login(shared_engine.address, "bob", "battery")


@pytest.fixture(scope="module")
def dataset(work: Work) -> str:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("a b.csv", "1\n")
        archive.writestr("sub/c.csv", "2\n")
    made = work.client.add_dataset()
    work.client.upload(made, written.getvalue())
    work.client.wait_ready("dataset", made)
    return made


# What a task is.


def test_a_task_has_every_key_from_its_first_moment(work: Work) -> None:
    task = work.add(
        name="first", description="ÿ", envs='{"A": "1"}', train_params='{"lr": 0.1}',
        train_params_prefix="+", train_params_delimeter="=", output="out", entrypoint="true",
        num_nodes=1, nproc_per_node=1, is_local="False", sdk_version="0.20.7",
    )  # fmt: skip

    found = work.client.one("train_task/query", id=task)
    check_shape(found, {**TASK, **TASK_PHASE})
    assert task.startswith("TRAI")
    assert found["secret_key"].startswith("TKEY")
    assert found["results_id"].startswith("FILE")
    assert (found["name"], found["description"], found["output"]) == ("first", "ÿ", "out")
    assert (found["args"], found["envs"]) == ('{"lr": 0.1}', '{"A": "1"}')
    assert json.loads(found["resource_request"]) == []
    assert (found["algorithm_git_ref"], found["is_local"]) == (work.commit, False)
    assert found["command"] == "true +lr=0.1"
    # Its results are a file from here on.
    assert work.client.one("file/query", id=found["results_id"])["state"] in (1, 3)
    ended = work.client.wait_end(task)
    check_shape(ended, {**TASK, **TASK_PHASE})
    assert ended["create_time"] <= ended["start_time"] <= ended["finish_time"]
    assert work.client.one("file/query", id=found["results_id"])["state"] == 3


def test_the_list_of_a_project_has_what_clients_need(work: Work) -> None:
    project = work.client.change("POST", "project/add", name="listed")
    assert work.client.call("GET", "train_task/list", project_id=project) == []
    tasks = [work.add(project_id=project) for _ in range(3)]

    found = work.client.call("GET", "train_task/list", project_id=project)

    assert [task["id"] for task in found] == tasks
    for task in found:
        check_shape(task, TASK)
    for made in tasks:
        work.client.wait_end(made)


def test_the_code_is_what_the_reference_named_when_the_task_was_added(work: Work) -> None:
    for reference in ("main", work.commit, work.commit[:12]):
        found = work.client.wait_end(work.add(algorithm_git_ref=reference))
        assert found["algorithm_git_ref"] == work.commit
    form = {name: value for name, value in work.form.items() if name != "algorithm_git_ref"}
    task = work.client.change("POST", "train_task/add", **form)
    assert work.client.wait_end(task)["algorithm_git_ref"] == work.commit


# Running.


def test_a_task_gets_the_variables_of_the_api(work: Work, dataset: str) -> None:
    task = work.run(entrypoint="python tell.py", files=dataset)

    told = work.told(task)
    env = told["env"]
    user = work.client.call("GET", "user/me")["id"]
    expected = {
        "task_id": task["id"],
        "secret_key": task["secret_key"],
        "ANYLEARN_TASK_ID": task["id"],
        "ANYLEARN_HOST": work.engine.address,
        "ANYLEARN_ARTIFACT_IDS": dataset,
        "ANYLEARN_USER_ID": user,
        "ANYLEARN_PROJECT_ID": work.project,
        "PYTHONUNBUFFERED": "1",
    }
    assert {name: env.get(name) for name in expected} == expected
    assert told["cwd"] == str(work.code(task["id"]))
    assert env["ANYLEARN_TASK_OUTPUT_PATH"].startswith(told["cwd"])
    # With them published clients would open a session on import, and fail.
    assert not [name for name in env if "AUTH" in name or "TOKEN" in name]
    assert work.engine.token not in json.dumps(told)
    assert env[dataset] != ""
    assert told[dataset] == ["a b.csv", "sub"]


def test_a_placeholder_expands_to_the_path_as_one_word(work: Work, dataset: str) -> None:
    params = {"dataset": [f'"${dataset}"'], "single": f'"${dataset}"', "lr": 0.1}

    task = work.run(entrypoint="python tell.py", files=dataset, train_params=json.dumps(params))

    told = work.told(task)
    path = told["env"][dataset]
    assert told["argv"] == ["--dataset", path, "--single", path, "--lr", "0.1"]
    assert sorted(one.name for one in Path(path).iterdir()) == ["a b.csv", "sub"]


def test_parameters_are_flags_numbers_lists_and_shell_text(work: Work) -> None:
    params = {
        "flag": "", "lr": 0.1, "n": 3, "yes": True, "none": None, "words": "1 2 3",
        "quoted": "'a b'", "list": ["x", "y"], "object": {"a": [1, "b c"]},
    }  # fmt: skip

    plain = work.told(work.run(entrypoint="python tell.py", train_params=json.dumps(params)))
    hydra = work.told(
        work.run(
            entrypoint="python tell.py", train_params='{"lr": 0.1, "debug": ""}',
            train_params_prefix="++", train_params_delimeter="=",
        )
    )  # fmt: skip

    assert plain["argv"] == [
        "--flag", "--lr", "0.1", "--n", "3", "--yes", "True", "--none", "None",
        "--words", "1", "2", "3", "--quoted", "a b", "--list", "x", "y",
        "--object", '{"a": [1, "b c"]}',
    ]  # fmt: skip
    assert hydra["argv"] == ["++lr=0.1", "++debug"]


def test_a_task_has_its_own_and_the_submitters_variables_and_no_others(work: Work) -> None:
    given = {"OMP_NUM_THREADS": "3", "SECRET": "no", "LD_PRELOAD": "/evil.so", "TZ": "Asia/Tokyo"}

    told = work.told(
        work.run(
            entrypoint="python tell.py",
            envs=json.dumps({"MINE": "a 'b' $c\nd ÿ", "task_id": "forged"}),
            submitter_env=json.dumps(given),
            interpreter=sys.executable,
        )
    )

    env = told["env"]
    assert (env["MINE"], env["OMP_NUM_THREADS"], env["TZ"]) == ("a 'b' $c\nd ÿ", "3", "Asia/Tokyo")
    assert "SECRET" not in env
    assert "LD_PRELOAD" not in env
    assert env["task_id"].startswith("TRAI")
    assert told["python"] == sys.executable


def test_code_is_in_place_and_the_output_is_collected(work: Work) -> None:
    task = work.run(
        entrypoint="mkdir -p out/deep && echo one > out/1.txt && echo two > out/deep/2.txt && "
        "echo no > outside.txt && ln -s /etc/passwd out/link",
        output="./out/",
    )

    assert task["state"] == 2
    assert work.results(task) == {"1.txt": b"one\n", "deep/2.txt": b"two\n"}
    listed = work.client.call("GET", "resource/listdir", file_id=task["results_id"])
    assert listed.keys() == {"1.txt", "deep"}


def test_results_are_mounted_into_the_next_task(work: Work) -> None:
    first = work.run(entrypoint="mkdir output && echo 42 > output/model.txt")
    results = first["results_id"]

    second = work.run(
        entrypoint=f'cat "${results}/model.txt"; true', files=results,
        train_params=json.dumps({"pretrain": [f'"${results}"']}),
    )  # fmt: skip

    assert second["command"].endswith(f'--pretrain "${results}"')
    assert work.log(second["id"]).startswith("42\n")


def test_a_task_without_output_has_empty_results(work: Work) -> None:
    task = work.run()

    assert work.results(task) == {}
    assert work.client.call("GET", "resource/listdir", file_id=task["results_id"]) == {}


@pytest.mark.parametrize(
    ("command", "state", "kind", "number"),
    [
        ("exit 0", 2, "exit", 0),
        ("exit 7", -2, "exit", 7),
        ("exit 137", -2, "exit", 137),
        ("kill -9 $$", -2, "signal", 9),
        ("exec python -c 'import os; os.abort()'", -2, "signal", 6),
        ("nothing-of-this-name", -2, "exit", 127),
    ],
)
def test_the_end_is_told_as_it_was(
    work: Work, command: str, state: int, kind: str, number: int
) -> None:
    task = work.run(entrypoint=command)

    assert (task["state"], task["exit"]["kind"], task["exit"]["number"]) == (state, kind, number)


def test_a_task_that_cannot_start_says_why(work: Work) -> None:
    task = work.run(entrypoint="true", output="requirements.txt")

    assert (task["state"], task["exit"]["kind"]) == (-2, "start")
    assert "requirements.txt" in task["exit"]["message"]
    lines = work.client.call("GET", "train_task/logs", id=task["id"], direction="init", limit=100)
    assert any("requirements.txt" in line["text"] for line in lines)


# Stopping.


def test_delete_stops_a_running_task_and_keeps_what_it_left(work: Work) -> None:
    task = work.add(entrypoint="mkdir output; echo half > output/half.txt; exec python wait.py")
    work.wait_phase(task, "running")
    wait_until(lambda: "ready" in work.log(task), 20, "it has started")

    assert task == work.client.change("DELETE", "train_task/delete", id=task, force=0)

    found = work.client.wait_end(task)
    assert (found["state"], found["phase"]) == (-3, "aborted")
    assert work.results(found) == {"half.txt": b"half\n"}
    assert "ready" in work.log(task)
    # Once more is no error, and changes nothing.
    assert task == work.client.change("DELETE", "train_task/delete", id=task, force=1)
    assert work.client.one("train_task/query", id=task) == found


def test_force_ends_a_task_that_ignores_a_request(work: Work) -> None:
    stubborn = "import signal,time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True)"
    command = shlex.quote(f"{stubborn}; time.sleep(600)")
    task = work.add(entrypoint=f"exec python -c {command}")
    wait_until(lambda: "deaf" in work.log(task), 30, "it ignores signals")

    work.client.change("DELETE", "train_task/delete", id=task, force=1)

    assert wait_until(
        lambda: work.client.one("train_task/query", id=task)["phase"] == "aborted", 8, "aborted"
    )


def test_a_task_waits_for_room_and_can_be_stopped_while_it_waits(work: Work) -> None:
    cpus = len(os.sched_getaffinity(0))
    everything = json.dumps([{"default": {"CPU": cpus}}])
    first = work.add(entrypoint="exec python wait.py", resources=everything)
    work.wait_phase(first, "running")
    second = work.add(entrypoint="true", resources=json.dumps([{"besteffort": {"CPU": 1}}]))

    waiting = work.client.one("train_task/query", id=second)
    group = work.client.one("quota_group/query", id="default")
    assert (waiting["state"], waiting["phase"], waiting["queue_position"]) == (0, "queued", 1)
    assert json.loads(waiting["resource_request"]) == [{"besteffort": {"CPU": 1}}]
    assert group["allocated"]["CPU"] == group["capacity"]["CPU"] == cpus

    work.client.change("DELETE", "train_task/delete", id=second)
    assert work.client.wait_end(second)["phase"] == "aborted"
    (work.code(first) / "go").write_text("")
    assert work.client.wait_end(first)["state"] == 2
    assert work.client.one("quota_group/query", id="default")["allocated"]["CPU"] == 0


@pytest.mark.parametrize("kind", ["algorithm", "dataset", "model", "file"])
def test_what_a_task_uses_is_not_deleted_under_it(work: Work, kind: str) -> None:
    used, files = work.algorithm, ""
    if kind != "algorithm":
        used = files = work.client.change("POST", f"{kind}/add", name="used", public=0)
        work.client.upload(files, b"1")
        work.client.wait_ready(kind, files)
    task = work.add(entrypoint="exec python wait.py", files=files)
    work.wait_phase(task, "running")

    words = work.client.refused(409, "DELETE", f"{kind}/delete", id=used, force=1)

    assert task in words
    work.client.change("DELETE", "train_task/delete", id=task, force=1)
    work.client.wait_end(task)
    if kind != "algorithm":
        assert used == work.client.change("DELETE", f"{kind}/delete", id=used, force=0)


def test_a_project_with_tasks_is_deleted_by_force_and_when_they_have_ended(work: Work) -> None:
    project = work.client.change("POST", "project/add", name="full")
    task = work.add(project_id=project, entrypoint="exec python wait.py")
    work.wait_phase(task, "running")
    words = work.client.refused(409, "DELETE", "project/delete", id=project, force=1)
    assert "have not ended" in words
    work.client.change("DELETE", "train_task/delete", id=task, force=1)
    work.client.wait_end(task)

    assert "force=1" in work.client.refused(409, "DELETE", "project/delete", id=project, force=0)
    assert project == work.client.change("DELETE", "project/delete", id=project, force=1)

    assert work.client.one("train_task/query", id=task)["phase"] == "aborted"


# What is refused, before anything is made.


@pytest.mark.parametrize(
    ("fields", "status", "named"),
    [
        ({"name": ""}, 400, "'name'"),
        ({"name": "x" * 51}, 400, "'name'"),
        ({"description": "x" * 256}, 400, "'description'"),
        ({"project_id": "PROJ" + "0" * 28}, 404, "project"),
        ({"algorithm_id": "ALGO" + "0" * 28}, 404, "algorithm"),
        ({"algorithm_git_ref": "0" * 40}, 400, "no commit, branch or tag"),
        ({"algorithm_git_ref": "--upload-pack=touch"}, 400, "no commit, branch or tag"),
        ({"train_params": ""}, 400, "'train_params'"),
        ({"train_params": "[]"}, 400, "'train_params'"),
        ({"train_params": "{"}, 400, "'train_params'"),
        ({"train_params": '{"a": NaN}'}, 400, "'train_params'"),
        ({"train_params": '{"a": "\\"$DSET' + "0" * 28 + '\\""}'}, 400, "not among"),
        ({"train_params": json.dumps({"a": "x" * 130_000})}, 400, "bytes"),
        ({"entrypoint": ""}, 400, "'entrypoint'"),
        ({"output": "/tmp/out"}, 400, "output"),
        ({"output": "a/../../out"}, 400, "output"),
        ({"output": "."}, 400, "output"),
        ({"files": "DSET" + "0" * 28}, 404, "dataset"),
        ({"files": "../../token"}, 404, "files"),
        ({"envs": '{"A B": "1"}'}, 400, "'A B'"),
        ({"envs": '{"A": 1}'}, 400, "'A'"),
        ({"envs": "[]"}, 400, "'envs'"),
        ({"mirror_id": "MIRR" + "f" * 28}, 404, "mirror"),
        ({"interpreter": "python3"}, 400, "interpreter"),
        ({"interpreter": "/no/python"}, 400, "interpreter"),
        ({"resources": '[{"lab": {"CPU": 1}}]'}, 400, "'lab'"),
        ({"resources": '[{"default": {"CPU": 100000}}]'}, 400, "CPU"),
        ({"resources": '[{"default": {"TPU": 1}}]'}, 400, "'TPU'"),
        ({"resources": "[1]"}, 400, "'resources'"),
        ({"num_nodes": 0}, 400, "num_nodes"),
        ({"limit_group": "sweep"}, 400, "group_limit"),
        ({"group_limit": 2}, 400, "limit_group"),
        ({"num_nodes": 9, "nproc_per_node": 9}, 400, "nproc_per_node"),
        ({"hpo": 1}, 400, "hyper-parameter search"),
    ],
)
def test_a_bad_field_is_refused_by_name_and_makes_nothing(
    work: Work, fields: dict[str, Any], status: int, named: str
) -> None:
    before = work.client.call("GET", "file/list")

    answer = work.client.ask("POST", "train_task/add", **{**work.form, **fields})

    assert named in check_error(answer, status)
    assert work.client.call("GET", "file/list") == before


def test_a_dataset_that_is_not_ready_cannot_be_mounted(work: Work) -> None:
    dataset = work.client.add_dataset()

    words = work.client.refused(409, "POST", "train_task/add", **work.form | {"files": dataset})

    assert dataset in words


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "train_task/query"),
        ("DELETE", "train_task/delete"),
        ("GET", "train_task/logs"),
        ("GET", "train_task/log"),
        ("GET", "train_task/log_bytes"),
        ("GET", "train_task/status"),
        ("GET", "train_task/final_metric"),
        ("GET", "train_task/intermediate_metric"),
    ],
)
def test_anothers_task_is_as_one_that_does_not_exist(
    work: Work, bob: PublishedClient, method: str, path: str
) -> None:
    task, other = work.run()["id"], "TRAI" + "0" * 28

    words = [bob.refused(404, method, path, id=one, secret_key="x") for one in (task, other)]

    assert words[0].replace(task, "") == words[1].replace(other, "")


def test_anothers_things_cannot_be_used_in_a_task(
    work: Work, bob: PublishedClient, dataset: str
) -> None:
    own = {"project_id": bob.one("project/default")["id"]}

    bob.refused(404, "POST", "train_task/add", **work.form)
    bob.refused(404, "POST", "train_task/add", **work.form | own)
    bob.refused(404, "POST", "train_task/add", **work.form | own | {"files": dataset})


def test_results_are_written_by_their_task_alone(work: Work) -> None:
    task = work.run()
    results = {"file_id": task["results_id"]}

    answer = work.client.ask(
        "POST", "resource/upload", **results, chunk="0", parts={"file": ("file", b"x")}
    )

    check_error(answer, 403)
    work.client.refused(403, "POST", "resource/upload_finish", **results)
