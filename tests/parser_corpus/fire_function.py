"""python-fire, with a function."""

import fire


def train(data, epochs=3, lr=0.1, use_amp=False, layers=(1, 2)):
    """Train."""


if __name__ == "__main__":
    fire.Fire(train)
