"""The line magics that work with tasks that were submitted: resume, read, stop, fetch."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.errors import NotFound, OptionError
from anylearn_jupyter.notebook.ansi import plain
from anylearn_jupyter.notebook.card import show_static, show_task
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.headless import is_headless
from anylearn_jupyter.notebook.named_tasks import one_task, tasks_named
from anylearn_jupyter.notebook.printing import name_of, say
from anylearn_jupyter.notebook.terminal import TerminalText, size_text
from anylearn_jupyter.submit.outcome import outcome_text
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.tasks import unfinished_tasks

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

# %anylearn_resume


def resume(
    shell: InteractiveShell, ids: Sequence[str], *, everything: bool, variable: str | None
) -> None:
    """Show tasks again: the named ones, or the unfinished ones of this directory, or all."""
    if ids and everything:
        raise OptionError("--all and an ID exclude each other; leave one of them out.")
    headless = is_headless(shell)
    tasks = tasks_named(ids, Names(shell.user_ns)) if ids else _unfinished(everything=everything)
    if variable is not None:
        shell.user_ns[variable] = tasks
    for task in tasks:
        if not headless:
            show_task(task)
        elif task.trouble:
            say(f"{name_of(task)} was last seen {task.phase}: {one_line(task.trouble)}")
        else:
            show_static(task)


def _unfinished(*, everything: bool) -> list[TrainTask]:
    """Give the unfinished tasks that are wanted, and tell of the others."""
    here = str(Path.cwd())
    known = unfinished_tasks()
    wanted = [task for task in known if everything or task.record.working_dir == here]
    tasks = [task for task in wanted if not task.detail.finished]
    ended = [task for task in wanted if task.detail.finished]
    if ended:
        listed = ", ".join(f"{one_line(task.name)} ({outcome_text(task.detail)})" for task in ended)
        say(f"Ended since last seen: {listed}; `%anylearn_resume NAME` shows one.")
    elif not tasks:
        say(f"There is no unfinished task{'' if everything else ' of this directory'}.")
    others = sum(not task.detail.finished for task in known) - len(tasks)
    if others:
        plural = "s are" if others > 1 else " is"
        say(
            f"{others} unfinished task{plural} from other directories; `%anylearn_resume --all` "
            "shows them too."
        )
    return tasks


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
    """Stop tasks; their records, logs and results stay."""
    for task in tasks_named(ids, Names(shell.user_ns)):
        if task.finished():
            say(f"{name_of(task)} had ended already: {outcome_text(task.detail)}.")
            continue
        task.stop()
        said = outcome_text(task.detail) if task.detail.finished else "is being stopped"
        say(f"{name_of(task)}: {said}.")


# %anylearn_results


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
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = size_text(sum(path.stat().st_size for path in files))
    say(f"{len(files)} file{'' if len(files) == 1 else 's'}, {size}:")
    return folder
