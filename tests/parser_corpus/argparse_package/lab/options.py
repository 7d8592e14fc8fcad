"""Options."""

from lab import WIDTH
import lab.cli


def add_width(parser):
    parser.add_argument("--width", type=int, default=WIDTH)


def add_depth(parser):
    parser.add_argument("--depth", type=int, default=lab.constants.WIDTH + 1)
