"""What the measurements of data share: timing in turns, rivals rebuilt, and goals that can fail.

Everything that is compared is timed in one run, in turns; a ratio is the median of the pairs. A
second of one machine says nothing beside a second of another.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from corpora import ROOT, SMALL

BLOCK_BYTES = 1 << 20


def timed(act: Callable[[], object]) -> float:
    """Give the seconds that a call takes."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def in_turns(rounds: int, *acts: Callable[[], object]) -> list[list[float]]:
    """Time several calls one after another, so many times; gives the seconds of each."""
    taken: list[list[float]] = [[] for _ in acts]
    for _ in range(rounds):
        for times, act in zip(taken, acts, strict=True):
            times.append(timed(act))
    return taken


def ratio(taken: list[float], floor: list[float]) -> float:
    """Give the median of the pairs."""
    return statistics.median(a / b for a, b in zip(taken, floor, strict=True))


def ms(taken: list[float]) -> str:
    """Write a median with its spread, in milliseconds."""
    low, middle, high = (1000 * one for one in (min(taken), statistics.median(taken), max(taken)))
    return f"{middle:,.3g} ms [{low:,.3g} to {high:,.3g}]"


class Asked(NamedTuple):
    """What is to be measured: which corpora, and whether beside rivals that take minutes."""

    corpora: list[str]
    rivals: bool


def asked(description: str | None, corpora: Iterable[str]) -> Asked:
    """Read the command line of a measurement that has these corpora."""
    words = argparse.ArgumentParser(description=(description or "").split("\n", maxsplit=1)[0])
    words.add_argument("corpora", nargs="*", help=f"of {', '.join(corpora)}; default: all")
    words.add_argument(
        "--alone", action="store_true", help="without the rivals, which take minutes"
    )
    found = words.parse_args()
    if unknown := set(found.corpora) - set(corpora):
        words.error(f"no such corpus: {', '.join(sorted(unknown))}")
    return Asked(found.corpora or list(corpora), not found.alone)


class Goals:
    """Ratios and what they should be."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def at_most(self, what: str, found: float, goal: float) -> None:
        """Hold a ratio against a floor: smaller is better."""
        self._judge(what, found, goal, found <= goal, "at most")

    def at_least(self, what: str, found: float, goal: float) -> None:
        """Hold a ratio against a rival: larger is better."""
        self._judge(what, found, goal, found >= goal, "at least")

    def _judge(self, what: str, found: float, goal: float, good: bool, words: str) -> None:
        verdict = "reached" if good else "MISSED"
        print(f"  {what}: {found:,.3g} x, goal {words} {goal:,g} x: {verdict}", flush=True)
        if not good:
            self.missed.append(what)

    def end(self) -> int:
        """Give the exit code; a small corpus proves nothing, so there it is 0."""
        if self.missed:
            print(f"missed: {'; '.join(self.missed)}")
        return 1 if self.missed and not SMALL else 0


# Floors.


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


def files_below(top: Path) -> list[str]:
    """Give every file below a directory."""
    found, waiting = [], [str(top)]
    while waiting:
        with os.scandir(waiting.pop()) as listed:
            for entry in listed:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    found.append(entry.path)
    return found


def read_all(top: Path) -> int:
    """Read every byte, in one thread."""
    view, total = memoryview(bytearray(BLOCK_BYTES)), 0
    for path in files_below(top):
        handle = os.open(path, os.O_RDONLY)
        while read := os.readv(handle, (view,)):
            total += read
        os.close(handle)
    return total


# Rivals.


def published_way(top: Path) -> tuple[str, int]:
    """Do as the published client does: zip the directory, checksum the zip; gives sum and size."""
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as scratch:
        packed = shutil.make_archive(str(Path(scratch, "data")), "zip", top)
        hasher = hashlib.blake2b()
        with Path(packed).open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                hasher.update(block)
        return hasher.hexdigest(), Path(packed).stat().st_size


def ray_hash(top: Path) -> bytes:
    """Do as Ray's working_dir does at each submission: SHA-1 of every file, XORed."""
    total = bytearray(20)
    for path in files_below(top):
        hasher = hashlib.sha1(os.path.relpath(path, top).encode(), usedforsecurity=False)
        with Path(path).open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                hasher.update(block)
        total = bytearray(a ^ b for a, b in zip(total, hasher.digest(), strict=True))
    return bytes(total)


def ray_way(top: Path) -> None:
    """Do as Ray does with a working_dir that has changed: the hash, and a stored zip of all."""
    ray_hash(top)
    with (
        tempfile.TemporaryDirectory(dir=ROOT / "build") as scratch,
        zipfile.ZipFile(Path(scratch, "data.zip"), "w", zipfile.ZIP_STORED) as packed,
    ):
        for path in files_below(top):
            packed.write(path, os.path.relpath(path, top))


@contextlib.contextmanager
def own_home() -> Iterator[Path]:
    """Give an ``ANYLEARN_HOME`` of its own, beside the corpora and on the same disk."""
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as scratch:
        os.environ["ANYLEARN_HOME"] = str(Path(scratch, "home"))
        yield Path(scratch)


def settle(seconds: float = 2.1) -> None:
    """Wait until what was just written is old enough to be believed."""
    print(f"(waiting {seconds:g} s for the clock's grain)", file=sys.stderr, flush=True)
    time.sleep(seconds)
