"""What magics put out: tables and plans as text and escaped HTML, progress, a log as it comes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.displaypub import CapturingDisplayPublisher

from anylearn_jupyter.client.follow import Event
from anylearn_jupyter.entities import Exit, TaskDetail
from anylearn_jupyter.errors import NotFound
from anylearn_jupyter.notebook import headless, submitting
from anylearn_jupyter.notebook.headless import LogPrinter, is_headless
from anylearn_jupyter.notebook.plan_view import show_plan
from anylearn_jupyter.notebook.printing import show_rows, show_table
from anylearn_jupyter.notebook.submitting import PlainProgress, line_progress
from anylearn_jupyter.submit.facts import DataFact, Facts
from anylearn_jupyter.submit.local_imports import LeftBehind
from anylearn_jupyter.submit.packing_list import PackedFile, PackingList, Skipped
from anylearn_jupyter.submit.planning import Plan
from anylearn_jupyter.submit.request import TrainRequest

RULES: Any = None  # a plan shows what the rules did, and asks none of them
POISON = "<img src=x onerror=alert(1)>"


class Listening:
    """A shell, as far as an output needs one: what is published is kept."""

    def __init__(self) -> None:
        self.display_pub = CapturingDisplayPublisher()

    @property
    def texts(self) -> list[str]:
        return [str(one["data"]["text/plain"]) for one in self.display_pub.outputs]

    @property
    def markup(self) -> str:
        return "".join(str(one["data"]["text/html"]) for one in self.display_pub.outputs)


@pytest.fixture
def shell() -> Any:
    return Listening()


def test_a_table_lines_up_and_is_escaped(shell: Any) -> None:
    show_table(shell, ("name", "state"), [(POISON, "running"), ("b", "failed")])
    lines = shell.texts[0].splitlines()
    assert lines[0] == f"name{' ' * (len(POISON) - 4)}  state"
    assert lines[2].endswith("  failed")
    assert "<img" not in shell.markup
    assert "&lt;img" in shell.markup


def test_no_control_character_gets_out(shell: Any) -> None:
    for text in ("\x1b]0;title\x07a", "a\nb", "a\u202eb"):
        show_table(shell, ("name",), [(text,)])
        show_rows(shell, text, [(text, [text])])
    whole = "".join(shell.texts) + shell.markup
    assert not set(whole) & {"\x1b", "\x07", "\u202e"}
    assert "a b" in whole


def test_rows_are_escaped(shell: Any) -> None:
    show_rows(shell, POISON, [(POISON, [POISON, POISON])])
    assert "<img" not in shell.markup
    assert shell.texts[0].count(POISON) == 4


SKIPPED = (
    *(Skipped(f"cache{number}/", "cache", None) for number in range(7)),
    Skipped(".env", "may hold secrets"),
)


def plan_of(tmp_path: Path, **facts: Any) -> Plan:
    request = TrainRequest(entrypoint="python train.py", algorithm_dir=tmp_path, env=(("A", "1"),))
    packing = PackingList(
        root=tmp_path,
        files=tuple(PackedFile(f"src/{number:02}.py", 1000) for number in range(30)),
        skipped=SKIPPED,
        nested=("src",),
        head="a" * 40,
        dirty=True,
        rules=RULES,
    )
    found = {"server": "https://a", "address": "https://a", "username": "ann", "output": "output"}
    return Plan(
        request=request,
        facts=Facts(**{**found, **facts}),
        packing=packing,
        command='python train.py --data "$</data>"',
        upload_bytes=None,
        notes=("a note",),
        skipped=SKIPPED,
        left_behind=(LeftBehind("helper", "../helper.py", "it is elsewhere", "src/01.py"),),
    )


def test_a_plan_is_short_and_tells_everything(shell: Any, tmp_path: Path) -> None:
    data = (
        DataFact(name="data", path=Path("/data"), size_bytes=5_000_000, files=2),
        DataFact(name="more", id="DSET1"),
        DataFact(name="there", path=Path("/there"), id="DSET2", size_bytes=1, files=1),
    )
    show_plan(shell, plan_of(tmp_path, data=data), ["another note"])
    (text,) = shell.texts
    for part in (
        "https://a, as ann",
        "python train.py --data </data>",
        "30 files, 30.0 kB",
        "at commit aaaaaaaaaaaa with changes that are not committed",
        "largest: src (30 files, 30.0 kB)",
        "… and 10 more",
        "and 2 more: cache",
        ".env: may hold secrets",
        "data: /data (2 files, 5.0 MB), to upload, if it is not there",
        "more: dataset DSET1, which is on the server",
        "there: /there (1 file, 1 byte), already there as DSET2",
        "unknown, as the server could not be asked",
        "repository of its own: src (30 files, 30.0 kB)",
        "src/01.py imports helper, which does not travel: ../helper.py (it is elsewhere)",
        "A=1",
        "a note",
        "another note",
    ):
        assert part in text, text
    assert len(text.splitlines()) < 50


def test_a_submission_is_one_line_that_changes(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting, "TICK_S", 0.0)
    with line_progress(shell) as progress:
        progress.step("Sending the data", POISON)
        progress.bytes("images", 0, 10_000_000)
        progress.bytes("images", 5_000_000, 10_000_000)
        progress.bytes("unknown size", 5, 0)
    outputs = shell.display_pub.outputs
    assert len({one["transient"]["display_id"] for one in outputs}) == 1
    assert [one["update"] for one in outputs] == [False] + [True] * (len(outputs) - 1)
    assert "images:  50%" in shell.texts[2]
    assert "5.00M/10.0M" in shell.texts[2]
    assert shell.texts[-1].startswith("Submitted in ")


def test_bytes_come_at_most_ten_times_a_second(shell: Any) -> None:
    with line_progress(shell) as progress:
        progress.step("Sending the data")
        for sent in range(10_000):
            progress.bytes("images", sent, 10_000)
    assert len(shell.texts) < 30


def test_a_submission_that_stops_says_where(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def submission() -> None:
        with line_progress(shell) as progress:
            progress.step("Sending the data")
            progress.note("something to know")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submission()
    assert shell.texts[-1] == "Stopped at: Sending the data."
    assert capsys.readouterr().out == "note: something to know\n"


def test_plain_progress_says_little(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(submitting.time, "monotonic", lambda: now[0])
    progress = PlainProgress()
    progress.step("Sending the data")
    for sent in range(0, 101):
        now[0] += 0.5
        progress.bytes("images", sent * 1000, 100_000)
    progress.bytes("quick", 5, 5)
    progress.note("something to know")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "images: 20.0 kB (20%, 2.0 kB/s, 40 s left)",
        "images: 40.0 kB (40%, 2.0 kB/s, 30 s left)",
        "images: 60.0 kB (60%, 2.0 kB/s, 20 s left)",
        "images: 80.0 kB (80%, 2.0 kB/s, 10 s left)",
        "images: 100 kB",
        "note: something to know",
    ]


class Told:
    """A task whose news are written down."""

    id, name, server = "TRAI1", "told", "local"

    def __init__(self, *events: Event) -> None:
        self.events = events
        self.details: list[TaskDetail] = []

    def follow(self, cursor: object = None, *, stop: object = None) -> Iterator[Event]:
        return iter(self.events)

    def saw(self, detail: TaskDetail) -> None:
        self.details.append(detail)


def log(text: str) -> Event:
    return Event("TRAI1", "log", text=text)


def state(phase: str, number: int, **more: Any) -> Event:
    return Event("TRAI1", "state", detail=TaskDetail(id="TRAI1", phase=phase, state=number, **more))


def test_a_log_is_printed_as_it_comes(capsys: pytest.CaptureFixture[str]) -> None:
    task: Any = Told(
        state("queued", 0, queue_position=2),
        state("running", 1),
        log("one\ntw"),
        Event("", "trouble", text="no answer since 1 s"),
        Event("", "trouble", text="no answer since 2 s"),
        state("running", 1),
        log("o\n10%\r20%\r"),
        log("\x1b[31m30%\n\x1b]0;title\x07"),
        log('[anylearn-metric] {"loss": 1}\nno end'),
        state("failed", -2, exit=Exit(kind="exit", number=7)),
        Event("TRAI1", "end"),
    )
    LogPrinter(task).print_to_the_end()
    assert capsys.readouterr().out.splitlines() == [
        "[queued, place 2]",
        "[running]",
        "one",
        "[no answer since 1 s]",
        "[the server answers again]",
        "two",
        "30%",
        "[failed with exit code 7]",
        "no end",
    ]
    assert [one.phase for one in task.details] == ["queued", "running", "running", "failed"]


def test_a_bar_that_never_ends_its_line_is_seen_to_move(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(headless, "OPEN_LINE_S", 0.0)
    task: Any = Told(log("10%"), log("\r20%"), log("\r20%"), log("\r100%\n"))
    LogPrinter(task).print_to_the_end()
    assert capsys.readouterr().out.split() == ["10%", "20%", "100%"]


def test_a_task_that_is_gone_is_an_error() -> None:
    task: Any = Told(Event("TRAI1", "gone"))
    with pytest.raises(NotFound, match="TRAI1"):
        LogPrinter(task).print_to_the_end()


def test_what_is_headless() -> None:
    class Kernel:
        def __init__(self, content: dict[str, Any]) -> None:
            self._content = content

        def get_parent(self) -> dict[str, Any]:
            return {"content": self._content}

    for content, expected in (
        ({"allow_stdin": False}, True),
        ({"allow_stdin": True}, False),
        ({}, False),
    ):
        shell: Any = Listening()
        shell.kernel = Kernel(content)
        assert is_headless(shell) is expected
    bare: Any = Listening()
    assert is_headless(bare)
