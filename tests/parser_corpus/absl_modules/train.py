"""Flags of two modules."""

from absl import app
from absl.flags import DEFINE_integer

import model

EPOCHS = DEFINE_integer("epochs", None, "passes", required=True)
STEPS = DEFINE_integer("steps", 2 + 3, "in a pass")


def main(_):
    model.build()


if __name__ == "__main__":
    app.run(main)
