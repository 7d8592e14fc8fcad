"""What is another thing on a server that offers nothing but the published API."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from anylearn_jupyter.client import follow
from anylearn_jupyter.client.connection import connect, current_connection, disconnect
from anylearn_jupyter.errors import TaskFailed
from anylearn_jupyter.notebook import line_store, log_anchors
from anylearn_jupyter.notebook.headless import watch_to_the_end
from anylearn_jupyter.notebook.log_reader import LogReader
from anylearn_jupyter.notebook.task_view import TaskView
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.task import TrainTask
from engine_home import EngineHome
from plain_gateway import PASSWORD, USER

LINES = 2500
SCRIPT = f"""
import sys, time
for number in range({LINES}):
    print("line", number)
    if number == 100:
        print()
        sys.stdout.flush()
        time.sleep(0.5)
if sys.argv[1] == "fail":
    raise ValueError("no good")
"""


@pytest.fixture(autouse=True)
def connected(shared_gateway: EngineHome, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Log in, as to any server."""
    monkeypatch.setattr(follow, "POLL_S", 0.1)
    disconnect()
    connect(shared_gateway.address, username=USER, password=PASSWORD)
    yield
    disconnect()


def trained(tmp_path: Path, what: str) -> TrainTask:
    code = tmp_path / "code"
    code.mkdir(exist_ok=True)
    (code / "go.py").write_text(SCRIPT, encoding="utf-8")
    return submit(TrainRequest(entrypoint=f"python go.py {what}", algorithm_dir=code)).task


def test_nothing_is_announced(shared_gateway: EngineHome) -> None:
    connection = current_connection()
    assert connection.api.features == frozenset()
    assert connection.git_auth() is not None
    assert PASSWORD not in repr(connection)


def test_a_task_is_followed_to_its_end_from_any_place(tmp_path: Path) -> None:
    task = trained(tmp_path, "end")
    expected = "".join(f"line {number}\n" for number in range(LINES))

    first, cursor = "", follow.START
    for event in follow.follow(task.connection, {task.id: cursor}, stop=threading.Event()):
        first += event.text if event.kind == "log" else ""
        cursor = event.cursor
        if "line 50\n" in first:
            break
    rest, kinds = "", set()
    for event in follow.follow(task.connection, {task.id: cursor}, stop=threading.Event()):
        rest += event.text if event.kind == "log" else ""
        kinds.add(event.kind)

    assert first + rest == expected
    assert kinds == {"state", "log", "end"}


def test_any_line_is_read_again_by_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_store, "HELD_LINES", 100)
    monkeypatch.setattr(line_store, "_BLOCK_LINES", 100)
    monkeypatch.setattr(log_anchors, "SPACING", 5_000)
    task = trained(tmp_path, "end")
    view = TaskView(task.detail)
    for event in follow.follow(task.connection, {task.id: follow.START}, stop=threading.Event()):
        view.take(event)
    reader = LogReader(task, view)
    lines = [f"line {number}" for number in range(LINES)]

    assert view.line_total == LINES
    assert view.held_from > 2_000
    for first, end in ((0, 3), (999, 1_003), (1_500, 2_400), (2_450, 2_500)):
        part = reader.lines(first, end, 10**6)
        assert (part.first, part.held) == (first, 0)
        assert part.lines == lines[first:end]
    found = reader.find("LINE 99", stderr=False, start=0, go_on=lambda number: True)
    assert found is not None
    assert found.numbers == [99, *range(990, 1_000)]
    data, cursor, size = reader.chunk(None)
    assert data.decode().splitlines() == lines
    assert size is None
    assert reader.chunk(cursor)[0] == b""
    preview = reader.preview()
    assert preview is not None
    assert list(preview.lines) == lines[-1_000:]
    fresh = TaskView(task.detail)
    fresh.begin_preview(preview)
    assert fresh.preview == (preview, None)
    view.begin_preview(preview)
    assert view.preview is None


def test_a_failure_shows_the_last_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = trained(tmp_path, "fail")

    with pytest.raises(TaskFailed, match="failed") as caught:
        watch_to_the_end(task)

    assert caught.value.task_id == task.id
    printed = capsys.readouterr().out
    assert f"line {LINES - 1}\n" in printed
    assert "ValueError: no good" in printed


def test_a_later_kernel_has_the_login_but_no_password_so_code_travels_as_an_archive(
    shared_gateway: EngineHome, tmp_path: Path
) -> None:
    disconnect()
    connect(shared_gateway.address)
    assert current_connection().git_auth() is None

    task = trained(tmp_path, "end")

    assert task.wait().phase == "succeeded"
    algorithms = list((shared_gateway.home.engine / "git").glob("*/*.git"))
    assert any("archive" in (path / "HEAD").read_text(encoding="ascii") for path in algorithms)
