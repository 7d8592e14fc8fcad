"""100,000 lines at 5,000 a second into the card; the same by `print` and by an `Output` widget.

Each line has the clock's time at which its script wrote it, and the page notes, whenever the rows
of its log have changed, the age of the newest line in them: so the whole way counts, from the task
over its pipe, the engine and the kernel. On the screen they are with the browser's next frame, up
to 17 ms later; the age then is printed beside. Nothing is sent more than ten times a second, so a
line that comes right after a sending waits for the next one; the ages of all lines, which that adds
to, are printed below those of the newest ones. BENCH_SMALL=1 sends 10,000 lines.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from in_browser import SMALL, Limits, Opened, home, notebook_in_browser, percentile
from playwright.sync_api import Error, expect

LINES = 10_000 if SMALL else 100_000
RIVAL_LINES = 10_000 if SMALL else 50_000
RATE = 5_000
LIMIT_S = 100.0
RIVAL_LIMIT_S = 60.0

# Ten lines every two milliseconds, of 100 characters with a colour.
LINE = (
    '"".join(f"\\033[32m{time.time():.6f}\\033[0m line {n:07d} {\'all is well \' * 5}\\n" '
    "for n in range(first, first + 10))"
)
TALK = f"""
import sys, time
begun = time.monotonic()
for first in range(0, int(sys.argv[1]), 10):
    time.sleep(max(0, begun + first / {RATE} - time.monotonic()))
    sys.stdout.write({LINE})
    sys.stdout.flush()
"""

# By a thread, ten times a second, as `print` and `append_stdout` send each call.
IN_CELL = f"""
import threading, time, ipywidgets
out = ipywidgets.Output()
display(out)
def talk():
    begun = time.monotonic()
    for tick in range({RIVAL_LINES} // 500):
        time.sleep(max(0, begun + tick / 10 - time.monotonic()))
        text = ""
        for part in range(50):
            first = 500 * tick + 10 * part
            text += {LINE}
        say(text)
thread = threading.Thread(target=talk, daemon=True)
"""
RIVALS = {
    "print": "def say(text): print(text, end='', flush=True)",
    "Output.append_stdout": "def say(text): out.append_stdout(text)",
}

# After each drawing: the age of the newest line, and its number; then its age on the screen.
OBSERVE = """
(selector) => {
  const place = document.querySelector(selector);
  window.__seen = [];
  window.__painted = [];
  let last = -1;
  const at = (row) => parseFloat(row.style.top);
  // The last 60 pieces of text; a line has about three.
  const end = () => {
    const walker = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
    while (walker.lastChild());
    let text = '';
    for (let n = 0; n < 60 && walker.currentNode !== place; n++) {
      text = walker.currentNode.nodeValue.slice(-2000) + text;
      if (!walker.previousNode()) break;
    }
    return text;
  };
  const newest = () => {
    const rows = [...place.querySelectorAll('.anl-line')];
    if (!rows.length) return end();
    return rows.reduce((found, row) => (at(row) > at(found) ? row : found)).textContent;
  };
  new MutationObserver(() => {
    const found = [...newest().matchAll(/(\\d+\\.\\d{6}) line (\\d+)/g)].pop();
    if (!found || Number(found[2]) <= last) return;
    last = Number(found[2]);
    const wrote = 1000 * Number(found[1]);
    window.__seen.push([window.__now() - wrote, last]);
    // A frame's scripts come before its painting, a message that they send after it.
    requestAnimationFrame(() => {
      const after = new MessageChannel();
      after.port1.onmessage = () => window.__painted.push(window.__now() - wrote);
      after.port2.postMessage(0);
    });
  }).observe(place, { childList: true, subtree: true, characterData: true });
}
"""


def all_ages(seen: list[list[float]]) -> list[float]:
    """Give the age at which each line was drawn first: those between two drawings wait for one."""
    ages: list[float] = []
    before = -1.0
    for age, number in seen:
        ages += [age + 1000 * behind / RATE for behind in range(0, int(number - before), 10)]
        before = number
    return ages


def card(opened: Opened) -> dict[str, Any]:
    """Show the log of a task in its card."""
    notebook = opened.notebook
    notebook.run(1, "%%anylearn_train talk.py -n first\n-- 0")
    live = notebook.cell(1).locator(".anl-card")
    expect(live.locator(".anl-badge")).to_have_text("succeeded", timeout=60_000)
    heap = opened.heap_mb()
    cpu, begun = opened.cpu_s(), time.monotonic()
    notebook.run(2, f"%%anylearn_train talk.py -n talks\n-- {LINES}")
    notebook.show(2)
    expect(notebook.cell(2).locator(".anl-log")).to_be_visible(timeout=20_000)
    opened.evaluate(OBSERVE, ".jp-Notebook .jp-Cell:nth-child(3) .anl-log-sheet")
    log = notebook.cell(2).locator(".anl-logbar")
    cpu, begun = opened.cpu_s(), time.monotonic()
    expect(log).to_contain_text(f"Log, {LINES:,} lines", timeout=60_000)
    took = time.monotonic() - begun
    used = 100 * (opened.cpu_s() - cpu) / took
    return {
        "seen": opened.evaluate("() => window.__seen"),
        "painted": opened.evaluate("() => window.__painted"),
        "cpu": used,
        "heap": opened.heap_mb() - heap,
        "took": took,
    }


def rival(opened: Opened, say: str) -> dict[str, Any]:
    """Show the same lines from a thread of the kernel by other means."""
    notebook = opened.notebook
    notebook.run(1, f"{IN_CELL}\n{say}\nthread.start()")
    opened.evaluate(OBSERVE, ".jp-Notebook .jp-Cell:nth-child(2) .jp-OutputArea")
    heap = opened.heap_mb()
    time.sleep(RIVAL_LINES / RATE)
    seen = opened.evaluate("() => window.__seen")
    return {"seen": seen, "heap": opened.heap_mb() - heap}


def main() -> int:
    """Print the measurements and whether the goals are met."""
    limits = Limits()
    with home() as scratch:
        with notebook_in_browser(scratch, {"talk.py": TALK}, LIMIT_S) as opened:
            found = card(opened)
        ages = [age for age, _ in found["seen"]]
        every = all_ages(found["seen"])
        print(f"card: {LINES:,} lines in {found['took']:.1f} s, drawn {len(ages)} times")
        limits.at_most(
            "newest line, from the task's write, median", percentile(ages, 0.5), 15, "ms"
        )
        limits.at_most("newest line, p99", percentile(ages, 0.99), 60, "ms")
        middle, slow = percentile(found["painted"], 0.5), percentile(found["painted"], 0.99)
        print(f"  newest line, on the screen: median {middle:.0f} ms, p99 {slow:.0f} ms")
        middle, slow = percentile(every, 0.5), percentile(every, 0.99)
        print(f"  all lines: median {middle:.0f} ms, p99 {slow:.0f} ms")
        limits.at_most("kernel, of a core", found["cpu"], 3, "%")
        limits.at_most("page memory added", found["heap"], 25, "MB")
        for name, say in RIVALS.items():
            told = rival_told(scratch, say)
            print(f"{name}: {told}")
    return limits.end()


def rival_told(scratch: Path, say: str) -> str:
    """Measure a rival; one that stops the page is given up."""
    try:
        with notebook_in_browser(scratch, {}, RIVAL_LIMIT_S) as opened:
            found = rival(opened, say)
    except Error as error:
        return f"given up: the page did not answer within {RIVAL_LIMIT_S:g} s ({str(error)[:60]})"
    ages = [age for age, _ in found["seen"]]
    if not ages:
        return f"no line was in the page when all {RIVAL_LINES:,} were sent"
    return (
        f"{found['seen'][-1][1]:,} of {RIVAL_LINES:,} lines were in the page when all were sent; "
        f"newest line median {percentile(ages, 0.5):.0f} ms, p99 {percentile(ages, 0.99):.0f} ms; "
        f"page memory {found['heap']:+.0f} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
