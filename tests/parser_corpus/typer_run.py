"""typer.run of one function."""

from enum import Enum
from pathlib import Path
from typing import List, Optional

import typer


class Mode(str, Enum):
    fast = "fast"
    good = "good"


def main(
    data: Path,
    epochs: int = 3,
    lr: float = typer.Option(0.1, help="step", min=0, max=1),
    name: str = typer.Option(..., "--name", "-n"),
    amp: bool = False,
    force: bool = typer.Option(False, "--force"),
    pin: bool = typer.Option(True, "--pin/--no-pinning"),
    mode: Mode = Mode.fast,
    tag: Optional[List[str]] = typer.Option(None),
    limit: Optional[int] = None,
    learning_rate_decay: float = 0.5,
    extra: Optional[str] = typer.Argument(None),
):
    """Train."""


if __name__ == "__main__":
    typer.run(main)
