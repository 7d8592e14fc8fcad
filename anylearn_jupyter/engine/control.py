"""Talking to the running engine from the command line, and starting one in the background.

The standard library alone does the talking. On each connection the engine proves first that it has
the user's token; only then the token is sent, on that same connection (docs/protocol.md, "Proof").
"""

from __future__ import annotations

import hmac
import json
import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from anylearn_jupyter.engine.engine_log import last_lines, open_log
from anylearn_jupyter.engine.locking import is_held
from anylearn_jupyter.errors import EngineError
from anylearn_jupyter.home import (
    Endpoint,
    Home,
    boot_identity,
    engine_proof,
    engine_token,
    make_private_directory,
    new_nonce,
)

START_LIMIT_S = 20.0
"""Seconds that an engine has to answer after it was started."""

END_LIMIT_S = 15.0
"""Seconds that an engine has to end after it was told to, beyond what its tasks take."""

_ANSWER_S = 5.0
_TASKS_END_S = 45.0
_POLL_S = 0.02
_LOG_LINES = 20
_MAX_ANSWER = 1 << 20


class NotRunning(EngineError):
    """There is no engine to talk to."""


class Hangs(EngineError):
    """An engine holds the lock and does not answer."""


class Control:
    """One connection to the running engine.

    Parameters
    ----------
    home : Home
        Whose engine.

    Raises
    ------
    NotRunning
        There is none, or what listens on its port is a stranger.
    Hangs
        There is one that does not answer.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        endpoint = Endpoint.read(home)
        if endpoint is None or endpoint.boot != boot_identity():
            raise NotRunning(f"No engine runs for {home.root}; `anylearn-engine start` starts one.")
        self.endpoint = endpoint
        self._token = engine_token(home)
        port = endpoint.port
        if port is None:
            raise NotRunning(f"The record {home.endpoint} names no engine of this machine.")
        self._host = f"127.0.0.1:{port}"
        self._connection = HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
        self._prove()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def ask(
        self, method: str, path: str, form: dict[str, str] | None = None, *, limit_s: float = 10.0
    ) -> Any:
        """Send a request with the token, and give the answer's JSON.

        Raises
        ------
        EngineError
            No answer, or a refusal.
        """
        if self._connection.sock is None:
            self._prove()
        self._connection.sock.settimeout(limit_s)
        headers = {"Authorization": f"Bearer {self._token}"}
        body = None
        if form is not None:
            body = urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        status, answer = self._exchange(method, path, body, headers)
        if status != 200:
            words = answer.get("msg") if isinstance(answer, dict) else None
            raise EngineError(f"The engine answered {status}: {words or 'no reason given'}.")
        return answer

    def _prove(self) -> None:
        """Let the engine prove itself on this connection, before any credential leaves."""
        nonce = new_nonce()
        try:
            self._connection.connect()
        except OSError as error:
            raise NotRunning(
                f"No engine answers at {self.endpoint.address} ({error.strerror or error}); "
                "`anylearn-engine start` starts one."
            ) from error
        status, answer = self._exchange("GET", f"/api/engine/proof?nonce={nonce}", None, {})
        given = answer.get("proof") if isinstance(answer, dict) else None
        wanted = engine_proof(self._token, nonce, self._host)
        if status != 200 or not isinstance(given, str) or not hmac.compare_digest(given, wanted):
            self.close()
            raise NotRunning(
                f"What listens at {self.endpoint.address} is not this user's engine; nothing was "
                "sent to it. `anylearn-engine start` starts a new one."
            )

    def _exchange(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, Any]:
        try:
            self._connection.request(method, path, body, headers)
            answer = self._connection.getresponse()
            data = answer.read(_MAX_ANSWER)
        except TimeoutError as error:
            self.close()
            raise self._silent(error) from error
        except (OSError, HTTPException) as error:
            self.close()
            raise NotRunning(
                f"What listens at {self.endpoint.address} gave no answer of an engine's."
            ) from error
        try:
            return answer.status, json.loads(data)
        except ValueError:
            return answer.status, None

    def _silent(self, _error: TimeoutError) -> EngineError:
        if lock_is_held(self.home):
            return Hangs(
                f"The engine (process {self.endpoint.pid}) does not answer; `anylearn-engine stop` "
                "ends it, and its tasks go on."
            )
        return NotRunning(f"What listens at {self.endpoint.address} does not answer.")


def lock_is_held(home: Home) -> bool:
    """Whether an engine lives for this home, whatever it answers."""
    try:
        return is_held(os.open(home.engine_lock, os.O_RDWR | os.O_NOFOLLOW))
    except FileNotFoundError:
        return False


def start(
    home: Home, *, idle_minutes: float | None = None, plain_gateway: bool = False
) -> tuple[Endpoint, bool]:
    """Give the running engine, started in the background if there was none.

    Returns
    -------
    tuple of Endpoint and bool
        Where it listens, and whether it is new.

    Raises
    ------
    EngineError
        It ended at once or does not answer; with the end of its log.
    """
    running = _running(home)
    if running is not None:
        return running, False
    make_private_directory(home.root)
    make_private_directory(home.engine)
    process = _spawn(home, idle_minutes, plain_gateway)
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        ended = process.poll()
        running = _running(home)
        if running is not None:
            return running, running.pid == process.pid
        if ended:
            raise EngineError(
                f"The engine cannot start (it ended with {ended}). Its log ends:\n" + _end_of(home)
            )
        time.sleep(_POLL_S)
    if process.poll() is None:
        process.kill()
        process.wait()
    raise EngineError(
        f"The engine gave no answer within {START_LIMIT_S:g} s. Its log ends:\n" + _end_of(home)
    )


def stop(home: Home, *, tasks: bool) -> str:
    """End the running engine, and give the sentence that says what became of its tasks.

    Raises
    ------
    NotRunning
        There is none.
    EngineError
        It or its tasks did not end.
    """
    try:
        control = Control(home)
    except Hangs as hangs:
        if tasks:
            raise
        return _kill(home, hangs)
    try:
        status = control.ask("GET", "/api/engine/status")
        form = {"tasks": "stop" if tasks else "leave"}
        answer = control.ask("POST", "/api/engine/stop", form, limit_s=_TASKS_END_S)
    finally:
        control.close()
    if not answer.get("ends"):
        raise EngineError(f"The engine goes on: {answer.get('msg')}.")
    deadline = time.monotonic() + END_LIMIT_S
    while lock_is_held(home):
        if time.monotonic() > deadline:
            raise EngineError(
                f"The engine (process {status['pid']}) has not ended within {END_LIMIT_S:g} s."
            )
        time.sleep(_POLL_S)
    left = int(answer.get("tasks", 0))
    words = {0: "", 1: "; 1 task goes on"}.get(left, f"; {left} tasks go on")
    return f"engine stops{words}"


def _running(home: Home) -> Endpoint | None:
    try:
        control = Control(home)
    except NotRunning:
        return None
    control.close()
    return control.endpoint


def _spawn(home: Home, idle_minutes: float | None, plain_gateway: bool) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "anylearn_jupyter.engine", "serve"]
    if idle_minutes is not None:
        command += ["--idle-minutes", str(idle_minutes)]
    if plain_gateway:
        command.append("--plain-gateway")
    log = open_log(home.engine_log)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.engine,
            env=os.environ | {"ANYLEARN_HOME": str(home.root)},
            start_new_session=True,
        )
    finally:
        os.close(log)


def _kill(home: Home, hangs: Hangs) -> str:
    """End an engine that holds the lock and does not answer; its tasks go on."""
    endpoint = Endpoint.read(home)
    if endpoint is None or not _is_engine(endpoint.pid):
        raise hangs
    os.kill(endpoint.pid, signal.SIGKILL)
    deadline = time.monotonic() + END_LIMIT_S
    while lock_is_held(home):
        if time.monotonic() > deadline:
            raise hangs
        time.sleep(_POLL_S)
    home.endpoint.unlink(missing_ok=True)
    return "engine did not answer and was ended; its tasks go on"


def _is_engine(pid: int) -> bool:
    """Whether this process is an engine by its command; False where nobody can tell."""
    try:
        return b"anylearn_jupyter.engine" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _end_of(home: Home) -> str:
    return "\n".join(last_lines(home.engine_log, _LOG_LINES))
