"""The tutorial is a notebook that runs, by nbclient and by papermill, and without any widget."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from conftest import ROOT, engine_command

TUTORIAL = ROOT / "docs" / "tutorial.ipynb"


@pytest.fixture
def messages(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[dict[str, Any]]]:
    """Record what kernels send to whoever executes a notebook; papermill's client is one, too."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    seen: list[dict[str, Any]] = []
    real = NotebookClient.process_message

    def recorded(self: NotebookClient, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        seen.append(msg)
        return real(self, msg, cell, cell_index)

    monkeypatch.setattr(NotebookClient, "process_message", recorded)
    yield seen
    engine_command("stop", "--tasks", check=False)


def by_nbclient(source: Path, target: Path) -> None:
    notebook = nbformat.read(source, as_version=4)
    client = NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(source.parent)}}
    )
    client.execute()
    nbformat.write(notebook, target)


def by_papermill(source: Path, target: Path) -> None:
    import papermill

    papermill.execute_notebook(
        str(source), str(target), cwd=str(source.parent), progress_bar=False, kernel_name="python3"
    )


@pytest.mark.parametrize("execute", [by_nbclient, by_papermill])
def test_the_tutorial_runs_without_a_widget_and_keeps_its_views(
    execute: Any, messages: list[dict[str, Any]], tmp_path: Path
) -> None:
    source, target = tmp_path / "tutorial.ipynb", tmp_path / "out.ipynb"
    source.write_bytes(TUTORIAL.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # papermill's and the kernel's own
        execute(source, target)
    kinds = {message["msg_type"] for message in messages}
    assert "display_data" in kinds
    assert not {kind for kind in kinds if kind.startswith("comm_")}
    assert "widget" not in json.dumps([message["content"] for message in messages], default=str)
    done = nbformat.read(target, as_version=4)
    assert "widgets" not in done.metadata
    views = [
        output["data"]
        for cell in done.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "display_data"
    ]
    text = "\n".join(view["text/plain"] for view in views)
    for part in (
        "What would be sent",
        "line · succeeded",
        "failed with exit code 1",
        "6 succeeded",
    ):
        assert part in text
    for view in views:
        assert set(view) <= {"text/plain", "text/html"}
        assert "<script" not in view.get("text/html", "")


def test_the_tutorial_is_stored_without_outputs() -> None:
    notebook = json.loads(TUTORIAL.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_tutorials_links_lead_to_pages() -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([\w-]+\.md)\)", text):
        assert (TUTORIAL.parent / link).exists(), link


def test_the_docs_are_built_with_the_executed_tutorial(home: Path) -> None:
    """What `make docs` does, but for the examples, which have tests of their own."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "build_docs.py"), "--no-examples"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "build" / "docs" / "tutorial.html").read_text(encoding="utf-8")
    assert "6 succeeded" in page
    assert "What would be sent" in page
    assert json.loads(TUTORIAL.read_text(encoding="utf-8"))["cells"][1]["outputs"] == []
