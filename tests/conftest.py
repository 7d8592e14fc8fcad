"""What every test gets: a home of its own, a scrubbed environment, and a real engine on request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parent.parent

pytest_plugins = ["left_running", "plain_gateway"]

# Wall time says nothing of a test while others have the processors.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")

SCRUBBED_PREFIXES = ("ANYLEARN_", "GIT_", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the browser's tests last: its driver keeps an event loop running in the main thread."""
    items.sort(key=lambda item: "browser" in item.path.parts)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling | None:
    """Give each worker a file at a time, and the browser's tests one by one.

    Those share nothing of their file, take longest and come last: as whole files they would leave
    one worker alone with the last of them for minutes.
    """
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            alone = "browser" in Path(nodeid.partition("::")[0]).parts
            return nodeid if alone else super()._split_scope(nodeid)

    return ByFile(config, log)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Move everything of ours to a directory of this test's, and forget the caller's settings."""
    for name in list(os.environ):
        if name.startswith(SCRUBBED_PREFIXES):
            monkeypatch.delenv(name)
    root = tmp_path / "anylearn-home"
    monkeypatch.setenv("ANYLEARN_HOME", str(root))
    return root


@dataclass(frozen=True)
class RunningEngine:
    """A real engine process, as a test sees it."""

    address: str
    pid: int
    home: Path


def engine_command(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `anylearn-engine` with these words in the environment of the test."""
    return subprocess.run(
        [sys.executable, "-m", "anylearn_jupyter.engine", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=check,
    )


@pytest.fixture
def engine(home: Path) -> Iterator[RunningEngine]:
    """Start a real engine for this test, and end it with its tasks afterwards."""
    engine_command("start")
    status = json.loads(engine_command("status", "--json").stdout)
    yield RunningEngine(address=status["address"], pid=status["pid"], home=home)
    engine_command("stop", "--tasks", check=False)
