"""What a name of a script stands for while it is read.

A plain value stands for itself: numbers, texts, tuples, lists, dicts, pure paths. Everything else
is a `Thing`, or `UNKNOWN`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.script_parser import UNKNOWN, FromEnvironment

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter


class Open(Enum):
    """Stands in a list or dict for items that are not known, nor how many there are."""

    OPEN = "open"


OPEN = Open.OPEN


class Missing(Enum):
    """Stands for no value at all, where None is one."""

    MISSING = "missing"


MISSING = Missing.MISSING


@dataclass
class Given:
    """What a call is given.

    Attributes
    ----------
    values : list
        By place.
    named : dict
        By name.
    more : bool
        Whether there are others, which are not known (``*args``, ``**kwargs``).
    line : int
        Where the call stands.
    text : str
        The call as written, shortened; for reasons.
    decorates : bool
        Whether it is a decorator's call, which gets a function to wrap it.
    """

    values: list[object] = field(default_factory=list)
    named: dict[str, object] = field(default_factory=dict)
    more: bool = False
    line: int = 0
    text: str = ""
    decorates: bool = False

    def get(self, place: int | None, name: str, otherwise: object = MISSING) -> object:
        """Give an argument by place or name."""
        if name in self.named:
            return self.named[name]
        if place is not None and place < len(self.values):
            return self.values[place]
        return UNKNOWN if self.more else otherwise

    def everything(self) -> Iterator[object]:
        """Give every argument."""
        yield from self.values
        yield from self.named.values()


class Thing:
    """What is no plain value."""

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give what ``thing.name`` stands for."""
        return UNKNOWN

    def call(self, run: Interpreter, given: Given) -> object:
        """Give what a call of it returns; who gets a thing and is not known may change it."""
        run.give_away(given)
        return UNKNOWN

    def escape(self, reason: str) -> None:
        """Take note that somebody who is not known got this."""

    def item(self, run: Interpreter, key: object) -> object:
        """Give what ``thing[key]`` stands for."""
        return UNKNOWN

    def set_attribute(self, name: str, value: object, where: str) -> None:
        """Take note that an attribute is set."""


@dataclass(eq=False)
class Method(Thing):
    """What a model does when it is called."""

    function: object

    def call(self, run: Interpreter, given: Given) -> object:
        """Call it."""
        assert callable(self.function)
        return self.function(run, given)


@dataclass(frozen=True)
class External(Thing):
    """A name of a package that is not the project's."""

    name: str

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give the package's constant, where it is known, or the longer name."""
        return run.library.constant(f"{self.name}.{name}")

    def call(self, run: Interpreter, given: Given) -> object:
        """Do what the package would."""
        model = run.library.models.get(self.name)
        if model is not None:
            return model(run, given)
        if self.name.partition(".")[0] not in run.library.harmless:
            run.give_away(given)
        return UNKNOWN


@dataclass(eq=False)
class Scope:
    """Names of a module, a class or a call of a function.

    Attributes
    ----------
    names : dict
        What they stand for.
    outer : Scope or None
        Where else Python looks.
    module : Module
        Whose text it is.
    elsewhere : dict
        Names declared ``global`` or ``nonlocal``, with their scope.
    returns : list
        What the call may return.
    sticky : tuple of int
        The conditions under which it may have returned already.
    """

    names: dict[str, object]
    outer: Scope | None
    module: Module
    elsewhere: dict[str, Scope] = field(default_factory=dict)
    returns: list[object] = field(default_factory=list)
    sticky: tuple[int, ...] = ()

    def find(self, name: str) -> object:
        """Give what a name stands for, here or further out; MISSING where there is none."""
        place: Scope | None = self.elsewhere.get(name, self)
        while place is not None:
            if name in place.names:
                return place.names[name]
            place = place.outer
        return MISSING


@dataclass(eq=False)
class Module(Thing):
    """A module of the project.

    Attributes
    ----------
    name : str
        Dotted; ``__main__`` for the script.
    file : PurePath or None
        None for a folder without ``__init__``.
    stars : list of str
        Packages of which it imports every name.
    source : str
        Its text.
    """

    name: str
    file: PurePath | None = None
    package: str = ""
    names: dict[str, object] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    source: str = ""

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give one of its names, or a module within."""
        if name in self.names:
            return self.names[name]
        return run.imported(f"{self.name}.{name}") if self.name != "__main__" else UNKNOWN

    def scope(self) -> Scope:
        """Give the scope of its text."""
        return Scope(self.names, None, self)


@dataclass(eq=False)
class Function(Thing):
    """A function of the project.

    Attributes
    ----------
    node : ast.FunctionDef, ast.AsyncFunctionDef or ast.Lambda
        Its text.
    scope : Scope
        Where it was made.
    bound : object
        What its first argument is already.
    wrapped : bool
        Whether a decorator that is not known may give it other arguments.
    marks : dict
        What decorators of a known package left on it.
    called : bool
        Whether it was followed.
    """

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    scope: Scope
    bound: object = MISSING
    wrapped: bool = False
    marks: dict[str, list[object]] = field(default_factory=dict)
    kind: str = "function"
    defaults: dict[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name; empty for a lambda."""
        return "" if isinstance(self.node, ast.Lambda) else self.node.name

    def call(self, run: Interpreter, given: Given) -> object:
        """Follow it."""
        return run.called(self, given)

    def escape(self, reason: str) -> None:
        """Take note that it may be called: with the parsers that it uses, and changing globals."""
        for node in ast.walk(self.node):
            if isinstance(node, ast.Global):
                for name in node.names:
                    self.scope.module.names[name] = UNKNOWN
            elif isinstance(node, ast.Name):
                value = self.scope.find(node.id)
                if isinstance(value, Thing) and not isinstance(value, Function | Class | Instance):
                    value.escape(reason)


@dataclass
class Field:
    """A name of a class with its annotation."""

    name: str
    annotation: ast.expr
    default: object
    scope: Scope
    line: int


@dataclass(eq=False)
class Class(Thing):
    """A class of the project."""

    node: ast.ClassDef
    scope: Scope
    bases: list[object]
    names: dict[str, object] = field(default_factory=dict)
    fields: list[Field] = field(default_factory=list)
    marks: dict[str, list[object]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name."""
        return self.node.name

    def line_of_classes(self) -> Iterator[object]:
        """Give it and its bases, nearest first."""
        yield self
        for base in self.bases:
            yield from base.line_of_classes() if isinstance(base, Class) else (base,)

    def find(self, name: str) -> object:
        """Give a name of it or of its bases."""
        for one in self.line_of_classes():
            if isinstance(one, Class) and name in one.names:
                return one.names[name]
        return MISSING

    def external_bases(self) -> Iterator[str]:
        """Name its bases of other packages."""
        for one in self.line_of_classes():
            if isinstance(one, External):
                yield one.name

    @property
    def is_enum(self) -> bool:
        """Whether it is an enumeration."""
        return any(base.startswith("enum.") for base in self.external_bases())

    def members(self) -> list[EnumMember]:
        """Give the members of an enumeration, in their order; aliases left out."""
        found: list[EnumMember] = []
        for name, value in self.names.items():
            if not isinstance(value, EnumMember) or value.name != name:
                continue
            if not any(one.value == value.value for one in found):
                found.append(value)
        return found

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give a name of the class."""
        found = self.find(name)
        if isinstance(found, Function) and found.kind == "classmethod":
            return run.bind(found, self)
        if found is not MISSING:
            return found
        if name == "__name__":
            return self.name
        if name == "__members__" and self.is_enum:
            return {one.name: one for one in self.members()}
        return UNKNOWN

    def call(self, run: Interpreter, given: Given) -> object:
        """Make an instance."""
        return run.made(self, given)

    def escape(self, reason: str) -> None:
        """Know nothing more of its plain attributes."""
        for name, value in self.names.items():
            if not isinstance(value, Thing):
                self.names[name] = UNKNOWN


@dataclass(frozen=True)
class EnumMember(Thing):
    """A member of an enumeration of the project."""

    owner: Class
    name: str
    value: object

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give its name or value."""
        return {"name": self.name, "value": self.value}.get(name, UNKNOWN)


@dataclass(eq=False)
class Instance(Thing):
    """An object of a class of the project; `base` is what a base of another package makes of it."""

    owner: Class
    names: dict[str, object] = field(default_factory=dict)
    base: Thing | None = None
    given_away: bool = False

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give an attribute: its own, its class's, its base's."""
        if name in self.names:
            return self.names[name]
        found = self.owner.find(name)
        if isinstance(found, Function):
            if found.kind == "property":
                return run.called(run.bind(found, self), Given())
            return found if found.kind == "staticmethod" else run.bind(found, self)
        if found is not MISSING:
            return found
        return UNKNOWN if self.base is None else self.base.attribute(run, name)

    def call(self, run: Interpreter, given: Given) -> object:
        """Follow ``__call__``."""
        found = self.owner.find("__call__")
        if isinstance(found, Function):
            return run.called(run.bind(found, self), given)
        return super().call(run, given)

    def escape(self, reason: str) -> None:
        """Know nothing more of its plain attributes, and pass it on to what it holds."""
        if self.given_away:
            return
        self.given_away = True  # what it holds may hold it
        held = list(self.names.items())
        self.names = {name: one if isinstance(one, Thing) else UNKNOWN for name, one in held}
        for one in (self.base, *(value for _, value in held)):
            if isinstance(one, Thing) and not isinstance(one, Class):
                one.escape(reason)
        self.given_away = False


def bounded(*values: object) -> bool:
    """Whether values are small enough, and not within themselves, to be compared and copied."""
    waiting = list(values)
    seen = 0
    while waiting:
        value = waiting.pop()
        seen += 1
        if isinstance(value, list | tuple | set | frozenset):
            waiting.extend(value)
        elif isinstance(value, dict):
            waiting.extend(value)
            waiting.extend(value.values())
        if seen + len(waiting) > MAX_PARTS:
            return False
    return True


def same(values: list[object]) -> object:
    """Give the value that all of them are; UNKNOWN where there is none such."""
    first = values[0]
    for other in values[1:]:
        if other is first:
            continue
        if not isinstance(first, _PLAIN) or type(other) is not type(first):
            return UNKNOWN
        if not bounded(first, other) or other != first:
            return UNKNOWN
    return first


MAX_PARTS = 20_000
"""So many items has a value at most, all levels together, that is told, compared or copied."""

_PLAIN = (str, int, float, tuple, list, dict, PurePath, EnumMember, External)


def settled(value: object) -> object:
    """Give a value that can be told to others; UNKNOWN where part of it is not known."""
    return _settled(value) if bounded(value) else UNKNOWN


def _settled(value: object) -> object:
    if isinstance(value, EnumMember):
        return _settled(value.value)
    if isinstance(value, list | tuple | set | frozenset):
        items = [_settled(one) for one in value]
        if any(one is UNKNOWN for one in items):
            return UNKNOWN
        return tuple(items) if isinstance(value, tuple) else items
    if isinstance(value, dict):
        pairs = [(_settled(key), _settled(one)) for key, one in value.items()]
        unknown = any(key is UNKNOWN or one is UNKNOWN for key, one in pairs)
        return UNKNOWN if unknown else dict(pairs)
    plain = isinstance(value, str | int | float | complex | bytes | PurePath | FromEnvironment)
    return value if plain or value is None else UNKNOWN
