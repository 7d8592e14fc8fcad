"""What axe-core finds wrong with a part of a page, by the rules of WCAG A and AA."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Locator

OPTIONS = {
    "runOnly": {
        "type": "tag",
        "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"],
    },
    "resultTypes": ["violations"],
}


def check_accessibility(part: Locator) -> None:
    """Fail unless what a locator finds keeps the rules, contrast of the present theme included.

    The page has the theme that the test gave it: call this once in each (`NotebookPage.set_theme`).
    """
    part.page.evaluate(AXE_SCRIPT)
    # What was folded or changed a moment ago may still be on its way to its colour.
    part.evaluate("(part) => Promise.all(part.getAnimations({subtree: true})"
                  ".filter((one) => one.effect.getComputedTiming().iterations === 1)"
                  ".map((one) => one.finished))")  # fmt: skip
    results: dict[str, Any] = part.evaluate("(part, options) => axe.run(part, options)", OPTIONS)
    found = [
        f"{rule['id']} ({rule['impact']}): {node['html'][:200]}\n    {node['failureSummary']}"
        for rule in results["violations"]
        for node in rule["nodes"]
    ]
    assert not found, "\n".join(found)
    assert results["passes"], "axe looked at something"
