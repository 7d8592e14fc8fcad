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
    from anylearn_jupyter.entities import Algorithm, Dataset, Project
    from anylearn_jupyter.submit.published import quick_train
    from anylearn_jupyter.submit.task import TrainTask
    from anylearn_jupyter.submit.tasks import resume_unfinished_local_train_tasks
    from anylearn_jupyter.tracking import (
        report,
        report_final_metric,
        report_intermediate_metric,
    )

__all__ = [
    "Algorithm",
    "Connection",
    "Dataset",
    "Project",
    "TrainTask",
    "__version__",
    "connect",
    "current_connection",
    "disconnect",
    "init_sdk",
    "load_ipython_extension",
    "quick_train",
    "report",
    "report_final_metric",
    "report_intermediate_metric",
    "resume_unfinished_local_train_tasks",
    "unload_ipython_extension",
]

_HOMES = {
    "Algorithm": "entities",
    "Connection": "client.connection",
    "Dataset": "entities",
    "Project": "entities",
    "TrainTask": "submit.task",
    "connect": "client.connection",
    "current_connection": "client.connection",
    "disconnect": "client.connection",
    "init_sdk": "client.connection",
    "quick_train": "submit.published",
    "report": "tracking",
    "report_final_metric": "tracking",
    "report_intermediate_metric": "tracking",
    "resume_unfinished_local_train_tasks": "submit.tasks",
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
