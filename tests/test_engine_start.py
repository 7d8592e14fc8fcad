"""Starting and ending the one engine of a home (faults A14, C1, C4, C5, C9)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from anylearn_jupyter.engine import control
from anylearn_jupyter.engine.task_files import TaskFiles
from anylearn_jupyter.errors import EngineError
from anylearn_jupyter.home import Endpoint
from engine_home import EngineHome, own_engine
from published import PublishedClient
from waiting import wait_until

__all__ = ["own_engine"]

# Each asks for the engine when the barrier opens, and says what it got.
ASKER = """
import json, os, sys, time
from anylearn_jupyter.client.engine_process import find_or_start
from anylearn_jupyter.config import Settings
settings = Settings.read()
print("ready", flush=True)
sys.stdin.readline()
began = time.monotonic()
found = find_or_start(settings)
print(json.dumps([found.address, found.pid, time.monotonic() - began]), flush=True)
sys.stdin.read()
"""
WAIT = "import os, time\nprint('up', flush=True)\nwhile not os.path.exists('go'): time.sleep(.02)"


def add_waiting_task(engine: EngineHome, directory: Path) -> tuple[PublishedClient, str]:
    """Add a task of Ada's that runs until `go_on`, and wait until it runs."""
    client = PublishedClient.login(engine.address, "ada", "lovelace")
    algorithm, commit = client.send_code("code", directory, {"wait.py": WAIT})
    task = client.change(
        "POST", "train_task/add", name="t", project_id=client.one("project/default")["id"],
        algorithm_id=algorithm, algorithm_git_ref=commit, train_params="{}",
        entrypoint="exec python wait.py",
    )  # fmt: skip
    log = TaskFiles.of(engine.home.engine / "tasks", task).log
    wait_until(lambda: log.exists() and log.read_bytes() == b"up\n", 30, "it runs")
    return client, task


def go_on(engine: EngineHome, task: str) -> None:
    TaskFiles.of(engine.home.engine / "tasks", task).code.joinpath("go").touch()


# C1: many at once.


@pytest.mark.parametrize("round_number", range(3))
def test_ten_kernels_that_ask_at_once_get_one_engine(
    own_engine: EngineHome, round_number: int
) -> None:
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", ASKER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own_engine.environment,
        )
        for _ in range(10)
    ]  # fmt: skip
    try:
        lines = [asker.stdout for asker in askers]
        assert [line.readline() for line in lines if line] == ["ready\n"] * 10
        for asker in askers:
            assert asker.stdin is not None
            asker.stdin.write("\n")
            asker.stdin.flush()
        found = [json.loads(line.readline()) for line in lines if line]
        serving = own_engine.serving()
    finally:
        for asker in askers:
            asker.communicate()
    assert [asker.returncode for asker in askers] == [0] * 10
    assert len({(address, pid) for address, pid, _ in found}) == 1
    # 5 s are promised; the machine of a test may be busy with others.
    assert max(seconds for *_, seconds in found) < 20
    assert serving == [found[0][1]]
    endpoint = Endpoint.read(own_engine.home)
    assert endpoint is not None
    assert (endpoint.address, endpoint.pid) == tuple(found[0][:2])


def test_of_engines_that_start_at_once_one_stays_and_the_others_end_well(
    own_engine: EngineHome,
) -> None:
    words = [sys.executable, "-m", "anylearn_jupyter.engine", "serve"]
    own_engine.home.root.mkdir(mode=0o700)
    started = [
        subprocess.Popen(words, env=own_engine.environment, stderr=subprocess.DEVNULL)
        for _ in range(6)
    ]
    try:
        wait_until(
            lambda: sum(process.poll() is not None for process in started) == 5, 40, "five end"
        )
        (stays,) = [process for process in started if process.returncode is None]
        status = wait_until(lambda: own_engine.status(), 20, "it answers")
        assert status["pid"] == stays.pid
        assert sum(process.returncode or 0 for process in started) == 0
    finally:
        own_engine.stop()
        for process in started:
            process.wait(20)


def test_the_command_and_a_kernel_find_the_same_engine(own_engine: EngineHome) -> None:
    first = own_engine.ask()

    said = own_engine.command("start").stdout

    assert said == f"engine runs already at {first.address} (process {first.pid})\n"
    assert own_engine.ask() == first
    assert own_engine.token not in repr(first)


# C4: it cannot start.


def break_store(engine: EngineHome) -> Callable[[], None]:
    store = engine.home.engine / "store.sqlite3"
    store.write_bytes(b"no database at all" * 100)
    return store.unlink


def break_packages(engine: EngineHome) -> Callable[[], None]:
    package = engine.home.root.parent / "broken" / "tornado"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('tornado is broken here')")
    os.environ["PYTHONPATH"] = str(package.parent)
    return lambda: os.environ.pop("PYTHONPATH") and None


def break_home(engine: EngineHome) -> Callable[[], None]:
    blobs = engine.home.engine / "blobs"
    blobs.symlink_to("/tmp")
    return blobs.unlink


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_store, "store.sqlite3 cannot be read"),
        (break_packages, "tornado is broken here"),
        (break_home, "is a link or belongs to another user"),
    ],
)
def test_an_engine_that_cannot_start_says_why(
    own_engine: EngineHome,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[EngineHome], Callable[[], None]],
    words: str,
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    own_engine.home.engine.mkdir(parents=True, mode=0o700)
    mend = damage(own_engine)

    with pytest.raises(EngineError, match="cannot start") as caught:
        own_engine.ask()

    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 22
    started = own_engine.command("start", check=False)
    if damage is not break_packages:  # that command could not even be asked
        assert started.returncode == 1
        assert words in started.stderr
    assert own_engine.serving() == []
    assert not control.lock_is_held(own_engine.home)
    assert not own_engine.home.endpoint.exists()
    mend()
    assert own_engine.ask().pid in own_engine.serving()


# C5: it hangs.


def test_an_engine_that_hangs_is_named_and_has_no_second_beside_it(
    own_engine: EngineHome, tmp_path: Path
) -> None:
    own_engine.add_user("ada", "lovelace")
    old = own_engine.ask()
    _, task = add_waiting_task(own_engine, tmp_path / "code")
    os.kill(old.pid, signal.SIGSTOP)

    with pytest.raises(EngineError, match=rf"process {old.pid}\) does not answer"):
        own_engine.ask()

    assert own_engine.serving() == [old.pid]
    # One that was only asleep goes on.
    os.kill(old.pid, signal.SIGCONT)
    assert own_engine.ask() == old
    # One that stays so is ended the way that the message names.
    os.kill(old.pid, signal.SIGSTOP)
    assert own_engine.stop() == "engine did not answer and was ended; its tasks go on\n"
    new = own_engine.ask()
    assert new.pid != old.pid
    client = PublishedClient.login(new.address, "ada", "lovelace")
    assert client.one("train_task/query", id=task)["phase"] == "running"


# C9: nobody needs it.


def idle_s(engine: EngineHome) -> float:
    """For how long nothing has needed the engine; asking is no need."""
    local = PublishedClient(engine.address, engine.token)
    return float(local.call("GET", "engine/status")["idle_s"])


def test_an_idle_engine_ends_but_not_with_a_task(own_engine: EngineHome, tmp_path: Path) -> None:
    limit_s = 1.8
    own_engine.add_user("ada", "lovelace")
    own_engine.start("--idle-minutes", str(limit_s / 60))
    client, task = add_waiting_task(own_engine, tmp_path / "code")
    wait_until(lambda: idle_s(own_engine) > 1.3 * limit_s, 20, "it has been idle for too long")

    go_on(own_engine, task)
    assert client.wait_end(task)["state"] == 2
    own_engine.wait_gone()

    assert not own_engine.home.endpoint.exists()
    assert not control.lock_is_held(own_engine.home)
    assert own_engine.status() == {"running": False}
    log = own_engine.home.engine_log.read_text()
    assert "nobody has needed the engine" in log
    # The next call starts it again.
    assert own_engine.ask().pid != 0
    assert client.one("train_task/query", id=task)["state"] == 2


# A14, and the port that tasks know.


def test_a_stop_leaves_the_tasks_to_the_next_engine(own_engine: EngineHome, tmp_path: Path) -> None:
    own_engine.add_user("ada", "lovelace")
    own_engine.start()
    client, task = add_waiting_task(own_engine, tmp_path / "code")

    assert own_engine.stop() == "engine stops; 1 task goes on\n"
    own_engine.wait_gone()
    assert own_engine.status() == {"running": False}
    go_on(own_engine, task)
    old = own_engine.address
    own_engine.start()

    assert own_engine.address == old
    assert own_engine.status()["adopted"] in (0, 1)
    assert client.wait_end(task)["state"] == 2


def test_a_signal_leaves_the_tasks_too_also_twice(own_engine: EngineHome, tmp_path: Path) -> None:
    own_engine.add_user("ada", "lovelace")
    own_engine.start()
    client, task = add_waiting_task(own_engine, tmp_path / "code")

    for _ in range(2):
        os.kill(own_engine.pid, signal.SIGTERM)
    own_engine.wait_gone()
    assert "engine stops; 1 task goes on" in own_engine.home.engine_log.read_text()
    own_engine.start()

    assert own_engine.status()["adopted"] == 1
    assert "engine restarted, 1 tasks adopted" in own_engine.home.engine_log.read_text()
    assert client.one("train_task/query", id=task)["phase"] == "running"


def test_a_stop_with_tasks_ends_them(own_engine: EngineHome, tmp_path: Path) -> None:
    own_engine.add_user("ada", "lovelace")
    own_engine.start()
    client, task = add_waiting_task(own_engine, tmp_path / "code")

    assert own_engine.stop("--tasks") == "engine stops\n"
    own_engine.wait_gone()

    own_engine.start()
    assert client.one("train_task/query", id=task)["phase"] == "aborted"


def test_a_port_that_is_taken_is_replaced_and_noted(own_engine: EngineHome) -> None:
    own_engine.start()
    old = own_engine.port
    own_engine.stop()
    own_engine.wait_gone()

    with socket.create_server(("127.0.0.1", old)):
        own_engine.start()
        assert own_engine.port != old
    assert f"the recorded port {old} is taken" in own_engine.home.engine_log.read_text()


# The command.


def test_the_status_is_one_json_object(own_engine: EngineHome) -> None:
    asked = own_engine.command("status", "--json", check=False)
    assert (asked.returncode, json.loads(asked.stdout)) == (1, {"running": False})
    assert own_engine.command("status", check=False).returncode == 1
    own_engine.start()

    found = own_engine.status()

    assert found.keys() >= {"running", "address", "pid", "version", "home", "tasks", "started_ms"}
    assert found["running"] is True
    assert found["home"] == str(own_engine.home.root)
    assert found["address"] in own_engine.command("status").stdout


def test_stopping_what_does_not_run_says_so(own_engine: EngineHome) -> None:
    stopped = own_engine.command("stop", check=False)

    assert stopped.returncode == 1
    assert "No engine runs" in stopped.stderr


def test_a_user_is_added_without_an_engine_and_the_password_only_on_standard_input(
    own_engine: EngineHome,
) -> None:
    said = own_engine.command("user", "add", "ada", "--password-stdin", stdin="a b'c\n").stdout
    assert said == "user ada added\n"
    own_engine.start()

    assert PublishedClient.login(own_engine.address, "ada", "a b'c").call("GET", "user/me")
    for words in (["ada"], ["ada", "secret"], ["ada", "--password", "secret"]):
        wrong = own_engine.command("user", "add", *words, stdin="x\n", check=False)
        assert wrong.returncode == 2


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("a b", "x", "cannot be a user's"), ("../x", "x", "cannot be a user's"),
        (".no-hooks", "x", "cannot be a user's"), ("x" * 51, "x", "cannot be a user's"),
        ("ada", "", "password"), ("ada", "x" * 1025, "password"),
    ],
)  # fmt: skip
def test_a_user_that_cannot_be_is_refused_in_one_sentence(
    own_engine: EngineHome, name: str, password: str, words: str
) -> None:
    refused = own_engine.command(
        "user", "add", name, "--password-stdin", stdin=f"{password}\n", check=False
    )

    assert refused.returncode == 1
    assert words in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
