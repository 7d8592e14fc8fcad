"""A published Anylearn server in a few lines: what a test writes down is what it answers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.auth import TokenAuth
from anylearn_jupyter.client.connection import Connection
from anylearn_jupyter.client.http import Http
from anylearn_jupyter.config import Settings
from anylearn_jupyter.home import Home
from faulty_server import FaultyServer, Request, faulty_server, reply

Routes = dict[str, Any]
"""``METHOD path`` to JSON, to ``(status, JSON)``, or to a function of the request."""


class Cut(Exception):
    """Raised by a route: hang up without an answer."""


def answering(routes: Routes) -> Callable[[Request, socket.socket], None]:
    """Answer by the routes; 404 for everything else."""

    def answer(request: Request, wire: socket.socket) -> None:
        found = routes.get(f"{request.method} {request.path.removeprefix('/api/')}")
        try:
            found = found(request) if callable(found) else found
        except Cut:
            wire.shutdown(socket.SHUT_RDWR)
            return
        if isinstance(found, bytes):
            wire.sendall(found)
        elif found is None:
            wire.sendall(reply({"msg": "no such thing"}, 404))
        else:
            status, body = found if isinstance(found, tuple) else (200, found)
            wire.sendall(reply(body, status))

    return answer


@contextmanager
def scripted(routes: Routes, *, read_timeout_s: float = 5.0) -> Iterator[tuple[Api, FaultyServer]]:
    """Give the calls to such a server."""
    with faulty_server(answering(routes)) as server:
        settings = Settings(home=Home(), connect_timeout_s=2.0, read_timeout_s=read_timeout_s)
        http = Http(
            server.address, auth=TokenAuth("t"), settings=settings, pause=lambda seconds: None
        )
        try:
            yield Api(http), server
        finally:
            http.close()


def connection_to(api: Api, *, password: str | None = None) -> Connection:
    """Make a connection of these calls."""
    return Connection(
        server=api.http.address,
        address=api.http.address,
        user_id="USER1",
        username="ada",
        api=api,
        settings=api.http.settings,
        password=password,
    )
