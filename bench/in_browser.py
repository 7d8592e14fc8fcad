"""A notebook in a real browser for the measurements of the views, with a kernel to look at.

Not a benchmark itself. Everything is in directories of its own that are removed afterwards, with
the engine and its tasks; the browser is ended when a page hangs, as a page's script has no time
limit.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from browser.conftest import CHROMIUM, EMPTY_NOTEBOOK, FLAGS, SCREENSHOTS
from browser.jupyter_server import LAB, JupyterServer, kill_noted
from browser.notebook_page import NotebookPage
from conftest import engine_command

SMALL = bool(os.environ.get("BENCH_SMALL"))

# The page's clock, finer than Date.now() and of the same origin as the kernel's on one machine.
PAGE_CLOCK = "window.__now = () => performance.timeOrigin + performance.now();"


@dataclass
class Opened:
    """An open notebook.

    Attributes
    ----------
    notebook : NotebookPage
        Its cell 0 has loaded the extension.
    kernel : psutil.Process
        Its kernel.
    work : Path
        Its directory.
    """

    notebook: NotebookPage
    kernel: psutil.Process
    work: Path

    def renewed(self, pid: int) -> None:
        """Look at another kernel from now on."""
        self.kernel = psutil.Process(pid)

    def cpu_s(self) -> float:
        """Give the processor time that the kernel has taken."""
        return float(sum(self.kernel.cpu_times()[:2]))

    def rss_mb(self) -> float:
        """Give the kernel's memory."""
        return float(self.kernel.memory_info().rss) / 1e6

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """Run a script in the page."""
        return self.notebook.page.evaluate(script, argument)

    def heap_mb(self) -> float:
        """Give the memory of the page's scripts after a garbage collection."""
        session = self.notebook.page.context.new_cdp_session(self.notebook.page)
        session.send("HeapProfiler.collectGarbage")
        used = session.send("Runtime.getHeapUsage")["usedSize"]
        session.detach()
        return float(used) / 1e6


@contextmanager
def home() -> Iterator[Path]:
    """Give a directory of its own to measure in; the engine's home is in it."""
    scratch = Path(tempfile.mkdtemp(prefix="anylearn-bench-"))
    os.environ["ANYLEARN_HOME"] = str(scratch / "home")
    try:
        yield scratch
    finally:
        engine_command("stop", "--tasks", check=False)
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def notebook_in_browser(scratch: Path, files: dict[str, str], limit_s: float) -> Iterator[Opened]:
    """Open a notebook beside some files; the browser is killed when the time is up."""
    work = Path(tempfile.mkdtemp(dir=scratch))
    for name, text in files.items():
        (work / name).write_text(text, encoding="utf-8")
    path = work / "notebook.ipynb"
    path.write_text(json.dumps(EMPTY_NOTEBOOK), encoding="utf-8")
    server = JupyterServer(LAB, root=work, private=work / "jupyter")
    server.start()
    with sync_playwright() as playwright:
        before = set(psutil.Process().children(recursive=True))
        browser: Browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        noted = [one for one in psutil.Process().children(recursive=True) if one not in before]
        watchdog = threading.Timer(limit_s, kill_noted, ([*noted],))
        watchdog.start()
        try:
            page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
            notebook = NotebookPage(page, server, path, SCREENSHOTS)
            notebook.open()
            notebook.run(0, "%load_ext anylearn_jupyter\nimport os\nprint(os.getpid())")
            kernel = psutil.Process(int(notebook.outputs(0)[0]["text"]))
            notebook.page.evaluate(f"() => {{ {PAGE_CLOCK} }}")
            yield Opened(notebook, kernel, work)
        finally:
            watchdog.cancel()
            browser.close()
            server.stop()


def percentile(values: list[float], share: float) -> float:
    """Give the value below which this share of them lies."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


class Limits:
    """Figures and what they may be at most."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def at_most(self, what: str, found: float, goal: float, unit: str) -> None:
        """Print a figure, and note it if it is too large."""
        good = found < goal
        print(f"  {what:<52} {found:8,.1f} {unit:<10} under {goal:,g}: {'yes' if good else 'NO'}")
        if not good:
            self.missed.append(what)

    def end(self) -> int:
        """Give the exit code; a small run proves nothing, so there it is 0."""
        if self.missed:
            print(f"missed: {'; '.join(self.missed)}")
        return 1 if self.missed and not SMALL else 0
