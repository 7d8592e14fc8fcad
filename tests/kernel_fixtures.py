"""A real kernel, started, driven and ended as JupyterLab does it, but from a test."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from jupyter_client.manager import KernelManager

Outputs = list[dict[str, Any]]


class RealKernel:
    """One ipykernel in a working directory; ``allow_stdin`` is true, so it is not headless."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.manager = KernelManager()
        self.manager.start_kernel(cwd=str(directory))
        self._connect()

    def _connect(self) -> None:
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    @property
    def pid(self) -> int:
        """The kernel's process."""
        pid: int = self.manager.provisioner.pid
        return pid

    def run(self, code: str, *, timeout_s: float = 60) -> Outputs:
        """Execute a cell, wait for its end, and return its outputs; an error fails the test."""
        outputs = self.outputs_of(self.start(code), timeout_s=timeout_s)
        for output in outputs:
            if output["type"] == "error":
                raise AssertionError("\n".join(output["traceback"]))
        return outputs

    def start(self, code: str) -> str:
        """Send a cell and do not wait."""
        request: str = self.client.execute(code, allow_stdin=True)
        return request

    def outputs_of(self, request: str, *, timeout_s: float = 60) -> Outputs:
        """Wait for the end of a cell that was sent."""
        deadline = time.monotonic() + timeout_s
        outputs: Outputs = []
        while time.monotonic() < deadline:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            if message["parent_header"].get("msg_id") != request:
                continue
            content = message["content"]
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                return outputs
            if message["msg_type"] in ("stream", "display_data", "execute_result", "error"):
                outputs.append({"type": message["msg_type"], **content})
        raise AssertionError(f"the cell did not end within {timeout_s:g} s")

    def text(self, code: str, *, timeout_s: float = 60) -> str:
        """Execute a cell and return what it printed."""
        outputs = self.run(code, timeout_s=timeout_s)
        return "".join(output["text"] for output in outputs if output["type"] == "stream")

    def kill(self) -> None:
        """End it with SIGKILL, as the out-of-memory killer does."""
        os.kill(self.pid, signal.SIGKILL)
        self._end()

    def restart(self) -> None:
        """Choose Restart: the same connection, another process."""
        self.client.stop_channels()
        self.manager.restart_kernel(now=False)
        self._connect()

    def shut_down(self) -> None:
        """Choose Shut Down."""
        self.manager.shutdown_kernel(now=False)
        self._end()

    def interrupt(self) -> None:
        """Choose Interrupt."""
        self.manager.interrupt_kernel()

    def close(self) -> None:
        """Leave nothing behind, whatever the test did to it."""
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=not self.manager.is_alive())
        self._end()

    def _end(self) -> None:
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Path], RealKernel]]:
    """Return a function that starts kernels; they end with the test."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    started: list[RealKernel] = []

    def start(directory: Path) -> RealKernel:
        started.append(RealKernel(directory))
        return started[-1]

    yield start
    for kernel in started:
        kernel.close()
