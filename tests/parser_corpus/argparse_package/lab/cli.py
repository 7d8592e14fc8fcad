"""The command line."""

import argparse
from . import constants, options
from .options import *

__all__ = ["main"]


def main():
    parser = argparse.ArgumentParser()
    add_width(parser)
    parser.add_argument("--name", choices=constants.NAMES)
    options.add_depth(parser)
    parser.parse_args()
