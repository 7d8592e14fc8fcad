"""Newer ways of writing."""

import argparse
from argparse import ArgumentParser as Parser, BooleanOptionalAction

if (parser := Parser()) is not None:
    parser.add_argument("--lr", type=float, default=(rate := 0.5))
parser.add_argument("--rate", type=float, default=rate / 2)
parser.add_argument("--flag", action=BooleanOptionalAction, default=not False)
match rate:
    case 0.5:
        parser.add_argument("--half", type=int, required=True)
    case _:
        parser.add_argument("--whole")
ALL = {**{"x": 1}, "y": 2}
[parser.add_argument(f"--{name}", type=int, default=value) for name, value in ALL.items()]
parser.parse_args()
