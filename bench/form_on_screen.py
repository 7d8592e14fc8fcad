"""How long it takes until the form of a long script is on the screen, in JupyterLab.

The script is that of `bench/parser_reading.py`: 2,000 lines, some 300 options. In a real browser,
by its clock: from the moment that the cell `%anylearn_form train.py` is run to the first frame that
has the cell and the first 24 options, each with what it takes. The kernel has loaded the extension
and has shown nothing yet, so that the libraries of the widgets are imported in that time, too.
Median of `ROUNDS` kernels; beside it what the kernel computed, as other work on the machine is in
the time and not in that.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import psutil
from parser_reading import script_text
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from browser.conftest import CHROMIUM, EMPTY_NOTEBOOK, FLAGS, SCREENSHOTS
from browser.jupyter_server import LAB, JupyterServer
from browser.notebook_page import NotebookPage
from conftest import engine_command
from waiting import wait_until

GOAL_MS = 1_000.0
ROUNDS = 5
OPTIONS = 24

# Runs the cell, and notes when a frame has been drawn with all of it.
SHOW = """
(options) => {
  window.__took = null;
  const begun = performance.now();
  const look = () => {
    const form = document.querySelector('.anl-form');
    const hints = form?.querySelectorAll('.anl-form-values .anl-form-hint:not(:empty)').length || 0;
    const cell = form?.querySelector('.anl-form-cell')?.textContent;
    const done = hints >= options && cell;
    requestAnimationFrame(done ? () => (window.__took = performance.now() - begun) : look);
  };
  window.__test.run(1, '%anylearn_form train.py');
  requestAnimationFrame(look);
}
"""


def measured(notebook: NotebookPage) -> tuple[float, float]:
    """Show the form in a new kernel: milliseconds on the page, and of the kernel's processor."""
    notebook.restart_kernel()
    notebook.run(0, "%load_ext anylearn_jupyter\nimport os\nprint(os.getpid())")
    notebook.run(1, "pass")
    kernel = psutil.Process(int(notebook.outputs(0)[0]["text"]))
    before = sum(kernel.cpu_times()[:2])
    notebook.page.evaluate(SHOW, OPTIONS)
    wait_until(lambda: notebook.page.evaluate("() => window.__took"), 60, "the form")
    cpu_s = sum(kernel.cpu_times()[:2]) - before
    return float(notebook.page.evaluate("() => window.__took")), cpu_s * 1000


def rounds(work: Path) -> list[tuple[float, float]]:
    """Measure in kernel after kernel of one notebook."""
    (work / "train.py").write_text(script_text(), encoding="utf-8")
    path = work / "notebook.ipynb"
    path.write_text(json.dumps(EMPTY_NOTEBOOK), encoding="utf-8")
    server = JupyterServer(LAB, root=work, private=work / "jupyter")
    server.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            notebook = NotebookPage(page, server, path, SCREENSHOTS)
            notebook.open()
            found = [measured(notebook) for _ in range(ROUNDS)]
            browser.close()
    finally:
        server.stop()
    return found


def main() -> int:
    """Print the measurements and whether the goal is met."""
    scratch = Path(tempfile.mkdtemp(prefix="anylearn-bench-"))
    os.environ["ANYLEARN_HOME"] = str(scratch / "home")
    work = scratch / "work"
    work.mkdir()
    try:
        found = rounds(work)
    finally:
        engine_command("stop", "--tasks", check=False)
        shutil.rmtree(scratch, ignore_errors=True)
    took = statistics.median(one[0] for one in found)
    cpu = statistics.median(one[1] for one in found)
    listed = ", ".join(f"{one[0]:.0f}" for one in found)
    print(f"the form of a script of 2,000 lines, {ROUNDS} new kernels: {listed} ms")
    print(f"  on the screen, median   {took:7.0f} ms; goal {GOAL_MS:.0f} ms")
    print(f"  kernel's processor      {cpu:7.0f} ms")
    return 0 if took < GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
