"""The hyperparameters of a form: a control for each option that the script's own parser takes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import ipywidgets as widgets

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.notebook.discover import Reading
from anylearn_jupyter.notebook.form_check import OTHER_LINES, value_key
from anylearn_jupyter.notebook.form_controls import Controls
from anylearn_jupyter.notebook.form_draft import Draft
from anylearn_jupyter.notebook.form_options import (
    OptionField,
    Subcommand,
    by_place,
    chosen_parser,
    fields_of,
)
from anylearn_jupyter.notebook.subcommands import words_after_script

SHOWN_AT_FIRST = 24
"""Options of a script whose controls are made at once."""

SHOWN_MORE = 48
"""Those that one press of the button adds: each takes the page a few milliseconds."""

_FIND = "find an option"


class Values:
    """The section of a script's own options.

    Parameters
    ----------
    controls : Controls
        Makes the controls.
    draft : Draft
        What they show and change.

    Attributes
    ----------
    box : VBox
        The section.
    """

    def __init__(self, controls: Controls, draft: Draft) -> None:
        self._controls = controls
        self._draft = draft
        self._fields: tuple[OptionField, ...] = ()
        self._commands: tuple[Subcommand, ...] = ()
        self._made: dict[str, widgets.Widget] = {}
        self._chosen_by: dict[int, tuple[tuple[str, ...], widgets.Widget]] = {}
        self._limit = SHOWN_AT_FIRST
        self._wanted = ""
        self._entrypoint = ""
        self._reading: Reading | None = None
        self._above = controls.rows((), "rows")
        self._rows = controls.rows((), "rows", "values")
        self._below = controls.rows((), "rows", "values")
        self._more = controls.button("", self._show_more, "quiet", "indented")
        self._more.layout = widgets.Layout()  # its own, as it comes and goes
        self._find = controls.text(_FIND, "Find an option", "", self._search)
        self.box = controls.section(
            "Hyperparameters", (self._above, self._rows, self._more, self._below)
        )

    def show(self, entrypoint: str, reading: Reading | None) -> None:
        """Show the options of another script, or of the same one after it was changed."""
        self._entrypoint, self._reading = entrypoint, reading
        parser = reading.parser if reading is not None else None
        self._fields, self._commands = (), ()
        places: tuple[str, ...] = ()
        if parser is not None:
            words = words_after_script(entrypoint) or []
            parser, self._commands = chosen_parser(parser, words, self._draft.names())
            self._fields, places = fields_of(parser), by_place(parser)
        self._made = {}
        self._limit = SHOWN_AT_FIRST
        searchable = len(self._fields) > SHOWN_AT_FIRST
        self._above.children = (*self._choosers(), *([self._find] if searchable else []))
        self._below.children = (self._other_lines(places),)
        self._fill()

    @property
    def names(self) -> frozenset[str]:
        """The names that have a control, made already or not."""
        return frozenset(one.name for one in self._fields)

    @property
    def made(self) -> frozenset[str]:
        """The names whose controls are made."""
        return frozenset(self._made)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why not all of the script's options are known, a sentence each."""
        return self._reading.reasons if self._reading is not None else ()

    # The controls.

    def _fill(self) -> None:
        """Put the controls into the section that are looked for, as many as are shown."""
        words = self._wanted.split()
        found = [one for one in self._fields if one.matches(words)]
        if not words:
            given = set(self._draft.names())
            found.sort(key=lambda one: not (one.required or one.name in given))
        self._rows.children = tuple(self._control(one) for one in found[: self._limit])
        left = len(found) - self._limit
        self._more.layout.display = None if left > 0 else "none"
        self._more.description = f"Show {min(left, SHOWN_MORE)} more of {left}"

    def _show_more(self) -> None:
        self._limit += SHOWN_MORE
        self._fill()

    def _search(self, text: str) -> None:
        self._wanted = text
        self._limit = SHOWN_AT_FIRST
        self._fill()

    def _control(self, field: OptionField) -> widgets.Widget:
        if field.name not in self._made:
            self._made[field.name] = self._new_control(field)
        return self._made[field.name]

    def _new_control(self, field: OptionField) -> widgets.Widget:
        value = self._draft.value(field.name)
        key, label = value_key(field.name), one_line(field.name, 60)
        shown = field.chosen(value)
        if field.kind == "flag" and shown is not None:
            return self._controls.flag(
                key,
                label,
                lambda on: self._draft.put_value(field.name, "" if on else None),
                on=value is not None,
                hint=field.hint,
            )
        if field.kind == "choice" and shown is not None:
            empty = "" if field.required else field.placeholder or "not given"
            return self._controls.choice(
                key,
                label,
                [(empty, ""), *((one, one) for one, _ in field.choices)],
                shown,
                lambda one: self._draft.put_value(field.name, field.written(one)),
                hint=field.hint,
                required=field.required,
            )
        return self._controls.text(
            key,
            label,
            "true" if value == "" else value or "",
            lambda text: self._draft.put_value(field.name, text.strip() or None),
            hint=field.hint,
            placeholder=field.placeholder,
            required=field.required,
        )

    # Beside them.

    def _choosers(self) -> list[widgets.Widget]:
        """Give a list for each level of subcommands; one that is there stays, with who is in it."""
        for level, command in enumerate(self._commands):
            known = self._chosen_by.get(level)
            if known is None or known[0] != command.names:
                self._chosen_by[level] = command.names, self._chooser(level, command)
        return [self._chosen_by[level][1] for level in range(len(self._commands))]

    def _chooser(self, level: int, command: Subcommand) -> widgets.Widget:
        return self._controls.choice(
            f"command {level}",
            "Command",
            [("", ""), *((one, one) for one in command.names)],
            command.chosen,
            partial(self._choose, level),
            hint="a subcommand of the script, with options of its own",
        )

    def _choose(self, level: int, name: str) -> None:
        for one in self._commands[level:]:
            if one.chosen:
                self._draft.put_value(one.chosen, None)
        if name:
            self._draft.put_value(name, "")
        self.show(self._entrypoint, self._reading)

    def _is_shown(self, name: str) -> bool:
        commands = {one.chosen for one in self._commands}
        return name in self.names or name in commands

    def _other_lines(self, places: Sequence[str]) -> widgets.Widget:
        by_its_place = ""
        if places:
            named = ", ".join(one_line(place, 40) for place in places)
            by_its_place = f"; by its place, as `-- value`: {named}"
        what = "Other lines" if self._fields else "Lines"
        return self._controls.lines(
            OTHER_LINES,
            what,
            "\n".join(self._draft.other_lines(self._is_shown)),
            lambda text: self._draft.put_other_lines(
                text.split("\n") if text.strip() else [], self._is_shown
            ),
            hint="as below %%anylearn_train: NAME = value, NAME in [first, second] to try several, "
            f"-- words{by_its_place}",
        )
