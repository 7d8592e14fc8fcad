"""Named metrics of tasks, as their logs have them (docs/metrics.md).

A task's log is read once: what is known of it is kept, with how far that was, and the next question
reads on from there.
"""

from __future__ import annotations

import json
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from anylearn_jupyter.engine.task_files import TaskFiles
from anylearn_jupyter.engine.task_log import TaskLog
from anylearn_jupyter.tracking import METRIC_MARK

MAX_POINTS = 1_000_000
"""Most points that are kept of one task."""

_TASKS = 200
_BLOCK_BYTES = 1 << 20
_LINE_BYTES = 1 << 16


class Point(NamedTuple):
    """One value of one series; `ms` is when its line was read, since 1970, UTC."""

    step: float
    value: float
    ms: int


@dataclass
class _Known:
    """What is known of one task, up to an offset of its log."""

    offset: int = 0
    points: int = 0
    series: dict[str, list[Point]] = field(default_factory=dict)


class TaskMetrics:
    """The named metrics of all tasks; its methods read files, so they are for threads.

    Parameters
    ----------
    tasks : Path
        The directory of all tasks' directories.
    """

    def __init__(self, tasks: Path) -> None:
        self._tasks = tasks
        self._lock = threading.Lock()
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def series(self, task_id: str) -> dict[str, list[Point]]:
        """Give what a task has reported so far, by the name of the series, oldest first."""
        with self._lock:
            known = self._known.setdefault(task_id, _Known())
            self._known.move_to_end(task_id)
            while len(self._known) > _TASKS:
                self._known.popitem(last=False)
            self._read_on(TaskLog(TaskFiles.of(self._tasks, task_id)), known)
            return {name: list(points) for name, points in known.series.items()}

    def _read_on(self, log: TaskLog, known: _Known) -> None:
        mark = METRIC_MARK.encode()
        while block := log.read(known.offset, known.offset + _BLOCK_BYTES):
            whole = block.rfind(b"\n") + 1
            if not whole:
                if len(block) < _BLOCK_BYTES:
                    return  # the line's end is still to come
                known.offset += len(block)  # no report is that long
                continue
            found: list[tuple[int, bytes]] = []
            at = known.offset
            for line in block[:whole].splitlines(keepends=True):
                if line.startswith(mark) and len(line) <= _LINE_BYTES:
                    found.append((at, line[len(mark) :]))
                at += len(line)
            known.offset += whole
            times = log.times_at([offset for offset, _ in found])
            for (_, line), ms in zip(found, times, strict=True):
                _take(known, line, ms)


def _take(known: _Known, line: bytes, ms: int) -> None:
    """Add what one line reports; what is no report of numbers is passed over, as views do."""
    try:
        report = json.loads(line)
    except (ValueError, RecursionError):
        return
    if not isinstance(report, dict):
        return
    step = report.pop("step", None)
    for name, value in report.items():
        if not _is_number(value) or known.points >= MAX_POINTS:
            continue
        points = known.series.setdefault(name, [])
        at = step if _is_number(step) else len(points) + 1
        points.append(Point(float(at), float(value), ms))
        known.points += 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
