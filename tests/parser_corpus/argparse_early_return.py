"""Ways out before the command line is read."""

import argparse
import sys


def add_more(parser, kind):
    if kind == "small":
        return parser
    parser.add_argument("--large", type=int, default=1)
    return parser


def main():
    parser = argparse.ArgumentParser()
    add_more(parser, "small")
    add_more(parser, "large")
    if len(sys.argv) > 100:
        sys.exit("too many words")
    parser.add_argument("--lr", type=float, required=True)
    parser.parse_args()


try:
    main()
except KeyboardInterrupt:
    pass
