"""Things on the server by the name that people know them by, under the published names."""

from __future__ import annotations

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.submit.objects.dataset import Dataset
from anylearn_jupyter.submit.objects.file import File
from anylearn_jupyter.submit.objects.model import Model


def get_dataset(full_name: str) -> Dataset:
    """Find a dataset by ``<username>/<name>``.

    Raises
    ------
    NotFound
        There is none, or none that this user can see.

    Examples
    --------
    >>> get_dataset("ada/digits").download()  # doctest: +SKIP
    """
    connection = current_connection()
    return Dataset.of(connection.api.dataset_named(full_name), connection.server)


def get_model(full_name: str) -> Model:
    """Find a model by ``<username>/<name>``; as `get_dataset`."""
    connection = current_connection()
    return Model.of(connection.api.model_named(full_name), connection.server)


def get_task_output(task_id: str) -> File:
    """Give the file on the server that a task's results are in.

    Raises
    ------
    NotFound
        There is no such task.
    """
    connection = current_connection()
    results_id = connection.api.task(task_id).results_id
    return File.of(connection.api.file(results_id), connection.server)
