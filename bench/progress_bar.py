"""100,000 updates of a tqdm bar in a task: messages to the page, and what the notebook keeps of it.

The bar is written anew at each update, as `mininterval=0` has it; beside it a twentieth of that
in a cell of the notebook. BENCH_SMALL=1 makes 10,000 updates.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from in_browser import SMALL, Limits, Opened, home, notebook_in_browser
from playwright.sync_api import expect

UPDATES = 10_000 if SMALL else 100_000
LIMIT_S = 150.0
IN_CELL_UPDATES = UPDATES // 20  # all of them stop the page for minutes
SCRIPT = """
from tqdm import tqdm
for _ in tqdm(range({updates}), mininterval=0, miniters=1): pass
"""

# Counts what the kernel sends to pages.
COUNT = """
session, sent = get_ipython().kernel.session, []
def count(socket, message, *rest, _send=session.send, **more):
    kind = message if isinstance(message, str) else message["header"]["msg_type"]
    if kind in ("comm_msg", "stream", "display_data", "update_display_data"): sent.append(kind)
    return _send(socket, message, *rest, **more)
session.send = count
"""


def saved_bytes(opened: Opened) -> int:
    """Save the notebook and give the size of its file."""
    opened.notebook.save()
    return int(opened.notebook.path.stat().st_size)


def sent(opened: Opened) -> int:
    """Give how many messages there were, and begin to count anew."""
    opened.notebook.run(3, "print(len(sent)); sent.clear()")
    return int(opened.notebook.outputs(3)[0]["text"])


def of_task(opened: Opened) -> dict[str, Any]:
    """Show the bar of a task in its card."""
    notebook = opened.notebook
    notebook.run(2, COUNT)
    before = saved_bytes(opened)
    sent(opened)
    begun = time.monotonic()
    notebook.run(1, "%%anylearn_train bar.py -n bar")
    live = notebook.cell(1).locator(".anl-card")
    expect(live.locator(".anl-badge")).to_have_text("succeeded", timeout=100_000)
    took = time.monotonic() - begun
    messages = sent(opened)
    expect(live.locator(".anl-log-sheet")).to_contain_text(f"{UPDATES}/{UPDATES}")
    assert live.locator(".anl-line").count() == 1, "a bar is one line"
    return {"rate": messages / took, "grown": (saved_bytes(opened) - before) / 1e3, "took": took}


def in_cell(opened: Opened) -> dict[str, Any]:
    """Show the same bar where tqdm writes it, in a cell."""
    notebook = opened.notebook
    before = saved_bytes(opened)
    sent(opened)
    begun = time.monotonic()
    notebook.run(4, SCRIPT.format(updates=IN_CELL_UPDATES), timeout_s=100)
    took = time.monotonic() - begun
    messages = sent(opened)
    return {"rate": messages / took, "grown": (saved_bytes(opened) - before) / 1e3, "took": took}


def main() -> int:
    """Print the measurements and whether the goals are met."""
    limits = Limits()
    files = {"bar.py": SCRIPT.format(updates=UPDATES)}
    with home() as scratch, notebook_in_browser(scratch, files, LIMIT_S) as opened:
        found = of_task(opened)
        print(f"card: {UPDATES:,} updates in {found['took']:.1f} s")
        limits.at_most("messages a second", found["rate"], 20, "")
        limits.at_most("the saved notebook grows by", found["grown"], 50, "kB")
        print(f"a bar in a cell, {IN_CELL_UPDATES:,} updates: ", end="", flush=True)
        beside = in_cell(opened)
        print(f"{beside['rate']:.1f} messages a second, ", end="")
        print(f"the saved notebook grows by {beside['grown']:.1f} kB")
    return limits.end()


if __name__ == "__main__":
    sys.exit(main())
