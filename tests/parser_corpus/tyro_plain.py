"""tyro, with a dataclass within another."""

import dataclasses
from enum import Enum
from pathlib import Path
from typing import Literal

import tyro


class Mode(Enum):
    FAST = "quick"
    GOOD = "slow"


@dataclasses.dataclass(frozen=True)
class Optimizer:
    learning_rate: float = 3e-4  # step size
    betas: tuple[float, float] = (0.9, 0.999)
    nesterov: bool = False


@dataclasses.dataclass
class Args:
    data: Path
    epochs: int = 3
    amp: bool = False
    strict: bool = True
    mode: Mode = Mode.FAST
    act: Literal["relu", "gelu"] = "relu"
    layers: list[int] = dataclasses.field(default_factory=lambda: [64, 64])
    limit: int | None = None
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)


if __name__ == "__main__":
    args = tyro.cli(Args)
