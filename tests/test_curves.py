"""Charts are pictures without a script, whatever the series are called and whatever they hold."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anylearn_jupyter.notebook.curves import Panel, base_name, number_text, panels, svg
from anylearn_jupyter.notebook.series import MAX_POINTS, Series, thinned

NAMESPACE = "{http://www.w3.org/2000/svg}"
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def drawn(*series: tuple[str, list[tuple[float, float]]]) -> ElementTree.Element:
    (panel,) = panels(series)
    return ElementTree.fromstring(svg(panel))


def places(picture: ElementTree.Element) -> list[list[tuple[float, float]]]:
    return [
        [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]
        for line in picture.iter(f"{NAMESPACE}polyline")
    ]


def words(picture: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{NAMESPACE}text")]


def test_a_curve_goes_from_the_first_point_to_the_last_within_the_frame() -> None:
    picture = drawn(("loss", [(1, 1.0), (2, 0.5), (3, 0.25)]))
    ((first, middle, last),) = places(picture)
    assert first[0] < middle[0] < last[0]
    assert first[1] < middle[1] < last[1]  # downwards in the picture
    said = words(picture)
    assert {"step", "1", "3", "loss 0.25"} <= set(said)
    assert "0.4" in said
    assert "1.5" not in said, "epochs are whole"


def test_what_belongs_together_shares_a_panel() -> None:
    points = [(1.0, 1.0), (2.0, 2.0)]
    found = panels([("loss", points), ("accuracy", points), ("val_loss", points)])
    assert [(panel.title, [name for name, _ in panel.series]) for panel in found] == [
        ("loss", ["loss", "val_loss"]),
        ("accuracy", ["accuracy"]),
    ]
    assert panels([("one", [(1.0, 1.0)])]) == []
    for name, base in [("train/loss", "loss"), ("eval.f1", "f1"), ("value_loss", "value_loss"),
                       ("_x", "_x"), ("val_", "val_"), ("lr", "lr")]:  # fmt: skip
        assert base_name(name) == base


@given(st.lists(st.tuples(FINITE, FINITE), min_size=2, max_size=60))
def test_any_numbers_are_drawn_within_the_frame(points: list[tuple[float, float]]) -> None:
    for line in places(drawn(("x", points))):
        for x, y in line:
            assert 0 <= x <= 340
            assert 0 <= y <= 190


@pytest.mark.parametrize("value", [0.0, 1e-310, 5e-324, 1e308, -1e308, 3.0])
def test_a_flat_curve_is_drawn(value: float) -> None:
    assert len(places(drawn(("x", [(1, value), (2, value)])))[0]) == 2


@given(st.text(max_size=100))
def test_no_name_is_markup(name: str) -> None:
    panel = Panel(name, ((name, [(1.0, 2.0), (2.0, 3.0)]),))
    picture = ElementTree.fromstring(svg(panel))
    kinds = {element.tag.removeprefix(NAMESPACE) for element in picture.iter()}
    assert kinds <= {"svg", "g", "path", "polyline", "rect", "text"}
    for element in picture.iter():
        assert not any(key.startswith("on") or "href" in key for key in element.attrib)


def test_numbers_are_written_briefly() -> None:
    written = {0: "0", 0.25: "0.25", 1 / 3: "0.3333", 12345.6: "12346", 1e-7: "1.00e-7",
               -2.5e9: "-2.50e9", 100: "100"}  # fmt: skip
    for value, text in written.items():
        assert number_text(value) == text


def test_a_million_points_are_few_and_keep_their_spikes_and_their_spread() -> None:
    series = Series("loss")
    for step in range(200_000):
        series.add(step, 1000.0 if step == 77_777 else math.sin(step / 9_000))
    points = series.points()
    assert series.count == 200_000
    assert MAX_POINTS / 2 <= len(points) <= MAX_POINTS + 1
    assert (77_777, 1000.0) in points
    assert points[-1][0] == 199_999
    assert [step for step, _ in points] == sorted(step for step, _ in points)
    # Even along the whole way, not dense at its end.
    quarters = [sum(1 for step, _ in points if step // 50_000 == part) for part in range(4)]
    assert min(quarters) > len(points) / 8


def test_a_picture_is_small_whatever_it_shows() -> None:
    points = [(float(step), math.cos(step)) for step in range(MAX_POINTS)]
    assert len(thinned(points, 300)) <= 301
    assert thinned(points[:10], 300) == points[:10]
    panel = Panel("x", (("x", points),))
    assert len(svg(panel)) < 12_000
    assert not re.search(r"<script|javascript:", svg(panel))
