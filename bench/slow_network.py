"""The same submission again, nothing changed, over a line that adds 50 ms to each round trip.

Beside it, in the same run and over the same line, the published client 0.18.3. A round trip is what
the line adds: (time over it - time without it) / 50 ms.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from slow_line import slow_line

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))
from published_client import python_of

DELAY_S = 0.05
REPEATS = 5
GOAL_ROUND_TRIPS = 4
GOAL_RATIO = 5

PUBLISHED = """
import json, logging, sys, time
logging.disable(logging.CRITICAL)
from anylearn import init_sdk, quick_train
init_sdk(sys.argv[1], "ada", "secret")
taken = []
for _ in range(int(sys.argv[3]) + 1):
    begun = time.perf_counter()
    quick_train(algorithm_dir=sys.argv[2] + "/project", algorithm_force_update=True,
                dataset_dir=sys.argv[2] + "/data", entrypoint="true", output="output")
    taken.append(time.perf_counter() - begun)
print("TAKEN", json.dumps(taken[1:]))
"""


def make_project(scratch: Path) -> None:
    """Write a small project and its data."""
    for name, text in (("project/train.py", "print(1)\n"), ("project/requirements.txt", "")):
        (scratch / name).parent.mkdir(exist_ok=True)
        (scratch / name).write_text(text, encoding="utf-8")
    (scratch / "data").mkdir()
    (scratch / "data" / "a.txt").write_text("1\n", encoding="utf-8")


def ours(address: str, scratch: Path) -> list[float]:
    """Submit the same several times, in one process; the first one does not count."""
    from anylearn_jupyter import connect, disconnect, quick_train

    connect(address, username="ada", password="secret")
    taken = []
    for _ in range(REPEATS + 1):
        begun = time.perf_counter()
        quick_train(
            algorithm_dir=scratch / "project",
            dataset_dir=scratch / "data",
            entrypoint="true",
        )
        taken.append(time.perf_counter() - begun)
    disconnect()
    return taken[1:]


def published(address: str, scratch: Path) -> list[float]:
    """Do the same with the published client."""
    done = subprocess.run(
        [str(python_of("0.18.3")), "-c", PUBLISHED, address, str(scratch), str(REPEATS)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HOME": str(scratch / "published-home")},
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("TAKEN "))
    found: list[float] = json.loads(line.partition(" ")[2])
    return found


def engine(*words: str, text: str | None = None) -> str:
    """Run the engine's command."""
    command = [sys.executable, "-m", "anylearn_jupyter.engine", *words]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return done.stdout


def main() -> int:
    """Measure in a home of its own and leave nothing running."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        os.environ["ANYLEARN_HOME"] = str(scratch / "home")
        make_project(scratch)
        (scratch / "published-home").mkdir()
        engine("start")
        try:
            engine("user", "add", "ada", "--password-stdin", text="secret")
            address = json.loads(engine("status", "--json"))["address"]
            near = statistics.median(ours(address, scratch))
            with slow_line(address, DELAY_S) as line:
                far_address = f"http://127.0.0.1:{line.port}"
                before = line.requests
                far = statistics.median(ours(far_address, scratch))
                asked = (line.requests - before) / (REPEATS + 1)
                rival = statistics.median(published(far_address, scratch))
        finally:
            engine("stop", "--tasks")
    trips = (far - near) / DELAY_S
    print(f"near                          {near * 1000:7.0f} ms")
    print(f"over the slow line            {far * 1000:7.0f} ms   {asked:.1f} requests")
    print(f"published 0.18.3, same line   {rival * 1000:7.0f} ms")
    print(f"round trips one after another {trips:7.1f}      (goal: at most {GOAL_ROUND_TRIPS})")
    print(f"published / ours              {rival / far:7.1f} x    (goal: {GOAL_RATIO} x)")
    return 0 if trips <= GOAL_ROUND_TRIPS + 0.5 and rival / far >= GOAL_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
