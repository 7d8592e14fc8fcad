"""Run the examples of one page of the documentation, in order, in one IPython shell.

Called as `python page_examples.py PAGE` in an empty directory. In the page, `<!-- file: NAME -->`
before a fence means that its text is the file NAME, and `<!-- runs -->` that it is a cell.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

EXAMPLE = re.compile(
    r"^<!-- (?P<kind>file: (?P<name>\S+)|runs) -->\n```\w+\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Example:
    """A fence that is a file (with a name) or a cell."""

    name: str | None
    text: str


def examples_of(page: Path) -> list[Example]:
    """Read a page's marked fences."""
    found = EXAMPLE.finditer(page.read_text(encoding="utf-8"))
    return [Example(match["name"], match["text"]) for match in found]


def main() -> int:
    """Run a page; 1 at the first cell that raises."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    for example in examples_of(Path(sys.argv[1])):
        if example.name is not None:
            Path(example.name).write_text(example.text, encoding="utf-8")
            continue
        print(f">>> {example.text}", flush=True)
        if not shell.run_cell(example.text, store_history=True).success:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
