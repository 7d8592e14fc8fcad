"""``%anylearn_show``: the record of one task, or what differs between two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.descriptions import clock_text, duration_text
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.named_tasks import tasks_named
from anylearn_jupyter.notebook.printing import name_of, say, show_rows, show_table
from anylearn_jupyter.notebook.terminal import size_text
from anylearn_jupyter.submit.code_diff import FileDifference
from anylearn_jupyter.submit.compare import Comparison, Difference
from anylearn_jupyter.submit.facts import DataFact, Facts
from anylearn_jupyter.submit.outcome import outcome_text
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.tasks import refresh

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_SHOWN_FILES = 50


def show(shell: InteractiveShell, ids: Sequence[str]) -> None:
    """Show the record of one task, or exactly what differs between two.

    Raises
    ------
    OptionError
        Neither one nor two tasks are named.
    NotFound
        There is no such task; or, of two, one was not submitted from this machine.
    """
    tasks = tasks_named(ids, Names(shell.user_ns))
    if len(tasks) not in (1, 2):
        raise OptionError(f"{len(tasks)} tasks are named; name one to see it, or two to compare.")
    refresh(task for task in tasks if not task.detail.finished)
    for trouble in dict.fromkeys(task.trouble for task in tasks if task.trouble):
        say(f"As last seen: {one_line(trouble)}")
    if len(tasks) == 1:
        show_rows(shell, f"Task {name_of(tasks[0])}:", list(record_rows(tasks[0])))
    else:
        show_comparison(shell, tasks[0], tasks[1])


def record_rows(task: TrainTask) -> Iterator[tuple[str, Sequence[str]]]:
    """List what is known of a task, as a label and lines each."""
    record, detail, facts = task.record, task.detail, task.facts
    yield "state", [outcome_text(detail)]
    times = [f"submitted {clock_text(record.submitted_ms)}"] if record.submitted_ms else []
    if detail.started_ms is not None:
        times.append(f"started {clock_text(detail.started_ms)}")
        if detail.finished_ms is not None:
            took = duration_text((detail.finished_ms - detail.started_ms) / 1000)
            times.append(f"ended {clock_text(detail.finished_ms)}, took {took}")
    if times:
        yield "times", times
    user = f", as {record.username}" if record.username else ""
    yield "server", [f"{record.server}{user}"]
    kept = record.profile.get("request")
    if facts is None or not isinstance(kept, dict):
        yield "note", ["It was not submitted from this machine, so what was sent is not known."]
        return
    request = TrainRequest.from_json(kept)
    yield "directory", [record.working_dir]
    yield "code", list(_code(request, facts))
    yield "command", [facts.command]
    if facts.params:
        yield "values", [f"{name} = {value}" if value else name for name, value in facts.params]
    if facts.data:
        yield "data", [_data(fact) for fact in facts.data]
    yield "environment", [facts.mirror_name, *(f"{key}={value}" for key, value in request.env)]
    if request.secrets:
        yield "secrets", [", ".join(request.secrets)]
    yield "resources", [_resources(request)]
    yield "results", [f"{facts.output}/"]
    yield "digest", [record.digest]
    if facts.notes:
        yield "note", facts.notes


def _code(request: TrainRequest, facts: Facts) -> Iterator[str]:
    if not facts.snapshot_id:
        named = request.algorithm_id or request.algorithm_fullname or ""
        version = f", version {request.algorithm_git_ref}" if request.algorithm_git_ref else ""
        yield f"algorithm {named}{version}, which was on the server"
        return
    size = f", {_count(facts.files, 'file')}, {size_text(facts.size_bytes)}" if facts.files else ""
    yield f"snapshot {facts.snapshot_id}{size}"
    if facts.head:
        changed = " with changes that were not committed" if facts.dirty else ""
        yield f"at commit {facts.head[:12]}{changed}"


def _data(fact: DataFact) -> str:
    where = str(fact.path) if fact.path is not None else f"{fact.kind} {fact.id}"
    parts = [f"{fact.name}: {where}"]
    if fact.files is not None and fact.size_bytes is not None:
        parts.append(f"{_count(fact.files, 'file')}, {size_text(fact.size_bytes)}")
    if fact.path is not None:
        parts.append(f"{fact.kind} {fact.id}")
    if fact.fingerprint:
        parts.append(fact.fingerprint)
    return ", ".join(parts)


def _resources(request: TrainRequest) -> str:
    asked = " ".join(f"{name}={amount}" for name, amount in request.quota_request)
    parts = [f"group {request.quota_group or 'default'}", asked or "its default package"]
    if request.num_nodes > 1:
        parts.append(f"{request.num_nodes} machines")
    if request.nproc_per_node > 1:
        parts.append(f"{request.nproc_per_node} processes on each")
    return ", ".join(parts)


# Two tasks.


def show_comparison(shell: InteractiveShell, first: TrainTask, second: TrainTask) -> None:
    """Show what differs between two tasks in a table; where nothing does, say so in a sentence."""
    found = first.compare(second)
    names = f"{name_of(first)} and {name_of(second)}"
    if found.same_digest:
        say(f"{names} train the same: digest equal: {first.record.digest}")
    if not found.differences:
        say(f"Nothing differs between {names}.")
        return
    heads = ("what differs", name_of(first), name_of(second))
    show_table(shell, heads, list(comparison_rows(found)))


def comparison_rows(found: Comparison) -> Iterator[tuple[str, str, str]]:
    """List the differences, as what it is and how it is in each; files below their code."""
    for one in found.differences:
        yield _what(one), _side(one.first), _side(one.second)
        if one.kind == "code" and one.name == "snapshot":
            yield from _file_rows(found)


def _file_rows(found: Comparison) -> Iterator[tuple[str, str, str]]:
    if found.files is None:
        yield "files", "not kept here any more", "not kept here any more"
        return
    for file in found.files[:_SHOWN_FILES]:
        yield f"file {file.path}", *_file_sides(file)
    if len(found.files) > _SHOWN_FILES:
        yield f"and {len(found.files) - _SHOWN_FILES} more files", "", ""


def _file_sides(file: FileDifference) -> tuple[str, str]:
    """Say of a file what either one has that the other has not."""
    if file.added is None or file.removed is None:
        words = {"added": ("—", "there"), "removed": ("there", "—")}
        return words.get(file.kind, ("", "changed"))
    if file.kind == "added":
        return "—", f"+{_count(file.added, 'line')}"
    if file.kind == "removed":
        return f"{_count(file.removed, 'line')}", "—"
    return "", f"+{file.added} -{file.removed} lines"


def _what(one: Difference) -> str:
    return one.name if one.kind in ("setting", "outcome", "server") else f"{one.kind} {one.name}"


def _side(text: str | None) -> str:
    return "—" if text is None else text


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
