"""A group of commands."""

import click


@click.group()
@click.option("--seed", type=int, default=0)
@click.pass_context
def cli(context, seed):
    context.obj = seed


@cli.command()
@click.option("--lr", type=float, default=0.1)
@click.pass_obj
def fit(seed, lr):
    pass


@cli.command("check")
@click.argument("checkpoint")
def check_it(checkpoint):
    pass


@click.command()
@click.option("--deep", is_flag=True)
def export(deep):
    pass


cli.add_command(export)
cli.add_command(export, name="dump")


@cli.group(invoke_without_command=True)
def data():
    pass


@data.command()
@click.option("--rows", default=10)
def show(rows):
    pass


if __name__ == "__main__":
    cli()
