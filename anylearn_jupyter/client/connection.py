"""Which server, as whom: the connections of this process.

Precedence of the server (notebook spec, "Which server"): what the caller names (the option of a
call, or the value of ``%config``), `connect()` in this process, ``ANYLEARN_HOST``, the saved
default, the embedded engine. A connection is kept for each server; a child after a fork starts
with none, so that no socket is shared.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field, replace

from anylearn_jupyter.client import credentials
from anylearn_jupyter.client.addresses import checked_address
from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.auth import Auth, BasicAuth, NoAuth, TokenAuth
from anylearn_jupyter.client.credentials import Login
from anylearn_jupyter.client.decoding import an_object, text
from anylearn_jupyter.client.engine_process import Engine, find_or_start
from anylearn_jupyter.client.forms import FORM_TYPE, encode_form
from anylearn_jupyter.client.http import Http
from anylearn_jupyter.client.replies import decode, error_of, one_line
from anylearn_jupyter.config import LOCAL, Settings, normal_host
from anylearn_jupyter.errors import LoginRequired, NotFound, OptionError


@dataclass(frozen=True)
class Connection:
    """A server and the user that this process is there.

    Attributes
    ----------
    server : str
        ``local`` for the embedded engine, else the address: what the ledger knows it by, also
        when the engine comes back on another port.
    address : str
        Scheme, host and port.
    user_id, username : str
        Who the server says it is.
    api : Api
        The calls.
    settings : Settings
        What it was made with.
    password : str or None
        Only where this process was given it, for git servers that know no bearer token. It is
        never written, and never shown by `repr`.
    engine : Engine or None
        The embedded engine's process, where it is that.
    uses_git : bool
        False where code shall travel as an archive.
    """

    server: str
    address: str
    user_id: str
    username: str
    api: Api = field(repr=False)
    settings: Settings = field(repr=False)
    password: str | None = field(default=None, repr=False)
    engine: Engine | None = field(default=None, repr=False)
    uses_git: bool = field(default=True, repr=False)

    def __repr__(self) -> str:
        """Name the server and the user; never a credential."""
        return f"Connection(server={self.server!r}, username={self.username!r})"

    def git_auth(self) -> Auth | None:
        """Give what git wants: the bearer token where the server takes it, else the password.

        Returns
        -------
        Auth or None
            None where neither is possible, or is wanted: then code travels as an archive.

        Notes
        -----
        Source: HTTP API, section 7.2; docs/protocol.md, "Credential".
        """
        if not self.uses_git:
            return None
        if "git_bearer" in self.api.features:
            return self.api.http.auth
        if self.password is None:
            return None
        return BasicAuth(self.username, self.password)


class _Connections:
    """What this process holds; a new one after a fork."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.chosen: str | None = None
        self.by_server: dict[str, Connection] = {}


_held = _Connections()


def _forget_after_fork() -> None:
    """Let the child choose the same server, but open its own connections under its own lock."""
    global _held  # the one value of this module that a fork has to replace
    chosen = _held.chosen
    _held = _Connections()
    _held.chosen = chosen


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


def connect(
    host: str | None = None, *, username: str | None = None, password: str | None = None
) -> Connection:
    """Connect to a server, and make it this process's server.

    Parameters
    ----------
    host : str, optional
        An address with scheme; ``local`` for the embedded engine. Default: ``ANYLEARN_HOST``, the
        saved default, the embedded engine.
    username, password : str, optional
        A new login, whose tokens are kept for later kernels (the password is not). Without them:
        the token in ``ANYLEARN_AUTH_TOKEN`` for ``ANYLEARN_HOST``, or a kept login.

    Returns
    -------
    Connection
        Checked: the server has answered who this user is.

    Raises
    ------
    LoginRequired
        There is no login for that server, or it was refused.
    ServerUnreachable, EngineError
        No answer; the engine cannot start.
    ConfigError
        The address cannot be used.

    Examples
    --------
    >>> from anylearn_jupyter import connect
    >>> connect("local").server  # doctest: +SKIP
    'local'
    """
    settings = Settings.read()
    server = normal_host(host) if host else settings.host
    with _held.lock:
        if server == LOCAL:
            if username is not None or password is not None:
                raise OptionError(
                    "username and password are for servers; the embedded engine ('local') knows "
                    "its user by itself, so leave them out."
                )
            found = _local(settings)
        else:
            found = _remote(settings, checked_address(server), username, password)
        _held.by_server[found.server] = found
        _held.chosen = found.server
        return found


def init_sdk(
    cluster_address: str, username: str, password: str, disable_git: bool = False
) -> Connection:
    """Log in to a server and make it this process's server: the published name and keywords.

    Parameters
    ----------
    disable_git : bool, default False
        Code travels as an archive, also where the server has git.

    Raises
    ------
    LoginRequired
        The server refuses this name and password.
    """
    found = connect(cluster_address, username=username, password=password)
    if disable_git:
        found = replace(found, uses_git=False)
        with _held.lock:
            _held.by_server[found.server] = found
    return found


def check_reachable(server: str) -> None:
    """Find out whether anybody answers at an address, before a person is asked for a password.

    Raises
    ------
    ServerUnreachable
        Nobody does.
    ConfigError
        The address cannot be used.

    Notes
    -----
    Source: HTTP API, section 3: ``user/check`` takes no credential. Any answer to it will do.
    """
    # Once: whoever waits at a keyboard tries again by hand.
    http = Http(checked_address(server), auth=NoAuth(), settings=Settings.read(), attempts=1)
    try:
        http.exchange("GET", "user/check", params={"username": ""})
    finally:
        http.close()


def disconnect() -> None:
    """Close this process's connections and forget which server was chosen; kept logins stay."""
    with _held.lock:
        for connection in _held.by_server.values():
            connection.api.http.close()
        _held.by_server.clear()
        _held.chosen = None


def chosen_server() -> str | None:
    """Give the server that `connect` chose in this process; None where it was not called."""
    return _held.chosen


def current_connection(server: str | None = None) -> Connection:
    """Give this process's connection to a server, connecting if there is none.

    For the embedded engine it is checked at each call that the engine is alive, and a dead one is
    started again; so whoever works for long asks for the connection each time.

    Parameters
    ----------
    server : str, optional
        ``local`` or an address; default: the one of `connect`, ``ANYLEARN_HOST``, the saved
        default, the embedded engine.

    Raises
    ------
    As `connect`.
    """
    with _held.lock:
        settings = Settings.read()
        wanted = normal_host(server) if server else _held.chosen or settings.host
        held = _held.by_server.get(wanted)
        if wanted == LOCAL:
            found = _local(settings, held)
        elif held is not None:
            return held
        else:
            found = _remote(settings, checked_address(wanted), None, None)
        _held.by_server[wanted] = found
        return found


def _local(settings: Settings, held: Connection | None = None) -> Connection:
    """Connect to the embedded engine; the held connection if it is to the engine that runs."""
    engine = find_or_start(settings)
    if held is not None and held.engine == engine:
        return held
    api = Api(
        Http(
            engine.address,
            auth=TokenAuth(engine.token),
            settings=settings,
            proof_token=engine.token,
        )
    )
    user_id, username = api.me()
    return Connection(
        server=LOCAL,
        address=engine.address,
        user_id=user_id,
        username=username,
        api=api,
        settings=settings,
        engine=engine,
    )


def _remote(
    settings: Settings, host: str, username: str | None, password: str | None
) -> Connection:
    """Connect to a server: a new login, the environment's token, or a kept login."""
    if username is not None and password is not None:
        login = _log_in(settings, host, username, password)
        credentials.save(settings.home, host, login)
    elif settings.auth_token is not None and host == _host_of_environment():
        auth = TokenAuth(settings.auth_token, settings.refresh_token)
        return _as_user_of(auth, settings, host)
    else:
        kept = credentials.load(settings.home, host)
        if kept is None or username not in (None, kept.username):
            who = f" for {username}" if username else ""
            raise LoginRequired(f"There is no login{who} to {host}; run `%anylearn_login {host}`.")
        login = kept
    auth = TokenAuth(
        login.token,
        login.refresh_token or None,
        on_renewal=lambda token: credentials.save_token(settings.home, host, token),
    )
    return _as_user_of(auth, settings, host, login=login, password=password)


def _as_user_of(
    auth: Auth,
    settings: Settings,
    host: str,
    *,
    login: Login | None = None,
    password: str | None = None,
) -> Connection:
    """Ask the server whose credential it is, which checks it too."""
    api = Api(Http(host, auth=auth, settings=settings))
    try:
        user_id, username = api.me()
    except NotFound:
        # Servers before 0.17 have no such call; there the login's own answer has to do.
        if login is None:
            raise
        user_id, username = login.user_id, login.username
    return Connection(
        server=host,
        address=host,
        user_id=user_id,
        username=username,
        api=api,
        settings=settings,
        password=password,
    )


def _log_in(settings: Settings, host: str, username: str, password: str) -> Login:
    """Exchange name and password for tokens (HTTP API, section 3)."""
    http = Http(host, auth=NoAuth(), settings=settings)
    what = "POST user/login"
    try:
        reply = http.exchange(
            "POST",
            "user/login",
            data=encode_form({"username": username, "password": password}),
            headers={"Content-Type": FORM_TYPE},
            repeatable=True,  # a second login only gives a second token
        )
    finally:
        http.close()
    if reply.status in (400, 401, 403, 404, 422):
        raise LoginRequired(
            f"{host} refused the login of {one_line(username, 60)!r}; check the name and the "
            "password."
        )
    if reply.status != 200:
        raise error_of(reply)
    answer = an_object(decode(reply), what)
    return Login(
        user_id=text(answer, "id", what),
        username=text(answer, "username", what),
        token=text(answer, "token", what),
        refresh_token=str(answer.get("refresh_token") or ""),
    )


def _host_of_environment() -> str | None:
    """Give ``ANYLEARN_HOST``, the only server that the environment's token is for."""
    host = os.environ.get("ANYLEARN_HOST")
    return normal_host(host) if host else None
