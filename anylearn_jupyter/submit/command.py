"""From an entrypoint, values and mounts to the command that a server runs.

The server writes the command (HTTP API, section 8): the entrypoint, then a prefix, a name, a
delimiter and a value for each parameter. Text in a parameter is shell text. This module makes the
parameters so that what the user meant is what the script gets, and writes the same command for
people to read.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from anylearn_jupyter.errors import OptionError

NAME_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*")
"""What the name of a mounted hyperparameter may be."""

_PYTHON = re.compile(r"(?:.*/)?python[0-9.]*")
_WITH_ARGUMENT = ("-W", "-X", "--check-hash-based-pycs")


def quote_value(value: object) -> str:
    r"""Write a value as shell text that gives exactly this value as one word.

    Parameters
    ----------
    value : object
        A list or tuple gives one word for each item.

    Examples
    --------
    >>> quote_value("a b"), quote_value(1e-3), quote_value(["x", "it's"])
    ("'a b'", '0.001', 'x \'it\'"\'"\'s\'')
    """
    if isinstance(value, list | tuple):
        return " ".join(quote_value(item) for item in value)
    return shlex.quote(_plain_text(value))


def shell_text(value: object) -> str:
    """Write a hyperparameter's value as `quick_train` has it published.

    A string is shell text and stays as it is; the items of a list are quoted one by one; anything
    else is its plain text, quoted where the shell would take it apart.

    Notes
    -----
    Source: quick_train spec, option ``hyperparams``.
    """
    return value if isinstance(value, str) else quote_value(value)


def train_command(
    entrypoint: str,
    hyperparams: Iterable[tuple[str, Any]],
    mounts: Mapping[str, Sequence[str]],
    raw_arguments: str = "",
) -> tuple[str, dict[str, Any]]:
    """Make the entrypoint and the ``train_params`` of a task.

    Parameters
    ----------
    entrypoint : str
        The shell command that starts the training.
    hyperparams : iterable of (str, Any)
        Names and values; no object of them is kept or changed.
    mounts : Mapping
        Hyperparameter to the ids of what is mounted under it. They come first, so that the
        user's own order stays as it is.
    raw_arguments : str
        Shell text for the end of the command. A server writes nothing after the last value, so it
        is added to that one; without any, to the entrypoint.

    Returns
    -------
    tuple
        The entrypoint, and a new dict that is JSON as the server wants it: numbers as numbers,
        everything else as shell text, a mount as a list of placeholders with the quotes that are
        part of them.

    Notes
    -----
    Source: quick_train spec, step 5; HTTP API, section 8.
    """
    params: dict[str, Any] = {
        name: [f'"${resource}"' for resource in ids] for name, ids in mounts.items()
    }
    for name, value in hyperparams:
        number = _number(value)
        params[name] = shell_text(value) if number is None else number
    if not raw_arguments:
        return entrypoint, params
    if not params:
        return f"{entrypoint} {raw_arguments}", params
    name, value = params.popitem()
    if isinstance(value, list):
        params[name] = [*value, raw_arguments]
    elif value == "":
        params[f"{name} {raw_arguments}"] = ""
    else:
        params[name] = f"{value} {raw_arguments}"
    return entrypoint, params


def command_text(
    entrypoint: str, params: Mapping[str, Any], prefix: str = "--", delimiter: str = " "
) -> str:
    """Write the command as a server does, for people to read.

    Notes
    -----
    Source: HTTP API, section 8.
    """
    words = [entrypoint]
    for name, value in params.items():
        values = value if isinstance(value, list) else [value]
        text = " ".join(str(one) for one in values)
        words.append(f"{prefix}{name}{delimiter}{text}" if text else f"{prefix}{name}")
    return " ".join(words)


def entry_command(entry: str) -> str:
    """Make the entrypoint that runs a script: ``train.py`` gives ``python train.py``.

    Parameters
    ----------
    entry : str
        A Python script's path, or ``-m package.module``.

    Raises
    ------
    OptionError
        It is neither.

    Examples
    --------
    >>> entry_command("my train.py"), entry_command("-m pkg.train")
    ("python 'my train.py'", 'python -m pkg.train')
    """
    entry = entry.strip()
    module = entry.removeprefix("-m").strip() if entry.startswith("-m") else None
    if module is not None:
        if all(part.isidentifier() for part in module.split(".")):
            return f"python -m {module}"
        raise OptionError(f"{entry!r} names no module; write it as -m package.module.")
    if entry.endswith(".py"):
        return f"python {shlex.quote(entry)}"
    raise OptionError(
        f"{entry!r} is no script that can be trained: name a .py file or -m package.module, or say "
        f'the whole command with --entrypoint "{entry}".'
    )


def entry_script(entrypoint: str) -> str | None:
    """Find the script that a command of the form ``python script.py ...`` runs.

    Returns
    -------
    str or None
        The path as it is written. None for any other command: whether that one works is only known
        by running it.

    Examples
    --------
    >>> entry_script("python -u train.py --fast"), entry_script("torchrun train.py")
    ('train.py', None)
    """
    try:
        words = shlex.split(entrypoint, comments=False)
    except ValueError:
        return None
    if not words or not _PYTHON.fullmatch(words[0]):
        return None
    rest = iter(words[1:])
    for word in rest:
        if word in _WITH_ARGUMENT:
            next(rest, None)
        elif not word.startswith("-"):
            return word if word.endswith(".py") and not _has_expansion(word) else None
        elif word.startswith(("-c", "-m")) or word == "-":
            return None
    return None


def entry_module(entrypoint: str) -> str | None:
    """Find the module that a command of the form ``python -m package.module`` runs, or None."""
    try:
        words = shlex.split(entrypoint, comments=False)
    except ValueError:
        return None
    if len(words) >= 3 and _PYTHON.fullmatch(words[0]) and words[1] == "-m":
        return words[2]
    return None


def _has_expansion(word: str) -> bool:
    """Whether the shell might make another word of it: the entrypoint is its language, not ours."""
    return bool(set(word) & set("$*?[]{}~`;&|<>()"))


def _plain_text(value: object) -> str:
    """Write a single value as the text that a script should get."""
    value = _unwrapped(value)
    if isinstance(value, str):
        text = value
    elif isinstance(value, Mapping | list | tuple):
        text = json.dumps(value, ensure_ascii=False, default=_plain_text)
    elif isinstance(value, bytes):
        text = value.decode("utf-8", "surrogateescape")
    elif isinstance(value, bool | int | float | PurePath) or value is None:
        text = str(value)
    else:
        raise OptionError(
            f"A hyperparameter's value {value!r:.80} is of type {type(value).__name__}, which has "
            "no form on a command line; give text, a number, a truth value, a path or a list."
        )
    if "\0" in text:
        raise OptionError(f"A hyperparameter's value {text!r:.80} has a zero byte; leave it out.")
    return text


def _unwrapped(value: object) -> object:
    """Take the Python number out of a NumPy scalar or an array of one element."""
    item = getattr(value, "item", None)
    if item is None or isinstance(value, str | bytes | Mapping):
        return value
    try:
        return item()
    except (TypeError, ValueError):
        return value


def _number(value: object) -> int | float | None:
    """Give the value if JSON can hold it as a number."""
    found = _unwrapped(value)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return found if math.isfinite(found) else None
