"""A training cell with values to try: submit all of its trainings, show their table, wait."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.notebook.printing import say
from anylearn_jupyter.notebook.submitting import PlainProgress, line_progress
from anylearn_jupyter.notebook.table import show_group, watch_sweep_to_the_end
from anylearn_jupyter.submit.sweep import Sweep
from anylearn_jupyter.submit.sweep_request import SweepRequest
from anylearn_jupyter.submit.sweeping import submit_sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from IPython.core.interactiveshell import InteractiveShell


def train_sweep(
    shell: InteractiveShell,
    request: SweepRequest,
    notes: Sequence[str],
    *,
    headless: bool,
    waits: bool,
    reuse: bool,
    variable: str | None,
) -> Sweep:
    """Carry out a cell that asks for several trainings.

    Parameters
    ----------
    shell : InteractiveShell
        The running cell's.
    request : SweepRequest
        What it asks for.
    notes : sequence of str
        What the user should know, a sentence each.
    headless, waits : bool
        Whether nobody sees a live view, and whether the cell waits for the end.
    reuse : bool
        Whether what of the same sweep is there already counts; see `submit_sweep`.
    variable : str or None
        Keeps the sweep, before anything is waited for.

    Raises
    ------
    AnylearnError
        As `submit_sweep`.
    TaskFailed
        It was waited for, and at least one did not succeed.
    """
    with nullcontext(PlainProgress()) if headless else line_progress(shell) as progress:
        for note in notes:
            progress.note(note)
        sweep = submit_sweep(request, progress, reuse=reuse)
    if variable is not None:
        shell.user_ns[variable] = sweep
    if sweep.reused:
        say(_reused_text(sweep))
    if headless and waits:
        watch_sweep_to_the_end(sweep)
    elif headless:
        say(f"The sweep {one_line(sweep.name)} of {len(sweep)} trainings is submitted.")
    else:
        show_group(sweep)
        if waits:
            sweep.wait()
            sweep.raise_if_failed()
    return sweep


def _reused_text(sweep: Sweep) -> str:
    """Say that trainings were there before, and how to train them anew."""
    which = "All" if sweep.reused == len(sweep) else f"{sweep.reused} of the"
    return (
        f"{which} {len(sweep)} trainings were submitted before, with the same code, data and "
        "values, and are shown as they are; --new starts a new sweep."
    )
