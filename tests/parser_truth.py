"""Executes a script up to where its parser reads the command line, and prints what the parser says.

Run in a process of its own: ``parser_truth.py SCRIPT``. The libraries' own functions are replaced
by ones that print and exit. Hydra prints its configuration itself.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import runpy
import sys
import typing
from enum import Enum
from pathlib import Path, PurePath

_ACTIONS = {
    "_StoreAction": "store", "_StoreTrueAction": "flag", "_StoreFalseAction": "flag",
    "_StoreConstAction": "flag", "_AppendAction": "again", "_AppendConstAction": "flag",
    "_CountAction": "flag", "_ExtendAction": "again", "_VersionAction": "flag",
    "BooleanOptionalAction": "flag",
}  # fmt: skip
_METAVARS = {"INT": "int", "FLOAT": "float", "STR": "str", "PATH": "Path"}
_before = []


def plain(value):
    """Give a value as JSON has it."""
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, list | tuple | set | range):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, PurePath) or not isinstance(value, str | int | float | bool | None):
        return str(value)
    return value


def finish(found):
    """Print and end."""
    print(json.dumps(found))
    sys.stdout.flush()
    sys.exit(0)


# argparse and what is made of it.


def type_name(kind):
    """Name a type as readings do."""
    if kind is None:
        return "str"
    name = getattr(kind, "__name__", "other")
    if isinstance(kind, type) and issubclass(kind, PurePath):
        return "Path"
    if name in ("str2bool", "string_to_bool"):
        return "truth"
    known = name in ("int", "float", "str", "bool")
    return (
        name if known else "str" if isinstance(kind, type) and issubclass(kind, Enum) else "other"
    )


def argparse_option(action, *, tyro=False):
    """Describe an action."""
    kind = _ACTIONS.get(type(action).__name__, "custom")
    if kind == "flag" and action.nargs == "?":
        kind = "store"  # simple-parsing's
    names = action.option_strings or [action.dest]
    negations = []
    if type(action).__name__ == "BooleanOptionalAction":
        negations = [name for name in names if re.match(r"--(\S+\.)?no", name)]
    choices = None if action.choices is None else plain(list(action.choices))
    if choices is None and isinstance(action.type, type) and issubclass(action.type, Enum):
        choices = [one.value for one in action.type]
    default = None if action.default == argparse.SUPPRESS else plain(action.default)
    found = {
        "names": sorted(set(names) - set(negations)),
        "negations": sorted(negations),
        "flag": kind == "flag",
        "again": kind == "again",
        "custom": kind == "custom",
        "nargs": None if kind == "flag" else action.nargs,
        "type": type_name(action.type),
        "choices": choices,
        "required": action.required and (bool(action.option_strings) or action.nargs != "*"),
        "default": default,
        "help": action.help,
    }
    if tyro:
        metavar = str(action.metavar)
        found["nargs"] = None if action.nargs in (0, 1) else action.nargs
        found["help"] = re.sub(r"\s*\((required|default:.*)\)$", "", action.help or "")
        del found["default"]
        kinds = {_METAVARS[one] for one in re.findall(r"\w+", metavar) if one in _METAVARS}
        found["type"] = kinds.pop() if len(kinds) == 1 else "str" if choices else "other"
    return found


def argparse_parser(parser, *, tyro=False):
    """Describe a parser."""
    commands, required = {}, False
    options = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            required = action.required
            commands = {name: argparse_parser(one) for name, one in action.choices.items()}
        elif type(action).__name__ != "_HelpAction":
            options.append(argparse_option(action, tyro=tyro))
    return {"options": options, "commands": commands, "command_required": required}


def patch_argparse():
    """Print instead of reading; what is read in part is read."""
    known_args = argparse.ArgumentParser.parse_known_args

    def parse_args(self, args=None, namespace=None):
        found = argparse_parser(self)
        names = [one["names"] for one in found["options"]]
        for earlier in _before:
            found["options"] += [one for one in earlier["options"] if one["names"] not in names]
        finish(found)

    def parse_known_args(self, args=None, namespace=None):
        if hasattr(self, "_preprocessing"):  # simple-parsing's
            self._preprocessing(args=[], namespace=None)
            finish(argparse_parser(self))
        if type(self).__name__ == "HfArgumentParser":
            finish(argparse_parser(self))
        _before.append(argparse_parser(self))
        return known_args(self, args, namespace)

    argparse.ArgumentParser.parse_args = parse_args
    argparse.ArgumentParser.parse_known_args = parse_known_args
    if importlib.util.find_spec("simple_parsing"):
        import simple_parsing

        simple_parsing.ArgumentParser.parse_args = lambda self, *args, **more: parse_known_args(
            self
        )
        simple_parsing.ArgumentParser.parse_known_args = parse_known_args


def patch_tyro():
    """Print instead of reading."""
    import warnings

    import tyro

    def cli(target, **more):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parser = tyro.extras.get_parser(target, **more)
        finish(argparse_parser(parser, tyro=True))

    tyro.cli = cli


# click and typer.


def click_type(kind):
    """Name a type of click's."""
    names = {
        "integer": "int", "integer range": "int", "float": "float", "float range": "float",
        "text": "str", "choice": "str", "boolean": "truth", "path": "Path", "filename": "Path",
        "uuid": "other", "datetime": "other",
    }  # fmt: skip
    return names.get(kind.name, "other")


def click_kind(parameter):
    """Give type and choices; typer keeps an annotation instead."""
    if not hasattr(parameter, "type_descriptor"):
        choices = getattr(parameter.type, "choices", None)
        return click_type(parameter.type), None if choices is None else plain(list(choices))
    annotation = parameter.type_descriptor.annotation
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return "str", plain(list(inner))
    annotation = inner[0] if inner else annotation
    if issubclass(annotation, Enum):
        return "str", [one.value for one in annotation]
    if issubclass(annotation, PurePath):
        return "Path", None
    return "truth" if annotation is bool else annotation.__name__, None


def click_option(parameter):
    """Describe a parameter."""
    argument = parameter.param_type_name == "argument"
    flag = getattr(parameter, "is_flag", False) or getattr(parameter, "count", False)
    nargs = None if parameter.nargs == 1 else parameter.nargs
    if argument and parameter.nargs == 1:
        nargs = None if parameter.required else "?"
    elif parameter.nargs == -1:
        nargs = "+" if parameter.required else "*"
    kind, choices = click_kind(parameter)
    default = parameter.default
    default = None if "UNSET" in repr(default).upper() or callable(default) else plain(default)
    return {
        "names": sorted([parameter.name] if argument else parameter.opts),
        "negations": sorted(parameter.secondary_opts),
        "flag": bool(flag),
        "again": bool(getattr(parameter, "multiple", False)),
        "nargs": nargs,
        "type": kind,
        "choices": choices,
        "required": parameter.required,
        "default": default,
        "help": getattr(parameter, "help", None),
        "custom": False,
    }


def click_command(command):
    """Describe a command."""
    commands = getattr(command, "commands", None) or {}
    return {
        "options": [click_option(one) for one in command.params if one.name != "help"],
        "commands": {name: click_command(one) for name, one in commands.items()},
        "command_required": not getattr(command, "invoke_without_command", True),
    }


def patch_click():
    """Print instead of reading."""
    import click

    click.Command.main = lambda self, *args, **more: finish(click_command(self))
    click.Command.__call__ = click.Command.main


def patch_typer():
    """Print instead of reading."""
    import typer

    typer.Typer.__call__ = lambda self, *args, **more: finish(
        click_command(typer.main.get_command(self))
    )


# absl and fire.


def absl_flags():
    """Describe the flags of the script and its modules."""
    from absl import flags

    options = []
    for module, found in flags.FLAGS.flags_by_module_dict().items():
        if module.startswith("absl."):
            continue
        for flag in found:
            kind = type(flag.parser).__name__
            required = any("other than None" in str(one.message) for one in flag.validators)
            enum_values = getattr(flag.parser, "enum_values", None)
            if hasattr(flag.parser, "enum_class"):
                enum_values = [one.name.lower() for one in flag.parser.enum_class]
            options.append(
                {
                    "names": sorted(
                        [f"--{flag.name}", *([f"-{flag.short_name}"] if flag.short_name else [])]
                    ),
                    "negations": [f"--no{flag.name}"] if flag.boolean else [],
                    "flag": bool(flag.boolean),
                    "again": hasattr(flag, "_parse") and "Multi" in type(flag).__name__,
                    "nargs": None,
                    "type": {"IntegerParser": "int", "FloatParser": "float"}.get(kind, "str"),
                    "choices": None if enum_values is None else plain(list(enum_values)),
                    "required": required,
                    "default": flag.default.name.lower()
                    if isinstance(flag.default, Enum)
                    else plain(flag.default),
                    "help": re.sub(r"^<[^>]*>: ", "", flag.help).partition("\n")[0].rstrip(";"),
                    "custom": False,
                }
            )
    return {"options": options, "commands": {}, "command_required": False}


def patch_absl():
    """Print instead of reading."""
    from absl import app

    app.run = lambda *args, **more: finish(absl_flags())


def patch_fire():
    """Print instead of reading."""
    import inspect

    import fire

    def read(target=None, *args, **more):
        options = []
        for name, one in inspect.signature(target).parameters.items():
            default = None if one.default is one.empty else plain(one.default)
            options.append({"names": sorted({f"--{name}", f"--{name.replace('_', '-')}"}),
                            "default": default, "custom": False})  # fmt: skip
        finish({"options": options, "commands": {}, "command_required": False})

    fire.Fire = read


def main():
    """Execute the script."""
    script = Path(sys.argv[1]).resolve()
    hydra = "hydra.main" in script.read_text(encoding="utf-8")
    sys.argv = [str(script), *(["--cfg", "job"] if hydra else [])]
    sys.path[0] = str(script.parent)
    if not hydra:
        patch_argparse()
        for name, patch in (
            ("click", patch_click), ("typer", patch_typer), ("tyro", patch_tyro),
            ("absl", patch_absl), ("fire", patch_fire),
        ):  # fmt: skip
            if (
                f"import {name}" in script.read_text()
                or f"from {name}" in script.read_text()
                or (name in ("click", "absl") and importlib.util.find_spec(name))
            ):
                patch()
    runpy.run_path(str(script), run_name="__main__")
    if not hydra:
        finish(_before[0] if _before else {"options": None})


if __name__ == "__main__":
    main()
