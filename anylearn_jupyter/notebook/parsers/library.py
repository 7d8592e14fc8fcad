"""What the names of known packages stand for."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.things import Class, External, Given, Thing

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter

Model = Callable[["Interpreter", Given], object]
"""What a call of a package's function returns."""

Base = Callable[["Interpreter", Class, Given], Thing | None]
"""What an instance of a class of the project is, whose base is a package's class."""


@dataclass
class Library:
    """What is known of one package, or of several.

    Attributes
    ----------
    models : dict
        By full name, what a call returns.
    constants : dict
        By full name, what an attribute stands for.
    bases : dict
        By full name of a class, what an instance of a subclass is.
    harmless : set
        Packages whose functions change nothing that they are given.
    """

    models: dict[str, Model] = field(default_factory=dict)
    constants: dict[str, object] = field(default_factory=dict)
    bases: dict[str, Base] = field(default_factory=dict)
    harmless: set[str] = field(default_factory=set)

    def constant(self, name: str) -> object:
        """Give what a full name stands for."""
        return self.constants.get(name, External(name))

    def learn(self, package: str) -> None:
        """Be told that the script imports a package of others; here all is known already."""

    def builtin(self, name: str) -> object | None:
        """Give one of Python's own names; None where there is no such."""
        return External(f"builtins.{name}") if hasattr(builtins, name) else None

    def knows(self, name: str) -> bool:
        """Whether a full name is one of these."""
        known: tuple[Mapping[str, object], ...] = (self.models, self.constants, self.bases)
        return any(name in names for names in known)
