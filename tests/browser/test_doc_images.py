"""The pictures of docs/cards.md, made of real tasks; ``ANYLEARN_DOC_IMAGES=1`` renews them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from browser.accessibility import check_accessibility
from browser.card_page import badge, card, picture
from browser.jupyter_server import LAB
from browser.notebook_page import NotebookPage

TIMEOUT_MS = 30_000

TRAIN = """
import argparse
import math
import time

from anylearn_jupyter.tracking import report

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--batch-size", type=int, default=32)
options = parser.parse_args()


def step(epoch):
    loss = 2.3 / (1 + epoch * min(options.lr, 0.3) * 6)
    if options.lr > 1 and epoch > 3:
        raise ValueError("the loss is not a number; is the learning rate too high?")
    return loss + 0.02 * math.sin(epoch * 2)


print("1,437 images to learn from, 360 to test with")
for epoch in range(1, 7):
    loss = step(epoch)
    report(step=epoch, loss=loss, val_loss=loss * 1.15 + 0.05, accuracy=1 - loss / 3.2)
    print(f"epoch {epoch}/{options.epochs}  loss {loss:.3f}", flush=True)
    time.sleep(0.2)
time.sleep(600)
"""


@pytest.mark.parametrize("app", [LAB], indirect=True)
def test_pictures_of_the_card(open_notebook: Callable[[], NotebookPage]) -> None:
    notebook = open_notebook()
    (notebook.path.parent / "train.py").write_text(TRAIN, encoding="utf-8")
    notebook.run(0, "%load_ext anylearn_jupyter")
    notebook.run(1, "%%anylearn_train train.py -n digits\nlr = 0.1\nepochs = 15\nbatch-size = 32")
    running = card(notebook, 1)
    expect(running.locator(".anl-progress")).to_contain_text("(6 of 15)", timeout=TIMEOUT_MS)
    expect(running.locator(".anl-curve")).to_have_count(3)
    check_accessibility(running)
    picture(notebook, running, "card-of-a-running-task", for_docs=True)

    notebook.run(2, "%%anylearn_train train.py -n digits\nlr = 5\nepochs = 15\nbatch-size = 32")
    failed = card(notebook, 2)
    expect(badge(failed)).to_have_text("failed with exit code 1", timeout=TIMEOUT_MS)
    expect(failed.locator(".anl-cause-place")).to_contain_text("train.py, line 18, in step")
    notebook.page.set_viewport_size({"width": 1280, "height": 1400})
    failed.scroll_into_view_if_needed()
    # The log names directories of this machine.
    failed.locator(".anl-logpanel").evaluate("(panel) => { panel.style.display = 'none'; }")
    picture(notebook, failed, "card-of-a-failed-task", for_docs=True)
    failed.get_by_role("button", name="Retry with changes…").click()
    form = failed.get_by_role("form")
    form.get_by_label("lr").fill("0.2")
    picture(notebook, form, "card-retry-form", for_docs=True)
