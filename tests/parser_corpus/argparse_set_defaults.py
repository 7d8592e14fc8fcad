"""set_defaults before and after, and argument_default."""

import argparse

parser = argparse.ArgumentParser(argument_default=7)
parser.set_defaults(lr=0.5)
parser.add_argument("--lr", type=float)
parser.add_argument("--epochs", type=int, default=1)
parser.add_argument("--other", type=int)
parser.set_defaults(epochs=9, unrelated="x")
parser.parse_args()
