"""A real JupyterLab or Notebook 7 server on a free port, and the end of everything it started.

Kernels sit in process groups of their own, so ending the server's group is not enough: its
descendants are noted while it lives, each as number and start time, and what is left of exactly
those processes is killed afterwards.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from ipykernel.kernelspec import get_kernel_dict

from waiting import wait_until

LAB = "lab"
NOTEBOOK = "notebook"
_MODULES = {LAB: "jupyterlab", NOTEBOOK: "notebook"}
_COVERAGE = "COVERAGE_PROCESS_CONFIG"
"""By which coverage measures a process that a test starts."""

_EXPOSE = {LAB: "--LabApp", NOTEBOOK: "--JupyterNotebookApp"}

# No news, no update check, no autosave: nothing happens in the page that the test did not do.
_SETTINGS = {
    "@jupyterlab/apputils-extension/notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    "@jupyterlab/docmanager-extension/plugin": {"autosave": False},
}


def free_port() -> int:
    """Name a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class JupyterServer:
    """One server process with directories of its own.

    Attributes
    ----------
    app : str
        `LAB` or `NOTEBOOK`.
    root : Path
        The notebooks' directory.
    private : Path
        Where the server's settings, data and log go.
    variables : dict of str to str
        More variables of its environment.
    """

    app: str
    root: Path
    private: Path
    port: int = field(default_factory=free_port)
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    variables: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers; show its log if it does not."""
        self.private.mkdir(parents=True, exist_ok=True)
        self._write_settings()
        command = [sys.executable, "-m", _MODULES[self.app], "--no-browser"]
        command += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.port}"]
        command += ["--ServerApp.port_retries=0", "--ServerApp.allow_root=True"]
        command += [f"--ServerApp.root_dir={self.root}"]
        command += [f"{_EXPOSE[self.app]}.expose_app_in_browser=True"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.root,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._answers, 60, f"an answer of {self.app} (log: {self.log})")

    @property
    def log(self) -> Path:
        """What the server said."""
        return self.private / "server.log"

    def url(self, path: str) -> str:
        """Give the address of a notebook in this application."""
        place = f"lab/tree/{path}?reset&" if self.app == LAB else f"notebooks/{path}?"
        return f"http://127.0.0.1:{self.port}/{place}token={self.token}"

    def begin_test(self, variables: Mapping[str, str]) -> None:
        """Forget what was chosen and laid out before; kernels from now on get these variables."""
        for place in ("settings", "workspaces"):
            shutil.rmtree(self.private / place)
            (self.private / place).mkdir()
        self._write_settings()
        spec = self.private / "path" / "kernels" / "python3" / "kernel.json"
        spec.parent.mkdir(parents=True, exist_ok=True)
        measured = {_COVERAGE: os.environ[_COVERAGE]} if _COVERAGE in os.environ else {}
        described = {**get_kernel_dict(), "env": {**variables, **measured}}
        spec.write_text(json.dumps(described), encoding="utf-8")

    def end_kernels(self) -> None:
        """Shut its kernels down, and end what they have started and left."""
        assert self.process is not None
        noted = _descendants(self.process.pid)
        for session in self._ask("sessions"):
            self._ask(f"sessions/{session['id']}", "DELETE")
        for kernel in self._ask("kernels"):
            self._ask(f"kernels/{kernel['id']}", "DELETE")
        kill_noted(noted)

    def stop(self) -> None:
        """End it, its kernels and what they started; only processes that were noted."""
        if self.process is None:
            return
        noted = _descendants(self.process.pid)
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=10)
        kill_noted(noted)

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self.app} ended:\n{self.log.read_text(errors='replace')}")
        try:
            return bool(self._ask("status"))
        except (urllib.error.URLError, OSError):
            return False

    def _ask(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}",
            headers={"Authorization": f"token {self.token}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or "null")

    def _environment(self) -> dict[str, str]:
        moved = {
            "HOME": "home",
            "IPYTHONDIR": "ipython",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            # Looked at before the virtual environment, unlike the directory of the user's data.
            "JUPYTER_PATH": "path",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        }
        places = {name: str(self.private / place) for name, place in moved.items()}
        for place in places.values():
            Path(place).mkdir(parents=True, exist_ok=True)
        # In the environment, so that it stands in no list of processes.
        chosen = {**os.environ, **places, **self.variables, "JUPYTER_TOKEN": self.token}
        chosen.pop(_COVERAGE, None)  # of ours, only kernels run anything
        return chosen

    def _write_settings(self) -> None:
        for plugin, values in _SETTINGS.items():
            path = self.private / "settings" / f"{plugin}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values), encoding="utf-8")


def _descendants(pid: int) -> list[psutil.Process]:
    """Note a process's descendants; each one remembers its start time."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def kill_noted(noted: list[psutil.Process]) -> None:
    """Kill what is left of the noted processes; psutil compares the start time first."""
    for process in noted:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(noted, timeout=10)
