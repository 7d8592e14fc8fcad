"""``%anylearn_retry``: a task submitted again, with values changed, or exactly as it was."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.card import show_task
from anylearn_jupyter.notebook.discover import read_script
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.grammar import Parameter, read_setting
from anylearn_jupyter.notebook.headless import is_headless, watch_to_the_end
from anylearn_jupyter.notebook.named_tasks import one_task
from anylearn_jupyter.notebook.placing import place
from anylearn_jupyter.notebook.printing import name_of, say
from anylearn_jupyter.notebook.python_values import value_source
from anylearn_jupyter.notebook.refusals import check_names, check_words
from anylearn_jupyter.notebook.script_parser import ScriptParser
from anylearn_jupyter.notebook.secret_prompt import ask_for_secrets
from anylearn_jupyter.notebook.subcommands import words_after_script
from anylearn_jupyter.notebook.submitting import PlainProgress, line_progress
from anylearn_jupyter.notebook.values import SHELL_WORK
from anylearn_jupyter.submit.again import request_again
from anylearn_jupyter.submit.code_cell import check_name
from anylearn_jupyter.submit.command import command_text, entry_script, shell_text, train_command
from anylearn_jupyter.submit.exact import submit_exactly
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.request import TrainRequest

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def retry(
    shell: InteractiveShell,
    task_id: str,
    *,
    settings: Sequence[str],
    exact: bool,
    variable: str | None,
) -> None:
    """Submit a task again and show it as a training cell does: its card, or headless its log.

    Parameters
    ----------
    settings : sequence of str
        Each ``NAME=value`` as ``--set`` of a training cell has it.
    exact : bool
        With the code, data and values of then; excludes settings.
    variable : str or None
        The variable that keeps the new task.

    Raises
    ------
    OptionError, NotFound, SnapshotError, DataError
        What cannot be repeated; nothing has been sent.
    TaskFailed
        Headless: it ended, and not well.
    """
    headless = is_headless(shell)
    names = Names(shell.user_ns)
    record = one_task(task_id, names).record
    if exact and settings:
        raise OptionError("--exact changes nothing; leave out either --exact or --set.")
    changes = [read_setting(text, "--set", names) for text in settings]
    request = changed(request_again(record, {}), changes)
    if request.secrets and not headless:
        ask_for_secrets(request.secrets)
    with nullcontext(PlainProgress()) if headless else line_progress(shell) as progress:
        if exact:
            task = submit_exactly(record, request, progress).task
        else:
            task = submit(request, progress).task
    if variable is not None:
        shell.user_ns[variable] = task
    if headless:
        watch_to_the_end(task)
    else:
        say(f"Task {name_of(task)} is {record.name} again.")
        show_task(task)


def changed(request: TrainRequest, changes: Sequence[Parameter]) -> TrainRequest:
    """Give a request with other values, put on the command line as the script takes them.

    Raises
    ------
    OptionError
        A name is given twice, or the script would refuse it or its value.
    """
    if not changes:
        return request
    sources = {one.name: one.source for one in changes}
    if len(sources) < len(changes):
        twice = next(one.name for one in changes if sources[one.name] != one.source)
        raise OptionError(f"--set gives {twice!r} twice; keep one of them.")
    if request.python_values:
        new = {one.name: value_source(one) for one in changes}
        for one in changes:
            check_name(one.name, one.source)
        return replace(request, hyperparams=tuple((dict(request.hyperparams) | new).items()))
    parser = _parser_of(request)
    prefix, delimiter = request.hyperparams_prefix, request.hyperparams_delimeter
    placed = place(changes, (), parser, prefix=prefix, delimiter=delimiter)
    # What says no to a flag is another word than what says yes.
    gone = set(sources) | {f"no-{name}" for name in sources}
    put = dict(placed.hyperparams)
    kept = {name: value for name, value in request.hyperparams if name not in gone - set(put)}
    raw = " ".join(filter(None, (request.raw_arguments, placed.raw_arguments)))
    again = replace(request, hyperparams=tuple((kept | put).items()), raw_arguments=raw)
    if parser is not None:
        words = {prefix + name: text for name, text in sources.items()}
        _check(again, parser, {prefix + name for name in placed.negated}, words)
    return again


def check_changes(request: TrainRequest, changes: Mapping[str, str]) -> None:
    """Refuse a request whose new values the script's parser, as it is now, would refuse.

    Parameters
    ----------
    request : TrainRequest
        With the new values.
    changes : Mapping
        These, as they stand on the command line, by their names.

    Raises
    ------
    OptionError
        With the parser's own help.
    """
    parser = None if request.python_values else _parser_of(request)
    if parser is not None:
        prefix = request.hyperparams_prefix
        words = {prefix + name: f"{name} = {text}" for name, text in changes.items()}
        _check(request, parser, set(), words)


def _parser_of(request: TrainRequest) -> ScriptParser | None:
    """Read the script's parser as it is now; None where there is none that can be read."""
    script = entry_script(request.entrypoint or "")
    directory = request.algorithm_dir
    if script is None or directory is None or not (directory / script).is_file():
        return None
    return read_script(directory / script, script, root=directory).parser


def _check(
    request: TrainRequest, parser: ScriptParser, negated: set[str], sources: dict[str, str]
) -> None:
    """Refuse what the script's parser would refuse."""
    prefix = request.hyperparams_prefix
    check_names(parser, {word: text for word, text in sources.items() if word not in negated})
    mounts: dict[str, list[str]] = {}
    for one in request.data:
        mounts.setdefault(one.name, []).append("data")
    start, params = train_command("", request.hyperparams, mounts, request.raw_arguments)
    texts = [shell_text(value) for _, value in request.hyperparams]
    first = words_after_script(request.entrypoint or "")
    if first is None or any(SHELL_WORK.search(text) for text in texts):
        return  # only a shell could tell
    try:
        tail = shlex.split(command_text(start, params, prefix, request.hyperparams_delimeter))
    except ValueError:
        return
    check_words(parser, [*first, *tail], sources)
