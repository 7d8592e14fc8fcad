"""The form: ``%anylearn_form``, ``%%anylearn_train --form`` and `anylearn_jupyter.form`.

Its truth is the text of a cell (`form_draft`). Controls change it, it is checked as the magic would
check it (`form_check`), and its button submits it. What takes time (a server, a large folder, the
reading of a script) is done in threads of the form's own and comes in when it comes.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from anylearn_jupyter.errors import AnylearnError, OptionError
from anylearn_jupyter.notebook.discover import Reading
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.form_check import (
    ENTRY,
    OTHER_LINES,
    Checked,
    NotNowError,
    StillNames,
    check,
    option_key,
    value_key,
)
from anylearn_jupyter.notebook.form_choices import (
    Choices,
    ask_server,
    data_text,
    remote_text,
    scripts_in,
)
from anylearn_jupyter.notebook.form_controls import Controls
from anylearn_jupyter.notebook.form_data import Data, Row
from anylearn_jupyter.notebook.form_draft import Draft
from anylearn_jupyter.notebook.form_later import Later
from anylearn_jupyter.notebook.form_magic import MagicFields, folded
from anylearn_jupyter.notebook.form_panel import FormPanel
from anylearn_jupyter.notebook.form_resources import Resources
from anylearn_jupyter.notebook.form_twin import FormTwin
from anylearn_jupyter.notebook.form_values import Values
from anylearn_jupyter.notebook.training import Training, script_of, training

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from IPython.core.interactiveshell import InteractiveShell

    from anylearn_jupyter.notebook.form_submit import Submitter

TYPING_S = 0.15
"""Seconds without a key before what was typed is checked."""

SETTLED_S = 0.3
"""Seconds between a button and the reading of the cell: a page holds the last keys back until the
kernel has answered the ones before, and its buttons overtake them."""

READING = "Reading what is here …"

TWIN_S = 2.0
"""Seconds without a change before the twin is written anew."""


class Form:
    """A form in one cell.

    Parameters
    ----------
    shell : InteractiveShell
        The running cell's.
    parser : ArgumentParser
        Of ``%%anylearn_train``.
    draft : Draft
        What it shows at first.
    configured_server : str
        What ``%config`` says; empty for nothing.

    Attributes
    ----------
    box : VBox
        What is shown.

    Notes
    -----
    Source: notebook spec, "The form".
    """

    def __init__(
        self,
        shell: InteractiveShell,
        parser: ArgumentParser,
        draft: Draft,
        *,
        configured_server: str = "",
    ) -> None:
        self._shell = shell
        self._parser = parser
        self._draft = draft
        self._configured = configured_server
        self._lock = threading.RLock()
        self._quick, self._slow = Later("anylearn-form"), Later("anylearn-form-server")
        self._id = f"form-{uuid.uuid4().hex[:12]}"
        self._checked = Checked()
        self._typed: dict[str, str] = {}
        self._choices: Choices | None = None
        self._server: str | None = None
        self._told: list[dict[str, str]] = []
        self._twin = FormTwin(self._id, shell.display_pub)
        self._build()

    @property
    def cell(self) -> str:
        """The cell that it stands for."""
        with self._lock:
            return str(self._draft)

    @property
    def task(self) -> object:
        """What it submitted last: a task, or a sweep; None before that."""
        return self._submitter.last if "_submitter" in vars(self) else None

    # What is shown.

    def _build(self) -> None:
        controls = self._controls = Controls(self._edit)
        fields = self._fields = MagicFields(controls, self._draft)
        self._panel = FormPanel(form_id=self._id)
        self._panel.on_msg(self._received)
        self._values = Values(controls, self._draft)
        self._data = Data(controls, self._draft, self._edit, lambda: self._values.names)
        self._resources = Resources(controls, self._draft, fields)
        here = Path.cwd()
        self._entry = fields.field("entry", options=scripts_in(here), put=self._put_entry)
        self._project = fields.field("project", options=())
        self._environment = fields.field("mirror_name", options=())
        self._fold = controls.rows((), "rows")
        self._folded = frozenset(one for group in folded(self._parser).values() for one in group)
        self._fold_button = controls.button("", self._turn_fold, "quiet", "fold")
        self._name_fold()
        self._plan = widgets.HTML()
        self._plan.add_class("anl-form-plan")
        self._outlet = controls.rows((), "rows")
        self._train = controls.button("Train", self._submit, "primary")
        self._preview = controls.button("Show what would be sent", self._show_plan, "quiet", "fold")
        buttons = controls.rows((self._train, self._preview), "buttons")
        where = (
            *(fields.field("server"), self._project, self._environment),
            self._resources.box,
        )
        self.box = controls.rows(
            (
                controls.section("What to train", (self._entry, fields.field("name"))),
                self._values.box,
                self._data.box,
                controls.section("Where it runs", where),
                controls.section("More", (self._fold_button, self._fold)),
                buttons,
                self._panel,
                self._plan,
                self._outlet,
            )
        )
        self.box.add_class("anl-form")
        self._read_script()
        self._update()

    def show(self) -> None:
        """Put it into the running cell, with its twin."""
        found = self.box._repr_mimebundle_()
        data: dict[str, Any] = dict(found[0] if isinstance(found, tuple) else found or {})
        data["text/plain"] = f"A form for {self.cell.splitlines()[0]}"
        data["text/html"] = "<div></div>"
        self._shell.display_pub.publish(data)
        self._twin.begin(self.cell)

    def _ipython_display_(self) -> None:
        self.show()

    def _name_fold(self) -> None:
        verb = "Hide" if self._fold.children else "Show"
        self._fold_button.description = f"{verb} {len(self._folded)} more options"

    def _turn_fold(self) -> None:
        """Open or close the fold, whose controls are made when it is first opened."""
        with self._lock:
            if self._fold.children:
                self._fold.children = ()
            else:
                self._fold.children = tuple(
                    self._controls.group(title, [self._fields.field(one) for one in dests])
                    for title, dests in folded(self._parser).items()
                )
            self._name_fold()
            self._show_hints()

    # What is typed.

    def _edit(self, key: str, change: Callable[[], None]) -> None:
        """Change the draft, bring the cell up to date at once, and the rest soon."""
        with self._lock:
            try:
                change()
                self._typed.pop(key, None)
            except OptionError as error:
                self._typed[key] = str(error)
            self._told = []
            self._update()

    def _put_entry(self, text: str) -> None:
        self._draft.put("entry", text)
        self._quick.soon("script", self._read_script, TYPING_S)

    def _update(self) -> None:
        self._panel.cell = str(self._draft)
        self._show_hints()
        self._quick.soon("check", self._check, TYPING_S)
        self._slow.soon("data", self._look_at_data, TYPING_S)
        self._quick.soon("twin", lambda: self._twin.follow(self.cell), TWIN_S)

    # What is found out; threads of the form's own.

    def _read_script(self) -> None:
        """Read what the script takes, and show that."""
        with self._lock:
            given, body = self._draft.given, self._draft.body
        entrypoint, reading, hint = "", None, ""
        try:
            entrypoint, reading = script_of(given, body, StillNames(self._shell.user_ns))
        except NotNowError:
            hint = "its name is computed when this is submitted"
        except AnylearnError:
            pass  # the check says what is wrong with it
        with self._lock:
            if self._draft.given.entry != given.entry:
                return  # another one is read already
            self._values.show(entrypoint, reading)
            self._controls.hints[ENTRY] = hint or _reading_text(reading, len(self._values.names))
            self._show_hints()

    def _check(self) -> None:
        """Check the cell, and say what is wrong beside the controls."""
        with self._lock:
            cell = self._draft.cell
            body = self._draft.body
        found = check(
            self._parser,
            cell.line,
            body,
            self._shell.user_ns,
            configured_server=self._configured,
        )
        with self._lock:
            if str(self._draft) != str(cell):
                return  # it has changed, so another check comes
            self._checked = found
            self._show_faults()
        server = found.training.request.server if found.training is not None else self._server
        if self._choices is None or server != self._server:
            self._server = server
            self._choices = self._choices or Choices()
            self._slow.soon("server", self._ask_server)

    def _ask_server(self) -> None:
        choices = ask_server(self._server)
        with self._lock:
            before, self._choices = self._choices, choices
            if choices.trouble:
                self._show_faults()
                return
            self._project.options = choices.projects
            self._environment.options = choices.environments
            self._data.offer(choices)
            if before is None or before.groups != choices.groups:
                self._resources.offer(choices)
            self._controls.hints[option_key("server")] = f"cells go to {choices.server}"
            self._show_hints()
            self._show_faults()

    def _received(self, widget: object, content: object, buffers: object) -> None:
        """Find out anew what is free, for who comes back to the form."""
        if isinstance(content, dict) and content.get("k") == "look" and self._choices is not None:
            self._slow.soon("server", self._ask_server)

    def _look_at_data(self) -> None:
        """Say of each row of data how large it is and whether the server has it."""
        with self._lock:
            rows = [(row, row.place) for row in self._data.rows]
            server = self._server
        for row, place in rows:
            text = self._text_of(row, place, server)
            with self._lock:
                self._controls.hints[row.key] = text
                self._show_hints()

    def _text_of(self, row: Row, place: str, server: str | None) -> str:
        if not place or "{" in place:
            return ""
        path = Path(place).expanduser()
        if path.exists():
            return data_text(path, row.kind, server)
        return remote_text(server, place, row.kind)

    # What is said.

    def _show_hints(self) -> None:
        """Say beside each control what it takes; of those that data is given to, that."""
        by_data = {value_key(row.name) for row in self._data.rows if row.is_given}
        hints = self._controls.hints
        told = {key: "gets the path of the data below" for key in by_data if key in hints}
        self._panel.hints = self._controls.by_class({**hints, **told})
        wanted = self._controls.required - by_data
        self._panel.required = [self._controls.class_of(key) for key in wanted]

    def _show_faults(self) -> None:
        found = self._checked
        faults = {self._key_of(key, text): text for key, text in found.errors.items()}
        shown, general = {**faults, **self._typed}, list(found.general)
        for key in [key for key in shown if not self._is_shown(key)]:
            general.append(shown.pop(key))
        self._panel.errors = self._controls.by_class(shown)
        problems = [{"kind": "error", "text": text} for text in general]
        if found.missing:
            names = ", ".join(found.missing)
            problems.append({"kind": "info", "text": f"Still needed: {names}."})
        if found.later:
            texts = ", ".join(found.later)
            problems.append({"kind": "info", "text": f"Computed when it is submitted: {texts}."})
        if self._choices is not None and self._choices.trouble:
            trouble = f"The server's own lists are not known: {self._choices.trouble}"
            problems.append({"kind": "error", "text": trouble})
        problems += [{"kind": "info", "text": text} for text in self._values.reasons]
        told = [one for one in self._told if one not in problems]
        self._panel.problems = [*problems, *told]

    def _key_of(self, key: str, message: str) -> str:
        """Give the key of the control that is on the page for a field."""
        if key in (option_key("data"), option_key("model")):
            row = self._data.row_named(message)
            return key if row is None else row.key
        if key in (option_key("resources"), option_key("quota_group_name")):
            return self._resources.key_of(message)
        return key

    def _is_shown(self, key: str) -> bool:
        """Whether the page has a control for a field now."""
        kind, _, name = key.partition(" ")
        if kind == "value":
            return name in self._values.made
        if kind == "option" and name in self._folded:
            return bool(self._fold.children)
        return key == OTHER_LINES or self._controls.knows(key)

    def _say(self, kind: str, text: str) -> None:
        """Say what happens below the controls; an empty text says nothing more."""
        with self._lock:
            self._told = [{"kind": kind, "text": text}] if text else []
            busy = kind == "busy"
            if kind == "good":
                self._slow.soon("data", self._look_at_data)
                if self._choices is not None:
                    self._slow.soon("server", self._ask_server)
            self._train.disabled = self._preview.disabled = busy
            self._show_faults()

    # What is done.

    @cached_property
    def _submitter(self) -> Submitter:
        """Submits; what it needs is imported when a button is first pressed."""
        from anylearn_jupyter.notebook.form_submit import Submitter

        return Submitter(self._shell, self._outlet, self._twin, self._say)

    def _wanted(self) -> Training | None:
        """Read the cell with all its expressions, as the magic does; say what is wrong with it."""
        with self._lock:
            cell, body = self._draft.cell, self._draft.body
        try:
            given = Draft.of_line(self._parser, cell.line).given
            return training(
                given, body, Names(self._shell.user_ns), configured_server=self._configured
            )
        except AnylearnError as error:
            self._say("error", str(error))
            return None

    def _submit(self) -> None:
        """Answer the button; the cell is read a moment later, when all that was typed is here."""
        self._say("busy", READING)
        self._quick.soon("do", self._submit_now, SETTLED_S)

    def _show_plan(self) -> None:
        self._say("busy", READING)
        self._quick.soon("do", self._plan_now, SETTLED_S)

    def _submit_now(self) -> None:
        wanted = self._wanted()
        if wanted is not None:
            self._plan.value = ""
            self._submitter.submit(wanted, self._draft.given)

    def _plan_now(self) -> None:
        wanted = self._wanted()
        if wanted is not None:
            self._submitter.plan(wanted, self._plan)


def _reading_text(reading: Reading | None, count: int) -> str:
    """Say of a script what could be read of it."""
    if reading is None:
        return ""
    if reading.parser is None:
        return "no options could be read; write them as lines below"
    options = "1 option" if count == 1 else f"{count} options"
    more = "" if reading.parser.complete else ", perhaps not all"
    return f"{options} read from its text{more}"
