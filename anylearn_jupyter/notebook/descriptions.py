"""What the views say about a task, in words: the card, its twin and the terminal say the same."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Sequence
from datetime import datetime

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.config import LOCAL
from anylearn_jupyter.entities import TaskDetail, TaskPhase
from anylearn_jupyter.notebook.curves import number_text
from anylearn_jupyter.notebook.series import Point
from anylearn_jupyter.notebook.task_view import Snapshot
from anylearn_jupyter.notebook.terminal import size_text
from anylearn_jupyter.submit.facts import DataFact, Facts
from anylearn_jupyter.submit.metric_lines import Progress
from anylearn_jupyter.submit.outcome import short_outcome_text

MAX_WORDS = 2_000
"""Characters of one fact, such as a command, that a view shows."""

CODE_ROWS = ("parameters", "command")
"""Labels of the facts that are shown as code is."""

SIGNS = {
    TaskPhase.SUCCEEDED: "✓",
    TaskPhase.FAILED: "✗",
    TaskPhase.ABORTED: "■",
    TaskPhase.LOST: "?",
}
"""A sign for each final phase, for where there is no colour."""


def server_text(server: str) -> str:
    """Name the server as a card's first line does."""
    return "this machine" if server == LOCAL else one_line(server, 120)


def name_of(detail: TaskDetail) -> str:
    """Give what the task is called; its id where it has no name."""
    return one_line(detail.name or detail.id, 120)


def state_text(snapshot: Snapshot) -> str:
    """Say in a few words where the task is, or how it ended."""
    detail = snapshot.detail
    if snapshot.gone:
        return "not on its server any more"
    if detail.phase == TaskPhase.QUEUED and detail.queue_position is not None:
        before = detail.queue_position - 1
        return "next to start" if before <= 0 else f"queued, {before} before it"
    return one_line(short_outcome_text(detail), 300)


def times_text(detail: TaskDetail, now_ms: int | None = None) -> str:
    """Say when the task began, and how long it has taken or took; empty where nobody knows."""
    now_ms = now_ms if now_ms is not None else time.time_ns() // 1_000_000
    if detail.started_ms is not None:
        end = detail.finished_ms if detail.finished_ms is not None else now_ms
        took = duration_text((end - detail.started_ms) / 1000)
        said = "took" if detail.finished_ms is not None else "running for"
        if detail.finished and detail.finished_ms is None:
            return f"started {clock_text(detail.started_ms)}"
        return f"started {clock_text(detail.started_ms)}, {said} {took}"
    if detail.created_ms is not None:
        submitted = f"submitted {clock_text(detail.created_ms)}"
        if detail.finished:
            return submitted
        return f"{submitted}, waiting for {duration_text((now_ms - detail.created_ms) / 1000)}"
    return ""


def as_of_text(snapshot: Snapshot) -> str:
    """Say of when an unfinished task's view is, and how to see it now; empty for a finished one."""
    if snapshot.detail.finished:
        return ""
    moment = _local(snapshot.heard_ms)
    day = f"{moment:%d %b %Y}".lstrip("0")
    return (
        f"as of {moment:%H:%M} ({day}); %anylearn_resume {one_line(snapshot.detail.id)} shows now"
    )


def clock_text(ms: int) -> str:
    """Write a moment as the clock here shows it, with its day unless that is today."""
    moment = _local(ms)
    today = moment.date() == datetime.now().astimezone().date()
    return f"{moment:%H:%M:%S}" if today else f"{moment:%d %b %Y, %H:%M}".lstrip("0")


def duration_text(seconds: float) -> str:
    """Write a number of seconds for people: ``1 min 9 s``."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def progress_text(progress: Progress, left_s: float | None) -> str:
    """Say how far a task is and how long it may still take."""
    share = min(progress.done / progress.total, 1)
    done, total = number_text(progress.done), number_text(progress.total)
    text = f"{100 * share:.0f} % ({done} of {total})"
    if left_s is None or share >= 1:
        return text
    rate = (progress.total - progress.done) / left_s if left_s >= 1 else 0.0
    return f"{text}{_rate_text(rate)}, about {duration_text(left_s)} left"


def _rate_text(rate: float) -> str:
    """Say how fast it goes; nothing where that is not known."""
    if rate <= 0:
        return ""
    if rate < 1:
        return f", {duration_text(1 / rate)} each"
    return f", {number_text(float(f'{rate:.2g}'))} a second"


def latest_values(series: Sequence[tuple[str, list[Point]]]) -> list[tuple[str, str]]:
    """Give each metric's name and its newest value."""
    return [(one_line(name, 60), number_text(points[-1][1])) for name, points in series if points]


def fact_rows(facts: Facts | None, detail: TaskDetail) -> list[tuple[str, str]]:
    """List what was sent, as a label and a text each.

    Parameters
    ----------
    facts : Facts or None
        None for a task that was submitted elsewhere: then the server's own words have to do.
    """
    if facts is None:
        rows = [
            ("code", detail.algorithm_git_ref[:12]),
            ("command", _command(detail)),
            ("resources", _resources_text(detail)),
        ]
        return [(label, one_line(text, MAX_WORDS)) for label, text in rows if text]
    rows = [("code", _code_text(facts))]
    rows += [("data", _data_text(fact)) for fact in facts.data]
    rows += [
        ("parameters", " ".join(_parameter(name, value) for name, value in facts.params)),
        ("command", facts.command or _command(detail)),
        ("resources", _resources_text(detail)),
        ("environment", "" if facts.mirror_name == "QUICKSTART" else facts.mirror_name),
        *(("note", note) for note in facts.notes),
    ]
    return [(label, one_line(text, MAX_WORDS)) for label, text in rows if text]


def _parameter(name: str, value: str) -> str:
    """Write one as a word of its own, so that a value with spaces does not look like several."""
    return f"{name}={shlex.quote(value)}" if value else name


def _command(detail: TaskDetail) -> str:
    return detail.command or detail.entrypoint


def _resources_text(detail: TaskDetail) -> str:
    """Say what the task asked for, as the server repeats it; empty where it does not."""
    try:
        found = json.loads(detail.resource_request or "null")
    except (ValueError, RecursionError):
        return ""
    asked = []
    for group in found if isinstance(found, list) else [found]:
        for name, amounts in group.items() if isinstance(group, dict) else ():
            if isinstance(amounts, dict) and amounts:
                words = " ".join(f"{one}={amount}" for one, amount in amounts.items())
                asked.append(words if name == "default" else f"{words} of {name}")
    return ", ".join(asked)


def _code_text(facts: Facts) -> str:
    if not facts.snapshot_id:
        return "on the server already"
    parts = [f"commit {facts.snapshot_id[:12]}"]
    if facts.files:
        parts.append(_files_text(facts.files, facts.size_bytes))
    if facts.head and not facts.dirty:
        parts.append(f"as committed in {facts.head[:12]}")
    elif facts.head:
        parts.append(f"{facts.head[:12]} with changes that are not committed")
    parts.append("sent" if facts.code_sent else "nothing new to send")
    return ", ".join(parts)


def _data_text(fact: DataFact) -> str:
    parts = [f"{fact.name}: {fact.path.name if fact.path is not None else fact.id}"]
    if fact.files is not None and fact.size_bytes is not None:
        parts.append(_files_text(fact.files, fact.size_bytes))
    if fact.path is None:
        parts.append("on the server already")
    elif fact.reused:
        parts.append("reused, nothing uploaded")
    else:
        parts.append(f"{size_text(fact.uploaded_bytes)} uploaded")
    return ", ".join(parts)


def _files_text(files: int, size_bytes: int) -> str:
    return f"{files:,} {'file' if files == 1 else 'files'}, {size_text(size_bytes)}"


def _local(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000).astimezone()
