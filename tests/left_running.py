"""The audit after each file of tests: nothing that its tests have started still runs.

An engine, a kernel or a task that a test leaves takes time from all later tests, and would hide
that the product leaves one (docs/faults.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import psutil
import pytest

from waiting import wait_until

ENDED_S = 20
"""Seconds that something which was told to end may take."""


@pytest.fixture(scope="module", autouse=True)
def nothing_left_running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fail the last test of a file if a process of its tests is alive, and end it."""
    yield
    tests = f"{tmp_path_factory.getbasetemp()}{os.sep}"
    try:
        wait_until(lambda: not _processes_in(tests), ENDED_S, "the end of all that tests started")
    except AssertionError:
        left = _processes_in(tests)
        said = [_described(process) for process in left]
        for process in left:
            process.kill()
        pytest.fail("\n".join(["the tests of this file left running:", *said]))


def _processes_in(tests: str) -> list[psutil.Process]:
    """Find the processes that have their home, directory or an argument among the tests'."""
    found = []
    for process in psutil.process_iter():
        try:
            places = [process.environ().get("ANYLEARN_HOME", ""), process.cwd()]
            if any(place.startswith(tests) for place in places + process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue  # it has ended meanwhile, or is somebody else's
    return found


def _described(process: psutil.Process) -> str:
    try:
        # What pytest sets while a test runs, the test's processes have inherited.
        test = process.environ().get("PYTEST_CURRENT_TEST", "a test")
        return f"{test}: {process.pid} {' '.join(process.cmdline())[:300]}"
    except psutil.Error:
        return f"{process.pid}, which has ended by now"
