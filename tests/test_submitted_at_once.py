"""The same directory submitted for the first time by several threads and processes at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from anylearn_jupyter.client.connection import current_connection, disconnect
from anylearn_jupyter.submit.published import quick_train
from conftest import engine_command

AT_ONCE = 5
TRAIN = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--data')\np.parse_args()\n"
SUBMIT = """
import sys
from anylearn_jupyter import quick_train
sys.stdin.readline()
task, *_ = quick_train(algorithm_dir=".", entrypoint="python train.py", project_name="together",
                       dataset_dir="numbers", dataset_hyperparam_name="data")
print(task.id)
"""


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """End whatever engine the test started."""
    disconnect()
    yield
    disconnect()
    engine_command("stop", "--tasks", check=False)


@pytest.fixture
def project(home: Path, tmp_path: Path) -> Path:
    """Make a code directory with data in it, which no server knows."""
    directory = tmp_path / "project"
    (directory / "numbers").mkdir(parents=True)
    (directory / "train.py").write_text(TRAIN, encoding="utf-8")
    (directory / "numbers" / "a.bin").write_bytes(b"1" * 1_000_000)
    return directory


def check_that_one_of_each_was_made(tasks: set[str]) -> None:
    assert len(tasks) == AT_ONCE
    api = current_connection().api
    assert [one.name for one in api.projects()].count("together") == 1
    assert len(api.datasets()) == 1
    assert api.counters()["tasks_created"] == AT_ONCE


def test_threads_of_one_kernel_submit_at_once(project: Path) -> None:
    def submitted(_: int) -> str:
        task, *_rest = quick_train(
            algorithm_dir=project,
            entrypoint="python train.py",
            project_name="together",
            dataset_dir=project / "numbers",
            dataset_hyperparam_name="data",
        )
        return task.id

    with ThreadPoolExecutor(AT_ONCE) as pool:
        check_that_one_of_each_was_made(set(pool.map(submitted, range(AT_ONCE))))


def test_several_notebooks_submit_at_once(project: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SUBMIT],
            cwd=project,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(AT_ONCE)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * AT_ONCE, outputs
    check_that_one_of_each_was_made({out.strip() for out, _ in outputs})
