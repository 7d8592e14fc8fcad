"""How long it takes to read the parser of a long script, from its text.

The script has 2,000 lines: 400 arguments in groups, defaults that are computed, and functions and
classes between them. The median of nine readings is compared with the goal of docs/performance.md;
what Python's own `ast.parse` takes of it, and what executing the script's parser takes (without the
imports that a training script has), stand beside it.
"""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from anylearn_jupyter.notebook.discover import discover

GOAL_MS = 100
LINES = 2000
REPEATS = 9

_HEAD = '''"""A script of many options."""
import argparse
import os
from pathlib import Path

BASE = 64
parser = argparse.ArgumentParser()
'''
_ARGUMENT = """group.add_argument(
    "--option-{n}",
    type={kind},
    default={default},
    help="number {n} of very many options (default: %(default)s)",
)
"""
_FUNCTION = """
def step_{n}(batch, rate=0.1):
    total = sum(one * rate for one in batch)
    return total / max(1, len(batch))

"""


def script_text() -> str:
    """Write a script of `LINES` lines."""
    parts = [_HEAD]
    number = 0
    while sum(part.count("\n") for part in parts) < LINES - 12:
        if number % 10 == 0:
            parts.append(f'group = parser.add_argument_group("part {number}")\n')
            parts.append(_FUNCTION.format(n=number))
        kind, default = [
            ("int", f"BASE * {number}"),
            ("float", f"1e-3 + {number} / 7"),
            ("Path", f'Path("runs") / "{number}"'),
            ("str", f'os.path.join("data", f"part-{{BASE}}-{number}")'),
        ][number % 4]
        parts.append(_ARGUMENT.format(n=number, kind=kind, default=default))
        number += 1
    text = "".join(parts) + "args = parser.parse_args()\n"
    return text + "# end\n" * (LINES - text.count("\n"))


def median_ms(work: Callable[[], object]) -> float:
    """Give the median time of a work, in milliseconds."""
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)


def main() -> int:
    """Print the measurements and whether the goal is met."""
    text = script_text()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.py")
        path.write_text(text, encoding="utf-8")
        found = discover(path, "train.py")
        if found is None or not found.complete:
            raise AssertionError("the script was not read to its end")
        reading = median_ms(lambda: discover(path, "train.py"))
        parsing = median_ms(lambda: ast.parse(text))
        command = [sys.executable, str(path)]
        executing = median_ms(lambda: subprocess.run(command, check=True))
    options = len(found.options)
    lines = text.count("\n")
    print(f"a script of {lines} lines with {options} options, median of {REPEATS}:")
    print(f"  read from its text   {reading:7.1f} ms; goal {GOAL_MS} ms")
    print(f"  of it ast.parse      {parsing:7.1f} ms")
    print(f"  executed instead     {executing:7.1f} ms")
    return 0 if reading < GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
