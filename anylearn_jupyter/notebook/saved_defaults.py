"""``%anylearn_config``: the defaults that a user keeps for all notebooks, shown and changed.

They stand in our own directory, never in the project's, and there is no setting for a secret.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from anylearn_jupyter.client.addresses import checked_address
from anylearn_jupyter.config import LOCAL, SavedDefaults, normal_host
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.home import Home
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.inputs import specified
from anylearn_jupyter.notebook.login import current_server
from anylearn_jupyter.notebook.printing import say, show_table

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

SETTINGS = {
    "server": "where cells train: an address with https://, or local",
    "project": "the project of a cell that names none, by name or id",
    "resources": "what a cell gets that names none, as -r takes it: CPU=2 Memory=8",
    "block": "whether a cell waits for the end: yes or no",
}
"""Every setting, with its meaning."""

_TRUTH = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


def configure(
    shell: InteractiveShell, words: Sequence[str], *, configured_server: str = ""
) -> None:
    """Change saved defaults, and show all of them.

    Parameters
    ----------
    words : sequence of str
        Each ``NAME=VALUE``; ``NAME=`` forgets it.

    Raises
    ------
    OptionError, ConfigError
        There is no such setting, or it cannot have this value; nothing was changed.
    """
    home = Home()
    before = SavedDefaults.read(home)
    names = Names(shell.user_ns)
    changed = before
    for word in words:
        changed = _changed(changed, names.text(word))
    if changed != before:
        changed.save(home)
    rows = [(name, _shown(changed, name), meaning) for name, meaning in SETTINGS.items()]
    show_table(shell, ("setting", "saved", "meaning"), rows)
    used = current_server(None, configured_server)
    if used != (changed.host or LOCAL):
        say(f"Cells of this kernel go to {used}, which it was told otherwise.")


def _changed(defaults: SavedDefaults, word: str) -> SavedDefaults:
    """Give the defaults with one setting changed."""
    name, sign, value = (part.strip() for part in word.partition("="))
    if name not in SETTINGS:
        near = difflib.get_close_matches(name, SETTINGS, n=1)
        guess = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(SETTINGS)}."
        raise OptionError(f"%anylearn_config has no setting {name!r}; {guess}")
    if not sign:
        raise OptionError(
            f"%anylearn_config {name}: write {name}=VALUE, or {name}= to forget what is saved."
        )
    if name == "server":
        host = normal_host(value) if value else LOCAL
        return replace(defaults, host=None if host == LOCAL else checked_address(host))
    if name == "project":
        return replace(defaults, project=value or None)
    if name == "resources":
        specs = tuple(value.split())
        specified(specs, "resources=")
        return replace(defaults, resources=specs)
    if value and value.lower() not in _TRUTH:
        raise OptionError(f"block={value} is neither yes nor no.")
    return replace(defaults, block=_TRUTH[value.lower()] if value else None)


def _shown(defaults: SavedDefaults, name: str) -> str:
    if name == "server":
        return defaults.host or LOCAL
    if name == "project":
        return defaults.project or "your default project"
    if name == "resources":
        return " ".join(defaults.resources) or "the server's default"
    return {None: "in a notebook no, headless yes", True: "yes", False: "no"}[defaults.block]
