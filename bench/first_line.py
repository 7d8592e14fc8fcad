"""From the call that trains to the task's first line, with a warm engine and with none.

The task prints one line with the standard library alone. Beside it, in the same run, what the same
interpreter needs on its own (`subprocess`), since that is the floor that nobody gets below.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

REPEATS = 7
SCRIPT = 'print("first", flush=True)\n'


def one_task(directory: Path) -> float:
    """Train once and return the milliseconds until the first line was here."""
    from anylearn_jupyter import quick_train
    from anylearn_jupyter.client.connection import current_connection
    from anylearn_jupyter.client.follow import follow

    begun = time.perf_counter()
    task, *_ = quick_train(algorithm_dir=directory, entrypoint="python train.py")
    for event in follow(current_connection, {task.id: None}, stop=threading.Event()):
        if event.kind == "log" and "first" in event.text:
            return (time.perf_counter() - begun) * 1000
    raise RuntimeError(f"task {task.id} ended without its line")


def bare(directory: Path) -> float:
    """Run the script without us and return the milliseconds until its first line."""
    begun = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "train.py"], cwd=directory, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return (time.perf_counter() - begun) * 1000


def edited(directory: Path, round_number: int) -> None:
    """Change one file, so that the code has to travel again."""
    (directory / "train.py").write_text(f"# {round_number}\n{SCRIPT}", encoding="utf-8")


def row(name: str, taken: list[float]) -> None:
    """Print one measurement."""
    spread = f"{min(taken):.0f} to {max(taken):.0f}"
    print(f"{name:<44} {statistics.median(taken):7.0f} ms   ({spread}, {len(taken)} times)")


def main() -> None:
    """Measure in a home of its own and leave nothing running."""
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["ANYLEARN_HOME"] = str(Path(scratch, "home"))
        directory = Path(scratch, "project")
        directory.mkdir()
        edited(directory, 0)
        try:
            row("nothing running, nothing imported", [one_task(directory)])
            row("the same code again", [one_task(directory) for _ in range(REPEATS)])
            changed = []
            for number in range(1, REPEATS + 1):
                edited(directory, number)
                changed.append(one_task(directory))
            row("one file edited", changed)
            row("the script without us", [bare(directory) for _ in range(REPEATS)])
        finally:
            stop = [sys.executable, "-m", "anylearn_jupyter.engine", "stop", "--tasks"]
            subprocess.run(stop, check=False, stdout=subprocess.DEVNULL, timeout=60)


if __name__ == "__main__":
    main()
