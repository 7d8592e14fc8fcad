"""Measure the data's way in one go, and print its table: ``make bench-data``.

Runs the measurements of `bench/` that are about data one after another, shows what each prints, and
then every ratio beside its goal as a table in Markdown. It takes about twenty minutes, most of them
the rivals'; names of measurements (``unchanged``, ``fingerprint``, …) choose some.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent / "bench"
MEASUREMENTS = ("unchanged", "fingerprint", "one_changed", "zip", "upload", "memory")
RATIO = re.compile(r"^  (?P<what>.+): (?P<found>\S+) x, goal (?P<goal>.+) x: (?P<verdict>\w+)$")


def ratios(name: str) -> tuple[list[str], int]:
    """Run a measurement and give the rows of its ratios, and its exit code."""
    rows = []
    words = [sys.executable, str(BENCH / f"{name}.py")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            print(line, end="", flush=True)
            if found := RATIO.match(line):
                rows.append(
                    f"| {name} | {found['what']} | {found['found']} x | {found['goal']} x | "
                    f"{found['verdict'].lower()} |"
                )
    return rows, running.returncode


def main() -> int:
    """Run them, print the table, and fail when a goal is missed or a measurement broke off."""
    unknown = [name for name in sys.argv[1:] if name not in MEASUREMENTS]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
        return 2
    table = ["| measurement | what | found | goal | |", "| --- | --- | --- | --- | --- |"]
    code = 0
    for name in sys.argv[1:] or MEASUREMENTS:
        print(f"== {name}", flush=True)
        rows, one = ratios(name)
        table += rows
        code = code or one
    print("\n".join(["", *table]))
    return code


if __name__ == "__main__":
    sys.exit(main())
