"""Settings."""

from enum import Enum

DEFAULTS = {"lr": 0.25, "epochs": 4}


class Size(Enum):
    SMALL = "small"
    LARGE = "large"
