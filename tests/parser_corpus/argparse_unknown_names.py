"""Names that are only known when it runs."""

import argparse
import os

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
for name in os.environ.get("CORPUS_OPTIONS", "").split():
    parser.add_argument(f"--{name}")
parser.parse_args()
