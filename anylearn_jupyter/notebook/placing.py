"""From a cell's values to the words of a command line.

How a value is put there follows the script's own parser where it could be read (`discover`): a
flag, ``--no-flag``, several words, the option once for each value. Where nothing was readable it
is ``--name value``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.grammar import Parameter, Truth, raw_text
from anylearn_jupyter.notebook.script_parser import ScriptOption, ScriptParser
from anylearn_jupyter.submit.command import quote_value

_NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+")
_TRUTH_WORDS = {"True": True, "False": False}


@dataclass(frozen=True)
class Placed:
    """Values as a `TrainRequest` has them.

    Attributes
    ----------
    hyperparams : tuple of (str, str)
        Names and shell text; empty text makes a bare flag.
    raw_arguments : str
        Shell text for the end of the command.
    """

    hyperparams: tuple[tuple[str, str], ...] = ()
    raw_arguments: str = ""


def place(
    parameters: Iterable[Parameter],
    raw: Iterable[str],
    parser: ScriptParser | None,
    *,
    prefix: str = "--",
    delimiter: str = " ",
) -> Placed:
    """Put values on the command line.

    Parameters
    ----------
    parameters : iterable of Parameter
        In their order.
    raw : iterable of str
        The words of raw lines.
    parser : ScriptParser or None
        What is known of the script.
    prefix, delimiter : str
        As in the request.

    Raises
    ------
    OptionError
        A value has no form on a command line.
    """
    placing = _Placing(parser, prefix, delimiter)
    for parameter in parameters:
        placing.put(parameter)
    words = [*placing.raw, raw_text(tuple(raw))]
    return Placed(tuple(placing.hyperparams), " ".join(filter(None, words)))


class _Placing:
    """Collects what goes where."""

    def __init__(self, parser: ScriptParser | None, prefix: str, delimiter: str) -> None:
        self._parser = parser
        self._prefix = prefix
        self._delimiter = delimiter
        self.hyperparams: list[tuple[str, str]] = []
        self.raw: list[str] = []

    def put(self, parameter: Parameter) -> None:
        """Put one value in its place, or leave it out."""
        name = parameter.name
        option = self._parser.option(self._prefix + name) if self._parser else None
        value = _meant(parameter.value, option)
        if value is None:
            return
        if value is False:
            if self._parser is not None and self._parser.negation(name) is not None:
                self.hyperparams.append((f"no-{name}", ""))
            return
        if value is True:
            self.hyperparams.append((name, ""))
            return
        try:
            self._put_value(name, value, option)
        except OptionError as error:
            raise OptionError(f"`{parameter.source}`: {error}") from error

    def _put_value(self, name: str, value: object, option: ScriptOption | None) -> None:
        if isinstance(value, list | tuple) and option is not None and option.appends:
            again = f" {self._prefix}{name}{self._delimiter}"
            if value:
                self.hyperparams.append((name, again.join(quote_value(one) for one in value)))
            return
        text = quote_value(value)
        if option is not None and self._delimiter == " " and _looks_like_option(text):
            # argparse takes such a value for an option, but not behind an equals sign.
            self.raw.append(f"{self._prefix}{name}={text}")
        else:
            self.hyperparams.append((name, text))


def _meant(value: object, option: ScriptOption | None) -> object:
    """Make True a flag, False none, and None nothing; any other value stays."""
    if isinstance(value, Truth):
        return {Truth.YES: True, Truth.NO: False, Truth.NULL: None}[value]
    if option is not None and option.flag and isinstance(value, str):
        return _TRUTH_WORDS.get(value, value)
    truth = _truth(value)
    takes_value = option is not None and isinstance(option.action, str) and not option.flag
    return value if truth is None else str(truth) if takes_value else truth


def _truth(value: object) -> bool | None:
    """Give a truth value, NumPy's too; None for anything else."""
    if isinstance(value, bool):
        return value
    if type(value).__name__ in ("bool", "bool_") and hasattr(value, "item"):
        return bool(value)
    return None


def _looks_like_option(text: str) -> bool:
    words = shlex.split(text)
    return (
        len(words) == 1
        and len(words[0]) > 1
        and words[0].startswith("-")
        and _NEGATIVE_NUMBER.fullmatch(words[0]) is None
    )
