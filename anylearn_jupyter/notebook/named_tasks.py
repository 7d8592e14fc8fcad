"""The tasks that somebody means: by id, name, ``last``, or a variable that holds them."""

from __future__ import annotations

from collections.abc import Iterable

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.tasks import find_task


def tasks_named(templates: Iterable[str], names: Names) -> list[TrainTask]:
    """Find the tasks that somebody means, in order.

    Parameters
    ----------
    templates : iterable of str
        Each an id or its unique beginning, a name, ``last``, or a variable or ``{expression}`` that
        holds a task or a list of tasks.
    names : Names
        The user's variables.

    Raises
    ------
    OptionError, NotFound
        One fits several tasks, or none.
    """
    found: list[TrainTask] = []
    for template in templates:
        value = names.value(template)
        if isinstance(value, str) and value.isidentifier() and names.has(value):
            held = _tasks_in(names.variable(value))
            if held is not None:
                found += held
                continue
        held = _tasks_in(value)
        found += [find_task(str(value))] if held is None else held
    return found


def one_task(template: str, names: Names) -> TrainTask:
    """Find the one task that somebody means.

    Raises
    ------
    OptionError, NotFound
        It is several, or none.
    """
    found = tasks_named([template], names)
    if len(found) != 1:
        raise OptionError(f"{template} holds {len(found)} tasks; name one of them.")
    return found[0]


def _tasks_in(value: object) -> list[TrainTask] | None:
    """Give the tasks that a value holds; None where it is neither a task nor a list of them."""
    if isinstance(value, TrainTask):
        return [value]
    if isinstance(value, list | tuple) and all(isinstance(one, TrainTask) for one in value):
        return list(value)
    return None
