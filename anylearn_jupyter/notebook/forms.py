"""Showing a form in the cell that runs, or the cell that it stands for where nobody can fill it in.

This module is light. The widgets' libraries are imported when the first form is shown.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.form_draft import Draft, with_magic
from anylearn_jupyter.notebook.headless import is_headless
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.printing import say
from anylearn_jupyter.submit.again import request_again
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.task import TrainTask

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from anylearn_jupyter.notebook.form import Form


def show_form(
    shell: InteractiveShell,
    given: argparse.Namespace,
    body: str = "",
    *,
    configured_server: str = "",
) -> None:
    """Show the form of a training cell.

    Without a front end the cell is printed, with a sentence that says so.

    Parameters
    ----------
    shell : InteractiveShell
        The running cell's.
    given : argparse.Namespace
        The options of ``%%anylearn_train``, as templates.
    body : str
        The lines below.
    configured_server : str
        What ``%config`` says; empty for nothing.

    Notes
    -----
    Source: notebook spec, "The form", "Headless".
    """
    parser = _train_parser()
    draft = Draft(parser, given, body)
    if is_headless(shell):
        say("Nobody can fill in a form here; this cell does what it would:")
        say("")
        say(str(draft))
        return
    from anylearn_jupyter.notebook.form import Form

    Form(shell, parser, draft, configured_server=configured_server).show()


def form(what: str | Path | TrainRequest | TrainTask | None = None) -> Form:
    """Make a form to fill in, as the last line of a cell shows it.

    Parameters
    ----------
    what : str, Path, TrainRequest or TrainTask, optional
        What it shows at first: a script, the text of a ``%%anylearn_train`` cell, a request, or
        what a task was submitted with. Default: nothing.

    Returns
    -------
    Form
        Shown when it is a cell's value. `cell` is the cell that it stands for, `task` what it
        submitted last.

    Raises
    ------
    OptionError
        There is no notebook to show it in; a text has an option that is none.

    Notes
    -----
    Source: notebook spec, "The form".
    """
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None or getattr(shell, "kernel", None) is None:
        raise OptionError("A form needs a notebook; here, quick_train(…) submits.")
    from anylearn_jupyter.notebook.form import Form

    parser = _train_parser()
    return Form(shell, parser, draft_of(parser, what))


def _train_parser() -> argparse.ArgumentParser:
    from anylearn_jupyter.notebook.magics import AnylearnMagics

    return parser_of(AnylearnMagics.anylearn_train)


def draft_of(
    parser: argparse.ArgumentParser, what: str | Path | TrainRequest | TrainTask | None
) -> Draft:
    """Read what a form is to begin with; see `form`."""
    from anylearn_jupyter.notebook.cell_text import MAGIC, cell_text
    from anylearn_jupyter.notebook.cell_words import word

    if isinstance(what, TrainTask):
        what = request_again(what.record, {})
    if isinstance(what, TrainRequest):
        text = cell_text(what)
    else:
        text = word(str(what)) if isinstance(what, Path) else what or ""
    if not text.lstrip().startswith(MAGIC) and "\n" not in text.strip():
        return Draft.of_line(parser, text)
    return Draft.of_line(parser, *with_magic(text))
