"""The HTTP session against a server that misbehaves: deadlines, retries, redirects, secrets."""

from __future__ import annotations

import gzip
import os
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from anylearn_jupyter.client import http as http_module
from anylearn_jupyter.client.auth import BasicAuth, NoAuth, TokenAuth
from anylearn_jupyter.client.credentials import Login
from anylearn_jupyter.client.http import Http
from anylearn_jupyter.client.pace import retry_after_s
from anylearn_jupyter.client.replies import decode
from anylearn_jupyter.client.wire import Stopped
from anylearn_jupyter.config import Settings
from anylearn_jupyter.errors import (
    AnylearnError,
    ConfigError,
    Conflict,
    Denied,
    LoginRequired,
    NotFound,
    ServerError,
    ServerUnreachable,
    UnexpectedAnswer,
)
from anylearn_jupyter.home import Home
from faulty_server import FaultyServer, Request, drip, faulty_server, reply

SECRET = "tok-CANARY-4711"


def settings(read_timeout_s: float = 5.0) -> Settings:
    return Settings(home=Home(), connect_timeout_s=2.0, read_timeout_s=read_timeout_s)


def http_to(
    server: FaultyServer | str, *, read_timeout_s: float = 5.0, pauses: list[float] | None = None
) -> Http:
    waited = [] if pauses is None else pauses
    return Http(
        server if isinstance(server, str) else server.address,
        auth=TokenAuth(SECRET),
        settings=settings(read_timeout_s),
        pause=waited.append,
    )


def everything_said(error: BaseException) -> str:
    """All that a traceback, a debugger or a log could show of an error."""
    said = "".join(traceback.format_exception(error))
    found: BaseException | None = error
    while found is not None:
        said += repr(found) + repr(vars(found))
        request = getattr(found, "request", None)
        said += repr(getattr(request, "headers", ""))
        found = found.__cause__ or found.__context__
    return said


def test_the_bearer_is_sent_and_no_netrc_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password stolen\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with faulty_server(lambda request, wire: wire.sendall(reply([]))) as server:
        http = http_to(server)
        assert http.get("project/list") == []
        anonymous = Http(server.address, auth=NoAuth(), settings=settings())
        anonymous.get("user/check")
        http.close()
        anonymous.close()
    assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert "authorization" not in server.requests[1].headers


def test_loopback_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        faulty_server(lambda request, wire: wire.sendall(reply({}))) as proxy,
        faulty_server(lambda request, wire: wire.sendall(reply([]))) as server,
    ):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.address)
        monkeypatch.setenv("no_proxy", "")
        http = http_to(server)
        assert http.get("project/list") == []
        http.close()
    assert not proxy.requests


def test_one_connection_serves_many_requests() -> None:
    with faulty_server(lambda request, wire: wire.sendall(reply([]))) as server:
        http = http_to(server)
        for _ in range(5):
            http.get("project/list")
        http.close()
    assert server.connections == 1


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_byte_now_and_then_does_not_defeat_the_deadline(part: str) -> None:
    def answer(request: Request, wire: socket.socket) -> None:
        whole = reply({"x": "y" * 10_000})
        head = whole.index(b"\r\n\r\n") + 4
        if part == "body":
            wire.sendall(whole[:head])
            whole = whole[head:]
        drip(wire, whole, server.closing)

    with faulty_server(answer) as server:
        http = http_to(server)
        began = time.monotonic()
        with pytest.raises(ServerUnreachable, match="time was up") as caught:
            http.get("project/list", timeout_s=1.0)
        assert time.monotonic() - began < 3
        assert not caught.value.may_have_happened
        http.close()


def test_silence_ends_a_call_and_leaves_a_write_in_doubt() -> None:
    with faulty_server(lambda request, wire: None) as server:
        http = http_to(server, read_timeout_s=0.3)
        with pytest.raises(ServerUnreachable, match="nothing came for too long") as caught:
            http.post("project/add", {"name": "x"})
        assert caught.value.may_have_happened
        assert len(server.requests) == 1
        http.close()


def test_a_reset_after_the_request_leaves_a_write_in_doubt_and_repeats_a_read() -> None:
    def answer(request: Request, wire: socket.socket) -> None:
        wire.shutdown(socket.SHUT_RDWR)

    with faulty_server(answer) as server:
        http = http_to(server)
        with pytest.raises(ServerUnreachable) as caught:
            http.post("project/add", {"name": "x"})
        assert caught.value.may_have_happened
        assert len(server.requests) == 1
        with pytest.raises(ServerUnreachable) as caught:
            http.get("project/list")
        assert not caught.value.may_have_happened
        assert len(server.requests) == 1 + http_module.ATTEMPTS
        http.close()


def test_a_refused_connection_is_tried_again_also_for_a_write_as_nothing_was_sent() -> None:
    with faulty_server(lambda request, wire: None) as server:
        address = server.address
    pauses: list[float] = []
    http = http_to(address, pauses=pauses)
    with pytest.raises(ServerUnreachable, match="refused") as caught:
        http.post("project/add", {"name": "x"})
    assert not caught.value.may_have_happened
    assert len(pauses) == http_module.ATTEMPTS - 1
    http.close()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_busy_answers_are_waited_out_for_reads_and_keyed_writes_only(status: int) -> None:
    def answer(request: Request, wire: socket.socket) -> None:
        seen = [known for known in server.requests if known.target == request.target]
        wire.sendall(reply({"data": "ok"}, status if len(seen) < 3 else 200))

    with faulty_server(answer) as server:
        http = http_to(server)
        assert http.get("one") == {"data": "ok"}
        assert http.post("two/add", {"a": 1}, key="k-1") == {"data": "ok"}
        keys = [request.headers.get("idempotency-key") for request in server.requests[3:]]
        assert keys == ["k-1"] * 3
        kind = ServerError if status == 429 else ServerUnreachable
        with pytest.raises(kind) as caught:
            http.post("three/add", {"a": 1})
        assert getattr(caught.value, "may_have_happened", True)
        assert server.paths().count("POST /api/three/add") == 1
        http.close()


def test_retry_after_is_honoured_within_a_bound() -> None:
    def answer(request: Request, wire: socket.socket) -> None:
        wanted = "7" if len(server.requests) == 1 else "100000"
        wire.sendall(reply({}, 429, headers={"Retry-After": wanted}))

    pauses: list[float] = []
    with faulty_server(answer) as server:
        http = http_to(server, pauses=pauses)
        with pytest.raises(ServerError, match="come back in 100000 s"):
            http.get("one")
        http.close()
    assert pauses == [7.0]


def test_retry_after_may_be_a_date_or_nonsense() -> None:
    assert retry_after_s("Fri, 01 Jan 2100 00:00:00 GMT") or 0 > 1e9
    assert retry_after_s("soon") is None
    assert retry_after_s("-3") == 0
    assert retry_after_s(None) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, LoginRequired),
        (403, Denied),
        (404, NotFound),
        (409, Conflict),
        (412, Conflict),
        (413, ServerError),
        (422, ServerError),
        (500, ServerError),
    ],
)
def test_each_status_has_its_error_with_the_servers_words(
    status: int, kind: type[AnylearnError]
) -> None:
    said = "no\nroom \x1b[31mleft\u2028" + "x" * 1000
    with faulty_server(lambda request, wire: wire.sendall(reply({"msg": said}, status))) as server:
        http = http_to(server)
        with pytest.raises(kind) as caught:
            http.post("dataset/add", {"name": "x"})
        http.close()
    text = str(caught.value)
    assert "no room [31mleft" in text
    assert "\n" not in text
    assert "\x1b" not in text
    assert len(text) < 500
    assert len(server.requests) == 1
    if kind is LoginRequired:
        assert "%anylearn_login" in text


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        (b"<!doctype html><form>log in", "text/html; charset=utf-8", "login page"),
        (b'{"a": ', "application/json", "no JSON"),
        (b"[" * 200_000, "application/json", "no JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "application/json", "no JSON"),
        (b'"\xff\xfe"', "application/json", "no JSON"),
        (b"", "application/json", "no JSON"),
    ],
)
def test_garbage_with_200_is_named(body: bytes, content_type: str, says: str) -> None:
    whole = reply(body, content_type=content_type)
    with faulty_server(lambda request, wire: wire.sendall(whole)) as server:
        http = http_to(server)
        with pytest.raises(UnexpectedAnswer, match=says):
            http.get("project/list")
        http.close()


def test_an_endless_answer_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module, "BODY_LIMIT", 1 << 20)

    def answer(request: Request, wire: socket.socket) -> None:
        wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
        while not server.closing.is_set():
            wire.sendall(b"1," * 50_000)

    with faulty_server(answer) as server:
        http = http_to(server)
        with pytest.raises(UnexpectedAnswer, match="more than 1 MiB"):
            http.get("project/list")
        http.close()


def test_a_small_packed_answer_does_not_unpack_beyond_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_module, "BODY_LIMIT", 1 << 20)
    bomb = gzip.compress(b" " * (64 << 20))
    whole = reply(bomb, headers={"Content-Encoding": "gzip"})
    with faulty_server(lambda request, wire: wire.sendall(whole)) as server:
        http = http_to(server)
        with pytest.raises(UnexpectedAnswer, match="more than 1 MiB"):
            http.get("project/list")
        http.close()


def test_a_cut_answer_is_no_answer() -> None:
    def answer(request: Request, wire: socket.socket) -> None:
        wire.sendall(reply([1, 2, 3], length=500))
        wire.shutdown(socket.SHUT_RDWR)

    with faulty_server(answer) as server:
        http = http_to(server)
        with pytest.raises(ServerUnreachable):
            http.get("project/list")
        http.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_with_both_hosts_and_no_credential_follows(status: int) -> None:
    with faulty_server(lambda request, wire: wire.sendall(reply([]))) as elsewhere:

        def answer(request: Request, wire: socket.socket) -> None:
            target = f"{elsewhere.address}/steal?x={SECRET}"
            wire.sendall(reply({}, status, headers={"Location": target}))

        with faulty_server(answer) as server:
            http = http_to(server)
            for call in (lambda: http.get("a"), lambda: http.post("b", {"x": 1})):
                with pytest.raises(UnexpectedAnswer) as caught:
                    call()
                assert str(elsewhere.port) in str(caught.value)
                assert str(server.port) in str(caught.value)
                assert SECRET not in str(caught.value)
            http.close()
        assert not elsewhere.requests


def test_a_refused_token_is_renewed_once_for_many_threads() -> None:
    """HTTP API, section 3: the refresh token stays valid, and the request is repeated."""
    lock = threading.Lock()

    def answer(request: Request, wire: socket.socket) -> None:
        bearer = request.headers["authorization"]
        if request.path == "/api/user/refresh_token":
            assert bearer == "Bearer refresh"
            wire.sendall(reply({"token": "new"}))
        elif bearer == "Bearer new":
            wire.sendall(reply(["fine"]))
        else:
            wire.sendall(reply({"msg": "old"}, 401))

    renewed: list[str] = []
    results: list[object] = []
    with faulty_server(answer) as server:
        auth = TokenAuth("old", "refresh", on_renewal=renewed.append)
        http = Http(server.address, auth=auth, settings=settings())

        def ask() -> None:
            found = http.post("project/add", {"name": "x"})
            with lock:
                results.append(found)

        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        http.close()
    assert results == [["fine"]] * 6
    assert renewed == ["new"]
    assert server.paths().count("GET /api/user/refresh_token") == 1


def test_an_ended_login_says_so() -> None:
    with faulty_server(lambda request, wire: wire.sendall(reply({}, 401))) as server:
        http = Http(server.address, auth=TokenAuth("old", "also old"), settings=settings())
        with pytest.raises(LoginRequired, match="has ended"):
            http.get("project/list")
        http.close()


def test_no_secret_shows_in_any_error_or_repr() -> None:
    with faulty_server(lambda request, wire: wire.shutdown(socket.SHUT_RDWR)) as server:
        http = http_to(server)
        with pytest.raises(ServerUnreachable) as caught:
            http.post("user/login", {"username": "u", "password": SECRET})
        assert SECRET not in everything_said(caught.value)
        http.close()
    said = f"Bearer {SECRET} is bad"
    with faulty_server(lambda request, wire: wire.sendall(reply({"msg": said}, 403))) as server:
        http = http_to(server)
        with pytest.raises(Denied) as denied:
            http.get("x")
        assert SECRET not in everything_said(denied.value)
        http.close()
    for shown in (TokenAuth(SECRET, SECRET), BasicAuth("u", SECRET), Login("i", "u", SECRET, "r")):
        assert SECRET not in repr(shown)
        assert SECRET not in str(shown)


@pytest.mark.parametrize("address", ["http://u:p@host", "http://", "ftp://x", "http://a:99999"])
def test_an_address_that_cannot_be_used_is_refused(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Http(address, auth=NoAuth(), settings=settings())
    assert "u:p" not in str(caught.value)


def test_an_unknown_host_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    http = http_to("http://no-such-host.invalid")
    with pytest.raises(ServerUnreachable, match=r"no-such-host.invalid.*name of the host"):
        http.get("x")


def test_an_early_refusal_of_a_large_body_is_the_servers_error() -> None:
    """D12: the answer comes while the body is still being sent."""
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        wire, _ = listener.accept()
        with wire:
            wire.recv(1000)
            wire.sendall(reply({"msg": "too large"}, 413, headers={"Connection": "close"}))
            wire.shutdown(socket.SHUT_WR)
            while wire.recv(65_536):
                pass

    thread = threading.Thread(target=refuse)
    thread.start()
    http = http_to(f"http://127.0.0.1:{listener.getsockname()[1]}")
    answer = http.exchange("POST", "resource/upload", data=b"x" * (4 << 20))
    assert answer.status == 413
    with pytest.raises(ServerError, match="too large"):
        decode(answer)
    http.close()
    thread.join(10)
    listener.close()


def test_a_stream_gives_lines_as_they_come_and_can_be_stopped() -> None:
    def answer(request: Request, wire: socket.socket) -> None:
        wire.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in (b"one\ntw", b"o\n"):
            wire.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        server.closing.wait(30)

    stop = threading.Event()
    with faulty_server(answer) as server:
        http = http_to(server)
        with http.stream("POST", "events", data=b"", silence_s=30, stop=stop) as stream:
            lines = stream.lines()
            assert [next(lines), next(lines)] == [b"one", b"two"]
            stop.set()
            with pytest.raises(Stopped):
                next(lines)
        http.close()


def test_a_silent_stream_is_dead_and_a_cut_one_is_lost() -> None:
    def answer(request: Request, wire: socket.socket) -> None:
        wire.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n")
        if request.path.endswith("cut"):
            wire.shutdown(socket.SHUT_RDWR)

    def read(path: str) -> Iterator[bytes]:
        with http.stream("GET", path, silence_s=0.3) as stream:
            yield from stream.lines()

    with faulty_server(answer) as server:
        http = http_to(server)
        for path in ("silent", "cut"):
            with pytest.raises(ServerUnreachable):
                list(read(path))
        http.close()


def test_a_child_after_a_fork_opens_its_own_connection() -> None:
    with faulty_server(lambda request, wire: wire.sendall(reply([os.getpid()]))) as server:
        http = http_to(server)
        http.get("x")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                http.get("x")
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        http.get("x")
        assert server.connections == 2
        http.close()
