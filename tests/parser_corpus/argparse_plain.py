"""A training script as most are."""

import argparse
from pathlib import Path

DEFAULT_EPOCHS = 3
parser = argparse.ArgumentParser(description="Train a small net.")
parser.add_argument("--epochs", type=int, default=DEFAULT_EPOCHS * 2, help="passes over the data")
parser.add_argument("--lr", "--learning-rate", type=float, default=1e-3, help="step (%(default)s)")
parser.add_argument("-b", "--batch-size", type=int, default=2**5)
parser.add_argument("--data", type=Path, required=True, help="a folder")
parser.add_argument("--amp", action="store_true")
parser.add_argument("--no-shuffle", dest="shuffle", action="store_false")
parser.add_argument("-v", "--verbose", action="count", default=0)
parser.add_argument("--version", action="version", version="1.0")
options = parser.parse_args()
