"""``--timeout`` and ``--retry``: kept by the task's shim, so they outlive kernel and engine."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from anylearn_jupyter.client.connection import connect, disconnect
from anylearn_jupyter.engine.attempts import time_text
from anylearn_jupyter.engine.processes import Process
from anylearn_jupyter.engine.task_files import TaskFiles, write_record
from anylearn_jupyter.entities import TaskPhase
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.durations import duration_word, read_duration
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.plan_view import plan_text
from anylearn_jupyter.notebook.training import training
from anylearn_jupyter.submit.outcome import outcome_text
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.planning import plan
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.task import TrainTask
from conftest import RunningEngine, engine_command
from engine_home import EngineHome, of_the_engine, shared_engine
from plain_gateway import PASSWORD, USER
from shim_fixtures import ShimTask, make_task, python, task
from waiting import wait_until

__all__ = ["make_task", "of_the_engine", "shared_engine", "task"]

PARSER = parser_of(AnylearnMagics.anylearn_train)

DEAF = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
print("deaf", flush=True)
time.sleep(600)
"""

# Counts its starts in a file; a later attempt finds what earlier ones left.
COUNT = "echo start >> starts; echo attempt $ANYLEARN_TASK_ATTEMPT; "


# The shim.


def test_a_task_over_its_time_is_asked_to_end_and_has_failed(task: ShimTask) -> None:
    ended = task.run(
        python(
            "import signal,sys,time\nsignal.signal(15, lambda *_: sys.exit(0))\ntime.sleep(600)"
        ),
        timeout_s=1.5,
    )
    assert (ended["kind"], ended["number"], ended["stopped"]) == ("timeout", None, False)
    assert ended["message"] == "stopped after 1.5 s, its limit"
    assert (
        task.log().decode() == "[Anylearn] The task has run for 1.5 s, its limit; it is stopped.\n"
    )
    assert 1400 <= ended["finished_ms"] - ended["started_ms"] < 10_000


def test_one_that_does_not_end_is_killed_with_all_that_it_started(task: ShimTask) -> None:
    ended = task.run(python(DEAF), timeout_s=1, stop_grace_s=0.3, retries=3)
    assert ended["message"] == "stopped after 1 s, its limit, by force as it did not end by itself"
    assert task.relatives() == []
    assert task.log().count(b"deaf") == 2, "no second attempt: the time is for all of them"


def test_a_task_that_ends_in_time_is_as_without_a_limit(task: ShimTask) -> None:
    ended = task.run("exit 3", timeout_s=60)
    assert (ended["kind"], ended["number"], ended["message"]) == ("exit", 3, "")


def test_a_failed_task_is_started_again_until_it_succeeds(task: ShimTask) -> None:
    ended = task.run(COUNT + "[ $(wc -l < starts) -ge 3 ] || exit 7", retries=5)
    assert (ended["kind"], ended["number"], ended["message"]) == ("exit", 0, "")
    assert task.log().decode().splitlines() == [
        "attempt 1",
        "[Anylearn] The task ended with exit code 7; it is started again, attempt 2 of 6.",
        "attempt 2",
        "[Anylearn] The task ended with exit code 7; it is started again, attempt 3 of 6.",
        "attempt 3",
    ]


def test_the_last_attempt_decides(task: ShimTask) -> None:
    ended = task.run(COUNT + "exit 7", retries=1)
    assert (ended["kind"], ended["number"]) == ("exit", 7)
    assert ended["message"] == "the last of 2 attempts"
    assert (task.files.code / "starts").read_text() == "start\n" * 2


def test_a_killed_process_is_a_failure_and_what_it_left_is_ended_first(task: ShimTask) -> None:
    task.start(COUNT + "if [ -e again ]; then exit 0; fi; sleep 600 & echo $$; wait", retries=1)
    task.wait_for_log(b"attempt 1\n")
    started = json.loads(task.files.started.read_text())
    (task.files.code / "again").touch()
    os.kill(started["pid"], signal.SIGKILL)
    ended = task.wait()
    assert (ended["kind"], ended["number"]) == ("exit", 0)
    log = task.log().decode()
    assert "left processes running; they were ended: sleep" in log
    assert "was ended by SIGKILL; it is started again, attempt 2 of 2" in log
    assert task.relatives() == []
    assert json.loads(task.files.started.read_text())["started_ms"] == started["started_ms"]


def test_a_stopped_task_is_not_started_again(task: ShimTask) -> None:
    task.start(COUNT + "sleep 600", retries=5)
    task.wait_for_log(b"attempt 1\n")
    write_record(task.files.stop, {"grace_s": 0.2}, durable=False)
    task.ask_to_stop()
    ended = task.wait()
    assert (ended["stopped"], ended["message"][:20]) == (True, "stopped on request")
    assert (task.files.code / "starts").read_text() == "start\n"


def test_one_that_cannot_be_started_is_not_tried_again(task: ShimTask) -> None:
    task.files.code.rmdir()
    ended = task.run("true", retries=5)
    assert ended["kind"] == "start"
    assert task.log() == b""


# The engine.


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)
    (directory / "sleep.py").write_text(
        "import time\nprint('up', flush=True)\ntime.sleep(600)\n", encoding="utf-8"
    )
    (directory / "fail.py").write_text("raise SystemExit(7)\n", encoding="utf-8")
    return directory


def request_of(line: str, body: str = "") -> TrainRequest:
    return training(parse_line(PARSER, line, body=True), body, Names({})).request


def trained(line: str) -> TrainTask:
    return submit(request_of(line)).task


def test_state_and_cause_say_it_in_words(project: Path, of_the_engine: None) -> None:
    late = trained("sleep.py --timeout 1s")
    failed = trained("fail.py --retry 2")
    late.wait(60)
    failed.wait(60)
    assert late.phase == failed.phase == TaskPhase.FAILED
    assert outcome_text(late.detail) == "failed: stopped after 1 s, its limit"
    assert outcome_text(failed.detail) == "failed with exit code 7, the last of 3 attempts"
    assert failed.log_text().count("is started again") == 2


def test_a_limit_outlives_the_engine(project: Path, engine: RunningEngine) -> None:
    disconnect()
    late = trained("sleep.py --timeout 4s")
    files = TaskFiles.of(engine.home / "engine" / "tasks", late.id)
    wait_until(lambda: files.started.exists(), 30, "it runs")
    process = Process.find(json.loads(engine_command("status", "--json").stdout)["pid"])
    assert process is not None
    assert process.send(signal.SIGKILL)
    wait_until(files.exit.exists, 30, "nobody but the shim is there, and it ends the task")
    engine_command("start")
    disconnect()
    late.wait(30)
    assert outcome_text(late.detail) == "failed: stopped after 4 s, its limit"


def test_a_server_that_watches_nothing_is_said_before_anything_is_sent(
    project: Path, shared_gateway: EngineHome
) -> None:
    disconnect()
    connection = connect(shared_gateway.address, username=USER, password=PASSWORD)
    before = connection.api.algorithms()
    with pytest.raises(OptionError, match=r"--timeout and --retry cannot be kept by http.*leave"):
        submit(request_of(f"fail.py --timeout 2h --retry 1 --server {shared_gateway.address}"))
    assert connection.api.algorithms() == before
    disconnect()


# What is typed.


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("2h", 7200), ("1h30m", 5400), ("1.5 h", 5400), ("1d 2h", 93_600), ("5min", 300)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert read_duration(text, "--timeout") == seconds
    assert read_duration(duration_word(seconds), "--timeout") == seconds


@pytest.mark.parametrize("text", ["", "90", "2 hours", "h", "-1h", "0s", "1h30", "1e3s"])
def test_what_is_no_duration_is_refused(text: str, project: Path) -> None:
    with pytest.raises(OptionError, match="is no duration; write 90s, 45m, 2h or 1h30m"):
        request_of(f"fail.py --timeout='{text}'")


@pytest.mark.parametrize("line", ["--retry many", "--retry -1", "--retry 1.5"])
def test_what_is_no_number_of_attempts_is_refused(line: str, project: Path) -> None:
    with pytest.raises(OptionError, match="--retry"):
        request_of(f"fail.py {line}")


def test_too_many_attempts_are_refused_here(project: Path, home: Path) -> None:
    with pytest.raises(OptionError, match="--retry 101 is no whole number from 0 to 100"):
        submit(request_of("fail.py --retry 101"))


def test_a_plan_says_it(project: Path, of_the_engine: None) -> None:
    text = plan_text(plan(request_of("fail.py --timeout 2h --retry 1")))
    assert "limits    stopped after 2h" in text
    assert "started again once where it fails" in text


def test_words_for_a_time() -> None:
    assert [time_text(one) for one in (1, 60, 5400, 90_061)] == [
        "1 s", "1 min", "1 h 30 min", "1 d 1 h 1 min 1 s",
    ]  # fmt: skip
