"""Tasks that are shown, stopped and tried again together: a sweep's, or any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from anylearn_jupyter.entities import TaskPhase
from anylearn_jupyter.submit.again import submit_again
from anylearn_jupyter.submit.progress import SilentProgress
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.tasks import refresh

T = TypeVar("T")
R = TypeVar("R")

_AT_ONCE = 8


class TaskGroup:
    """Some tasks, in an order, each with values by which one tells it from the others.

    Parameters
    ----------
    tasks : sequence of TrainTask
        At least one.
    id : str
        Names the group in a page.
    title : str
        Names it to a reader.
    values : sequence of dict
        For each task.

    Attributes
    ----------
    id, title
        As above.
    tasks : tuple of TrainTask
        As above; a task that was tried again has its newest one here.
    values : tuple of dict
        As above.
    names : tuple of str
        All names in `values`, in order.
    parallel : int or None
        How many run at once, at most; None where nothing limits that.
    """

    parallel: int | None = None

    def __init__(
        self, tasks: Sequence[TrainTask], id: str, title: str, values: Sequence[dict[str, Any]]
    ) -> None:
        self.tasks = tuple(tasks)
        self.id = id
        self.title = title
        self.values = tuple(values)
        self.names = tuple(dict.fromkeys(name for one in self.values for name in one))

    def __len__(self) -> int:
        """Count the tasks."""
        return len(self.tasks)

    @property
    def kind_text(self) -> str:
        """How the values were put together; empty where they were not."""
        return ""

    @property
    def servers(self) -> list[str]:
        """Where its tasks are."""
        return list(dict.fromkeys(task.server for task in self.tasks))

    @property
    def finished(self) -> bool:
        """Whether every task was last seen at its end."""
        return all(task.detail.finished for task in self.tasks)

    def counts(self) -> dict[str, int]:
        """Count the tasks in each phase, as last seen."""
        return dict(Counter(task.phase for task in self.tasks))

    def counts_text(self) -> str:
        """Say how many tasks are in which phase."""
        return ", ".join(f"{number} {phase}" for phase, number in self.counts().items())

    def refresh(self) -> None:
        """Ask each server once for the state of all tasks that have not ended."""
        refresh([task for task in self.tasks if not task.detail.finished])

    def put(self, tasks: Mapping[int, TrainTask]) -> None:
        """Put newer tasks into their places."""
        self.tasks = tuple(tasks.get(place, task) for place, task in enumerate(self.tasks))

    def stop(self) -> None:
        """Stop every task that has not ended; records, logs and results stay.

        Raises
        ------
        ServerUnreachable, ServerError
            The server did not take one of them; the others are stopped.
        """
        self.stop_tasks(range(len(self.tasks)))

    def stop_tasks(self, places: Iterable[int]) -> list[TrainTask]:
        """Stop those of these tasks, by their numbers from 0, that have not ended."""
        wanted = [self.tasks[place] for place in places]
        refresh([task for task in wanted if not task.detail.finished])
        wanted = [task for task in wanted if not task.detail.finished]
        # The last ones first: what waits shall not start while the ones before it end.
        in_threads(lambda task: task.connection().api.stop_task(task.id), wanted[::-1])
        refresh(wanted)
        return wanted

    def failed(self) -> list[int]:
        """Give the numbers of the tasks that failed or are lost, as last seen."""
        in_vain = (TaskPhase.FAILED, TaskPhase.LOST)
        return [place for place, task in enumerate(self.tasks) if task.phase in in_vain]

    def retry_failed(self) -> list[TrainTask]:
        """Submit again what failed or is lost, with what is in its directories now.

        What was stopped is not tried again.

        Returns
        -------
        list of TrainTask
            The new tasks; they stand in `tasks` instead of the old ones.
        """
        self.refresh()
        places = self.failed()
        if places:
            self.retry_places(places)
        return [self.tasks[place] for place in places]

    def retry_places(self, places: Sequence[int]) -> None:
        """Submit these tasks, by their numbers, again."""
        for place in places:
            task = submit_again(self.tasks[place].record, {}, progress=SilentProgress())
            self.put({place: task})


def loose_tasks(tasks: Sequence[TrainTask]) -> TaskGroup:
    """Make a group of tasks that have nothing in common."""
    plural = "" if len(tasks) == 1 else "s"
    values: list[dict[str, Any]] = [{"task": task.name} for task in tasks]
    if len({task.record.working_dir for task in tasks}) > 1:
        for task, one in zip(tasks, values, strict=True):
            one["directory"] = task.record.working_dir
    return TaskGroup(tasks, f"GROU{tasks[0].id[4:]}", f"{len(tasks):,} task{plural}", values)


def in_threads(work: Callable[[T], R], things: Sequence[T]) -> list[R]:
    """Do something with each of some things, several at once; raise the first error at the end."""
    if not things:
        return []
    with ThreadPoolExecutor(min(_AT_ONCE, len(things)), "anylearn-group") as pool:
        waiting = [pool.submit(work, one) for one in things]
    return [one.result() for one in waiting]
