"""The part of a form that comes from the magic's own options, made from their declarations."""

from __future__ import annotations

from argparse import Action, ArgumentParser
from collections.abc import Callable, Sequence

import ipywidgets as widgets

from anylearn_jupyter.notebook.form_check import option_key
from anylearn_jupyter.notebook.form_controls import Controls
from anylearn_jupyter.notebook.form_draft import OWN_BUTTONS, Draft, is_list

LABELS = {
    "entry": "Script",
    "name": "Task name",
    "server": "Server",
    "project": "Project",
    "mirror_name": "Environment",
}
"""What the fields are called that everybody sees."""

_WITHOUT = {"name": "a random one", "server": "", "project": "", "mirror_name": "QUICKSTART"}

_NO_TITLES = ("positional arguments", "options")

PICKED = ("data", "model", "resources", "quota_group_name")
"""Options that have pickers of their own."""


def folded(parser: ArgumentParser) -> dict[str, tuple[str, ...]]:
    """Give the options that stand in the fold, all that have no other place, by their groups.

    The groups' titles are those of the magic's help; empty for the options that stand in none.
    """
    own = (*LABELS, *PICKED, *OWN_BUTTONS)
    found: dict[str, tuple[str, ...]] = {}
    for group in parser._action_groups:
        title = "" if group.title in _NO_TITLES else str(group.title)
        dests = tuple(one.dest for one in group._group_actions if one.dest not in own)
        if dests:
            found[title] = (*found.get(title, ()), *dests)
    return found


class MagicFields:
    """Makes fields for options of ``%%anylearn_train``.

    Parameters
    ----------
    controls : Controls
        Makes their controls.
    draft : Draft
        What they show and change.
    """

    def __init__(self, controls: Controls, draft: Draft) -> None:
        self._controls = controls
        self._draft = draft

    def field(
        self,
        dest: str,
        *,
        options: Sequence[str] | None = None,
        put: Callable[[str], None] | None = None,
    ) -> widgets.Widget:
        """Make the control of one option, of the kind that its declaration asks for.

        Parameters
        ----------
        options : sequence of str, optional
            What is offered; any other text is taken too.
        put : callable, optional
            Writes what was typed; default: as it is.
        """
        action = self._draft.action(dest)
        key, hint = option_key(dest), help_of(action)
        label = LABELS.get(dest, dest.replace("_", " "))
        if action.nargs == 0:
            return self._controls.flag(
                key,
                label,
                lambda on: self._draft.put_flag(dest, on=on),
                on=self._draft.is_set(dest),
                hint=hint,
            )
        return self._controls.text(
            key,
            label,
            self._draft.text(dest),
            put or (lambda text: self._draft.put(dest, text)),
            hint=hint,
            placeholder=_placeholder(action),
            options=options,
        )


def help_of(action: Action) -> str:
    """Give an option's help as its declaration has it."""
    text = (action.help or "").replace("%%", "%")
    return f"{text}; several are written as words of a line" if _is_repeated(action) else text


def _is_repeated(action: Action) -> bool:
    return is_list(action) and bool(action.option_strings)


def _placeholder(action: Action) -> str:
    """Say in a control what goes without saying, or what is meant."""
    if action.dest in _WITHOUT:
        return _WITHOUT[action.dest]
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    return metavar if action.option_strings else "train.py"
