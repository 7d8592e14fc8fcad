"""Submitting a task again: the request that the ledger kept, with some values changed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from anylearn_jupyter.errors import NotFound, OptionError
from anylearn_jupyter.submit.exact import submit_exactly
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.progress import Progress, TqdmProgress
from anylearn_jupyter.submit.published import checked_hyperparams
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.task_record import TaskRecord


def request_again(record: TaskRecord, changes: Mapping[str, Any]) -> TrainRequest:
    """Give the request of a task with some hyperparameters changed.

    Parameters
    ----------
    changes : Mapping
        Plain values by name: one that is there keeps its place, another one goes to the end, None
        takes one out.

    Raises
    ------
    NotFound
        The task was not submitted from this machine.
    """
    kept = record.profile.get("request")
    if not isinstance(kept, dict):
        raise NotFound(
            f"The task {record.id} was not submitted from this machine, so what to repeat is not "
            "known; submit it with quick_train."
        )
    request = TrainRequest.from_json(kept)
    values = dict(request.hyperparams)
    for name, value in checked_hyperparams(changes):
        if value is None:
            values.pop(name, None)
        else:
            values[name] = request.value_text(value)
    return replace(request, hyperparams=tuple(values.items()), server=record.server)


def submit_again(
    record: TaskRecord,
    changes: Mapping[str, Any],
    *,
    exact: bool = False,
    progress: Progress | None = None,
) -> TrainTask:
    """Submit a task again; see `TrainTask.retry`.

    Parameters
    ----------
    progress : Progress, optional
        Who is told how far it is; None for a bar.
    """
    if exact and changes:
        raise OptionError(
            f"An exact repetition changes nothing; leave out either exact or {', '.join(changes)}."
        )
    request = request_again(record, changes)
    with TqdmProgress() if progress is None else nullcontext(progress) as told:
        if exact:
            return submit_exactly(record, request, told).task
        return submit(request, told).task
