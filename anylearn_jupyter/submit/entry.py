"""The entry script, looked at before anything is sent: is it there, will it travel, what it needs.

The script is read with `ast`, never imported or run.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from anylearn_jupyter.errors import OptionError
from anylearn_jupyter.submit.packing_list import PackingList

_LEVELS_ABOVE = 3


def check_script(script: str, packing: PackingList) -> None:
    """Refuse a script that the task would not find, or whose own modules it would not find.

    Parameters
    ----------
    script : str
        As it stands in the entrypoint.
    packing : PackingList
        What travels.

    Raises
    ------
    OptionError
        It does not exist (with a name that is near), would not travel (with the reason), or
        imports a module from above the code directory.

    Notes
    -----
    Source: quick_train spec, "What travels": an ENTRY that would not travel, or that imports from
    above the directory, is an error that names the mend.
    """
    if script.startswith("/"):
        return  # outside of what travels on purpose: it has to be in the environment
    if not packing.has(script):
        raise _missing(script, packing, "entry script", ".py")
    for module, found in _modules_above(script, packing):
        raise OptionError(
            f"{script!r} imports {module!r}, which is {found} and so above the code directory "
            f"{packing.root}; submit from there with --algorithm-dir {found.parent}, or copy it."
        )


def check_exists(script: str, directory: Path) -> None:
    """Refuse a script that is not there, before anything of the directory is read.

    Raises
    ------
    OptionError
        There is no such file; with a name that is near.
    """
    place = directory / script
    if place.exists():
        return
    there = [path for path in {directory, place.parent} if path.is_dir()]
    names = [
        file.relative_to(directory).as_posix()
        for path in there
        if path.is_relative_to(directory)
        for file in sorted(path.glob("*.py"))
    ]
    raise _not_there(script, names, directory, "entry script")


def check_travels(notebook: str, packing: PackingList) -> None:
    """Refuse a notebook that the task would not find.

    Raises
    ------
    OptionError
        It does not exist (with a name that is near), or would not travel (with the reason).
    """
    if not packing.has(notebook):
        raise _missing(notebook, packing, "notebook", ".ipynb")


def check_module(module: str, packing: PackingList) -> None:
    """Refuse a module of the code directory that would not travel; any other may be installed.

    Raises
    ------
    OptionError
        It is a file of the directory that does not travel.
    """
    path = module.replace(".", "/")
    for candidate in (f"{path}.py", f"{path}/__main__.py"):
        if packing.has(candidate):
            return
        reason = packing.why_not(candidate)
        if reason is not None:
            raise _stays_behind(candidate, reason)
    top = module.partition(".")[0]
    if packing.has(f"{top}/__init__.py") or (packing.root / top).is_dir():
        raise OptionError(
            f"There is no module {module!r} in {packing.root}; its package {top!r} is there, so "
            "check the rest of the name."
        )


def _missing(path: str, packing: PackingList, what: str, end: str) -> OptionError:
    reason = packing.why_not(path)
    if reason is not None:
        return _stays_behind(path, reason, what)
    there = [file.path for file in packing.files if file.path.endswith(end)]
    return _not_there(path, there, packing.root, what)


def _not_there(path: str, there: list[str], root: Path, what: str) -> OptionError:
    near = difflib.get_close_matches(path, there, n=1, cutoff=0.6)
    if not near:
        near = [one for one in there if one.rpartition("/")[2] == path.rpartition("/")[2]]
    hint = f"; did you mean {near[0]!r}?" if near else "; check its name and --algorithm-dir."
    return OptionError(f"The {what} {path!r} does not exist in {root}{hint}")


def _stays_behind(path: str, reason: str, what: str = "entry script") -> OptionError:
    return OptionError(
        f"The {what} {path!r} would not travel with the code ({reason}); bring it along with "
        f"--include {path}."
    )


def _modules_above(script: str, packing: PackingList) -> Iterator[tuple[str, Path]]:
    """Give each module that a script imports and that only a directory above holds."""
    place = packing.root / script
    try:
        tree = ast.parse(place.read_bytes(), filename=script)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return  # Python says it better, in the task's log
    folder = script.rpartition("/")[0]
    for name in dict.fromkeys(_imported_names(tree)):
        near = (f"{folder}/{name}" if folder else name, name)
        if name in sys.stdlib_module_names or any(
            packing.has(f"{one}{end}") for one in near for end in (".py", "/__init__.py")
        ):
            continue
        found = _above(packing.root, name)
        if found is not None and not _is_installed_elsewhere(name, found):
            yield name, found


def _imported_names(tree: ast.Module) -> Iterator[str]:
    """Give the first part of what is imported at the top level; what is guarded may be absent."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def _above(root: Path, name: str) -> Path | None:
    """Find a module in one of the nearest directories above."""
    for parent in list(root.parents)[:_LEVELS_ABOVE]:
        for candidate in (parent / f"{name}.py", parent / name / "__init__.py"):
            if candidate.is_file():
                return candidate if candidate.name != "__init__.py" else candidate.parent
    return None


def _is_installed_elsewhere(name: str, found: Path) -> bool:
    """Whether Python has another module of this name, or this one on purpose (an editable one)."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    if spec is None:
        return False
    places = [spec.origin, *(spec.submodule_search_locations or [])]
    own = {str(found), str(found / "__init__.py")}
    return not own.intersection(str(place) for place in places) or _is_on_path(found.parent)


def _is_on_path(directory: Path) -> bool:
    """Whether a directory is on Python's path by more than being where the kernel started."""
    return any(entry and Path(entry) == directory for entry in sys.path[1:])
