"""The panel of a card's log in JupyterLab and Notebook 7: all of it and its buttons."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, expect

from anylearn_jupyter.notebook.page_widget import STATIC
from browser.accessibility import check_accessibility
from browser.notebook_page import NotebookPage
from browser.test_card import TIMEOUT_MS, badge, card, picture, shown_lines
from browser.training_scripts import HARMLESS, PAYLOADS, POISON
from waiting import wait_until

MILLION = """
import sys
for block in range(1_000):
    first = 1_000 * block + 1
    sys.stdout.write("".join(f"line {n} of the log\\n" for n in range(first, first + 1_000)))
    if block == 499: sys.stdout.write("ValueError: half of it\\n")
    sys.stdout.flush()
"""

MIXED = """
import sys, time
from pathlib import Path
def say(text, to=sys.stdout): to.write(text + "\\n"); to.flush()
for n in range(1, 401):
    say(f"\\033[32mepoch\\033[0m {n}: the Loss is \\033[1m{1 / n:.4f}\\033[0m")
    if n % 50 == 0: say(f"\\033[33mwarning\\033[0m {n}: a slow disk", sys.stderr)
    if n == 222: say("2026-01-01 ERROR a worker has gone, loss unknown")
until = Path(sys.argv[2])
while not until.exists(): time.sleep(0.05)
for n in range(401, 451): say(f"later {n}")
say("warning at the end", sys.stderr)
"""


@pytest.fixture
def notebook(open_notebook: Callable[[], NotebookPage]) -> NotebookPage:
    """Open a notebook beside the scripts, with the extension loaded."""
    opened = open_notebook()
    for name, text in {"million.py": MILLION, "mixed.py": MIXED, "poison.py": POISON}.items():
        (opened.path.parent / name).write_text(text, encoding="utf-8")
    opened.run(0, "%load_ext anylearn_jupyter")
    return opened


def bar(live: Locator) -> Locator:
    return live.locator(".anl-logbar")


def button(live: Locator, name: str) -> Locator:
    return bar(live).get_by_role("button", name=name, exact=True)


def search(live: Locator, text: str, found: str) -> None:
    box = live.get_by_role("searchbox", name="Search the log")
    box.fill(text)
    expect(live.locator(".anl-log-found")).to_have_text(found, timeout=TIMEOUT_MS)


def in_sight(live: Locator) -> list[str]:
    """The rows that one sees, in order."""
    rows: list[list[object]] = live.locator(".anl-log").evaluate(
        """(log) => {
          const box = log.getBoundingClientRect();
          return [...log.querySelectorAll('.anl-line')]
            .map((row) => [row.getBoundingClientRect(), row.textContent])
            .filter(([place]) => place.top >= box.top - 1 && place.bottom <= box.bottom + 1)
            .map(([place, text]) => [place.top, text]);
        }"""
    )
    return [str(text) for _, text in sorted(rows, key=lambda row: float(str(row[0])))]


def test_any_line_of_a_million_is_at_hand(notebook: NotebookPage, tmp_path: Path) -> None:
    """Opened by a kernel that has read nothing of it, and gone through by the scroll bar."""
    notebook.run(1, "%%anylearn_train million.py")
    expect(badge(card(notebook, 1))).to_have_text("succeeded", timeout=60_000)
    notebook.restart_kernel()
    notebook.run(
        2, "%load_ext anylearn_jupyter\nfrom anylearn_jupyter.submit.tasks import find_task"
    )
    notebook.run(3, "from anylearn_jupyter.notebook.card import show_task\n"
                    "show_task(find_task('last'))")  # fmt: skip
    live = card(notebook, 3)
    wait_until(lambda: in_sight(live)[-1:] == ["line 1000000 of the log"], 20, "the end of it")
    expect(bar(live)).to_contain_text("Log, 1,000,001 lines", timeout=60_000)
    assert in_sight(live)[-1] == "line 1000000 of the log"
    log = live.locator(".anl-log")
    for share in (0.5, 0.1, 0.93):
        log.evaluate("(log, at) => { log.scrollTop = at * log.scrollHeight; }", share)

        def there(share: float = share) -> bool:
            found = [int(one) for one in re.findall(r"line (\d+) of", "\n".join(in_sight(live)))]
            return len(found) > 5 and abs(found[0] / 1e6 - share) < 0.01

        wait_until(there, 20, f"what is at {share:.0%}")
        assert "…" not in in_sight(live)
        numbers = [int(one) for one in re.findall(r"line (\d+) of", "\n".join(in_sight(live)))]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    before = in_sight(live)
    log.evaluate("(log) => { log.scrollTop += 36; }")
    wait_until(lambda: in_sight(live)[0] == before[2], 10, "two rows further")
    search(live, "line 123456 OF", "1 of 1")
    wait_until(lambda: "line 123456 of the log" in in_sight(live), 20, "the match")
    search(live, "half of it", "1 of 1")
    wait_until(lambda: "ValueError: half of it" in in_sight(live), 20, "the match")
    button(live, "First error").click()
    wait_until(lambda: "ValueError: half of it" in in_sight(live), 20, "the first error")
    log.press("Home")
    wait_until(lambda: in_sight(live)[:1] == ["line 1 of the log"], 20, "the beginning")
    log.press("End")
    wait_until(lambda: in_sight(live)[-1:] == ["line 1000000 of the log"], 20, "the end")
    with notebook.page.expect_download(timeout=60_000) as saved:
        button(live, "Download").click()
    saved.value.save_as(tmp_path / "saved.log")
    whole = (tmp_path / "saved.log").read_text(encoding="utf-8").splitlines()
    assert len(whole) == 1_000_001
    assert whole[-1] == "line 1000000 of the log"
    assert notebook.script_errors() == []
    picture(notebook, live, "log-million")


def test_search_filter_errors_and_following(notebook: NotebookPage, tmp_path: Path) -> None:
    until = tmp_path / "until"
    notebook.run(1, f"%%anylearn_train mixed.py\nuntil={until}")
    live = card(notebook, 1)
    expect(bar(live)).to_contain_text("Log, 409 lines", timeout=TIMEOUT_MS)
    log, follow = live.locator(".anl-log"), button(live, "Follow")
    expect(follow).to_have_attribute("aria-pressed", "true")
    # By keyboard, from the search on.
    box = live.get_by_role("searchbox", name="Search the log")
    box.focus()
    notebook.page.keyboard.type("loss")
    expect(live.locator(".anl-log-found")).to_contain_text("of 401", timeout=TIMEOUT_MS)
    expect(follow).to_have_attribute("aria-pressed", "false")
    first = live.locator(".anl-log-found").inner_text()
    notebook.page.keyboard.press("Enter")
    expect(live.locator(".anl-log-found")).not_to_have_text(first)
    notebook.page.keyboard.press("Shift+Enter")
    expect(live.locator(".anl-log-found")).to_have_text(first)
    assert notebook.page.evaluate("() => CSS.highlights.get('anl-hit').size") > 5
    picture(notebook, live, "log-search-light")
    button(live, "First error").click()
    expect(live.locator(".anl-now")).to_have_text(
        "2026-01-01 ERROR a worker has gone, loss unknown"
    )
    notebook.page.keyboard.press("Tab")
    assert notebook.page.evaluate("() => document.activeElement.textContent") == "Download"
    # Only standard error, also what comes later; a search is of these lines then.
    button(live, "stderr").click()
    expect(bar(live)).to_contain_text("8 lines to stderr")
    wait_until(lambda: len(in_sight(live)) == 8, 20, "eight rows")
    assert in_sight(live)[0] == "warning 50: a slow disk"
    search(live, "warning 3", "1 of 2")
    search(live, "loss", "not found")
    box.press("Escape")
    until.touch()
    expect(badge(live)).to_have_text("succeeded", timeout=TIMEOUT_MS)
    wait_until(lambda: in_sight(live)[-1:] == ["warning at the end"], 20, "a later line")
    check_accessibility(live)
    notebook.set_theme("dark")
    check_accessibility(live)
    picture(notebook, live, "log-stderr-dark")
    button(live, "stderr").click()
    expect(bar(live)).to_contain_text("Log, 460 lines")
    button(live, "First error").click()
    notebook.page.set_viewport_size({"width": 560, "height": 900})
    search(live, "worker", "1 of 1")
    picture(notebook, live, "log-narrow-dark")
    assert live.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    log.press("End")
    wait_until(lambda: in_sight(live)[-1:] == ["warning at the end"], 20, "the end")
    expect(follow).to_have_count(0)  # nothing more comes
    assert notebook.script_errors() == []
    # What was open comes back with a page that is loaded again; the search is asked anew.
    notebook.save()
    notebook.reload()
    wait_until(lambda: in_sight(live)[-1:] == ["warning at the end"], 20, "the card again")


def test_news_are_drawn_at_once_and_once_in_a_frame(context: BrowserContext) -> None:
    page = context.new_page()
    source = (STATIC / "drawing.js").read_text(encoding="utf-8").replace("export class", "class")
    asked = f"""async () => {{
      {source}
      const frame = () => new Promise((done) =>
        requestAnimationFrame(() => requestAnimationFrame(done)));
      let drawn = 0;
      const counts = [];
      const drawing = new Drawing(() => {{
        drawn += 1;
        if (drawn === 3) drawing.now(); // drawing may find out that something is new
      }});
      drawing.now();
      counts.push(drawn); // at once
      drawing.now();
      drawing.now();
      counts.push(drawn); // what comes before the frame waits for it
      await frame();
      counts.push(drawn);
      await frame();
      counts.push(drawn); // nothing new, nothing drawn
      drawing.now();
      counts.push(drawn);
      await frame();
      counts.push(drawn);
      await frame();
      drawing.soon();
      counts.push(drawn);
      await frame();
      counts.push(drawn);
      await frame();
      drawing.soon();
      drawing.dispose();
      await frame();
      counts.push(drawn);
      return counts;
    }}"""
    assert page.evaluate(asked) == [1, 1, 2, 2, 3, 4, 4, 5, 5]


def test_a_search_for_markup_stays_text(notebook: NotebookPage) -> None:
    notebook.run(1, "%%anylearn_train poison.py")
    live = card(notebook, 1)
    expect(badge(live)).to_have_text("succeeded", timeout=TIMEOUT_MS)
    wait_until(lambda: "the poison is out" in shown_lines(live), 20, "the whole log")
    for payload in PAYLOADS[:3]:
        search(live, payload, "2 of 2")
    button(live, "stderr").click()
    expect(bar(live)).to_contain_text(f"{len(PAYLOADS)} lines to stderr")
    assert notebook.page.evaluate(HARMLESS) == []
