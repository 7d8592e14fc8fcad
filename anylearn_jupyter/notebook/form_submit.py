"""What the buttons of a form do, in a thread: show what would be sent, and submit."""

from __future__ import annotations

import argparse
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import ipywidgets as widgets

from anylearn_jupyter.errors import AnylearnError, OptionError
from anylearn_jupyter.notebook.attached import attached_text, reuses
from anylearn_jupyter.notebook.card import begin_twin
from anylearn_jupyter.notebook.form_twin import FormTwin
from anylearn_jupyter.notebook.monitor import monitor
from anylearn_jupyter.notebook.plan_html import plan_html
from anylearn_jupyter.notebook.swept import swept_notes
from anylearn_jupyter.notebook.table_widget import FollowedGroup, GroupTable, table_twin
from anylearn_jupyter.notebook.terminal import size_text
from anylearn_jupyter.notebook.training import Training, check_variable
from anylearn_jupyter.notebook.widget import TaskCard
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.planning import plan
from anylearn_jupyter.submit.sweep import Sweep
from anylearn_jupyter.submit.sweep_request import SweepRequest
from anylearn_jupyter.submit.sweeping import submit_sweep
from anylearn_jupyter.submit.task import TrainTask

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

Say = Callable[[str, str], None]
"""Says something below the controls: its kind, and its text."""

CARDS = 4
"""Tasks of one form that are shown at once."""

_logger = logging.getLogger(__name__)


class Submitter:
    """Submits what a form asks for, and shows it below.

    Parameters
    ----------
    shell : InteractiveShell
        Whose variables ``-o`` writes.
    outlet : VBox
        Where cards go.
    twin : FormTwin
        Where their twins go.
    say : Say
        Told how far it is.

    Attributes
    ----------
    last : TrainTask, Sweep or None
        What was submitted last.
    """

    def __init__(
        self, shell: InteractiveShell, outlet: widgets.Box, twin: FormTwin, say: Say
    ) -> None:
        self._shell = shell
        self._outlet = outlet
        self._twin = twin
        self._say = say
        self.last: TrainTask | Sweep | None = None

    def plan(self, wanted: Training, shown: widgets.HTML) -> None:
        """Show what would be sent; nothing is."""

        def find_out() -> None:
            found = plan(wanted.request, SaidProgress(self._say))
            notes = (*wanted.notes, *swept_notes(wanted.sweep))
            shown.value = plan_html(found, notes)  # all of it is escaped
            self._say("info", "")

        self._run(find_out)

    def submit(self, wanted: Training, given: argparse.Namespace) -> None:
        """Submit, as the cell would: attached to the same task where there is one."""
        try:
            reuse = reuses(given, headless=False)
            variable = check_variable(given.out)
        except OptionError as error:
            self._say("error", str(error))
            return

        def send() -> None:
            progress = SaidProgress(self._say)
            for note in wanted.notes:
                progress.note(note)
            if wanted.sweep is not None:
                self._sweep(wanted.sweep, progress, variable, reuse=reuse)
                return
            made = submit(wanted.request, progress, reuse=reuse)
            said = "Submitted."
            if made.attached:
                made.task.note = attached_text(made.task)
                said = f"{made.task.note[0].upper()}{made.task.note[1:]}."
            self._keep(made.task, variable)
            self._show(made.task)
            self._say("good", " ".join([said, *progress.notes]))

        self._run(send)

    def _sweep(
        self, wanted: SweepRequest, progress: SaidProgress, variable: str | None, *, reuse: bool
    ) -> None:
        sweep = submit_sweep(wanted, progress, reuse=reuse)
        self._keep(sweep, variable)
        followed = FollowedGroup(sweep)
        table = GroupTable(followed)
        self._put(table)
        shown = table_twin(followed, self._twin.below(sweep.id))
        shown.begin()
        monitor().show_of_many(table.feed)
        monitor().show_of_many(shown)
        self._say("good", f"A sweep of {len(sweep)} trainings is submitted.")

    def _keep(self, made: TrainTask | Sweep, variable: str | None) -> None:
        self.last = made
        if variable is not None:
            self._shell.user_ns[variable] = made

    def _show(self, task: TrainTask) -> None:
        view = monitor().follow(task)
        card = TaskCard(task, view)
        self._put(card)
        begin_twin(card, self._twin.below(task.id))
        monitor().show(task, card.feed)

    def _put(self, view: widgets.Widget) -> None:
        """Put a live view below the form; the newest stands first."""
        self._outlet.children = (view, *self._outlet.children[: CARDS - 1])

    def _run(self, job: Callable[[], None]) -> None:
        """Do something in a thread, and say what went wrong."""

        def run() -> None:
            try:
                job()
            except AnylearnError as error:
                self._say("error", str(error))
            except Exception as error:
                _logger.exception("a form could not be submitted")
                self._say("error", f"It could not be done: {type(error).__name__}: {error}")

        threading.Thread(target=run, name="anylearn-form-submit", daemon=True).start()


class SaidProgress:
    """Says how far a submission is in one line.

    Parameters
    ----------
    say : Say
        Who says it.

    Attributes
    ----------
    notes : list of str
        What the user should know.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._shown_tenth = -1
        self._label = ""
        self.notes: list[str] = []

    def step(self, name: str, detail: str = "") -> None:
        """Say the step."""
        self._say("busy", f"{name} …")

    def bytes(self, label: str, sent: int, total: int) -> None:
        """Say how much of a transfer is done, whenever a tenth is."""
        tenth = sent * 10 // total if total else 0
        if label == self._label and tenth == self._shown_tenth:
            return
        self._label, self._shown_tenth = label, tenth
        of = f" of {size_text(total)}" if total else ""
        self._say("busy", f"{label}: {size_text(sent)}{of}")

    def note(self, text: str) -> None:
        """Keep it for the end."""
        self.notes.append(text)
