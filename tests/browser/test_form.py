"""The form in JupyterLab and Notebook 7, filled in by keyboard as a person does."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Locator, expect

from browser import card_page
from browser.accessibility import check_accessibility
from browser.exported import open_export
from browser.notebook_page import NotebookPage
from browser.training_scripts import HARMLESS, PAYLOADS
from waiting import wait_until

TIMEOUT_MS = 60_000

SCRIPT = """
import argparse
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("--data", type=Path, required=True, help="the folder of images")
parser.add_argument("--epochs", type=int, default=3, help="passes over the data")
parser.add_argument("--lr", type=float, default=0.1, help="learning rate")
parser.add_argument("--optimizer", choices=["adam", "sgd", "lion"], default="adam")
parser.add_argument("--betas", type=float, nargs=2, metavar="B")
parser.add_argument("--amp", action="store_true", help="mixed precision")
parser.add_argument("--pin", action=argparse.BooleanOptionalAction, default=True)
parser.add_argument("--title", default="<img src=x onerror=alert(1)> $x$")
options = parser.parse_args()
for epoch in range(1, options.epochs + 1): print(f"epoch={epoch}/{options.epochs} loss={1 / epoch}")
print("trained with", options.lr, options.optimizer, options.amp, sorted(options.data.iterdir()))
"""


@pytest.fixture
def notebook(open_notebook: Callable[[], NotebookPage]) -> NotebookPage:
    """Open a notebook beside a training script and data, with the extension loaded."""
    opened = open_notebook()
    work = opened.path.parent
    (work / "train.py").write_text(SCRIPT, encoding="utf-8")
    (work / "digits").mkdir()
    (work / "digits" / "images.csv").write_text("0,1,2\n" * 2_000, encoding="utf-8")
    opened.run(0, "%load_ext anylearn_jupyter")
    return opened


def form(notebook: NotebookPage, index: int) -> Locator:
    return notebook.cell(index).locator(".anl-form")


def cell_of(form: Locator) -> Locator:
    return form.locator(".anl-form-cell")


def type_into(notebook: NotebookPage, form: Locator, label: str, text: str) -> None:
    """Go to a control by its label, as a screen reader does, and type."""
    form.get_by_label(label, exact=True).focus()
    notebook.page.keyboard.press("Control+a")
    notebook.page.keyboard.press("Delete")
    notebook.page.keyboard.insert_text(text)


def picture(notebook: NotebookPage, form: Locator, name: str, *, for_docs: bool = False) -> None:
    """Keep a picture of a whole form as an artifact of the run, and as one of the documentation."""
    size = notebook.page.viewport_size
    assert size is not None
    height = form.evaluate("(form) => form.scrollHeight")
    notebook.page.set_viewport_size({"width": size["width"], "height": height + 400})
    card_page.picture(notebook, form, name, for_docs=for_docs)
    notebook.page.set_viewport_size(size)


def kept_cell(notebook: NotebookPage, index: int) -> str:
    """The text of the twin that a saved notebook has."""
    return str([one["data"]["text/plain"] for one in notebook.outputs(index)])


def test_is_filled_in_by_keyboard_and_trains(
    notebook: NotebookPage, context: BrowserContext
) -> None:
    notebook.page.set_viewport_size({"width": 1280, "height": 1500})
    notebook.run(1, "%anylearn_form train.py")
    shown = form(notebook, 1)
    problems, cell = shown.locator(".anl-form-problems"), cell_of(shown)
    expect(cell).to_have_text("%%anylearn_train train.py", timeout=TIMEOUT_MS)
    expect(problems).to_have_text("Still needed: data.", timeout=TIMEOUT_MS)
    expect(shown).to_contain_text("8 options read from its text")
    expect(shown.get_by_label("Group", exact=True)).to_contain_text("CPU", timeout=TIMEOUT_MS)
    assert not notebook.cell(1).locator("[data-snap]").is_visible()
    picture(notebook, shown, "form-empty")

    # A value that the script would refuse is said below it, and to a screen reader.
    keyboard = notebook.page.keyboard
    type_into(notebook, shown, "epochs", "ten")
    epochs = shown.get_by_label("epochs", exact=True)
    expect(epochs).to_have_attribute("aria-invalid", "true", timeout=TIMEOUT_MS)
    described = epochs.get_attribute("aria-describedby")
    expect(shown.locator(f"[id='{described}']")).to_have_text(
        "train.py would refuse `epochs = ten`: argument --epochs: invalid int value: 'ten'.\n"
        "--epochs EPOCHS  passes over the data"
    )
    picture(notebook, shown, "form-with-a-fault", for_docs=True)
    type_into(notebook, shown, "epochs", "2")
    expect(epochs).to_have_attribute("aria-invalid", "false", timeout=TIMEOUT_MS)

    # From control to control by Tab, and what each one takes by the keys that it knows.
    keyboard.press("Tab")
    keyboard.insert_text("1e-3")
    keyboard.press("Tab")
    keyboard.press("ArrowDown")
    keyboard.press("ArrowDown")
    keyboard.press("Tab")
    keyboard.press("Tab")
    keyboard.press("Space")
    shown.get_by_role("button", name="Add data").focus()
    keyboard.press("Enter")
    expect(shown.get_by_label("Data given as")).to_be_visible()
    type_into(notebook, shown, "Data given as", "data")
    type_into(notebook, shown, "Folder, file or id", "digits")
    wanted = "%%anylearn_train train.py -d data=digits\nepochs = 2\nlr = 1e-3\noptimizer = sgd\namp"
    expect(cell).to_have_text(wanted)
    expect(shown).to_contain_text("1 file, 12.0 kB", timeout=TIMEOUT_MS)
    expect(problems).to_have_text("")

    # The cell, copied by its button.
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown.get_by_role("button", name="Copy cell").focus()
    keyboard.press("Enter")
    expect(shown.locator(".anl-form-said")).to_have_text("Copied")
    assert notebook.page.evaluate("() => navigator.clipboard.readText()") == wanted

    # What would be sent, and then the task.
    shown.get_by_role("button", name="Show what would be sent").focus()
    keyboard.press("Enter")
    expect(shown).to_contain_text("--epochs 2 --lr 1e-3 --optimizer sgd --amp", timeout=TIMEOUT_MS)
    picture(notebook, shown, "form-plan")
    shown.get_by_role("button", name="Train").focus()
    keyboard.press("Enter")
    badge = shown.locator(".anl-card .anl-badge")
    expect(badge).to_have_text("succeeded", timeout=TIMEOUT_MS)
    expect(shown).to_contain_text("already there as DSET", timeout=TIMEOUT_MS)
    expect(problems).to_contain_text("Submitted.")
    picture(notebook, shown, "form-trained")
    wait_until(lambda: "succeeded" in kept_cell(notebook, 1), 30, "the twin of the task")
    assert wanted.replace("\n", "\\n") in kept_cell(notebook, 1)

    # A copied cell is the same task; a reloaded page has the form and the card.
    notebook.run(2, wanted)
    assert "Same as task" in str(notebook.outputs(2))
    notebook.save()
    notebook.reload()
    expect(cell_of(shown)).to_have_text(wanted, timeout=TIMEOUT_MS)
    expect(badge).to_have_text("succeeded", timeout=TIMEOUT_MS)
    type_into(notebook, shown, "epochs", "3")
    expect(cell_of(shown)).to_contain_text("epochs = 3")
    assert notebook.script_errors() == []

    # After a restart it says that it stands still.
    notebook.restart_kernel()
    expect(problems).to_contain_text("The kernel of this form has ended", timeout=TIMEOUT_MS)
    expect(cell_of(shown)).to_contain_text("epochs = 3")

    # Exported, it is the cell and the task.
    saved = open_export(notebook, context, "form")
    expect(saved.locator("[data-snap]").first).to_contain_text("-d data=digits")
    saved.close()


def test_can_be_used_by_everybody(notebook: NotebookPage) -> None:
    """Contrast, names and roles in both themes; and a narrow cell."""
    notebook.page.set_viewport_size({"width": 1280, "height": 1500})
    notebook.run(1, "%%anylearn_train --form train.py -d data=digits -n first\nlr = x\n# kept")
    shown = form(notebook, 1)
    expect(shown.locator(".anl-form-wrong")).to_have_count(1, timeout=TIMEOUT_MS)
    shown.get_by_role("button", name=re.compile("more options")).click()
    expect(shown.get_by_label("require clean")).to_be_visible(timeout=TIMEOUT_MS)
    expect(shown.get_by_label("Group", exact=True)).to_contain_text("CPU", timeout=TIMEOUT_MS)
    expect(shown.get_by_label("Other lines")).to_have_value("# kept")
    for theme in ("light", "dark"):
        notebook.set_theme(theme)
        check_accessibility(shown)
        picture(notebook, shown, f"form-{theme}")
    unnamed = shown.evaluate(
        "(form) => [...form.querySelectorAll('input, select, textarea')]"
        ".filter((one) => !one.labels.length || !one.labels[0].textContent.trim()).length"
    )
    assert unnamed == 0
    notebook.page.set_viewport_size({"width": 720, "height": 1500})
    expect(shown.get_by_label("lr", exact=True)).to_be_visible()
    assert shown.evaluate("(form) => form.scrollWidth <= form.clientWidth")
    picture(notebook, shown, "form-narrow")


def test_a_sweep_is_one_table_below(notebook: NotebookPage) -> None:
    notebook.run(
        1, "%%anylearn_train --form train.py -d data=digits\nepochs = 1\nlr in [0.1, 0.2, 0.3]"
    )
    shown = form(notebook, 1)
    expect(shown.get_by_label("Other lines")).to_have_value("lr in [0.1, 0.2, 0.3]")
    shown.get_by_role("button", name="Train").click()
    expect(shown).to_contain_text("A sweep of 3 trainings is submitted.", timeout=TIMEOUT_MS)
    wait_until(lambda: "3 succeeded" in (shown.text_content() or ""), 90, "the end of all")
    picture(notebook, shown, "form-sweep")


def test_foreign_words_are_words(notebook: NotebookPage, context: BrowserContext) -> None:
    """Markup in a script's help, choices and defaults, in files, and in what is typed."""
    texts = [text for text in PAYLOADS if text.isprintable()]
    (notebook.path.parent / texts[0]).mkdir()
    (notebook.path.parent / "poison.py").write_text(
        "import argparse\np = argparse.ArgumentParser()\n"
        + "".join(
            f"p.add_argument('--o{n}', help={text!r}, default={text!r}, choices=[{text!r}])\n"
            f"p.add_argument('--p{n}', help={text!r}, default={text!r}, type=float)\n"
            for n, text in enumerate(texts)
        )
        + "p.parse_args()\n",
        encoding="utf-8",
    )
    notebook.run(1, "%anylearn_form poison.py")
    shown = form(notebook, 1)
    expect(cell_of(shown)).to_contain_text("poison.py", timeout=TIMEOUT_MS)
    for n, text in enumerate(texts):
        type_into(notebook, shown, f"p{n}", text)
    for label in ("Task name", "Project", "Other lines"):
        type_into(notebook, shown, label, f"# {' '.join(texts)}")
    expect(cell_of(shown)).to_contain_text(texts[1], timeout=TIMEOUT_MS)
    expect(shown.locator(".anl-form-error").first).to_contain_text("would refuse")
    wait_until(lambda: texts[1] in kept_cell(notebook, 1), 30, "the twin")
    assert notebook.page.evaluate(HARMLESS) == []
    notebook.save()
    notebook.reload()
    expect(cell_of(shown)).to_contain_text(texts[1], timeout=TIMEOUT_MS)
    assert notebook.page.evaluate(HARMLESS) == []
    saved = open_export(notebook, context, "form-poison")
    expect(saved.locator("[data-snap]").first).to_contain_text(texts[1])
    assert saved.evaluate(HARMLESS) == []
    saved.close()
