"""A parser in a class, with a method for each kind of option."""

import argparse


class Options:
    def __init__(self):
        self.parser = argparse.ArgumentParser()
        self.initialized = False

    def initialize(self):
        self.parser.add_argument("--dataroot", required=True, help="path to images")
        self.parser.add_argument("--batch", type=int, default=self.batch())
        self.initialized = True

    @staticmethod
    def batch():
        return 16

    def parse(self):
        if not self.initialized:
            self.initialize()
        return self.parser.parse_args()


class TrainOptions(Options):
    def initialize(self):
        super().initialize()
        self.parser.add_argument("--lr", type=float, default=0.0002)

    @staticmethod
    def batch():
        return 4


if __name__ == "__main__":
    opt = TrainOptions().parse()
