"""``--secret NAME``: the value reaches the task, and stands nowhere else (faults F5, F6, G2).

A canary is looked for in every byte that was written by anybody, and in what every process shows.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anylearn_jupyter.client import hidden
from anylearn_jupyter.client.connection import connect, disconnect
from anylearn_jupyter.engine.masking import Mask
from anylearn_jupyter.engine.task_files import TaskFiles, write_record
from anylearn_jupyter.errors import OptionError, TaskFailed
from anylearn_jupyter.home import Home
from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.plan_view import plan_text
from anylearn_jupyter.notebook.training import training
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.planning import plan
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.secrets import enter_secret
from conftest import RunningEngine
from engine_fixtures import Talker
from engine_home import EngineHome, shared_engine
from kernel_fixtures import RealKernel, kernels
from plain_gateway import PASSWORD, USER
from shim_fixtures import ShimTask, make_task, task
from waiting import wait_until

__all__ = ["kernels", "make_task", "shared_engine", "task"]

PARSER = parser_of(AnylearnMagics.anylearn_train)
NAME = "HF_TOKEN"
CANARY = "hf_canary-4711-Zx"
SCRIPT = f"""
import os, sys, time
token = os.environ["{NAME}"]
print("token", token)
print("length", len(token), flush=True)
for char in token:
    sys.stdout.write(char)
    sys.stdout.flush()
    time.sleep(0.01)
print()
print("error", token, file=sys.stderr)
print({{name: value for name, value in os.environ.items() if "AUTH_TOKEN" in name}})
if "--wait" in sys.argv:
    time.sleep(600)
raise RuntimeError(token)
"""


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin and end with nothing entered and nothing hidden."""
    monkeypatch.delenv(NAME, raising=False)
    monkeypatch.setattr("anylearn_jupyter.submit.secrets._entered", {})
    monkeypatch.setattr(hidden, "_values", set())
    monkeypatch.setattr(hidden, "_patterns", None)
    disconnect()
    yield
    disconnect()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    (directory / "train.py").write_text(SCRIPT, encoding="utf-8")
    return directory


def request_of(line: str, body: str = "") -> TrainRequest:
    return training(parse_line(PARSER, line, body=True), body, Names({})).request


def files_with(text: str, root: Path) -> list[str]:
    """Name every file below a directory that has this text in it."""
    found = []
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes():
            found.append(str(path.relative_to(root)))
    return found


def shown_by_processes(text: str) -> list[str]:
    """Name every process that shows this text in its arguments."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            shown = path.read_bytes()
        except OSError:
            continue
        if text.encode() in shown:
            found.append(shown.replace(b"\0", b" ").decode())
    return found


# Where it stands, and where not.


def test_the_value_reaches_the_task_and_stands_nowhere(
    project: Path, engine: RunningEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, CANARY)
    task = submit(request_of(f"train.py --secret {NAME}", "wait")).task
    files = TaskFiles.of(engine.home / "engine" / "tasks", task.id)
    wait_until(lambda: "{" in task.log_text(), 30, "it has printed all")

    assert shown_by_processes(CANARY) == []
    assert files_with(CANARY, tmp_path) == [], "home, engine, ledger, snapshots, project"
    assert not files.secrets.exists()
    log = task.log_text()
    assert f"length {len(CANARY)}" in log, "the task has it"
    assert log.count("***") == 3, "in one piece, letter by letter, and on the other stream"
    assert "{}" in log, "and no session of ours"
    told = task.connection().api.task(task.id)
    assert CANARY not in repr(vars(told))
    assert NAME not in told.envs
    task.stop()
    task.wait(30)
    assert CANARY not in repr(task) + json.dumps(task.record.profile)
    assert task.record.profile["request"]["secrets"] == [NAME]
    assert files_with(CANARY, tmp_path) == []


def test_an_error_of_a_failed_task_does_not_have_it(
    project: Path, engine: RunningEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, CANARY)
    task = submit(request_of(f"train.py --secret {NAME}")).task
    task.wait(60)
    with pytest.raises(TaskFailed, match=r"RuntimeError: \*\*\*") as caught:
        task.raise_if_failed()
    assert CANARY not in str(caught.value)


def test_a_task_that_never_starts_leaves_no_value(
    project: Path, engine: RunningEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, CANARY)
    cores = os.cpu_count() or 1
    first = submit(request_of(f"train.py --secret {NAME} -r CPU={cores}", "wait")).task
    second = submit(request_of(f"train.py --secret {NAME} -r CPU={cores}")).task
    files = TaskFiles.of(engine.home / "engine" / "tasks", second.id)
    assert files.secrets.stat().st_mode & 0o777 == 0o600, "it waits, in a private file"
    second.stop()
    second.wait(30)
    assert not files.secrets.exists()
    first.stop()
    first.wait(30)
    assert files_with(CANARY, tmp_path) == []


def test_repeating_asks_the_environment_again(
    project: Path, engine: RunningEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, CANARY)
    task = submit(request_of(f"train.py --secret {NAME}")).task
    task.wait(60)
    monkeypatch.setenv(NAME, "another-value")
    again = task.retry()
    again.wait(60)
    assert "length 13" in again.log_text()
    monkeypatch.delenv(NAME)
    with pytest.raises(OptionError, match=f"there is no variable {NAME}"):
        task.retry()


def test_every_attempt_has_it(task: ShimTask) -> None:
    write_record(task.files.secrets, {"values": {NAME: CANARY}}, durable=False)
    ended = task.run(f"echo $ANYLEARN_TASK_ATTEMPT ${NAME}; exit 1", retries=1)
    assert ended["number"] == 1
    assert task.log().splitlines()[::2] == [b"1 ***", b"2 ***"]
    assert not task.files.secrets.exists()


def test_a_task_does_not_start_without_its_values(
    project: Path, engine: RunningEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, CANARY)
    cores = os.cpu_count() or 1
    first = submit(request_of(f"train.py --secret {NAME} -r CPU={cores}", "wait")).task
    second = submit(request_of(f"train.py --secret {NAME}")).task
    TaskFiles.of(engine.home / "engine" / "tasks", second.id).secrets.unlink()
    first.stop()
    second.wait(60)
    assert second.detail.exit is not None
    assert second.detail.exit.message == "The values of its secrets are gone; submit it again."


# The mask.


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
def test_a_value_is_found_wherever_a_read_ends(size: int) -> None:
    text = b"xabcd abcabcd abcdef-xyz ab\nabcdef-xy end abc"
    mask = Mask(("abcd", "abcdef-xyz"))
    written = b"".join(mask.feed(text[at : at + size], 1) for at in range(0, len(text), size))
    assert written + mask.rest(1) == b"x*** abc*** *** ab\n***ef-xy end abc"


def test_streams_do_not_mix_and_nothing_else_waits() -> None:
    mask = Mask(("secret-1",))
    assert mask.feed(b"secr", 1) == b""
    assert mask.feed(b"et-1", 2) == b"et-1"
    assert mask.feed(b"et-1 sec", 1) == b"*** "
    assert mask.feed(b"ond\n", 1) == b"second\n"
    assert (mask.rest(1), mask.rest(2)) == (b"", b"")


def test_each_line_of_a_key_is_hidden() -> None:
    mask = Mask(("-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\n--\n",))
    assert mask.feed(b"MIIEpAIBAAKCAQEA\n-- x\n", 1) == b"***\n-- x\n"


def test_the_tasks_own_key_is_hidden_too(task: ShimTask) -> None:
    key = "TKEY" + "0" * 28
    task.files.code.mkdir(exist_ok=True)
    task.run(f"echo {key} TKEY", env={"secret_key": key, "PATH": os.environ["PATH"]})
    assert task.log() == b"*** TKEY\n"


def test_our_own_token_is_shown_by_no_view(project: Path, engine: RunningEngine) -> None:
    token = (engine.home / "engine" / "token").read_text().strip()
    (project / "thief.py").write_text(
        f"print('stolen', open({str(engine.home / 'engine' / 'token')!r}).read())\n",
        encoding="utf-8",
    )
    task = submit(request_of("thief.py")).task
    task.wait(60)
    followed = "".join(event.text for event in task.follow() if event.kind == "log")
    for text in (task.log_text(), followed):
        assert "stolen ****" in text
        assert token not in text


# What is refused, before anything is sent.


@pytest.mark.parametrize(
    ("line", "body", "part"),
    [
        ("--secret OTHER_TOKEN", "", "no variable OTHER_TOKEN in this kernel's environment"),
        ("--secret a-b", "", "is no variable's name"),
        (f"--secret {CANARY}", "", "is no variable's name"),
        ("--secret ANYLEARN_AUTH_TOKEN", "", "is our own credential"),
        (f"--secret {NAME} --env {NAME}=1", "", "by --env and by --secret"),
        ("--secret SHORT", "", "cannot be hidden in a log"),
        (f"--secret {NAME}", f"token = {CANARY}", "stands in the value of token"),
        (f"--secret {NAME}", f"-- {CANARY}", "stands in the arguments"),
        (f"--secret {NAME} --env X={CANARY}", "", "stands in --env X"),
        (f"--secret {NAME} --task-description {CANARY}", "", "stands in the description"),
    ],
)
def test_mistakes(
    line: str, body: str, part: str, project: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, CANARY)
    monkeypatch.setenv("SHORT", "123")
    with pytest.raises(OptionError) as caught:
        submit(request_of(f"train.py {line}", body))
    assert part in str(caught.value)
    assert part == "is no variable's name" or CANARY not in str(caught.value)
    assert not (home / "engine").exists() or files_with(CANARY, home / "engine") == []


def test_a_server_that_shows_variables_gets_none(
    project: Path, shared_gateway: EngineHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NAME, CANARY)
    connect(shared_gateway.address, username=USER, password=PASSWORD)
    with pytest.raises(OptionError, match=r"--secret cannot be kept by http.*shows a task's"):
        submit(request_of(f"train.py --secret {NAME}"))
    assert files_with(CANARY, shared_gateway.home.root) == []


def test_the_engine_refuses_without_showing_the_value(
    project: Path, engine: RunningEngine, tmp_path: Path
) -> None:
    talker = Talker(Home(engine.home), address=engine.address)
    talker.send_code(tmp_path / "code", {"x.py": ""})
    for secrets in ({"a b": CANARY}, {"X": "1"}, {"ANYLEARN_HOST": CANARY}, {"X": [CANARY]}):
        with pytest.raises(AssertionError) as caught:
            talker.add_task("python x.py", secrets=json.dumps(secrets))
        assert "400" in str(caught.value)
        assert CANARY not in str(caught.value)
    assert files_with(CANARY, engine.home) == []


def test_a_plan_names_them_and_needs_no_value(project: Path, engine: RunningEngine) -> None:
    text = plan_text(plan(request_of(f"train.py --secret {NAME}")))
    assert f"secrets   {NAME}" in text


# The notebook.


def test_what_is_missing_is_asked_for_and_kept_in_the_kernel_alone(
    project: Path, engine: RunningEngine, tmp_path: Path, kernels: Callable[[Path], RealKernel]
) -> None:
    kernel = kernels(project)
    kernel.run("%load_ext anylearn_jupyter")
    cell = kernel.start(f"%%anylearn_train train.py --secret {NAME} -o task")
    asked = kernel.client.get_stdin_msg(timeout=30)["content"]
    assert asked["password"] is True
    assert asked["prompt"] == f"Value of the secret {NAME} (kept in this kernel only): "
    kernel.client.input(CANARY)
    outputs = kernel.outputs_of(cell)
    text = kernel.text("task.wait(60)\nprint(task.log_text())")
    assert f"length {len(CANARY)}" in text
    more = kernel.text("print(repr(globals()), In, Out)")
    again = kernel.start("%%anylearn_train train.py --secret HF_TOKEN --new")
    kernel.outputs_of(again)
    assert CANARY not in json.dumps([outputs, text, more], default=str)
    kernel.shut_down()
    assert files_with(CANARY, tmp_path) == [], "IPython's history is among them"


def test_headless_nobody_is_asked(project: Path, engine: RunningEngine) -> None:
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'anylearn_jupyter')\n"
        f"shell.run_cell_magic('anylearn_train', 'train.py --secret {NAME}', 'x = 1')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert f"there is no variable {NAME} in this kernel's environment" in done.stderr


def test_hiding_is_safe_from_many_threads() -> None:
    def hide_many(start: int) -> None:
        for number in range(start, start + 200):
            hidden.hide(f"value-{number:05d}")
            assert hidden.without_hidden(f"<value-{number:05d}>") == "<***********>"

    threads = [threading.Thread(target=hide_many, args=(at,)) for at in (0, 1000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hidden.bytes_without_hidden(b"value-02100") == b"*" * 11
    enter_secret("X", "entered-value")
    assert hidden.without_hidden("entered-value!") == "*************!"
