"""How Sphinx builds these pages: Markdown and notebooks, and a warning is an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from anylearn_jupyter._version import __version__

project = "anylearn-jupyter"
author = "the anylearn-jupyter developers"
project_copyright = "the anylearn-jupyter developers"
release = __version__
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_heading_anchors = 3
html_theme = "alabaster"
html_theme_options = {
    "description": "Train models from a notebook",
    "fixed_sidebar": True,
    "page_width": "1040px",
}
html_sidebars = {"**": ["about.html", "navigation.html", "searchbox.html"]}
source_suffix[".ipynb"] = "markdown"


def as_markdown(app: object, name: str, source: list[str]) -> None:
    """Write a notebook as a page: its text, its code, and what it put out when it was executed."""
    if source[0].lstrip().startswith("{"):
        source[0] = "\n\n".join(_parts(json.loads(source[0])))


def _parts(notebook: dict[str, Any]) -> Iterator[str]:
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield text
            continue
        yield f"```ipython\n{text}\n```"
        yield from map(_output, _joined(cell["outputs"]))


def _joined(outputs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Put what was printed piece by piece together."""
    text = ""
    for one in outputs:
        if one["output_type"] == "stream":
            text += "".join(one["text"])
            continue
        if text:
            yield {"data": {"text/plain": text}}
        text = ""
        yield one
    if text:
        yield {"data": {"text/plain": text}}


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        return f"````{{raw}} html\n{''.join(data['text/html'])}\n````"
    return f"````text\n{''.join(data.get('text/plain', '')).rstrip()}\n````"


def setup(app: Any) -> None:
    """Have notebooks read by `as_markdown`."""
    app.connect("source-read", as_markdown)
