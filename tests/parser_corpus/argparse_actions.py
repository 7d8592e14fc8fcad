"""Every action."""

import argparse


class Upper(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None):
        setattr(namespace, self.dest, values.upper())


parser = argparse.ArgumentParser()
parser.add_argument("--tag", action="append")
parser.add_argument("--pair", action="append", nargs=2, metavar=("A", "B"))
parser.add_argument("--ids", action="extend", nargs="+", type=int)
parser.add_argument("--fast", dest="mode", action="store_const", const="fast")
parser.add_argument("--add-a", dest="letters", action="append_const", const="a")
parser.add_argument("--pin", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("--use-cache", "--cache", action=argparse.BooleanOptionalAction)
parser.add_argument("--shout", action=Upper)
parser.parse_args()
