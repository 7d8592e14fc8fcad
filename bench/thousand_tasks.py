"""A table of 1,000 live tasks in JupyterLab: what its updates cost the kernel, and their age.

One sweep of 1,000 trainings on a real engine, of which 40 run at once and tell a metric five times
a second each, so 200 news a second; the others wait. In a real browser: from the kernel's clock
when it sends rows to the page's when they are drawn (one machine, one clock), and the time between
two frames while the table is scrolled from end to end. BENCH_SMALL=1 has 200 trainings.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from browser.conftest import CHROMIUM, EMPTY_NOTEBOOK, FLAGS, SCREENSHOTS
from browser.jupyter_server import LAB, JupyterServer
from browser.notebook_page import NotebookPage
from conftest import engine_command
from waiting import wait_until

SMALL = bool(os.environ.get("BENCH_SMALL"))
TASKS = 200 if SMALL else 1_000
RUNNING = 40
WINDOW_S = 20.0
GOAL_CPU = 5.0
GOAL_UPDATE_MS = 20.0
GOAL_STREAMS = 1

SCRIPT = """
i=0
while [ ! -e "$UNTIL" ]; do
  i=$((i + 1)); echo "[anylearn-metric] {\\"step\\": $i, \\"loss\\": $((i % 7 + $2)).5}"; sleep 0.2
done
"""

# Notes for each drawing of the table how old it then was.
OBSERVE = """
() => {
  const table = document.querySelector('.anl-sweep');
  window.__ages = [];
  new MutationObserver(() => {
    const sent = Number(table.dataset.kernelMs);
    if (sent && sent !== window.__sent) window.__ages.push(Date.now() - sent);
    window.__sent = sent;
  }).observe(table, { attributes: true, attributeFilter: ['data-kernel-ms'] });
}
"""

# Scrolls through all rows in two seconds and notes the time from one frame to the next.
SCROLL = """
() => {
  const grid = document.querySelector('.anl-sweep-grid');
  const end = grid.scrollHeight - grid.clientHeight;
  window.__frames = [];
  window.__rows = 0;
  const begun = performance.now();
  let last = begun;
  const step = (now) => {
    window.__frames.push(now - last);
    last = now;
    grid.scrollTop = (end * (now - begun)) / 2000;
    window.__rows = Math.max(window.__rows, grid.querySelectorAll('.anl-sweep-row').length);
    if (now - begun < 2000) requestAnimationFrame(step);
    else window.__scrolled = true;
  };
  requestAnimationFrame(step);
}
"""


def percentile(values: list[float], share: float) -> float:
    """Give the value below which this share of them lies."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


STREAMS = """
import threading
print(sum(one.name.startswith("anylearn-reader") for one in threading.enumerate()))
"""


def measured(notebook: NotebookPage, kernel: psutil.Process) -> dict[str, Any]:
    """Measure while the tasks run."""
    page: Page = notebook.page
    page.evaluate(OBSERVE)
    before = sum(kernel.cpu_times()[:2])
    begun = time.monotonic()
    page.wait_for_timeout(1000 * WINDOW_S)
    cpu = 100 * (sum(kernel.cpu_times()[:2]) - before) / (time.monotonic() - begun)
    ages: list[float] = page.evaluate("() => window.__ages")
    page.evaluate(SCROLL)
    wait_until(lambda: page.evaluate("() => window.__scrolled"), 30, "a table scrolled to its end")
    frames: list[float] = page.evaluate("() => window.__frames.slice(1)")
    return {
        "cpu": cpu,
        "ages": ages,
        "frames": frames,
        "rows": page.evaluate("() => window.__rows"),
    }


def run(scratch: Path) -> dict[str, Any]:
    """Submit the sweep in a notebook and measure its table."""
    work = scratch / "work"
    work.mkdir()
    (work / "train.sh").write_text(SCRIPT, encoding="utf-8")
    path = work / "notebook.ipynb"
    path.write_text(json.dumps(EMPTY_NOTEBOOK), encoding="utf-8")
    server = JupyterServer(LAB, root=work, private=scratch / "jupyter")
    server.start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            notebook = NotebookPage(page, server, path, SCREENSHOTS)
            notebook.open()
            notebook.run(0, "%load_ext anylearn_jupyter\nimport os\nprint(os.getpid())")
            kernel = psutil.Process(int(notebook.outputs(0)[0]["text"]))
            begun = time.monotonic()
            notebook.run(
                1,
                '%%anylearn_train --entrypoint "sh train.sh" -n many '
                "--quota-group-name default --quota-group-request CPU=0 "
                f"--parallel {RUNNING} --env UNTIL={scratch / 'until'}\n"
                f"n in range({TASKS})",
                timeout_s=300,
            )
            print(f"submitted in                       {time.monotonic() - begun:7.1f} s")
            live = notebook.cell(1).locator(".anl-sweep")
            running = live.locator(".anl-sweep-chip", has_text="running")
            expect(running).to_have_text(f"{RUNNING} running", timeout=120_000)
            live.get_by_role("button", name="Sort by loss, best").click()
            page.wait_for_timeout(3000)
            found = measured(notebook, kernel)
            notebook.run(2, STREAMS)
            found["streams"] = int(notebook.outputs(2)[0]["text"])
            notebook.screenshot("thousand-tasks")
            return found
        finally:
            browser.close()
            server.stop()


def main() -> int:
    """Measure in a home of its own and leave nothing running."""
    scratch = Path(tempfile.mkdtemp(prefix="anylearn-bench-"))
    os.environ["ANYLEARN_HOME"] = str(scratch / "home")
    try:
        found = run(scratch)
    finally:
        (scratch / "until").touch()
        engine_command("stop", "--tasks", check=False)
        shutil.rmtree(scratch, ignore_errors=True)
    ages, frames = found["ages"], found["frames"]
    update = statistics.median(ages)
    print(f"{TASKS} tasks, {RUNNING} of them running")
    print(f"kernel's processor time            {found['cpu']:7.1f} %    (goal: {GOAL_CPU:g} %)")
    print(f"streams from the engine            {found['streams']:7d}      (goal: {GOAL_STREAMS})")
    print(f"an update, p50                     {update:7.1f} ms   (goal: {GOAL_UPDATE_MS:g} ms)")
    print(f"an update, p99                     {percentile(ages, 0.99):7.1f} ms   of {len(ages)}")
    print(f"a frame while it scrolls, p50      {statistics.median(frames):7.1f} ms")
    print(f"a frame while it scrolls, p99      {percentile(frames, 0.99):7.1f} ms")
    print(f"rows in the page, at most          {found['rows']:7d}")
    good = found["cpu"] <= GOAL_CPU and update <= GOAL_UPDATE_MS
    return 0 if good and found["streams"] <= GOAL_STREAMS else 1


if __name__ == "__main__":
    sys.exit(main())
