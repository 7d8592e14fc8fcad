"""Train a model from a notebook, against any Anylearn server or the embedded engine.

In a notebook, ``%load_ext anylearn_jupyter``; from Python, the names below, which are imported when
they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from anylearn_jupyter._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from anylearn_jupyter.client.connection import (
        Connection,
        connect,
        current_connection,
        disconnect,
        init_sdk,
    )
    from anylearn_jupyter.client.upload import ResourceUploader
    from anylearn_jupyter.entities import ResourceState, TrainTaskState
    from anylearn_jupyter.errors import AnylearnError
    from anylearn_jupyter.notebook.forms import form
    from anylearn_jupyter.notebook.python_call import train
    from anylearn_jupyter.submit.capacity import capacity
    from anylearn_jupyter.submit.objects.algorithm import Algorithm
    from anylearn_jupyter.submit.objects.dataset import Dataset
    from anylearn_jupyter.submit.objects.file import File
    from anylearn_jupyter.submit.objects.mirror import Mirror
    from anylearn_jupyter.submit.objects.model import Model
    from anylearn_jupyter.submit.objects.named import get_dataset, get_model, get_task_output
    from anylearn_jupyter.submit.objects.project import Project
    from anylearn_jupyter.submit.objects.quota_group import QuotaGroup
    from anylearn_jupyter.submit.objects.transfers import (
        AsyncResourceDownloader,
        AsyncResourceUploader,
        ResourceDownloader,
        SyncResourceDownloader,
        SyncResourceUploader,
    )
    from anylearn_jupyter.submit.published import quick_train
    from anylearn_jupyter.submit.task import TrainTask
    from anylearn_jupyter.submit.tasks import recent_tasks, resume_unfinished_local_train_tasks
    from anylearn_jupyter.tracking import (
        report,
        report_final_metric,
        report_intermediate_metric,
    )

__all__ = [
    "Algorithm",
    "AnylearnError",
    "AsyncResourceDownloader",
    "AsyncResourceUploader",
    "Connection",
    "Dataset",
    "File",
    "Mirror",
    "Model",
    "Project",
    "QuotaGroup",
    "ResourceDownloader",
    "ResourceState",
    "ResourceUploader",
    "SyncResourceDownloader",
    "SyncResourceUploader",
    "TrainTask",
    "TrainTaskState",
    "__version__",
    "capacity",
    "connect",
    "current_connection",
    "disconnect",
    "form",
    "get_dataset",
    "get_model",
    "get_task_output",
    "init_sdk",
    "load_ipython_extension",
    "quick_train",
    "recent_tasks",
    "report",
    "report_final_metric",
    "report_intermediate_metric",
    "resume_unfinished_local_train_tasks",
    "train",
    "unload_ipython_extension",
]

_HOMES = {
    "Algorithm": "submit.objects.algorithm",
    "AnylearnError": "errors",
    "AsyncResourceDownloader": "submit.objects.transfers",
    "AsyncResourceUploader": "submit.objects.transfers",
    "Connection": "client.connection",
    "Dataset": "submit.objects.dataset",
    "File": "submit.objects.file",
    "Mirror": "submit.objects.mirror",
    "Model": "submit.objects.model",
    "Project": "submit.objects.project",
    "QuotaGroup": "submit.objects.quota_group",
    "ResourceDownloader": "submit.objects.transfers",
    "ResourceState": "entities",
    "ResourceUploader": "client.upload",
    "SyncResourceDownloader": "submit.objects.transfers",
    "SyncResourceUploader": "submit.objects.transfers",
    "TrainTask": "submit.task",
    "TrainTaskState": "entities",
    "capacity": "submit.capacity",
    "connect": "client.connection",
    "current_connection": "client.connection",
    "disconnect": "client.connection",
    "form": "notebook.forms",
    "get_dataset": "submit.objects.named",
    "get_model": "submit.objects.named",
    "get_task_output": "submit.objects.named",
    "init_sdk": "client.connection",
    "quick_train": "submit.published",
    "recent_tasks": "submit.tasks",
    "report": "tracking",
    "report_final_metric": "tracking",
    "report_intermediate_metric": "tracking",
    "resume_unfinished_local_train_tasks": "submit.tasks",
    "train": "notebook.python_call",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, those that were not used yet included."""
    return sorted({*globals(), *__all__})


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register the magics: what ``%load_ext anylearn_jupyter`` calls."""
    from anylearn_jupyter.notebook import extension

    extension.load(ipython)


def unload_ipython_extension(ipython: InteractiveShell) -> None:
    """Take out everything that `load_ipython_extension` put in."""
    from anylearn_jupyter.notebook import extension

    extension.unload(ipython)
