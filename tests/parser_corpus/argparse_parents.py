"""Parsers with parents."""

import argparse

common = argparse.ArgumentParser(add_help=False)
common.add_argument("--seed", type=int, default=1)
either = common.add_mutually_exclusive_group()
either.add_argument("--a", action="store_true")
either.add_argument("--b", action="store_true")
more = argparse.ArgumentParser(add_help=False, parents=[common])
more.add_argument("--more")
parser = argparse.ArgumentParser(parents=[more], allow_abbrev=False)
parser.add_argument("--lr", type=float)
parser.parse_args()
