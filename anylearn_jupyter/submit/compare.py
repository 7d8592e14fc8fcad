"""What differs between two tasks: exactly that, and nothing else.

It is read from what the ledger kept of their submissions; only code, whose files may be many, is
looked at in the snapshots themselves. Names, descriptions, projects and directories make no
difference, as in `TrainRequest.digest`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anylearn_jupyter.errors import NotFound
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.code_diff import Code, FileDifference, differing_files
from anylearn_jupyter.submit.description import plain_value
from anylearn_jupyter.submit.facts import DataFact, Facts
from anylearn_jupyter.submit.objects.known_task import KnownTask
from anylearn_jupyter.submit.outcome import outcome_text
from anylearn_jupyter.submit.request import TrainRequest

_SETTINGS = {
    "entrypoint": "entrypoint",
    "raw_arguments": "arguments",
    "hyperparams_prefix": "prefix",
    "hyperparams_delimeter": "delimiter",
    "output": "output",
    "mirror_name": "environment",
    "quota_group": "resource group",
    "num_nodes": "machines",
    "nproc_per_node": "processes on each",
    "timeout_s": "seconds allowed",
    "retries": "further attempts",
}
"""Fields of a request that are compared as they are, and what they are called."""

_NO_DIFFERENCE = (
    # Where it is from, what it is called, and how it was submitted.
    *("algorithm_dir", "algorithm_name", "working_dir", "task_name", "task_description"),
    *("project_id", "project_name", "server", "polling_s", "uploader", "require_clean"),
    # What the snapshot and the lists below tell.
    *("include", "exclude", "code_cell", "notebook", "algorithm_id", "algorithm_fullname"),
    *("algorithm_git_ref", "hyperparams", "data", "env", "secrets", "quota_request"),
)


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same.

    Attributes
    ----------
    kind : str
        ``server``, ``code``, ``setting``, ``value``, ``data``, ``variable``, ``resource`` or
        ``outcome``.
    name : str
        Which one, such as the hyperparameter's name.
    first, second : str or None
        What it is in each, for people; None where there is none.
    """

    kind: str
    name: str
    first: str | None
    second: str | None


@dataclass(frozen=True)
class Comparison:
    """What differs between two tasks.

    Attributes
    ----------
    first, second : str
        Their ids.
    differences : tuple of Difference
        Empty where nothing does.
    files : tuple of FileDifference or None
        The files of the code that differ. None where they are not known, as a snapshot is not kept
        here any more, or the code was on the server.
    same_digest : bool
        Both train the same: equal digests. The outcome may differ all the same.
    """

    first: str
    second: str
    differences: tuple[Difference, ...]
    files: tuple[FileDifference, ...] | None
    same_digest: bool


def compare(first: KnownTask, second: KnownTask) -> Comparison:
    """Find what differs between two tasks, as last seen; no server is asked.

    Raises
    ------
    NotFound
        One was not submitted from this machine, so what was sent is not known.
    SnapshotError
        There is no usable git.

    Notes
    -----
    Source: notebook spec, "Companions", ``%anylearn_show``.
    """
    left, right = _Sent(first), _Sent(second)
    differences = [
        Difference(kind, name, old, new)
        for kind, name, old, new in _paired(left.things(), right.things())
        if old != new
    ]
    digests = (first.record.digest, second.record.digest)
    return Comparison(
        first=first.id,
        second=second.id,
        differences=tuple(differences),
        files=_files(left, right),
        same_digest=bool(digests[0]) and digests[0] == digests[1],
    )


class _Sent:
    """What was sent for a task."""

    def __init__(self, task: KnownTask) -> None:
        request, facts = task.record.profile.get("request"), task.record.profile.get("facts")
        if not isinstance(request, dict) or not isinstance(facts, dict):
            raise NotFound(
                f"The task {task.id} was not submitted from this machine, so what was sent for it "
                "is not known."
            )
        self.task = task
        self.request = TrainRequest.from_json(request)
        self.facts = Facts.from_json(facts)

    @property
    def code(self) -> Code | None:
        """Its snapshot; None for code that was on the server."""
        directory = self.request.algorithm_dir
        if directory is None or not self.facts.snapshot_id:
            return None
        return Code(directory, self.facts.snapshot_id)

    def things(self) -> dict[tuple[str, str], str]:
        """List all that may differ, by kind and name."""
        return {(kind, name): text for kind, name, text in self._listed() if text}

    def _listed(self) -> Iterator[tuple[str, str, str]]:
        request, facts = self.request, self.facts
        yield "server", "server", self.task.record.server
        yield "server", "user", self.task.record.username
        yield "code", "snapshot", facts.snapshot_id[:12]
        yield "code", "algorithm", request.algorithm_id or request.algorithm_fullname or ""
        yield "code", "version", request.algorithm_git_ref or ""
        for field, name in _SETTINGS.items():
            yield "setting", name, _text(getattr(request, field))
        # What a request has besides, such as a time limit, under its own name.
        for field in TrainRequest.__dataclass_fields__:
            if field not in _SETTINGS and field not in _NO_DIFFERENCE:
                yield "setting", field, _text(getattr(request, field))
        for name, value in request.hyperparams:
            yield "value", name, plain_value(value) or "given"
        yield from _data(facts.data)
        for name, value in request.env:
            yield "variable", name, value or "empty"
        for name in request.secrets:
            yield "variable", name, "secret"
        for name, amount in request.quota_request:
            yield "resource", name, str(amount)
        yield "outcome", "outcome", outcome_text(self.task.detail)


def _data(facts: tuple[DataFact, ...]) -> Iterator[tuple[str, str, str]]:
    """Name each input by its content where that is known, else by what it is on the server."""
    seen: dict[str, int] = {}
    for fact in facts:
        seen[fact.name] = seen.get(fact.name, 0) + 1
        number = f" {seen[fact.name]}" if seen[fact.name] > 1 else ""
        content = fact.fingerprint or fact.id
        kind = "" if fact.kind == "dataset" else f"{fact.kind} "
        yield "data", f"{fact.name}{number}", f"{kind}{content}"


def _paired(
    first: Mapping[tuple[str, str], str], second: Mapping[tuple[str, str], str]
) -> Iterator[tuple[str, str, str | None, str | None]]:
    """Put what has the same kind and name side by side, in the order of the first."""
    kinds = list(dict.fromkeys(kind for kind, _ in (*first, *second)))
    keys = dict.fromkeys((*first, *second))
    for key in sorted(keys, key=lambda key: kinds.index(key[0])):
        yield *key, first.get(key), second.get(key)


def _files(first: _Sent, second: _Sent) -> tuple[FileDifference, ...] | None:
    if first.facts.snapshot_id == second.facts.snapshot_id:
        return ()
    old, new = first.code, second.code
    return None if old is None or new is None else differing_files(old, new, Home())


def _text(value: Any) -> str:
    """Write a setting; an empty one, or none, counts as not given."""
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return "" if value in (None, "", False, 0) else str(value)
