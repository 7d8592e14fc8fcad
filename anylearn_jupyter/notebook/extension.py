"""Loading and unloading: what is put into an IPython shell, and how it is taken out again.

Three things: the magics, an input transformer that lets ``%%anylearn_train train.py`` stand alone
in a cell (IPython refuses a cell magic without a body before it asks us), and a matcher for Tab.
Doing it twice changes nothing.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from anylearn_jupyter.notebook.completion import matcher_for
from anylearn_jupyter.notebook.magics import AnylearnMagics

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_LONE_LINE = re.compile(r"%%anylearn_train(?![\w?])")


@dataclass
class _Loaded:
    """What was put into a shell."""

    magics: AnylearnMagics
    transformer: LoneLine
    matcher: Any


_loaded: WeakKeyDictionary[InteractiveShell, _Loaded] = WeakKeyDictionary()


def load(ipython: InteractiveShell) -> None:
    """Put our magics, transformer and matcher into a shell, unless they are there."""
    if ipython in _loaded:
        return
    magics = AnylearnMagics(shell=ipython)
    loaded = _Loaded(magics, LoneLine(), matcher_for(magics))
    ipython.register_magics(magics)
    ipython.input_transformers_cleanup.append(loaded.transformer)
    if ipython.Completer is not None:
        ipython.Completer.custom_matchers.append(loaded.matcher)
    _loaded[ipython] = loaded


def unload(ipython: InteractiveShell) -> None:
    """Take everything out that `load` put in."""
    loaded = _loaded.pop(ipython, None)
    if loaded is None:
        return
    monitor = sys.modules.get("anylearn_jupyter.notebook.monitor")
    if monitor is not None:  # no view was shown without it
        monitor.close_monitor()
    manager = ipython.magics_manager
    for table in manager.magics.values():
        for name in [n for n, one in table.items() if _belongs(one, loaded.magics)]:
            del table[name]
    manager.registry.pop(type(loaded.magics).__name__, None)
    _remove(ipython.configurables, loaded.magics)
    _remove(ipython.input_transformers_cleanup, loaded.transformer)
    if ipython.Completer is not None:
        _remove(ipython.Completer.custom_matchers, loaded.matcher)


class LoneLine:
    """Adds an empty line to a cell that is ``%%anylearn_train …`` and nothing else.

    Attributes
    ----------
    has_side_effects : bool
        It has none. But a terminal asks by way of the transformers whether a cell is complete, and
        with this one nobody could type a second line there; those with side effects are left out.
    """

    has_side_effects = True

    def __call__(self, lines: list[str]) -> list[str]:
        """Give the lines of a cell as they are, or with an empty body."""
        if len(lines) == 1 and _LONE_LINE.match(lines[0]):
            return [lines[0] if lines[0].endswith("\n") else f"{lines[0]}\n", "\n"]
        return lines


def _belongs(magic: object, magics: AnylearnMagics) -> bool:
    return getattr(magic, "__self__", None) is magics


def _remove(items: list[Any], item: object) -> None:
    items[:] = [one for one in items if one is not item]
