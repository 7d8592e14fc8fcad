"""The published clients 0.18.3 and 0.20.7 themselves, against a real engine: independent proof.

Each script of `published_clients/` is run by the Python of an environment that has nothing of ours,
in a home and a directory of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import ROOT
from engine_home import EngineHome, shared_engine

__all__ = ["shared_engine"]

PASSWORD = "canary pass%word ÿ"
INSTALL_LIMIT_S = 280
RUN_LIMIT_S = 90


@pytest.fixture(scope="session")
def python_of() -> Callable[[str], Path]:
    """Find the Python of a published client's environment, which is made if there is none."""
    found: dict[str, Path] = {}

    def ask(version: str) -> Path:
        if version not in found:
            done = subprocess.run(
                [sys.executable, str(ROOT / "tools" / "published_client.py"), version],
                capture_output=True, text=True, timeout=INSTALL_LIMIT_S, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            found[version] = Path(done.stdout.strip())
        return found[version]

    return ask


@pytest.mark.parametrize(
    ("version", "script", "words"),
    [
        ("0.18.3", "submission_0_18.py", ["git"]),
        ("0.18.3", "submission_0_18.py", ["archive"]),
        ("0.18.3", "objects_0_18.py", []),
        ("0.20.7", "submission_0_20.py", []),
    ],
    ids=["0.18.3 by git", "0.18.3 by archive", "0.18.3's objects", "0.20.7"],
)
def test_a_published_client_is_served(
    shared_engine: EngineHome,
    python_of: Callable[[str], Path],
    tmp_path: Path,
    version: str,
    script: str,
    words: list[str],
) -> None:
    python = python_of(version)
    user = f"user-{len(words)}-{''.join(words)}{version}"
    shared_engine.add_user(user, PASSWORD)
    for name in ("home", "work"):
        (tmp_path / name).mkdir()

    done = subprocess.run(
        [str(python), str(ROOT / "tests" / "published_clients" / script),
         shared_engine.address, user, *words],
        cwd=tmp_path / "work",
        env={
            "HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1", "PUBLISHED_CLIENT_PASSWORD": PASSWORD,
        },
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    # What it keeps is in its own home, and its password is not in what the engine keeps.
    assert (tmp_path / "home" / ".anylearn").is_dir()
    engine = shared_engine.home.engine
    for path in (shared_engine.home.engine_log, *engine.glob("store.sqlite3*")):
        assert PASSWORD.encode() not in path.read_bytes()
