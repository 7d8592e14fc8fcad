"""Types that are known, and those that are not."""

import argparse
import pathlib


def fraction(text):
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("not within 0 and 1")
    return value


parser = argparse.ArgumentParser()
parser.add_argument("--a", type=int, default="5")
parser.add_argument("--b", type=bool, default=True, help="the trap: every text is true")
parser.add_argument("--c", type=pathlib.Path, default=pathlib.Path("data") / "train")
parser.add_argument("--d", type=fraction, default=0.5)
parser.add_argument("--e", type=lambda text: text.split(","))
parser.add_argument("--f", type=argparse.FileType("r"))
parser.add_argument("--g", type=str)
parser.add_argument("--h", type=eval)
parser.parse_args()
