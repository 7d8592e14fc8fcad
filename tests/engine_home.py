"""A real engine for a whole module of tests, in a home of its own, and its console command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.client.connection import disconnect
from anylearn_jupyter.client.engine_process import Engine, find_or_start
from anylearn_jupyter.config import Settings
from anylearn_jupyter.engine.processes import Process
from anylearn_jupyter.home import Home
from conftest import SCRUBBED_PREFIXES
from waiting import wait_until


class EngineHome:
    """One ``ANYLEARN_HOME``, and the engine that runs for it now.

    Parameters
    ----------
    root : Path
        The home; need not exist.

    Attributes
    ----------
    extra : dict of str to str
        More variables of whoever starts the engine.
    """

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.address = ""
        self.pid = 0
        self.extra: dict[str, str] = {}

    @property
    def token(self) -> str:
        """What makes a caller the local user."""
        return self.home.token.read_text(encoding="ascii").strip()

    @property
    def port(self) -> int:
        """Where the engine listens."""
        return int(self.address.rpartition(":")[2])

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a program that uses this home."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(SCRUBBED_PREFIXES)
        }
        return {**kept, "ANYLEARN_HOME": str(self.home.root), **self.extra}

    def command(
        self, *words: str, stdin: str = "", check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run `anylearn-engine` with these words."""
        return subprocess.run(
            [sys.executable, "-m", "anylearn_jupyter.engine", *words],
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=check,
        )

    def start(self, *words: str) -> EngineHome:
        """Start the engine, and note where it is."""
        self.command("start", *words)
        status = self.status()
        self.address, self.pid = status["address"], status["pid"]
        return self

    def ask(self) -> Engine:
        """Find or start the engine as a kernel does, and note where it is."""
        found = find_or_start(replace(Settings.read(), home=self.home))
        self.address, self.pid = found.address, found.pid
        return found

    def kill(self) -> None:
        """Kill the engine with -9."""
        process = Process.find(self.pid)
        assert process is not None
        assert process.send(signal.SIGKILL)
        wait_until(lambda: not process.alive, 10, "the engine is dead")

    def serving(self) -> list[int]:
        """Give the processes that serve this home."""
        variable = f"ANYLEARN_HOME={self.home.root}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if (
                    entry.name.isdigit()
                    and b"anylearn_jupyter.engine\0serve" in (entry / "cmdline").read_bytes()
                    and variable in (entry / "environ").read_bytes()
                ):
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended meanwhile
        return found

    def stop(self, *words: str) -> str:
        """End the engine; gives what the command says."""
        return self.command("stop", *words).stdout

    def status(self) -> dict[str, Any]:
        """Give what ``status --json`` prints."""
        found: dict[str, Any] = json.loads(self.command("status", "--json", check=False).stdout)
        return found

    def add_user(self, name: str, password: str, *words: str) -> None:
        """Make a user who logs in with a password."""
        self.command("user", "add", name, "--password-stdin", *words, stdin=f"{password}\n")

    def wait_gone(self) -> None:
        """Wait until the process that was started last has ended."""
        wait_until(lambda: Process.find(self.pid) is None, 20, f"process {self.pid} has ended")


@pytest.fixture(scope="module")
def shared_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineHome]:
    """An engine for all tests of a module; its tasks end with it."""
    made = EngineHome(tmp_path_factory.mktemp("engine") / "anylearn-home").start()
    yield made
    made.stop("--tasks")
    made.wait_gone()


@pytest.fixture
def of_the_engine(shared_engine: EngineHome, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have this process use the engine of the module."""
    disconnect()
    monkeypatch.setenv("ANYLEARN_HOME", str(shared_engine.home.root))
    yield
    disconnect()


@pytest.fixture
def own_engine(home: Path) -> Iterator[EngineHome]:
    """A home whose engine a test starts and ends itself; what still runs is ended afterwards."""
    made = EngineHome(home)
    yield made
    made.command("stop", "--tasks", check=False)
