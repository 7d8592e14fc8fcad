"""A plan and completion by Tab in JupyterLab and Notebook 7, live, reopened and exported."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Locator, expect

from browser.accessibility import check_accessibility
from browser.exported import open_export
from browser.notebook_page import NotebookPage
from browser.training_scripts import HARMLESS

SCRIPT = """
import argparse
import helper
parser = argparse.ArgumentParser()
parser.add_argument("--learning-rate", type=float)
parser.add_argument("--images")
parser.parse_args()
"""
POISON = '<img src="canary-image" onerror="window.canary=1">'


@pytest.fixture
def notebook(open_notebook: Callable[[], NotebookPage]) -> NotebookPage:
    """Open a notebook in a project that has something of everything that a plan tells."""
    opened = open_notebook()
    work = opened.path.parent
    for name, text in {
        "train.py": SCRIPT,
        "helper.py": "RATE = 0.1\n",
        "settings/base.json": "{}" * 2_000,
        ".gitignore": "*.log\nhelper.py\n",
        "old.log": "x",
        "images/one.bin": "x" * 4_000,
        POISON.replace("/", "") + ".txt": "x",
    }.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(text, encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=work, check=True)
    opened.run(0, "%load_ext anylearn_jupyter")
    return opened


def plan_in(notebook: NotebookPage) -> Locator:
    return notebook.cell(1).locator(".jp-RenderedHTMLCommon").last


def test_a_plan_is_read_in_any_theme_and_is_no_markup(
    notebook: NotebookPage, context: BrowserContext
) -> None:
    notebook.page.set_viewport_size({"width": 1280, "height": 1200})
    notebook.run(
        1,
        f"%%anylearn_train train.py -d images=images -n plan --env NOTE='{POISON}' --plan\n"
        "learning-rate = 0.1",
    )
    shown = plan_in(notebook)
    for part in (
        "What would be sent",
        "starts at once",
        "train.py imports helper, which does not travel",
        "ignored by git: *.log (.gitignore line 1)",
        "at most 4.0 kB of data",
        POISON,
    ):
        expect(shown).to_contain_text(part, timeout=20_000)
    for theme in ("dark", "light"):
        notebook.set_theme(theme)
        check_accessibility(shown)
        notebook.screenshot(f"plan-{theme}")
    shown.get_by_text("All ").click()
    expect(shown.get_by_text("base.json")).to_be_visible()
    assert notebook.page.evaluate(HARMLESS) == []

    saved = open_export(notebook, context, "plan") if notebook.save() else None
    assert saved is not None
    expect(saved.get_by_text("What would be sent")).to_be_visible()
    assert saved.evaluate("() => window.canary === undefined")
    saved.close()
    notebook.reload()
    expect(plan_in(notebook)).to_contain_text("starts at once")
    assert notebook.page.evaluate(HARMLESS) == []


@pytest.mark.parametrize(
    ("cell", "offered"),
    [
        ("%%anylearn_train train.py --require-c", "--require-clean"),
        ("%%anylearn_train train.py\nlear", "learning-rate = "),
    ],
)
def test_tab_writes_what_is_meant(notebook: NotebookPage, cell: str, offered: str) -> None:
    editor = notebook.cell(0).locator(".cm-content")
    editor.click()
    keyboard = notebook.page.keyboard
    keyboard.press("Control+a")
    keyboard.insert_text(cell)
    keyboard.press("Tab")
    names = notebook.page.locator(".jp-Completer")
    expect(names).to_contain_text(offered.strip(), timeout=20_000)
    notebook.screenshot("tab")
    keyboard.press("Enter")
    expect(editor).to_contain_text(offered.strip())
