"""tyro, with a function."""

import tyro


def main(
    data: str, epochs: int = 3, use_amp: bool = False, sizes: tuple[int, ...] = (1, 2)
) -> None:
    """Train."""


tyro.cli(main)
