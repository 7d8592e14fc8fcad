"""One notebook open in a real browser, driven through the application's own objects.

`expose_app_in_browser` puts the application on `window.jupyterapp`, which is the same in JupyterLab
and Notebook 7; so no class name of theirs is needed to run a cell or to read what it put out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from browser.jupyter_server import JupyterServer
from waiting import wait_until

# Installed anew after each load of the page. Nothing here awaits a cell: an `evaluate` has no time
# limit, so the test asks again and again instead.
_HELPERS = """
() => {
  const ours = (window.__test = { ran: {}, errors: [] });
  window.addEventListener('error', (event) => ours.errors.push(String(event.message)));
  ours.panel = () => {
    for (const widget of window.jupyterapp.shell.widgets('main')) {
      if (widget.content && widget.content.activeCell !== undefined && widget.context) {
        return widget;
      }
    }
    return null;
  };
  ours.state = () => {
    const panel = ours.panel();
    if (!panel || !panel.context.isReady || !panel.sessionContext.isReady) return 'loading';
    if (!panel.isVisible) return 'hidden';
    const kernel = panel.sessionContext.session && panel.sessionContext.session.kernel;
    if (!kernel) return 'no kernel';
    if (kernel.connectionStatus !== 'connected') return kernel.connectionStatus;
    return kernel.status;
  };
  ours.cell = (index) => ours.panel().content.widgets[index];
  ours.run = (index, source) => {
    const panel = ours.panel();
    const shared = panel.context.model.sharedModel;
    while (shared.cells.length <= index) {
      shared.insertCell(shared.cells.length, { cell_type: 'code', source: '' });
    }
    shared.getCell(index).setSource(source);
    panel.content.activeCellIndex = index;
    panel.content.deselectAll();
    ours.ran[index] = false;
    window.jupyterapp.commands.execute('notebook:run-cell').then(
      () => (ours.ran[index] = true),
      (error) => ours.errors.push(String(error)),
    );
  };
  ours.outputs = (index) => ours.panel().context.model.sharedModel.getCell(index).getOutputs();
  ours.save = () => {
    ours.saved = false;
    ours.panel().context.save().then(() => (ours.saved = true));
  };
}
"""


class NotebookPage:
    """A notebook of a server in a page of a browser."""

    def __init__(self, page: Page, server: JupyterServer, path: Path, screenshots: Path) -> None:
        self.page = page
        self.server = server
        self.path = path
        self.screenshots = screenshots
        page.on("dialog", lambda dialog: dialog.accept())

    def open(self) -> None:
        """Open the notebook and wait until its kernel is idle."""
        self.page.goto(self.server.url(self.path.relative_to(self.server.root).as_posix()))
        self._wait_ready()

    def reload(self) -> None:
        """Load the page again, as a person does with F5."""
        self.page.reload()
        self._wait_ready()

    def _wait_ready(self) -> None:
        self.page.wait_for_function("() => window.jupyterapp !== undefined", timeout=60_000)
        self.page.evaluate(_HELPERS)
        wait_until(lambda: self.state() in ("idle", "busy"), 60, "a connected kernel")
        self.page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")

    def state(self) -> str:
        """Say what the kernel does: idle, busy, or why there is none."""
        return str(self.page.evaluate("() => window.__test.state()"))

    def start(self, index: int, source: str) -> None:
        """Run a cell, made if need be, and do not wait for it."""
        self.page.evaluate("([i, s]) => window.__test.run(i, s)", [index, source])

    def run(self, index: int, source: str, *, timeout_s: float = 60) -> None:
        """Run a cell and wait for its end; its error, if any, fails the test."""
        self.start(index, source)
        self.wait_ran(index, timeout_s=timeout_s)
        for output in self.outputs(index):
            if output["output_type"] == "error":
                raise AssertionError(f"cell {index}: {output['ename']}: {output['evalue']}")

    def wait_ran(self, index: int, *, timeout_s: float = 60) -> None:
        """Wait until a started cell has ended."""
        done = "(i) => window.__test.ran[i]"
        wait_until(lambda: self.page.evaluate(done, index), timeout_s, f"the end of cell {index}")

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """Read a cell's outputs from the notebook's model."""
        found: list[dict[str, Any]] = self.page.evaluate("(i) => window.__test.outputs(i)", index)
        return found

    def cell(self, index: int) -> Locator:
        """Find a cell in the page."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def show(self, index: int) -> None:
        """Scroll to a cell: one outside the view may not be laid out."""
        self.page.evaluate(
            "(i) => { const p = window.__test.panel(); p.content.activeCellIndex = i;"
            " p.content.scrollToItem(i); }",
            index,
        )

    def set_theme(self, theme: str) -> None:
        """Choose the ``light`` or the ``dark`` theme."""
        self.page.evaluate(
            "(theme) => {"
            " window.jupyterapp.commands.execute('apputils:change-theme', { theme }); }",
            f"JupyterLab {theme.capitalize()}",
        )
        light = "true" if theme == "light" else "false"
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", light)
        self.page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")

    def restart_kernel(self) -> None:
        """Choose Restart Kernel and accept the question."""
        self.page.evaluate(
            "() => { window.jupyterapp.commands.execute('notebook:restart-kernel'); }"
        )
        self.page.locator(".jp-Dialog .jp-mod-accept").click(timeout=10_000)
        wait_until(lambda: self.state() == "idle", 60, "a restarted kernel")

    def save(self) -> dict[str, Any]:
        """Save the notebook and return what the file holds."""
        self.page.evaluate("() => window.__test.save()")
        wait_until(lambda: self.page.evaluate("() => window.__test.saved"), 20, "a saved notebook")
        saved: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return saved

    def script_errors(self) -> list[str]:
        """What the page's scripts threw and nobody caught."""
        found: list[str] = self.page.evaluate("() => window.__test.errors")
        return found

    def screenshot(self, name: str) -> Path:
        """Keep a picture of the page as an artifact of the run."""
        self.screenshots.mkdir(parents=True, exist_ok=True)
        path = self.screenshots / f"{self.server.app}-{name}.png"
        self.page.screenshot(path=path)
        return path
