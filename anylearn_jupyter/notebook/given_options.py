"""The options of a cell as they were given, with their expressions evaluated."""

from __future__ import annotations

import argparse

from anylearn_jupyter.notebook.expressions import Names


class GivenOptions:
    """What `arguments.parse_line` read, as texts.

    Attributes
    ----------
    given : argparse.Namespace
        The options as templates.
    names : Names
        The user's variables.
    prefix, delimiter : str
        What stands before each name, and between name and value.
    """

    def __init__(self, given: argparse.Namespace, names: Names) -> None:
        self.given = given
        self.names = names
        prefix, delimiter = self.text("hyperparams_prefix"), self.text("hyperparams_delimeter")
        self.prefix = "--" if prefix is None else prefix
        self.delimiter = " " if delimiter is None else delimiter

    def text(self, name: str) -> str | None:
        """Give an option's text; None where it was not given."""
        template = getattr(self.given, name)
        return None if template is None else self.names.text(template)

    def texts(self, name: str) -> tuple[str, ...]:
        """Give the texts of an option that may be repeated."""
        return tuple(self.names.text(template) for template in getattr(self.given, name))

    def value(self, name: str) -> object:
        """Give an option that takes an object: the value of its expression, or its variable."""
        template = getattr(self.given, name)
        if template is None:
            return None
        value = self.names.value(template)
        if isinstance(value, str) and value.isidentifier() and self.names.has(value):
            return self.names.variable(value)
        return value
