"""Execute the quickstart against the embedded engine, with its training live in this terminal.

Everything goes under `build/demo` (or the directory after `--to`), unless ANYLEARN_HOME names
another home for the engine. Run it twice: the second time the dataset is known, and the own counter
of the engine says that nothing was sent.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "quickstart.ipynb"
FIRST_TRAINING_LINE = re.compile(r"\d+ images to learn from")
ACCURACY = re.compile(r"test accuracy: ([0-9.]+)")
GOAL_FIRST_LINE_S = 10
GOAL_ACCURACY = 0.95


def show_cell(cell: nbformat.NotebookNode, cell_index: int) -> None:
    """Write the first line of a cell that is about to run."""
    source = cell.source.splitlines()
    print(f"\n>>> {source[0]}" + ("" if len(source) == 1 else "  ..."), flush=True)


class LiveClient(NotebookClient):
    """Execute a notebook and write what its cells print to the terminal as it comes."""

    def __init__(self, notebook: nbformat.NotebookNode, begun: float) -> None:
        super().__init__(
            notebook,
            timeout=600,
            kernel_name="python3",
            resources={"metadata": {"path": str(NOTEBOOK.parent)}},
            on_cell_execute=show_cell,
            # Else the first thing to read is a warning of the kernel's about its own sockets.
            extra_arguments=["--log-level=ERROR"],
        )
        self.begun = begun
        self.text = ""
        self.first_line_s: float | None = None

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """Write a message's text, then keep the message as any notebook does."""
        content = msg["content"]
        if msg["msg_type"] == "stream":
            self._write(content["text"])
        elif msg["msg_type"] == "execute_result":
            self._write(content["data"].get("text/plain", "") + "\n")
        return super().process_message(msg, cell, cell_index)

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
        self.text += text
        if self.first_line_s is None and FIRST_TRAINING_LINE.search(self.text):
            self.first_line_s = time.monotonic() - self.begun


def uploaded_bytes() -> int:
    """Ask the engine over HTTP how many bytes of data it was ever sent; it starts if need be."""
    from anylearn_jupyter import connect

    return connect().api.counters()["upload_bytes"]


def execute(target: Path, begun: float) -> LiveClient:
    """Run every cell and write the executed notebook and its HTML, also after an error."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = LiveClient(notebook, begun)
    try:
        client.execute()
    finally:
        nbformat.write(notebook, target / "quickstart.ipynb")
        html, _ = HTMLExporter().from_notebook_node(notebook)
        (target / "quickstart.html").write_text(html, encoding="utf-8")
    return client


def stop_engine() -> None:
    """Leave no process behind."""
    command = [sys.executable, "-m", "anylearn_jupyter.engine", "stop", "--tasks"]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, timeout=60)


def conclude(client: LiveClient, sent: int, target: Path) -> int:
    """Say what came of it; 1 when it is not what the quickstart promises."""
    found = ACCURACY.search(client.text)
    accuracy = float(found.group(1)) if found else 0.0
    first = client.first_line_s
    print(f"\n{'-' * 72}")
    print(f"test accuracy          {accuracy:.4f}  (wanted: above {GOAL_ACCURACY})")
    if first is None:
        print("first training line    never seen")
    else:
        print(
            f"first training line    {first:.1f} s after the start  (goal: {GOAL_FIRST_LINE_S} s)"
        )
    known = ": the data was there already" if sent == 0 else ""
    print(f"dataset                the engine counted {sent:,} uploaded dataset bytes{known}")
    print(f"executed notebook      {target / 'quickstart.ipynb'}")
    print(f"its HTML export        {target / 'quickstart.html'}")
    return 0 if accuracy > GOAL_ACCURACY and first is not None else 1


def read_target() -> Path:
    """Read the command line: where the results go."""
    parser = argparse.ArgumentParser(description="Execute the quickstart with its training live.")
    parser.add_argument("--to", type=Path, default=ROOT / "build" / "demo", metavar="DIR")
    target: Path = parser.parse_args().to.absolute()
    target.mkdir(parents=True, exist_ok=True)
    return target


def main() -> int:
    """Run the demo."""
    begun = time.monotonic()
    target = read_target()
    os.environ.setdefault("ANYLEARN_HOME", str(target / "home"))
    if shutil.which("git") is None:
        sys.exit("demo: git is needed to pack the code; install the package git.")
    print(f"home of the engine: {os.environ['ANYLEARN_HOME']}", flush=True)
    try:
        before = uploaded_bytes()
        client = execute(target, begun)
        return conclude(client, uploaded_bytes() - before, target)
    except CellExecutionError as error:
        print(f"\n{error}\nThe notebook stopped; see {target / 'quickstart.html'}", file=sys.stderr)
        return 1
    finally:
        stop_engine()


if __name__ == "__main__":
    sys.exit(main())
