"""What a submission gives back: a task that it made, or that was there already."""

from __future__ import annotations

from dataclasses import dataclass

from anylearn_jupyter.entities import Algorithm, Dataset, Project
from anylearn_jupyter.submit.inputs import MountedInput
from anylearn_jupyter.submit.task import TrainTask


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a submission made or found.

    Attributes
    ----------
    task : TrainTask
        Created, and in the ledger.
    algorithm, project
        What it consists of, as the server says.
    inputs : tuple of MountedInput
        What it reads, in the request's order.
    attached : bool
        The task was there already: nothing was sent, and none was made.
    """

    task: TrainTask
    algorithm: Algorithm
    inputs: tuple[MountedInput, ...]
    project: Project
    attached: bool = False

    @property
    def datasets(self) -> list[Dataset]:
        """Those of the inputs that are datasets."""
        found = (one.resource for one in self.inputs)
        return [resource for resource in found if isinstance(resource, Dataset)]
