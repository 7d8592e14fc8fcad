"""Readings of scripts as plain data, and what of them a parser that is executed can tell, too."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path, PurePath

from anylearn_jupyter.notebook.script_parser import (
    UNKNOWN,
    FromEnvironment,
    ScriptOption,
    ScriptParser,
)

CORPUS = Path(__file__).parent / "parser_corpus"
UNKNOWN_TEXT = "<unknown>"

_LEFT_OUT = {
    "negations": [], "action": "store", "nargs": None, "type": None, "choices": None,
    "required": False, "default": None, "help": None, "metavar": None, "dest": None, "group": None,
    "list_form": "words", "bounds": None, "ignore_case": False, "keyed": False, "level": 0,
    "takes_none": False, "typed": True,
}  # fmt: skip


def scripts() -> list[str]:
    """Name the scripts of the corpus."""
    single = [path.stem for path in CORPUS.glob("*.py")]
    return sorted([*single, *(path.parent.name for path in CORPUS.glob("*/train.py"))])


def script_of(name: str) -> Path:
    """Give the file of a script."""
    single = CORPUS / f"{name}.py"
    return single if single.exists() else CORPUS / name / "train.py"


def plain(value: object) -> object:
    """Give a value as JSON has it."""
    if value is UNKNOWN:
        return UNKNOWN_TEXT
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, FromEnvironment):
        return {"variable": value.variable, "otherwise": plain(value.otherwise)}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, PurePath) or not isinstance(value, str | int | float | bool | None):
        return str(value)
    return value


def reading(parser: ScriptParser | None, reasons: tuple[str, ...]) -> dict[str, object]:
    """Give a reading; what says nothing is left out."""
    if parser is None:
        return {"parser": None, "reasons": list(reasons)}
    found: dict[str, object] = {
        "style": parser.style.value,
        "complete": parser.complete,
        "options": [_option(one) for one in parser.options if one.action != "help"],
    }
    if parser.required_groups:
        found["required_groups"] = sorted(parser.required_groups)
    if parser.commands:
        found["commands"] = {name: reading(one, one.reasons) for name, one in parser.commands}
        found["command_required"] = plain(parser.command_required)
    if parser.reasons:
        found["reasons"] = list(parser.reasons)
    return found


def _option(option: ScriptOption) -> dict[str, object]:
    said = {"names": list(option.names)} | {
        name: plain(getattr(option, name))
        for name, nothing in _LEFT_OUT.items()
        if plain(getattr(option, name)) != nothing
        or isinstance(getattr(option, name), bool) is not isinstance(nothing, bool)
    }
    return said | {"kind": option.kind}


def comparable(option: ScriptOption) -> dict[str, object]:
    """Give what an executed parser can tell of an option, too."""
    again = option.appends
    negations = list(option.negations)
    if option.action == "boolean_optional" and not negations:
        negations = [f"--no-{name[2:]}" for name in option.names if name.startswith("--")]
    return {
        "names": sorted(option.names),
        "negations": sorted(negations),
        "flag": UNKNOWN_TEXT if option.action is UNKNOWN else option.flag,
        "again": UNKNOWN_TEXT if option.action is UNKNOWN else again and not option.flag,
        "nargs": plain(option.nargs),
        "type": plain(option.type) or "str",
        "choices": plain(option.choices),
        "required": plain(option.required),
        "default": plain(option.default),
        "help": plain(option.help),
    }


def is_group(option: ScriptOption) -> bool:
    """Whether it is a group of Hydra's, which is no key."""
    return option.keyed and option.help == "a group of the configuration"


def written(found: dict[str, object]) -> str:
    """Write a reading as it stands beside its script."""
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"
