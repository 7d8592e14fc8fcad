"""The shim: every byte, every end, every process (faults A4, B2, G7, H1, H2, H3, H4, H6)."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from anylearn_jupyter.engine.log_writer import HEADER, MAGIC, RECORD
from anylearn_jupyter.engine.processes import Process
from anylearn_jupyter.engine.task_files import write_record
from shim_fixtures import ShimTask, make_task, python, task
from waiting import wait_until

__all__ = ["make_task", "task"]

COUNT = "for i in range(1, 200001): print(i)\nraise SystemExit(7)"

# Each child forks twice, leaves the session, ignores SIGTERM, and says that it is there.
STUBBORN = """
import os, signal, sys, time
for number in range({count}):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.write(1, b"child\\n")
            time.sleep(600)
        os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.write(1, b"parent\\n")
time.sleep(600)
"""


def test_every_byte_and_the_exit_code_are_kept(task: ShimTask) -> None:
    ended = task.run(python(COUNT))

    assert (ended["kind"], ended["number"], ended["stopped"]) == ("exit", 7, False)
    assert task.log() == b"".join(b"%d\n" % i for i in range(1, 200001))
    assert ended["log_bytes"] == len(task.log())
    assert ended["log_lost_bytes"] == 0
    assert ended["started_ms"] <= ended["finished_ms"]
    assert task.files.shim_log.read_bytes() == b""


def test_exit_137_and_death_by_signal_9_are_told_apart(make_task: Callable[[], ShimTask]) -> None:
    returned = make_task().run("exit 137")
    killed = make_task().run("kill -9 $$")

    assert (returned["kind"], returned["number"]) == ("exit", 137)
    assert (killed["kind"], killed["number"]) == ("signal", 9)
    assert "memory" in killed["message"]


def test_stdout_and_stderr_and_binary_bytes_arrive_with_times(task: ShimTask) -> None:
    before = time.time() * 1000
    ended = task.run("printf 'a\\0\\377b'; sleep 0.05; printf 'err' >&2; sleep 0.05; printf 'c'")

    assert task.log() == b"a\0\xffberrc"
    data = task.files.log_index.read_bytes()
    assert HEADER.unpack(data[: HEADER.size]) == (MAGIC, 1, RECORD.size)
    records = list(RECORD.iter_unpack(data[HEADER.size :]))
    assert [(offset, stream) for offset, _, stream in records] == [(0, 1), (4, 2), (7, 1)]
    times = [ms for _, ms, _ in records]
    assert times == sorted(times)
    assert before - 2000 < times[0] < times[-1] <= ended["finished_ms"]
    assert struct.calcsize("<8sII") == HEADER.size


def test_lines_to_two_pipes_stay_whole(task: ShimTask) -> None:
    """An unbuffered `print` writes its line end on its own; the other pipe may not come between."""
    said = "for n in range(4000): print('out', n); print('err', n, file=sys.stderr)"
    task.run(python(f"import sys\n{said}"))

    lines = task.log().decode().splitlines()
    assert sorted(lines) == sorted(f"{to} {n}" for to in ("out", "err") for n in range(4000))


def test_the_task_has_its_own_variables_and_descriptors_only(task: ShimTask) -> None:
    task.run(
        python(
            "import json, os\n"
            "fds = sorted(int(n) for n in os.listdir('/proc/self/fd'))\n"
            "fds = [n for n in fds if os.path.exists(f'/proc/self/fd/{n}')]\n"
            "print(json.dumps([fds, dict(os.environ), os.getcwd(), os.getsid(0) == os.getpid()]))"
        )
    )

    descriptors, variables, directory, leads_session = json.loads(task.log())
    assert descriptors == [0, 1, 2]
    for ours in ("PWD", "LC_CTYPE", "OLDPWD", "SHLVL", "_"):  # the shell's and the interpreter's
        variables.pop(ours, None)
    assert variables == task.env
    assert directory == str(task.files.code)
    assert leads_session


def test_the_shim_shows_no_variable_of_the_task(task: ShimTask) -> None:
    task.start("echo ready; read line < /dev/null; exec sleep 60")
    task.wait_for_log(b"ready")
    assert task.process is not None

    shown = Path(f"/proc/{task.process.pid}/cmdline").read_bytes()

    assert task.files.task_id.encode() in shown
    assert b"PATH" not in shown
    assert b"sleep" not in shown
    for private in (task.files.launch, task.files.log, task.files.log_index):
        assert private.stat().st_mode & 0o077 == 0


def test_a_stop_ends_a_tree_that_resists(task: ShimTask) -> None:
    task.start(python(STUBBORN.format(count=60)), stop_grace_s=0.5)
    wait_until(lambda: task.log().count(b"child\n") == 60, 30, "the tree is there")
    assert len(task.relatives()) >= 61

    asked = time.monotonic()
    task.ask_to_stop()
    ended = task.wait()

    assert time.monotonic() - asked < 0.5 + 2
    assert task.relatives() == []
    assert (ended["stopped"], ended["forced"], ended["kind"]) == (True, True, "signal")
    assert ended["left_running"] == []


def test_a_stop_leaves_the_task_its_time_to_end_well(task: ShimTask) -> None:
    # The shell in front of it dies at once; the task itself still has the whole grace period.
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    time.sleep(0.4); print('saved', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)"
    )
    task.start(python(code).removeprefix("exec ") + "; echo not reached", stop_grace_s=20)
    task.wait_for_log(b"ready")

    task.ask_to_stop()
    ended = task.wait()

    assert task.log() == b"ready\nsaved\n"
    assert (ended["stopped"], ended["forced"]) == (True, False)


def test_a_second_stop_can_take_the_time_away(task: ShimTask) -> None:
    task.start("trap '' TERM; echo ready; while :; do sleep 0.1; done", stop_grace_s=60)
    task.wait_for_log(b"ready")
    task.ask_to_stop()

    write_record(task.files.stop, {"grace_s": 0.0}, durable=False)
    task.ask_to_stop()

    ended = task.wait()
    assert (ended["stopped"], ended["forced"], ended["number"]) == (True, True, 9)


def test_a_stop_reaches_a_task_that_stands_still(task: ShimTask) -> None:
    task.start("echo ready; kill -STOP $$", stop_grace_s=20)
    task.wait_for_log(b"ready")

    task.ask_to_stop()

    assert task.wait()["kind"] == "signal"


def test_a_stop_that_came_first_starts_nothing(task: ShimTask) -> None:
    task.files.stop.write_text('{"format": 1}')

    ended = task.run("touch started")

    assert (ended["kind"], ended["stopped"]) == ("start", True)
    assert not (task.files.code / "started").exists()


def test_processes_that_outlive_the_task_are_ended_and_named(task: ShimTask) -> None:
    ended = task.run("printf done; setsid sleep 600 & exit 0")

    assert (ended["kind"], ended["number"], ended["cut_off"]) == ("exit", 0, 1)
    first, line, rest = task.log().decode().split("\n")
    assert (first, rest) == ("done", "")
    assert line.startswith("[Anylearn] The task ended and left processes running")
    assert "sleep (" in line
    assert task.relatives() == []


def test_children_that_end_by_themselves_soon_are_no_matter(task: ShimTask) -> None:
    ended = task.run("(sleep 0.2; echo late) & exit 0")

    assert task.log() == b"late\n"
    assert ended["cut_off"] == 0


def test_a_task_that_closes_its_output_goes_on(task: ShimTask) -> None:
    ended = task.run("exec >&- 2>&-; sleep 0.2; exit 5")

    assert (ended["kind"], ended["number"]) == ("exit", 5)


def test_what_cannot_be_started_says_why(make_task: Callable[[], ShimTask]) -> None:
    nowhere = make_task()
    nowhere.files.code.rmdir()
    ended = nowhere.run("true")
    assert ended["kind"] == "start"
    assert "code" in ended["message"]

    unknown = make_task().run("no-such-program-of-ours")
    assert (unknown["kind"], unknown["number"]) == ("exit", 127)


def test_a_log_beyond_its_limit_is_cut_and_the_task_goes_on(task: ShimTask) -> None:
    ended = task.run(
        python("for i in range(100000): print('x' * 99)\nraise SystemExit(3)"),
        log_limit_bytes=100_000,
    )

    assert (ended["kind"], ended["number"]) == ("exit", 3)
    kept, line = task.log()[:100_000], task.log()[100_000:].decode()
    assert kept == (b"x" * 99 + b"\n") * 1000
    assert (
        line == "[Anylearn] The log has reached its limit of 100000 bytes; the rest is not kept.\n"
    )
    assert ended["log_lost_bytes"] == 100000 * 100 - 100_000
    assert "limit" in ended["message"]


def test_a_log_that_cannot_be_written_does_not_end_the_task(task: ShimTask) -> None:
    # A limit on the size of files stands for the full disk: the write is refused half way.
    import resource

    task.start(
        python("for i in range(100000): print('x' * 99)\nprint('end')"),
        limits=(resource.RLIMIT_FSIZE, 1_000_000),
    )
    ended = task.wait()

    assert (ended["kind"], ended["number"]) == ("exit", 0)
    assert len(task.log()) == 1_000_000
    assert ended["log_lost_bytes"] == 100000 * 100 + 4 - 1_000_000
    assert "bytes of the log are missing: File too large" in ended["message"]


def test_a_task_that_takes_the_rights_from_its_directory_still_has_an_end(task: ShimTask) -> None:
    ended = task.run(f"chmod 000 {task.files.root}; rm -f {task.files.log}; exit 4")

    assert (ended["kind"], ended["number"]) == ("exit", 4)


def test_a_task_is_never_started_twice(task: ShimTask) -> None:
    task.start("echo once; sleep 0.5")
    task.wait_for_log(b"once")
    first = task.process
    assert first is not None

    task.start("echo twice")
    assert task.process is not None
    assert task.process.wait(20) == 3
    first.wait(20)
    task.start("echo thrice")
    assert task.process.wait(20) == 3

    assert task.log() == b"once\n"


def test_the_records_name_the_processes(task: ShimTask) -> None:
    task.start("echo ready; exec sleep 60")
    task.wait_for_log(b"ready")
    assert task.process is not None

    shim = Process.from_record(json.loads(task.files.shim.read_text()))
    main = Process.from_record(json.loads(task.files.started.read_text()))

    assert shim is not None
    assert main is not None
    assert shim.pid == task.process.pid
    assert shim.alive
    assert main.alive
    assert os.getpgid(main.pid) == main.pid


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_terminal_that_goes_away_does_not_end_the_shim(task: ShimTask, number: int) -> None:
    task.start("echo ready; sleep 0.3; exit 6")
    task.wait_for_log(b"ready")
    assert task.process is not None

    task.process.send_signal(number)

    assert task.wait()["number"] == 6


def test_a_launch_record_that_cannot_be_read_is_an_end_with_a_reason(task: ShimTask) -> None:
    task.start("true")
    assert task.process is not None
    task.process.kill()
    task.process.wait(10)
    for name in ("shim.json", "started.json", "exit.json"):
        (task.files.root / name).unlink(missing_ok=True)
    task.files.launch.write_text("{")

    words = [sys.executable, "-P", "-m", "anylearn_jupyter.engine.shim", str(task.files.root)]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)

    ended = json.loads(task.files.exit.read_text())
    assert (ended["kind"], ended["number"]) == ("start", None)
    assert "launch.json cannot be read" in ended["message"]
    assert "Traceback" in answer.stderr
    assert answer.returncode == 1


def test_a_log_is_never_written_through_a_link(task: ShimTask, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    task.files.log.symlink_to(elsewhere)

    ended = task.run("echo theirs")

    assert ended["kind"] == "start"
    assert elsewhere.read_text() == "mine"
