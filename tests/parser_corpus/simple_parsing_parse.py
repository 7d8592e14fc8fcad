"""simple_parsing.parse."""

from dataclasses import dataclass

import simple_parsing


@dataclass
class Base:
    seed: int = 0


@dataclass
class Config(Base):
    lr: float = 0.1
    n: int = 5


if __name__ == "__main__":
    config = simple_parsing.parse(Config)
