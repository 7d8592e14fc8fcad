"""The card's kernel side in a real kernel, against a real engine: what a page is told and given."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import pytest

from anylearn_jupyter.home import Home
from anylearn_jupyter.notebook import table_widget
from anylearn_jupyter.notebook.page_widget import page_module
from anylearn_jupyter.notebook.widget import MODULES
from conftest import RunningEngine
from engine_fixtures import Talker
from kernel_fixtures import RealKernel, kernels
from waiting import wait_until

__all__ = ["kernels"]

STATIC = Path(__file__).resolve().parent.parent / "anylearn_jupyter" / "notebook" / "static"
ALL_MODULES = "".join(path.read_text(encoding="utf-8") for path in STATIC.glob("*.js"))

TALK = """
import os, sys, time
number = 0
while not os.path.exists(sys.argv[1]):
    number += 1
    print(f"\\033[3{number % 8}mline {number}\\033[0m", flush=True)
    if number % 10 == 0: print(f"step={number} loss={1 / number}", flush=True)
    time.sleep(0.01)
print("no end of line", end="")
sys.exit(int(sys.argv[2]))
"""

# F1: a line of 10 MB, a million lines a second, NULs, no line end at the end.
FLOOD = """
import sys, time
write = sys.stdout.buffer.write
write(b"x" * 10_000_000 + b"\\n" + b"a\\0b\\r\\n")
block = b"".join(b"number %d\\n" % n for n in range(10_000))
began = time.monotonic()
for number in range(400):
    write(block)
    time.sleep(max(0, began + number / 100 - time.monotonic()))
write(b"the last")
"""


@pytest.fixture
def talker(engine: RunningEngine, tmp_path: Path) -> Talker:
    """A user with some code on the engine."""
    made = Talker(Home(engine.home), address=engine.address)
    made.send_code(tmp_path / "project", {"talk.py": TALK, "flood.py": FLOOD})
    return made


@dataclass
class Page:
    """What a browser's page would have of a kernel's messages."""

    kernel: RealKernel
    messages: list[dict[str, Any]] = field(default_factory=list)

    def listen(self) -> Page:
        """Take what has come; only what concerns views is kept."""
        while True:
            try:
                message = self.kernel.client.get_iopub_msg(timeout=0.02)
            except Empty:
                return self
            if message["msg_type"] not in ("status", "execute_input"):
                self.messages.append(message)

    def run(self, code: str) -> None:
        """Run a cell, and keep what it puts out."""
        self.kernel.client.execute_interactive(
            code, allow_stdin=True, timeout=60, output_hook=self.messages.append
        )
        errors = self.of_type("error")
        assert errors == [], errors

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [message["content"] for message in self.messages if message["msg_type"] == kind]

    def of_card(self, kind: str) -> list[dict[str, Any]]:
        contents = [content["data"].get("content") or {} for content in self.of_type("comm_msg")]
        return [content for content in contents if content.get("k") == kind]

    @property
    def state(self) -> dict[str, Any]:
        """The card's state as the page knows it."""
        found: dict[str, Any] = {}
        for content in [*self.of_type("comm_open"), *self.of_type("comm_msg")]:
            found.update(content["data"].get("state", {}).get("state") or {})
        return found

    @property
    def twins(self) -> list[str]:
        """The versions of the twin's text."""
        shown = self.of_type("display_data") + self.of_type("update_display_data")
        return [c["data"]["text/plain"] for c in shown if c["transient"].get("display_id")]

    def lines(self) -> dict[int, str]:
        """The lines of the log by number; one that comes twice has to be the same."""
        found: dict[int, str] = {}
        for message in self.of_card("news") + self.of_card("lines"):
            log = message["log"]
            if log and log["count"]:
                for number, line in enumerate(log["text"].split("\n"), log["first"]):
                    assert found.setdefault(number, line) == line
        return found

    def say(self, content: dict[str, Any]) -> None:
        """Send a message of the card's page to the kernel."""
        client = self.kernel.client
        (opened,) = [
            content
            for content in self.of_type("comm_open")
            if "task_id" in content["data"].get("state", {})
        ]
        data = {"method": "custom", "content": content}
        message = client.session.msg("comm_msg", {"comm_id": opened["comm_id"], "data": data})
        client.shell_channel.send(message)

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float = 30) -> None:
        wait_until(lambda: (self.listen(), condition())[1], timeout_s, what)


@pytest.fixture
def page(talker: Talker, kernels: Callable[[Path], RealKernel], tmp_path: Path) -> Iterator[Page]:
    """A kernel with the extension's views at hand."""
    opened = Page(kernels(tmp_path))
    opened.run(
        "from anylearn_jupyter.notebook.card import show_static, show_task\n"
        "from anylearn_jupyter.submit.tasks import find_task"
    )
    yield opened
    opened.run("from anylearn_jupyter.notebook.monitor import close_monitor; close_monitor()")


def show(page: Page, task: str) -> None:
    page.run(f"task = find_task({task!r}); show_task(task)")


def test_a_card_is_told_everything_once(page: Page, talker: Talker, tmp_path: Path) -> None:
    go = tmp_path / "go"
    task = talker.add_task(f"python talk.py {go} 7")
    show(page, task)
    bundle, twin = page.of_type("display_data")[-2:]
    assert "application/vnd.jupyter.widget-view+json" in bundle["data"]
    assert bundle["data"]["text/plain"] == f"Task task ({task}) on this machine"
    assert f'data-snap="{task}"' in twin["data"]["text/html"]
    # While a cell runs, too.
    page.kernel.start("import time; time.sleep(3)")
    page.wait(lambda: len(page.lines()) > 60, "lines while a cell runs")
    go.touch()
    page.wait(lambda: page.state.get("phase") == "failed", "the end")
    page.wait(lambda: "no end of line" in page.lines().values(), "the last line")
    log = talker.log(task).decode().splitlines()
    assert page.lines() == dict(enumerate(log))
    assert [message["seq"] for message in page.of_card("news")] == list(
        range(1, len(page.of_card("news")) + 1)
    )
    points = [
        point for news in page.of_card("news") for s in news["points"] for point in s["points"]
    ]
    assert points == [[n, 1 / n] for n in range(10, len(log), 10) if n // 10 <= len(points)]
    assert page.state["text"] == "failed with exit code 7"
    assert page.state["cause"]["lines"][-1] == "no end of line"
    page.wait(lambda: "failed with exit code 7" in page.twins[-1], "the twin's last version")
    assert "no end of line" in page.twins[-1]
    assert "as of" in page.twins[0]
    assert "as of" not in page.twins[-1]
    assert page.kernel.text("print(task.phase)") == "failed\n"


def test_a_page_that_begins_again_is_given_what_it_needs(
    page: Page, talker: Talker, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    task = talker.add_task(f"python talk.py {go} 0")
    show(page, task)
    page.wait(lambda: len(page.lines()) > 40, "some lines")
    page.messages = [m for m in page.messages if m["msg_type"] == "comm_open"]
    page.say({"k": "hello"})
    page.wait(lambda: any(news["begin"] for news in page.of_card("news")), "an answer")
    (begin,) = [news for news in page.of_card("news") if news["begin"]]
    assert begin["log"]["first"] == 0
    assert begin["log"]["count"] > 40
    assert begin["points"][0]["start"] == 0
    page.say({"k": "lines", "first": 3, "end": 6})
    page.wait(lambda: page.of_card("lines"), "the lines that were asked for")
    (answer,) = page.of_card("lines")
    assert answer["log"]["text"].split("\n") == [
        "\x1b[34mline 4\x1b[0m",
        "\x1b[35mline 5\x1b[0m",
        "\x1b[36mline 6\x1b[0m",
    ]
    for nonsense in (None, [], {"k": "lines"}, {"k": "lines", "first": "x", "end": {}}, {"k": 3}):
        page.say(nonsense)
    page.say({"k": "lines", "first": -5, "end": 10**12})
    page.wait(lambda: len(page.of_card("lines")) == 2, "another answer")
    assert "Traceback" not in json.dumps(page.of_type("stream"))
    go.touch()


def test_stop_stops_and_a_refusal_is_said(page: Page, talker: Talker, tmp_path: Path) -> None:
    task = talker.add_task(f"python talk.py {tmp_path / 'never'} 0")
    show(page, task)
    page.wait(lambda: page.state.get("phase") == "running", "a running task")
    page.run("stop = task.stop\ndef refuse(): raise __import__('anylearn_jupyter.errors').errors."
             "ServerUnreachable('The server does not answer.')\ntask.stop = refuse")  # fmt: skip
    page.say({"k": "stop"})
    page.wait(lambda: page.of_card("notice"), "a sentence")
    assert page.of_card("notice")[0]["text"] == (
        "It could not be stopped: The server does not answer."
    )
    page.run("task.stop = stop")
    page.say({"k": "stop"})
    page.wait(lambda: page.state.get("phase") == "aborted", "the end")
    assert page.of_card("stopping")
    assert page.state["text"] == "stopped"
    assert not page.state["stoppable"]


def test_a_flood_leaves_kernel_and_page_in_peace(
    page: Page, talker: Talker, tmp_path: Path
) -> None:
    """F1: whole on the disk; under 1 MB and 20 messages a second to the page; memory bounded."""
    task = talker.add_task("python flood.py")
    memory = "import psutil; print(psutil.Process().memory_info().rss)"
    show(page, task)
    before = int(page.kernel.text(memory))
    page.messages = [m for m in page.messages if m["msg_type"] == "comm_open"]
    began = time.monotonic()
    page.wait(lambda: page.state.get("phase") == "succeeded", "the end", timeout_s=120)
    page.wait(lambda: "the last" in page.lines().values(), "the last line", timeout_s=120)
    took = max(time.monotonic() - began, 5)
    kinds = ("comm_msg", "display_data", "update_display_data")
    sent = [message for message in page.messages if message["msg_type"] in kinds]
    assert len(sent) / took < 20
    assert sum(len(json.dumps(message["content"])) for message in sent) / took < 1_000_000
    total = page.of_card("news")[-1]["log"]["total"]
    assert total == talker.log(task).count(b"\n") + 1
    assert total > 100_000
    after = int(page.kernel.text(memory))
    assert after - before < 120_000_000
    page.say({"k": "hello"})
    page.say({"k": "lines", "first": total - 50_000, "end": total - 49_000})
    page.wait(lambda: page.of_card("lines"), "older lines")
    assert page.of_card("lines")[0]["log"]["count"] == 1_000
    assert all(len(json.dumps(message["content"])) < 2_000_000 for message in page.messages)


def test_the_log_panel_searches_saves_and_says_what_cannot_be_read(
    page: Page, talker: Talker, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    task = talker.add_task(f"python talk.py {go} 0")
    show(page, task)
    page.wait(lambda: len(page.lines()) > 40, "some lines")
    page.say({"k": "find", "what": "search", "id": 1, "text": "LINE 1", "stderr": False})
    page.wait(lambda: page.of_card("found"), "what was found")
    first = page.of_card("found")[0]
    assert (first["id"], first["what"], first["more"]) == (1, "search", False)
    assert first["steps"][0] == 0
    # What comes later is searched too, and only that.
    page.wait(lambda: len(page.of_card("found")) > 2, "what came later")
    page.say({"k": "find", "what": "search", "id": 2, "text": "", "stderr": False})
    page.say({"k": "find", "what": "stderr", "id": 3, "text": "", "stderr": True})
    page.wait(lambda: page.of_card("found")[-1]["id"] == 3, "the other search")
    assert page.of_card("found")[-1]["count"] == 0
    for nonsense in ({"what": "rm"}, {"what": "search", "id": "x"}, {"what": "search", "id": 4}):
        page.say({"k": "find", **nonsense})
    for cursor in ("x", -1.5, [1], True):
        page.say({"k": "chunk", "cursor": cursor})
    go.touch()
    page.wait(lambda: "no end of line" in page.lines().values(), "the end")
    page.say({"k": "chunk", "cursor": None})
    page.wait(lambda: page.of_card("chunk"), "the log's bytes")
    (message,) = [
        one
        for one in page.messages
        if one["content"].get("data", {}).get("content", {}).get("k") == "chunk"
    ]
    (data,) = message["buffers"]
    assert bytes(data) == talker.log(task)
    assert page.of_card("chunk")[0]["next"] == len(bytes(data))
    numbers = [n for found in page.of_card("found") if found["id"] == 1 for n in numbers_of(found)]
    lines = page.lines()
    assert numbers == [n for n in sorted(lines) if n <= numbers[-1] and "line 1" in lines[n]]
    page.say({"k": "lines", "numbers": [2, 9, "x"]})
    page.say({"k": "lines", "numbers": [2, 9]})
    page.wait(lambda: page.of_card("lines"), "single lines")
    assert page.of_card("lines")[0]["log"]["first"] == 2
    page.run("import anylearn_jupyter.errors as errors\n"
             "def refuse(): raise errors.ServerUnreachable('It does not\\nanswer.')\n"
             "task.connection = refuse")  # fmt: skip
    page.say({"k": "chunk", "cursor": None})
    page.wait(lambda: page.of_card("unread"), "a sentence")
    assert page.of_card("unread")[0]["what"] == "chunk"
    assert "It does not" in page.of_card("unread")[0]["text"]
    assert "Traceback" not in json.dumps(page.of_type("stream"))


def numbers_of(found: dict[str, Any]) -> list[int]:
    numbers: list[int] = []
    for step in found["steps"]:
        numbers.append((numbers[-1] if numbers else 0) + step)
    return numbers


def test_two_cards_of_one_task_and_closing(page: Page, talker: Talker, tmp_path: Path) -> None:
    go = tmp_path / "go"
    task = talker.add_task(f"python talk.py {go} 0")
    show(page, task)
    show(page, task)
    assert page.kernel.text(
        "from anylearn_jupyter.notebook.monitor import monitor, close_monitor\n"
        "print(monitor().threads)\nclose_monitor()\nprint(monitor().threads)"
    ) == "2\n0\n"  # fmt: skip
    page.run("%load_ext anylearn_jupyter")
    show(page, task)
    assert page.kernel.text("print(monitor().threads)\n%unload_ext anylearn_jupyter") == "2\n"
    assert page.kernel.text("print(monitor().threads)") == "0\n"
    page.run("%%capture kept\nshow_task(task)")
    go.touch()
    page.wait(lambda: page.state.get("phase") == "succeeded", "the end of a captured card's task")
    assert page.kernel.text("print(len(kept.outputs))") == "2\n"


def test_static_makes_no_widget(page: Page, talker: Talker, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.touch()
    task = talker.add_task(f"python talk.py {go} 3")
    talker.wait_end(task)
    page.run(f"show_static(find_task({task!r}))")
    (shown,) = page.of_type("display_data")
    assert set(shown["data"]) == {"text/plain", "text/html"}
    assert "failed with exit code 3" in shown["data"]["text/plain"]
    assert "no end of line" in shown["data"]["text/html"]
    assert page.of_type("comm_open") == []
    assert page.kernel.text(
        "import sys; print('ipywidgets' in sys.modules, __import__('threading').active_count() > 0)"
    ).startswith("False")


def test_where_there_is_no_kernel_it_is_text(talker: Talker, tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.touch()
    task = talker.add_task(f"python talk.py {go} 0")
    talker.wait_end(task)
    code = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "from anylearn_jupyter.notebook.card import show_task\n"
        "from anylearn_jupyter.submit.tasks import find_task\n"
        "shell = InteractiveShell.instance()\n"
        f"task = find_task({task!r})\n"
        "shell.user_ns.update(show_task=show_task, task=task)\n"
        "shell.run_cell('show_task(task)')\n"
        "InteractiveShell.clear_instance()\n"
    )
    for words in (code, code.replace("shell = InteractiveShell.instance()\n", "").replace(
        "shell.user_ns.update(show_task=show_task, task=task)\n", "").replace(
        "shell.run_cell('show_task(task)')", "show_task(task)")):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", words], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "✓ task · succeeded · on this machine" in done.stdout
        assert "no end of line" in done.stdout
        assert "<div" not in done.stdout


def test_the_page_side_parses_no_html_and_asks_nobody() -> None:
    """F4: no sink for markup, no style sheet or script from elsewhere."""
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|Function\("
    sources = [path.read_text(encoding="utf-8") for path in STATIC.iterdir()]
    assert len(sources) > 6
    for source in sources:
        assert re.findall(sinks, source) == []
        assert re.findall(r"https?://(?!www\.w3\.org/)|url\(|@import", source) == []


@pytest.mark.parametrize("modules", [MODULES, table_widget.MODULES], ids=["card", "table"])
def test_the_modules_of_the_page_side_become_one(modules: tuple[str, ...]) -> None:
    module = page_module(modules)
    needed = {
        name
        for one in modules
        for name in re.findall(
            r"^import.*from '\./(\w+)\.js';$",
            (STATIC / f"{one}.js").read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    }
    assert needed <= set(modules)
    assert set(re.findall(r"^import.*from '\./(\w+)\.js';$", ALL_MODULES, re.MULTILINE)) < {
        path.stem for path in STATIC.glob("*.js")
    }
    assert re.findall(r"^(?:import|export) .*", module, re.MULTILINE) == [
        "export default hearing(page);"
    ]
    names = re.findall(r"^(?:function|class|const|let) (\w+)", module, re.MULTILINE)
    assert len(names) == len(set(names))
