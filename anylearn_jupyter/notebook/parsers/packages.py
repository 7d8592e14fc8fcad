"""What is known of the packages that a script imports; of no other one anything is loaded."""

from __future__ import annotations

from anylearn_jupyter.notebook.parsers import argparse_style, standard
from anylearn_jupyter.notebook.parsers.library import Library


class Packages(Library):
    """A library that begins with Python's own packages and learns of others as they are imported.

    Each kind of parser is a module that takes time to load, and a script has one kind: Tab is not
    to wait for the seven others.
    """

    def __init__(self) -> None:
        super().__init__()
        self._learned: set[str] = set()
        self._add(standard.library())
        self._add(argparse_style.library())

    def learn(self, package: str) -> None:
        """Know what is known of a package."""
        style = _STYLES.get(package)
        if style is not None and style not in self._learned:
            self._learned.add(style)
            self._add(_library_of(style))

    def _add(self, other: Library) -> None:
        self.models |= other.models
        self.constants |= other.constants
        self.bases |= other.bases
        self.harmless |= other.harmless


_STYLES = {
    "click": "click",
    "typer": "typer",
    "hydra": "hydra",
    "omegaconf": "hydra",
    "transformers": "dataclasses",
    "simple_parsing": "dataclasses",
    "tyro": "dataclasses",
    "absl": "absl",
    "fire": "fire",
}


def _library_of(style: str) -> Library:
    """Load the module that knows a kind of parser."""
    if style == "click":
        from anylearn_jupyter.notebook.parsers import click_style

        return click_style.library()
    if style == "typer":
        from anylearn_jupyter.notebook.parsers import typer_style

        return typer_style.library()
    if style == "hydra":
        from anylearn_jupyter.notebook.parsers import hydra_style

        return hydra_style.library()
    if style == "dataclasses":
        from anylearn_jupyter.notebook.parsers import dataclass_style

        return dataclass_style.library()
    if style == "absl":
        from anylearn_jupyter.notebook.parsers import absl_style

        return absl_style.library()
    from anylearn_jupyter.notebook.parsers import fire_style

    return fire_style.library()
