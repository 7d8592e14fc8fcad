"""What a task was submitted with, under the published name."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from anylearn_jupyter.submit.facts import Facts
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.task_record import TaskRecord


@dataclass(frozen=True)
class TrainProfile:
    """What a task was submitted with, from this machine's ledger.

    Attributes
    ----------
    train_task_id, entrypoint, train_params, algorithm_id : str
        As the server knows them.
    algorithm_dir, algorithm_archive, dataset_dir, dataset_archive : str or None
        Where the code and the first local dataset were.
    dataset_id : str or None
        The first dataset.
    created_at : datetime
        When it was submitted, local time.
    request : TrainRequest
        The whole of what was asked for.
    facts : Facts or None
        What was sent.
    """

    train_task_id: str
    entrypoint: str | None
    train_params: str
    algorithm_id: str
    algorithm_dir: str | None
    algorithm_archive: str | None
    dataset_id: str | None
    dataset_dir: str | None
    dataset_archive: str | None
    created_at: datetime
    request: TrainRequest = field(repr=False)
    facts: Facts | None = field(repr=False)

    @classmethod
    def of(
        cls, record: TaskRecord, facts: Facts | None, *, algorithm_id: str, train_params: str
    ) -> TrainProfile | None:
        """Read a task's profile; None where it was submitted elsewhere."""
        kept: Any = record.profile.get("request")
        if not isinstance(kept, dict):
            return None
        request = TrainRequest.from_json(kept)
        local = [one for one in request.data if one.path is not None and one.kind == "dataset"]
        directory = next((str(one.path) for one in local if not one.archive), None)
        archive = next((str(one.path) for one in local if one.archive), None)
        ids = [one.id for one in facts.data if one.kind == "dataset"] if facts else []
        return cls(
            train_task_id=record.id,
            entrypoint=request.entrypoint,
            train_params=train_params,
            algorithm_id=algorithm_id,
            algorithm_dir=str(request.algorithm_dir) if request.algorithm_dir else None,
            algorithm_archive=None,
            dataset_id=ids[0] if ids else None,
            dataset_dir=directory,
            dataset_archive=archive,
            created_at=datetime.fromtimestamp(record.submitted_ms / 1000).astimezone(),
            request=request,
            facts=facts,
        )
