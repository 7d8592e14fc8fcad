"""click's types."""

import click


@click.command
@click.option("--mode", type=click.Choice(["fast", "good"]), default="fast")
@click.option("--level", type=click.Choice(["LOW", "high"], case_sensitive=False))
@click.option("--fold", type=click.IntRange(0, 4), default=0)
@click.option("--drop", type=click.FloatRange(0, 1, max_open=True), default=0.5)
@click.option("--tag", multiple=True)
@click.option("--size", nargs=2, type=int, default=(3, 4))
@click.option("--pair", type=(str, int))
@click.option("--truth", type=bool, default=False)
@click.option("--when", type=click.DateTime())
@click.option("--upper", "shape", flag_value="upper")
@click.option("--rate", default=0.5)
@click.option("--key", envvar="CORPUS_KEY", required=True)
@click.option("--hidden", hidden=True)
@click.argument("files", nargs=-1)
@click.argument("target", default="here")
def main(**options):
    pass


main()
