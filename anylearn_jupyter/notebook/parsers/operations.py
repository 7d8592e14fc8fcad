"""Operations on plain values, of which the result is small."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from pathlib import PurePath

from anylearn_jupyter.notebook.parsers.things import (
    OPEN,
    Class,
    Function,
    Instance,
    Module,
    Thing,
    bounded,
)
from anylearn_jupyter.notebook.script_parser import UNKNOWN, FromEnvironment

MAX_ITEMS = 10_000
"""A text, a list or the digits of a number are not computed beyond that."""

PLAIN = (str, int, float, complex, bytes, tuple, list, dict, set, PurePath)

# Python's own functions say what they take more narrowly than what can be handed over here; what
# does not fit raises a TypeError, which is caught.
_OPERATORS: dict[type[ast.operator], Callable[..., object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}

_COMPARISONS: dict[type[ast.cmpop], Callable[..., object]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, many: operator.contains(many, one),
    ast.NotIn: lambda one, many: not operator.contains(many, one),
}

_UNARY: dict[type[ast.unaryop], Callable[..., object]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
}

CHANGING = ("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "update",
             "setdefault", "add", "discard", "popitem")  # fmt: skip
TEXT_METHODS = ("format", "join", "lower", "upper", "strip", "split", "replace", "title", "keys",
                 "values", "items", "get", "copy", "index", "count", "startswith", "endswith",
                 "joinpath", "with_suffix", "with_name", "as_posix", "rstrip", "lstrip", "union",
                 "removeprefix", "removesuffix", "capitalize")  # fmt: skip
WIDE = re.compile(r"\d{5}")  # of a format that fills up
FAILURES = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, MemoryError)


def combined(left: object, sign: ast.operator, right: object) -> object:
    """Compute an operation of two values; UNKNOWN where it cannot be, or would be large."""
    compute = _OPERATORS.get(type(sign))
    if compute is None or not isinstance(left, PLAIN) or not isinstance(right, PLAIN):
        return UNKNOWN
    if not _small(left, right, sign):
        return UNKNOWN
    if any(isinstance(one, list | tuple | set | dict) and OPEN in one for one in (left, right)):
        return UNKNOWN
    try:
        return compute(left, right)
    except FAILURES:
        return UNKNOWN


def compared(left: object, sign: ast.cmpop, right: object) -> object:
    """Compare two values; UNKNOWN where they cannot be."""
    if isinstance(sign, ast.Is | ast.IsNot):
        return _identical(left, right, isinstance(sign, ast.Is))
    if not (known([left, right]) and comparable(left) and comparable(right)):
        return UNKNOWN
    if not bounded(left, right):
        return UNKNOWN
    try:
        return _COMPARISONS[type(sign)](left, right)
    except FAILURES:
        return UNKNOWN


def _identical(left: object, right: object, wanted: bool) -> object:
    """Compare with None, True or False, of which there is one each."""
    if left is UNKNOWN or right is UNKNOWN or isinstance(left, FromEnvironment):
        return UNKNOWN
    if not any(one is left or one is right for one in (None, True, False)):
        return UNKNOWN
    return (left is right) is wanted


def negated(sign: ast.unaryop, value: object) -> object:
    """Compute ``-x``, ``+x``, ``~x`` or ``not x``."""
    if isinstance(sign, ast.Not):
        truth = truth_of(value)
        return UNKNOWN if truth is None else not truth
    if not isinstance(value, int | float):
        return UNKNOWN
    try:
        return _UNARY[type(sign)](value)
    except FAILURES:
        return UNKNOWN


def truth_of(value: object) -> bool | None:
    """Whether a value counts as true; None where that is not known."""
    if value is UNKNOWN or isinstance(value, FromEnvironment | Instance):
        return None
    if isinstance(value, Thing):
        return True if isinstance(value, Function | Class | Module) else None
    if isinstance(value, list | tuple | dict | set) and OPEN in value:
        return None
    return bool(value)


def known(values: list[object]) -> bool:
    """Whether all of them are plain."""
    return not any(one is UNKNOWN or isinstance(one, Thing | FromEnvironment) for one in values)


def comparable(value: object) -> bool:
    """Whether all that is in a value is known."""
    if isinstance(value, list | tuple | set | dict):
        return OPEN not in value and UNKNOWN not in value
    return True


def _small(left: object, right: object, sign: ast.operator) -> bool:
    """Whether a result cannot be large."""
    if isinstance(sign, ast.Pow | ast.LShift):
        return isinstance(right, int | float) and abs(right) < 128 and bits(left) < 512
    if isinstance(sign, ast.Mult):
        for many, count in ((left, right), (right, left)):
            if isinstance(many, str | bytes | list | tuple):
                return isinstance(count, int) and len(many) * count <= MAX_ITEMS
    if isinstance(sign, ast.Mod) and isinstance(left, str | bytes):
        return (
            isinstance(left, str) and "*" not in left and not any(char.isdigit() for char in left)
        )
    return bits(left) < MAX_ITEMS and bits(right) < MAX_ITEMS


def bits(value: object) -> int:
    """Give how large a value is: the bits of a number, the items of all else."""
    if isinstance(value, int):
        return value.bit_length()
    return len(value) if isinstance(value, str | bytes | list | tuple | dict | set) else 64
