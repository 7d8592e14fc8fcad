"""The arrows of docs/architecture.md, read from the imports themselves.

notebook -> submit -> client -> floor, and engine -> floor. An import inside a function is an arrow
like any other.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "anylearn_jupyter"
ROOT = Path(__file__).resolve().parent.parent
FLOOR = {"errors", "config", "entities", "home", "tracking", "_version"}
ALLOWED = {
    "floor": {"floor"},
    "client": {"client", "floor"},
    "submit": {"submit", "client", "floor"},
    "notebook": {"notebook", "submit", "client", "floor"},
    "engine": {"engine", "floor"},
}
MODULES = sorted((ROOT / PACKAGE).rglob("*.py"))


def area_of(module: str) -> str:
    """Name the area of a dotted module of ours: `anylearn_jupyter.client.http` is client."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1] in FLOOR:
        return "floor"
    return parts[1]


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Give every imported dotted name, relative ones resolved, with its line."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            if module == PACKAGE:
                # `from anylearn_jupyter import errors` imports the module errors.
                for name in node.names:
                    yield f"{PACKAGE}.{name.name}", node.lineno
            else:
                yield module, node.lineno


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_down(path: Path) -> None:
    parts = path.relative_to(ROOT / PACKAGE).parts
    area = parts[0] if len(parts) > 1 else "floor"
    if parts == ("__init__.py",):
        return  # the public map: it hands names on, lazily; see test_load_ext.py
    wrong = [
        f"line {line}: {name}"
        for name, line in imports_of(path)
        if name.split(".")[0] == PACKAGE
        and name.removeprefix(f"{PACKAGE}.") not in ("__version__",)
        and area_of(name) not in ALLOWED[area]
    ]
    assert not wrong, f"{path.name} is in {area}, which may import {sorted(ALLOWED[area])}"


def test_requests_is_imported_in_one_module_only() -> None:
    users = {
        path.relative_to(ROOT / PACKAGE).as_posix()
        for path in MODULES
        for name, _ in imports_of(path)
        if name.split(".")[0] == "requests"
    }
    assert users <= {"client/http.py"}


def test_nothing_imports_an_undeclared_package() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        declared = tomllib.load(file)["project"]["dependencies"]
    known = {line.split(">")[0].replace("-", "_").lower() for line in declared}
    known |= {"ipython", "urllib3"}  # urllib3 is what requests stands on
    known |= {"pandas"}  # whoever wants a DataFrame has it; Sweep.results_frame says so
    # What runs notebooks is in the task's environment; submit/notebook_runner says so if not.
    known |= {"nbclient", "nbformat"}
    used = {name.split(".")[0] for path in MODULES for name, _ in imports_of(path)}
    foreign = {name for name in used if name not in sys.stdlib_module_names and name != PACKAGE}
    assert {name.lower() for name in foreign} <= known
