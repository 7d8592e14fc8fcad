"""One method for each endpoint of the HTTP API; each gives entities or plain values.

The modules group the endpoints by noun: `code` (environments and algorithms), `data` (datasets,
uploads, downloads), `delta` (uploads by chunks of content), `projects` (projects, the user, the
engine's counters), `resources` (what all kinds of resources have), `tasks` (tasks, their logs and
metrics). What they share is in `base`.
"""

from __future__ import annotations

from anylearn_jupyter.client.api.code import CodeCalls
from anylearn_jupyter.client.api.data import DataCalls
from anylearn_jupyter.client.api.delta import DeltaCalls
from anylearn_jupyter.client.api.projects import ProjectCalls
from anylearn_jupyter.client.api.resources import ResourceCalls
from anylearn_jupyter.client.api.tasks import LogLine, ReportedMetric, TaskCalls

__all__ = ["Api", "LogLine", "ReportedMetric"]


class Api(TaskCalls, CodeCalls, DataCalls, DeltaCalls, ProjectCalls, ResourceCalls):
    """Every call to one server, on one session."""

    def once(self) -> Api:
        """Give the same calls, none of them repeated: for who has a loop of his own."""
        other = Api(self.http.once())
        other._capabilities = self._capabilities
        return other
