"""How Sphinx builds these pages: Markdown only, and a warning is an error."""

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
