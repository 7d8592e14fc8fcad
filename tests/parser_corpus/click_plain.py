"""A command of click's."""

from pathlib import Path

import click


@click.command()
@click.option("--epochs", default=3, help="passes over the data", show_default=True)
@click.option("--lr", type=float, default=0.1)
@click.option("-n", "--name", "title", required=True)
@click.option("--amp", is_flag=True)
@click.option("--shuffle/--no-shuffle", default=True, help="mix the rows")
@click.option("-v", "--verbose", count=True)
@click.option("--out", type=click.Path(path_type=Path), default="out")
@click.argument("data", type=click.Path())
def main(epochs, lr, title, amp, shuffle, verbose, out, data):
    """Train."""


if __name__ == "__main__":
    main()
