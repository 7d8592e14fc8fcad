"""Build the documentation into build/docs: execute the tutorial, run the examples, warn of nothing.

The pages are built from a copy in build/docs-source, so that the tutorial in docs/ stays without
outputs. Screenshots of the browser tests are shown where `make test-browser` has left some.
`--no-examples` leaves out the examples of the pages, which the tests run as well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "build" / "docs-source"
TARGET = ROOT / "build" / "docs"
SCREENSHOTS = ROOT / "build" / "screenshots"
CELL_LIMIT_S = 300


def copy_pages() -> None:
    """Copy the pages, and put the screenshots where the page for them is."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", SOURCE)
    for page in ROOT.glob("*.md"):
        shutil.copy(page, SOURCE.parent / page.name)  # some pages take them in
    found = sorted(SCREENSHOTS.glob("*.png")) if SCREENSHOTS.exists() else []
    if not found:
        return
    shutil.copytree(SCREENSHOTS, SOURCE / "screenshots")
    page = SOURCE / "screenshots.md"
    text = page.read_text(encoding="utf-8")
    for path in found:
        title = path.stem.replace("-", " ").replace("_", " ")
        text += f"\n## {title}\n\n![{title}](screenshots/{path.name})\n"
    page.write_text(text, encoding="utf-8")


def execute_tutorial() -> None:
    """Execute the tutorial in place, with an engine and a home of its own."""
    path = SOURCE / "tutorial.ipynb"
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(SOURCE)}}
    client = NotebookClient(
        notebook, timeout=CELL_LIMIT_S, resources=place, extra_arguments=["--log-level=ERROR"]
    )
    try:
        client.execute()
    finally:
        stop = [sys.executable, "-m", "anylearn_jupyter.engine", "stop", "--tasks"]
        subprocess.run(stop, check=False, stdout=subprocess.DEVNULL, timeout=60)
        shutil.rmtree(SOURCE / "tutorial-work", ignore_errors=True)
    nbformat.write(notebook, path)


def run(*words: str) -> None:
    """Run a Python module, and stop here if it fails."""
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Do all of it."""
    home = ROOT / "build" / "docs-home"
    shutil.rmtree(home, ignore_errors=True)
    os.environ["ANYLEARN_HOME"] = str(home)
    copy_pages()
    print("executing docs/tutorial.ipynb", flush=True)
    execute_tutorial()
    run("sphinx", "--fail-on-warning", "--keep-going", "-q", str(SOURCE), str(TARGET))
    if "--no-examples" not in sys.argv[1:]:
        print("running the examples of all pages", flush=True)
        run("pytest", "-q", "tests/test_docs.py", "tests/test_surface.py", "-k", "not build")
    print(TARGET / "index.html")


if __name__ == "__main__":
    main()
