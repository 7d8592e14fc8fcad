"""python-fire with a class: its options depend on the method."""

import fire


class Trainer:
    def __init__(self, seed=0):
        self.seed = seed

    def fit(self, lr=0.1):
        return lr


if __name__ == "__main__":
    fire.Fire(Trainer)
