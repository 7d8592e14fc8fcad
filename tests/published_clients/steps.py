"""What the scripts share that published clients run: a directory of code, one of data, waiting.

These run with the Python of a published client, and see nothing of this project but its engine.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ADDRESS, USER = sys.argv[1], sys.argv[2]
PASSWORD = os.environ.pop("PUBLISHED_CLIENT_PASSWORD")
ENTRYPOINT = f"{sys.executable} train.py"
LINES = 150

TRAIN = f"""
import argparse
import os
import pathlib
import time

import anylearn

parser = argparse.ArgumentParser()
parser.add_argument("--dataset", nargs="*", default=[])
parser.add_argument("--pretrain", nargs="*", default=[])
parser.add_argument("--model", nargs="*", default=[])
parser.add_argument("--lr", type=float)
parser.add_argument("--fast", action="store_true")
options = parser.parse_args()
seen = os.environ.get("SEEN")
for path in options.dataset + options.pretrain + options.model:
    print("input", sorted(os.listdir(path)), flush=True)
print("lr", options.lr, "fast", options.fast, "MODE", os.environ.get("MODE"))
for step in range(3):
    anylearn.report_intermediate_metric(step / 10)
anylearn.report_final_metric(0.75)
output = pathlib.Path("output")
(output / "deep").mkdir(parents=True)
(output / "model.txt").write_text("weights")
(output / "deep" / "curve.csv").write_text("1,2")
for number in range({LINES}):
    print("line", number, flush=True)
deadline = time.monotonic() + 60
while seen and not os.path.exists(seen) and time.monotonic() < deadline:
    time.sleep(0.02)
print()
print("done")
"""


def write_code(directory: str) -> Path:
    """Write a training that reports metrics through the published client itself.

    Before its last line it waits for the file that the variable `SEEN` names, if it is set: the
    published client takes no more than one page of 100 lines of a task that has ended.
    """
    path = Path(directory)
    path.mkdir(parents=True)
    (path / "train.py").write_text(TRAIN, encoding="utf-8")
    (path / "requirements.txt").write_text("", encoding="utf-8")
    return path


def write_data(directory: str) -> Path:
    """Write three files of data."""
    path = Path(directory)
    path.mkdir()
    for number in range(3):
        (path / f"{number}.csv").write_text(str(number) * 1000, encoding="utf-8")
    return path


def wait_until(ask: Callable[[], T | None], what: str, limit_s: float = 30) -> T:
    """Ask until there is an answer."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if found := ask():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {limit_s} s")


def wait_finished(task: Any) -> None:
    """Ask a published task until it has ended."""

    def ended() -> bool:
        task.get_detail()
        return bool(task.finished())

    wait_until(ended, "the task has ended")


def texts(lines: list[str]) -> list[str]:
    """Take the time from the front of each line: `[2026-01-01 00:00:00] text`."""
    return [line.partition("] ")[2] for line in lines]
