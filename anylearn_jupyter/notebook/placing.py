"""From a cell's values to the words of a command line.

How a value is put there follows the script's own parser where it could be read (`discover`): a
flag, ``--no-flag``, several words, the option once for each value, a list with commas,
``name=[1,2]``. Where nothing was readable it is ``--name value``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.grammar import Parameter, Truth, raw_text
from anylearn_jupyter.notebook.script_parser import (
    ListForm,
    ScriptOption,
    ScriptParser,
    Style,
)
from anylearn_jupyter.submit.command import quote_value

_NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+")
_PLAIN_OVERRIDE = re.compile(r"[\w./+\-%@?|*:$]+(?: +[\w./+\-%@?|*:$]+)*|\$\{[\w.]+\}")
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
    negated : frozenset of str
        The names for which the word that says no was put.
    """

    hyperparams: tuple[tuple[str, str], ...] = ()
    raw_arguments: str = ""
    negated: frozenset[str] = frozenset()


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
    return Placed(
        tuple(placing.hyperparams), " ".join(filter(None, words)), frozenset(placing.negated)
    )


class _Placing:
    """Collects what goes where."""

    def __init__(self, parser: ScriptParser | None, prefix: str, delimiter: str) -> None:
        self._parser = parser
        self._prefix = prefix
        self._delimiter = delimiter
        self.hyperparams: list[tuple[str, str]] = []
        self.raw: list[str] = []
        self.negated: set[str] = set()

    def put(self, parameter: Parameter) -> None:
        """Put one value in its place, or leave it out."""
        name = parameter.name
        option = self._parser.option(self._prefix + name) if self._parser else None
        try:
            value = _meant(parameter.value, option)
            if value is None:
                return
            if value is False:
                self._deny(name)
            elif value is True:
                self.hyperparams.append((name, ""))
            elif option is not None and option.action == "count" and str(value).isdigit():
                self._count(name, int(str(value)))
            else:
                self._put_value(name, value, option)
        except OptionError as error:
            raise OptionError(f"`{parameter.source}`: {error}") from error

    def _deny(self, name: str) -> None:
        """Put the word that says no, where the script has one."""
        word = self._parser.negation(name) if self._parser is not None else None
        if word is not None and word.startswith(self._prefix):
            self.hyperparams.append((word.removeprefix(self._prefix), ""))
            self.negated.add(name)

    def _count(self, name: str, times: int) -> None:
        if times:
            self.hyperparams.append((name, " ".join([self._prefix + name] * (times - 1))))

    def _put_value(self, name: str, value: object, option: ScriptOption | None) -> None:
        if isinstance(value, list | tuple) and option is not None and option.appends:
            again = f" {self._prefix}{name}{self._delimiter}"
            if value:
                self.hyperparams.append((name, again.join(quote_value(one) for one in value)))
            return
        keyed = self._parser is not None and self._parser.style is Style.HYDRA
        text = quote_value(override_text(value) if keyed else _in_one_word(value, option))
        if option is not None and self._delimiter == " " and _looks_like_option(text):
            # argparse takes such a value for an option, but not behind an equals sign.
            self.raw.append(f"{self._prefix}{name}={text}")
        else:
            self.hyperparams.append((name, text))


def _in_one_word(value: object, option: ScriptOption | None) -> object:
    """Write several values as one word, if that is how the script takes them."""
    if not isinstance(value, list | tuple) or option is None:
        return value
    separator = {ListForm.COMMAS: ",", ListForm.SPACES: " "}.get(option.list_form)
    if separator is not None:
        return separator.join(map(str, value))
    return repr(value) if option.list_form is ListForm.LITERAL else value


def override_text(value: object) -> str:
    """Write a value as Hydra's overrides have it.

    Examples
    --------
    >>> override_text([1, "a b", None]), override_text({"x": True}), override_text("a=b")
    ('[1,a b,null]', '{x:true}', "'a=b'")
    """
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{','.join(map(override_text, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{key}:{override_text(one)}' for key, one in value.items())}}}"
    text = str(value)
    if _PLAIN_OVERRIDE.fullmatch(text):
        return text
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return f"'{escaped}'"


def _meant(value: object, option: ScriptOption | None) -> object:
    """Make True a flag, False none, and None nothing; any other value stays."""
    if option is not None and option.type == "bool" and not option.flag:
        return _for_bool(value, option)
    if isinstance(value, Truth):
        value = {Truth.YES: True, Truth.NO: False, Truth.NULL: None}[value]
        if value is None or option is None or option.type != "truth" or option.flag:
            return value
    if option is not None and option.flag and isinstance(value, str):
        return _TRUTH_WORDS.get(value, value)
    truth = _truth(value)
    if truth is None:
        return value
    if option is not None and option.keyed:
        return str(truth).lower()
    if truth and option is not None and option.nargs == "?" and option.type == "truth":
        return True
    takes_value = option is not None and isinstance(option.action, str) and not option.flag
    return str(truth) if takes_value else truth


def _for_bool(value: object, option: ScriptOption) -> object:
    """Give the text that Python's own ``bool`` reads as what is meant.

    Raises
    ------
    OptionError
        A word for no, which ``bool`` takes as true.
    """
    if value is Truth.NULL or value is None:
        return None
    if isinstance(value, str) and value.lower() in ("false", "no", "off", "0"):
        raise OptionError(
            f"the script reads {option.names[-1]} by bool(), which takes every text but the empty "
            f"one as true, {value!r} too; write `{option.name} = false`, which sends the empty one."
        )
    truth = {Truth.YES: True, Truth.NO: False}.get(value) if isinstance(value, Truth) else None
    truth = _truth(value) if truth is None else truth
    return value if truth is None else "True" if truth else ""


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
