"""The twin says what the card says, without a script, and nothing of a task's becomes markup."""

from __future__ import annotations

import base64
import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.displaypub import DisplayPublisher

from anylearn_jupyter.client.follow import Event
from anylearn_jupyter.entities import Exit, TaskDetail
from anylearn_jupyter.notebook.card import card_twin
from anylearn_jupyter.notebook.descriptions import duration_text, fact_rows, times_text
from anylearn_jupyter.notebook.task_view import Snapshot, TaskView
from anylearn_jupyter.notebook.twin import as_html, as_text
from anylearn_jupyter.submit.facts import DataFact, Facts
from anylearn_jupyter.submit.task import TrainTask
from browser.training_scripts import PAYLOADS

TASK = "TRAI" + "5" * 28
HOUR_MS = 3_600_000
RUNNING = TaskDetail(
    id=TASK, name="digits-1", state=1, phase="running", created_ms=HOUR_MS,
    started_ms=HOUR_MS + 1_000, algorithm_git_ref="c" * 40, command="python train.py",
)  # fmt: skip
SUCCEEDED = replace(RUNNING, state=2, phase="succeeded", finished_ms=HOUR_MS + 70_000)
FAILED = replace(
    SUCCEEDED, state=-2, phase="failed", exit=Exit(kind="signal", number=9), finished_ms=HOUR_MS * 2
)
FACTS = Facts(
    server="local",
    address="http://127.0.0.1:1",
    username="me",
    snapshot_id="a1b2c3d4e5f6a7b8",
    files=12,
    size_bytes=34_000,
    head="0123456789abcdef",
    dirty=True,
    code_sent=True,
    data=(
        DataFact(name="data", path=Path("/home/me/digits"), size_bytes=2_100_000, files=1797),
        DataFact(name="more", id="DSET1"),
        DataFact(name="new", path=Path("/n"), size_bytes=10, files=1, uploaded_bytes=10),
    ),
    params=(("epochs", "15"), ("verbose", "")),
    command="python train.py --epochs 15",
    notes=("There is no requirements.txt.",),
)
LOG = "\x1b[32mepoch 1\x1b[0m of 2\nstep=1 loss=2 val_loss=3\nstep=2 loss=1 val_loss=2\nthe last"


def snapshot(detail: TaskDetail, log: str = LOG, ends: bool = True) -> Snapshot:
    view = TaskView(detail)
    view.take(Event(detail.id, "log", text=log))
    if ends:
        view.take(Event(detail.id, "end"))
    return view.snapshot()


class Parsed(HTMLParser):
    """The elements, the attributes and the text of a piece of HTML."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attributes]
        if tag == "img":
            self.text += dict(attributes)["alt"] or ""
        else:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


ELEMENTS = {"div", "span", "b", "pre", "img"}
DRAWN = {"svg", "g", "path", "polyline", "rect", "text"}
PICTURE = "data:image/svg+xml;base64,"


def drawings(source: str) -> list[str]:
    """The curves in a twin, which it carries as pictures."""
    return [
        base64.b64decode(value.removeprefix(PICTURE)).decode()
        for name, value in Parsed(source).attributes
        if name == "src" and value.startswith(PICTURE)
    ]


def assert_harmless(source: str, elements: set[str] = ELEMENTS) -> Parsed:
    parsed = Parsed(source)
    assert set(parsed.elements) <= elements
    for drawing in drawings(source):
        assert_harmless(drawing, DRAWN)
    for name, value in parsed.attributes:
        assert not name.startswith("on")
        if name == "src" and value.startswith(PICTURE):
            continue
        assert name not in ("href", "src", "srcdoc", "xlink:href")
        assert "url(" not in value
    return parsed


def test_a_finished_task_shows_all_there_is() -> None:
    for shown in (
        as_text(snapshot(SUCCEEDED), FACTS, "local"),
        assert_harmless(as_html(snapshot(SUCCEEDED), FACTS, "local")).text,
    ):
        for words in (
            "digits-1", "succeeded", "this machine", TASK, "took 1 min 9 s",
            "commit a1b2c3d4e5f6, 12 files, 34.0 kB", "0123456789ab with changes",
            "data: digits, 1,797 files, 2.1 MB, reused", "more: DSET1, on the server already",
            "10 bytes uploaded", "epochs=15", "verbose", "python train.py --epochs 15",
            "There is no requirements.txt.", "epoch 1 of 2", "the last", "all 4 lines",
        ):  # fmt: skip
            assert words in shown
        assert "val_loss 2" in shown
        assert "as of" not in shown
        assert "\x1b" not in shown


def test_the_html_has_the_curve_and_the_colours() -> None:
    source = as_html(snapshot(SUCCEEDED), FACTS, "local")
    (drawing,) = drawings(source)  # loss and val_loss share a panel
    assert drawing.count("<polyline") == 2
    assert 'alt="loss by step: loss 1, val_loss 2"' in source
    assert '<span style="color:#23832f">epoch 1</span>' in source
    assert f'data-snap="{TASK}"' in source


def test_an_unfinished_task_says_as_of_when_and_how_to_go_on() -> None:
    running = snapshot(RUNNING, "epoch=1/4 loss=3\n", ends=False)
    for shown in (as_text(running, None, "local"), as_html(running, None, "local")):
        assert re.search(rf"as of \d\d:\d\d \(\d+ \w+ \d{{4}}\); %anylearn_resume {TASK} shows now",
                         shown)  # fmt: skip
        assert "25 % (1 of 4)" in shown
        assert "running" in shown
        assert "cccccccccccc" in shown


def test_a_failed_task_shows_its_cause_first() -> None:
    log = "x\n" * 90 + "Traceback (most recent call last):\n  here\nValueError: <no>\n"
    source = as_html(snapshot(FAILED, log), FACTS, "https://train.example")
    text = assert_harmless(source).text
    assert text.index("ended by signal 9 (SIGKILL)") < text.index("ValueError: <no>")
    assert text.index("ValueError: <no>") < text.index("commit a1b2")
    assert "the last 24 of 93 lines" in text
    assert "https://train.example" in text
    assert "✗ digits-1 · ended by signal 9" in as_text(snapshot(FAILED, log), None, "local")


def test_trouble_and_a_task_that_is_gone_are_said() -> None:
    view = TaskView(RUNNING)
    view.take(Event("", "trouble", text="no answer since 12 s, trying again: refused"))
    for shown in (as_text(view.snapshot(), None, "local"), as_html(view.snapshot(), None, "local")):
        assert "no answer since 12 s" in shown
    view.take(Event(TASK, "gone"))
    assert "not on its server any more" in as_text(view.snapshot(), None, "local")


def poisoned(payload: str) -> tuple[Snapshot, Facts]:
    detail = replace(
        RUNNING, name=payload, phase=payload, command=payload, algorithm_git_ref=payload
    )
    view = TaskView(replace(detail, id=payload))
    series = html.unescape(payload).replace('"', "'").replace("\\", "/")
    view.take(Event("", "log", text=f'{payload}\n[anylearn-metric] {{"{series}": 1}}\n' * 3))
    view.take(Event("", "trouble", text=payload))
    facts = replace(
        FACTS, command=payload, params=((payload, payload),), notes=(payload,),
        data=(DataFact(name=payload, path=Path("/x") / payload.replace("/", "")),),
    )  # fmt: skip
    return view.snapshot(), facts


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_word_of_a_tasks_becomes_markup(payload: str) -> None:
    """F4, for every value that a twin shows."""
    shown, facts = poisoned(payload)
    assert_harmless(as_html(shown, facts, payload))
    assert_harmless(as_html(shown, None, payload))
    assert "\x1b" not in as_text(shown, facts, payload)


@given(st.text(max_size=60))
def test_nor_does_any_other_text(words: str) -> None:
    shown, facts = poisoned(words.replace("\r", "").replace("\n", "") or "x")
    assert_harmless(as_html(shown, facts, words))


def test_a_twin_is_small_whatever_the_task_wrote() -> None:
    """F1, F9: what a saved notebook holds of a task is bounded."""
    lines = "".join(f"\x1b[3{n % 8}m" + "<" * 20_000 + "\n" for n in range(60))
    points = "".join(
        "[anylearn-metric] {" + ", ".join(f'"s{n}": {step * n}' for n in range(64)) + "}\n"
        for step in range(3_000)
    )
    shown = snapshot(SUCCEEDED, points + lines)
    assert len(as_html(shown, FACTS, "local")) < 1_000_000
    assert len(as_text(shown, FACTS, "local")) < 60_000


def test_times_and_facts_in_words() -> None:
    assert duration_text(0.04) == "0.0 s"
    assert duration_text(59.9) == "59 s"
    assert duration_text(3_661) == "1 h 1 min"
    assert duration_text(90_000) == "1 d 1 h"
    assert times_text(TaskDetail(id=TASK)) == ""
    assert times_text(TaskDetail(id=TASK, created_ms=1)).startswith("submitted ")
    assert "running for 9.0 s" in times_text(RUNNING, HOUR_MS + 10_000)
    clean = replace(FACTS, dirty=False, head="ab" * 20, code_sent=False)
    assert ("code", "commit a1b2c3d4e5f6, 12 files, 34.0 kB, as committed in abababababab, "
            "nothing new to send") in fact_rows(clean, RUNNING)  # fmt: skip
    assert fact_rows(replace(FACTS, snapshot_id=""), RUNNING)[0] == (
        "code",
        "on the server already",
    )


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ('[{"default": {"CPU": 2, "Memory": 8}}]', "CPU=2 Memory=8"),
        ('{"QGRP1": {"RTX-4090": 1}}', "RTX-4090=1 of QGRP1"),
        ('[{"default": {}}, 3, null]', None),
        ("[" * 100_000, None),
        ("no JSON <b>", None),
    ],
)
def test_the_resources_are_what_the_server_repeats(said: str, text: str | None) -> None:
    rows = dict(fact_rows(FACTS, replace(RUNNING, resource_request=said)))
    assert rows.get("resources") == text


def test_a_parameter_with_spaces_does_not_look_like_several() -> None:
    facts = replace(FACTS, params=(("schedule", "cosine with lr=2"), ("lr", "1e-3"), ("amp", "")))
    rows = dict(fact_rows(facts, RUNNING))
    assert rows["parameters"] == "schedule='cosine with lr=2' lr=1e-3 amp"


def test_a_young_twin_is_written_again_soon_and_an_old_one_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody who saves the notebook after a few seconds finds the first lines in it."""
    now = [1_000.0]
    monkeypatch.setattr("anylearn_jupyter.notebook.twin_output.time.monotonic", lambda: now[0])
    written: list[float] = []
    publisher = DisplayPublisher()
    monkeypatch.setattr(publisher, "publish", lambda *_, **__: written.append(now[0] - 1_000))
    view = TaskView(RUNNING)
    shown = card_twin([(TrainTask(TASK, RUNNING), view)], publisher)
    shown.begin()
    for tenth in range(1, 601):
        now[0] = 1_000 + tenth / 10
        view.take(Event(TASK, "log", text="a line\n"))
        shown.refresh(1_000)
    assert written[:4] == [0, pytest.approx(1), pytest.approx(2), pytest.approx(4)]
    assert written[-1] - written[-2] == pytest.approx(10, abs=0.2)
    assert len(written) < 12


def test_a_task_that_waits_says_how_long() -> None:
    queued = TaskDetail(id="TRAI1", state=0, phase="queued", created_ms=1_000)
    assert re.fullmatch(r"submitted .*, waiting for 9\.0 s", times_text(queued, 10_000))
    stopped = replace(queued, state=-3, phase="aborted")
    assert "waiting" not in times_text(stopped, 10_000)
