"""Who runs tasks: one interface, and a module for each way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from anylearn_jupyter.engine.machine import Machine
from anylearn_jupyter.engine.supervision import Situation

if TYPE_CHECKING:
    from anylearn_jupyter.engine.store import TaskRow


class Runner(Protocol):
    """Starts tasks, stops them and knows how far they are; the scheduler decides when.

    No call waits for a task. When something has changed, the runner calls what it was given for
    that, and the scheduler looks.
    """

    @property
    def machine(self) -> Machine:
        """What tasks may use."""

    def start(self, task: TaskRow, allocation: Mapping[str, Any]) -> None:
        """Start a task that has never been started; a failure shows as its ending."""

    def adopt(self, task: TaskRow) -> Situation:
        """Take over a task of an engine before this one, as far as it was ever started."""

    def stop(self, task_id: str, *, force: bool = False) -> None:
        """Ask a task to end; `force` leaves it no time. Asking again does no harm."""

    def situation(self, task_id: str) -> Situation | None:
        """Tell what is known of a task now; None if it was neither started nor adopted here."""

    def forget(self, task_id: str) -> None:
        """Drop a task that has ended."""
