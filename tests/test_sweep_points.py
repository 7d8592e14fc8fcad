"""The points of a sweep: what is combined, drawn and refused, without a cell or a server."""

from __future__ import annotations

import pytest

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.sweep_points import (
    Between,
    Choices,
    Kind,
    listed_choices,
    logarithmic,
    points_of,
    uniform,
)
from anylearn_jupyter.submit.sweep_ranking import mode_of, ranked, series_of, worst_half

LR, BATCH = Choices((0.1, 0.01)), Choices((16, 32, 64))


def test_a_grid_has_each_with_each_and_zip_the_first_with_the_first() -> None:
    grid = points_of({"lr": LR, "batch": BATCH}, Kind())
    assert [tuple(value for _, value in point) for point in grid] == [
        (0.1, 16), (0.1, 32), (0.1, 64), (0.01, 16), (0.01, 32), (0.01, 64),
    ]  # fmt: skip
    assert points_of({"lr": LR, "n": Choices((1, 2))}, Kind.read("zip")) == [
        (("lr", 0.1), ("n", 1)),
        (("lr", 0.01), ("n", 2)),
    ]


def test_draws_depend_on_the_seed_alone_and_stay_between_the_ends() -> None:
    dimensions = {"lr": logarithmic(1e-5, 1e-1), "drop": uniform(0, 0.5), "batch": BATCH}
    first = points_of(dimensions, Kind.read("random:200"))
    assert first == points_of(dimensions, Kind.read("random:200,seed=0"))
    assert first != points_of(dimensions, Kind.read("random:200,seed=3"))
    assert len(first) == 200
    # Pinned, so that a record of today can be repeated with a later version.
    assert first[0] == (("lr", 0.0004261), ("drop", 0.2519), ("batch", 64))
    rates = [float(str(dict(point)["lr"])) for point in first]
    assert all(1e-5 <= rate <= 1e-1 for rate in rates)
    assert 60 < sum(rate < 1e-3 for rate in rates) < 140, "each factor is as likely as the next"


def test_draws_from_lists_alone_repeat_nothing() -> None:
    points = points_of({"lr": LR, "batch": BATCH}, Kind.read("random:50"))
    assert sorted(points) == sorted(points_of({"lr": LR, "batch": BATCH}, Kind()))


def test_log_with_a_number_has_its_ends_exactly() -> None:
    assert logarithmic(1e-4, 1e-1, 4) == Choices((1e-4, 1e-3, 1e-2, 1e-1))
    assert logarithmic(1, 100, 3) == Choices((1, 10.0, 100))


@pytest.mark.parametrize(
    ("dimensions", "kind", "words"),
    [
        ({"lr": LR, "batch": BATCH}, "zip", r"lr has 2, batch has 3.*--sweep grid"),
        ({"a": Choices(tuple(range(100))), "b": Choices(tuple(range(11)))}, "grid",
         r"100 x 11 = 1,100 trainings and at most 1,000 .* random:100"),
        ({"lr": Between(1, 2, logarithmic=True)}, "grid", r"log\(1, 2, 5\).*random:20"),
        ({"lr": Between(1, 2)}, "zip", r"uniform\(1, 2\).*random:20"),
        ({"lr": LR}, "random:1001", "more than 1,000"),
    ],
)  # fmt: skip
def test_what_cannot_be_combined_says_the_way_out(
    dimensions: dict[str, Choices | Between], kind: str, words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        points_of(dimensions, Kind.read(kind))


@pytest.mark.parametrize("text", ["", "grd", "random", "random:0", "random:x", "random:5,seed=-1"])
def test_a_way_to_sweep_that_there_is_not(text: str) -> None:
    with pytest.raises(OptionError, match="random:"):
        Kind.read(text)


def test_a_kind_is_read_as_it_is_written() -> None:
    for text in ("grid", "zip", "random:20,seed=3"):
        assert str(Kind.read(text)) == text
    assert str(Kind.read("random:20")) == "random:20,seed=0"


@pytest.mark.parametrize("ends", [(0, 1), (-1, 1), (2, 1), (1, float("inf")), ("a", 1)])
def test_ends_that_cannot_be(ends: tuple[float, float]) -> None:
    with pytest.raises(OptionError):
        logarithmic(*ends)


def test_a_list_that_never_ends_is_refused() -> None:
    from itertools import count

    with pytest.raises(OptionError, match="more than 1,000"):
        listed_choices(count(), "count()")


def test_the_metric_and_its_direction_go_by_the_name() -> None:
    assert series_of(["loss", "acc", "val_acc"]) == "val_acc"
    assert series_of(["loss", "acc"]) == "loss"
    for name in ("loss", "val/loss", "eval_error", "RMSE", "test.wer", "perplexity"):
        assert mode_of(name) == "min", name
    for name in ("accuracy", "val_acc", "f1", "reward", "bleu", "answer_f1"):
        assert mode_of(name) == "max", name


def test_the_worse_half_leaves_the_better_part_the_larger() -> None:
    values = {0: 0.5, 1: 0.1, 2: 0.9, 3: 0.9, 4: 0.3}
    assert ranked(values, "max") == [2, 3, 0, 4, 1]
    assert worst_half(values, "max") == [1, 4]
    assert worst_half(values, "min") == [2, 3]
    assert worst_half({7: 1.0}, "max") == []
