"""What tasks say: logs, metrics, events (HTTP API, sections 9.4, 9.6; docs/protocol.md)."""

from __future__ import annotations

import asyncio
import calendar
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.events import EventStream, cursors_of
from anylearn_jupyter.engine.handlers.about import MAX_LOG_BYTES
from anylearn_jupyter.engine.handlers.tasks import own_task
from anylearn_jupyter.engine.request import Reply, Request, bad, shown
from anylearn_jupyter.engine.store import TaskRow
from anylearn_jupyter.engine.task_files import TaskFiles
from anylearn_jupyter.engine.task_json import time_text
from anylearn_jupyter.engine.task_log import LogEntry, TaskLog
from anylearn_jupyter.entities import is_id, new_id

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine

PLATFORM_LINE = "[Anylearn] task created"
"""The first line of every task in the published call, so that there is always one."""

MAX_LINES = 100_000
"""Most lines of one published reply, however many are asked for."""

MAX_STREAMED = 1000
"""Most tasks of one stream of events."""

_TIME = "%Y-%m-%d %H:%M:%S"


async def logs(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """Give lines of a task's log, the published way.

    A line's position is the time of its first byte and, counted from 1, the offset of it. The
    platform's line is at offset 0, so that cursor -1 is before all.
    """
    query = request.query
    task = own_task(engine, request, query.id("id", "TRAI", what="task"))
    limit = min(query.integer("limit", 100, low=1), MAX_LINES)
    direction = query.text("direction", default="init")
    log = TaskLog(TaskFiles.of(engine.tasks, task.id))
    if direction == "init":
        last = await asyncio.to_thread(log.last_lines, limit, final=task.finished)
        found = [_line(entry) for entry in last]
        if len(found) < limit:
            found.append(_platform_line(task))
        return found
    if direction != "back":
        raise bad(f"The direction {shown(direction)} is neither 'init' nor 'back'.")
    cursor = query.integer("offset_index", -1, low=-1)
    first = [_platform_line(task)] if cursor < 0 else []
    if len(first) == limit:
        return first
    after = await asyncio.to_thread(
        log.lines_after, max(cursor, 0) - 1, limit - len(first), final=task.finished
    )
    return first + [_line(entry) for entry in after]


async def log_bytes(engine: Engine, request: Request) -> Reply:
    """Give bytes of a task's own log."""
    query = request.query
    task = own_task(engine, request, query.id("id", "TRAI", what="task"))
    start = query.integer("from", 0)
    log = TaskLog(TaskFiles.of(engine.tasks, task.id))
    size = log.size()
    end = min(query.integer("to", size), start + MAX_LOG_BYTES, size)
    data = await asyncio.to_thread(log.read, start, end)
    return Reply(body=data, headers={"X-Log-Size": str(size)})


async def events(engine: Engine, request: Request) -> Reply:
    """Stream what happens to tasks."""
    given = request.form.json_object("cursors", limit=1 << 17)
    if not given or len(given) > MAX_STREAMED:
        raise bad(f"The field 'cursors' names 1 to {MAX_STREAMED} tasks.")
    try:
        cursors = cursors_of(given, lambda text: is_id(text, "TRAI"))
    except ValueError as error:
        raise bad(f"The field 'cursors' cannot be used: {error}.") from error
    stream = EventStream(
        engine.store,
        engine.watcher,
        engine.tasks,
        cursors=cursors,
        user_id=request.user.id,
    )
    request.on_close(stream.close)
    return Reply(body=_streamed(engine, stream), content_type="application/x-ndjson")


async def _streamed(engine: Engine, stream: EventStream) -> AsyncGenerator[bytes, None]:
    engine.streams.add(stream)
    try:
        async for piece in stream.lines():
            yield piece
    finally:
        engine.streams.discard(stream)


async def report_final_metric(engine: Engine, request: Request) -> dict[str, str]:
    """Keep the number that a task reports as its result."""
    engine.store.set_final_metric(request.reporting_task.id, request.form.number("metric"))
    return {"msg": "The metric is kept."}


async def final_metric(engine: Engine, request: Request) -> dict[str, Any]:
    """Give the number that a task reported as its result; null before that."""
    task = own_task(engine, request, request.query.id("id", "TRAI", what="task"))
    return {"id": task.id, "name": task.name, "final_metric": task.final_metric}


async def report_intermediate_metric(engine: Engine, request: Request) -> dict[str, str]:
    """Keep a number that a task reports on its way."""
    value = request.form.number("metric")
    task = request.reporting_task
    engine.store.add_metric(new_id("METR"), task.id, value, engine.now_ms())
    return {"msg": "The metric is kept."}


async def intermediate_metric(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """Give what a task reported on its way, after a time (UTC), in order of report.

    A metric of the very second that is named was reported after it as well, so it is given.
    """
    task = own_task(engine, request, request.query.id("id", "TRAI", what="task"))
    text = request.query.text("last_timestamp", default="1970-01-01 00:00:00")
    try:
        after_ms = calendar.timegm(time.strptime(text, _TIME)) * 1000
    except (ValueError, OverflowError) as error:
        raise bad(f"The time {shown(text)} is not of the form YYYY-MM-DD HH:MM:SS.") from error
    return [
        {
            "id": metric_id,
            "metric": value,
            "train_task_id": task.id,
            "reported_at": time_text(ms),
        }
        for metric_id, value, ms in engine.store.metrics(task.id, after_ms)
    ]


def _platform_line(task: TaskRow) -> dict[str, Any]:
    return {"offset": task.created_ms, "offset_index": 0, "text": PLATFORM_LINE}


def _line(entry: LogEntry) -> dict[str, Any]:
    return {"offset": entry.ms, "offset_index": entry.offset + 1, "text": entry.text}
