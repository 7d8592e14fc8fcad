"""The data of a form: rows of a name and a folder, a file, or what the server has."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets

from anylearn_jupyter.notebook.form_choices import Choices, data_in, place_of
from anylearn_jupyter.notebook.form_controls import Controls
from anylearn_jupyter.notebook.form_draft import Draft
from anylearn_jupyter.submit.request import InputKind

_KINDS = {"data": InputKind.DATASET, "model": InputKind.MODEL}


@dataclass
class Row:
    """One input.

    Attributes
    ----------
    number : int
        Of the row, never used again.
    dest : str
        ``data`` or ``model``: the option that names it.
    template : str
        ``NAME=PATH_OR_ID``.
    """

    number: int
    dest: str
    template: str

    @property
    def name(self) -> str:
        """The hyperparameter that gets its path."""
        return self.template.partition("=")[0].strip()

    @property
    def place(self) -> str:
        """A path or an id."""
        return self.template.partition("=")[2].strip()

    @property
    def is_given(self) -> bool:
        """Whether there is more than a name that waits for its place."""
        return self.template.strip() not in ("", f"{self.name}=")

    @property
    def kind(self) -> InputKind:
        """What it is on the server."""
        return _KINDS[self.dest]

    @property
    def key(self) -> str:
        """The key of its field."""
        return f"row {self.number}"


class Data:
    """The section of the data.

    Parameters
    ----------
    controls : Controls
        Makes the controls.
    draft : Draft
        What they show and change.
    edit : callable
        Carries out a change that no control reports: a row that is added or taken out.
    names : callable
        Gives the names of the script's options.

    Attributes
    ----------
    box : VBox
        The section.
    rows : list of Row
        What it has.
    """

    def __init__(
        self,
        controls: Controls,
        draft: Draft,
        edit: Callable[[str, Callable[[], None]], None],
        names: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._controls = controls
        self._draft = draft
        self._edit = edit
        self._names = names
        self._choices = Choices()
        self._made = 0
        self._boxes: dict[int, tuple[widgets.Widget, widgets.Combobox]] = {}
        self.rows = [self._row(dest, text) for dest in _KINDS for text in draft.texts(dest)]
        self._list = controls.rows((), "rows")
        adders = [
            controls.button("Add data", lambda: self._add("data"), "quiet"),
            controls.button("Add a model", lambda: self._add("model"), "quiet", "fold"),
        ]
        below = controls.rows(adders, "adders")
        self.box = controls.section("Data", (self._list, below))
        self._fill()

    def offer(self, choices: Choices) -> None:
        """Offer what the server has."""
        self._choices = choices
        for row in self.rows:
            self._boxes[row.number][1].options = self._places(row.dest)

    def row_named(self, message: str) -> Row | None:
        """Find the row that a sentence is about; the first one where that is not said."""
        named = [
            row
            for row in self.rows
            if row.name and message.startswith((f"-d {row.name}", f"--model {row.name}"))
        ]
        named += [row for row in self.rows if not row.name and f" {row.template}: " in message]
        return next(iter([*named, *self.rows]), None)

    def _row(self, dest: str, template: str) -> Row:
        self._made += 1
        return Row(self._made, dest, template)

    def _add(self, dest: str) -> None:
        self.rows.append(self._row(dest, f"{self._free_name(dest)}="))
        self._fill()

    def _free_name(self, dest: str) -> str:
        """Give the name that a new row most likely gets: an option of the script, if it has one."""
        taken = {row.name for row in self.rows}
        known = sorted(self._names(), key=lambda name: (name != dest, name))
        likely = [one for one in known if dest in one.casefold() and one not in taken]
        others = (f"{dest}{number or ''}" for number in (0, *range(2, len(taken) + 3)))
        return likely[0] if likely else next(one for one in others if one not in taken)

    def _remove(self, row: Row) -> None:
        self.rows.remove(row)
        self._edit(row.key, self._write)
        self._fill()

    def _fill(self) -> None:
        for row in self.rows:
            if row.number not in self._boxes:
                self._boxes[row.number] = self._new(row)
        self._list.children = tuple(self._boxes[row.number][0] for row in self.rows)

    def _new(self, row: Row) -> tuple[widgets.Widget, widgets.Combobox]:
        noun = "Model" if row.dest == "model" else "Data"
        name = self._controls.text(
            f"{row.key} name",
            f"{noun} given as",
            row.name,
            lambda text: self._put(row, f"{text.strip()}={row.place}"),
        )
        place = self._controls.text(
            row.key,
            "Folder, file or id",
            row.place,
            lambda text: self._put(row, f"{row.name}={place_of(text.strip())}"),
            placeholder="./images",
            options=self._places(row.dest),
        )
        remove = self._controls.button("Remove", lambda: self._remove(row), "quiet")
        remove.tooltip = f"Remove this {noun.lower()}"
        box = self._controls.rows((name, place, remove), "data")
        return box, place

    def _put(self, row: Row, template: str) -> None:
        row.template = template if template != "=" else ""
        self._write()

    def _write(self) -> None:
        for dest in _KINDS:
            texts = [row.template for row in self.rows if row.dest == dest and row.is_given]
            self._draft.put_texts(dest, texts)

    def _places(self, dest: str) -> tuple[str, ...]:
        there = self._choices.models if dest == "model" else self._choices.datasets
        return (*data_in(Path.cwd()), *there)
