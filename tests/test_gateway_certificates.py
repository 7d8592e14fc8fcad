"""Certificates, proxies and `.netrc` between us and a gateway (faults D10, D11)."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from anylearn_jupyter.client.auth import TokenAuth
from anylearn_jupyter.client.authorities import AUTHORITY_VARIABLES
from anylearn_jupyter.client.http import ATTEMPTS, Http
from anylearn_jupyter.config import Settings
from anylearn_jupyter.errors import ConfigError, ServerUnreachable
from anylearn_jupyter.home import Home
from faulty_server import Request, faulty_server, reply

SECRET = "tok-CANARY-4711"


def http_to(address: str) -> Http:
    settings = Settings(home=Home(), connect_timeout_s=2.0, read_timeout_s=5.0)
    auth = TokenAuth(SECRET)
    return Http(address, auth=auth, settings=settings, pause=lambda seconds: None)


# D10: certificates, made by openssl.


class Authority:
    """An authority of the test's own, and what it signs."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.file = place / "authority.pem"
        self._run(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=an authority of the test", "-days", "2",
            "-addext", "keyUsage=critical,keyCertSign",
            "-keyout", str(place / "authority.key"), "-out", str(self.file),
        )  # fmt: skip

    def sign(self, name: str, subject: str, *, days: int = 2) -> ssl.SSLContext:
        """Give a server's side with a certificate for a subject; negative days are over."""
        key, certificate = self.place / f"{name}.key", self.place / f"{name}.pem"
        self._run(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=server", "-keyout", str(key), "-out", str(self.place / f"{name}.csr"),
        )  # fmt: skip
        extension = self.place / f"{name}.ext"
        extension.write_text(f"subjectAltName={subject}\n", encoding="ascii")
        self._run(
            "x509", "-req", "-in", str(self.place / f"{name}.csr"), "-CA", str(self.file),
            "-CAkey", str(self.place / "authority.key"), "-CAcreateserial", "-days", str(days),
            "-extfile", str(extension), "-out", str(certificate),
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context

    def _run(self, *words: str) -> None:
        done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def no_authority_of_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in AUTHORITY_VARIABLES:
        monkeypatch.delenv(name, raising=False)


class SecureServer:
    """What a test sees of a server with TLS: its port, and what arrived in it."""

    def __init__(self, listener: socket.socket) -> None:
        self.address = f"https://127.0.0.1:{listener.getsockname()[1]}"
        self.received: list[bytes] = []
        self.connections = 0


@contextmanager
def secure_server(context: ssl.SSLContext) -> Iterator[SecureServer]:
    """Answer each request with an empty list, over TLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = SecureServer(listener)

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            plain.settimeout(5)
            try:
                with context.wrap_socket(plain, server_side=True) as wire:
                    server.received.append(wire.recv(65_536))
                    wire.sendall(reply([], headers={"Connection": "close"}))
            except OSError:
                plain.close()  # it was not accepted over there

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


@pytest.mark.parametrize("variable", AUTHORITY_VARIABLES)
def test_an_authority_that_the_environment_names_is_trusted(
    variable: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with secure_server(authority.sign("good", "IP:127.0.0.1")) as server:
        monkeypatch.setenv(variable, str(authority.file))
        http = http_to(server.address)
        assert http.get("project/list") == []
        http.close()
    assert SECRET.encode() in server.received[0]


@pytest.mark.parametrize(
    ("subject", "days", "trusted", "says"),
    [
        ("IP:127.0.0.1", 2, False, "REQUESTS_CA_BUNDLE names a file with the authority"),
        ("IP:127.0.0.1", -1, True, "its certificate has expired"),
        ("DNS:other.test", 2, True, "for another name; give the address"),
        ("IP:127.0.0.2", 2, True, "for another name; give the address"),
    ],
)
def test_a_certificate_that_is_not_good_gets_nothing_and_the_sentence_names_the_mend(
    subject: str,
    days: int,
    trusted: bool,
    says: str,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if trusted:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
    with secure_server(authority.sign("bad", subject, days=days)) as server:
        http = http_to(server.address)
        with pytest.raises(ServerUnreachable, match=says) as caught:
            http.post("project/add", {"name": "x"})
        http.close()
        assert server.connections == 1, "trying again is of no use"
    assert server.received == []
    assert not caught.value.may_have_happened


@pytest.mark.parametrize("content", [None, "", "no certificate at all"])
@pytest.mark.parametrize("variable", AUTHORITY_VARIABLES)
def test_a_file_of_authorities_that_is_none_is_named_and_not_passed_over(
    variable: str,
    content: str | None,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    named = tmp_path / "authorities.pem"
    if content is not None:
        named.write_text(content, encoding="ascii")
    monkeypatch.setenv(variable, str(named))
    with secure_server(authority.sign("good", "IP:127.0.0.1")) as server:
        http = http_to(server.address)
        with pytest.raises(ConfigError, match=rf"{variable} names .*authorities\.pem"):
            http.get("project/list")
    assert server.received == []


@pytest.mark.parametrize("name", ["PYTHONHTTPSVERIFY", "CURL_INSECURE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("value", ["0", "", "false"])
def test_no_variable_turns_the_check_off(
    name: str, value: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with secure_server(authority.sign("good", "IP:127.0.0.1")) as server:
        http = http_to(server.address)
        with pytest.raises((ServerUnreachable, ConfigError)):
            http.get("project/list")
        http.close()
    assert server.received == []


def test_a_server_without_tls_is_not_taken_for_one_with_a_bad_certificate() -> None:
    with faulty_server(lambda request, wire: wire.sendall(reply([]))) as server:
        http = http_to(server.address.replace("http://", "https://"))
        server.closing.set()
        with pytest.raises(ServerUnreachable) as caught:
            http.get("project/list")
        http.close()
    assert "certificate" not in str(caught.value)
    assert SECRET.encode() not in server.received


# D11: proxies and `.netrc`.

PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.usefixtures("no_proxies")
def test_a_proxy_and_a_netrc_leave_our_bearer_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login thief password stolen\n", encoding="ascii")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with faulty_server(lambda request, wire: wire.sendall(reply([]))) as proxy:
        monkeypatch.setenv("http_proxy", f"http://name:word@127.0.0.1:{proxy.port}")
        http = http_to("http://gateway.test")
        assert http.get("project/list") == []
        http.close()
    (request,) = proxy.requests
    assert request.target == "http://gateway.test/api/project/list"
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert request.headers["proxy-authorization"].startswith("Basic ")


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("status", [403, 407, 502])
def test_a_proxy_that_refuses_is_named_and_never_sees_what_is_for_a_secure_gateway(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: Request, wire: socket.socket) -> None:
        wire.sendall(reply({}, status))

    with faulty_server(refuse) as proxy:
        monkeypatch.setenv("https_proxy", proxy.address)
        http = http_to("https://gateway.test")
        with pytest.raises(ServerUnreachable, match="proxy that the environment names") as caught:
            http.post("project/add", {"name": "x"})
        http.close()
    assert [request.method for request in proxy.requests] == ["CONNECT"] * ATTEMPTS
    assert SECRET.encode() not in proxy.received
    assert not caught.value.may_have_happened


@pytest.mark.usefixtures("no_proxies")
def test_a_proxy_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty_server(lambda request, wire: None) as gone:
        address = gone.address
    monkeypatch.setenv("http_proxy", address)
    http = http_to("http://gateway.test")
    with pytest.raises(ServerUnreachable, match="proxy that the environment names"):
        http.get("project/list")


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "gopher://127.0.0.1:9", "http://"])
def test_a_proxy_of_another_kind_is_one_sentence(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    http = http_to("http://gateway.test")
    with pytest.raises(ConfigError, match=r"gateway\.test"):
        http.get("project/list")


@pytest.mark.usefixtures("no_proxies")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1.2.3"])
def test_no_proxy_of_any_kind_is_asked_for_loopback(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        faulty_server(lambda request, wire: wire.sendall(reply({}))) as proxy,
        faulty_server(lambda request, wire: wire.sendall(reply([]))) as server,
    ):
        for name in PROXIES:
            monkeypatch.setenv(name, proxy.address)
        http = http_to(f"http://{host}:{server.port}")
        if host == "127.1.2.3":
            with pytest.raises(ServerUnreachable, match="refused"):
                http.get("project/list")
        else:
            assert http.get("project/list") == []
        http.close()
    assert proxy.connections == 0
