"""From what stands in a training cell to the `TrainRequest`: one function for each kind of option.

Everything here happens before anything is sent; a mistake is one `OptionError`.
"""

from __future__ import annotations

import argparse
import keyword
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from anylearn_jupyter.client.connection import chosen_server
from anylearn_jupyter.config import normal_host
from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.notebook.code_cells import ReadCell, read_cell
from anylearn_jupyter.notebook.discover import Reading, read_script
from anylearn_jupyter.notebook.expressions import Names
from anylearn_jupyter.notebook.given_options import GivenOptions
from anylearn_jupyter.notebook.grammar import read_body
from anylearn_jupyter.notebook.inputs import (
    mounted,
    polling_s,
    project,
    resources,
    supervision,
    uploader,
    variables,
)
from anylearn_jupyter.notebook.notebook_entry import (
    notebook_command,
    notebook_reading,
    read_notebook,
)
from anylearn_jupyter.notebook.python_values import notebook_values, python_values
from anylearn_jupyter.notebook.script_parser import ScriptParser, Style
from anylearn_jupyter.notebook.swept import sweep_request, swept_points
from anylearn_jupyter.notebook.values import SHELL_WORK, Layered, Values, layered, values_of
from anylearn_jupyter.submit.code_cell import CELL_SCRIPT, CodeCell
from anylearn_jupyter.submit.command import entry_command, entry_module, entry_script
from anylearn_jupyter.submit.entry import check_exists
from anylearn_jupyter.submit.request import DEFAULT_MIRROR, DataInput, TrainRequest
from anylearn_jupyter.submit.sweep_request import SweepRequest

_NOTEBOOK = ".ipynb"


@dataclass(frozen=True)
class Training:
    """What a cell asks for.

    Attributes
    ----------
    request : TrainRequest
        What to train.
    notes : tuple of str
        What the user should know, a sentence each.
    sweep : SweepRequest or None
        Where it asks for several trainings: all of them, `request` being the first.
    """

    request: TrainRequest
    notes: tuple[str, ...] = ()
    sweep: SweepRequest | None = None


def training(
    given: argparse.Namespace, body: str, names: Names, *, configured_server: str = ""
) -> Training:
    """Make the request of a cell.

    Parameters
    ----------
    given : argparse.Namespace
        The options, their texts as templates (`arguments.parse_line`).
    body : str
        The lines below.
    names : Names
        The user's variables.
    configured_server : str
        What ``%config`` says; empty for nothing.

    Raises
    ------
    OptionError, ConfigError
        Something cannot be used; nothing has been sent.

    Notes
    -----
    Source: notebook spec, "``%%anylearn_train``", "Which server".
    """
    options = GivenOptions(given, names)
    algorithm_id = options.text("algorithm_id")
    directory = _directory(options, algorithm_id)
    data = mounted(options)
    run = _run(options, directory, data, body)
    layers = layered(options, read_body(run.head, names))
    points = swept_points(options, layers)
    values, *more = [run.values(options, layers.at(dict(point)), data) for point in points or [()]]
    project_id, project_name = project(options)
    request = TrainRequest(
        entrypoint=values.entrypoint or run.entrypoint,
        algorithm_dir=directory,
        algorithm_id=algorithm_id,
        algorithm_git_ref=options.text("algorithm_git_ref"),
        algorithm_name=options.text("algorithm_name"),
        require_clean=_require_clean(options),
        output=options.text("output"),
        mirror_name=options.text("mirror_name") or DEFAULT_MIRROR,
        hyperparams=values.hyperparams,
        hyperparams_prefix=values.prefix,
        hyperparams_delimeter=values.delimiter,
        raw_arguments=values.raw_arguments,
        data=data,
        project_id=project_id,
        project_name=project_name,
        task_name=options.text("name"),
        task_description=options.text("task_description") or "",
        env=variables(options),
        secrets=tuple(dict.fromkeys(options.texts("secret"))),
        **resources(options),
        **supervision(options),
        include=options.texts("include"),
        exclude=options.texts("exclude"),
        server=_server(options, configured_server),
        code_cell=run.cell and replace(run.cell, swept=tuple(layers.dimensions)),
        notebook=run.notebook,
        polling_s=polling_s(options),
        uploader=uploader(options),
    )
    sweep = None
    if points:
        sweep = sweep_request(options, request, list(zip(points, [values, *more], strict=True)))
    return Training(request, (run.note,) if run.note and values.given else (), sweep)


def script_of(given: argparse.Namespace, body: str, names: Names) -> tuple[str, Reading | None]:
    """Read the script that a cell names, for who shows what it takes.

    Parameters
    ----------
    given, body, names
        As for `training`.

    Returns
    -------
    str, Reading or None
        What is run, without values. None where that is no script that can be read.

    Raises
    ------
    OptionError
        What is to be run is not said, or twice.
    """
    options = GivenOptions(given, names)
    directory = _directory(options, options.text("algorithm_id"))
    notebook = _notebook(options, directory)
    if notebook is not None and directory is not None:
        return "", notebook_reading(directory / notebook, notebook)
    entrypoint = _entrypoint(options, directory)
    if entrypoint is None or directory is None:
        return "", None
    cell = _cell(options, directory, body)
    return entrypoint, _reading(entrypoint, directory)[1] if cell is None else cell.reading


def check_variable(name: str | None) -> str | None:
    """Refuse a name that no variable can have.

    Raises
    ------
    OptionError
        It is none.
    """
    if name is not None and (not name.isidentifier() or keyword.iskeyword(name)):
        raise OptionError(f"-o {name}: that is no name for a variable.")
    return name


# The code.


def _require_clean(options: GivenOptions) -> bool:
    if options.given.require_clean and options.given.algorithm_force_update:
        raise OptionError("--require-clean and --algorithm-force-update exclude each other.")
    return bool(options.given.require_clean)


def _directory(options: GivenOptions, algorithm_id: str | None) -> Path | None:
    given = options.text("algorithm_dir")
    if given is None:
        return None if algorithm_id is not None else Path.cwd()
    directory = Path(given).expanduser().absolute()
    if not directory.is_dir():
        what = "is no directory" if directory.exists() else "does not exist"
        raise OptionError(f"--algorithm-dir {given} {what}; name the code directory.")
    return directory


@dataclass(frozen=True)
class _Run:
    """What is run, and what is known of it.

    Attributes
    ----------
    entrypoint : str or None
        The shell command; None for the algorithm's own.
    head : str
        The cell's lines of values.
    parser : ScriptParser or None
        What reads its command line, where that is known.
    note : str
        What the user should know who gives values; may be empty.
    cell : CodeCell or None
        The cell's own code.
    notebook : str or None
        The notebook that is executed.
    known : Mapping or None
        Its parameters with their defaults.
    """

    entrypoint: str | None
    head: str
    parser: ScriptParser | None = None
    note: str = ""
    cell: CodeCell | None = None
    notebook: str | None = None
    known: Mapping[str, object] | None = None

    def values(self, options: GivenOptions, layers: Layered, data: tuple[DataInput, ...]) -> Values:
        """Write the values as it takes them."""
        entrypoint = self.entrypoint or ""
        if self.notebook is not None:
            return notebook_values(layers, data, entrypoint, self.known, self.notebook)
        if self.cell is not None and self.cell.assigned:
            return python_values(layers, data, entrypoint)
        return values_of(options, layers, data, self.parser, entrypoint)


def _run(
    options: GivenOptions, directory: Path | None, data: tuple[DataInput, ...], body: str
) -> _Run:
    """Find out what a cell runs."""
    entrypoint = _entrypoint(options, directory)
    notebook = _notebook(options, directory)
    if notebook is not None and directory is not None:
        found = read_notebook(directory / notebook, notebook)
        command = notebook_command(notebook, options.text("output"), data)
        return _Run(command, body, note=found.note, notebook=notebook, known=found.known)
    cell = _cell(options, directory, body)
    parser, note = _script_parser(entrypoint, directory, options, cell)
    if cell is None:
        return _Run(entrypoint, body, parser, note)
    return _Run(entrypoint, cell.head, parser, note, cell.code)


def _notebook(options: GivenOptions, directory: Path | None) -> str | None:
    """Name the notebook that is the entry, relative to the code directory; None for any other."""
    entry = _entry(options)
    if entry is None or not entry.endswith(_NOTEBOOK):
        return None
    if directory is None or options.given.algorithm_id is not None:
        raise OptionError(
            f"{entry} is a notebook of a code directory; leave out --algorithm-id, or name a "
            "script of that code."
        )
    return _relative(entry, directory)


def _entrypoint(options: GivenOptions, directory: Path | None) -> str | None:
    entry, module = _entry(options), options.text("module")
    command = options.text("entrypoint")
    ways = [
        way
        for way, used in (
            ("--code", options.given.code),
            (f"ENTRY ({entry})", entry),
            (f"-m {module}", module),
            ("--entrypoint", command),
        )
        if used
    ]
    if len(ways) > 1:
        raise OptionError(f"{' and '.join(ways)} both say what to run; leave one of them out.")
    if options.given.code:
        return entry_command(CELL_SCRIPT)
    if entry is not None and entry.endswith(_NOTEBOOK):
        return None
    if entry is not None:
        script = _relative(entry, directory)
        as_command = entry_command(script)
        if directory is not None and not options.given.algorithm_id:
            check_exists(script, directory)
        return as_command
    if module is not None:
        return entry_command(f"-m {module}")
    if command is None and options.given.algorithm_id is None:
        raise OptionError(
            "There is nothing to run; name a script, as in `%%anylearn_train train.py`, or the "
            'whole command with --entrypoint "…".'
        )
    return command


def _cell(options: GivenOptions, directory: Path | None, body: str) -> ReadCell | None:
    """Take a cell apart that is the script; None for any other."""
    if not options.given.code:
        return None
    if directory is None or options.given.algorithm_id is not None:
        raise OptionError("--code and --algorithm-id both say what the code is; leave one out.")
    return read_cell(body, directory)


def _entry(options: GivenOptions) -> str | None:
    words = options.texts("entry")
    if not words:
        return None
    if len(words) > 1:
        extra = words[1]
        name, sign, value = extra.partition("=")
        line = f"{name} = {value}" if sign else f"-- {shlex.join(words[1:])}"
        raise OptionError(
            f"{extra!r} is no option; arguments of the script stand below the line "
            f"`%%anylearn_train {words[0]}`, as the line `{line}`."
        )
    return words[0]


def _relative(entry: str, directory: Path | None) -> str:
    """Name a script relative to the code directory, where its copy will be."""
    path = Path(entry).expanduser()
    if directory is None or not path.is_absolute():
        return entry
    for root in (directory, directory.resolve()):
        if path.is_relative_to(root):
            return path.relative_to(root).as_posix()
    raise OptionError(
        f"The script {entry!r} is not in the code directory {directory}; name that with "
        f"--algorithm-dir {path.parent}."
    )


def _script_parser(
    entrypoint: str | None,
    directory: Path | None,
    options: GivenOptions,
    cell: ReadCell | None = None,
) -> tuple[ScriptParser | None, str]:
    """Read the script's parser; where it is not known to the end, a note for who gives values."""
    if entrypoint is None or directory is None:
        return None, ""
    if cell is None:
        script, reading = _reading(entrypoint, directory)
    elif cell.code.assigned:
        return None, ""
    else:
        script, reading = "the cell", cell.reading
    parser = None if reading is None else reading.parser
    keyed = parser is not None and parser.style is Style.HYDRA
    if options.prefix not in ("--", "-") and not keyed:
        return None, ""
    if parser is not None and reading is not None:
        if parser.complete:
            return parser, ""
        return parser, f"What {script} takes is not all known here: {' '.join(reading.reasons)}"
    sent_as = f"each value is sent as `{options.prefix}name value`, unchecked"
    if script is None:
        return None, f"The command's options are not known here, so {sent_as}."
    why = " ".join(reading.reasons) if reading is not None else f"There is no module {script} here."
    return None, f"No parser can be read in {script}, so {sent_as}. {why}"


def _reading(entrypoint: str, directory: Path) -> tuple[str | None, Reading | None]:
    """Read what an entrypoint runs; its name, and what could be read."""
    script, module = entry_script(entrypoint), entry_module(entrypoint)
    if SHELL_WORK.search(entrypoint) is None:
        if script is not None:
            return script, read_script(directory / script, script, root=directory)
        if module is not None:
            return module, _module_reading(directory, module)
    return script, None


def _module_reading(directory: Path, module: str) -> Reading | None:
    """Read what ``python -m module`` runs."""
    path = directory.joinpath(*module.split("."))
    for file, package in (
        (path / "__main__.py", module),
        (path.with_suffix(".py"), module.rpartition(".")[0]),
    ):
        if file.is_file():
            return read_script(file, module, root=directory, package=package, as_module=True)
    return None


# The server.


def _server(options: GivenOptions, configured: str) -> str | None:
    """Give the server that the request has to name; None leaves it to the connection."""
    named = options.text("server")
    if named is not None:
        return normal_host(named)
    if configured and chosen_server() is None:
        return normal_host(configured)
    return None
