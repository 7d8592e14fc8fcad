"""Views in a page that takes longer to begin than anywidget waits: two seconds.

A busy machine does that, or a notebook with many cards that is opened. Here the two seconds are
none, so it is so each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from browser.card_page import badge, card, shown_lines
from browser.notebook_page import NotebookPage
from browser.training_scripts import WAITING
from waiting import wait_until

# Two views whose start had been given up said nothing new for ever: measured with this script.
NO_PATIENCE = """
const real = AbortSignal.timeout.bind(AbortSignal);
AbortSignal.timeout = (ms) => real(ms === 2000 ? 0 : ms);
"""
TIMEOUT_MS = 30_000


@pytest.fixture
def notebook(page: Page, open_notebook: Callable[[], NotebookPage]) -> NotebookPage:
    """Open a notebook in a page that gives a view no time to begin."""
    page.add_init_script(NO_PATIENCE)
    opened = open_notebook()
    (opened.path.parent / "waiting.py").write_text(WAITING, encoding="utf-8")
    opened.run(0, "%load_ext anylearn_jupyter")
    return opened


def test_a_card_hears_its_kernel_all_the_same(notebook: NotebookPage, tmp_path: Path) -> None:
    until = tmp_path / "until"
    notebook.run(1, f"%%anylearn_train waiting.py\nuntil={until}")
    expect(badge(card(notebook, 1))).to_have_text("running", timeout=TIMEOUT_MS)
    wait_until(lambda: len(shown_lines(card(notebook, 1))) > 3, 30, "lines")
    until.touch()
    expect(badge(card(notebook, 1))).to_have_text("succeeded", timeout=TIMEOUT_MS)
    wait_until(lambda: shown_lines(card(notebook, 1))[-1:] == ["line last"], 30, "the last line")
    assert notebook.script_errors() == []


def test_a_sweep_and_a_form_hear_it_too(notebook: NotebookPage, tmp_path: Path) -> None:
    until = tmp_path / "until"
    os.mkfifo(until)  # it is there, so each training ends at once
    notebook.run(1, f"%%anylearn_train waiting.py --sweep zip\nuntil in ['{until}', '{until}']")
    table = notebook.cell(1).locator(".anl-sweep")
    ended = table.get_by_role("row").filter(has_text="succeeded")
    expect(ended).to_have_count(2, timeout=TIMEOUT_MS)
    notebook.run(2, "%anylearn_form waiting.py")
    form = notebook.cell(2).locator(".anl-form")
    form.get_by_label("until", exact=True).fill("/somewhere")
    expect(form.locator(".anl-form-cell")).to_contain_text("until = /somewhere", timeout=TIMEOUT_MS)
    assert notebook.script_errors() == []
