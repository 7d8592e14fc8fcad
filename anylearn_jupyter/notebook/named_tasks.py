"""The tasks that somebody means: by id, name, ``last``, or a variable that holds them."""

from __future__ import annotations

from collections.abc import Iterable

from anylearn_jupyter.errors import NotFound, OptionError
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.submit.sweep import Sweep, find_sweep
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.tasks import find_task


def named(templates: Iterable[str], names: Names) -> list[TrainTask | Sweep]:
    """Find the tasks and sweeps that somebody means, in order.

    Parameters
    ----------
    templates : iterable of str
        Each an id or its unique beginning, a name, ``last``, or a variable or ``{expression}`` that
        holds a task, a sweep, or a list of them.
    names : Names
        The user's variables.

    Raises
    ------
    OptionError, NotFound
        One fits several tasks, or none.
    """
    found: list[TrainTask | Sweep] = []
    for template in templates:
        value = names.value(template)
        if isinstance(value, str) and value.isidentifier() and names.has(value):
            held = _held(names.variable(value))
            if held is not None:
                found += held
                continue
        held = _held(value)
        found += [_known(str(value))] if held is None else held
    return found


def tasks_named(templates: Iterable[str], names: Names) -> list[TrainTask]:
    """Find the tasks that somebody means, in order; of a sweep all. See `named`."""
    found: list[TrainTask] = []
    for one in named(templates, names):
        found += one.tasks if isinstance(one, Sweep) else [one]
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


def _known(text: str) -> TrainTask | Sweep:
    """Find the task with this name or id, or else the sweep."""
    try:
        return find_task(text)
    except NotFound:
        sweep = find_sweep(text.strip())
        if sweep is None:
            raise
        return sweep


def _held(value: object) -> list[TrainTask | Sweep] | None:
    """Give what a value holds; None where it is neither a task or sweep nor a list of them."""
    if isinstance(value, TrainTask | Sweep):
        return [value]
    if isinstance(value, list | tuple) and all(isinstance(one, TrainTask | Sweep) for one in value):
        return list(value)
    return None
