"""The model's flags."""

import enum

from absl import flags


class Size(enum.Enum):
    SMALL = 1
    LARGE = 2


_WIDTH = flags.DEFINE_integer("width", 8, "of a layer")
_SIZE = flags.DEFINE_enum_class("size", Size.SMALL, Size, "of all")


def build():
    return _WIDTH.value
