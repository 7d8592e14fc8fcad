"""Modules that the entry script imports from here, and that the task would not find.

Scripts are read with `ast`, never imported or run, and what they import of the code directory is
read in turn. A module may stay behind because a rule leaves it out, or because it is somewhere else
on this machine: above the directory, on ``PYTHONPATH``, or installed from a folder.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

from anylearn_jupyter.submit.command import entry_module, entry_script
from anylearn_jupyter.submit.packing_list import PackingList, normal_path

MAX_MODULES = 500
"""So many files of one directory are read."""

MAX_SOURCE_BYTES = 2_000_000
"""A file above that is not read."""

_ENDS = (".py", "/__init__.py", *EXTENSION_SUFFIXES)
_MAGIC_LINE = re.compile(r"^([ \t]*)[%!?].*$", re.MULTILINE)
_INSTALLED = frozenset(("site-packages", "dist-packages"))


class LeftBehind(NamedTuple):
    """A module of this machine that the training would look for in vain.

    Attributes
    ----------
    module : str
        Its dotted name.
    path : str
        Where it is: relative to the code directory, absolute where it is not in there.
    reason : str
        Why it does not travel.
    importer : str
        The file that imports it, relative to the code directory.
    """

    module: str
    path: str
    reason: str
    importer: str


def imports_left_behind(
    entrypoint: str | None,
    packing: PackingList,
    added: Mapping[str, bytes] | None = None,
    *,
    notebook: str | None = None,
    same_python: bool = False,
) -> tuple[LeftBehind, ...]:
    """Find what the entry imports, itself or by its modules, that would not travel.

    Parameters
    ----------
    entrypoint : str or None
        The command. One whose script cannot be told gives nothing.
    packing : PackingList
        What travels.
    added : Mapping, optional
        Files that travel along and are not on disk: their content by their path.
    notebook : str, optional
        The notebook that the entry executes: it is looked at instead, its code cells alone.
    same_python : bool, default False
        Whether the task runs with this Python, so that it finds what is installed here from a
        folder.

    Returns
    -------
    tuple of LeftBehind
        Each module once, in the order in which they are met.

    Notes
    -----
    Source: issue 4, "The packing list". What only ``if TYPE_CHECKING`` imports is not looked for.
    """
    start = notebook or _start(entrypoint or "", packing, added or {})
    if start is None:
        return ()
    return tuple(_Walk(packing, added or {}, start, same_python=same_python).found())


def _start(entrypoint: str, packing: PackingList, added: Mapping[str, bytes]) -> str | None:
    script, module = entry_script(entrypoint), entry_module(entrypoint)
    if script is not None:
        path = normal_path(script)
        return path if path is not None and (path in added or packing.has(path)) else None
    if module is None:
        return None
    base = module.replace(".", "/")
    candidates = (f"{base}.py", f"{base}/__main__.py")
    return next((path for path in candidates if packing.has(path)), None)


class _Import(NamedTuple):
    """One import: a module's dotted name, and the folder that it counts from; None for no one."""

    name: str
    folder: str | None = None


class _Walk:
    """Follows imports from one file to the next."""

    def __init__(
        self, packing: PackingList, added: Mapping[str, bytes], start: str, *, same_python: bool
    ) -> None:
        self._same_python = same_python
        self._packing = packing
        self._added = added
        self._waiting = [start]
        self._read = {start}
        self._told: set[str] = set()
        # Where Python looks: the script's folder, and where people have it look besides.
        self._places = list(dict.fromkeys([start.rpartition("/")[0], "", "src"]))

    def found(self) -> Iterator[LeftBehind]:
        while self._waiting and len(self._read) <= MAX_MODULES:
            path = self._waiting.pop(0)
            for one in _imports(self._source(path), path):
                yield from self._look(one, path)

    def _source(self, path: str) -> bytes:
        if path in self._added:
            return self._added[path]
        place = self._packing.root / path
        try:
            if path.endswith(".ipynb"):
                return _code_of(place.read_bytes())
            return place.read_bytes() if place.stat().st_size <= MAX_SOURCE_BYTES else b""
        except OSError:
            return b""  # capturing the code says so, or has by now

    def _look(self, one: _Import, importer: str) -> Iterator[LeftBehind]:
        """Look for a module and for each package that it is in; the first that stays is told."""
        parts = one.name.split(".")
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[:count])
            places = self._places if one.folder is None else [one.folder]
            if count == 1 and one.folder is None and name in sys.stdlib_module_names:
                places = places[:1]  # only what is beside the script comes first
            travels = self._travelling(name, places)
            if travels is not None:
                if travels.endswith(".py") and travels not in self._read:
                    self._read.add(travels)
                    self._waiting.append(travels)
                continue
            left = self._staying(name, places, importer)
            if left is None and count == 1 and one.folder is None:
                left = self._elsewhere(name, importer)
            if left is not None:
                if left.path not in self._told:
                    self._told.add(left.path)
                    yield left
                return

    def _travelling(self, name: str, places: list[str]) -> str | None:
        for path in _candidates(name, places):
            if path in self._added or self._packing.has(path):
                return path
        return None

    def _staying(self, name: str, places: list[str], importer: str) -> LeftBehind | None:
        for path in _candidates(name, places):
            if (self._packing.root / path).is_file():
                reason = self._packing.why_not(path)
                if reason is not None:
                    return LeftBehind(name, path, reason, importer)
        return None

    def _elsewhere(self, name: str, importer: str) -> LeftBehind | None:
        """Find a module that this Python has from a folder, which no other machine has."""
        if name in sys.stdlib_module_names or self._is_folder(name):
            return None
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        if spec is None or spec.origin is None or not Path(spec.origin).is_absolute():
            return None
        place = Path(spec.origin)
        if _INSTALLED.intersection(place.parts) or place.is_relative_to(
            sysconfig.get_path("stdlib")
        ):
            return None
        if place.name == "__init__.py":
            place = place.parent
        if self._same_python and _is_installed_from(place.parent):
            return None
        return LeftBehind(name, str(place), "outside the code directory", importer)

    def _is_folder(self, name: str) -> bool:
        """Whether it is a package without ``__init__``, of which only the modules count."""
        return any((self._packing.root / place / name).is_dir() for place in self._places)


def _is_installed_from(folder: Path) -> bool:
    """Whether Python itself finds modules in a folder: an editable installation."""
    if str(folder) not in sys.path:
        return True  # by a finder of its own
    places = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    for lists in (path for place in places for path in Path(place).glob("*.pth")):
        lines = lists.read_text(encoding="utf-8", errors="replace").splitlines()
        if str(folder) in (line.strip() for line in lines):
            return True
    return False


def _code_of(notebook: bytes) -> bytes:
    """Give the code of a notebook's cells; one that is no Python but for its magics is left out."""
    try:
        cells = json.loads(notebook)["cells"]
    except (ValueError, KeyError, TypeError):
        return b""
    found = []
    for cell in cells if isinstance(cells, list) else ():
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            source = _MAGIC_LINE.sub(r"\1pass", "".join(cell.get("source") or ()))
            try:
                ast.parse(source)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            found.append(source)
    return "\n".join(found).encode("utf-8", "replace")


def _candidates(name: str, places: list[str]) -> Iterator[str]:
    base = name.replace(".", "/")
    for place in places:
        for end in _ENDS:
            yield f"{place}/{base}{end}" if place else f"{base}{end}"


def _imports(source: bytes, path: str) -> Iterator[_Import]:
    """Give what a file imports anywhere in it; nothing of one that is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # Python says it better, in the task's log
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Import):
            yield from (_Import(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _from_import(node, path)
        elif isinstance(node, ast.Call):
            yield from _called_import(node)
        if isinstance(node, ast.If) and _is_for_types(node.test):
            waiting.extend(node.orelse)
        else:
            waiting.extend(ast.iter_child_nodes(node))


def _from_import(node: ast.ImportFrom, path: str) -> Iterator[_Import]:
    """Read ``from a import b``, where b may be a module or a name of a."""
    folder = None
    if node.level:
        parts = path.split("/")
        if len(parts) < node.level:
            return  # above the code directory, which Python refuses
        folder = "/".join(parts[: -node.level])
    if node.module:
        yield _Import(node.module, folder)
    for alias in node.names:
        if alias.name != "*" and (node.module or folder is not None):
            name = f"{node.module}.{alias.name}" if node.module else alias.name
            yield _Import(name, folder)


def _called_import(node: ast.Call) -> Iterator[_Import]:
    """Read ``importlib.import_module("a.b")`` and ``__import__("a")``, written out."""
    function = node.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called not in ("import_module", "__import__") or not node.args:
        return
    name = node.args[0]
    text = name.value if isinstance(name, ast.Constant) else None
    if isinstance(text, str) and all(part.isidentifier() for part in text.split(".")):
        yield _Import(text)


def _is_for_types(test: ast.expr) -> bool:
    named = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return named == "TYPE_CHECKING"
