"""What would do harm if it was run or imported; the command line is read all the same."""

import argparse
import os
import shutil

if os.environ.get("CORPUS_CANARY") == "alive":
    shutil.rmtree(os.environ["CORPUS_CANARY_FOLDER"])

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--big", type=int, default=2 ** (10 ** (1 + 1)) if False else 7)
parser.parse_args()
while True:
    pass
