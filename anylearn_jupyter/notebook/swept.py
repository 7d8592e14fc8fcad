"""A cell with lines ``NAME in values``: from its options and values to a `SweepRequest`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.given_options import GivenOptions
from anylearn_jupyter.notebook.values import Layered, Values
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.sweep_points import Kind, points_of
from anylearn_jupyter.submit.sweep_points import Values as PointValues
from anylearn_jupyter.submit.sweep_request import Point, SweepRequest


def swept_points(options: GivenOptions, layers: Layered) -> list[PointValues]:
    """Give the points that a cell asks for; none where it asks for one training.

    Lines ``NAME in values`` without ``--sweep`` are a grid: what they say to a reader.

    Raises
    ------
    OptionError
        ``--sweep`` or ``--parallel`` without such a line, or values that cannot be combined.
    """
    dimensions = layers.dimensions
    if not dimensions:
        for option in ("sweep", "parallel"):
            if getattr(options.given, option) is not None:
                raise OptionError(
                    f"--{option} is for a cell with values to try; write a line such as "
                    "`lr in [0.1, 0.01]` into its body."
                )
        return []
    return points_of(dimensions, Kind.read(options.text("sweep") or "grid"))


def sweep_request(
    options: GivenOptions, first: TrainRequest, points: Iterable[tuple[PointValues, Values]]
) -> SweepRequest:
    """Make the request of a sweep.

    Parameters
    ----------
    options : GivenOptions
        The cell's.
    first : TrainRequest
        What all have in common, with the values of the first point.
    points : iterable of (points' values, Values)
        The swept values, and what the request has of all values.

    Raises
    ------
    OptionError
        ``--parallel`` is no number.
    """
    made = [
        Point(
            point,
            replace(
                first,
                entrypoint=values.entrypoint or first.entrypoint,
                hyperparams=values.hyperparams,
                raw_arguments=values.raw_arguments,
            ),
        )
        for point, values in points
    ]
    kind = Kind.read(options.text("sweep") or "grid")
    request = SweepRequest(tuple(made), kind, _parallel(options))
    request.check()
    return request


def _parallel(options: GivenOptions) -> int | None:
    text = options.text("parallel")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not int(text):
        raise OptionError(f"--parallel {text} is no number of trainings; give 1 or more.")
    return int(text)


def swept_notes(request: SweepRequest | None) -> list[str]:
    """Say of a plan, which shows the first training, how many there would be."""
    if request is None:
        return []
    parallel = f", {request.parallel} of them at once" if request.parallel is not None else ""
    return [
        f"This is the first of {len(request.points)} trainings ({request.kind} of "
        f"{', '.join(request.names)}){parallel}; they share code and data, which travel once."
    ]
