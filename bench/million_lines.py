"""A task's log of one million lines, opened by a kernel that knows nothing of it.

The page's clock, in the page: from running the cell until the log's last line is in sight, and from
moving the scroll bar until every row in sight has its line. The kernel's memory before the card and
after all of that. BENCH_SMALL=1 has 100,000 lines.
"""

from __future__ import annotations

import random
import statistics
import sys
from typing import Any

from in_browser import SMALL, Limits, Opened, home, notebook_in_browser
from playwright.sync_api import expect

LINES = 100_000 if SMALL else 1_000_000
JUMPS = 30
LIMIT_S = 150.0
TALK = """
import sys
last = int(sys.argv[1])
for first in range(1, last, 1_000):
    sys.stdout.write("".join(
        f"2026-01-01 12:00:00,000 INFO trainer: line {n:07d}, all is well and goes on so\\n"
        for n in range(first, min(first + 1_000, last + 1))))
"""
SHOW = "from anylearn_jupyter.notebook.card import show_task\nshow_task(find_task({name!r}))"

# The rows in sight of the log of a cell, from top to bottom.
ROWS = """
window.__rows = (cell) => {
  const log = document.querySelectorAll('.jp-Notebook .jp-Cell')[cell].querySelector('.anl-log');
  if (!log) return [];
  const box = log.getBoundingClientRect();
  return [...log.querySelectorAll('.anl-line')]
    .map((row) => ({ place: row.getBoundingClientRect(), text: row.textContent }))
    .filter(({ place }) => place.top >= box.top - 1 && place.bottom <= box.bottom + 1)
    .sort((a, b) => a.place.top - b.place.top).map(({ text }) => text);
};
window.__until = (key, fits) => {
  window[key] = null;
  const begun = performance.now();
  const look = () => {
    if (fits()) window[key] = performance.now() - begun;
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
};
"""
OPEN = """
([cell, source, last]) => {
  window.__until('__opened', () => (window.__rows(cell).pop() || '').includes(last));
  window.__test.run(cell, source);
}
"""
JUMP = """
([cell, share]) => {
  const log = document.querySelectorAll('.jp-Notebook .jp-Cell')[cell].querySelector('.anl-log');
  const before = window.__rows(cell)[0];
  log.scrollTop = share * (log.scrollHeight - log.clientHeight);
  window.__until('__jumped', () => {
    const rows = window.__rows(cell);
    return rows.length > 5 && rows[0] !== before && !rows.includes('…');
  });
}
"""


def waited(opened: Opened, key: str) -> float:
    """Wait until the page has noted a time, and give it in milliseconds."""
    opened.notebook.page.wait_for_function(f"() => window.{key} !== null", timeout=60_000)
    return float(opened.evaluate(f"() => window.{key}"))


def measured(opened: Opened) -> dict[str, Any]:
    """Open the log, and go through it."""
    notebook = opened.notebook
    opened.evaluate(f"() => {{ {ROWS} }}")
    notebook.run(3, "from anylearn_jupyter.submit.tasks import find_task")
    # What every first card costs, whatever its log: imports, and the page's module.
    notebook.run(4, SHOW.format(name="small"))
    expect(notebook.cell(4).locator(".anl-log")).to_contain_text("line 0000010")
    notebook.show(5)
    rss = opened.rss_mb()
    opened.evaluate(OPEN, [5, SHOW.format(name="large"), f"line {LINES:07d}"])
    found: dict[str, Any] = {"opened": waited(opened, "__opened")}
    bar = notebook.cell(5).locator(".anl-logbar")
    opened.evaluate("() => { window.__until('__read', () => document.querySelectorAll("
                    "'.jp-Notebook .jp-Cell')[5].querySelector('.anl-logbar').textContent"
                    f".includes('{LINES:,} lines')); }}")  # fmt: skip
    found["read"] = waited(opened, "__read") + found["opened"]
    chance = random.Random(1)
    jumps = []
    for _ in range(JUMPS):
        opened.evaluate(JUMP, [5, chance.random()])
        jumps.append(waited(opened, "__jumped"))
    found["jumps"] = jumps
    bar.get_by_role("searchbox").fill(f"line {LINES // 3:07d}")
    opened.evaluate(
        "(line) => window.__until('__found', () => window.__rows(5).some((r) => r.includes(line)))",
        f"line {LINES // 3:07d}",
    )
    found["searched"] = waited(opened, "__found")
    found["rss"] = opened.rss_mb() - rss
    notebook.screenshot("million-lines")
    return found


def main() -> int:
    """Print the measurements and whether the goals are met."""
    limits = Limits()
    with home() as scratch, notebook_in_browser(scratch, {"talk.py": TALK}, LIMIT_S) as opened:
        notebook = opened.notebook
        for cell, (name, lines) in enumerate({"small": 10, "large": LINES}.items(), 1):
            notebook.run(cell, f"%%anylearn_train talk.py -n {name}\n-- {lines}")
            badge = notebook.cell(cell).locator(".anl-badge")
            expect(badge).to_have_text("succeeded", timeout=60_000)
        notebook.restart_kernel()
        notebook.run(0, "%load_ext anylearn_jupyter\nimport os\nprint(os.getpid())")
        opened.renewed(int(notebook.outputs(0)[0]["text"]))
        found = measured(opened)
    print(f"{LINES:,} lines; all of it read after {found['read'] / 1000:.1f} s")
    limits.at_most("the card opens at the end", found["opened"], 500, "ms")
    limits.at_most("a jump anywhere, median", statistics.median(found["jumps"]), 300, "ms")
    limits.at_most("a jump anywhere, slowest", max(found["jumps"]), 300, "ms")
    limits.at_most("kernel memory added", found["rss"], 30, "MB")
    print(f"  a search through all of it, typing pause included: {found['searched'] / 1000:.1f} s")
    return limits.end()


if __name__ == "__main__":
    sys.exit(main())
