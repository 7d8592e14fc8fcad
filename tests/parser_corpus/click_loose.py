"""A command that takes what it does not know, too."""

import click


@click.command(context_settings=dict(ignore_unknown_options=True, allow_extra_args=True))
@click.option("--lr", type=float, default=0.1)
@click.argument("rest", nargs=-1, type=click.UNPROCESSED)
def main(lr, rest):
    pass


main()
