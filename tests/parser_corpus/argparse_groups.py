"""Groups, and groups of which only one may be given."""

import argparse

parser = argparse.ArgumentParser(add_help=False)
training = parser.add_argument_group("training", "how it is trained")
training.add_argument("--lr", type=float, default=0.1)
device = parser.add_mutually_exclusive_group(required=True)
device.add_argument("--cpu", action="store_true")
device.add_argument("--gpu", type=int)
inner = training.add_mutually_exclusive_group()
inner.add_argument("--warm", action="store_true")
inner.add_argument("--cold", action="store_true")
parser.add_argument_group("data").add_argument("--data", default="data")
parser.parse_args()
