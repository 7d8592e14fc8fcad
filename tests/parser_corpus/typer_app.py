"""Several commands, and an app within."""

import typer

app = typer.Typer(help="A lab.", add_completion=False)
data = typer.Typer()
app.add_typer(data, name="data")


@app.callback()
def common(seed: int = 0):
    pass


@app.command()
def fit(lr: float = 0.1, use_amp: bool = typer.Option(False, "--amp/--no-amp")):
    pass


@app.command("check")
def check_it(checkpoint: str):
    pass


@data.command()
def show(rows: int = 10):
    pass


@data.command()
def hide():
    pass


app()
