"""Options that are only there under a condition."""

import argparse
import sys

try:
    import torch_that_is_not_there as torch
except ImportError:
    torch = None

DEBUG = False
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
if DEBUG:
    parser.add_argument("--never", required=True)
else:
    parser.add_argument("--always")
if torch is not None:
    parser.add_argument("--cuda", required=True)
if sys.platform == "linux":
    parser.add_argument("--nice", type=int, default=1)
else:
    parser.add_argument("--nice", type=int, default=0)
args = parser.parse_args()
