"""Defaults that are simple expressions, and some that are not."""

import argparse
import os
import random
from os.path import join

HOME = "runs"
SIZES = {"hidden": 128}
parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=10 * 1000 + 1)
parser.add_argument("--out", default=os.path.join(HOME, "first", "out"))
parser.add_argument("--log", default=join(HOME, "log"))
parser.add_argument("--cache", default=os.environ.get("CORPUS_CACHE", "cache"))
parser.add_argument("--token", default=os.getenv("CORPUS_TOKEN"))
parser.add_argument("--hidden", type=int, default=SIZES["hidden"] // 2)
parser.add_argument("--name", default=f"{HOME}-{SIZES['hidden']:04d}")
parser.add_argument("--seed", type=int, default=random.randint(1, 9))
parser.add_argument("--workers", type=int, default=os.cpu_count())
parser.add_argument("--scale", type=float, default=-1.5e-3)
parser.add_argument("--none", default=None)
parser.add_argument("--left-out", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
parser.parse_args()
