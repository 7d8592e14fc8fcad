"""What expressions stand for."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.operations import (
    CHANGING,
    FAILURES,
    MAX_ITEMS,
    PLAIN,
    TEXT_METHODS,
    WIDE,
    bits,
    combined,
    compared,
    known,
    negated,
    truth_of,
)
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
    Scope,
    Thing,
    bounded,
)
from anylearn_jupyter.notebook.script_parser import UNKNOWN

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter


class Evaluation:
    """Finds out what expressions stand for.

    Parameters
    ----------
    run : Interpreter
        Whose.
    """

    def __init__(self, run: Interpreter) -> None:
        self._run = run
        self._depth = 0
        self._kinds: dict[type[ast.expr], Callable[..., object]] = {
            ast.Constant: lambda node, scope: node.value,
            ast.Name: lambda node, scope: self.lookup(node.id, scope),
            ast.Attribute: self._attribute,
            ast.Call: self._call,
            ast.Tuple: lambda node, scope: tuple(self._several(node.elts, scope)),
            ast.List: lambda node, scope: self._several(node.elts, scope),
            ast.Set: self._set,
            ast.Dict: self._dict,
            ast.BinOp: self._binary,
            ast.UnaryOp: self._unary,
            ast.BoolOp: self._boolean,
            ast.Compare: self._compare,
            ast.IfExp: self._choice,
            ast.JoinedStr: self._joined,
            ast.Subscript: self._subscript,
            ast.ListComp: self._comprehension,
            ast.SetComp: self._comprehension,
            ast.GeneratorExp: self._comprehension,
            ast.DictComp: self._dict_comprehension,
            ast.Lambda: self._lambda,
            ast.NamedExpr: self._named,
            ast.Await: lambda node, scope: self.value(node.value, scope),
            ast.Starred: lambda node, scope: self.value(node.value, scope),
        }

    def value(self, node: ast.expr, scope: Scope) -> object:
        """Give what an expression stands for; `UNKNOWN` where that is not known."""
        self._run.step()
        find = self._kinds.get(type(node))
        if find is None:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.expr):
                    self.value(child, scope)
            return UNKNOWN
        return find(node, scope)

    def lookup(self, name: str, scope: Scope) -> object:
        """Give what a name stands for."""
        held = scope.find(name)
        if held is not MISSING:
            return held
        for package in scope.module.stars:
            if self._run.library.knows(f"{package}.{name}"):
                return self._run.library.constant(f"{package}.{name}")
        found = self._run.library.builtin(name)
        return UNKNOWN if found is None else found

    def quiet_name(self, node: ast.expr, scope: Scope) -> str | None:
        """Give the full name of what an expression of names stands for, in another package."""
        if isinstance(node, ast.Call):
            node = node.func
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        found = self.lookup(node.id, scope)
        return ".".join([found.name, *parts]) if isinstance(found, External) else None

    def truth(self, node: ast.expr, scope: Scope) -> bool | None:
        """Whether a condition holds; None where that is not known."""
        return truth_of(self.value(node, scope))

    def items(self, value: object) -> list[object] | None:
        """Give what a loop goes through; None where that is not known."""
        if isinstance(value, Class) and value.is_enum:
            return list(value.members())
        if isinstance(value, range):
            return list(value) if len(value) <= MAX_ITEMS else None
        if isinstance(value, str):
            return list(value)
        if isinstance(value, list | tuple | set | dict):
            return None if OPEN in value else list(value)
        return None

    def combined(self, left: object, sign: ast.operator, right: object) -> object:
        """Compute an operation of two values."""
        self._run.spend(left, right)
        result = combined(left, sign, right)
        self._run.spend(result)
        return result

    # Names and calls.

    def _attribute(self, node: ast.Attribute, scope: Scope) -> object:
        owner = self.value(node.value, scope)
        if isinstance(owner, Thing):
            return owner.attribute(self._run, node.attr)
        if isinstance(owner, PurePath) and node.attr in ("name", "stem", "suffix", "parent"):
            return getattr(owner, node.attr)
        if isinstance(owner, PLAIN):
            return Method(self._method(owner, node.attr))
        return UNKNOWN

    def _method(self, owner: object, name: str) -> Callable[[Interpreter, Given], object]:
        """Give a method of a plain value."""

        def call(run: Interpreter, given: Given) -> object:
            values = [*given.values, *given.named.values()]
            if name in CHANGING and isinstance(owner, list | dict | set):
                if run.maybe or given.more or name == "pop":
                    run.lose(owner, f"It is changed in line {given.line}.")
                    return UNKNOWN
            elif name not in TEXT_METHODS:
                return UNKNOWN
            lists = [one for one in (owner, *values) if isinstance(one, list | tuple | set | dict)]
            if given.more or any(OPEN in one for one in lists) or not known(values):
                if name in CHANGING:
                    return self._changed(owner, name, given)
                return UNKNOWN
            size = bits(owner) * max([1, *map(bits, values)])
            run.spend(owner, *values)
            wide = isinstance(owner, str) and WIDE.search(owner)
            if size > MAX_ITEMS * 10 or wide or not bounded(owner, *values):
                return self._changed(owner, name, given) if name in CHANGING else UNKNOWN
            try:
                result = getattr(owner, name)(*given.values, **given.named)
            except FAILURES:
                return UNKNOWN
            return list(result) if name in ("keys", "values", "items") else result

        return call

    def _changed(self, owner: object, name: str, given: Given) -> object:
        """Change a list by what is a thing, or not known."""
        if isinstance(owner, list) and name == "append" and len(given.values) == 1:
            owner.append(given.values[0])
            return None
        self._run.lose(owner, f"It is changed in line {given.line}.")
        return UNKNOWN

    def _call(self, node: ast.Call, scope: Scope) -> object:
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            return _Super(self.lookup_first(scope), scope)
        function = self.value(node.func, scope)
        given = Given(line=node.lineno, text=_shortened(node))
        for argument in node.args:
            value = self.value(argument, scope)
            if not isinstance(argument, ast.Starred):
                given.values.append(value)
            else:
                items = self.items(value)
                given.values += items or []
                given.more = given.more or items is None
        for keyword in node.keywords:
            value = self.value(keyword.value, scope)
            if keyword.arg is not None:
                given.named[keyword.arg] = value
            elif isinstance(value, dict) and OPEN not in value:
                given.named |= {str(name): one for name, one in value.items()}
            else:
                given.more = True
        if isinstance(function, Thing):
            return function.call(self._run, given)
        self._run.give_away(given)
        return UNKNOWN

    def lookup_first(self, scope: Scope) -> object:
        """Give a method's own object."""
        place: Scope | None = scope
        while place is not None:
            for name in ("self", "cls"):
                if name in place.names:
                    return place.names[name]
            place = place.outer
        return UNKNOWN

    def _lambda(self, node: ast.Lambda, scope: Scope) -> object:
        return Function(node, scope)

    def _named(self, node: ast.NamedExpr, scope: Scope) -> object:
        value = self.value(node.value, scope)
        scope.names[node.target.id] = value
        return value

    # Values.

    def _several(self, nodes: list[ast.expr], scope: Scope) -> list[object]:
        found: list[object] = []
        for node in nodes:
            value = self.value(node, scope)
            if isinstance(node, ast.Starred):
                items = self.items(value)
                found += [OPEN] if items is None else items
            else:
                found.append(value)
        return found

    def _set(self, node: ast.Set, scope: Scope) -> object:
        # A list, so that what is written first comes first.
        found: list[object] = []
        for one in self._several(node.elts, scope):
            plain = isinstance(one, str | int | float | EnumMember)
            found += [one if plain else UNKNOWN] if one is OPEN or one not in found else []
        return found

    def _dict(self, node: ast.Dict, scope: Scope) -> object:
        found: dict[object, object] = {}
        for key, one in zip(node.keys, node.values, strict=True):
            value = self.value(one, scope)
            name = OPEN if key is None else self.value(key, scope)
            if key is None and isinstance(value, dict):
                found |= value
            elif isinstance(name, list | dict | set) or name is UNKNOWN:
                found[OPEN] = OPEN
            else:
                found[name] = value
        return found

    def _binary(self, node: ast.BinOp, scope: Scope) -> object:
        left = self.value(node.left, scope)
        return self.combined(left, node.op, self.value(node.right, scope))

    def _unary(self, node: ast.UnaryOp, scope: Scope) -> object:
        return negated(node.op, self.value(node.operand, scope))

    def _boolean(self, node: ast.BoolOp, scope: Scope) -> object:
        stops = isinstance(node.op, ast.Or)
        value: object = UNKNOWN
        doubtful = False
        for one in node.values:
            value = self.value(one, scope)
            truth = truth_of(value)
            if truth is stops:
                return UNKNOWN if doubtful and not isinstance(value, bool) else value
            doubtful = doubtful or truth is None
        return UNKNOWN if doubtful else value

    def _compare(self, node: ast.Compare, scope: Scope) -> object:
        left = self.value(node.left, scope)
        rights = [self.value(one, scope) for one in node.comparators]
        if len(rights) != 1:
            return UNKNOWN
        self._run.spend(left, rights[0])
        return compared(left, node.ops[0], rights[0])

    def _choice(self, node: ast.IfExp, scope: Scope) -> object:
        test = self.truth(node.test, scope)
        if test is not None:
            return self.value(node.body if test else node.orelse, scope)
        with self._run.perhaps():
            first = self.value(node.body, scope)
        with self._run.perhaps():
            second = self.value(node.orelse, scope)
        return first if first is second else UNKNOWN

    def _joined(self, node: ast.JoinedStr, scope: Scope) -> object:
        parts: list[str] = []
        whole = True
        for one in node.values:
            if isinstance(one, ast.Constant):
                parts.append(str(one.value))
                continue
            if not isinstance(one, ast.FormattedValue):
                return UNKNOWN
            value = self.value(one.value, scope)
            form = self.value(one.format_spec, scope) if one.format_spec is not None else ""
            plain = isinstance(value, str | int | float | PurePath) or value is None
            short = isinstance(form, str) and not WIDE.search(form)
            if not plain or not short or one.conversion not in (-1, 115):
                whole = False
                continue
            try:
                parts.append(format(value, str(form)))
            except FAILURES:
                whole = False
        return "".join(parts) if whole else UNKNOWN

    def _subscript(self, node: ast.Subscript, scope: Scope) -> object:
        owner = self.value(node.value, scope)
        if isinstance(node.slice, ast.Slice):
            bounds = [
                None if one is None else self.value(one, scope)
                for one in (node.slice.lower, node.slice.upper, node.slice.step)
            ]
            key: object = slice(*bounds) if UNKNOWN not in bounds else UNKNOWN
        else:
            key = self.value(node.slice, scope)
        if isinstance(owner, Class) and owner.is_enum and isinstance(key, str):
            return next((one for one in owner.members() if one.name == key), UNKNOWN)
        if isinstance(owner, Thing):
            return owner.item(self._run, key)
        if key is UNKNOWN or not isinstance(owner, str | list | tuple | dict):
            return UNKNOWN
        if not isinstance(owner, str) and OPEN in owner:
            return UNKNOWN
        try:
            return operator.itemgetter(key)(owner)
        except FAILURES:
            return UNKNOWN

    # Comprehensions.

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, scope: Scope
    ) -> object:
        found: list[object] = []
        for inner in self._turns(node.generators, scope):
            if inner is None:
                return UNKNOWN
            found.append(self.value(node.elt, inner))
        return found

    def _dict_comprehension(self, node: ast.DictComp, scope: Scope) -> object:
        found: dict[object, object] = {}
        for inner in self._turns(node.generators, scope):
            key = None if inner is None else self.value(node.key, inner)
            if inner is None or not isinstance(key, str | int | float | EnumMember):
                return UNKNOWN
            found[key] = self.value(node.value, inner)
        return found

    def _turns(self, generators: list[ast.comprehension], scope: Scope) -> Iterator[Scope | None]:
        """Give a scope for each turn; None, and no more, where they are not known."""
        if not generators:
            yield scope
            return
        first, *rest = generators
        items = self.items(self.value(first.iter, scope))
        if items is None:
            yield None
            return
        for item in items:
            inner = Scope({}, scope, scope.module)
            self._run.statements.bind(first.target, item, inner)
            tests = [self.truth(one, inner) for one in first.ifs]
            if None in tests:
                yield None
                return
            if all(tests):
                yield from self._turns(rest, inner)


class _Super(Thing):
    """What ``super()`` gives."""

    def __init__(self, owner: object, scope: Scope) -> None:
        self._owner = owner
        self._scope = scope

    def attribute(self, run: Interpreter, name: str) -> object:
        """Give a method of the bases; ``__init__`` makes what a base of another package is."""
        owner = self._owner
        if not isinstance(owner, Instance):
            return UNKNOWN
        for base in self._bases(owner.owner):
            found = base.find(name)
            if isinstance(found, Function):
                return run.bind(found, owner)
        if name == "__init__":
            return Method(lambda run, given: run.make_base(owner, given))
        return UNKNOWN if owner.base is None else owner.base.attribute(run, name)

    def _bases(self, owner: Class) -> Iterator[Class]:
        """Give the classes that come after the one whose method this is."""
        classes = [one for one in owner.line_of_classes() if isinstance(one, Class)]
        place: Scope | None = self._scope
        while place is not None:
            for at, one in enumerate(classes):
                if one.names is place.names:
                    yield from classes[at + 1 :]
                    return
            place = place.outer


def _shortened(node: ast.Call) -> str:
    name = node.func
    parts: list[str] = []
    while isinstance(name, ast.Attribute):
        parts.insert(0, name.attr)
        name = name.value
    first = name.id if isinstance(name, ast.Name) else "…"
    return f"{'.'.join([first, *parts])}(…)"
