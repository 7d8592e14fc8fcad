"""Options that are made in loops over what is written out."""

import argparse

RATES = {"encoder": 0.1, "decoder": 0.01}
parser = argparse.ArgumentParser()
for name, rate in RATES.items():
    parser.add_argument(f"--{name}-lr", type=float, default=rate, help=f"rate of the {name}")
for split in ("train", "valid"):
    for what in ["data", "size"]:
        if split == "valid" and what == "size":
            continue
        parser.add_argument("--" + split + "-" + what)
SHARED = dict(type=int, default=5)
parser.add_argument("--shared", **SHARED)
NAMES = []
NAMES.append("--from-list")
parser.add_argument(*NAMES, help="made of a list")
parser.parse_args()
