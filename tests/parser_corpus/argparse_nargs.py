"""Every kind of nargs."""

import argparse

parser = argparse.ArgumentParser()
parser.add_argument("files", nargs="+", help="what to read")
parser.add_argument("--betas", type=float, nargs=2, default=[0.9, 0.999])
parser.add_argument("--layers", type=int, nargs="*", default=[64] * 3)
parser.add_argument("--resume", nargs="?", const="last", default=None)
parser.add_argument("--extra", nargs=argparse.REMAINDER)
parser.add_argument("--one", nargs=1)
parser.add_argument("--opt", nargs=argparse.OPTIONAL, const=1, type=int)
parser.parse_args()
