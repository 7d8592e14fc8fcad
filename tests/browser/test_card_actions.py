"""What one does with a card: read its curves, fetch the results, submit again with other values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from browser.accessibility import check_accessibility
from browser.card_page import badge, card, picture, task_of
from browser.exported import open_export
from browser.notebook_page import NotebookPage
from waiting import wait_until

TIMEOUT_MS = 30_000

SCRIPT = """
import argparse
from pathlib import Path
from anylearn_jupyter.tracking import report
p = argparse.ArgumentParser()
p.add_argument("--lr", type=float)
p.add_argument("--note", default="")
options = p.parse_args()
for step in range(1, 41):
    report(step=step, loss=options.lr * 100 / step, val_loss=options.lr * 130 / step + step % 3 / 9)
Path("output").mkdir(exist_ok=True)
Path("output/model.txt").write_text(str(options.lr))
print("learned with", options.lr)
"""


@pytest.fixture
def notebook(open_notebook: Callable[[], NotebookPage]) -> NotebookPage:
    """Open a notebook in which a task with two curves has succeeded."""
    opened = open_notebook()
    (opened.path.parent / "learn.py").write_text(SCRIPT, encoding="utf-8")
    opened.run(0, "%load_ext anylearn_jupyter")
    opened.run(1, "%%anylearn_train learn.py -n learns\nlr=0.1\nnote='two words'")
    expect(badge(card(opened, 1))).to_have_text("succeeded", timeout=TIMEOUT_MS)
    return opened


def test_curves_are_read_by_mouse_and_by_keyboard(notebook: NotebookPage) -> None:
    live = card(notebook, 1)
    expect(live.locator(".anl-curve")).to_have_count(2)
    plot = live.get_by_role("slider", name="loss by step")
    box = plot.bounding_box()
    assert box is not None
    notebook.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    expect(live.locator(".anl-dot")).to_have_count(2)
    expect(live.locator(".anl-at")).to_have_text(re.compile(r"step (19|20|21|22)"))
    picture(notebook, live, "card-values-at-a-step")
    notebook.page.mouse.move(0, 0)
    expect(live.locator(".anl-dot")).to_have_count(0)

    plot.focus()
    plot.press("Home")
    plot.press("ArrowRight")
    expect(plot).to_have_attribute("aria-valuetext", "step 2: loss 5, val_loss 6.722")
    plot.press("End")
    expect(plot).to_have_attribute("aria-valuenow", "40")
    plot.press("Escape")
    expect(live.locator(".anl-dot")).to_have_count(0)

    legend = live.get_by_role("button", name="val_loss")
    legend.press("Enter")
    expect(legend).to_have_attribute("aria-pressed", "false")
    expect(live.locator(".anl-curve")).to_have_count(1)
    legend.press("Enter")
    log = live.get_by_role("button", name="log scale")
    log.click()
    live.get_by_role("button", name="smooth").click()
    expect(live.locator(".anl-raw")).to_have_count(2)
    expect(log).to_have_attribute("aria-pressed", "true")
    expect(live.locator(".anl-chart")).to_contain_text("step (log scale)")
    live.locator("summary").press("Enter")
    expect(live.locator(".anl-facts")).to_contain_text("lr=0.1 note='two words'")
    check_accessibility(live)
    picture(notebook, live, "card-log-scale")
    assert notebook.script_errors() == []


# What a page without JupyterLab's colours has: those of VS Code, or none at all.
OTHER_PAGE = """
([card, colors, kind]) => {
  for (const name of getComputedStyle(card)) {
    if (name.startsWith('--jp-')) card.style.setProperty(name, 'initial');
  }
  for (const name of ['layout-color1', 'ui-font-color1', 'border-color2', 'ui-font-family',
                      'code-font-family']) card.style.setProperty('--jp-' + name, 'initial');
  document.body.dataset.jpThemeLight = 'true';
  document.body.classList.remove('vscode-dark');
  if (kind) document.body.classList.add(kind);
  for (const [name, value] of Object.entries(colors)) card.style.setProperty(name, value);
}
"""


def test_a_page_without_the_colours_of_jupyterlab_is_readable(notebook: NotebookPage) -> None:
    """VS Code's own variables, dark; then a page that has no colours to give."""
    live = card(notebook, 1)
    dark = {"--vscode-editor-background": "#1e1e1e", "--vscode-foreground": "#cccccc"}
    for colors, kind, ground in (
        (dark, "vscode-dark", "rgb(30, 30, 30)"),
        (dict.fromkeys(dark, "initial"), "", "rgb(255, 255, 255)"),
    ):
        change = f"(card, [colors, kind]) => ({OTHER_PAGE})([card, colors, kind])"
        live.evaluate(change, [colors, kind])
        expect(live).to_have_css("background-color", ground)
        check_accessibility(live)
        picture(notebook, live, f"card-{kind or 'without-theme'}")


def test_results_come_and_a_retry_with_changes_stands_below(
    notebook: NotebookPage, context: BrowserContext
) -> None:
    """All by keyboard; the saved notebook keeps both tasks, and the exported one shows them."""
    live = card(notebook, 1).first
    first = task_of(notebook, 1)
    live.get_by_role("button", name="Results").press("Enter")
    notice = live.locator(".anl-notice")
    expect(notice).to_contain_text("The results are in ", timeout=TIMEOUT_MS)
    path = Path(notice.inner_text().removeprefix("The results are in ").strip())
    assert (path / "model.txt").read_text(encoding="utf-8") == "0.1"

    live.get_by_role("button", name="Retry with changes…").press("Enter")
    form = live.get_by_role("form", name="Submit it again with other values")
    expect(form.get_by_label("note")).to_have_value("two words")
    expect(form.get_by_label("lr")).to_be_focused()
    expect(form).to_contain_text("Nothing is changed yet.")
    form.get_by_label("lr").fill("0.25")
    expect(form).to_contain_text("Changes lr.")
    for theme in ("light", "dark"):
        notebook.set_theme(theme)
        check_accessibility(live)
    notebook.set_theme("light")
    picture(notebook, live, "card-retry-with-changes")
    form.get_by_label("lr").press("Enter")
    expect(form).to_be_hidden()
    expect(live.get_by_role("button", name="Retry with changes…")).to_be_focused()

    below = card(notebook, 1).nth(1)
    expect(badge(below)).to_have_text("succeeded", timeout=TIMEOUT_MS)
    expect(below.locator(".anl-digest")).to_have_text("lr=0.25 note='two words'")
    expect(notice).to_contain_text("Submitted again as ")
    second = below.locator(".anl-id").inner_text()
    assert second != first
    assert card(notebook, 1).count() == 2
    wait_until(lambda: "learned with 0.25" in json.dumps(notebook.outputs(1)), 20, "it in the twin")
    assert first in json.dumps(notebook.outputs(1)[-1])
    assert not notebook.cell(1).locator("[data-snap]").first.is_visible()
    notebook.screenshot("card-retried")

    notebook.save()
    notebook.reload()
    expect(card(notebook, 1)).to_have_count(2, timeout=TIMEOUT_MS)
    expect(badge(card(notebook, 1).nth(1))).to_have_text("succeeded")
    page = open_export(notebook, context, "retried")
    expect(page.locator("[data-snap]")).to_have_count(2)
    assert notebook.script_errors() == []


def test_a_retry_that_is_refused_says_why(notebook: NotebookPage) -> None:
    (notebook.path.parent / "learn.py").unlink()
    live = card(notebook, 1)
    live.get_by_role("button", name="Retry", exact=True).click()
    expect(live.locator(".anl-notice")).to_contain_text(
        "It could not be submitted again: ", timeout=TIMEOUT_MS
    )
    assert card(notebook, 1).count() == 1
