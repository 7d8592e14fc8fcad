"""Nothing that comes from elsewhere is unpickled or evaluated (faults, G10)."""

from __future__ import annotations

import ast
from pathlib import Path

from conftest import ROOT

PACKAGE = ROOT / "anylearn_jupyter"
CALLS = {"eval", "exec", "compile", "__import__", "system", "popen"}
MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
HERE = {
    # What a person writes in braces in a cell of their own is Python, as all that stands there.
    "notebook/expressions.py": {"eval", "compile"},
    # Between a kernel and the helper processes that it starts itself, over pipes of their own.
    "submit/folder_work.py": {"marshal"},
    "submit/helper_processes.py": {"marshal"},
}


def names_of(path: Path) -> set[str]:
    """Give which of the calls and modules a module of ours uses, and `shell` for ``shell=True``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name):
                found.add(called.id)
            elif isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                found.add(called.attr if called.value.id in ("os", "builtins") else "")
            shell = [one.value for one in node.keywords if one.arg == "shell"]
            found |= {"shell" for one in shell if isinstance(one, ast.Constant) and one.value}
    return found & (CALLS | MODULES | {"shell"})


def test_nothing_is_unpickled_or_evaluated_but_a_persons_own_cell() -> None:
    found = {
        str(path.relative_to(PACKAGE)): names
        for path in sorted(PACKAGE.rglob("*.py"))
        if (names := names_of(path))
    }
    assert found == HERE
