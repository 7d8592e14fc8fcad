"""The parser."""

import argparse

from settings import DEFAULTS, Size


def build_parser():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=DEFAULTS["lr"])
    parser.add_argument("--size", choices=[one.value for one in Size], default=Size.SMALL.value)
    return parser


if __name__ == "__main__":
    raise SystemExit("this is no script")
