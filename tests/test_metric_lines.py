"""Metrics are read as docs/metrics.md says, however the log is cut, and from nothing else."""

from __future__ import annotations

import itertools
import json
import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anylearn_jupyter.submit.metric_lines import (
    LOOKS_A_BAR,
    MAX_LOOK,
    MAX_SERIES,
    MetricPoint,
    MetricReader,
    Progress,
)


def read(log: str) -> list[tuple[str, float, float]]:
    reader = MetricReader()
    return [tuple(point) for point in [*reader.feed(log), *reader.close()]]


def progress_of(log: str) -> Progress | None:
    reader = MetricReader()
    reader.feed(log)
    reader.close()
    return reader.progress


def tqdm_bar(done: int, total: int, pairs: str = "", before: str = "") -> str:
    return f"{before}{100 * done // total:3d}%|███   | {done}/{total} [00:03<01:05, 2.5it/s{pairs}]"


@pytest.mark.parametrize(
    ("line", "points"),
    [
        ("epoch=3 loss=0.21 accuracy=0.93", [("loss", 3, 0.21), ("accuracy", 3, 0.93)]),
        ("epoch=3, loss=0.21; accuracy=9e-1", [("loss", 3, 0.21), ("accuracy", 3, 0.9)]),
        ("epoch=2 step=40 loss=.5", [("loss", 40, 0.5)]),
        ("epoch=3/15 train/loss=-1", [("train/loss", 3, -1)]),
        ("loss=0.5", [("loss", 1, 0.5)]),
        ("\033[32mepoch=1\033[0m loss=2", [("loss", 1, 2)]),
        ("epoch=1 loss=nan", []),
        ("epoch=1 loss=inf acc=1e999", []),
        ("epoch=1 loss=0.5 time=3.2s", [("loss", 1, 0.5)]),
        ('{"step": 3, "loss": 0.21}', [("loss", 3, 0.21)]),
        ('{"loss": 0.21, "lr": 1}', [("loss", 1, 0.21), ("lr", 1, 1)]),
        ('{"step": 3, "loss": NaN, "acc": Infinity, "best": true, "note": "x"}', []),
        ('[anylearn-metric] {"step": 3, "loss": 0.21}', [("loss", 3, 0.21)]),
        ('[anylearn-metric] {"loss": 0.21, "note": "kept out"}', [("loss", 1, 0.21)]),
        ('[anylearn-metric] {"intermediate": 4}', [("intermediate", 1, 4)]),
        ('[anylearn-metric] {"final": 0.9}', [("final", 1, 0.9)]),
        ('[anylearn-metric] {"step": 1, "loss": NaN}', []),
        ("12/50 [=====>....] - 1s - loss: 0.21 - accuracy: 0.93",
         [("loss", 12, 0.21), ("accuracy", 12, 0.93)]),
        ("50/50 ━━━━━━━━━━ 1s 2ms/step - accuracy: 0.93 - loss: 0.21",
         [("accuracy", 50, 0.93), ("loss", 50, 0.21)]),
        ("50/50 - 1s - 20ms/step - loss: 0.21", [("loss", 50, 0.21)]),
        ("Epoch 3:  40%|████   | 40/100 [00:03<00:05, loss=0.21, v_num=0]",
         [("loss", 2.4, 0.21)]),
        ("  40%|████   | 40/100 [00:03<00:05, 2.5it/s, loss=0.21]", [("loss", 40, 0.21)]),
    ],
)  # fmt: skip
def test_what_the_documentation_lists_is_read(
    line: str, points: list[tuple[str, float, float]]
) -> None:
    assert read(line + "\n") == points
    assert read(line) == points
    assert read(line + "\r\n") == points


@pytest.mark.parametrize(
    "line",
    [
        "the loss is 0.21 after 3 epochs",
        "we set lr=0.1 and hope",
        "epoch 3/15 loss 0.4 accuracy 0.9",
        "loss: 0.3",
        '{"level": "info", "ts": 1700000000.1, "message": "started"}',
        '{"nested": {"loss": 0.1}}',
        "[anylearn-metric] no json",
        "[anylearn-metric] [1, 2]",
        "[anylearn-metric] " + "[" * 10_000,
        "[anylearn-metric] {" + '"x": ' + "9" * 5000 + "}",
        " text [anylearn-metric] {}",
        "a/b/c=d/e",
        "=",
        "{",
        "/",
        "%|",
        "0/0 [===] - loss: 3",
        "  0%|   | 0/0 [00:00<?, loss=1]",
    ],
)
def test_nothing_else_is(line: str) -> None:
    assert read(line + "\n") == []


def test_progress_is_the_bars_and_of_the_whole_where_the_log_knows_it() -> None:
    assert progress_of("nothing\n") is None
    assert progress_of(tqdm_bar(40, 100)) == Progress(40, 100, 65)
    assert progress_of(" 1%| | 1.5k/15.0kB [00:01<1:00:02]\n") == Progress(1500, 15000, 3602)
    assert progress_of("epoch=3/15 loss=1\n") == Progress(3, 15)
    assert progress_of("epoch 3/15  loss 0.4  accuracy 0.9\n") == Progress(3, 15)
    assert progress_of("[Step 20/50] lr 0.1\nepoch 1/0 nothing\n") == Progress(20, 50)
    assert progress_of("Epoch 3/15\n") == Progress(2, 15)
    assert progress_of("the epoch 3/15\nepochs 3/15\n") is None
    assert progress_of("Epoch 3/15\n25/50 [==>..] - loss: 1\n") == Progress(2.5, 15)
    assert progress_of("Epoch 0/9:  50%|█  | 5/10 [00:01<00:01]\n") == Progress(0.5, 10)
    assert progress_of("Epoch 4:  50%|█  | 5/10 [00:01<?]\n") == Progress(5, 10)


def test_a_bar_is_a_curve_and_not_a_flood() -> None:
    log = "".join("\r" + tqdm_bar(done, 50_000, f", loss={done}") for done in range(50_001)) + "\n"
    points = read(log)
    assert 90 <= len(points) <= LOOKS_A_BAR + 1
    assert points[-1] == ("loss", 50_000, 50_000)
    assert [point[1] for point in points] == sorted(point[1] for point in points)


def test_bars_one_after_the_other_go_on_and_do_not_go_back() -> None:
    log = "".join(
        "".join("\r" + tqdm_bar(done, 10, f", loss={done}") for done in range(1, 11)) + "\n"
        for _ in range(3)
    )
    assert [point[1] for point in read(log)] == [float(step) for step in range(1, 31)]


def test_keras_epochs_give_one_point_each() -> None:
    log = ""
    for epoch in range(1, 4):
        log += f"Epoch {epoch}/3\n"
        for done in range(1, 51):
            log += f"\r{done}/50 ━━━╸━━━ 1s 2ms/step - loss: {1 / done}"
        log += f"\b\b\b\r50/50 ━━━━━ 2s 3ms/step - loss: {epoch} - val_loss: 0.5\n"
    assert [(name, step) for name, step, _ in read(log)] == [
        (name, step) for step in (1.0, 2.0, 3.0) for name in ("loss", "val_loss")
    ]


def test_lightning_counts_epochs_from_nought() -> None:
    log = "".join(
        "\r" + tqdm_bar(done, 4, f", loss={epoch}", before=f"Epoch {epoch}: ")
        for epoch in range(3)
        for done in range(1, 5)
    )
    steps = [step for _, step, _ in read(log + "\n")]
    assert steps[0] == 0.25
    assert steps[-1] == 3
    assert steps == sorted(steps)


STYLES = (
    "epoch=1 loss=0.5\n[anylearn-metric] {\"step\": 1, \"x\": 2}\r\ntext\n"
    + "".join("\r" + tqdm_bar(done, 7, f", loss=0.{done}") for done in range(8))
    + "\nEpoch 1/2\n"
    + "".join(f"\b\b\r{done}/5 [=>..] - loss: {done}" for done in range(1, 6))
    + "\n{\"loss\": 3}\nloss=1"
)  # fmt: skip


@given(st.lists(st.integers(0, len(STYLES)), max_size=30))
def test_where_the_text_is_cut_changes_nothing(cuts: list[int]) -> None:
    reader = MetricReader()
    points: list[MetricPoint] = []
    edges = [0, *sorted(cuts), len(STYLES)]
    for start, end in itertools.pairwise(edges):
        points += reader.feed(STYLES[start:end])
    points += reader.close()
    assert [tuple(point) for point in points] == read(STYLES)
    assert len(points) > 10


@given(
    st.text(alphabet='=/{}[]%|:0123456789.eE-+ \r\n\b\x1b[anylearn-metric]{"step"', max_size=200)
)
def test_any_text_is_read_without_an_error(text: str) -> None:
    for point in read(text):
        assert point[2] == point[2]


def test_a_line_without_end_costs_no_memory() -> None:
    reader = MetricReader()
    for _ in range(160):
        reader.feed("x=1 " * 16_384)
        assert len(reader._open) <= MAX_LOOK
    assert [tuple(point) for point in reader.feed("\nloss=1\n")] == [("loss", 1, 1)]


@pytest.mark.parametrize("piece", ["=" * 16_000, "a=1," * 4_000, "1%|" * 5_000, "1/1 [" * 3_000,
                                   "{" * 16_000, "━" * 16_000, "1/1 " + " " * 16_000,
                                   "epoch " * 2_500 + "1%|x|1/2[", " - " * 5_000])  # fmt: skip
def test_no_line_takes_long(piece: str) -> None:
    reader = MetricReader()
    began = time.perf_counter()
    reader.feed(piece + "\n")
    assert time.perf_counter() - began < 0.5


def test_only_so_many_series_are_known() -> None:
    random.seed(1)
    log = "".join(
        "[anylearn-metric] " + json.dumps({f"s{random.random()}": 1, "step": 1}) + "\n"
        for _ in range(1_000)
    )
    assert len({name for name, _, _ in read(log)}) == MAX_SERIES
