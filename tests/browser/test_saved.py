"""What a person meets who saves early, opens somebody else's notebook, or reloads the extension."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from browser.notebook_page import NotebookPage
from browser.training_scripts import WAITING
from waiting import wait_until

SOON_S = 6
"""Seconds in which the twin has the first lines; an old one is written each ten."""


@pytest.fixture
def notebook(open_notebook: Callable[[], NotebookPage], tmp_path: Path) -> NotebookPage:
    """Open a notebook in which a task runs and writes lines, until the test makes a file."""
    opened = open_notebook()
    (opened.path.parent / "waiting.py").write_text(WAITING, encoding="utf-8")
    opened.run(0, "%load_ext anylearn_jupyter")
    opened.run(1, f"%%anylearn_train waiting.py -n waits\nuntil = {tmp_path / 'until'}")
    expect(card(opened).locator(".anl-badge")).to_have_text("running", timeout=30_000)
    return opened


def card(notebook: NotebookPage) -> Locator:
    return notebook.cell(1).locator(".anl-card")


def twin_text(notebook: NotebookPage) -> str:
    return "".join(notebook.outputs(1)[-1]["data"]["text/plain"])


def test_a_notebook_that_is_saved_soon_has_lines_and_curve_also_untrusted(
    notebook: NotebookPage,
) -> None:
    wait_until(lambda: "metrics" in twin_text(notebook), SOON_S, "a twin with lines and metrics")
    saved = notebook.save()
    # A file from elsewhere, whose outputs the page does not trust.
    for cell in saved["cells"]:
        cell["metadata"].pop("trusted", None)
        cell["source"] = f"# from elsewhere\n{''.join(cell['source'])}"
    notebook.path = notebook.path.with_name("foreign.ipynb")
    notebook.path.write_text(json.dumps(saved), encoding="utf-8")
    notebook.open()
    twin = notebook.cell(1).locator(".jp-OutputArea-output").last
    expect(twin).to_contain_text("line 1")
    curve = twin.get_by_role("img", name="loss by step")
    expect(curve).to_be_visible()
    assert curve.evaluate("(one) => one.naturalWidth") > 0
    assert "step" not in twin.inner_text()  # the words of the drawing are no heap beside it
    notebook.screenshot("untrusted")


def test_the_log_shows_whole_lines(notebook: NotebookPage) -> None:
    log = card(notebook).locator(".anl-log")
    wait_until(
        lambda: log.evaluate("(log) => log.scrollHeight > log.clientHeight"), 30, "a long log"
    )
    assert log.evaluate("(log) => [log.clientHeight % 18, log.scrollTop % 18]") == [0, 0]


def test_a_card_says_that_it_stands_still_after_an_unload(notebook: NotebookPage) -> None:
    notebook.run(2, "%unload_ext anylearn_jupyter")
    expect(card(notebook).locator(".anl-notice")).to_contain_text("stands still")
    notebook.run(3, "%load_ext anylearn_jupyter\n%anylearn_resume")
    expect(notebook.cell(3).locator(".anl-badge")).to_have_text("running")


def test_a_deleted_cell_takes_its_views_along_and_leaves_the_task(
    notebook: NotebookPage, tmp_path: Path
) -> None:
    """F8: what comes afterwards lands in no other cell, and the kernel goes on."""
    notebook.run(2, "print('a stranger')")
    notebook.page.evaluate("() => window.__test.panel().context.model.sharedModel.deleteCell(1)")
    expect(notebook.page.locator(".anl-card")).to_have_count(0)
    (tmp_path / "until").touch()
    notebook.run(
        2, "from anylearn_jupyter.submit.tasks import find_task\nprint(find_task('last').wait(60))"
    )
    assert [output["text"] for output in notebook.outputs(1)] == ["a stranger\n"]
    assert [output["output_type"] for output in notebook.outputs(2)] == ["stream"]
    assert notebook.script_errors() == []
