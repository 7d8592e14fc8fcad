"""A file of settings first, then all the rest, as timm does it."""

import argparse

config_parser = argparse.ArgumentParser(add_help=False)
config_parser.add_argument("-c", "--config", default="", metavar="FILE")
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--model", default="resnet")


def _parse_args():
    args_config, remaining = config_parser.parse_known_args()
    if args_config.config:
        with open(args_config.config) as file:
            parser.set_defaults(**dict(line.split("=") for line in file))
    return parser.parse_args(remaining)


def main():
    args = _parse_args()
    print(args)


if __name__ == "__main__":
    main()
