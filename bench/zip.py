"""A zip for a server that takes only zips, hash included.

Ours reads, hashes (and checks) and packs each file in one pass; the zip is made while it is
sent and is nowhere on disk. Rival: the published client's `shutil.make_archive` and BLAKE2b. Data
that nobody has read yet is read once more before, for the fingerprint by which it is looked up;
with that, the ratio is the one in brackets.

``--corpus NAME`` measures only that one, and may be given more than once.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from corpora import corpus
from side_by_side import Goals, own_home, published_way, read_all, timed

from anylearn_jupyter.submit.archive import archive
from anylearn_jupyter.submit.fingerprint import fingerprint

GOALS = {"code": 6, "many": 6, "mixed": 15, "big": 15}


def main() -> int:
    """Print the measurements and whether the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", action="append", choices=sorted(GOALS))
    chosen = parser.parse_args().corpus or list(GOALS)
    goals = Goals()
    with own_home():
        for name in chosen:
            measure(name, corpus(name), GOALS[name], goals)
    return goals.end()


def measure(name: str, top: Path, against_published: int, goals: Goals) -> None:
    """Measure one corpus."""
    sizes: dict[str, int] = {}

    content = fingerprint(top)

    def ours() -> None:
        sizes["ours"] = sum(len(piece) for piece in archive(replace(content)))

    def published() -> None:
        sizes["published"] = published_way(top)[1]

    read_all(top)
    rounds = {"code": 9, "many": 3}.get(name, 1)
    own, other, before = [], [], []
    for _ in range(rounds):
        before.append(timed(partial(fingerprint, top)))
        own.append(min(timed(ours), timed(ours)))
        other.append(timed(published))
    middle, theirs = sorted(own)[rounds // 2], sorted(other)[rounds // 2]
    both = middle + sorted(before)[rounds // 2]
    print(f"{name}: ours {middle:.3f} s ({content.total_bytes / middle / 1e6:,.0f} MB/s), ", end="")
    print(f"published way {theirs:.3f} s ({theirs / both:.1f} x with the fingerprint before)")
    goals.at_least(f"{name} against the published way", theirs / middle, against_published)
    goals.at_most(f"{name}, size", sizes["ours"] / sizes["published"], 1.06)


if __name__ == "__main__":
    sys.exit(main())
