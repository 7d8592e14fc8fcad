"""What is known of Python's own names: simple functions, paths, the environment, dataclasses."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.library import Library
from anylearn_jupyter.notebook.parsers.operations import MAX_ITEMS, truth_of
from anylearn_jupyter.notebook.parsers.things import (
    MISSING,
    OPEN,
    Class,
    EnumMember,
    External,
    Function,
    Given,
    Instance,
    Method,
    Thing,
    bounded,
)
from anylearn_jupyter.notebook.script_parser import UNKNOWN, FromEnvironment

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter


_CHANGING = ("append", "extend", "insert", "remove", "pop", "clear", "__setitem__")


class Names(Thing):
    """What ``globals()`` gives: whoever changes it changes any name."""

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give a method; those that change it are told."""
        if name in ("update", "setdefault", "pop", "clear", "__setitem__"):
            run.shake("Names are changed through globals().")
        return UNKNOWN


class CommandLine(Thing):
    """``sys.argv``, or a part of it: `start` is the first word of it."""

    def __init__(self, start: int = 0) -> None:
        self.start = start

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give a method; those that change it are told."""
        if name in _CHANGING and self.start == 0:
            run.reasons.append("The script changes its command line.")
        return UNKNOWN

    def item(self, run: Interpreter, key: object) -> object:
        """Give the words from a place on."""
        if isinstance(key, slice) and isinstance(key.start, int) and key.start >= 0:
            return CommandLine(self.start + key.start) if key.stop is None else UNKNOWN
        return UNKNOWN


@dataclass(eq=False)
class FieldDefault(Thing):
    """What ``dataclasses.field`` gives.

    Attributes
    ----------
    default : object
        MISSING where there is none.
    metadata : object
        A dict, or UNKNOWN.
    init : object
        Whether it is an argument of the class.
    more : dict
        What a library's own form of it says besides.
    """

    default: object = MISSING
    metadata: object = MISSING
    init: object = True
    more: dict[str, object] | None = None


def computed(function: Callable[..., object]) -> Callable[[Interpreter, Given], object]:
    """Make a model of a function that is computed where all arguments are known."""

    def model(run: Interpreter, given: Given) -> object:
        values = [_as_items(run, one) for one in given.values]
        values_known = not any(_unknown(one) for one in (*values, *given.named.values()))
        run.spend(*values)
        if given.more or not values_known or not bounded(*values):
            return UNKNOWN
        try:
            return function(*values, **given.named)
        except (TypeError, ValueError, ArithmeticError, LookupError, MemoryError):
            return UNKNOWN

    return model


def _as_items(run: Interpreter, value: object) -> object:
    """Give an enumeration as the list of its members."""
    return value.members() if isinstance(value, Class) and value.is_enum else value


def _unknown(value: object) -> bool:
    if isinstance(value, list | tuple | set | dict):
        return OPEN in value or len(value) > MAX_ITEMS or any(one is UNKNOWN for one in value)
    if isinstance(value, EnumMember):
        return False
    if isinstance(value, range) and len(value) > MAX_ITEMS:
        return True
    return value is UNKNOWN or isinstance(value, Thing | FromEnvironment)


def _range(*bounds: int) -> object:
    return range(*bounds)


def _listed(*values: object) -> object:
    (value,) = values or ((),)
    if isinstance(value, range) and len(value) > MAX_ITEMS:
        return UNKNOWN
    return list(value) if isinstance(value, str | list | tuple | dict | range) else UNKNOWN


def _tupled(*values: object) -> object:
    found = _listed(*values)
    return tuple(found) if isinstance(found, list) else found


def _set_of(*values: object) -> object:
    found = _listed(*values)
    return list(dict.fromkeys(found)) if isinstance(found, list) else found


def _text(value: object = "") -> object:
    return UNKNOWN if isinstance(value, EnumMember) else str(value)


def _path(*parts: object) -> object:
    texts = [part for part in parts if isinstance(part, str | PurePath)]
    return PurePosixPath(*texts) if len(texts) == len(parts) else UNKNOWN


def _joined_path(*parts: str | PurePath) -> object:
    return posixpath.join(*map(str, parts)) if parts else UNKNOWN


def _environment(run: Interpreter, given: Given) -> object:
    """Model ``os.environ.get`` and ``os.getenv``."""
    name, otherwise = given.get(0, "key"), given.get(1, "default", None)
    if not isinstance(name, str) or isinstance(otherwise, Thing) or otherwise is UNKNOWN:
        return UNKNOWN
    return FromEnvironment(name, otherwise)


def _bool(run: Interpreter, given: Given) -> object:
    truth = truth_of(given.values[0]) if given.values else False
    return UNKNOWN if truth is None else truth


def _attribute_of(run: Interpreter, given: Given) -> object:
    owner, name = given.get(0, "object"), given.get(1, "name")
    if isinstance(owner, Thing) and isinstance(name, str):
        return owner.attribute(run, name)
    run.give_away(given)
    return UNKNOWN


def _set_attribute(run: Interpreter, given: Given) -> object:
    run.give_away(given)
    return None


def _executed(run: Interpreter, given: Given) -> object:
    """Model ``exec``, which may do anything to names."""
    run.shake(f"`{given.text}` in line {given.line} may add others.")
    return UNKNOWN


def _type_check(run: Interpreter, given: Given) -> object:
    return UNKNOWN


def marking(mark: str) -> Callable[[Interpreter, Given], object]:
    """Make a model of a class decorator, with or without arguments, that leaves a mark."""

    def model(run: Interpreter, given: Given) -> object:
        first = given.values[0] if given.values else None
        if isinstance(first, Class | Function) and not given.named:
            first.marks.setdefault(mark, [])
            return first

        def decorate(run: Interpreter, inner: Given) -> object:
            target = inner.values[0]
            if isinstance(target, Class | Function):
                target.marks.setdefault(mark, []).append(given)
            return target

        return Method(decorate)

    return model


def _field(run: Interpreter, given: Given) -> object:
    default = given.get(None, "default")
    factory = given.get(None, "default_factory")
    if factory is not MISSING:
        default = made_by(run, factory)
    metadata = given.get(None, "metadata", MISSING)
    return FieldDefault(default, metadata, given.get(None, "init", True))


def made_by(run: Interpreter, factory: object) -> object:
    """Give what a default factory makes."""
    if isinstance(factory, Function):
        return run.called(factory, Given())
    if isinstance(factory, External):
        empty: dict[str, object] = {"builtins.list": [], "builtins.dict": {}, "builtins.str": ""}
        return empty.get(factory.name, UNKNOWN)
    if isinstance(factory, Class):
        return Instance(factory)
    return UNKNOWN


def library() -> Library:
    """Give what is known of the standard library."""
    simple: dict[str, Callable[..., object]] = {
        "builtins.range": _range,
        "builtins.list": _listed,
        "builtins.tuple": _tupled,
        "builtins.set": _set_of,
        "builtins.frozenset": _set_of,
        "builtins.sorted": sorted,
        "builtins.len": len,
        "builtins.min": min,
        "builtins.max": max,
        "builtins.sum": sum,
        "builtins.abs": abs,
        "builtins.round": round,
        "builtins.str": _text,
        "builtins.int": int,
        "builtins.float": float,
        "builtins.dict": dict,
        "builtins.zip": lambda *many: list(zip(*many, strict=False)),
        "builtins.enumerate": lambda many, start=0: list(enumerate(many, start)),
        "builtins.reversed": lambda many: list(reversed(many)),
        "pathlib.Path": _path,
        "pathlib.PurePath": _path,
        "pathlib.PosixPath": _path,
        "os.path.join": _joined_path,
        "os.fspath": str,
    }
    found = Library(models={name: computed(function) for name, function in simple.items()})
    found.models |= {
        "os.environ.get": _environment,
        "os.getenv": _environment,
        "builtins.bool": _bool,
        "builtins.getattr": _attribute_of,
        "builtins.isinstance": _type_check,
        "builtins.setattr": _set_attribute,
        "builtins.delattr": _set_attribute,
        "builtins.exec": _executed,
        "builtins.globals": lambda run, given: Names(),
        "enum.auto": lambda run, given: External("enum.auto"),
        "dataclasses.dataclass": marking("dataclass"),
        "dataclasses.field": _field,
    }
    found.constants |= {
        "sys.argv": CommandLine(),
        "os.sep": "/",
        "os.path.sep": "/",
        "os.curdir": ".",
        "math.pi": 3.141592653589793,
        "math.e": 2.718281828459045,
        "math.inf": float("inf"),
        "typing.TYPE_CHECKING": False,
    }
    found.harmless |= {
        "builtins", "os", "sys", "json", "logging", "pathlib", "math", "typing", "enum",
        "dataclasses", "warnings", "time", "datetime", "re", "textwrap", "pprint", "platform",
        "shutil", "collections", "typing_extensions",
    }  # fmt: skip
    return found
