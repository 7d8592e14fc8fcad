"""What a table of tasks shows: a row for each training, of what is known of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.entities import TaskPhase
from anylearn_jupyter.notebook.descriptions import server_text
from anylearn_jupyter.notebook.task_view import TaskView
from anylearn_jupyter.submit.outcome import short_outcome_text
from anylearn_jupyter.submit.sweep_ranking import Extent, mode_of, ranked, series_of
from anylearn_jupyter.submit.sweep_request import value_text
from anylearn_jupyter.submit.task_group import TaskGroup

MAX_SERIES = 16
"""Metrics of one training that a table knows."""

ORDER = (
    TaskPhase.RUNNING,
    TaskPhase.STARTING,
    TaskPhase.STOPPING,
    TaskPhase.QUEUED,
    TaskPhase.CREATED,
    TaskPhase.SUCCEEDED,
    TaskPhase.FAILED,
    TaskPhase.ABORTED,
    TaskPhase.LOST,
)
"""The phases in the order in which they are counted up."""

WORDS = {TaskPhase.ABORTED: "stopped"}
"""What a phase is called where its own word says it less well."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training of a table, at one moment.

    Attributes
    ----------
    place : int
        Its number in the group, from 0.
    id, name : str
        Of its task.
    values : tuple of str
        What tells it from the others, in the order of `TaskGroup.names`; empty text where it
        has none.
    phase : str
        The word; ``gone`` where its server has it no more.
    state : str
        Where it is, or how it ended, in a few words.
    share : float or None
        How far it is, 0 to 1, by its log.
    started_ms, finished_ms : int or None
        By the server's clock.
    extents : dict
        What each metric has been.
    """

    place: int
    id: str
    name: str
    values: tuple[str, ...]
    phase: str
    state: str
    share: float | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    extents: dict[str, Extent] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self.phase in ("succeeded", "failed", "aborted", "lost", "deleted", "gone")


def row_of(group: TaskGroup, place: int, view: TaskView) -> Row:
    """Give a training's row."""
    detail = view.detail
    progress, _ = view.progress()
    values = group.values[place]
    extents = view.extents()
    return Row(
        place=place,
        id=detail.id,
        name=one_line(detail.name or detail.id, 120),
        values=tuple(value_text(values[name]) if name in values else "" for name in group.names),
        phase="gone" if view.gone else detail.phase,
        state=one_line(short_outcome_text(detail), 200) if detail.finished else detail.phase,
        share=None if progress is None else min(progress.done / progress.total, 1),
        started_ms=detail.started_ms,
        finished_ms=detail.finished_ms,
        extents={name: extents[name] for name in list(extents)[:MAX_SERIES]},
    )


def rows_of(group: TaskGroup, views: Sequence[TaskView]) -> list[Row]:
    """Give all rows, in the order of the group."""
    return [row_of(group, place, view) for place, view in enumerate(views)]


def best_of(rows: Sequence[Row]) -> tuple[str, str, list[int]] | None:
    """Choose the metric of a table, and rank its rows by the best value of each.

    Returns
    -------
    tuple or None
        The metric, its mode, and the places from the best to the worst; None without a metric.
    """
    series = series_of(list(dict.fromkeys(name for row in rows for name in row.extents)))
    if series is None:
        return None
    mode = mode_of(series)
    values = {row.place: row.extents[series].best(mode) for row in rows if series in row.extents}
    return series, mode, ranked(values, mode)


def counts_text(rows: Sequence[Row]) -> str:
    """Say how many trainings are where: ``2 running, 3 queued``."""
    counted = Counter(row.phase for row in rows)
    known = [str(phase) for phase in ORDER]
    words = [(phase, counted.pop(phase)) for phase in known if phase in counted]
    words += sorted(counted.items())
    return ", ".join(
        f"{number:,} {next((word for p, word in WORDS.items() if p == phase), phase)}"
        for phase, number in words
    )


def values_text(group: TaskGroup, row: Row) -> str:
    """Write what makes a training another one: ``lr=0.1 batch=32``."""
    pairs = zip(group.names, row.values, strict=True)
    return " ".join(f"{one_line(name, 60)}={value}" for name, value in pairs)


def servers_text(group: TaskGroup) -> str:
    """Say where the tasks of a group are."""
    servers = group.servers
    return server_text(servers[0]) if len(servers) == 1 else f"{len(servers)} servers"
