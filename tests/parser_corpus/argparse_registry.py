"""Parts of a program add their options by a registry of functions."""

import argparse

ADDERS = []


def adds(function):
    ADDERS.append(function)
    return function


@adds
def data_options(parser):
    parser.add_argument("--data", default="data")


@adds
def model_options(parser, width=4):
    parser.add_argument("--width", type=int, default=width)


def main(argv=None):
    parser = argparse.ArgumentParser()
    for adder in ADDERS:
        adder(parser)
    args = parser.parse_args(argv)
    if args.width > 3:
        raise SystemExit(0)


if __name__ == "__main__":
    main()
