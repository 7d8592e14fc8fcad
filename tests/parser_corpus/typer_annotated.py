"""The newer way, with Annotated."""

from typing import Annotated, Literal

import typer

app = typer.Typer(add_completion=False)


@app.command()
def train(
    data: Annotated[str, typer.Argument(help="a folder")],
    epochs: Annotated[int, typer.Option("--epochs", "-e", help="passes")] = 3,
    size: tuple[int, int] = (3, 4),
    layers: Annotated[list[int], typer.Option()] = [64, 32],
    verbose: Annotated[int, typer.Option("--verbose", "-v", count=True)] = 0,
    token: Annotated[str | None, typer.Option(envvar="CORPUS_TOKEN")] = None,
) -> None:
    pass


if __name__ == "__main__":
    app()
