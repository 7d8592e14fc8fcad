"""Options."""

import click

RATE = click.option("--rate", type=float, default=0.25, help="step")
