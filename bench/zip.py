"""A zip for a server that takes only zips, hash included.

Ours is from nothing: the fingerprint of every file and the whole zip, which is made while it is
sent and is nowhere on disk. Rival: the published client's `shutil.make_archive` and BLAKE2b.
"""

from __future__ import annotations

import sys
from pathlib import Path

from corpora import corpus
from side_by_side import Goals, own_home, published_way, read_all, timed

from anylearn_jupyter.submit.archive import archive
from anylearn_jupyter.submit.fingerprint import fingerprint

GOALS = {"code": 6, "many": 6, "mixed": 15, "big": 15}


def main() -> int:
    """Print the measurements and whether the goals are met."""
    goals = Goals()
    with own_home():
        for name, against_published in GOALS.items():
            measure(name, corpus(name), against_published, goals)
    return goals.end()


def measure(name: str, top: Path, against_published: int, goals: Goals) -> None:
    """Measure one corpus."""
    sizes: dict[str, int] = {}

    def ours() -> None:
        sizes["ours"] = sum(len(piece) for piece in archive(fingerprint(top)))

    def published() -> None:
        sizes["published"] = published_way(top)[1]

    read_all(top)
    rounds = 5 if name == "code" else 1
    own, other = [], []
    for _ in range(rounds):
        own.append(min(timed(ours), timed(ours)))
        other.append(timed(published))
    middle, theirs = sorted(own)[rounds // 2], sorted(other)[rounds // 2]
    total = fingerprint(top).total_bytes
    print(f"{name}: ours {middle:.3f} s ({total / middle / 1e6:,.0f} MB/s), ", end="")
    print(f"published way {theirs:.3f} s")
    goals.at_least(f"{name} against the published way", theirs / middle, against_published)
    goals.at_most(f"{name}, size", sizes["ours"] / sizes["published"], 1.06)


if __name__ == "__main__":
    sys.exit(main())
