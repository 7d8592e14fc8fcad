"""A browser, a server of each application, and for each test a window and a notebook."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from browser.jupyter_server import LAB, NOTEBOOK, JupyterServer, kill_noted
from browser.notebook_page import NotebookPage
from conftest import engine_command

# Read here: the fixture `home` takes every ANYLEARN_ variable out of a test's environment.
CHROMIUM = os.environ.get("ANYLEARN_CHROMIUM") or shutil.which("chromium")
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"
WATCHDOG_S = 240
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--disable-dev-shm-usage",
]
EMPTY_NOTEBOOK = {
    "cells": [],
    "metadata": {
        # With a kernel named, no dialog asks for one.
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    },
    "nbformat": 4,
    "nbformat_minor": 5,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this directory."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Chromium once."""
    if CHROMIUM is None:
        pytest.fail("the browser tests need Chromium; `make test` finds or installs it")
    before = set(psutil.Process().children(recursive=True))
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        noted = [p for p in psutil.Process().children(recursive=True) if p not in before]
        started.close()
    kill_noted(noted)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Give a test a window of its own, and end it when the page hangs.

    An `evaluate` has no time limit. When the time is up the browser's renderers are killed, so that
    the call fails and the test with it.
    """
    made = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    made.set_default_timeout(30_000)
    watchdog = threading.Timer(WATCHDOG_S, _kill_renderers)
    watchdog.daemon = True
    watchdog.start()
    yield made
    watchdog.cancel()
    made.close()


def _kill_renderers() -> None:
    for process in psutil.Process().children(recursive=True):
        try:
            if "--type=renderer" in process.cmdline():
                process.kill()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """Give a test an empty page without a server."""
    return context.new_page()


@pytest.fixture(params=[LAB, NOTEBOOK])
def app(request: pytest.FixtureRequest) -> str:
    """Run a test in JupyterLab and in Notebook 7."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, JupyterServer]]:
    """Hold the server of each application: one takes seconds to start, so the tests share it."""
    running: dict[str, JupyterServer] = {}
    yield running
    for server in running.values():
        server.stop()


@pytest.fixture
def server(
    app: str,
    servers: dict[str, JupyterServer],
    home: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[JupyterServer]:
    """Give a test a server as it was when it started, and kernels in the test's own homes."""
    if app not in servers:
        made = JupyterServer(
            app,
            root=tmp_path_factory.getbasetemp(),
            private=tmp_path_factory.mktemp(app),
            # A kernel without the variables of its test can do nothing in any home.
            variables={"ANYLEARN_HOME": f"{os.devnull}/anylearn-home"},
        )
        made.start()
        servers[app] = made
    own = {"ANYLEARN_HOME": home, "HOME": tmp_path / "user", "IPYTHONDIR": tmp_path / "ipython"}
    (tmp_path / "user").mkdir()
    servers[app].begin_test({name: str(place) for name, place in own.items()})
    yield servers[app]
    # The kernels first, as they would start an engine again in which they follow a task.
    servers[app].end_kernels()
    engine_command("stop", "--tasks", check=False)


@pytest.fixture
def open_notebook(
    page: Page, server: JupyterServer, tmp_path: Path
) -> Iterator[Callable[[], NotebookPage]]:
    """Return a function that opens an empty notebook in a directory of this test's own."""
    work = tmp_path / "work"
    work.mkdir()

    def open_it() -> NotebookPage:
        path = work / "notebook.ipynb"
        path.write_text(json.dumps(EMPTY_NOTEBOOK), encoding="utf-8")
        opened = NotebookPage(page, server, path, SCREENSHOTS)
        opened.open()
        return opened

    yield open_it
    page.goto("about:blank")
