"""Who may talk to the engine: no web page, and nobody without its credential (faults G1, G4).

The routes are the router's own list, so one that is added is tried here without anyone's doing.
"""

from __future__ import annotations

import itertools
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest
import requests

from anylearn_jupyter.engine.auth import Credential
from anylearn_jupyter.engine.routes import ROUTES, Route
from engine_home import EngineHome, shared_engine
from published import PublishedClient
from waiting import wait_until

__all__ = ["shared_engine"]

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND")
FORM = "application/x-www-form-urlencoded"
SIMPLE_TYPES = (FORM, "multipart/form-data; boundary=x", "text/plain")
NONCE = "00112233445566778899aabbccddeeff"
# What would make or change something, were it let in.
FIELDS = (
    "name=planted&description=x&filename=planted.zip&tasks=stop&id=x&file_id=x&username=planted"
    f"&password=planted&email=a@b&metric=1&train_params=%7B%7D&entrypoint=true&nonce={NONCE}"
)
WRONG_TOKENS = ("", "x", "None", "null", "undefined", "0" * 43, "ÿ" * 20, "a b", "x" * 8000)

PATHS = [
    *sorted({route.path for route in ROUTES}),
    "/",
    "/api",
    "/api/",
    "/git/ada/code.git/info/refs?service=git-receive-pack",
    "/git/ada/code.git/git-receive-pack",
    "/nothing",
]
GIT_REQUESTS = (
    ("GET", "/git/ada/code.git/info/refs?service=git-upload-pack", ""),
    ("GET", "/git/ada/code.git/info/refs?service=git-receive-pack", ""),
    ("POST", "/git/ada/code.git/git-upload-pack", "application/x-git-upload-pack-request"),
    ("POST", "/git/ada/code.git/git-receive-pack", "application/x-git-receive-pack-request"),
)


class Door:
    """Raw requests to an engine: exactly these headers, and no others."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.host = f"127.0.0.1:{port}"

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request on a connection of its own, and give status, headers and body."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            given = {"Host": self.host} | headers
            if body:
                given["Content-Length"] = str(len(body))
            for name, value in given.items():
                connection.putheader(name, value.encode())
            connection.endheaders(body.encode() if body else None)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, found, answer.read()

    def refused(
        self, status: int, method: str, path: str, headers: dict[str, str], body: str = ""
    ) -> None:
        """Fail unless a request is refused with this status, and tells a page nothing."""
        found, given, data = self.ask(method, path, headers, body)
        assert found == status, (method, path, headers, found, data[:300])
        assert not [name for name in given if name.startswith("access-control-")]
        assert "set-cookie" not in given
        if method != "HEAD":
            assert re.fullmatch(rb'\{"msg": ".+", "code": "\w+"\}', data), data[:300]


@pytest.fixture(scope="module")
def ada(shared_engine: EngineHome, tmp_path_factory: pytest.TempPathFactory) -> PublishedClient:
    shared_engine.add_user("ada", "lovelace")
    client = PublishedClient.login(shared_engine.address, "ada", "lovelace")
    client.send_code("code", tmp_path_factory.mktemp("code") / "code", {"main.py": "1"})
    return client


@pytest.fixture(scope="module")
def refresh_token(ada: PublishedClient) -> str:
    session = PublishedClient(ada.address).call(
        "POST", "user/login", username="ada", password="lovelace"
    )
    found: str = session["refresh_token"]
    return found


@pytest.fixture(scope="module")
def door(shared_engine: EngineHome, ada: PublishedClient) -> Door:
    return Door(shared_engine.port)


def everything(engine: EngineHome) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the store: whatever a request could have changed."""
    found = {}
    with closing(
        sqlite3.connect(f"file:{engine.home.engine}/store.sqlite3?mode=ro", uri=True)
    ) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
        for table in tables:
            found[table] = db.execute(f"SELECT * FROM {table}").fetchall()
    return found


@pytest.fixture
def nothing_changes(shared_engine: EngineHome, door: Door) -> Iterator[None]:
    """Fail when the test has changed a row, a blob or a repository, or has ended the engine."""

    def files() -> set[tuple[str, int]]:
        engine = shared_engine.home.engine
        return {
            (str(path), path.stat().st_size)
            for part in ("blobs", "git", "tasks")
            for path in (engine / part).rglob("*")
        }

    before = everything(shared_engine), files()
    yield
    assert (everything(shared_engine), files()) == before
    local = PublishedClient(shared_engine.address, shared_engine.token)
    assert local.call("GET", "engine/status")["pid"] == shared_engine.pid


def right(engine: EngineHome) -> dict[str, str]:
    """The best credentials that there are: even with them a page is turned away."""
    return {"Authorization": f"Bearer {engine.token}", "Content-Type": FORM}


# G1: a web page.


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("path", PATHS)
def test_another_host_is_refused_on_every_verb(
    shared_engine: EngineHome, door: Door, path: str
) -> None:
    hosts = [
        "evil.example", f"evil.example:{door.port}", "127.0.0.1", f"127.0.0.1:{door.port + 1}",
        f"127.0.0.1.evil.example:{door.port}", f"0.0.0.0:{door.port}", f"[::1]:{door.port}",
        f"127.1:{door.port}", f"rebound.localhost:{door.port}", "",
    ]  # fmt: skip
    cycle = itertools.cycle(hosts)
    for verb in VERBS:
        door.refused(421, verb, path, right(shared_engine) | {"Host": next(cycle)}, FIELDS)
    for host in hosts:
        door.refused(421, "POST", path, right(shared_engine) | {"Host": host}, FIELDS)


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("path", PATHS)
def test_a_page_is_refused_on_every_verb(shared_engine: EngineHome, door: Door, path: str) -> None:
    signs = [
        {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Origin": ""},
        {"Origin": f"http://127.0.0.1:{door.port}"}, {"Origin": f"http://localhost:{door.port}"},
        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none", "Origin": "null"},
    ]  # fmt: skip
    cycle = itertools.cycle(signs)
    for verb in VERBS:
        door.refused(403, verb, path, right(shared_engine) | next(cycle), FIELDS)
    for sign in signs:
        door.refused(403, "POST", path, right(shared_engine) | sign, FIELDS)


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize("path", PATHS)
def test_what_a_page_can_send_without_asking_does_nothing(door: Door, path: str) -> None:
    """A simple request carries no credential of ours; a preflight gets no permission."""
    for kind in SIMPLE_TYPES:
        status, given, data = door.ask("POST", path, {"Content-Type": kind}, FIELDS)
        assert status in (400, 401, 403, 404, 405, 415), (path, kind, data)
        assert not [name for name in given if name.startswith("access-control-")]
    asks = {
        "Origin": "http://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
        "Access-Control-Request-Private-Network": "true",
    }
    door.refused(403, "OPTIONS", path, asks)


@pytest.mark.usefixtures("nothing_changes")
def test_a_web_socket_is_not_opened(shared_engine: EngineHome, door: Door) -> None:
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    door.refused(403, "GET", "/api/events", upgrade | {"Origin": "http://evil.example"})
    door.refused(405, "GET", "/api/events", right(shared_engine) | upgrade)


# Who has no credential, or a wrong one.


def asked(route: Route) -> str:
    return f"{route.path}?{FIELDS}" if route.method in ("GET", "DELETE") else route.path


def test_what_needs_no_credential_is_written_down() -> None:
    free = {(route.method, route.path) for route in ROUTES if route.credential is Credential.NONE}

    assert free == {
        ("GET", "/api/engine/proof"),
        ("POST", "/api/user/login"),
        ("GET", "/api/user/check"),
        ("POST", "/api/user/registry"),
    }
    reports = {route.path for route in ROUTES if route.credential is Credential.TASK}
    assert reports == {
        f"/api/train_task/{call}" for call in ("final_metric", "intermediate_metric", "state")
    }


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.credential is not Credential.NONE],
    ids=lambda route: f"{route.method} {route.path}",
)
def test_every_route_wants_its_credential(
    shared_engine: EngineHome, ada: PublishedClient, refresh_token: str, door: Door, route: Route
) -> None:
    body = "" if route.method in ("GET", "DELETE") else FIELDS
    token = shared_engine.token
    other = ada.token if route.credential is Credential.REFRESH else refresh_token
    wrong = [{}, {"Cookie": f"token={token}"}, {"Authorization": token}]
    wrong += [{"Authorization": f"Bearer {one}"} for one in WRONG_TOKENS]
    wrong += [
        {"Authorization": f"Bearer {token[:-1]}"}, {"Authorization": f"Bearer {token}x"},
        {"Authorization": f"Bearer {token.swapcase()}"}, {"Authorization": f"Basic {token}"},
        {"Authorization": f"Token {token}"}, {"X-Token": token},
        {"Authorization": "Basic YWRhOmxvdmVsYWNl"}, {"Authorization": f"Bearer {other}"},
    ]  # fmt: skip
    if route.credential is Credential.TASK:
        wrong += [{"Authorization": f"Bearer {token}"}, {"Secret-Key": token}]
    for headers in wrong:
        door.refused(401, route.method, asked(route), {"Content-Type": FORM} | headers, body)
    # A token in the query counts for nothing.
    joined = "&" if "?" in asked(route) else "?"
    door.refused(401, route.method, f"{asked(route)}{joined}token={token}", {}, "")


@pytest.mark.usefixtures("nothing_changes")
@pytest.mark.parametrize(("method", "path", "kind"), GIT_REQUESTS)
def test_git_wants_a_credential_too(
    shared_engine: EngineHome, door: Door, method: str, path: str, kind: str
) -> None:
    wrong = [
        {}, {"Authorization": "Basic YWRhOndyb25n"}, {"Authorization": "Basic !!!"},
        {"Authorization": "Basic YWRh"}, {"Authorization": "Basic OmxvdmVsYWNl"},
        {"Authorization": "Bearer x"}, {"Authorization": "Basic"},
    ]  # fmt: skip
    for headers in wrong:
        door.refused(401, method, path, headers | {"Content-Type": kind}, "0000")
    # The local user is another one than whose repository it is.
    door.refused(403, method, path, right(shared_engine) | {"Content-Type": kind}, "0000")


def test_a_large_body_without_a_credential_is_not_read(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(
            f"POST /api/resource/upload HTTP/1.1\r\nHost: {door.host}\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n"
            "Content-Length: 2000000\r\n\r\n".encode()
        )
        answer = connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    ("head", "statuses"),
    [
        ("GET / HTTP/1.1\r\n\r\n", (b"400", b"421")),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil\r\n\r\n", (b"400", b"421")),
        ("GET / HTTP/1.0\r\n\r\n", (b"400", b"421")),
        ("GET http://evil/api/mirror/list HTTP/1.1\r\nHost: {host}\r\n\r\n", (b"404", b"400")),
        ("POST /api/project/add HTTP/1.1\r\nHost: {host}\r\nContent-Length: x\r\n\r\n", (b"400",)),
        (
            "POST /api/project/add HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n"
            "Transfer-Encoding: chunked\r\n\r\n",
            (b"400", b"401"),
        ),
        ("GET / HTTP/1.1\r\nHost: {host}\r\nX: " + "x" * 20_000 + "\r\n\r\n", (b"",)),
        ("nonsense\r\n\r\n", (b"400", b"")),
        ("GET /api/engine/status HTTP/1.1\r\nHost: {host}@evil\r\n\r\n", (b"400", b"421")),
    ],
)
def test_broken_requests_are_refused_or_cut(
    door: Door, head: str, statuses: tuple[bytes, ...]
) -> None:
    with socket.create_connection(("127.0.0.1", door.port), timeout=10) as connection:
        connection.sendall(head.replace("{host}", door.host).encode())
        answer = connection.recv(65_536)
    assert answer[9:12] in statuses, answer[:300]


def test_slow_strangers_do_not_keep_others_out(
    shared_engine: EngineHome, ada: PublishedClient
) -> None:
    """Two hundred connections that never finish their head (G4)."""
    slow = [socket.create_connection(("127.0.0.1", shared_engine.port)) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(b"GET /api/mirror/list HTTP/1.1\r\nX-Slow: ")
        assert ada.call("GET", "mirror/list")
    finally:
        for connection in slow:
            connection.close()


def test_more_connections_than_there_may_be_are_closed(
    shared_engine: EngineHome, ada: PublishedClient
) -> None:
    held = [socket.create_connection(("127.0.0.1", shared_engine.port)) for _ in range(450)]
    try:
        for connection in held:
            connection.setblocking(False)

        def closed() -> int:
            found = 0
            for connection in held:
                try:
                    found += connection.recv(1, socket.MSG_PEEK) == b""
                except BlockingIOError:
                    continue
                except ConnectionResetError:
                    found += 1
            return found

        wait_until(lambda: closed() >= 50, 10, "those above the limit are closed")
        assert closed() <= 60
    finally:
        for connection in held:
            connection.close()

    def served() -> bool:
        try:
            return bool(ada.call("GET", "mirror/list"))
        except requests.ConnectionError:
            return False

    wait_until(served, 10, "there is room again")
