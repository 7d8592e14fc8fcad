"""What Tab can offer for each kind of value: from the ledger, the memory of servers, and files.

Nobody is asked over the network. `VALUES` says for each option and argument of our magics which
kind it takes; `FREE` names those that take a text of the user's own.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anylearn_jupyter.notebook.script_parser import ScriptOption, ScriptParser
    from anylearn_jupyter.submit.task_record import TaskRecord

MAX_TASKS = 200
"""The newest tasks, whose ids, names, projects and inputs are offered."""

MAX_PATHS = 100
"""Files and folders that are offered at once."""

_KEPT_READINGS = 8
_readings: dict[tuple[str, str, int, int], ScriptParser | None] = {}


class Known:
    """What is known when Tab is pressed; each thing is read when it is first wanted.

    Parameters
    ----------
    words : Sequence of str
        The words of the line before the one that is completed.
    variables : Mapping
        The user's variables.
    """

    def __init__(self, words: Sequence[str], variables: Mapping[str, Any]) -> None:
        self.words = words
        self.variables = variables

    @cached_property
    def records(self) -> list[TaskRecord]:
        """The newest tasks; none where the ledger is not there or cannot be read."""
        from anylearn_jupyter.home import Home
        from anylearn_jupyter.submit.newest_tasks import newest_tasks

        return newest_tasks(Home(), MAX_TASKS)

    @cached_property
    def requests(self) -> list[Mapping[str, Any]]:
        """What these tasks asked for."""
        found = [record.profile.get("request") for record in self.records]
        return [one for one in found if isinstance(one, dict)]

    @cached_property
    def parser(self) -> ScriptParser | None:
        """The parser of the script that the line trains; None where none can be read."""
        directory = Path(self.after("--algorithm-dir") or ".").expanduser()
        entry = next((word for word in self.words if word.endswith(".py")), None)
        return None if entry is None else _reading_of(directory, entry)

    def after(self, *options: str) -> str | None:
        """Give the word after one of these options."""
        pairs = zip(self.words, self.words[1:], strict=False)
        return next((value for word, value in pairs if word in options), None)

    def asked(self, name: str) -> list[str]:
        """Give the different values of a field of the newest requests."""
        return [str(one[name]) for one in self.requests if one.get(name)]

    def inputs(self, kind: str) -> list[str]:
        """Give the ids of data of a kind that the newest tasks had."""
        found = []
        for record in self.records:
            facts = record.profile.get("facts")
            data = facts.get("data") if isinstance(facts, dict) else None
            for one in data if isinstance(data, list) else ():
                if isinstance(one, dict) and one.get("kind") == kind and one.get("id"):
                    found.append(str(one["id"]))
        return found


Suggest = Callable[[Known, str], Iterable[str]]
"""From what is known and the beginning of a word to whole words; the matcher compares them."""


def _reading_of(directory: Path, entry: str) -> ScriptParser | None:
    """Read a script's parser, once for each version of the file."""
    from anylearn_jupyter.notebook.discover import read_script

    path = directory / entry
    try:
        found = path.stat()
    except OSError:
        return None
    key = (str(path.absolute()), str(directory), found.st_mtime_ns, found.st_size)
    if key not in _readings:
        if len(_readings) >= _KEPT_READINGS:
            _readings.pop(next(iter(_readings)))
        _readings[key] = read_script(path, entry, root=directory).parser
    return _readings[key]


# Tasks.


def tasks(known: Known, _: str = "") -> Iterator[str]:
    """Offer ``last``, names, variables that hold a task, and ids."""
    yield from _named(known, known.records, last=bool(known.records))


def tasks_and_sweeps(known: Known, _: str = "") -> Iterator[str]:
    """Offer the same, and names and ids of sweeps."""
    yield from _with_sweeps(tasks(known), known.records)


def unfinished_tasks(known: Known, _: str = "") -> Iterator[str]:
    """Offer what was last seen unfinished, sweeps too; ``last`` if the newest task is."""
    records = [record for record in known.records if not record.finished]
    last = records[:1] == known.records[:1] != []
    yield from _with_sweeps(_named(known, records, last=last), records)


def _with_sweeps(others: Iterator[str], records: list[TaskRecord]) -> Iterator[str]:
    """Offer sweeps before their tasks, whose names begin as theirs do."""
    from anylearn_jupyter.submit.task_record import name_of_sweep

    found: dict[str, str] = {}
    for record in records:
        told = record.profile.get("sweep")
        if isinstance(told, dict) and told.get("id"):
            found.setdefault(str(told["id"]), name_of_sweep(record.name))
    yield from found.values()
    yield from others
    yield from found


def _named(known: Known, records: list[TaskRecord], *, last: bool) -> Iterator[str]:
    if last:
        yield "last"
    yield from (record.name for record in records)
    ids = {record.id for record in records}
    module = sys.modules.get("anylearn_jupyter.submit.task")
    if module is not None:
        for name, value in known.variables.items():
            if isinstance(value, module.TrainTask) and value.id in ids and name[:1] != "_":
                yield name
    yield from (record.id for record in records)


def results_of(known: Known, _: str) -> Iterator[str]:
    """Offer the ids of tasks that have succeeded, whose results can be an input."""
    yield from (record.id for record in known.records if record.phase == "succeeded")


def settings_again(known: Known, fragment: str) -> Iterator[str]:
    """Offer the hyperparameters that the named task had."""
    named = next((word for word in known.words if not word.startswith("-")), "")
    for record in known.records:
        if named in ("last", record.name, record.id) or record.id[4:].startswith(named):
            request = record.profile.get("request")
            values = request.get("hyperparams") if isinstance(request, dict) else None
            yield from (f"{name}=" for name, _ in values or ())
            return


# Names on servers.


def remembered(kind: str, *fields: str) -> Suggest:
    """Offer names that servers listed, after those of a field of the newest requests."""

    def suggest(known: Known, _: str) -> Iterator[str]:
        from anylearn_jupyter.submit.known_choices import known as listed

        for field in fields:
            yield from known.asked(field)
        yield from listed(kind)

    return suggest


def servers(known: Known, _: str) -> Iterator[str]:
    """Offer ``local``, the servers of logins and of the newest tasks."""
    from anylearn_jupyter.client.credentials import hosts
    from anylearn_jupyter.errors import ConfigError
    from anylearn_jupyter.home import Home

    yield "local"
    yield from (record.server for record in known.records)
    try:
        yield from hosts(Home())
    except ConfigError:
        return  # whoever logs in is told


def amounts(known: Known, fragment: str) -> Iterator[str]:
    """Offer ``CPU=`` and, for the resources of a group, ``group:CPU=``."""
    from anylearn_jupyter.submit.known_choices import known as listed

    group, colon, _ = fragment.rpartition(":")
    yield from (f"{group}{colon}{name}=" for name in listed("resources"))
    if not colon:
        yield from (f"{name}:" for name in listed("groups"))


def _inputs(kind: str, choices: str) -> Suggest:
    def suggest(known: Known, _: str) -> Iterator[str]:
        from anylearn_jupyter.submit.known_choices import known as listed

        yield from known.inputs(kind)
        yield from (name for name in listed(choices) if re.fullmatch(r"(DSET|MODE)\w+", name))

    return suggest


datasets, models = _inputs("dataset", "datasets"), _inputs("model", "models")


def mounted(kind: str) -> Suggest:
    """Offer ``NAME=`` for the hyperparameters of the script, then folders and ids."""
    ids = datasets if kind == "dataset" else models

    def suggest(known: Known, fragment: str) -> Iterator[str]:
        name, sign, place = fragment.partition("=")
        if sign:
            found = [*paths(known, place), *ids(known, place)]
            yield from (f"{name}={one}" for one in found)
            return
        options = known.parser.options if known.parser is not None else ()
        yield from (f"{one.name}=" for one in options if not one.flag)
        for request in known.requests:
            for one in request.get("data") or ():
                if isinstance(one, dict) and one.get("kind") == kind and one.get("name"):
                    yield f"{one['name']}="

    return suggest


def variables_of_tasks(known: Known, _: str) -> Iterator[str]:
    """Offer the names of variables that earlier tasks got; no value."""
    for request in known.requests:
        yield from (f"{pair[0]}=" for pair in request.get("env") or ())


def secrets(known: Known, _: str) -> Iterator[str]:
    """Offer the names of earlier secrets, then of this kernel's variables; no value."""
    for request in known.requests:
        yield from map(str, request.get("secrets") or ())
    yield from os.environ


# The script's own parser.


def settings(known: Known, fragment: str) -> Iterator[str]:
    """Offer ``NAME=`` for the hyperparameters of the script, then what each may be."""
    parser = known.parser
    if parser is None:
        return
    name, sign, _ = fragment.partition("=")
    for one in offered(parser):
        if not sign:
            yield f"{one.name}="
        elif one.name == name:
            yield from (f"{name}={word}" for word in values_of_option(one))


def offered(parser: ScriptParser) -> Iterator[ScriptOption]:
    """Give the options of a script that a cell may name, each once."""
    seen = set()
    for one in parser.options:
        if one.name not in seen and not one.hidden and one.action not in ("help", "version"):
            seen.add(one.name)
            yield one


def values_of_option(option: ScriptOption) -> Iterator[str]:
    """Offer what an option may be, where that is a matter of choosing."""
    choices = option.choices
    if isinstance(choices, tuple):
        yield from map(str, choices)
    elif option.kind in ("flag", "truth"):
        yield from ("true", "false")


# Files and variables of the notebook.


def paths(known: Known, fragment: str) -> list[str]:
    """Offer files and folders; hidden ones only when asked for."""
    return [f"{name}{'/' if path.is_dir() else ''}" for name, path in _listed(fragment)][:MAX_PATHS]


def folders(known: Known, fragment: str) -> list[str]:
    """Offer folders."""
    return [f"{name}/" for name, path in _listed(fragment) if path.is_dir()][:MAX_PATHS]


def scripts(known: Known, fragment: str) -> list[str]:
    """Offer scripts and notebooks, and folders that may hold some."""
    found = [one for one in paths(known, fragment) if one.endswith((".py", ".ipynb", "/"))]
    return found or paths(known, fragment)


def modules(known: Known, fragment: str) -> Iterator[str]:
    """Offer the modules and packages of the directory, dotted."""
    above, dot, _ = fragment.rpartition(".")
    for name, path in _listed(f"{above.replace('.', '/')}/" if dot else ""):
        module = f"{above}{dot}{name.rpartition('/')[2].removesuffix('.py')}"
        is_module = path.suffix == ".py" or (path / "__init__.py").exists()
        if is_module and all(part.isidentifier() for part in module.split(".")):
            yield module


def _listed(fragment: str) -> Iterator[tuple[str, Path]]:
    above, slash, start = fragment.rpartition("/")
    try:
        found = sorted(Path(above + slash).expanduser().iterdir())
    except (OSError, RuntimeError):
        return
    for path in found:
        if path.name.startswith(start) and (start or not path.name.startswith(".")):
            yield f"{above}{slash}{path.name}", path


def dicts(known: Known, fragment: str) -> Iterator[str]:
    """Offer variables that hold a dict, in braces."""
    yield from (f"{{{name}}}" for name in _dicts(known))


def dicts_and_files(known: Known, fragment: str) -> Iterator[str]:
    """Offer variables that hold a dict, and files."""
    yield from _dicts(known)
    yield from paths(known, fragment)


def _dicts(known: Known) -> Iterator[str]:
    for name, value in known.variables.items():
        if isinstance(value, Mapping) and not name.startswith("_"):
            yield name


def words(*texts: str) -> Suggest:
    """Offer these."""
    return lambda known, fragment: texts


def variables_by_name(known: Known, _: str) -> Iterator[str]:
    """Offer the user's own variables."""
    yield from (name for name in known.variables if not name.startswith("_"))


def defaults(known: Known, fragment: str) -> Iterator[str]:
    """Offer the names of saved defaults, then what each may be."""
    name, sign, rest = fragment.partition("=")
    if not sign:
        yield from ("server=", "project=", "resources=", "block=")
        return
    kinds: dict[str, Suggest] = {
        "server": servers,
        "project": VALUES["project"],
        "resources": amounts,
        "block": words("yes", "no"),
    }
    if name in kinds:
        yield from (f"{name}={one}" for one in kinds[name](known, rest))


VALUES: dict[str, Suggest] = {
    "entry": scripts,
    "module": modules,
    "out": variables_by_name,
    "set": settings,
    "params": dicts_and_files,
    "hyperparams": dicts,
    "sweep": words("grid", "zip", "random:"),
    "data": mounted("dataset"),
    "model": mounted("model"),
    "dataset_dir": paths,
    "dataset_archive": paths,
    "dataset_id": datasets,
    "model_dir": paths,
    "model_archive": paths,
    "model_id": models,
    "pretrain_task_id": results_of,
    "algorithm_dir": folders,
    "algorithm_id": lambda known, _: known.asked("algorithm_id"),
    "algorithm_name": lambda known, _: known.asked("algorithm_name"),
    "include": paths,
    "exclude": paths,
    "server": servers,
    "host": servers,
    "project": remembered("projects", "project_name"),
    "project_name": remembered("projects", "project_name"),
    "project_id": lambda known, _: (record.project_id for record in known.records),
    "env": variables_of_tasks,
    "secret": secrets,
    "mirror_name": remembered("mirrors", "mirror_name"),
    "output": lambda known, _: known.asked("output"),
    "resources": amounts,
    "quota_group_name": remembered("groups", "quota_group"),
    "quota_group_request": amounts,
    "id": tasks,
    "ids": tasks,
    "to": folders,
    "settings": defaults,
}
"""By the name under which an option or argument is declared."""

FREE = frozenset(
    (
        *("name", "entrypoint", "task_description", "algorithm_git_ref", "resource_uploader"),
        *("hyperparams_prefix", "hyperparams_delimeter", "dataset_hyperparam_name"),
        *("model_hyperparam_name", "pretrain_hyperparam_name", "resource_polling"),
        *("parallel", "num_nodes", "nproc_per_node", "resource_request", "tail", "grep", "pattern"),
        *("timeout", "retry"),
    )
)
"""Options whose value is a text or a number that nobody can guess."""
