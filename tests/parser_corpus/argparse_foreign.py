"""A library that adds options of its own."""

import argparse

try:
    from pytorch_lightning_that_is_not_there import Trainer
except ImportError:

    class Trainer:
        @staticmethod
        def add_argparse_args(parser):
            getattr(parser, "add_" + "argument")("--max-epochs")
            return parser


parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser = Trainer.add_argparse_args(parser)
args = parser.parse_args()
