"""What a sweep asks for: one `TrainRequest` for each of its points."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.checks import NAME_LIMIT
from anylearn_jupyter.submit.command import entry_script
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.sweep_points import MAX_POINTS, Kind, Values

_BASE_LIMIT = 24


@dataclass(frozen=True)
class Point:
    """One training of a sweep.

    Attributes
    ----------
    values : tuple of (str, object)
        What makes it another one than the next: names and values, as the user wrote them.
    request : TrainRequest
        All of it.
    """

    values: Values
    request: TrainRequest


@dataclass(frozen=True)
class SweepRequest:
    """Several trainings that differ in some values and in nothing else.

    Attributes
    ----------
    points : tuple of Point
        In their order; at least one. Their requests have the same code, data and server.
    kind : Kind
        How they were put together.
    parallel : int or None
        How many run at once, at most. None: as many as there is room for.
    """

    points: tuple[Point, ...]
    kind: Kind = field(default_factory=Kind)
    parallel: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What is swept."""
        return tuple(name for name, _ in self.points[0].values)

    def check(self) -> None:
        """Refuse what cannot be submitted as one sweep.

        Raises
        ------
        OptionError
            There are no points or too many, their code, data or server differ, or `parallel` is
            no number of tasks.
        """
        if not 1 <= len(self.points) <= MAX_POINTS:
            raise OptionError(
                f"A sweep has 1 to {MAX_POINTS:,} trainings, and this one has {len(self.points):,}."
            )
        parallel = self.parallel
        if parallel is not None and (isinstance(parallel, bool) or parallel < 1):
            raise OptionError(f"--parallel {parallel} runs nothing; give 1 or more.")
        first = self.points[0].request
        for point in self.points:
            if _shared(point.request) != _shared(first):
                raise OptionError(
                    "The trainings of a sweep differ in more than their values; they share code, "
                    "data, environment, resources and server."
                )

    def named(self) -> SweepRequest:
        """Name each task by its values."""
        named = tuple(
            replace(point, request=replace(point.request, task_name=task_name(point, number)))
            for number, point in enumerate(self.points, 1)
        )
        return replace(self, points=named)

    def digest(self, digests: Sequence[str]) -> str:
        """Name the whole, given the digest of each training: the same one, the same sweep."""
        text = "\n".join([str(self.kind), str(self.parallel), *digests])
        return hashlib.sha256(text.encode()).hexdigest()


def task_name(point: Point, number: int) -> str:
    """Name a task so that its values can be seen: ``digits-7,lr=0.1,batch=32``.

    What it is called is cut at the 50 characters that a server takes; the record has all of it.
    """
    base = point.request.task_name or _stem(point.request)
    name = f"{base[:_BASE_LIMIT]}-{number}"
    for key, value in point.values:
        name += f",{key}={value_text(value)}"
    return name if len(name) <= NAME_LIMIT else f"{name[: NAME_LIMIT - 1]}…"


def value_text(value: object) -> str:
    """Write a swept value on one line, for names and tables."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    text = one_line(str(value), 200)
    return "".join(one if one.isprintable() else "?" for one in text)


def _stem(request: TrainRequest) -> str:
    script = entry_script(request.entrypoint) if request.entrypoint else None
    stem = re.sub(r"[^\w.-]", "", PurePosixPath(script).stem) if script else ""
    return stem or "sweep"


def _shared(request: TrainRequest) -> TrainRequest:
    """Give what all trainings of a sweep have in common."""
    return replace(request, hyperparams=(), raw_arguments="", entrypoint=None, task_name=None)
