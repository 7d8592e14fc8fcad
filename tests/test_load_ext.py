"""`import anylearn_jupyter` and `%load_ext` stay light, and doing them twice changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HEAVY = ("requests", "git", "ipywidgets", "anywidget", "tqdm", "tornado.web", "numpy", "blake3")

LOAD = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "anylearn_jupyter")
print(json.dumps(sorted(set(sys.modules) - before)))
"""

IMPORT = """
import json, sys
before = set(sys.modules)
import anylearn_jupyter
print(json.dumps(sorted(set(sys.modules) - before)))
"""

RELOAD = """
import json
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
def seen():
    magics = shell.magics_manager.magics
    names = sorted(n for kind in magics.values() for n in kind if n.startswith("anylearn_"))
    cleanups = len(shell.input_transformers_cleanup)
    return [names, cleanups, len(shell.Completer.custom_matchers)]
untouched = seen()
shell.run_line_magic("load_ext", "anylearn_jupyter")
loaded = seen()
for _ in range(20):
    shell.run_line_magic("reload_ext", "anylearn_jupyter")
again = seen()
shell.run_line_magic("unload_ext", "anylearn_jupyter")
print(json.dumps([untouched, loaded, again, seen()]))
"""


def answer_of(code: str, tmp_path: Path) -> list[object]:
    """Run code in a Python of its own and read the JSON that it prints last."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")},
    )
    assert done.returncode == 0, done.stderr
    answer: list[object] = json.loads(done.stdout.splitlines()[-1])
    return answer


def hooks(seen: object) -> object:
    assert isinstance(seen, list)
    return seen[1:]


def heavy(modules: list[object]) -> list[str]:
    return [
        str(name) for name in modules for h in HEAVY if name == h or str(name).startswith(f"{h}.")
    ]


def test_importing_the_package_brings_nothing_heavy(tmp_path: Path) -> None:
    assert heavy(answer_of(IMPORT, tmp_path)) == []


def test_loading_the_extension_brings_nothing_heavy(tmp_path: Path) -> None:
    modules = answer_of(LOAD, tmp_path)
    assert "anylearn_jupyter" in modules
    assert heavy(modules) == []


def test_reloading_doubles_nothing_and_unloading_leaves_nothing(tmp_path: Path) -> None:
    untouched, loaded, again, unloaded = answer_of(RELOAD, tmp_path)
    assert loaded != untouched
    assert again == loaded
    # IPython keeps the names of line magics that are unloaded; our hooks have to be gone.
    assert hooks(unloaded) == hooks(untouched)
