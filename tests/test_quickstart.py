"""`make demo`: the quickstart is executed for real, twice, and leaves nothing running."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from conftest import engine_command

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = ROOT / "notebooks" / "quickstart.ipynb"


@pytest.fixture
def demo(home: Path, tmp_path: Path):
    """Return a function that runs the demo as `make demo` does, into a directory of the test's."""

    def run() -> str:
        done = subprocess.run(
            [sys.executable, str(ROOT / "tools" / "demo.py"), "--to", str(tmp_path / "demo")],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    yield run
    engine_command("stop", "--tasks", check=False)


def processes_naming(text: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline() + list(process.environ().values())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if process.pid != psutil.Process().pid and any(text in word for word in words):
            found.append(f"{process.pid} {' '.join(process.cmdline())}")
    return found


def test_the_demo_trains_and_the_second_sends_no_data(demo, home: Path, tmp_path: Path) -> None:
    first = demo()
    accuracy = re.search(r"^test accuracy +([0-9.]+)", first, re.MULTILINE)
    assert accuracy is not None
    assert float(accuracy.group(1)) > 0.95
    assert re.search(r"epoch 15/15 +loss", first), "the training's log came to the terminal"
    sent = re.search(r"counted ([0-9,]+) uploaded dataset bytes", first)
    assert sent is not None
    assert int(sent.group(1).replace(",", "")) > 50_000  # 701 kB of small numbers, deflated

    second = demo()
    assert "counted 0 uploaded dataset bytes: the data was there already" in second
    assert processes_naming(str(home)) == []

    executed = json.loads((tmp_path / "demo" / "quickstart.ipynb").read_text())
    assert "widgets" not in executed["metadata"]
    html = (tmp_path / "demo" / "quickstart.html").read_text()
    assert "succeeded" in html
    assert "data:image/svg+xml" in html


def test_the_quickstart_is_stored_without_outputs() -> None:
    notebook = json.loads(QUICKSTART.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
