"""The ``%%anylearn_train`` cell that makes a given request.

What is written is read again by `training`: the first of several ways to write it that makes the
same request is given, the most readable one first.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anylearn_jupyter.entities import is_id
from anylearn_jupyter.errors import AnylearnError
from anylearn_jupyter.notebook.arguments import parse_line
from anylearn_jupyter.notebook.cell_words import option_word, value_line, word
from anylearn_jupyter.notebook.durations import duration_word
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.magics import AnylearnMagics
from anylearn_jupyter.notebook.options import parser_of
from anylearn_jupyter.notebook.training import training
from anylearn_jupyter.submit.command import entry_command, entry_module, entry_script, shell_text
from anylearn_jupyter.submit.request import DEFAULT_MIRROR, DataInput, InputKind, TrainRequest

MAGIC = "%%anylearn_train"


@dataclass(frozen=True)
class CellText:
    """A cell as a person types it.

    Attributes
    ----------
    words : tuple of str
        The words of the first line behind the magic's name; an option with its value is one.
    body : tuple of str
        The lines below.
    """

    words: tuple[str, ...]
    body: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """What stands behind the magic's name."""
        return " ".join(self.words)

    def __str__(self) -> str:
        """Write the cell."""
        return "\n".join([f"{MAGIC} {self.line}".rstrip(), *self.body])


def cell_text(request: TrainRequest) -> str:
    """Write the cell that makes a request.

    Parameters
    ----------
    request : TrainRequest
        What to train. Paths below the working directory are written relative to it.

    Returns
    -------
    str
        Run in this working directory it makes an equal request, with values as shell text. What no
        cell can say (a strategy for uploads, something named as ``<username>/<name>``) stands in it
        as a comment.

    Notes
    -----
    Source: notebook spec, "The form"; Companions, ``%anylearn_show``.
    """
    ways = list(_ways(request))
    for way in ways:
        if _makes(way, request):
            return str(way)
    return str(ways[0])  # its paths are gone, so that nobody can run it now


def _ways(request: TrainRequest) -> Iterator[CellText]:
    """Give the ways to write a request, most readable first."""
    words, marks = _words(request), tuple(_marks(request))
    notes = tuple(_unsaid(request))
    code = () if request.code_cell is None else ("---", request.code_cell.source)
    values = {name: shell_text(value) for name, value in request.hyperparams}
    published: tuple[str, ...] = ()
    if values:
        literal = f"{{ {values!a} }}"  # two braces side by side would stand for one
        published = (f"--hyperparams {literal}",)
    raw = _raw_line(request.raw_arguments)
    readable = [_parameter(name, text, request) for name, text in values.items()]
    moved, rest = _moved(request)
    for head in ((*words,), (*words, *marks)):
        if None not in readable:
            lines = tuple(line for line in readable if line is not None)
            yield CellText(head, (*lines, *moved, *_raw_line(rest), *notes, *code))
            yield CellText(head, (*lines, *raw, *notes, *code))
        yield CellText((*head, *published), (*raw, *notes, *code))


def _makes(way: CellText, request: TrainRequest) -> bool:
    """Whether a cell makes this request."""
    try:
        given = parse_line(parser_of(AnylearnMagics.anylearn_train), way.line, body=True)
        made = training(given, "\n".join(way.body), Names({})).request
    except AnylearnError:
        return False
    return normal(made) == normal(request)


def normal(request: TrainRequest) -> TrainRequest:
    """Give the request that means the same with values as shell text and whole paths."""
    data = tuple(
        replace(one, path=one.path.absolute()) if one.path is not None else one
        for one in request.data
    )
    code = request.code_cell
    return replace(
        request,
        hyperparams=tuple((name, shell_text(value)) for name, value in request.hyperparams),
        data=data,
        algorithm_dir=request.algorithm_dir and request.algorithm_dir.absolute(),
        working_dir=Path.cwd(),
        code_cell=None if code is None else replace(code, lines_above=0),
    )


# The line.


def _words(request: TrainRequest) -> tuple[str, ...]:
    """Write everything but values."""
    found = [*_what(request)]
    texts: list[tuple[str, str | None]] = [
        ("-n", request.task_name),
        _project(request),
        *((flag, text) for one in request.data for flag, text in _data(one, request)),
        *(("--env", f"{name}={value}") for name, value in request.env),
        *(("--secret", name) for name in request.secrets),
        *_resources(request),
        ("--timeout", None if request.timeout_s is None else duration_word(request.timeout_s)),
        ("--retry", _unless(request.retries, 0)),
        ("--num-nodes", _unless(request.num_nodes, 1)),
        ("--nproc-per-node", _unless(request.nproc_per_node, 1)),
        ("--mirror-name", _unless(request.mirror_name, DEFAULT_MIRROR)),
        ("--output", request.output),
        ("--task-description", request.task_description or None),
        ("--algorithm-name", request.algorithm_name),
        ("--algorithm-git-ref", request.algorithm_git_ref),
        *(("--include", glob) for glob in request.include),
        *(("--exclude", glob) for glob in request.exclude),
        ("--server", request.server),
        ("--resource-polling", _unless(request.polling_s, TrainRequest.polling_s)),
    ]
    if request.require_clean:
        found.append("--require-clean")
    found += [option_word(flag, word(text)) for flag, text in texts if text is not None]
    return tuple(found)


def _unless(value: object, default: object) -> str | None:
    return None if value == default else str(value)


def _what(request: TrainRequest) -> Iterator[str]:
    """Say what is run, and where its code is."""
    entrypoint = request.entrypoint
    if request.code_cell is not None:
        yield "--code"
    elif request.notebook is not None:
        yield word(request.notebook)
    elif entrypoint is not None:
        script, module = entry_script(entrypoint), entry_module(entrypoint)
        if script is not None and entrypoint == entry_command(script) and script[0] not in "-~/":
            yield word(script)
        elif module is not None and entrypoint == f"python -m {module}":
            yield f"-m {module}"
        else:
            yield option_word("--entrypoint", word(entrypoint))
    if request.algorithm_id is not None:
        yield option_word("--algorithm-id", word(request.algorithm_id))
    if request.algorithm_dir is not None and request.algorithm_dir.absolute() != Path.cwd():
        yield option_word("--algorithm-dir", word(shown_path(request.algorithm_dir)))


def shown_path(path: Path) -> str:
    """Write a path as short as it can be from here, so that it is read as this one."""
    whole = path.absolute()
    try:
        short = whole.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(whole)
    return str(whole) if short.startswith("~") or short != short.strip() else short


def _project(request: TrainRequest) -> tuple[str, str | None]:
    if request.project_id is not None:
        flag = "-p" if is_id(request.project_id, "PROJ") else "--project-id"
        return flag, request.project_id
    name = request.project_name
    return ("--project-name" if name is not None and is_id(name, "PROJ") else "-p"), name


def _data(one: DataInput, request: TrainRequest) -> Iterator[tuple[str, str]]:
    """Write one input."""
    place = one.id if one.path is None else shown_path(one.path)
    if place is None:
        return
    noun, short, beginning = {
        InputKind.DATASET: ("dataset", "-d", "DSET"),
        InputKind.MODEL: ("model", "--model", "MODE"),
        InputKind.TASK: ("pretrain", "", ""),
    }[one.kind]
    in_short = short and not one.archive and (one.path is not None or is_id(place, beginning))
    if in_short and place == place.strip():
        yield short, f"{one.name}={place}"
        return
    kind = "task-id" if one.kind is InputKind.TASK else "archive" if one.archive else "id"
    yield f"--{noun}-{'dir' if kind == 'id' and one.path is not None else kind}", place
    first = next(other for other in request.data if other.kind is one.kind and not _short(other))
    if one.name != noun and first == one:
        yield f"--{noun}-hyperparam-name", one.name


def _short(one: DataInput) -> bool:
    """Whether an input is written with its name, as ``-d`` and ``--model`` are."""
    if one.kind is InputKind.TASK or one.archive:
        return False
    beginning = "DSET" if one.kind is InputKind.DATASET else "MODE"
    return one.path is not None or (one.id is not None and is_id(one.id, beginning))


def _resources(request: TrainRequest) -> Iterator[tuple[str, str]]:
    group = request.quota_group
    plain = all(not set(name) & set("=: \t") for name, _ in request.quota_request)
    if request.quota_request and plain and (group is None or not set(group) & set("=:")):
        place = "" if group is None else f"{group}:"
        yield from (("-r", f"{place}{name}={amount}") for name, amount in request.quota_request)
        return
    if group is not None:
        yield "--quota-group-name", group
    yield from (
        ("--quota-group-request", f"{name}={amount}") for name, amount in request.quota_request
    )


def _marks(request: TrainRequest) -> Iterator[str]:
    """Write what stands around names, at least one of the two: so Hydra's own does not hold."""
    prefix, delimiter = request.hyperparams_prefix, request.hyperparams_delimeter
    if prefix != TrainRequest.hyperparams_prefix:
        yield f"--hyperparams-prefix={word(prefix)}"
    if prefix == TrainRequest.hyperparams_prefix or delimiter != TrainRequest.hyperparams_delimeter:
        yield f"--hyperparams-delimeter={word(delimiter)}"


def _unsaid(request: TrainRequest) -> Iterator[str]:
    """Name what no cell can say."""
    if request.algorithm_fullname is not None:
        yield f"# no option names the algorithm {request.algorithm_fullname!r}; write its id"
    for one in request.data:
        if one.fullname is not None:
            yield f"# no option names the {one.kind} {one.fullname!r}; write its id"
    if request.uploader is not None:
        yield f"# with a strategy for uploads of its own: {type(request.uploader).__name__}"


# The body.


def _parameter(name: str, text: str, request: TrainRequest) -> str | None:
    """Write the line of one value, given as shell text; None where there is none."""
    if request.python_values:
        return f"{name} = {{{text}}}"
    if text == "":
        return value_line_of_flag(name)
    again = f" {request.hyperparams_prefix}{name}{request.hyperparams_delimeter}"
    parts = text.split(again) if len(again) > 3 else [text]
    values: list[Any] = []
    for part in parts:
        words = _words_of(part)
        if words is None:
            return None
        values.append(words[0] if len(words) == 1 else [_plain(one) for one in words])
    if len(values) == 1:
        return value_line(name, values[0])
    return value_line(name, [_plain(one) if isinstance(one, str) else one for one in values])


def value_line_of_flag(name: str) -> str | None:
    """Write the line of a flag; None for a name that no line can have."""
    line = value_line(name, "x")
    return None if line is None else name


def _words_of(text: str) -> list[str] | None:
    """Take shell text apart, if it is the plain form of some words."""
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    return words if words and " ".join(map(shlex.quote, words)) == text else None


def _plain(text: str) -> object:
    """Give the number that is written so, if there is one; in a list it needs no quotes then."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text and math.isfinite(number):
            return number
    return text


def _moved(request: TrainRequest) -> tuple[tuple[str, ...], str]:
    """Write arguments such as ``--title=-x`` as lines of the body, and give the rest."""
    words = _words_of_raw(request.raw_arguments)
    lines: list[str] = []
    prefix = request.hyperparams_prefix
    while words:
        name, sign, value = words[0].partition("=")
        line = value_line(name.removeprefix(prefix), value) if sign else None
        if line is None or not prefix or not name.startswith(prefix) or not value.startswith("-"):
            break
        lines.append(line)
        words = words[1:]
    return tuple(lines), shlex.join(words)


def _words_of_raw(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _raw_line(text: str) -> tuple[str, ...]:
    """Write shell text as the line that gives its words."""
    words: Iterable[str] = _words_of_raw(text)
    line = " ".join(word(one) for one in words)
    return (f"-- {line}",) if line else ()
