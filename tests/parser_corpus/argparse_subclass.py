"""A parser class of the script's own."""

import argparse


class Parser(argparse.ArgumentParser):
    def __init__(self, **more):
        super().__init__(description="mine", **more)
        self.add_argument("--seed", type=int, default=3)
        self.add_model()

    def add_model(self):
        group = self.add_argument_group("model")
        group.add_argument("--width", type=int, default=8)


parser = Parser(allow_abbrev=False)
parser.add_argument("--lr", type=float)
args = parser.parse_args()
