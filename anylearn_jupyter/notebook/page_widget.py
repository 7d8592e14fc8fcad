"""What every live view is: a widget whose page side stands in files of ours."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

STATIC = Path(__file__).parent / "static"


def page_module(names: Iterable[str]) -> str:
    """Join modules of the page side into one, as a widget has no other to import from.

    Parameters
    ----------
    names : iterable of str
        In the order in which they need each other; no name stands in two of them. The last one is
        the widget's.
    """
    joined = []
    for name in (*names, "hearing"):
        source = (STATIC / f"{name}.js").read_text(encoding="utf-8")
        source = re.sub(r"^import .*\n", "", source, flags=re.MULTILINE)
        source = re.sub(r"^export default ", "const page = ", source, flags=re.MULTILINE)
        joined.append(re.sub(r"^export ", "", source, flags=re.MULTILINE))
    return "\n".join([*joined, "export default hearing(page);"])


def page_styles(names: Iterable[str]) -> str:
    """Join the styles that a view needs."""
    return "\n".join((STATIC / f"{name}.css").read_text(encoding="utf-8") for name in names)


class PageWidget(anywidget.AnyWidget):
    """A widget whose messages are also handled while a cell runs, and in a page that is slow.

    Attributes
    ----------
    own_id : str
        Of its model, by which the page finds it (``static/hearing.js``).
    """

    own_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        own_id = uuid.uuid4().hex
        super().__init__(model_id=own_id, own_id=own_id, **traits)

    def open(self) -> None:
        """Open the way to the page."""
        super().open()
        self._forget_subshell()

    def _send(self, msg: Any, buffers: Any = None) -> None:
        super()._send(msg, buffers)
        self._forget_subshell()

    def _forget_subshell(self) -> None:
        """Let the page's messages be handled while a cell runs.

        ipykernel 7.4 sends the answers on a comm to the shell that sent on it last, which would be
        the main one, where a running cell has them wait.
        """
        if "_reply_subshell_id" in getattr(self.comm, "__dict__", {}):
            del self.comm._reply_subshell_id
