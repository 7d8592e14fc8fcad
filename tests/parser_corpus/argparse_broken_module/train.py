"""One module of the project cannot be read."""

import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
try:
    import broken

    broken.add(parser)
except SyntaxError:
    pass
parser.parse_args()
