"""Finding the embedded engine of this ``ANYLEARN_HOME``, or starting it.

However many kernels ask at once, one of them starts it: whoever holds ``start.lock``; the others
wait, and find it running. A recorded endpoint counts only for this boot of this machine, and only
when what listens there proves to know the token, which is never sent before. The engine is its own
session with an environment of its own, so neither the kernel's end nor its interrupt reaches it.

What a recorded endpoint can turn out to be:

- the engine: used;
- nobody there, a stranger, an older boot: a new engine is started, which takes its place;
- somebody who accepts and says nothing, while the engine's lock is held: the engine hangs, and no
  second one may run on the same store, so that is an error that says how to end it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from anylearn_jupyter.client.auth import MASK
from anylearn_jupyter.client.locks import is_locked, locked
from anylearn_jupyter.client.wire import prove
from anylearn_jupyter.config import Settings
from anylearn_jupyter.errors import EngineError
from anylearn_jupyter.home import Endpoint, Home, boot_identity, engine_token

_CONNECT_S = 2.0
_POLL_S = 0.02
_LOG_LINES = 20
_LOG_BYTES = 16_384

_PASSED_ON = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR",
        "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR",
        "PYTHONHOME", "PYTHONPATH", "PYTHONUTF8", "VIRTUAL_ENV", "CONDA_PREFIX",
        "ANYLEARN_HOME", "COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START",
    }
)  # fmt: skip
_PASSED_ON_PREFIXES = ("LC_", "XDG_", "CUDA_", "NVIDIA_", "ANYLEARN_ENGINE_")


@dataclass(frozen=True)
class Engine:
    """The running engine of this user.

    Attributes
    ----------
    address : str
        ``http://127.0.0.1:<port>``.
    pid : int
        Its process.
    token : str
        Never shown by `repr`.
    """

    address: str
    pid: int
    token: str

    def __repr__(self) -> str:
        """Name the address and the process; never the token."""
        return f"Engine(address={self.address!r}, pid={self.pid}, token={MASK})"


def find_or_start(settings: Settings) -> Engine:
    """Give the running engine, starting it if there is none.

    Raises
    ------
    EngineError
        It cannot start (with the end of its log), hangs, or cannot run on this system.
    ConfigError
        ``ANYLEARN_HOME`` cannot be used.
    """
    if sys.platform == "win32":
        raise EngineError(
            "The embedded engine does not run on Windows itself; use WSL, or name a server with "
            "connect()."
        )
    home = settings.home
    token = engine_token(home)
    looked_at = Endpoint.read(home)
    found = find(home, token)
    if found is not None:
        return found
    # Whoever starts it may take all of its time, and this process may come after it.
    try:
        with locked(home.start_lock, settings.engine_start_timeout_s * 2):
            # A stranger who says nothing costs seconds, so the same record is not asked again.
            if Endpoint.read(home) != looked_at:
                found = find(home, token)
            return found or _start(settings, token)
    except TimeoutError as error:
        raise EngineError(
            f"Another process has been starting the engine for more than "
            f"{settings.engine_start_timeout_s * 2:g} s; see {home.engine_log}, and run "
            "`anylearn-engine stop`."
        ) from error


def find(home: Home, token: str) -> Engine | None:
    """Give the engine that is recorded in ``endpoint.json`` if it runs and proves itself.

    Raises
    ------
    EngineError
        It runs and gives no answer.
    """
    endpoint = Endpoint.read(home)
    if endpoint is None or endpoint.boot != boot_identity():
        return None
    port = endpoint.port
    if port is None:
        return None
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_CONNECT_S) as sock:
            prove(sock, f"127.0.0.1:{port}", token)
    except EngineError:
        return None  # a stranger on its port; our engine takes another one
    except TimeoutError as error:
        if is_locked(home.engine_lock):
            raise EngineError(
                f"The engine (process {endpoint.pid}) does not answer; run `anylearn-engine stop` "
                "to end it, and try again. Its tasks go on."
            ) from error
        return None
    except OSError:
        return None
    return Engine(address=endpoint.address, pid=endpoint.pid, token=token)


def _start(settings: Settings, token: str) -> Engine:
    """Start the engine and wait until it answers; only the holder of ``start.lock`` calls this."""
    home = settings.home
    began_at = home.engine_log.stat().st_size if home.engine_log.exists() else 0
    stale = Endpoint.read(home)
    process = _spawn(home)
    deadline = time.monotonic() + settings.engine_start_timeout_s
    while True:
        # First the process, then the record: one that ended may have left the place to another.
        ended = process.poll()
        if ended is not None or Endpoint.read(home) != stale:
            found = find(home, token)
            if found is not None:
                return found
        if ended is not None:
            why = f"it ended at once with {ended}"
            break
        if time.monotonic() > deadline:
            process.terminate()
            why = f"it does not answer within {settings.engine_start_timeout_s:g} s"
            break
        time.sleep(_POLL_S)
    raise EngineError(
        f"The embedded engine cannot start: {why}. The end of {home.engine_log}:\n"
        + last_lines(home.engine_log, began_at)
    )


def _spawn(home: Home) -> subprocess.Popen[bytes]:
    """Start the process, detached, and have a thread wait for its end, so that no zombie stays."""
    command = [sys.executable, "-P", "-m", "anylearn_jupyter.engine", "serve"]
    try:
        log = os.open(
            home.engine_log,
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW,
            0o600,
        )
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=home.root,
                env=engine_environment(home),
                close_fds=True,
                start_new_session=True,
            )
        finally:
            os.close(log)
    except OSError as error:
        raise EngineError(
            f"The embedded engine cannot start: {error.strerror} ({error.filename or command[0]})."
        ) from error
    threading.Thread(
        target=process.wait, name=f"anylearn-engine-{process.pid}", daemon=True
    ).start()
    return process


def engine_environment(home: Home) -> dict[str, str]:
    """Give the engine's environment: an allow-list, so nothing secret of the notebook's is in it.

    A task's own variables come from its submission, not from here.
    """
    passed_on = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    return {**passed_on, "ANYLEARN_HOME": str(home.root), "PYTHONUNBUFFERED": "1"}


def last_lines(log: Path, began_at: int = 0) -> str:
    """Give the last lines of the engine's log, those after the position where there are any."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = began_at if began_at < size else 0
            file.seek(max(start, size - _LOG_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError as error:
        raise EngineError(
            f"The embedded engine cannot start, and its log {log} cannot be read: {error.strerror}."
        ) from error
    lines = deque(text.splitlines(), maxlen=_LOG_LINES)
    return "\n".join("".join(c for c in line if c.isprintable() or c == "\t") for line in lines)
