"""The command."""

import click

from .options import RATE


@click.command(name="train")
@RATE
@click.option("--epochs", type=int, required=True)
def train(rate, epochs):
    pass
