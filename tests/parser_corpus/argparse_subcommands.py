"""Subcommands, with aliases and options of their own."""

import argparse


def build():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    commands = parser.add_subparsers(dest="command", required=True)
    fit = commands.add_parser("fit", aliases=["train"], help="train a model")
    fit.add_argument("--lr", type=float, default=0.1)
    fit.add_argument("--epochs", type=int, required=True)
    fit.set_defaults(run="fit")
    test = commands.add_parser("test")
    test.add_argument("checkpoint")
    nested = test.add_subparsers(dest="how")
    nested.add_parser("quick").add_argument("--limit", type=int, default=10)
    return parser


if __name__ == "__main__":
    args = build().parse_args()
