"""What a recorded endpoint can turn out to be: a stranger, or nothing at all (faults C2, C3)."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from anylearn_jupyter.client.connection import current_connection, disconnect
from anylearn_jupyter.engine import control
from anylearn_jupyter.errors import AnylearnError
from anylearn_jupyter.home import boot_identity
from engine_home import EngineHome, own_engine
from published import PublishedClient

__all__ = ["own_engine"]

# Listens where an engine was, and tells all that it is sent.
IMPOSTOR = """
import os, re, socket, sys, threading
mode, port, real = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
NO_BODY = b"Content-Length: 0\\r\\n\\r\\n"
listener = socket.create_server(("127.0.0.1", port))
print("ready", os.getuid(), flush=True)

def relayed(data):
    with socket.create_connection(("127.0.0.1", real)) as engine:
        engine.sendall(data.replace(str(port).encode(), str(real).encode()))
        return engine.recv(65536)

def serve(client):
    with client:
        while data := client.recv(65536):
            print(data.hex(), flush=True)
            body = b'{"proof": "' + b"0" * 64 + b'"}'
            if mode == "cut":
                return
            if mode == "lie":
                client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 77\\r\\n\\r\\n" + body)
            elif mode == "garbage":
                client.sendall(os.urandom(10000))
            elif mode == "challenge":
                client.sendall(b"HTTP/1.1 401 No\\r\\nWWW-Authenticate: Bearer\\r\\n" + NO_BODY)
            elif mode == "redirect":
                client.sendall(b"HTTP/1.1 302 No\\r\\nLocation: /\\r\\n" + NO_BODY)
            elif mode == "relay":
                client.sendall(relayed(data))

while True:
    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()
"""


# C2: somebody else on the recorded port.


@contextmanager
def impostor(mode: str, port: int, real: int = 0) -> Iterator[Callable[[], bytes]]:
    """Listen as another user where the engine was; gives what was sent there so far."""
    words = [sys.executable, "-I", "-c", IMPOSTOR, mode, str(port), str(real)]
    if os.geteuid() == 0:
        python = shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin") or sys.executable
        words = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", python, *words[1:]]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd="/")
    assert process.stdout is not None
    seen: list[bytes] = []

    def sent() -> bytes:
        """Read what it has told; nothing more comes when its process has ended."""
        process.kill()
        assert process.stdout is not None
        seen.extend(bytes.fromhex(line) for line in process.stdout.read().split())
        return b"".join(seen)

    try:
        uid = "65534" if os.geteuid() == 0 else str(os.geteuid())
        assert process.stdout.readline() == f"ready {uid}\n"
        yield sent
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("mode", ["lie", "garbage", "challenge", "redirect", "cut", "silent"])
def test_a_stranger_on_the_recorded_port_is_never_sent_the_token(
    own_engine: EngineHome, mode: str
) -> None:
    old = own_engine.ask()
    port = own_engine.port
    own_engine.kill()

    with impostor(mode, port) as sent:
        new = own_engine.ask()
        assert (new.address, new.pid) != (old.address, old.pid)
        said = own_engine.command("status").stdout
        received = sent()

    assert b"GET /api/engine/proof?nonce=" in received
    assert own_engine.token.encode() not in received
    assert b"uthorization" not in received
    assert new.address in said
    assert PublishedClient(new.address, new.token).call("GET", "mirror/list")


def test_a_stranger_that_takes_the_port_of_a_living_connection_gets_nothing(
    own_engine: EngineHome,
) -> None:
    """Each new connection asks again, also of a client that has spoken to the engine before."""
    connection = current_connection()
    assert connection.engine is not None
    own_engine.address, own_engine.pid = connection.address, connection.engine.pid
    own_engine.kill()

    with impostor("lie", own_engine.port) as sent:
        with pytest.raises(AnylearnError):
            connection.api.me()
        received = sent()
    disconnect()

    assert b"GET /api/engine/proof?nonce=" in received
    assert own_engine.token.encode() not in received
    assert b"uthorization" not in received


def test_a_stranger_cannot_pass_the_question_on(own_engine: EngineHome) -> None:
    """Its own port is part of the proof, so the real engine's answer does not fit."""
    real = own_engine.ask()
    recorded = own_engine.home.endpoint.read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    stale = json.loads(recorded) | {"address": f"http://127.0.0.1:{port}"}

    with impostor("relay", port, own_engine.port) as sent:
        own_engine.home.endpoint.write_text(json.dumps(stale))
        with pytest.raises(control.NotRunning, match="not this user's engine"):
            control.Control(own_engine.home)
        received = sent()

    assert b"GET /api/engine/proof?nonce=" in received
    assert own_engine.token.encode() not in received
    own_engine.home.endpoint.write_bytes(recorded)
    assert own_engine.ask() == real


# C3: what is recorded is not true.


def stale_records() -> dict[str, Any]:
    endpoint = {
        "address": "http://127.0.0.1:9", "pid": os.getpid(), "boot": boot_identity(),
        "version": "0.0.1", "started_ms": 1, "format": 1,
    }  # fmt: skip
    return {
        "empty": b"",
        "half written": json.dumps(endpoint)[:40].encode(),
        "garbage": os.urandom(200),
        "no object": b"[1, 2]",
        "wrong types": json.dumps(endpoint | {"pid": "x"}).encode(),
        "process of another's": json.dumps(endpoint).encode(),
        "dead process": json.dumps(endpoint | {"pid": 2**22 - 1}).encode(),
        "another boot": json.dumps(endpoint | {"boot": "x"}).encode(),
        "another host": json.dumps(endpoint | {"address": "http://192.0.2.1:80"}).encode(),
        "another name": json.dumps(endpoint | {"address": "http://127.0.0.1.evil:80"}).encode(),
        "no port": json.dumps(endpoint | {"address": "http://127.0.0.1"}).encode(),
        "no address": json.dumps(endpoint | {"address": "file:///etc/passwd"}).encode(),
        "port that cannot be": json.dumps(
            endpoint | {"address": "http://127.0.0.1:99999"}
        ).encode(),
    }


@pytest.mark.parametrize("kind", stale_records())
def test_a_stale_record_is_replaced_by_a_new_engine(own_engine: EngineHome, kind: str) -> None:
    own_engine.home.engine.mkdir(parents=True, mode=0o700)
    own_engine.home.endpoint.write_bytes(stale_records()[kind])

    found = own_engine.ask()

    assert found.pid != os.getpid()
    assert own_engine.status()["pid"] == found.pid
    assert own_engine.serving() == [found.pid]


def test_the_command_starts_one_too_where_the_record_is_stale(own_engine: EngineHome) -> None:
    own_engine.home.engine.mkdir(parents=True, mode=0o700)
    for record in ("port that cannot be", "half written"):
        own_engine.home.endpoint.write_bytes(stale_records()[record])
        assert own_engine.status() == {"running": False}
    assert "engine runs at" in own_engine.command("start").stdout
