"""What the engine adds to the published API, as docs/protocol.md has it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from tornado.ioloop import IOLoop

from anylearn_jupyter.engine.database import Database
from anylearn_jupyter.engine.events import EventStream
from anylearn_jupyter.engine.store import Store, TaskRow
from anylearn_jupyter.engine.task_files import TaskFiles
from anylearn_jupyter.engine.watcher import Watcher
from anylearn_jupyter.entities import TaskPhase, new_id
from conftest import ROOT
from engine_home import EngineHome, own_engine, shared_engine
from published import TASK, TASK_PHASE, PublishedClient, check_error, check_shape
from waiting import wait_until

__all__ = ["own_engine", "shared_engine"]

WAIT = """
import os, time
print("ready", flush=True)
while not os.path.exists("go"): time.sleep(.02)
print("gone on", flush=True)
"""
# Writes the bytes of each line of `bytes` when the test asks for it.
SPLIT = """
import os, sys, time
pieces = (b"a\\xe4", b"\\xbd", b"\\xa0b\\xf0\\x9f\\x98", b"\\x80", b"\\xff\\xe4")
for number, piece in enumerate(pieces):
    while not os.path.exists(f"go{number}"): time.sleep(.01)
    os.write(1, piece)
"""


class Tasks:
    """Tasks of one user, and streams of their events."""

    def __init__(self, engine: EngineHome, client: PublishedClient, directory: Path) -> None:
        self.engine = engine
        self.client = client
        self.algorithm, self.commit = client.send_code(
            "code", directory, {"wait.py": WAIT, "split.py": SPLIT}
        )
        self.project = client.one("project/default")["id"]

    @property
    def form(self) -> dict[str, Any]:
        return {
            "name": "task", "project_id": self.project, "algorithm_id": self.algorithm,
            "algorithm_git_ref": self.commit, "train_params": "{}", "entrypoint": "echo hello",
        }  # fmt: skip

    def add(self, entrypoint: str) -> str:
        return self.client.change(
            "POST", "train_task/add", **self.form | {"entrypoint": entrypoint}
        )

    def touch(self, task: str, name: str = "go") -> None:
        code = TaskFiles.of(self.engine.home.engine / "tasks", task).code
        wait_until(code.is_dir, 20, "its code is in place")
        (code / name).touch()

    @contextmanager
    def events(self, cursors: dict[str, int]) -> Iterator[Iterator[dict[str, Any]]]:
        """Give the events of a stream that is open for this block."""
        with requests.post(
            f"{self.client.address}/api/events",
            data={"cursors": json.dumps(cursors)},
            headers={"Authorization": f"Bearer {self.client.token}"},
            stream=True,
            timeout=30,
        ) as answer:
            assert answer.ok, answer.text
            assert answer.headers["Content-Type"] == "application/x-ndjson"
            yield (json.loads(line) for line in answer.iter_lines(chunk_size=None))


@pytest.fixture(scope="module")
def tasks(shared_engine: EngineHome, tmp_path_factory: pytest.TempPathFactory) -> Tasks:
    shared_engine.add_user("ada", "lovelace")
    client = PublishedClient.login(shared_engine.address, "ada", "lovelace")
    return Tasks(shared_engine, client, tmp_path_factory.mktemp("code") / "code")


@pytest.fixture(scope="module")
def bob(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("bob", "battery")
    return PublishedClient.login(shared_engine.address, "bob", "battery")


# Announcement, proof, status.


def test_what_is_announced_is_what_is_written_down(tasks: Tasks) -> None:
    found = tasks.client.call("GET", "capabilities")

    assert found["protocol"] == 1
    assert found["server"]["name"] == "anylearn-jupyter engine"
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    shown = re.search(r"```json\n(\{\"protocol\".*?)```", page, re.DOTALL)
    assert shown is not None
    assert found["features"].keys() == json.loads(shown[1])["features"].keys()
    for feature in found["features"].keys() - {"git_bearer"}:
        assert re.search(rf"^## `{feature}`", page, re.MULTILINE), feature
    assert found["features"]["log_bytes"] == {"max_bytes": 1_048_576}
    assert "PATH" in found["features"]["interpreter"]["environment"]


def test_the_status_names_the_engine_and_its_tasks(tasks: Tasks) -> None:
    found = tasks.client.call("GET", "engine/status")

    check_shape(
        found,
        {"address": str, "pid": int, "version": str, "started_ms": int, "home": str,
         "tasks": dict, "idle_s": float, "adopted": int},
    )  # fmt: skip
    assert (found["address"], found["pid"]) == (tasks.engine.address, tasks.engine.pid)
    assert found["home"] == str(tasks.engine.home.root)


# Idempotency.


@pytest.mark.parametrize("kind", ["dataset", "model", "file", "project", "algorithm", "train_task"])
def test_the_same_key_makes_one_thing(tasks: Tasks, bob: PublishedClient, kind: str) -> None:
    forms: dict[str, dict[str, Any]] = {
        "algorithm": {"name": "keyed", "mirror_id": tasks.client.mirror_id},
        "train_task": tasks.form,
    }
    form = forms.get(kind, {"name": "keyed"})
    key = {"Idempotency-Key": f"key_{kind}-1"}
    counted = {"project_id": tasks.project} if kind == "train_task" else {}
    before = len(tasks.client.call("GET", f"{kind}/list", **counted))

    def add(_number: int) -> str:
        return tasks.client.change("POST", f"{kind}/add", headers=key, **form)

    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(add, range(8)))

    assert len(made) == 1
    assert len(tasks.client.call("GET", f"{kind}/list", **counted)) == before + 1
    if kind not in forms:
        # Another key, and another user's same key, are other things.
        assert tasks.client.change("POST", f"{kind}/add", **form) not in made
        assert bob.change("POST", f"{kind}/add", headers=key, **form) not in made


def test_the_reply_to_a_new_task_holds_the_task(tasks: Tasks) -> None:
    key = {"Idempotency-Key": "with-the-task"}

    made = tasks.client.call("POST", "train_task/add", headers=key, **tasks.form)

    check_shape(made["task"], {**TASK, **TASK_PHASE})
    assert made["task"]["id"] == made["data"]
    ended = tasks.client.wait_end(made["data"])
    # What a repeated request is told is as true as it was then.
    again = tasks.client.call("POST", "train_task/add", headers=key, **tasks.form)
    assert again["data"] == made["data"]
    assert again["task"] == ended


def test_one_key_at_two_paths_makes_two_things(tasks: Tasks) -> None:
    key = {"Idempotency-Key": "shared"}

    made = {
        tasks.client.change("POST", f"{kind}/add", headers=key, name="keyed")
        for kind in ("dataset", "model")
    }

    assert {one[:4] for one in made} == {"DSET", "MODE"}


@pytest.mark.parametrize("key", ["", "x" * 65, "a b", "a/b", "ü".encode()])
def test_a_key_that_cannot_be_one_makes_nothing(tasks: Tasks, key: str | bytes) -> None:
    before = tasks.client.call("GET", "dataset/list")

    answer = tasks.client.ask("POST", "dataset/add", headers={"Idempotency-Key": key}, name="x")

    check_error(answer, 400)
    assert tasks.client.call("GET", "dataset/list") == before


# Batch.


def test_a_batch_gives_the_tasks_that_there_are(tasks: Tasks, bob: PublishedClient) -> None:
    ids = [tasks.add("true") for _ in range(3)]
    for task in ids:
        tasks.client.wait_end(task)
    asked = json.dumps([*ids, ids[0], "TRAI" + "0" * 28, "../x", "DSET" + "0" * 28])

    found = tasks.client.call("POST", "train_task/batch", ids=asked)

    assert {task["id"]: task for task in found} == {
        task: tasks.client.one("train_task/query", id=task) for task in ids
    }
    assert len(found) == 3
    assert bob.call("POST", "train_task/batch", ids=asked) == []
    assert tasks.client.call("POST", "train_task/batch", ids="[]") == []
    for wrong in ("{}", "[1]", "x", json.dumps(["x"] * 10_001)):
        tasks.client.refused(400, "POST", "train_task/batch", ids=wrong)


# Events.


def test_events_tell_a_task_from_its_queue_to_its_end(tasks: Tasks) -> None:
    task = tasks.add("exec python wait.py")
    seen = []
    with tasks.events({task: 0}) as events:
        for event in events:
            seen.append(event)
            if event["kind"] == "log" and "ready" in event["data"]["text"]:
                tasks.touch(task)

    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    assert {event["task"] for event in seen} == {task}
    assert all(event["ms"] > 1_600_000_000_000 for event in seen)
    states = [event["data"] for event in seen if event["kind"] == "state"]
    for state in states:
        shape = {key: kind for key, kind in TASK.items() if key != "secret_key"}
        check_shape(state, shape | TASK_PHASE)
        assert "secret_key" not in state
    phases = [state["phase"] for state in states]
    order = ["queued", "starting", "running", "succeeded"]
    assert phases == [phase for phase in order if phase in phases]
    assert phases[-1] == "succeeded"
    logs = [event["data"] for event in seen if event["kind"] == "log"]
    assert "".join(log["text"] for log in logs) == "ready\ngone on\n"
    assert [log["offset"] for log in logs] == [0, *(log["next"] for log in logs[:-1])]
    assert [event["kind"] for event in seen[-2:]] == ["state", "end"]
    assert seen[-1]["data"] == {}


def test_where_many_wait_their_places_are_told_now_and_then(tasks: Tasks) -> None:
    """Of 50 that wait, each start moves all; to tell that each time would be 1,275 lines."""
    first = [tasks.add("exec python wait.py") for _ in range(2)]
    ids = [tasks.add("true") for _ in range(50)]
    told: dict[str, list[int]] = {task: [] for task in ids}
    ended = set()
    with tasks.events(dict.fromkeys([*ids, *first], 0)) as events:
        for event in events:
            if event["kind"] == "end":
                ended.add(event["task"])
            place = event["data"].get("queue_position")
            if event["kind"] == "state" and place is not None and event["task"] in told:
                told[event["task"]].append(place)
                if sum(map(len, told.values())) == len(ids):  # each was told its first place
                    for task in first:
                        tasks.touch(task)
    assert ended == {*ids, *first}
    assert all(places == sorted(places, reverse=True) for places in told.values())
    assert len(ids) < sum(map(len, told.values())) < 400


def test_a_reader_that_comes_back_goes_on_at_its_cursor(tasks: Tasks) -> None:
    task = tasks.add("exec python wait.py")
    text = ""
    with tasks.events({task: 0}) as events:
        # The first piece does not wait for the end of its line.
        for event in events:
            if event["kind"] == "log":
                first = event["data"]
                text += first["text"]
            if text.endswith("\n"):
                break
    assert text == "ready\n"
    tasks.touch(task)

    for _ in range(2):
        with tasks.events({task: first["next"]}) as events:
            found = list(events)
        assert "".join(e["data"]["text"] for e in found if e["kind"] == "log") == "gone on\n"
        assert found[-1]["kind"] == "end"
    with tasks.events({task: first["next"] + 8}) as events:
        assert [event["kind"] for event in events] == ["state", "end"]


def test_a_piece_never_ends_within_a_character(tasks: Tasks) -> None:
    task = tasks.add("exec python split.py")
    pieces = []
    with tasks.events({task: 0}) as events:
        tasks.touch(task, "go0")
        for event in events:
            if event["kind"] != "log":
                continue
            pieces.append(event["data"])
            for number in range(1, 5):
                tasks.touch(task, f"go{number}")

    assert pieces[0] == {"offset": 0, "next": 1, "text": "a"}
    assert "".join(piece["text"] for piece in pieces) == "a你b😀\ufffd\ufffd"
    assert [piece["offset"] for piece in pieces[1:]] == [piece["next"] for piece in pieces[:-1]]
    # The last piece of a task that has ended may be half a character.
    assert pieces[-1]["next"] == 11


def test_one_stream_carries_many_tasks(tasks: Tasks, bob: PublishedClient) -> None:
    running = tasks.add("exec python wait.py")
    ended = tasks.add("echo hello")
    nobody = "TRAI" + "0" * 28
    others: dict[str, list[str]] = {}
    with tasks.events({running: 0, ended: 0, nobody: 0}) as events:
        for event in events:
            others.setdefault(event["task"], []).append(event["kind"])
            if event["task"] == ended and event["kind"] == "end":
                tasks.touch(running)

    assert others[nobody] == ["gone"]
    assert others[running][-1] == others[ended][-1] == "end"
    # Another's task is as one that does not exist.
    answer = bob.ask("POST", "events", cursors=json.dumps({running: 0}))
    assert [json.loads(line)["kind"] for line in answer.text.splitlines()] == ["gone"]


def test_a_large_log_comes_in_pieces(tasks: Tasks) -> None:
    task = tasks.add("exec python -c 'for i in range(100000): print(i, \"é\" * 10)'")
    tasks.client.wait_end(task)
    with tasks.events({task: 0}) as events:
        logs = [event["data"] for event in events if event["kind"] == "log"]

    assert max(log["next"] - log["offset"] for log in logs) <= 262_144
    text = "".join(log["text"] for log in logs)
    assert text == "".join(f"{number} {'é' * 10}\n" for number in range(100_000))


def test_a_stream_ends_when_its_reader_hangs_up(tasks: Tasks) -> None:
    """A stream that nobody reads would keep the engine from ending when it is idle."""
    task = tasks.add("exec python wait.py")

    def busy() -> bool:
        return bool(tasks.client.call("GET", "engine/status")["idle_s"] == 0)

    with tasks.events({task: 0}) as events:
        next(event for event in events if event["kind"] == "log")
        assert busy()
    wait_until(lambda: not busy(), 10, "the engine knows that nobody reads")
    tasks.touch(task)
    tasks.client.wait_end(task)


@pytest.mark.parametrize(
    "cursors",
    ["", "{}", "[]", "x", '{"TRAI": 0}', '{"../x": 0}', '{"%s": -1}', '{"%s": true}', '{"%s": "0"}',
     '{"%s": 1.5}'],
)  # fmt: skip
def test_cursors_that_cannot_be_are_refused(tasks: Tasks, cursors: str) -> None:
    task = "TRAI" + "0" * 28

    tasks.client.refused(400, "POST", "events", cursors=cursors.replace("%s", task))


def test_silence_is_broken_by_a_ping(tmp_path: Path) -> None:
    async def first_events() -> list[dict[str, Any]]:
        database = Database(tmp_path / "store.sqlite3")
        store, watcher = Store(database), Watcher(IOLoop.current())
        task = TaskRow(id=new_id("TRAI"), name="t", phase=TaskPhase.RUNNING, creator_id="u")
        store.add_task(task)
        stream = EventStream(
            store, watcher, tmp_path, cursors={task.id: 0}, user_id="u", ping_s=0.05
        )
        found: list[dict[str, Any]] = []
        lines = stream.lines()
        async for data in lines:
            found += [json.loads(line) for line in data.splitlines()]
            if len(found) >= 3:
                break
        await lines.aclose()
        watcher.close()
        database.close()
        return found

    found = asyncio.run(first_events())

    assert [event["kind"] for event in found] == ["state", "ping", "ping"]
    assert [event["seq"] for event in found] == [1, 2, 3]
    assert found[1]["task"] is None


# Counters.


def test_counters_and_keys_survive_a_restart(own_engine: EngineHome, tmp_path: Path) -> None:
    own_engine.start()
    local = PublishedClient(own_engine.address, own_engine.token)
    name = {"name": own_engine.home.root.name}
    key = {"Idempotency-Key": "before"}
    dataset = local.change("POST", "dataset/add", headers=key, filename="a.bin", **name)
    local.upload(dataset, b"12345")
    local.wait_ready("dataset", dataset)
    before = local.call("GET", "engine/counters")
    assert before == {
        "upload_bytes": 5, "upload_chunks": 1, "uploads_finished": 1, "git_bytes": 0,
        "tasks_created": 0,
    }  # fmt: skip

    own_engine.stop()
    own_engine.start()

    local = PublishedClient(own_engine.address, own_engine.token)
    assert local.call("GET", "engine/counters") == before
    assert local.change("POST", "dataset/add", headers=key, filename="a.bin", **name) == dataset
    assert local.one("dataset/query", id=dataset)["state"] == 3
