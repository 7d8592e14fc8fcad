"""What Hydra would refuse of a command line: keys that are not there, names of no group."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.script_parser import ScriptOption, ScriptParser

_SHOWN_KEYS = 12
_OWN = ("hydra.", "hydra/", "hydra@")


def check_overrides(parser: ScriptParser, words: Sequence[str]) -> None:
    """Refuse an override of what the configuration does not have.

    Parameters
    ----------
    parser : ScriptParser
        What is known of the configuration.
    words : sequence of str
        What the script would get: ``key=value``, ``+key=value``, ``~key``, or options of Hydra's.

    Raises
    ------
    OptionError
        The message names what is near, and how a key is added.
    """
    if any(word in ("-m", "--multirun") for word in words):
        return  # then each value may be a list of values
    for word in words:
        key, sign, value = word.partition("=")
        if word.startswith("-") or key.startswith(_OWN):
            continue
        if not sign:
            if not key.startswith("~"):
                raise OptionError(
                    f"{parser.script} takes overrides such as `key=value`, and {word!r} is none."
                )
            continue
        option = parser.option(key.lstrip("+~"))
        if key.startswith("+") and not key.startswith("++"):
            if option is not None and parser.complete and not _is_group(option):
                raise OptionError(
                    f"The configuration of {parser.script} has {key[1:]!r} already; leave out the "
                    "plus sign."
                )
            continue
        if key.startswith(("++", "~")):
            continue
        _check_key(parser, key, option)
        if option is not None:
            _check_value(parser, option, value)


def _is_group(option: ScriptOption) -> bool:
    return "@" in option.name or "/" in option.name or option.choices is not None


def _check_key(parser: ScriptParser, key: str, option: ScriptOption | None) -> None:
    names = [one.name for one in parser.options]
    inside = any(name.startswith(f"{key}.") for name in names)
    if option is not None or inside or not parser.complete:
        return
    near = difflib.get_close_matches(key, names, n=1)
    listed = ", ".join(names[:_SHOWN_KEYS]) or "none"
    more = ", …" if len(names) > _SHOWN_KEYS else ""
    guess = f"; did you mean {near[0]!r}?" if near else "."
    raise OptionError(
        f"The configuration of {parser.script} has no {key!r}{guess} It has {listed}{more}. To add "
        f"it, write the line `-- +{key}=…`."
    )


def _check_value(parser: ScriptParser, option: ScriptOption, value: str) -> None:
    plain = value.strip("'\"")
    if not isinstance(option.choices, tuple) or not option.choices or value[:1] in "[{$":
        return
    if plain not in map(str, option.choices) and "/" not in plain:
        raise OptionError(
            f"{parser.script} would refuse `{option.name}={value}`: choose from "
            f"{', '.join(map(str, option.choices))}."
        )
