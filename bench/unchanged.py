"""Data that did not change, asked again: no byte of it is opened.

Floor: one walk (`scandir` and `lstat`). Rivals: the published client's zip and checksum, and the
hash that Ray makes of its working_dir at each submission.
"""

from __future__ import annotations

import sys
from functools import partial

from corpora import SMALL, corpus
from side_by_side import (
    Goals,
    asked,
    in_turns,
    ms,
    own_home,
    published_way,
    ratio,
    ray_hash,
    settle,
    timed,
    walk,
)

from anylearn_jupyter.submit.fingerprint import fingerprint
from anylearn_jupyter.submit.stat_cache import StatCache

GOALS = {"many": (60, 10), "mixed": (1200, 50), "big": (100_000, 5000)}
ROUNDS = {"many": 9, "mixed": 9, "big": 999}
"""Of `big`, which takes 0.05 ms, more: nine say how cold the interpreter is."""


def main() -> int:
    """Print the measurements and whether the goals are met."""
    goals, what = Goals(), asked(__doc__, GOALS)
    with own_home():
        for name in what.corpora:
            top, cache = corpus(name), StatCache()
            if SMALL:
                settle()
            fingerprint(top, cache=cache)
            floor, ours = in_turns(
                ROUNDS[name], partial(walk, top), partial(fingerprint, top, cache=cache)
            )
            print(f"{name}: walk {ms(floor)}, ours {ms(ours)}")
            goals.at_most(f"{name} against the walk", ratio(ours, floor), 1.5)
            if not what.rivals:
                continue
            rays = [timed(partial(ray_hash, top)) for _ in range(3)]
            published = timed(partial(published_way, top))
            print(f"{name}: Ray's hash {ms(rays)}, published way {published:.1f} s")
            against_published, against_ray = GOALS[name]
            own = sorted(ours)[len(ours) // 2]
            goals.at_least(f"{name} against the published way", published / own, against_published)
            goals.at_least(f"{name} against Ray's hash", min(rays) / own, against_ray)
    return goals.end()


if __name__ == "__main__":
    sys.exit(main())
