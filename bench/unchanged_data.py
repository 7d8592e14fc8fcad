"""What a dataset of 50,000 files costs when it has not changed, beside one walk over it.

The walk is the floor: a bare `scandir` with an `lstat` of each entry. Both are measured in turns in
one run, and the ratio is that of the medians.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.fingerprint import fingerprint
from anylearn_jupyter.submit.regular_files import YOUNG_NS
from anylearn_jupyter.submit.stat_cache import StatCache

FOLDERS, FILES_IN_EACH, BYTES = 100, 500, 200
GOAL = 1.5
REPEATS = 9


def make_data(top: Path) -> None:
    """Write the files."""
    for folder in range(FOLDERS):
        place = top / f"part{folder:03}"
        place.mkdir(parents=True)
        for number in range(FILES_IN_EACH):
            (place / f"sample_{number:05}.bin").write_bytes(f"{folder} {number}".encode() * 20)


def walk(top: Path) -> int:
    """Look at every entry once, as briefly as Python can."""
    waiting, files = [str(top)], 0
    while waiting:
        with os.scandir(waiting.pop()) as listed:
            for entry in listed:
                entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    files += 1
    return files


def timed(act: Callable[[], object]) -> float:
    """Give the milliseconds that a call takes."""
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000


def row(name: str, taken: list[float], floor: float) -> None:
    """Print one measurement and its ratio to the walk."""
    median = statistics.median(taken)
    print(f"{name:<44} {median:7.0f} ms   {median / floor:5.2f} x one walk")


def main() -> int:
    """Print the measurements and whether the goal is met."""
    with tempfile.TemporaryDirectory() as scratch:
        top = Path(scratch) / "data"
        cache = StatCache(Home(Path(scratch) / "home"))
        make_data(top)
        time.sleep(YOUNG_NS / 1e9)  # what was just written is not believed yet
        first = timed(lambda: fingerprint(top, cache=cache))
        walks, unchanged, edited = [], [], []
        for number in range(REPEATS):
            walks.append(timed(lambda: walk(top)))
            unchanged.append(timed(lambda: fingerprint(top, cache=cache)))
            (top / "part050" / "sample_00007.bin").write_bytes(f"edit {number}".encode())
            edited.append(timed(lambda: fingerprint(top, cache=cache)))
            (top / "part050" / "sample_00007.bin").unlink()
            fingerprint(top, cache=cache)
    floor = statistics.median(walks)
    row("one walk (scandir, lstat)", walks, floor)
    row("unchanged data", unchanged, floor)
    row("one file changed", edited, floor)
    row("everything read for the first time", [first], floor)
    ratio = statistics.median(unchanged) / floor
    print(
        f"unchanged data: {ratio:.2f} x one walk over {FOLDERS * FILES_IN_EACH:,} files; "
        f"goal {GOAL} x"
    )
    return 0 if ratio < GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
