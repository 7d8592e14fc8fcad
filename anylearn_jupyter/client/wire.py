"""Connections that keep a deadline, and that ask the embedded engine who it is.

What a plain socket timeout cannot do is done here, below `requests`: one byte a second defeats a
timeout that starts again with each byte, so every wait for the socket, also within the headers,
ends at the exchange's own deadline (`Allowance`). And a connection to the embedded engine asks for
its proof before anything else is written, so that no credential reaches a stranger who listens on
a recorded port (docs/protocol.md, "Proof"; faults C2 and D7).
"""

from __future__ import annotations

import contextvars
import hmac
import http.client
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import urllib3

from anylearn_jupyter.errors import EngineError
from anylearn_jupyter.home import engine_proof, new_nonce

PROOF_TIMEOUT_S = 5.0
"""Seconds that the embedded engine has to prove itself on a new connection."""

_SEND_BYTES = 1 << 20
_LOOK_AT_STOP_S = 0.25
_PROOF_REPLY_BYTES = 4_096


class Stopped(Exception):
    """The caller's own stop event was set while a reply was awaited; no error of the server."""


class Allowance:
    """How long one exchange may wait, and whether anything of it has been sent.

    Parameters
    ----------
    deadline : float or None
        `time.monotonic` at which it ends, whatever arrives; None for streams without an end.
    silence_s : float
        Seconds without a single byte, either way.
    stop : threading.Event, optional
        Looked at while waiting for bytes; setting it raises `Stopped`.

    Attributes
    ----------
    sent : bool
        True from the first byte of the request on: from there its outcome may be unknown. The
        engine's proof does not count.
    """

    def __init__(
        self, *, deadline: float | None, silence_s: float, stop: threading.Event | None = None
    ) -> None:
        self.deadline = deadline
        self.silence_s = silence_s
        self.stop = stop
        self.sent = False

    def wait_s(self, silent_since: float) -> float:
        """Give the seconds that the next wait for the socket may take.

        Raises
        ------
        TimeoutError
            There are none left.
        Stopped
            The caller has set `stop`.
        """
        if self.stop is not None and self.stop.is_set():
            raise Stopped
        now = time.monotonic()
        ends = silent_since + self.silence_s
        if self.deadline is not None:
            ends = min(ends, self.deadline)
        if ends <= now:
            raise TimeoutError("no time left")
        left = ends - now
        return left if self.stop is None else min(left, _LOOK_AT_STOP_S)


_allowance: contextvars.ContextVar[Allowance | None] = contextvars.ContextVar(
    "anylearn_allowance", default=None
)


@contextmanager
def allowing(allowance: Allowance) -> Iterator[None]:
    """Hold every connection used in this block, in this thread, to an allowance."""
    token = _allowance.set(allowance)
    try:
        yield
    finally:
        _allowance.reset(token)


def _current_allowance() -> Allowance:
    found = _allowance.get()
    if found is None:
        raise RuntimeError("a connection of ours was used outside of `allowing`")
    return found


class _PatientReader(io.RawIOBase):
    """Reads a socket, and before each wait looks at what the allowance still permits."""

    def __init__(self, sock: socket.socket, owner: io.BufferedReader, allowance: Allowance) -> None:
        self._sock = sock
        self._owner = owner  # keeps the socket open for as long as the reply is read
        self._allowance = allowance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        since = time.monotonic()
        while True:
            self._sock.settimeout(self._allowance.wait_s(since))
            try:
                return self._sock.recv_into(buffer)
            except TimeoutError:
                continue  # the next `wait_s` tells whether that was all

    def close(self) -> None:
        self._owner.close()
        super().close()


class _PatientResponse(http.client.HTTPResponse):
    """A reply whose status line, headers and body are all read under the allowance."""

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp = io.BufferedReader(_PatientReader(sock, self.fp, _current_allowance()))


class _Patience:
    """What both kinds of connection share: sending in pieces that each keep the allowance."""

    sock: Any

    def send(self, data: Any) -> None:
        """Send under the allowance of this thread; connect before, if need be."""
        allowance = _current_allowance()
        if self.sock is None:
            self.connect()
        allowance.sent = True
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"a body is sent as bytes, not as {type(data).__name__}")
        pieces = memoryview(data)
        while pieces:
            # Not `sendall`, which holds its timeout for the whole piece: here each bit that leaves
            # is a sign of life.
            self.sock.settimeout(allowance.wait_s(time.monotonic()))
            pieces = pieces[self.sock.send(pieces[:_SEND_BYTES]) :]

    def connect(self) -> None:
        raise NotImplementedError


class PlainConnection(_Patience, urllib3.connection.HTTPConnection):
    """A connection without TLS that keeps the allowance."""

    response_class = _PatientResponse

    def connect(self) -> None:
        """Connect, as urllib3 does."""
        urllib3.connection.HTTPConnection.connect(self)


class SecureConnection(_Patience, urllib3.connection.HTTPSConnection):
    """A connection with TLS that keeps the allowance."""

    response_class = _PatientResponse

    def connect(self) -> None:
        """Connect, as urllib3 does; what a proxy is asked on the way is nothing of the request."""
        allowance = _current_allowance()
        sent = allowance.sent
        try:
            urllib3.connection.HTTPSConnection.connect(self)
        finally:
            allowance.sent = sent


def connection_pools(proof_token: str | None) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Make the pool classes that urllib3 shall use, by scheme.

    Parameters
    ----------
    proof_token : str or None
        The embedded engine's token: then each new connection has to prove itself with it.
    """
    plain: type[PlainConnection] = PlainConnection
    if proof_token is not None:
        token = proof_token

        class ProvenConnection(PlainConnection):
            """A connection to the embedded engine, which proves itself first."""

            def connect(self) -> None:
                """Connect, ask for the proof on this very socket, and hang up without it."""
                super().connect()
                try:
                    prove(self.sock, f"{self.host}:{self.port}", token)
                except BaseException:
                    self.close()
                    raise

        plain = ProvenConnection

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = plain

    class SecurePool(urllib3.HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    return {"http": PlainPool, "https": SecurePool}


def prove(sock: socket.socket, host_and_port: str, token: str) -> None:
    """Ask whoever listens at the other end to prove that it is this user's engine.

    Parameters
    ----------
    sock : socket.socket
        Connected, with nothing sent yet. It stays usable for requests afterwards.
    host_and_port : str
        Where it was connected to; part of what is proved, so that nobody can pass the question on.
    token : str
        The engine's token. Nothing that is sent here depends on it.

    Raises
    ------
    EngineError
        Another answer than the engine's.
    OSError
        No answer: the connection was cut, or `PROOF_TIMEOUT_S` went by.

    Notes
    -----
    Source: docs/protocol.md, "Proof"; faults, C2.
    """
    nonce = new_nonce()
    allowance = Allowance(
        deadline=time.monotonic() + PROOF_TIMEOUT_S, silence_s=PROOF_TIMEOUT_S, stop=None
    )
    with allowing(allowance):
        sock.settimeout(PROOF_TIMEOUT_S)
        sock.sendall(
            f"GET /api/engine/proof?nonce={nonce} HTTP/1.1\r\nHost: {host_and_port}\r\n"
            "Accept: application/json\r\n\r\n".encode("ascii")
        )
        answer = _read_proof(sock, host_and_port)
    if answer is None or not hmac.compare_digest(
        answer.encode(), engine_proof(token, nonce, host_and_port).encode()
    ):
        raise EngineError(
            f"What listens on {host_and_port} is not this user's engine, so nothing was sent to "
            "it; stop that program, or run `anylearn-engine start` to start the engine anew."
        )


def _read_proof(sock: socket.socket, host_and_port: str) -> str | None:
    """Read the reply and leave the socket open; None for any reply that is no proof."""
    reply = _PatientResponse(sock, method="GET")
    try:
        reply.begin()
        if reply.status != 200 or reply.will_close:
            return None
        body = reply.read(_PROOF_REPLY_BYTES + 1)
        if len(body) > _PROOF_REPLY_BYTES or not reply.isclosed():
            return None
        found = json.loads(body)
    except OSError:
        raise
    except (http.client.HTTPException, ValueError, RecursionError):
        return None
    finally:
        reply.close()
    proof = found.get("proof") if isinstance(found, dict) else None
    return proof if isinstance(proof, str) else None
