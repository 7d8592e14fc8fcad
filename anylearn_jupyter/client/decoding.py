"""Strict reading of decoded JSON: a wrong type is an `UnexpectedAnswer`, never a crash further on.

What is checked is what the client goes by: shapes, ids, states, positions in a log. Extra keys are
ignored, and an id may be a text or a number (faults, D8 and D15).
"""

from __future__ import annotations

from typing import Any

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.errors import NotFound, UnexpectedAnswer

_LARGEST = (1 << 63) - 1
_WORDS = {dict: "an object", list: "a list", str: "a text", bool: "a truth value"}


def unexpected(what: str, wanted: str, found: object) -> UnexpectedAnswer:
    """Make the error for an answer of the wrong type."""
    kind = "nothing" if found is None else _WORDS.get(type(found), "a number")
    return UnexpectedAnswer(f"The answer to {what} should be {wanted} and is {kind}.")


def an_object(value: Any, what: str) -> dict[str, Any]:
    """Give a JSON object."""
    if not isinstance(value, dict):
        raise unexpected(what, "an object", value)
    return value


def objects(value: Any, what: str) -> list[dict[str, Any]]:
    """Give a JSON list of objects."""
    if not isinstance(value, list):
        raise unexpected(what, "a list", value)
    return [an_object(item, f"{what}, each item,") for item in value]


def only_object(value: Any, what: str, thing: str) -> dict[str, Any]:
    """Give the object of a ``*/query``, a list of one.

    Raises
    ------
    NotFound
        The list is empty, which means the same as 404 (HTTP API, section 1).
    """
    found = objects(value, what)
    if not found:
        raise NotFound(f"There is no {thing} on the server.", 200)
    return found[0]


def text(data: dict[str, Any], key: str, what: str) -> str:
    """Give a text that must not be empty; a number is taken as its digits."""
    value = data.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise unexpected(f"{what}, key {key!r},", "a text", value)
    return value


def integer(data: dict[str, Any], key: str, what: str) -> int:
    """Give a whole number, also one that was sent as text; at most of 64 bits."""
    value = data.get(key)
    found = None
    if isinstance(value, int) and not isinstance(value, bool):
        found = value
    elif isinstance(value, str) and len(value) <= 20:
        try:
            found = int(value)
        except ValueError:
            found = None
    if found is not None and abs(found) <= _LARGEST:
        return found
    raise unexpected(f"{what}, key {one_line(key)!r},", "a whole number", value)


def number(data: dict[str, Any], key: str, what: str) -> float:
    """Give a number, also one that was sent as text; NaN and infinities are numbers too."""
    value = data.get(key)
    short = not isinstance(value, str) or len(value) <= 40
    if isinstance(value, int | float | str) and not isinstance(value, bool) and short:
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise unexpected(f"{what}, key {key!r},", "a number", value)


def resource(data: dict[str, Any], what: str) -> dict[str, Any]:
    """Check the keys of a dataset, an algorithm or a task that the client goes by."""
    text(data, "id", what)
    if "state" in data:
        integer(data, "state", what)
    return data


def made_id(value: Any, what: str) -> str:
    """Give the id of a mutation reply (HTTP API, section 1)."""
    return text(an_object(value, what), "data", what)
