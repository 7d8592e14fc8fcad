"""Processes are never mistaken for one another (faults A11, A12, A13)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from anylearn_jupyter.engine import linux, portable
from anylearn_jupyter.engine.processes import Process, bearers, descendants, kill_orphans
from waiting import wait_until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that only sleeps, with a mark in its environment."""
    child = subprocess.Popen(["/bin/sleep", "600"], env={"MARK": "of this test"})
    yield child
    child.kill()
    child.wait(10)


def found(pid: int) -> Process:
    process = Process.find(pid)
    assert process is not None
    return process


def test_a_process_is_found_signalled_and_missed(sleeper: subprocess.Popen[bytes]) -> None:
    process = found(sleeper.pid)
    again = Process.from_record(process.to_record())

    assert again is not None
    assert again.alive
    assert process.command == "sleep"
    assert again.send(signal.SIGTERM)
    assert sleeper.wait(10) == -signal.SIGTERM
    assert not again.alive
    assert not again.send(signal.SIGTERM)
    assert Process.find(sleeper.pid) is None


def test_a_stranger_with_the_same_number_is_never_signalled(
    sleeper: subprocess.Popen[bytes],
) -> None:
    stranger = found(sleeper.pid)
    ours = Process(pid=stranger.pid, start=stranger.start - 1, boot=stranger.boot)

    assert not ours.alive
    assert not ours.send(signal.SIGKILL)
    assert ours.end_handle() is None
    assert sleeper.poll() is None


REUSE = """
import pathlib, signal, subprocess, sys, time
from anylearn_jupyter.engine.processes import Process
ours = subprocess.Popen(["/bin/sleep", "600"])
record = Process.find(ours.pid)
ours.kill(); ours.wait()
time.sleep(0.05)  # start times are told in hundredths of a second
pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(ours.pid - 1))
stranger = subprocess.Popen(["/bin/sleep", "600"])
assert stranger.pid == ours.pid, (stranger.pid, ours.pid)
answers = record.alive, record.send(signal.SIGKILL), record.end_handle()
print(answers, stranger.poll())
stranger.kill(); stranger.wait()
"""


def test_a_number_that_is_really_used_again_is_not_signalled() -> None:
    private = ["unshare", "-r", "-p", "-m", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*private, "true"], capture_output=True, check=False).returncode:
        pytest.skip("process numbers cannot be chosen here: no private PID namespace")

    answer = subprocess.run(
        [*private, sys.executable, "-c", REUSE], capture_output=True, text=True, check=False
    )

    assert answer.stdout == "(False, False, None) None\n", answer.stderr


def test_a_process_of_another_boot_is_never_touched(sleeper: subprocess.Popen[bytes]) -> None:
    here = found(sleeper.pid)
    before = Process(pid=here.pid, start=here.start, boot="another boot")

    assert not before.of_this_boot
    assert not before.alive
    assert not before.send(signal.SIGKILL)
    assert before.end_handle() is None
    assert sleeper.poll() is None


def test_a_process_that_waits_to_be_reaped_has_ended() -> None:
    child = subprocess.Popen(["/bin/sleep", "600"])
    process = found(child.pid)
    child.kill()

    wait_until(lambda: not process.alive, 10, "the zombie counts as ended")
    assert Process.find(child.pid) is None
    child.wait(10)


def test_descendants_are_found_whatever_session_they_are_in() -> None:
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid(); os.fork()\n"
        "print('x', flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        for _ in range(3):
            parent.stdout.readline()
        children = descendants(parent.pid)
        assert len(children) == 2
        assert parent.pid not in [one.pid for one in children]
        assert {one.pid for one in children} <= {one.pid for one in descendants(os.getpid())}
    finally:
        for one in [*descendants(parent.pid), found(parent.pid)]:
            one.send(signal.SIGKILL)
        parent.wait(10)
        parent.stdout.close()


def test_bearers_are_those_with_the_whole_variable_since_the_start(
    sleeper: subprocess.Popen[bytes],
) -> None:
    start = found(sleeper.pid).start

    assert [one.pid for one in bearers(b"MARK=of this test", not_before=start)] == [sleeper.pid]
    assert bearers(b"MARK=of this", not_before=start) == []
    assert bearers(b"MARK=of this test", not_before=start + 1) == []


def test_what_a_dead_shim_left_is_killed_and_nothing_else(
    sleeper: subprocess.Popen[bytes],
) -> None:
    start = found(sleeper.pid).start
    stranger = subprocess.Popen(["/bin/sleep", "600"], env={"MARK": "of another"})
    try:
        killed, left = kill_orphans(
            b"MARK=of this test", not_before=start, main=None, own_pid=os.getpid(), limit_s=5
        )
        assert [one.pid for one in killed] == [sleeper.pid]
        assert left == []
        assert sleeper.wait(10) == -signal.SIGKILL
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait(10)


def test_the_portable_way_tells_the_same_of_a_process(sleeper: subprocess.Popen[bytes]) -> None:
    there, here = portable.stat_of(sleeper.pid), linux.stat_of(sleeper.pid)

    assert there is not None
    assert here is not None
    assert (there.pid, there.parent, there.session) == (here.pid, here.parent, here.session)
    assert (there.state, there.command) == (here.state, here.command)
    assert sleeper.pid in [one.pid for one in portable.every_process()]
    assert not portable.signal_checked(sleeper.pid, there.start - 60, signal.SIGKILL)
    assert portable.signal_checked(sleeper.pid, there.start, signal.SIGKILL)
    assert sleeper.wait(10) == -signal.SIGKILL
    assert portable.stat_of(sleeper.pid) is None
    assert portable.boot_id() == portable.boot_id()
    assert portable.usable_cpus()
    with pytest.raises(OSError, match="no handle"):
        portable.end_handle(sleeper.pid, 0)
