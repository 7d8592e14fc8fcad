"""What is known of the parser of a training script; `discover` finds it out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

FLAG_ACTIONS = (
    "store_true",
    "store_false",
    "store_const",
    "append_const",
    "count",
    "help",
    "version",
    "boolean_optional",
)
"""The actions that take no value."""


class Unknown(Enum):
    """The type of `UNKNOWN`."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        """Write the name."""
        return "UNKNOWN"


UNKNOWN = Unknown.UNKNOWN
"""Stands for what is not written out in the script."""


@dataclass(frozen=True, kw_only=True)
class ScriptOption:
    """One ``add_argument``.

    Attributes
    ----------
    names : tuple of str
        The option strings; of a positional argument its name alone.
    action : str or Unknown
        argparse's word; ``boolean_optional`` for ``BooleanOptionalAction``.
    nargs : int, str, None or Unknown
        As argparse has it.
    type : str, None or Unknown
        ``int``, ``float``, ``str``, ``bool`` or ``Path``; None where none is given.
    choices : tuple, None or Unknown
        What is allowed.
    required : bool or Unknown
        Unknown too where it is only added under a condition.
    default : object
        The literal; None where none is given.
    help, metavar, dest : str, None or Unknown
        As written.
    group : int or None
        The number of its mutually exclusive group.
    """

    names: tuple[str, ...]
    action: str | Unknown = "store"
    nargs: int | str | Unknown | None = None
    type: str | Unknown | None = None
    choices: tuple[object, ...] | Unknown | None = None
    required: bool | Unknown = False
    default: object = None
    help: str | Unknown | None = None
    metavar: object = None
    dest: str | Unknown | None = None
    group: int | None = None

    @property
    def positional(self) -> bool:
        """Whether it is no option."""
        return not self.names[0].startswith("-")

    @property
    def flag(self) -> bool:
        """Whether it takes no value."""
        return self.action in FLAG_ACTIONS

    @property
    def appends(self) -> bool:
        """Whether it is given once for each value."""
        return self.action in ("append", "extend")


@dataclass(frozen=True, kw_only=True)
class ScriptParser:
    """What a script's parser is known to take.

    Attributes
    ----------
    script : str
        The script's path as it stands in the entrypoint.
    options : tuple of ScriptOption
        In the order of the text.
    complete : bool
        Whether there can be no other options: nobody else adds some, and what the script does not
        know is an error (it uses ``parse_args`` on its own command line).
    allow_abbrev : bool
        Whether it takes the beginnings of names.
    required_groups : frozenset of int
        The mutually exclusive groups of which one has to be given.
    """

    script: str
    options: tuple[ScriptOption, ...]
    complete: bool
    allow_abbrev: bool = True
    required_groups: frozenset[int] = frozenset()

    def option(self, word: str) -> ScriptOption | None:
        """Find the option that a word such as ``--lr`` names; a beginning will do where allowed."""
        for one in self.options:
            if not one.positional and word in all_names(one):
                return one
        if not (self.complete and self.allow_abbrev and word.startswith("--")):
            return None
        near = [
            one
            for one in self.options
            if not one.positional and any(name.startswith(word) for name in all_names(one))
        ]
        return near[0] if len(near) == 1 else None

    def negation(self, name: str) -> str | None:
        """Give ``--no-name`` where the script has such a flag."""
        word = f"--no-{name}"
        known = any(
            word in all_names(one) and one.flag for one in self.options if not one.positional
        )
        return word if known else None


def all_names(option: ScriptOption) -> tuple[str, ...]:
    """Give an option's strings, with the ``--no-`` ones that argparse adds."""
    if option.action != "boolean_optional":
        return option.names
    added = tuple(f"--no-{name[2:]}" for name in option.names if name.startswith("--"))
    return option.names + added
