"""The hyperparameters of a cell: from all the places where they can stand to one command line.

From weakest to strongest: ``--hyperparams``, ``--params``, the body, ``--set``.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.given_options import GivenOptions
from anylearn_jupyter.notebook.grammar import Body, Parameter, option_names, read_setting
from anylearn_jupyter.notebook.parsers.yaml_subset import YamlError, read_yaml
from anylearn_jupyter.notebook.placing import Placed, place
from anylearn_jupyter.notebook.refusals import check_names, check_words
from anylearn_jupyter.notebook.script_parser import ScriptParser, Style
from anylearn_jupyter.notebook.subcommands import choose, words_after_script
from anylearn_jupyter.submit.command import command_text, train_command
from anylearn_jupyter.submit.published import checked_hyperparams
from anylearn_jupyter.submit.request import DataInput
from anylearn_jupyter.submit.sweep_points import Between, Choices, Dimension

SHELL_WORK = re.compile(r"[$`;&|<>]")
"""What makes a text one that only a shell can take apart."""

_READERS: Mapping[str, Callable[[str], object]] = {
    ".json": json.loads,
    ".toml": tomllib.loads,
    ".yaml": read_yaml,
    ".yml": read_yaml,
}

_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.\-]*")


@dataclass(frozen=True)
class Layered:
    """The values of a cell from all places, each name once.

    Attributes
    ----------
    published : tuple
        Names and values of ``--hyperparams``.
    parameters : tuple of Parameter
        The others; some may be a `Dimension`.
    raw : tuple of str
        The words of raw lines.
    """

    published: tuple[tuple[str, Any], ...]
    parameters: tuple[Parameter, ...]
    raw: tuple[str, ...]

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """What is swept, by name, in its order."""
        found = {one.name: one.value for one in self.parameters}
        return {name: one for name, one in found.items() if isinstance(one, Choices | Between)}

    def at(self, point: Mapping[str, object]) -> Layered:
        """Give the values of one point of a sweep."""
        parameters = (
            replace(one, value=point[one.name]) if one.name in point else one
            for one in self.parameters
        )
        return replace(self, parameters=tuple(parameters))


@dataclass(frozen=True)
class Values:
    """What a request has of the values.

    Attributes
    ----------
    hyperparams : tuple
        Names and values.
    raw_arguments : str
        Shell text for the end of the command.
    entrypoint : str
        With the subcommand that the body names.
    prefix, delimiter : str
        What stands before each name, and between name and value.
    """

    hyperparams: tuple[tuple[str, Any], ...]
    raw_arguments: str
    entrypoint: str
    prefix: str
    delimiter: str

    @property
    def given(self) -> bool:
        """Whether there are any."""
        return bool(self.hyperparams or self.raw_arguments)


def layered(options: GivenOptions, body: Body) -> Layered:
    """Join the places where values stand; each expression is evaluated once.

    Raises
    ------
    OptionError
        A name is given twice in one of them, or a file or a value cannot be read.
    """
    return Layered(_published(options), tuple(_layered(options, body)), body.raw)


def values_of(
    options: GivenOptions,
    layers: Layered,
    data: tuple[DataInput, ...],
    parser: ScriptParser | None,
    entrypoint: str,
) -> Values:
    """Put the values on the command line, and check it.

    Raises
    ------
    OptionError
        A name is given twice, or the script's parser would refuse something.
    """
    parameters = list(layers.parameters)
    prefix, delimiter = _marks(options, parser)
    if parser is not None and parser.commands:
        chosen = choose(parser, parameters, layers.raw, entrypoint, prefix)
        parser, parameters, entrypoint = chosen.parser, chosen.parameters, chosen.entrypoint
    placed = place(parameters, layers.raw, parser, prefix=prefix, delimiter=delimiter)
    names = {one.name for one in parameters}
    hyperparams: tuple[tuple[str, Any], ...] = (
        *(pair for pair in layers.published if pair[0] not in names),
        *placed.hyperparams,
    )
    sources = {one.name: one.source for one in parameters}
    mounts = mount_sources(data, sources)
    if parser is not None:
        shown = {prefix + name: source for name, source in (mounts | sources).items()}
        negated = {prefix + name for name in placed.negated}
        check_names(parser, {word: shown[word] for word in shown if word not in negated})
        words = _words(entrypoint, hyperparams, data, placed, prefix, delimiter)
        if words is not None:
            check_words(parser, words, shown)
    return Values(hyperparams, placed.raw_arguments, entrypoint, prefix, delimiter)


def mount_sources(data: tuple[DataInput, ...], sources: Mapping[str, str]) -> dict[str, str]:
    """Say of each name that receives data where it was given.

    Raises
    ------
    OptionError
        It is the name of a value too.
    """
    mounts = {one.name: f"-d {one.name}=…" for one in data if one.name}
    for name, source in mounts.items():
        if name in sources:
            raise OptionError(
                f"{name!r} is given twice, as data by {source} and as a value by "
                f"`{sources[name]}`; keep one of them."
            )
    return mounts


def _marks(options: GivenOptions, parser: ScriptParser | None) -> tuple[str, str]:
    """Give what stands around names: ``name=value`` for Hydra, unless the cell says otherwise."""
    given = (options.given.hyperparams_prefix, options.given.hyperparams_delimeter)
    if parser is not None and parser.style is Style.HYDRA and given == (None, None):
        return "", "="
    return options.prefix, options.delimiter


def _layered(options: GivenOptions, body: Body) -> list[Parameter]:
    """Let the body override ``--params``, and ``--set`` the body; the first place stays."""
    layers: dict[str, Parameter] = {one.name: one for one in _params(options)}
    layers |= {one.name: one for one in body.parameters}
    settings: dict[str, Parameter] = {}
    for text in options.given.set:
        one = read_setting(text, "--set", options.names)
        if one.name in settings:
            raise OptionError(f"--set gives {one.name!r} twice; keep one of them.")
        settings[one.name] = one
    layers |= settings
    for name in option_names(body.raw):
        if name in settings:
            raise OptionError(
                f"{name!r} is given twice, by `{settings[name].source}` and by a raw line of the "
                "body; keep one of them."
            )
        layers.pop(name, None)
    return list(layers.values())


def _published(options: GivenOptions) -> tuple[tuple[str, Any], ...]:
    """Read ``--hyperparams``, whose texts are shell text as in `quick_train`."""
    template = options.given.hyperparams
    if template is None:
        return ()
    value = options.value("hyperparams")
    if not isinstance(value, Mapping):
        raise OptionError(
            f"--hyperparams {template} is a {type(value).__name__}; give a dict in braces, as in "
            "--hyperparams {settings}."
        )
    return checked_hyperparams(value)


def _params(options: GivenOptions) -> Iterable[Parameter]:
    """Read ``--params``: a dict variable, or a file."""
    template = options.given.params
    if template is None:
        return
    value = options.value("params")
    source = f"--params {template}"
    if isinstance(value, str) and not options.names.has(template):
        value = _read_file(value)
    if not isinstance(value, Mapping):
        raise OptionError(f"{source} is a {type(value).__name__}; give a dict of names and values.")
    for name, one in value.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise OptionError(
                f"{source} has the name {name!r}; a name has letters, digits, '_', '-' and '.'."
            )
        yield Parameter(name, one, f"{name} in {source}")


def _read_file(text: str) -> object:
    path = Path(text).expanduser()
    kind = path.suffix.lower()
    reader = _READERS.get(kind)
    if reader is None:
        raise OptionError(
            f"--params {text} is neither a variable nor a .json, .toml or .yaml file; name one of "
            "these."
        )
    try:
        return reader(path.read_bytes().decode("utf-8"))
    except YamlError as error:
        raise OptionError(
            f"--params {text} {error}, and only plain YAML is read; write it plainer, or load the "
            "file yourself and give the variable."
        ) from error
    except OSError as error:
        raise OptionError(f"--params {text} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise OptionError(f"--params {text} is no {kind[1:].upper()}: {error}.") from error


def _words(
    entrypoint: str,
    hyperparams: tuple[tuple[str, Any], ...],
    data: tuple[DataInput, ...],
    placed: Placed,
    prefix: str,
    delimiter: str,
) -> list[str] | None:
    """Give the words that the script would get; None where only a shell could tell."""
    mounts: dict[str, list[str]] = {}
    for one in data:
        mounts.setdefault(one.name, []).append("data")
    start, params = train_command("", hyperparams, mounts, placed.raw_arguments)
    try:
        tail = shlex.split(command_text(start, params, prefix, delimiter))
    except ValueError:
        return None
    published = any(isinstance(value, str) and SHELL_WORK.search(value) for _, value in hyperparams)
    if published and hyperparams != placed.hyperparams:
        return None
    first = words_after_script(entrypoint)
    return None if first is None else [*first, *tail]
