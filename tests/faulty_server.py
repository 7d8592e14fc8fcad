"""A small server on a raw socket that does what no good server would: slow, cut, garbage, silent.

Each test gives it one function, which sees a request and the socket, and writes whatever it likes.
Everything that arrives is kept, byte for byte, so a test can look for what must not be there.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = Callable[["Request", socket.socket], None]


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def form(self) -> dict[str, str]:
        found = parse_qs(self.body.decode(), keep_blank_values=True)
        return {name: values[-1] for name, values in found.items()}


class Gone(Exception):
    """The client has hung up."""


@dataclass
class FaultyServer:
    """What a test sees of the server."""

    address: str
    port: int
    requests: list[Request] = field(default_factory=list)
    received: bytearray = field(default_factory=bytearray)
    connections: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    def paths(self) -> list[str]:
        return [f"{request.method} {request.path}" for request in self.requests]


def reply(
    body: Any = None,
    status: int = 200,
    *,
    headers: dict[str, str] | None = None,
    content_type: str = "application/json",
    length: int | None = None,
) -> bytes:
    """Write a whole reply; a `length` that is not the body's makes it a cut one."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} Whatever",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(data) if length is None else length}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def drip(wire: socket.socket, data: bytes, closing: threading.Event, every_s: float = 0.05) -> None:
    """Send a byte at a time, for as long as the client reads."""
    for byte in data:
        wire.sendall(bytes([byte]))
        if closing.wait(every_s):
            return


class Connection:
    """Reads requests from one socket."""

    def __init__(self, wire: socket.socket, server: FaultyServer) -> None:
        self.wire = wire
        self.server = server
        self.held = b""

    def more(self) -> None:
        data = self.wire.recv(65_536)
        if not data:
            raise Gone
        self.server.received += data
        self.held += data

    def until(self, mark: bytes) -> bytes:
        while mark not in self.held:
            self.more()
        found, _, self.held = self.held.partition(mark)
        return found

    def exactly(self, size: int) -> bytes:
        while len(self.held) < size:
            self.more()
        found, self.held = self.held[:size], self.held[size:]
        return found

    def request(self) -> Request:
        head = self.until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (x.partition(":") for x in lines)
        }
        body = b""
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int(self.until(b"\r\n"), 16):
                body += self.exactly(size)
                self.exactly(2)
            self.exactly(2)
        else:
            body = self.exactly(int(headers.get("content-length", "0")))
        return Request(method, target, headers, body)


@contextmanager
def faulty_server(answer: Answer) -> Iterator[FaultyServer]:
    """Serve on a free port of loopback until the block ends; all threads have ended by then."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = FaultyServer(f"http://127.0.0.1:{port}", port)
    threads: list[threading.Thread] = []
    wires: list[socket.socket] = []

    def serve(wire: socket.socket) -> None:
        connection = Connection(wire, server)
        with wire, contextlib.suppress(Gone, OSError):
            while not server.closing.is_set():
                request = connection.request()
                server.requests.append(request)
                answer(request, wire)

    def accept() -> None:
        while True:
            try:
                wire, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            wires.append(wire)
            threads.append(threading.Thread(target=serve, args=(wire,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server
    finally:
        server.closing.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join(10)
        for wire in wires:
            with contextlib.suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(10)
        left = [thread.name for thread in [acceptor, *threads] if thread.is_alive()]
        assert not left, f"threads of the faulty server did not end: {left}"
