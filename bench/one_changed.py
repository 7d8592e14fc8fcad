"""One file of the data changed: what it costs to know, and what travels.

Floor: the walk plus one and a half times reading and hashing that file. Rival: the published
client's zip and checksum, which it makes again. What travels is counted at the engine.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from blake3 import blake3
from corpora import SMALL, corpus
from side_by_side import (
    Asked,
    Goals,
    asked,
    files_below,
    in_turns,
    ms,
    own_home,
    published_way,
    ratio,
    settle,
    timed,
    walk,
)

from anylearn_jupyter.submit.chunker import LARGEST_BYTES
from anylearn_jupyter.submit.fingerprint import fingerprint
from anylearn_jupyter.submit.local_data import LocalData
from anylearn_jupyter.submit.preparation import look_at_data
from anylearn_jupyter.submit.progress import SilentProgress
from anylearn_jupyter.submit.request import InputKind
from anylearn_jupyter.submit.stat_cache import StatCache

GOALS = {"many": 50, "mixed": 800, "big": 700}
ROUNDS = 5


def read_and_hash(path: Path) -> None:
    """Read a file and hash it."""
    hasher = blake3()
    view = memoryview(bytearray(1 << 20))
    with path.open("rb", buffering=0) as file:
        while read := file.readinto(view):
            hasher.update(view[:read])


def sent(top: Path) -> int:
    """Send a folder to the engine as if that were elsewhere, and give how many bytes travelled."""
    from anylearn_jupyter.client.connection import current_connection
    from anylearn_jupyter.submit.destination import Destination
    from anylearn_jupyter.submit.ledger import Ledger

    with Ledger() as ledger:
        connection = current_connection()
        connection.api.http.is_embedded = False
        place = Destination(connection, ledger, SilentProgress(), 0.2)
        before = connection.api.counters().get("upload_bytes", 0)
        LocalData(look_at_data(top, SilentProgress()), InputKind.DATASET, place).provide()
        return connection.api.counters()["upload_bytes"] - before


def measure(name: str, what: Asked, scratch: Path, goals: Goals) -> None:
    """Measure one corpus, in a copy of its own."""
    top = scratch / name
    shutil.copytree(corpus(name), top)
    cache = StatCache()
    settle()
    fingerprint(top, cache=cache)
    changed = Path(sorted(files_below(top))[len(files_below(top)) // 2])
    size = changed.stat().st_size
    stamps = itertools.count()

    def edit() -> None:
        with changed.open("r+b") as file:
            file.seek(size // 2)
            file.write(b"edit %d" % next(stamps))

    floors, ours = [], []
    for _ in range(ROUNDS):
        edit()
        (walked,), (hashed,), (own,) = in_turns(
            1,
            lambda: walk(top),
            lambda: read_and_hash(changed),
            lambda: fingerprint(top, cache=cache),
        )
        floors.append(walked + 1.5 * hashed)
        ours.append(own)
    print(f"{name}: floor {ms(floors)}, ours {ms(ours)}")
    goals.at_most(f"{name} against the floor", ratio(ours, floors), 1.0)
    if what.rivals:
        published = timed(lambda: published_way(top))
        print(f"{name}: published way {published:.1f} s")
        own = sorted(ours)[len(ours) // 2]
        goals.at_least(f"{name} against the published way", published / own, GOALS[name])
    if name != "many" or SMALL:
        sent(top)
        edit()
        travelled = sent(top)
        most = 1.02 * min(size, 2 * LARGEST_BYTES)
        print(f"{name}: {travelled:,} bytes travelled for a changed byte in {size:,}")
        goals.at_most(f"{name}, bytes against two chunks", travelled / most, 1.0)
    shutil.rmtree(top)


def main() -> int:
    """Print the measurements and whether the goals are met."""
    goals, what = Goals(), asked(__doc__, GOALS)
    with own_home() as scratch:
        try:
            for name in what.corpora:
                measure(name, what, scratch, goals)
        finally:
            stop = [sys.executable, "-m", "anylearn_jupyter.engine", "stop"]
            subprocess.run(stop, check=False, stdout=subprocess.DEVNULL, env=dict(os.environ))
    return goals.end()


if __name__ == "__main__":
    sys.exit(main())
