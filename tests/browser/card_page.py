"""A task's card in a page: where it is, what it shows, and a picture of it."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from playwright.sync_api import Locator

from browser.jupyter_server import LAB
from browser.notebook_page import NotebookPage
from waiting import wait_until

# Read here: the fixture `home` takes every ANYLEARN_ variable out of a test's environment.
DOC_IMAGES = os.environ.get("ANYLEARN_DOC_IMAGES")
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
LINE = re.compile(r"line (\d+)")


def task_of(notebook: NotebookPage, index: int) -> str:
    found = re.search(r"TRAI[0-9a-f]{28}", json.dumps(notebook.outputs(index)))
    assert found is not None
    return found[0]


def card(notebook: NotebookPage, index: int) -> Locator:
    return notebook.cell(index).locator(".anl-card")


def shown_rows(card: Locator) -> list[tuple[int, str]]:
    """The rows of the log that are in the page, with their places, in order."""
    rows: list[list[object]] = card.evaluate(
        "(card) => [...card.querySelectorAll('.anl-line')]"
        ".map((row) => [parseFloat(row.style.top) / 18, row.textContent])"
    )
    return sorted((int(str(place)), str(text)) for place, text in rows)


def shown_lines(card: Locator) -> list[str]:
    """The rows of the log that are in the page, in order."""
    return [text for _, text in shown_rows(card)]


def newest(card: Locator) -> int:
    """The number in the newest line that is shown: 0 before there is one."""
    numbers = [int(found[1]) for line in shown_lines(card) if (found := LINE.fullmatch(line))]
    return numbers[-1] if numbers else 0


def all_lines(card: Locator) -> list[str]:
    """Scroll through the whole log and read every row."""
    lines: dict[int, str] = {}
    log = card.locator(".anl-log")
    height: int = log.evaluate("(log) => log.scrollHeight")
    for top in range(0, height, 150):
        log.evaluate("(log, top) => { log.scrollTop = top; }", top)

        def read() -> bool:
            rows = shown_rows(card)
            lines.update(rows)
            return all(text != "…" for _, text in rows)

        wait_until(read, 10, "the rows in sight")
    assert sorted(lines) == list(range(len(lines)))
    return [lines[number] for number in sorted(lines)]


def picture(notebook: NotebookPage, card: Locator, name: str, *, for_docs: bool = False) -> None:
    """Keep a picture of a card as an artifact of the run.

    One that the documentation shows replaces the picture there, too, if ``ANYLEARN_DOC_IMAGES`` was
    set when the tests began.
    """
    notebook.screenshots.mkdir(parents=True, exist_ok=True)
    path = notebook.screenshots / f"{notebook.server.app}-{name}.png"
    card.screenshot(path=path)
    if for_docs and DOC_IMAGES and notebook.server.app == LAB:
        IMAGES.mkdir(exist_ok=True)
        shutil.copyfile(path, IMAGES / f"{name}.png")


def badge(card: Locator) -> Locator:
    return card.locator(".anl-badge")
