"""Options that several commands share, and one from a function of the script."""

import click

SIZES = ["small", "large"]


def common(function):
    function = click.option("--seed", type=int, default=1)(function)
    return click.option("--device", default="cpu")(function)


def sized(*sizes):
    return click.option("--size", type=click.Choice(sizes), default=sizes[0])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@common
@sized(*SIZES)
@click.version_option("1.0")
def main(seed, device, size):
    pass


if __name__ == "__main__":
    main(standalone_mode=True)
