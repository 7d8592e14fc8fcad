"""simple-parsing."""

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Optional

from simple_parsing import ArgumentParser, choice


class Color(Enum):
    RED = 1
    BLUE = 2


@dataclass
class Optimizer:
    rate: float = 0.1  # step size
    betas: tuple[float, float] = (0.9, 0.99)


@dataclass
class Options:
    data: str
    epochs: int = 3
    amp: bool = False
    pin: bool = True
    color: Color = Color.RED
    layers: list[int] = field(default_factory=list)
    limit: Optional[int] = None
    out: Path = Path("out")
    kind: str = choice("a", "b", default="a")
    optimizer: Optimizer = field(default_factory=Optimizer)


parser = ArgumentParser()
parser.add_argument("--seed", type=int, default=1)
parser.add_arguments(Options, dest="options")
args = parser.parse_args()
