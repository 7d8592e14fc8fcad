"""The first fingerprint of data, with its bytes in memory already.

Floor: reading the bytes in one thread. Rival: the published client's zip and checksum.
"""

from __future__ import annotations

import sys
from functools import partial

from corpora import corpus
from side_by_side import Goals, asked, in_turns, ms, own_home, published_way, ratio, read_all, timed

from anylearn_jupyter.submit.fingerprint import fingerprint

GOALS = {"many": 15, "mixed": 120, "big": 200}


def main() -> int:
    """Print the measurements and whether the goals are met."""
    goals, what = Goals(), asked(__doc__, GOALS)
    with own_home():
        for name in what.corpora:
            top = corpus(name)
            read_all(top)
            floor, ours = in_turns(5, partial(read_all, top), partial(fingerprint, top))
            print(f"{name}: read {ms(floor)}, ours {ms(ours)}")
            goals.at_most(f"{name} against reading", ratio(ours, floor), 1.7)
            if not what.rivals:
                continue
            published = timed(partial(published_way, top))
            print(f"{name}: published way {published:.1f} s")
            own = sorted(ours)[len(ours) // 2]
            goals.at_least(f"{name} against the published way", published / own, GOALS[name])
    return goals.end()


if __name__ == "__main__":
    sys.exit(main())
