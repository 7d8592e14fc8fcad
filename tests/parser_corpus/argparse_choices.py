"""Choices of every kind."""

import argparse
from enum import Enum


class Optimizer(Enum):
    SGD = "sgd"
    ADAM = "adam"


class Level(str, Enum):
    LOW = "low"
    HIGH = "high"


SCHEDULES = ("constant", "cosine")
BY_NAME = {"small": 1, "large": 2}
parser = argparse.ArgumentParser()
parser.add_argument("--schedule", choices=SCHEDULES, default=SCHEDULES[0])
parser.add_argument("--size", choices=BY_NAME, default="small")
parser.add_argument("--sorted-size", choices=sorted(BY_NAME.keys()))
parser.add_argument("--fold", type=int, choices=range(5))
parser.add_argument("--letter", choices="abc")
parser.add_argument("--optimizer", type=Optimizer, choices=list(Optimizer), default=Optimizer.ADAM)
parser.add_argument("--optimizer-name", choices=[one.value for one in Optimizer])
parser.add_argument("--level", type=Level, default=Level.LOW)
parser.add_argument("--names", choices=[one.name.lower() for one in Level if one.name != "LOW"])
parser.parse_args()
