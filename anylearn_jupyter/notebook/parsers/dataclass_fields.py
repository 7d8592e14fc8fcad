"""The fields of a dataclass of the project, as every library that reads dataclasses sees them."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anylearn_jupyter.notebook.parsers.annotations import Shape, shape_of
from anylearn_jupyter.notebook.parsers.standard import FieldDefault
from anylearn_jupyter.notebook.parsers.things import (
    MISSING,
    Class,
    EnumMember,
    Field,
    settled,
)
from anylearn_jupyter.notebook.script_parser import UNKNOWN, Unknown

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.parsers.interpreter import Interpreter

MAX_NESTED = 20


@dataclass(frozen=True)
class Known:
    """A field.

    Attributes
    ----------
    default : object
        MISSING where it has none.
    help : str, None or Unknown
        What its metadata, the comment behind it or the text below it say; unknown where a library
        may find it elsewhere.
    metadata : dict or Unknown
        Its metadata.
    more : dict
        What a library's own form of ``field`` says.
    """

    name: str
    shape: Shape
    default: object
    help: str | Unknown | None
    metadata: dict[object, object] | Unknown
    more: dict[str, object]

    def default_value(self, *, names: bool) -> object:
        """Give the default as plain values; of an enumeration's member its name, or its value."""
        value = self.default
        if isinstance(value, EnumMember):
            return value.name if names else value.value
        return None if value is MISSING else settled(value)


def is_dataclass(value: object) -> bool:
    """Whether a value is a dataclass of the project."""
    return isinstance(value, Class) and any(
        isinstance(one, Class) and "dataclass" in one.marks for one in value.line_of_classes()
    )


def strange_bases(owner: Class) -> list[str]:
    """Name the bases of other packages, which may have fields."""
    known = ("builtins.object", "abc.ABC", "typing.Generic", "typing.Protocol")
    names = [one for one in owner.external_bases() if one not in known]
    unknown = any(one is UNKNOWN for one in owner.line_of_classes())
    return names + (["what is not known"] if unknown else [])


def fields_of(run: Interpreter, owner: Class) -> Iterator[Known]:
    """Give the fields, those of bases first, as a dataclass has them."""
    found: dict[str, Field] = {}
    for one in reversed(list(owner.line_of_classes())):
        for each in one.fields if isinstance(one, Class) else ():
            found[each.name] = each
    for each in found.values():
        known = _known(run, each)
        if known is not None:
            yield known


def _known(run: Interpreter, each: Field) -> Known | None:
    text = getattr(each.annotation, "value", None)
    name = run.evaluation.quiet_name(text, each.scope) if text is not None else None
    if name in ("typing.ClassVar", "dataclasses.InitVar"):
        return None
    default = each.default
    metadata: object = {}
    more: dict[str, object] = {}
    if isinstance(default, FieldDefault):
        if default.init is False:
            return None
        metadata = default.metadata if default.metadata is not MISSING else {}
        more = default.more or {}
        default = default.default
    known = metadata if isinstance(metadata, dict) else UNKNOWN
    shape = shape_of(run, each.annotation, each.scope)
    return Known(each.name, shape, default, _help(each, known), known, more)


def _help(each: Field, metadata: dict[object, object] | Unknown) -> str | Unknown | None:
    if isinstance(metadata, dict) and "help" in metadata:
        found = metadata["help"]
        return found if isinstance(found, str) else UNKNOWN
    return _comment_behind(each) or UNKNOWN


def _comment_behind(each: Field) -> str | None:
    """Give the comment behind a field's line."""
    lines = each.scope.module.source.splitlines()
    line = lines[each.line - 1] if each.line <= len(lines) else ""
    if "#" not in line:
        return None
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(line.strip() + "\n").readline))
    except (tokenize.TokenError, SyntaxError):
        return None
    comments = [one.string for one in tokens if one.type == tokenize.COMMENT]
    return comments[-1].lstrip("#").strip() if comments else None


def nested_class(each: Known) -> Class | None:
    """Give the dataclass that a field is."""
    owner = each.shape.owner
    return owner if owner is not None and not each.shape.many and is_dataclass(owner) else None
