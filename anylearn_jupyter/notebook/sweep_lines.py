"""``NAME in values``: a line of a cell's body that asks for one training for each value."""

from __future__ import annotations

import re

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.expressions import Names, python_literal
from anylearn_jupyter.submit.sweep_points import (
    MAX_POINTS,
    Choices,
    Dimension,
    listed_choices,
    logarithmic,
    uniform,
)

_CALL = re.compile(r"(range|log|uniform)\s*\((.*)\)", re.DOTALL)
_FORMS = {
    "range": "range(stop), range(start, stop) or range(start, stop, step)",
    "log": "log(low, high) or log(low, high, how many)",
    "uniform": "uniform(low, high)",
}


def read_sweep(name: str, text: str, line: str, names: Names) -> Dimension:
    """Read what stands behind ``in``.

    Parameters
    ----------
    name, line : str
        Whose values they are, and where they stand; for errors.
    text : str
        Without the comment.
    names : Names
        To evaluate expressions with.

    Raises
    ------
    OptionError
        It is no list of values; the message quotes the line and shows the way out.

    Notes
    -----
    Source: notebook spec, "Body", ``values``.
    """
    try:
        return _dimension(name, text.strip(), names)
    except OptionError as error:
        reason = str(error).rstrip(".")
        raise OptionError(f"The line `{line}` cannot be used: {reason}.") from error


def _dimension(name: str, text: str, names: Names) -> Dimension:
    call = _CALL.fullmatch(text)
    if call is not None:
        return _called(call[1], names.text(call[2]))
    if text[0] == "{":
        return _of_object(text, names.value(text))
    if text[0] in "[(":
        try:
            found = python_literal(text)
        except ValueError as error:
            raise OptionError(
                "a list holds numbers and quoted strings; " + _corrected(name, text)
            ) from error
        if isinstance(found, list | tuple):
            return listed_choices(found, f"the list {text}")
    raise OptionError(f"values stand in brackets; {_corrected(name, text)}")


def _corrected(name: str, text: str) -> str:
    """Write the line as it was probably meant."""
    words = [word.strip() for word in text.strip("[]()").split(",") if word.strip()]
    listed = ", ".join(_quoted(word) for word in words)
    return f"write `{name} in [{listed}]`, or `{name} in {{variable}}` for a list of yours"


def _quoted(word: str) -> str:
    try:
        python_literal(word)
    except ValueError:
        return repr(word)
    return word


def _called(word: str, arguments: str) -> Dimension:
    try:
        given = python_literal(f"({arguments},)") if arguments.strip() else ()
    except ValueError as error:
        raise OptionError(f"{word}({arguments}) takes numbers; write {_FORMS[word]}") from error
    numbers = given if isinstance(given, tuple) else ()
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
        raise OptionError(f"{word}({arguments}) takes numbers; write {_FORMS[word]}")
    whole = [one for one in numbers if isinstance(one, int)]
    if word == "range":
        return _range(arguments, whole if len(whole) == len(numbers) else [])
    if word == "uniform" and len(numbers) == 2:
        return uniform(*numbers)
    if word == "log" and len(numbers) == 2:
        return logarithmic(*numbers)
    if word == "log" and len(numbers) == 3 and isinstance(numbers[2], int):
        return logarithmic(numbers[0], numbers[1], numbers[2])
    raise OptionError(f"{word}({arguments}) has no such form; write {_FORMS[word]}")


def _range(arguments: str, whole: list[int]) -> Choices:
    if not 1 <= len(whole) <= 3:
        raise OptionError(f"range({arguments}) takes whole numbers; write {_FORMS['range']}")
    if len(whole) == 3 and whole[2] == 0:
        raise OptionError(f"range({arguments}) has the step 0, which leads nowhere")
    found = range(*whole)
    if len(found) > MAX_POINTS:
        raise OptionError(f"range({arguments}) has {len(found):,} values; {MAX_POINTS:,} fit")
    return listed_choices(found, f"range({arguments})")


def _of_object(text: str, value: object) -> Choices:
    """Take the values out of a list, a range, an array, a column or whatever gives them."""
    plain = getattr(value, "tolist", None)
    if callable(plain):
        value = plain()  # NumPy's and pandas' numbers become Python's own
    if isinstance(value, str | bytes | dict) or not hasattr(value, "__iter__"):
        raise OptionError(
            f"{text} is a {type(value).__name__}; give a list of values, such as {{[1, 2, 3]}}"
        )
    return listed_choices(value, text)
