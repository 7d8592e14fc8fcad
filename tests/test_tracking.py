"""Metrics from a script: the lines, the published calls, and what must never hurt a training."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anylearn_jupyter import tracking
from anylearn_jupyter.client.connection import current_connection, disconnect
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.tracking import (
    report,
    report_final_metric,
    report_intermediate_metric,
)
from conftest import engine_command
from faulty_server import faulty_server
from waiting import wait_until


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    disconnect()
    yield
    disconnect()
    engine_command("stop", "--tasks", check=False)


class OneElement:
    """Like a tensor of one element."""

    def __float__(self) -> float:
        return 0.25


def test_a_report_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    report(step=3, loss=0.5, accuracy=OneElement())
    report(loss=1)
    report_intermediate_metric(0.75)
    report_final_metric(1)
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("[anylearn-metric] ") for line in lines)
    assert [json.loads(line.partition(" ")[2]) for line in lines] == [
        {"step": 3, "loss": 0.5, "accuracy": 0.25},
        {"loss": 1},
        {"intermediate": 0.75},
        {"final": 1},
    ]


def test_what_is_no_number_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="loss='much' is no number"):
        report(loss="much")
    with pytest.raises(TypeError, match="loss="):
        report(loss=[1, 2])
    assert capsys.readouterr().out == ""


def test_it_is_one_file_of_the_standard_library(tmp_path: Path) -> None:
    source = Path(tracking.__file__).read_text(encoding="utf-8")
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {name.partition(".")[0] for name in imported} <= set(sys.stdlib_module_names)
    (tmp_path / "tracking.py").write_text(source, encoding="utf-8")
    code = "from tracking import report; report(step=1, loss=2)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == '[anylearn-metric] {"step": 1, "loss": 2}\n'


PUBLISHED = """
from anylearn_jupyter.tracking import report_final_metric, report_intermediate_metric

for value in (0.5, 0.7):
    report_intermediate_metric(value)
report_final_metric(0.75)
"""


def test_the_published_calls_reach_the_engine_from_a_task(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text(PUBLISHED, encoding="utf-8")
    task = submit(
        TrainRequest(entrypoint="python train.py", algorithm_dir=project, working_dir=project)
    ).task
    assert task.wait().phase == "succeeded"
    api = current_connection().api
    assert [metric.value for metric in api.intermediate_metrics(task.id)] == [0.5, 0.7]
    assert api.final_metric(task.id) == 0.75
    assert [(point.series, point.value) for point in task.metrics()] == [
        ("intermediate", 0.5), ("intermediate", 0.7), ("final", 0.75),
    ]  # fmt: skip


def run_script(tmp_path: Path, host: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(PUBLISHED, encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(script)],
        env={"ANYLEARN_HOST": host, "task_id": "TRAI1", "secret_key": "TKEY-canary",
             "http_proxy": "http://127.0.0.1:9"},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip


def test_a_server_that_is_away_costs_one_line(tmp_path: Path) -> None:
    done = run_script(tmp_path, "http://127.0.0.1:9")
    assert done.stderr.count("did not reach the server") == 1
    assert "TKEY-canary" not in done.stderr + done.stdout
    assert done.stdout.count("[anylearn-metric]") == 3


def test_a_redirect_is_not_followed_with_the_key(tmp_path: Path) -> None:
    with faulty_server(lambda request, wire: None) as other:
        moved = (
            f"HTTP/1.1 302 Found\r\nLocation: {other.address}/x\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        with faulty_server(lambda request, wire: wire.sendall(moved.encode())) as server:
            run_script(tmp_path, server.address)
            wait_until(lambda: len(server.requests) == 3, 10, "three reports")
        assert other.requests == []
