"""The record of a task, and what differs between two: exactly that."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.errors import NotFound
from anylearn_jupyter.home import Home
from anylearn_jupyter.notebook.record_view import comparison_rows, record_rows, show
from anylearn_jupyter.submit.code_diff import FileDifference
from anylearn_jupyter.submit.compare import Difference
from anylearn_jupyter.submit.kept_snapshots import store_of
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.tasks import recent_tasks
from engine_home import of_the_engine, shared_engine

__all__ = ["of_the_engine", "shared_engine"]

pytestmark = pytest.mark.usefixtures("of_the_engine")

SCRIPT = """import sys
one = 1
two = 2
if "--code" in sys.argv:
    sys.exit(int(sys.argv[sys.argv.index("--code") + 1]))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    (directory / "numbers").mkdir(parents=True)
    (directory / "train.py").write_text(SCRIPT, encoding="utf-8")
    (directory / "old.py").write_text("1\n2\n3\n", encoding="utf-8")
    (directory / "picture.bin").write_bytes(b"\0\1\2")
    (directory / "numbers" / "a.txt").write_text("1\n", encoding="utf-8")
    return directory


def request_of(project: Path, **more: Any) -> TrainRequest:
    request = TrainRequest(
        entrypoint="python train.py",
        algorithm_dir=project,
        data=(DataInput("data", path=project / "numbers"),),
        hyperparams=(("lr", 0.1), ("amp", "")),
        project_name=project.parent.name,
        working_dir=project,
    )
    return replace(request, **more)


def trained(request: TrainRequest) -> TrainTask:
    task = submit(request).task
    task.wait(60)
    return task


def test_nothing_differs_between_a_task_and_its_repetition(project: Path) -> None:
    first = trained(request_of(project))
    again = trained(request_of(project, task_name="again", task_description="words"))

    found = first.compare(again)
    assert found.differences == ()
    assert found.files == ()
    assert found.same_digest


def test_each_difference_is_listed_and_nothing_else(project: Path) -> None:
    first = trained(request_of(project))
    (project / "numbers" / "a.txt").write_text("2\n", encoding="utf-8")
    second = trained(
        request_of(
            project,
            hyperparams=(("lr", 0.2), ("code", 3)),
            env=(("WORD", "a b"),),
            quota_group="default",
            quota_request=(("CPU", 1),),
            nproc_per_node=1,
            output="out",
        )
    )

    found = first.compare(second)
    assert not found.same_digest
    assert found.files == ()
    by_name = {(one.kind, one.name): one for one in found.differences}
    data = by_name.pop(("data", "data"))
    assert (data.first or "").startswith("fp1:")
    assert (data.second or "").startswith("fp1:")
    assert set(by_name.values()) == {
        Difference("value", "lr", "0.1", "0.2"),
        Difference("value", "amp", "given", None),
        Difference("value", "code", None, "3"),
        Difference("variable", "WORD", None, "a b"),
        Difference("setting", "resource group", None, "default"),
        Difference("setting", "output", None, "out"),
        Difference("resource", "CPU", None, "1"),
        Difference("outcome", "outcome", "succeeded", "failed with exit code 3"),
    }


def test_code_differs_by_file_and_line(project: Path) -> None:
    first = trained(request_of(project))
    (project / "train.py").write_text(SCRIPT.replace("one = 1", "one = 3\nnew"), encoding="utf-8")
    (project / "old.py").unlink()
    (project / "new.py").write_text("1\n2\n", encoding="utf-8")
    (project / "picture.bin").write_bytes(b"\0\1\3")
    second = submit(request_of(project)).task

    found = first.compare(second)
    assert [(one.kind, one.name) for one in found.differences][:1] == [("code", "snapshot")]
    assert found.files == (
        FileDifference("new.py", "added", 2, 0),
        FileDifference("old.py", "removed", 0, 3),
        FileDifference("picture.bin", "changed"),
        FileDifference("train.py", "changed", 2, 1),
    )
    rows = list(comparison_rows(found))
    assert ("file train.py", "", "+2 -1 lines") in rows
    assert ("file old.py", "3 lines", "—") in rows
    assert ("file new.py", "—", "+2 lines") in rows
    assert ("file picture.bin", "", "changed") in rows


def test_code_of_two_directories_is_compared_by_its_files(project: Path, tmp_path: Path) -> None:
    first = submit(request_of(project)).task
    other = tmp_path / "other"
    shutil.copytree(project, other)
    shutil.rmtree(other / "numbers")
    (other / "old.py").write_text("1\n2\n3\n4\n", encoding="utf-8")
    second = submit(request_of(project, algorithm_dir=other)).task

    assert first.compare(second).files == (FileDifference("old.py", "changed", 1, 0),)


def test_a_snapshot_that_is_gone_is_said(project: Path) -> None:
    first = submit(request_of(project)).task
    (project / "new.py").write_text("1\n", encoding="utf-8")
    second = submit(request_of(project)).task
    shutil.rmtree(store_of(project, Home()).git_dir)

    found = first.compare(second)
    assert found.files is None
    assert ("files", "not kept here any more", "not kept here any more") in comparison_rows(found)


def test_a_task_from_elsewhere_cannot_be_compared(project: Path) -> None:
    first = submit(request_of(project)).task
    with pytest.raises(NotFound, match="was not submitted from this machine"):
        first.compare(TrainTask("TRAI" + "1" * 28))


def test_the_record_tells_what_was_sent(project: Path) -> None:
    task = trained(request_of(project, env=(("A", "<b>"),)))
    rows = {label: "\n".join(lines) for label, lines in record_rows(task)}

    assert rows["state"] == "succeeded"
    assert "took" in rows["times"]
    assert rows["values"] == "lr = 0.1\namp"
    assert "fp1:" in rows["data"]
    assert rows["environment"] == "QUICKSTART\nA=<b>"
    assert rows["digest"] == task.record.digest
    assert rows["directory"] == str(project)
    assert task.record.secret_key
    assert task.record.secret_key not in str(rows)


def test_how_a_task_ended_is_known_without_asking(project: Path) -> None:
    task = trained(request_of(project, hyperparams=(("code", 7),)))
    (known,) = [one for one in recent_tasks() if one.id == task.id]

    assert known.detail.exit == task.detail.exit
    assert known.detail.finished_ms == task.detail.finished_ms
    assert known.record.profile["request"] == task.record.profile["request"]


class _Shell:
    """What a magic shows into."""

    def __init__(self) -> None:
        self.user_ns: dict[str, object] = {}
        self.display_pub = self
        self.shown: list[dict[str, str]] = []

    def publish(self, data: dict[str, str], **_: object) -> None:
        self.shown.append(data)


def test_show_is_text_and_html_without_markup_of_others(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell: Any = _Shell()
    first = trained(request_of(project, task_name="<i>first"))
    second = trained(request_of(project, hyperparams=(("lr", "'<script>'"), ("amp", ""))))
    shell.user_ns = {"a": first, "b": second}
    show(shell, ["a"])
    show(shell, ["a", "b"])
    show(shell, ["a", "a"])

    record, table = shell.shown
    assert "Task <i>first" in record["text/plain"]
    assert "<i>" not in record["text/html"]
    lines = table["text/plain"].splitlines()
    assert lines[0].split("  ")[0] == "what differs"
    assert [line.split("  ")[0] for line in lines[1:]] == ["value lr"]
    assert "<script>" in lines[1]
    assert "<script>" not in table["text/html"]
    assert "digest equal: " in capsys.readouterr().out
