"""The built wheel holds what it needs, and works installed on its own."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the locked hatchling, from the network nothing."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    command += ["--no-deps", "--no-build-isolation", "--no-index", "-w", str(target), str(ROOT)]
    subprocess.run(command, check=True, timeout=120)
    (built,) = target.glob("*.whl")
    return built


def test_wheel_holds_the_front_end_and_the_type_marker(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "anylearn_jupyter").rglob("*")
        if path.is_file() and path.suffix in {".py", ".js", ".css", ".typed", ".sql"}
    }
    assert "anylearn_jupyter/notebook/static/task.js" in names
    assert sources <= names


def test_wheel_installed_alone_loads_and_starts_an_engine(
    wheel: Path, home: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    command += ["--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True, timeout=120)
    code = """
import anylearn_jupyter
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().run_line_magic("load_ext", "anylearn_jupyter")
print(anylearn_jupyter.__file__)
print(anylearn_jupyter.connect().server)
"""
    environment = {**os.environ, "PYTHONPATH": str(site)}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        where, server = done.stdout.splitlines()[-2:]
        assert Path(where).is_relative_to(site)
        assert server == "local"
    finally:
        engine = [sys.executable, "-m", "anylearn_jupyter.engine", "stop", "--tasks"]
        subprocess.run(engine, env=environment, cwd=tmp_path, timeout=60, check=False)
