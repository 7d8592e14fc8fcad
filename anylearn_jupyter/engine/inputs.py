"""Where a task's inputs are: code in repositories, data unpacked, results of earlier tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from anylearn_jupyter.engine.blobs import Blobs
from anylearn_jupyter.engine.repositories import Repositories
from anylearn_jupyter.engine.resources import ResourceRow, Resources
from anylearn_jupyter.engine.store import Store, TaskRow
from anylearn_jupyter.engine.task_files import TaskFiles
from anylearn_jupyter.engine.users import Users
from anylearn_jupyter.entities import ResourceState

MIRROR_NAME = "QUICKSTART"
"""The one environment: the Python of the submitting kernel (architecture, "Environments")."""

MIRROR_ID = "MIRR0000000000000000000000000001"
"""Its id, the same on every engine."""


class EngineInputs:
    """Answers where things are; its methods are called in threads.

    Parameters
    ----------
    tasks : Path
        The directory of all tasks' directories.
    store, users, resources, blobs, repositories
        The engine's.
    address : callable
        Gives the engine's address.
    """

    def __init__(
        self,
        tasks: Path,
        *,
        store: Store,
        users: Users,
        resources: Resources,
        blobs: Blobs,
        repositories: Repositories,
        address: Callable[[], str],
    ) -> None:
        self._tasks = tasks
        self._store = store
        self._users = users
        self._resources = resources
        self._blobs = blobs
        self._repositories = repositories
        self._address = address

    def repository(self, algorithm_id: str) -> Path:
        """Give the bare repository of an algorithm's code; one that is gone has no commit."""
        algorithm = self._resources.algorithm(algorithm_id)
        if algorithm is None:
            return self._repositories.root / ".gone"
        return self._repositories.path(self._users.name_of(algorithm.creator_id), algorithm.name)

    def mount(self, resource_id: str) -> Path:
        """Give the unpacked content of a dataset, model or file.

        Raises
        ------
        LookupError
            It is not there (any more).
        """
        row = self._resources.resource(resource_id)
        problem = "it was deleted" if row is None else self.why_not_ready(row)
        if row is None or problem is not None:
            raise LookupError(f"The input {resource_id} cannot be mounted: {problem}.")
        path = self.content(row)
        if row.task_id is not None:
            path.mkdir(parents=True, exist_ok=True)  # a task that wrote nothing has empty results
        if not path.is_dir():
            raise LookupError(
                f"The content of {resource_id} is gone from the engine; upload it again."
            )
        return path

    def why_not_ready(self, row: ResourceRow) -> str | None:
        """Say why something cannot be mounted; None if it can."""
        if row.task_id is not None:
            task = self._store.task(row.task_id)
            if task is None or not task.finished:
                return f"its task {row.task_id} has not ended"
            return None
        if row.state == ResourceState.READY:
            return None
        return row.problem or "its upload is not finished"

    def state_of(self, row: ResourceRow) -> int:
        """Give the published state; results are ready when their task has ended."""
        if row.task_id is None:
            return row.state
        task = self._store.task(row.task_id)
        done = task is not None and task.finished
        return int(ResourceState.READY if done else ResourceState.CREATED)

    def content(self, row: ResourceRow) -> Path:
        """Give the directory that holds a resource's content; it need not exist.

        Raises
        ------
        LookupError
            The results lie in a place that is not served, such as behind a link.
        """
        if row.task_id is None:
            return self._blobs.content(row)
        task = self._store.task(row.task_id)
        if task is None:
            raise LookupError(f"The task of the results {row.id} is gone.")
        return self.output(task)

    def output(self, task: TaskRow) -> Path:
        """Give the directory of a task's results; it need not exist.

        Raises
        ------
        LookupError
            It lies behind a link.
        """
        try:
            return TaskFiles.of(self._tasks, task.id).output(task.output)
        except ValueError as error:
            raise LookupError(str(error)) from error

    def address(self) -> str:
        """Give the engine's address, ``http://127.0.0.1:<port>``."""
        return self._address()
