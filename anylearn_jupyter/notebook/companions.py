"""The line magics that work with tasks that were submitted: read, stop, fetch."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.errors import NotFound, OptionError
from anylearn_jupyter.notebook.ansi import plain
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.named_tasks import named, one_task
from anylearn_jupyter.notebook.printing import name_of, say
from anylearn_jupyter.notebook.terminal import TerminalText, size_text
from anylearn_jupyter.submit.outcome import outcome_text
from anylearn_jupyter.submit.sweep import Sweep
from anylearn_jupyter.submit.task import TrainTask

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# %anylearn_logs


def print_log(
    shell: InteractiveShell, task_id: str, *, tail: str | None, pattern: str | None, follow: bool
) -> None:
    """Print a task's log as a terminal would show it; metric reports are left out."""
    names = Names(shell.user_ns)
    task = one_task(task_id, names)
    chosen = _Lines(pattern if pattern is None else names.text(pattern), _count(tail))
    if not follow:
        text = TerminalText()
        chosen.take(text.feed(task.log_text()))
        chosen.take(text.close())
        chosen.flush()
        return
    if not task.get_detail().finished:
        say(f"Task {name_of(task)}; an interrupt stops the watching, not the task.")
    with task.outliving_interrupts():
        _follow(task, chosen, everything=tail is None)


def _follow(task: TrainTask, chosen: _Lines, *, everything: bool) -> None:
    """Print what is there and what comes, until the task has ended."""
    text = TerminalText()
    # Of what is there already only the last lines are wanted; what comes then is all new.
    unread = 0 if everything else len(task.log_text())
    for event in task.follow():
        if event.kind == "gone":
            raise NotFound(f"The task {task.id} is not on {task.server} any more.")
        if event.detail is not None:
            task.saw(event.detail)
        if event.kind == "log":
            unread -= len(event.text)
            chosen.take(text.feed(event.text))
            if unread <= 0:
                chosen.flush()
    chosen.take(text.close())
    chosen.flush()


class _Lines:
    """Prints the lines that are wanted: those that fit, and of what was there the last few."""

    def __init__(self, pattern: str | None, tail: int | None) -> None:
        try:
            self._pattern = re.compile(pattern) if pattern is not None else None
        except re.error as error:
            raise OptionError(f"--grep {pattern} is no regular expression: {error}.") from error
        self._held: deque[str] = deque(maxlen=tail)

    def take(self, lines: Iterable[str]) -> None:
        """Keep the lines that fit; a colour is no part of a line's text."""
        for line in lines:
            if self._pattern is None or self._pattern.search(plain(line)):
                self._held.append(line)

    def flush(self) -> None:
        """Print what is kept; from now on every line counts."""
        if self._held:
            say("\n".join(self._held))
        self._held = deque()


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise OptionError(f"--tail {text} is no number of lines.")
    return int(text)


# %anylearn_stop


def stop(shell: InteractiveShell, ids: Sequence[str]) -> None:
    """Stop tasks and whole sweeps; their records, logs and results stay."""
    for task in named(ids, Names(shell.user_ns)):
        if isinstance(task, Sweep):
            stopped = len(task.stop_tasks(range(len(task))))
            rest = len(task) - stopped
            ended = f", {rest} had ended already" if rest else ""
            say(f"{task.title}: {stopped} trainings stopped{ended}.")
            continue
        if task.finished():
            say(f"{name_of(task)} had ended already: {outcome_text(task.detail)}.")
            continue
        task.stop()
        said = outcome_text(task.detail) if task.detail.finished else "is being stopped"
        say(f"{name_of(task)}: {said}.")


# %anylearn_results

_LISTED_FILES = 10


def results(
    shell: InteractiveShell, task_id: str, pattern: str | None, *, to: str | None, wait: bool
) -> Path:
    """Fetch what a task wrote, and say how much it is; the cell shows the folder."""
    names = Names(shell.user_ns)
    task = one_task(task_id, names)
    if wait and not task.finished():
        say(f"Waiting for {name_of(task)}; interrupting this cell stops the waiting, not the task.")
    target = names.text(to) if to is not None else None
    glob = names.text(pattern) if pattern is not None else None
    folder = task.results(glob, target, wait=wait)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    size = size_text(sum(path.stat().st_size for path in files))
    say(f"{len(files)} file{'' if len(files) == 1 else 's'}, {size}:")
    for path in files[:_LISTED_FILES]:
        say(f"  {one_line(path.relative_to(folder).as_posix())} ({size_text(path.stat().st_size)})")
    if len(files) > _LISTED_FILES:
        say(f"  and {len(files) - _LISTED_FILES:,} more")
    return folder
