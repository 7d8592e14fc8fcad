"""The hyperparameters of what has no command line of its own: they become Python variables.

For a ``--code`` cell without a parser, and for a notebook.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.grammar import Parameter, Truth, raw_text
from anylearn_jupyter.notebook.script_parser import UNKNOWN
from anylearn_jupyter.notebook.values import Layered, Values, mount_sources
from anylearn_jupyter.submit.code_cell import check_name, python_source, typed_source
from anylearn_jupyter.submit.request import DataInput

_TRUTHS: dict[Truth, object] = {Truth.YES: True, Truth.NO: False, Truth.NULL: None}
_KINDS = {int: "a number", float: "a number", bool: "a truth value", list: "a list", dict: "a dict"}


def python_values(
    layers: Layered,
    data: tuple[DataInput, ...],
    entrypoint: str,
    known: Mapping[str, object] | None = None,
    script: str = "",
) -> Values:
    """Write each value as Python source, and check it.

    Parameters
    ----------
    layers : Layered
        The values from all places.
    data : tuple of DataInput
        What is mounted; its names become variables too.
    entrypoint : str
        The command.
    known : Mapping, optional
        The variables that there are, with their defaults, `UNKNOWN` for one that is not written
        out; None where any name will do.
    script : str
        What has them, for messages.

    Raises
    ------
    OptionError
        A name is given twice, is no variable, or is none of those that there are; a value is of
        another type than the default, or cannot be written as Python.
    """
    sources = {one.name: one.source for one in layers.parameters}
    sources = {name: "--hyperparams" for name, _ in layers.published} | sources
    mounts = mount_sources(data, sources)
    for name, source in (sources | mounts).items():
        check_name(name, source)
        if known is not None and name not in known:
            raise _unknown(name, source, known, script)
    own = {one.name for one in layers.parameters}
    values = {name: python_source(value) for name, value in layers.published if name not in own}
    for one in layers.parameters:
        values[one.name] = value_source(one, (known or {}).get(one.name, UNKNOWN), script)
    return Values(tuple(values.items()), raw_text(layers.raw), entrypoint, "--", " ")


def notebook_values(
    layers: Layered,
    data: tuple[DataInput, ...],
    entrypoint: str,
    known: Mapping[str, object] | None,
    notebook: str,
) -> Values:
    """Write the values of a notebook; see `python_values`.

    Raises
    ------
    OptionError
        There are arguments of a command line, too, which a notebook has not.
    """
    if layers.raw:
        raise OptionError(
            f"`{raw_text(layers.raw)}`: {notebook} has no command line; write a parameter as a "
            "line NAME = value."
        )
    return python_values(layers, data, entrypoint, known, notebook)


def value_source(parameter: Parameter, default: object = UNKNOWN, script: str = "") -> str:
    """Write a value as Python source.

    Parameters
    ----------
    default : object
        What the variable is without it; `UNKNOWN` for nobody knows.
    script : str
        What has the variable, for messages.

    Raises
    ------
    OptionError
        It is of another type than the default, or cannot be written as Python.
    """
    value = parameter.value
    if isinstance(value, Truth):
        value = _TRUTHS[value]
    try:
        if parameter.typed:
            text = repr(str(value)) if isinstance(default, str) else typed_source(str(value))
        else:
            text = python_source(value)
    except OptionError as error:
        raise OptionError(f"`{parameter.source}`: {error}") from error
    kind = _KINDS.get(type(default))
    if kind is not None and text.startswith(("'", '"')):
        raise OptionError(
            f"`{parameter.source}`: {parameter.name} is {kind} in {script} ({default!r}), and "
            f"{text:.80} is text."
        )
    return text


def _unknown(name: str, source: str, known: Mapping[str, object], script: str) -> OptionError:
    near = difflib.get_close_matches(name, known, n=1)
    listed = ", ".join(_shown(known)) or "none"
    guess = f"did you mean {near[0]!r}? It has" if near else "it has"
    return OptionError(f"`{source}`: {script} has no parameter {name!r}; {guess}: {listed}.")


def _shown(known: Mapping[str, object]) -> Iterator[str]:
    for name, default in known.items():
        yield name if default is UNKNOWN else f"{name} = {default!r:.40}"
