"""Which server, as whom: precedence, kept logins, and what never shows (notebook spec; G8, G9)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from anylearn_jupyter.client import credentials
from anylearn_jupyter.client.connection import (
    chosen_server,
    connect,
    current_connection,
    disconnect,
    init_sdk,
)
from anylearn_jupyter.config import LOCAL, save_default_host
from anylearn_jupyter.errors import ConfigError, LoginRequired, OptionError, ServerError
from anylearn_jupyter.home import Home
from conftest import RunningEngine, engine_command
from engine_home import EngineHome, own_engine
from faulty_server import FaultyServer, Request, faulty_server
from scripted_api import Routes, answering
from waiting import wait_until

__all__ = ["own_engine"]

SECRETS = ("canary-password", "canary-token", "canary-refresh", "canary-environment")


def login_of(name: str) -> Routes:
    """A server that knows one user."""

    def login(request: Request) -> object:
        right = request.form == {"username": name, "password": "canary-password"}
        answer = {
            "id": "USER1", "username": name, "token": "canary-token",
            "refresh_token": "canary-refresh",
        }  # fmt: skip
        return answer if right else (401, {"msg": "no"})

    def me(request: Request) -> object:
        bearer = request.headers.get("authorization")
        if bearer not in ("Bearer canary-token", "Bearer canary-environment"):
            return 401, {"msg": "no"}
        return {"id": "USER1", "username": name}

    return {"POST user/login": login, "GET user/me": me}


@contextmanager
def served(name: str) -> Iterator[FaultyServer]:
    with faulty_server(answering(login_of(name))) as server:
        yield server


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Begin and end without a connection."""
    disconnect()
    yield
    disconnect()


@pytest.fixture
def ada() -> Iterator[FaultyServer]:
    with served("ada") as server:
        yield server


def log_in(server: FaultyServer, name: str = "ada") -> None:
    init_sdk(server.address, name, "canary-password")


# Precedence.


def test_the_server_is_the_named_one_then_the_connected_then_the_environments_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with served("named") as named, served("chosen") as chosen, served("variable") as variable, \
            served("default") as default:  # fmt: skip
        for name, server in (
            ("named", named), ("variable", variable), ("default", default), ("chosen", chosen),
        ):  # fmt: skip
            log_in(server, name)
        save_default_host(Home(), default.address)
        monkeypatch.setenv("ANYLEARN_HOST", variable.address + "/")

        assert current_connection(named.address).username == "named"
        assert current_connection().username == "chosen"
        assert chosen_server() == chosen.address
        disconnect()
        assert chosen_server() is None
        assert current_connection().username == "variable"
        monkeypatch.delenv("ANYLEARN_HOST")
        assert current_connection().username == "default"


def test_without_anything_it_is_the_embedded_engine(own_engine: EngineHome) -> None:
    connection = current_connection()

    assert (connection.server, chosen_server()) == (LOCAL, None)
    assert connection.engine is not None
    assert connection.address == connection.engine.address
    assert current_connection() is connection
    assert connect("local").server == LOCAL
    assert chosen_server() == LOCAL
    assert connection.git_auth() is connection.api.http.auth


def test_an_engine_that_died_is_started_again_by_the_next_call(own_engine: EngineHome) -> None:
    first = current_connection()
    assert first.engine is not None
    own_engine.pid = first.engine.pid
    own_engine.kill()

    second = current_connection()

    assert second.engine is not None
    assert second.engine.pid != first.engine.pid
    assert (second.server, second.user_id) == (first.server, first.user_id)
    assert second.api.me() == (first.user_id, first.username)


def test_the_engine_takes_no_name_and_password() -> None:
    with pytest.raises(OptionError, match="leave them out"):
        connect("local", username="ada", password="canary-password")


@pytest.mark.parametrize(
    "host",
    ["lab.example", "ftp://lab.example", "http://", "http://ada:canary-password@lab.example",
     "http://lab:0", "http://lab:99999", "http://[::1"],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_refused_before_anything_is_sent(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        connect(host, username="ada", password="canary-password")

    assert "canary" not in str(caught.value)
    assert chosen_server() is None


# Logins.


def test_a_login_serves_later_kernels_without_the_password(ada: FaultyServer) -> None:
    log_in(ada)
    disconnect()

    later = connect(ada.address)

    assert (later.username, later.user_id, later.server) == ("ada", "USER1", ada.address)
    assert later.password is None
    assert ada.paths().count("POST /api/user/login") == 1
    kept = Home().credentials.read_text()
    assert "canary-token" in kept
    assert "canary-password" not in kept


def test_a_connection_is_kept_for_each_server(ada: FaultyServer) -> None:
    log_in(ada)
    first = current_connection(ada.address)

    assert current_connection(ada.address + "/") is first
    assert current_connection() is first
    assert ada.connections <= 2  # the login's own, and this one


def test_a_server_without_a_login_is_named_with_the_way_out(ada: FaultyServer) -> None:
    with pytest.raises(LoginRequired, match=f"%anylearn_login {ada.address}"):
        connect(ada.address)
    log_in(ada)
    disconnect()
    with pytest.raises(LoginRequired, match="no login for bob"):
        connect(ada.address, username="bob")

    assert chosen_server() is None


def test_a_wrong_password_keeps_nothing_and_chooses_nothing(ada: FaultyServer) -> None:
    with pytest.raises(LoginRequired, match="check the name and the password") as caught:
        init_sdk(ada.address, "ada", "wrong-canary")

    assert "canary" not in str(caught.value)
    assert not Home().credentials.exists()
    assert chosen_server() is None


def test_a_login_that_has_ended_asks_for_a_new_one(ada: FaultyServer) -> None:
    credentials.save(Home(), ada.address, credentials.Login("USER1", "ada", "old", ""))

    with pytest.raises(LoginRequired):
        connect(ada.address)


def test_an_old_server_that_cannot_tell_who_it_is_is_believed_from_the_login() -> None:
    routes = login_of("ada")
    del routes["GET user/me"]
    with faulty_server(answering(routes)) as old:
        assert init_sdk(old.address, "ada", "canary-password").username == "ada"


def test_a_failure_of_the_server_is_no_wrong_password(ada: FaultyServer) -> None:
    with faulty_server(answering({"POST user/login": (418, {"msg": "teapot"})})) as broken:
        with pytest.raises(ServerError) as caught:
            init_sdk(broken.address, "ada", "canary-password")
        assert not isinstance(caught.value, LoginRequired)


# The environment's token.


def test_the_environments_token_is_for_the_environments_server_alone(
    ada: FaultyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANYLEARN_HOST", ada.address)
    monkeypatch.setenv("ANYLEARN_AUTH_TOKEN", "canary-environment")

    assert connect().username == "ada"
    assert not Home().credentials.exists()
    with served("bob") as other:
        with pytest.raises(LoginRequired):
            connect(other.address)
        assert b"canary" not in other.received


# What never shows.


def test_no_credential_shows_in_any_repr_error_or_log(
    ada: FaultyServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("ANYLEARN_AUTH_TOKEN", "canary-environment")
    log_in(ada)
    connection = connect(ada.address, username="ada", password="canary-password")

    shown = [
        repr(thing)
        for thing in (
            connection, connection.api, connection.api.http, connection.api.http.auth,
            connection.settings, connection.git_auth(),
        )
    ]  # fmt: skip
    assert not [text for text in shown if any(secret in text for secret in SECRETS)]
    assert not [secret for secret in SECRETS if secret in caplog.text]


def test_the_engines_token_shows_in_no_repr(engine: RunningEngine) -> None:
    connection = current_connection()
    token = Home(engine.home).token.read_text(encoding="ascii").strip()

    for thing in (connection, connection.engine, connection.api.http, connection.api.http.auth):
        assert token not in repr(thing)
    assert token not in engine_command("logs").stdout


def test_a_child_after_a_fork_has_the_choice_and_no_connection(ada: FaultyServer) -> None:
    log_in(ada)
    current_connection()
    before = ada.connections

    child = os.fork()
    if child == 0:
        status = 1
        try:
            chosen = chosen_server() == ada.address
            status = 0 if chosen and current_connection().username == "ada" else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    wait_until(lambda: ada.connections == before + 1, 5, "the child had one of its own")
    assert current_connection().api.me() == ("USER1", "ada")
    assert ada.connections == before + 1
