"""What an annotation says of a value."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.things import Class, EnumMember, External, Scope
from anylearn_jupyter.notebook.script_parser import UNKNOWN, Unknown

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter

_SIMPLE = {
    "builtins.int": "int",
    "builtins.float": "float",
    "builtins.str": "str",
    "builtins.bool": "truth",
    "pathlib.Path": "Path",
    "pathlib.PosixPath": "Path",
}
_LISTS = ("List", "Sequence", "MutableSequence", "Iterable", "Set", "FrozenSet")
_TYPING = ("typing", "typing_extensions", "collections.abc")


@dataclass(frozen=True)
class Shape:
    """What a value is.

    Attributes
    ----------
    type : str, None or Unknown
        As in `ScriptOption`; None for a choice.
    choices : tuple or None
        Of a ``Literal``: its values; of an enumeration: its members.
    many : bool
        Whether it is a list.
    length : int or None
        How many values a tuple has.
    optional : bool
        Whether it may be None.
    owner : Class or None
        The class of the project that it is.
    extras : list
        What ``Annotated`` has beside the type.
    """

    type: str | Unknown | None = UNKNOWN
    choices: tuple[object, ...] | None = None
    many: bool = False
    length: int | None = None
    optional: bool = False
    owner: Class | None = None
    extras: list[object] = field(default_factory=list)


def shape_of(run: Interpreter, node: ast.expr | None, scope: Scope) -> Shape:
    """Read an annotation; what is not known has an unknown type."""
    if node is None:
        return Shape()
    if isinstance(node, ast.Constant):
        return _constant(run, node.value, scope)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union(run, [node.left, node.right], scope)
    if isinstance(node, ast.Subscript):
        return _subscript(run, node, scope)
    if not isinstance(node, ast.Name | ast.Attribute):
        return Shape()
    found = run.evaluation.value(node, scope)
    if isinstance(found, Class):
        members = tuple(found.members()) if found.is_enum else None
        return Shape(None if members else UNKNOWN, members, owner=found)
    if isinstance(found, External):
        name = found.name.rpartition(".")[2]
        if found.name == "builtins.list" or (_typing(found.name) and name in _LISTS):
            return Shape("str", many=True)
        return Shape(_SIMPLE.get(found.name, UNKNOWN))
    return Shape()


def _constant(run: Interpreter, value: object, scope: Scope) -> Shape:
    if value is None:
        return Shape(optional=True)
    if not isinstance(value, str):
        return Shape()
    try:
        return shape_of(run, ast.parse(value, mode="eval").body, scope)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Shape()


def _typing(name: str) -> bool:
    return name.rpartition(".")[0] in _TYPING


def _union(run: Interpreter, nodes: list[ast.expr], scope: Scope) -> Shape:
    shapes = [shape_of(run, node, scope) for node in nodes]
    real = [
        shape
        for node, shape in zip(nodes, shapes, strict=True)
        if not (isinstance(node, ast.Constant) and node.value is None)
    ]
    optional = len(real) < len(nodes) or any(shape.optional for shape in real)
    if len(real) == 1:
        return replace(real[0], optional=optional)
    return Shape(optional=optional)


def _subscript(run: Interpreter, node: ast.Subscript, scope: Scope) -> Shape:
    outer = run.evaluation.value(node.value, scope)
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if not isinstance(outer, External):
        return Shape()
    name = outer.name.rpartition(".")[2] if _typing(outer.name) else outer.name
    if name == "Optional":
        return replace(shape_of(run, inner[0], scope), optional=True)
    if name == "Union":
        return _union(run, inner, scope)
    if name == "Literal":
        values = tuple(run.evaluation.value(one, scope) for one in inner)
        return Shape(None, values) if UNKNOWN not in values else Shape()
    if name == "Annotated":
        extras = [run.evaluation.value(one, scope) for one in inner[1:]]
        return replace(shape_of(run, inner[0], scope), extras=extras)
    if name in ("Final", "ClassVar", "Required"):
        return shape_of(run, inner[0], scope)
    if name in ("Tuple", "builtins.tuple"):
        return _tuple(run, inner, scope)
    if name in ("builtins.list", "builtins.set", *_LISTS):
        item = shape_of(run, inner[0], scope)
        simple = not (item.many or item.length or item.optional)
        return replace(item, many=True) if simple else Shape(many=True)
    return Shape()


def _tuple(run: Interpreter, inner: list[ast.expr], scope: Scope) -> Shape:
    if len(inner) == 2 and isinstance(inner[1], ast.Constant) and inner[1].value is ...:
        return replace(shape_of(run, inner[0], scope), many=True)
    shapes = [shape_of(run, one, scope) for one in inner]
    kinds = {shape.type for shape in shapes}
    plain = all(not (one.many or one.length or one.choices) for one in shapes)
    return Shape(kinds.pop() if len(kinds) == 1 and plain else UNKNOWN, length=len(inner))


def words_of(choices: tuple[object, ...] | None, *, names: bool) -> tuple[object, ...] | None:
    """Give choices as they are typed: an enumeration's names, or its values."""
    if choices is None:
        return None
    return tuple(
        (one.name if names else one.value) if isinstance(one, EnumMember) else one
        for one in choices
    )
