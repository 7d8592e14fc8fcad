"""The first fingerprint of data, with its bytes in memory already.

Floor: reading the bytes in one thread. Rival: the published client's zip and checksum.
"""

from __future__ import annotations

import sys
from functools import partial

from corpora import corpus
from side_by_side import Goals, in_turns, ms, own_home, published_way, ratio, read_all, timed

from anylearn_jupyter.submit.fingerprint import fingerprint

GOALS = {"many": 15, "mixed": 120, "big": 200}


def main() -> int:
    """Print the measurements and whether the goals are met."""
    goals = Goals()
    with own_home():
        for name, against_published in GOALS.items():
            top = corpus(name)
            read_all(top)
            floor, ours = in_turns(5, partial(read_all, top), partial(fingerprint, top))
            published = timed(partial(published_way, top))
            print(f"{name}: read {ms(floor)}, ours {ms(ours)}, published way {published:.1f} s")
            goals.at_most(f"{name} against reading", ratio(ours, floor), 1.7)
            own = sorted(ours)[len(ours) // 2]
            goals.at_least(f"{name} against the published way", published / own, against_published)
    return goals.end()


if __name__ == "__main__":
    sys.exit(main())
