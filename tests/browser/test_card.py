"""The live card and its twin in JupyterLab and Notebook 7, as a person meets them.

Each test submits with `%%anylearn_train` and drives the page; the task waits for a file that the
test makes, so nothing here depends on how fast a machine is.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from browser.accessibility import check_accessibility
from browser.card_page import all_lines, badge, card, newest, picture, shown_lines, task_of
from browser.exported import open_export
from browser.notebook_page import NotebookPage
from browser.training_scripts import HARMLESS, PAYLOADS, POISON, WAITING
from waiting import wait_until

TIMEOUT_MS = 30_000

LONG = """
import sys, time
from pathlib import Path
for number in range(1, 30_001): print(f"line {number}")
for epoch in range(1, 6): print(f"epoch={epoch}/20 loss={1 / epoch}")
print("waiting", end="", flush=True)
until = Path(sys.argv[2])
while not until.exists(): time.sleep(0.05)
print(" no more")
"""

FAILING = """
import argparse, sys, time
from anylearn_jupyter.tracking import report
p = argparse.ArgumentParser()
for name in ("--lr", "--epochs", "--data"): p.add_argument(name)
p.parse_args()
print("\\033[1;34m==>\\033[0m reading 1,797 images of \\033[36m8x8\\033[0m pixels")
for done in range(0, 101, 4):
    print(f"\\rpreparing {done:3d}%|{'#' * (done // 4):25}| {done}/100 [00:01<00:00]", end="")
print()
for epoch in range(1, 5):
    report(step=epoch, loss=2.2 / epoch, val_loss=2.5 / epoch ** 0.7, accuracy=1 - 0.6 / epoch)
    print(f"\\033[32mepoch {epoch}/4\\033[0m  loss \\033[1m{2.2 / epoch:.3f}\\033[0m")
print("\\033[33mwarning:\\033[0m the learning rate is high", file=sys.stderr, flush=True)
raise ValueError("the loss is not a number")
"""


@pytest.fixture
def notebook(open_notebook: Callable[[], NotebookPage], tmp_path: Path) -> NotebookPage:
    """Open a notebook beside a training script, with the extension loaded."""
    opened = open_notebook()
    (opened.path.parent / "waiting.py").write_text(WAITING, encoding="utf-8")
    (opened.path.parent / "digits").mkdir()
    (opened.path.parent / "digits" / "images.csv").write_text("0,1,2\n" * 2_000, encoding="utf-8")
    (opened.path.parent / "poison.py").write_text(POISON, encoding="utf-8")
    opened.run(0, "%load_ext anylearn_jupyter")
    return opened


def train(notebook: NotebookPage, index: int, until: Path, options: str = "") -> str:
    """Submit the script that waits, and give the task's id."""
    notebook.run(index, f"%%anylearn_train waiting.py -n waits {options}\nuntil={until}")
    return task_of(notebook, index)


def test_lives_while_a_cell_runs_and_survives_restart_and_reload(
    notebook: NotebookPage, context: BrowserContext, tmp_path: Path
) -> None:
    """The third point of the main job: live, restarted, reloaded, exported."""
    until = tmp_path / "until"
    task = train(notebook, 1, until)
    live = card(notebook, 1)
    wait_until(lambda: newest(live) > 3, 30, "the first lines")

    # Live while another cell is busy.
    notebook.start(2, "import time\nwhile not __import__('os').path.exists('go'): time.sleep(0.05)")
    wait_until(lambda: notebook.state() == "busy", 10, "a busy kernel")
    before = newest(live)
    wait_until(lambda: newest(live) > before + 20, 30, "more lines while the cell runs")
    assert notebook.state() == "busy"
    expect(badge(live)).to_have_text("running")
    assert not notebook.cell(1).locator("[data-snap]").is_visible()
    (notebook.path.parent / "go").touch()
    notebook.wait_ran(2)
    wait_until(lambda: live.locator(".anl-curve").count() == 1, 30, "the curve")
    picture(notebook, live, "card-running")

    # Saved in the middle: it says as of when and how to go on.
    wait_until(lambda: "line 1" in str(notebook.outputs(1)), 30, "lines in the twin")
    notebook.save()
    middle = open_export(notebook, context, "saved-in-the-middle")
    expect(middle.locator("[data-snap]")).to_contain_text(
        re.compile(rf"as of \d\d:\d\d .*%anylearn_resume {task} shows now")
    )
    expect(middle.locator("[data-snap]")).to_contain_text("running")
    middle.close()

    # Restart the kernel, and resume: the same log without a gap or a repeat.
    before = newest(live)
    notebook.restart_kernel()
    notebook.run(3, "%load_ext anylearn_jupyter\n%anylearn_resume")
    resumed = card(notebook, 3)
    wait_until(lambda: newest(resumed) > before + 20, 30, "the log to go on")
    expect(live.locator(".anl-stop")).to_be_disabled()
    expect(live.locator(".anl-notice")).to_contain_text(f"%anylearn_resume {task}")
    lines = [line for line in all_lines(resumed) if line]
    assert lines[:before] == [f"line {number}" for number in range(1, before + 1)]
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]

    # Reload the page: the card is back and goes on.
    notebook.save()
    notebook.reload()
    wait_until(lambda: newest(resumed) > len(lines), 30, "the card after a reload")
    before = newest(resumed)
    wait_until(lambda: newest(resumed) > before + 5, 30, "news after a reload")
    expect(badge(resumed)).to_have_text("running")
    assert resumed.locator(".anl-curve").count() == 1

    # The end; and an export of the notebook in which it was resumed last.
    notebook.run(4, "%anylearn_resume -o tasks")
    until.touch()
    final = card(notebook, 4)
    expect(badge(final)).to_have_text("succeeded", timeout=TIMEOUT_MS)
    wait_until(lambda: shown_lines(final)[-1:] == ["line last"], 20, "the last line")
    assert final.locator(".anl-line span").last.evaluate("(e) => e.style.color") != ""
    wait_until(lambda: "succeeded" in str(notebook.outputs(4)), 20, "the twin's last version")
    picture(notebook, final, "card-succeeded")
    notebook.save()
    page = open_export(notebook, context, "after-the-resume")
    twin = page.locator("[data-snap]").last
    expect(twin).to_contain_text("succeeded")
    expect(twin).to_contain_text("line last")
    assert twin.get_by_role("img").evaluate_all(
        "(all) => all.map((one) => one.naturalWidth > 0)"
    ) == [True]
    assert not re.search(r"as of \d\d:\d\d", twin.inner_text())
    assert page.locator("[data-snap] script").count() == 0
    assert notebook.script_errors() == []


def test_stop_asks_once_more_and_stops_while_a_cell_runs(
    notebook: NotebookPage, tmp_path: Path
) -> None:
    train(notebook, 1, tmp_path / "until")
    live = card(notebook, 1)
    wait_until(lambda: newest(live) > 0, 30, "the first line")
    notebook.start(2, "import time\nwhile not __import__('os').path.exists('go'): time.sleep(0.05)")
    wait_until(lambda: notebook.state() == "busy", 10, "a busy kernel")
    stop = live.locator(".anl-stop")
    stop.focus()
    stop.press("Enter")
    expect(stop).to_have_text("Really stop?")
    picture(notebook, live, "card-really-stop")
    stop.press("Enter")
    expect(badge(live)).to_have_text("stopped", timeout=TIMEOUT_MS)
    assert not notebook.page.evaluate("() => window.__test.ran[2]"), "the cell still runs"
    assert not stop.is_visible()
    (notebook.path.parent / "go").touch()
    notebook.wait_ran(2)
    picture(notebook, live, "card-stopped")


def test_two_cells_show_one_task_and_the_twin_stays_in_its_own(
    notebook: NotebookPage, tmp_path: Path
) -> None:
    """F8: what a background thread writes never lands in a stranger's cell."""
    until = tmp_path / "until"
    task = train(notebook, 1, until)
    notebook.run(2, f"%anylearn_resume {task}")
    notebook.run(
        3, "print('a stranger')\nfor _ in range(30): print('x'); __import__('time').sleep(0.1)"
    )
    wait_until(lambda: newest(card(notebook, 2)) > 5, 30, "lines in the second card")
    until.touch()
    notebook.run(4, "%%capture kept\nfor _ in range(30): print('x'); __import__('time').sleep(0.1)")
    for index in (1, 2):
        expect(badge(card(notebook, index))).to_have_text("succeeded", timeout=TIMEOUT_MS)
        wait_until(
            lambda index=index: "line last" in str(notebook.outputs(index)), 20, "its twin's end"
        )
    assert all(output["output_type"] == "stream" for output in notebook.outputs(3))
    assert notebook.outputs(4) == []
    notebook.run(5, "print(len(kept.outputs))")
    assert notebook.outputs(5)[0]["text"] == "0\n"


def test_poison_stays_text(notebook: NotebookPage, context: BrowserContext) -> None:
    """F4: live, reloaded, exported and opened again, nothing of it is more than text."""
    note = "<img src=canary-param onerror=window.canary=20>"
    notebook.run(1, f"%%anylearn_train poison.py -n '<b>canary</b>'\nnote={note!r}")
    live = card(notebook, 1)
    expect(badge(live)).to_have_text("succeeded", timeout=TIMEOUT_MS)
    wait_until(lambda: "the poison is out" in shown_lines(live), 20, "the whole log")
    assert "<script>window.canary=2</script>" in all_lines(live)
    expect(live.locator(".anl-title")).to_have_text("<b>canary</b>")
    expect(live.locator(".anl-legend")).to_contain_text("canary-series")
    wait_until(lambda: "the poison is out" in str(notebook.outputs(1)), 20, "the twin")
    assert notebook.page.evaluate(HARMLESS) == []
    picture(notebook, live, "card-poison")

    notebook.save()
    notebook.reload()
    wait_until(lambda: "the poison is out" in shown_lines(live), 20, "the card after a reload")
    assert notebook.page.evaluate(HARMLESS) == []

    page = open_export(notebook, context, "poison")
    expect(page.locator("[data-snap]")).to_contain_text(PAYLOADS[1])
    assert page.evaluate(HARMLESS) == []
    page.close()

    # Without its kernel's widgets, opened again: the twin speaks.
    notebook.restart_kernel()
    notebook.save()
    notebook.reload()
    expect(notebook.cell(1).locator("[data-snap]")).to_contain_text(
        "the poison is out", timeout=TIMEOUT_MS
    )
    assert notebook.page.evaluate(HARMLESS) == []
    notebook.screenshot("poison-without-kernel")


def test_a_failure_shows_its_cause_and_reads_well_in_the_dark(
    notebook: NotebookPage, context: BrowserContext
) -> None:
    (notebook.path.parent / "failing.py").write_text(FAILING, encoding="utf-8")
    notebook.run(1, "%%anylearn_train failing.py -n fails -d data=digits\nlr=1e-3\nepochs=4")
    live = card(notebook, 1)
    expect(badge(live)).to_have_text("failed with exit code 1", timeout=TIMEOUT_MS)
    expect(live.locator(".anl-cause")).to_contain_text("ValueError: the loss is not a number")
    expect(live.locator(".anl-cause")).to_contain_text("Traceback (most recent call last)")
    wait_until(lambda: live.locator(".anl-chart").count() == 2, 20, "two charts")
    assert live.locator(".anl-curve").count() == 3
    assert "100%" in "".join(shown_lines(live))
    assert sum("%|" in line for line in all_lines(live)) == 1, "a bar is one line"
    live.locator(".anl-log").evaluate("(log) => { log.scrollTop = log.scrollHeight; }")
    picture(notebook, live, "card-failed-light")
    check_accessibility(live)
    notebook.set_theme("dark")
    check_accessibility(live)
    picture(notebook, live, "card-failed-dark")
    wait_until(lambda: "ValueError" in str(notebook.outputs(1)), 20, "the twin")
    notebook.page.set_viewport_size({"width": 690, "height": 900})
    check_accessibility(live)
    picture(notebook, live, "card-failed-narrow")
    assert live.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    notebook.save()
    open_export(notebook, context, "failed")


def test_a_long_log_is_fetched_as_one_scrolls(notebook: NotebookPage, tmp_path: Path) -> None:
    """The page has the rows in sight and little more; progress, follow and copy are at hand."""
    (notebook.path.parent / "long.py").write_text(LONG, encoding="utf-8")
    until = tmp_path / "until"
    notebook.run(1, f"%%anylearn_train long.py\nuntil={until}")
    live = card(notebook, 1)
    wait_until(lambda: shown_lines(live)[-1:] == ["waiting"], 60, "the open line")
    expect(live.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "25")
    expect(live.locator(".anl-progress")).to_contain_text(
        re.compile(r"25 % \(5 of 20\)(, .+(a second|each))?, about ")
    )
    expect(live.locator(".anl-logbar")).to_contain_text("Log, 30,006 lines")
    picture(notebook, live, "card-progress")
    notebook.save()
    notebook.reload()
    wait_until(lambda: shown_lines(live)[-1:] == ["waiting"], 60, "the card after a reload")
    log, follow = live.locator(".anl-log"), live.get_by_role("button", name="Follow")
    assert live.locator(".anl-line").count() < 60
    expect(follow).to_have_attribute("aria-pressed", "true")
    for number in (1, 15_000, 27_123):
        log.evaluate("(log, top) => { log.scrollTop = top; }", (number - 1) * 18)
        wait_until(lambda n=number: f"line {n}" in shown_lines(live), 20, f"line {number}")
        wait_until(lambda: "…" not in shown_lines(live), 20, "no row without its line")
        expect(follow).to_have_attribute("aria-pressed", "false")
    until.touch()
    expect(badge(live)).to_have_text("succeeded", timeout=TIMEOUT_MS)
    assert "line 27123" in shown_lines(live), "one reads on where one was"
    log.focus()
    log.press("End")
    wait_until(lambda: shown_lines(live)[-1:] == ["waiting no more"], 20, "the last line")
    notebook.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    live.get_by_role("button", name="Copy ID").click()
    expect(live.get_by_role("button", name="Copied")).to_be_visible()
    assert notebook.page.evaluate("() => navigator.clipboard.readText()") == task_of(notebook, 1)
    assert notebook.script_errors() == []


def test_a_kernel_that_does_not_answer_a_stop_is_called_busy(
    notebook: NotebookPage, tmp_path: Path
) -> None:
    task = train(notebook, 1, tmp_path / "until")
    live = card(notebook, 1)
    notebook.run(2, "import os; print(os.getpid())")
    kernel = int(notebook.outputs(2)[0]["text"])
    wait_until(lambda: newest(live) > 0, 30, "the first line")
    os.kill(kernel, signal.SIGSTOP)
    try:
        stop = live.locator(".anl-stop")
        stop.click()
        stop.click()
        expect(live.locator(".anl-notice")).to_contain_text("The kernel is busy")
        expect(live.locator(".anl-notice")).to_contain_text(f"%anylearn_stop {task}")
        expect(stop).to_be_disabled()
        picture(notebook, live, "card-kernel-busy")
    finally:
        os.kill(kernel, signal.SIGCONT)
    expect(badge(live)).to_have_text("stopped", timeout=TIMEOUT_MS)
    expect(live.locator(".anl-notice")).to_be_hidden()
