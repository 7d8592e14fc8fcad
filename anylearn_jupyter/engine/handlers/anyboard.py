"""Metric series of a project's tasks, for readers of the published client (section 11).

They are the named metrics of the tasks' logs. Histograms and images are written to a time-series
database that this engine does not have, so of those there are none.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.handlers.projects import own_project
from anylearn_jupyter.engine.request import Request, bad, missing
from anylearn_jupyter.entities import is_id

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine

MAX_QUERIES = 1000
"""Most series that one request asks for."""

MAX_RECORDS = 100_000
"""Most records of one series in a reply."""

_LIST_LIMIT = 1 << 18


async def metas(engine: Engine, request: Request) -> dict[str, Any]:
    """Name the series of each of the project's tasks."""
    project = _project(engine, request)
    tasks = engine.store.tasks_of_project(project)
    found = await asyncio.to_thread(
        lambda: [(task.id, engine.metrics.series(task.id)) for task in tasks]
    )
    return {
        "metricMetaList": [
            {"taskId": task_id, "name": name, "type": "SCALAR", "count": len(points)}
            for task_id, series in found
            for name, points in series.items()
        ]
    }


async def scalars(engine: Engine, request: Request) -> dict[str, Any]:
    """Give records of series."""
    wanted = _queries(engine, request, "scalar_metric_query_list")
    found = []
    for task_id, name, offset, limit in wanted:
        series = await asyncio.to_thread(engine.metrics.series, task_id)
        found.append(
            {
                "taskId": task_id,
                "metricName": name,
                "scalarRecordList": [
                    {"step": int(point.step), "walltime": point.ms, "value": point.value}
                    for point in series.get(name, [])[offset : offset + limit]
                ],
            }
        )
    return {"scalarMetricList": found}


async def histograms(engine: Engine, request: Request) -> dict[str, Any]:
    """Give the records of histograms, of which there are none."""
    wanted = _queries(engine, request, "histogram_metric_query_list")
    return {
        "histogramMetricList": [
            {"taskId": task_id, "metricName": name, "histogramRecordList": []}
            for task_id, name, _, _ in wanted
        ]
    }


def _project(engine: Engine, request: Request) -> str:
    project_id = request.values["project_id"]
    if not is_id(project_id, "PROJ"):
        raise missing("project", project_id)
    return own_project(engine, request, project_id).id


def _queries(engine: Engine, request: Request, field: str) -> list[tuple[str, str, int, int]]:
    """Read which series are asked for: task, name, offset, limit."""
    project = _project(engine, request)
    found = []
    for one in request.query.json_list(field, limit=_LIST_LIMIT)[:MAX_QUERIES]:
        task_id, name = (
            (one.get(key) for key in ("taskId", "metricName"))
            if isinstance(one, dict)
            else (None, None)
        )
        if not isinstance(task_id, str) or not isinstance(name, str):
            raise bad(f"The field {field!r} is a list of objects with 'taskId' and 'metricName'.")
        task = engine.store.task(task_id) if is_id(task_id, "TRAI") else None
        if task is None or task.project_id != project:
            raise missing("task", task_id)
        offset, limit = one.get("offset") or 0, one.get("limit")
        limit = MAX_RECORDS if limit is None else limit
        if not all(isinstance(number, int) and number >= 0 for number in (offset, limit)):
            raise bad(f"The field {field!r}: 'offset' and 'limit' are whole numbers.")
        found.append((task_id, name, offset, min(limit, MAX_RECORDS)))
    return found
