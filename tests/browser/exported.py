"""The HTML export of a saved notebook, opened in a browser without a kernel."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from playwright.sync_api import BrowserContext, Page

from browser.notebook_page import NotebookPage


def open_export(notebook: NotebookPage, context: BrowserContext, name: str) -> Page:
    """Export the notebook as it is saved, open the file, and keep a picture of it.

    The network is cut, since a reader may be offline: what is not in the file is not there.
    """
    saved = nbformat.read(notebook.path, as_version=4)
    html, _ = HTMLExporter().from_notebook_node(saved)
    target = Path(notebook.path).with_name(f"{name}.html")
    target.write_text(html, encoding="utf-8")
    page = context.new_page()
    page.route(lambda url: not url.startswith("file:"), lambda route: route.abort())
    page.goto(target.as_uri(), wait_until="domcontentloaded")
    notebook.screenshots.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=notebook.screenshots / f"{notebook.server.app}-{name}.png", full_page=True)
    return page
