"""A gateway whose answer does not come: nobody knows whether it was done (faults D7, A7)."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.auth import TokenAuth
from anylearn_jupyter.client.http import Http
from anylearn_jupyter.config import Settings
from anylearn_jupyter.errors import LoginRequired, ServerError, ServerUnreachable
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.progress import SilentProgress
from faulty_server import FaultyServer, Request, faulty_server, reply
from scripted_api import Cut, connection_to, scripted


class Listener(SilentProgress):
    """Keeps the notes of a submission."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_host_that_takes_no_connection_ends_in_time() -> None:
    """A listener whose queue is full drops what comes: no answer, not even a refusal."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    address = listener.getsockname()
    fillers = [socket.socket() for _ in range(4)]
    try:
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        settings = Settings(home=Home(), connect_timeout_s=0.3, read_timeout_s=5.0)
        http = Http(
            f"http://127.0.0.1:{address[1]}", auth=TokenAuth("t"), settings=settings,
            pause=lambda seconds: None,
        )  # fmt: skip
        began = time.monotonic()
        with pytest.raises(ServerUnreachable, match="no connection came about in time") as caught:
            http.post("project/add", {"name": "x"})
        assert time.monotonic() - began < 3
        assert not caught.value.may_have_happened, "nothing of it was sent"
    finally:
        for filler in fillers:
            filler.close()
        listener.close()


LOST_ANSWERS: dict[str, Callable[[Request, socket.socket, FaultyServer], None]] = {
    "silence": lambda request, wire, server: None,
    "reset": lambda request, wire, server: wire.shutdown(socket.SHUT_RDWR),
    "cut": lambda request, wire, server: (
        wire.sendall(reply({"data": "TRAI7"}, length=500)),
        wire.shutdown(socket.SHUT_RDWR),
    )[1],
    "drip": lambda request, wire, server: slowly(wire, server),
}


def slowly(wire: socket.socket, server: FaultyServer) -> None:
    """Send a byte each 0.1 s, each well within the limit on silence."""
    for byte in reply({"data": "TRAI7"}):
        wire.sendall(bytes([byte]))
        if server.closing.wait(0.1):
            return


@pytest.mark.parametrize("fault", LOST_ANSWERS)
@pytest.mark.parametrize("listed", [True, False])
def test_a_task_whose_answer_was_lost_is_looked_for_and_never_asked_for_twice(
    fault: str, listed: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The gateway has created it, and the answer does not come in any of these ways."""
    made: list[dict[str, str]] = []

    def answer(request: Request, wire: socket.socket) -> None:
        if request.path == "/api/train_task/add":
            made.append({"id": f"TRAI{7 + len(made)}", "state": "0", **request.form})
            LOST_ANSWERS[fault](request, wire, server)
        elif request.path == "/api/train_task/list":
            wire.sendall(reply(made if listed else []))
        else:
            wire.sendall(reply({}, 404))

    timeout_s = 0.6
    post = Http.post

    def hurried(http: Http, path: str, *args: Any, **kwargs: Any) -> Any:
        return post(http, path, *args, **{**kwargs, "timeout_s": timeout_s})

    monkeypatch.setattr(Http, "post", hurried)
    with faulty_server(answer) as server:
        settings = Settings(home=Home(), connect_timeout_s=2.0, read_timeout_s=0.4)
        http = Http(server.address, auth=TokenAuth("t"), settings=settings)
        destination = Destination(connection_to(Api(http)), Ledger(), Listener())

        def create() -> str:
            return destination.create_once(
                "task", "digest", lambda key, doubtful: Api(http).add_task(
                    {"name": "t", "project_id": "P"}, key, doubtful=doubtful
                ),
            )  # fmt: skip

        began = time.monotonic()
        if listed:
            assert create() == "TRAI7"
        else:
            with pytest.raises(ServerUnreachable, match="run it again, which looks") as caught:
                create()
            assert caught.value.may_have_happened
            listed = True
            assert create() == "TRAI7", "the second submission finds the first one's task"
            assert any("is asked first" in note for note in destination.progress.notes)
        assert time.monotonic() - began < 4
        destination.ledger.close()
        http.close()
    assert len(made) == 1
    assert "gave no clear answer to POST train_task/add" in caplog.text


@pytest.mark.parametrize("trouble", [Cut, (403, {"msg": "no"}), (401, {}), (404, {}), (500, {})])
def test_a_doubt_stays_one_while_it_cannot_be_looked_up(trouble: Any) -> None:
    """A definite no to the look-up says nothing of what was asked for before it."""
    made: list[dict[str, str]] = []
    open_again = False

    def add(request: Request) -> None:
        made.append({"id": "PROJ1", "state": "0", **request.form})
        raise Cut

    def listed(request: Request) -> Any:
        if open_again:
            return made
        if trouble is Cut:
            raise Cut
        return trouble

    with scripted({"POST project/add": add, "GET project/list": listed}) as (api, _):
        destination = Destination(connection_to(api), Ledger(), Listener())

        def create() -> str:
            return destination.create_once(
                "project",
                "p",
                lambda key, doubtful: api.add_project("p", "", key, doubtful=doubtful),
            )

        for _ in range(2):
            with pytest.raises((ServerUnreachable, ServerError, LoginRequired)):
                create()
        open_again = True
        assert create() == "PROJ1"
        destination.ledger.close()
    assert len(made) == 1
