"""F4 for what the card shows beside the log: causes, file names, what a server says, forms.

The log, names, parameters and metrics have `test_card.py::test_poison_stays_text`.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect

from browser.card_page import card, picture
from browser.exported import open_export
from browser.notebook_page import NotebookPage
from browser.training_scripts import HARMLESS, PAYLOADS
from faulty_server import Request, faulty_server, reply
from waiting import wait_until

TIMEOUT_MS = 30_000
TASK = "TRAI" + "7" * 28
SAID = (
    '<img src="canary-server" onerror="window.canary=40"> $\\href{javascript:window.canary=41}{x}$'
)
FILE = "<img src=canary-file onerror=window.canary=42>.py"
FOLDER = "<svg onload=window.canary=43>"

FAILING = f"""
import sys
def poison():
    error = "<img src=canary-error onerror=window.canary=44>"
    raise RuntimeError(error + {PAYLOADS!r}[int(sys.argv[-1])])
poison()
"""


def answer(request: Request, wire: socket.socket) -> None:
    """A server whose every word is poison, and which fails at the task's log."""
    if request.path.endswith("train_task/query"):
        record = {"id": TASK, "name": SAID, "state": 1, "phase": "running", "entrypoint": SAID}
        wire.sendall(reply([record | {"algorithm_git_ref": SAID, "output": SAID}]))
    elif request.path.endswith("user/me"):
        wire.sendall(reply({"id": "USER1", "username": SAID}))
    else:
        wire.sendall(reply({"msg": SAID}, 500))


def prepare(directory: Path) -> None:
    (directory / FILE).write_text(FAILING, encoding="utf-8")
    (directory / FOLDER).mkdir()
    (directory / FOLDER / FILE).write_text("x", encoding="utf-8")


def assert_shown_as_text(notebook: NotebookPage, page: Page, failed: str, lost: str) -> None:
    """What is poison is there to be read, and is nothing else."""
    expect(page.locator(failed).first).to_contain_text(
        "<img src=canary-error onerror=window.canary=44>", timeout=TIMEOUT_MS
    )
    expect(page.locator(lost).last).to_contain_text(SAID[:50], timeout=TIMEOUT_MS)
    assert page.evaluate(HARMLESS) == []


def test_nothing_that_a_card_shows_runs(
    open_notebook: Callable[[], NotebookPage], context: BrowserContext
) -> None:
    notebook = open_notebook()
    prepare(notebook.path.parent)
    notebook.run(0, "%load_ext anylearn_jupyter")
    notebook.run(
        1,
        f"%%anylearn_train --entrypoint \"python '{FILE}'\" -n '<b>canary</b>' -d 'data={FOLDER}'\n"
        "note='<script>window.canary=45</script>'\n-- 1",
    )
    live = card(notebook, 1)
    expect(live.locator(".anl-cause")).to_contain_text("canary-error", timeout=TIMEOUT_MS)
    expect(live.locator(".anl-cause-place")).to_contain_text("<img src=canary-file")
    live.locator("summary").click()
    expect(live.locator(".anl-facts")).to_contain_text(FOLDER)
    live.get_by_role("button", name="Retry with changes…").click()
    expect(live.get_by_role("form").locator("input").first).to_have_value(
        "<script>window.canary=45</script>"
    )
    (notebook.path.parent / FILE).unlink()
    wait_until(lambda: "canary-error" in json.dumps(notebook.outputs(1)), 20, "the twin")
    with faulty_server(answer) as server:
        notebook.run(
            2,
            "import os\n"
            f"os.environ |= {{'ANYLEARN_HOST': {server.address!r}, 'ANYLEARN_AUTH_TOKEN': 't'}}\n"
            f"%anylearn_resume {TASK}",
        )
        other = card(notebook, 2)
        expect(other.locator(".anl-notice")).to_contain_text(SAID[:50], timeout=TIMEOUT_MS)
        expect(other.locator(".anl-title")).to_contain_text(SAID[:50])
        wait_until(lambda: "answered" in json.dumps(notebook.outputs(2)), 20, "its twin")
    assert_shown_as_text(notebook, notebook.page, ".anl-card", ".anl-card")
    picture(notebook, live, "card-poison-cause")
    picture(notebook, other, "card-poison-server")

    notebook.save()
    notebook.reload()
    assert_shown_as_text(notebook, notebook.page, ".anl-card", ".anl-card")

    page = open_export(notebook, context, "poison-cause")
    assert_shown_as_text(notebook, page, "[data-snap]", "[data-snap]")
    page.close()

    # Without its kernel's widgets, opened again.
    notebook.restart_kernel()
    notebook.save()
    notebook.reload()
    assert_shown_as_text(notebook, notebook.page, "[data-snap]", "[data-snap]")
    assert notebook.script_errors() == []
