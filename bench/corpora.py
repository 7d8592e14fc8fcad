"""The data that the measurements are made on: seeded, so that it is the same everywhere.

Half of the bytes are text-like (rows of numbers and words), half are random, file by file. It is
made once and kept in ``build/corpora``; ``BENCH_SMALL=1`` makes a small version for a quick look,
whose ratios mean little.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
SMALL = os.environ.get("BENCH_SMALL") == "1"
_PIECE_BYTES = 1 << 20
_VERSION = 2


class Corpus(NamedTuple):
    """What a corpus is made of: so many files, and so many bytes in all."""

    files: int
    total_bytes: int
    seed: int


CORPORA = {
    "code": Corpus(300, 3_000_000, 1),
    "many": Corpus(50_000, 400_000_000, 2),
    "mixed": Corpus(5_000, 1_000_000_000, 3),
    "big": Corpus(8, 2_147_483_648, 4),
}
_SMALL = {
    "code": Corpus(30, 300_000, 1),
    "many": Corpus(1_000, 8_000_000, 2),
    "mixed": Corpus(100, 20_000_000, 3),
    "big": Corpus(8, 64_000_000, 4),
}


def corpus(name: str) -> Path:
    """Give the directory of a corpus, made on first use."""
    shape = (_SMALL if SMALL else CORPORA)[name]
    place = ROOT / "build" / "corpora" / (f"{name}-small" if SMALL else name)
    stamp = place.with_name(f"{place.name}.made")
    wanted = f"{_VERSION} {tuple(shape)}"
    if stamp.exists() and stamp.read_text(encoding="ascii") == wanted:
        return place
    print(f"making the corpus {place.name}", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    if name == "code":
        _write_notebook(place / "train.ipynb")
    _write_files(place, shape)
    stamp.write_text(wanted, encoding="ascii")
    return place


def sizes_of(shape: Corpus) -> list[int]:
    """Give the size of each file: spread between half and one and a half of the mean."""
    chance = random.Random(shape.seed)
    shares = [chance.uniform(0.5, 1.5) for _ in range(shape.files)]
    whole = sum(shares)
    return [max(1, round(shape.total_bytes * share / whole)) for share in shares]


def _write_files(place: Path, shape: Corpus) -> None:
    chance = random.Random(shape.seed + 1)
    text = text_like(chance, _PIECE_BYTES + 4096)
    for number, size in enumerate(sizes_of(shape)):
        path = place / f"part_{number // 500:03}" / f"file_{number:06}"
        path.parent.mkdir(exist_ok=True)
        is_text = number % 2 == 0
        with path.with_suffix(".csv" if is_text else ".bin").open("wb") as file:
            while size > 0:
                piece = min(size, _PIECE_BYTES)
                if is_text:
                    # Other digits each time, so that no two pieces have anything in common.
                    start = chance.randrange(0, len(text) - piece + 1)
                    digits = bytes(chance.sample(b"0123456789", 10))
                    changed = bytes.maketrans(b"0123456789", digits)
                    file.write(text[start : start + piece].translate(changed))
                else:
                    file.write(chance.randbytes(piece))
                size -= piece


def text_like(chance: random.Random, size: int) -> bytes:
    """Give rows of numbers and words."""
    return "".join(_rows(chance, size)).encode()[:size]


def _rows(chance: random.Random, size: int) -> Iterator[str]:
    made = 0
    while made < size:
        row = (
            f"{chance.random():.6f},{chance.randint(0, 9999)},"
            f"label_{chance.randint(0, 20)},word{chance.randint(0, 99_999)}\n"
        )
        made += len(row)
        yield row


def _write_notebook(path: Path) -> None:
    cells: list[dict[str, object]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": [f"print({number})\n"],
        }
        for number in range(40)
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    path.write_text(json.dumps(notebook), encoding="utf-8")


if __name__ == "__main__":
    for one in sys.argv[1:] or CORPORA:
        print(corpus(one))
