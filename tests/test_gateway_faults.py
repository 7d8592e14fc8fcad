"""A gateway that refuses, is busy, sends elsewhere (faults D1 to D6, D9, D15).

What the session alone shows is in test_client_http.py; here a call or a whole submission meets the
fault, and both are looked at: the sentence, and what holds afterwards.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.client.auth import TokenAuth
from anylearn_jupyter.client.connection import disconnect
from anylearn_jupyter.client.http import ATTEMPTS, PATIENCE_S, Http
from anylearn_jupyter.client.pace import retry_after_s
from anylearn_jupyter.config import Settings
from anylearn_jupyter.errors import (
    AnylearnError,
    Conflict,
    Denied,
    LoginRequired,
    NotFound,
    ServerError,
    ServerUnreachable,
    UnexpectedAnswer,
)
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.request import TrainRequest
from anylearn_jupyter.submit.task import TrainTask
from anylearn_jupyter.submit.task_record import TaskRecord
from anylearn_jupyter.submit.tasks import unfinished_tasks
from faulty_server import FaultyServer, Request, faulty_server, reply
from scripted_api import Routes, answering, scripted

SECRET = "tok-CANARY-4711"
ME = {"id": "USER1", "username": "ada"}
TASK = {"id": "TRAI1", "name": "t", "state": 1, "secret_key": "S", "results_id": "FILE1"}


@contextmanager
def gateway(routes: Routes, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """Make a scripted server this process's, with a token in the environment."""
    disconnect()
    with faulty_server(answering({"GET user/me": ME, **routes})) as server:
        monkeypatch.setenv("ANYLEARN_HOST", server.address)
        monkeypatch.setenv("ANYLEARN_AUTH_TOKEN", SECRET)
        yield server
        disconnect()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "train.py").write_text("print(1)\n", encoding="utf-8")
    return directory


def request_of(project: Path) -> TrainRequest:
    return TrainRequest(
        entrypoint="python train.py", algorithm_dir=project, project_name="p", working_dir=project
    )


def known_task(server: str) -> TrainTask:
    """Put a running task into the ledger."""
    record = TaskRecord(id="TRAI1", name="t", server=server, state=1, phase="running")
    with Ledger() as ledger:
        ledger.record_task(record)
    return TrainTask(record)


def state_kept() -> tuple[int, str]:
    with Ledger() as ledger:
        (record,) = ledger.tasks()
    return record.state, record.phase


# D1: no login, no right.


def test_a_refused_login_says_how_to_log_in_and_nothing_was_made(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gateway({"GET user/me": (401, {"msg": "token expired"})}, monkeypatch) as server:
        with pytest.raises(LoginRequired) as caught:
            submit(request_of(project))
        assert f"run `%anylearn_login {server.address}`" in str(caught.value)
        assert server.paths() == ["GET /api/user/me"], "a refusal is not asked for again"
    with Ledger() as ledger:
        assert ledger.tasks() == []


def test_a_denial_names_what_may_not_be_done_and_leaves_the_task_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    routes: Routes = {
        "GET train_task/query": [TASK],
        "DELETE train_task/delete": (403, {"msg": "only the owner may"}),
    }
    with gateway(routes, monkeypatch) as server:
        task = known_task(server.address)
        with pytest.raises(Denied, match="DELETE train_task/delete with 403: only the owner may"):
            task.stop()
        assert server.paths().count("DELETE /api/train_task/delete") == 1
    assert state_kept() == (1, "running")


def test_a_server_that_refuses_is_no_server_that_has_lost_the_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for status in (401, 403, 500, 503):
        with gateway({"GET train_task/query": (status, {})}, monkeypatch) as server:
            task = known_task(server.address)
            task.connection().api.http.attempts = 1
            with pytest.raises(AnylearnError) as caught:
                task.get_detail()
            assert not isinstance(caught.value, NotFound)
        assert state_kept() == (1, "running")


# D3: gone on the server, kept here.


@pytest.mark.parametrize("how", ["asked", "waited for", "resumed"])
@pytest.mark.parametrize("absent", [(404, {"msg": "no such task"}), (200, [])])
def test_a_task_that_the_server_has_no_more_stays_in_the_ledger_as_deleted(
    how: str, absent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gateway({"GET train_task/query": absent}, monkeypatch) as server:
        task = known_task(server.address)
        if how == "resumed":
            (found,) = unfinished_tasks()
            assert found.phase == "deleted"
        else:
            with pytest.raises(NotFound, match=r"TRAI1|no such task"):
                task.get_detail() if how == "asked" else task.wait(20)
            assert task.phase == "deleted"
    assert state_kept() == (-1, "deleted")
    assert unfinished_tasks() == []


def test_how_a_task_ended_is_not_forgotten_when_its_server_forgets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [[{**TASK, "state": -2}], (404, {})]
    with gateway({"GET train_task/query": lambda request: answers.pop(0)}, monkeypatch) as server:
        task = known_task(server.address)
        assert task.get_detail().phase == "failed"
        with pytest.raises(NotFound):
            task.get_detail()
    assert task.phase == "failed"
    assert state_kept() == (-2, "failed")


# D4: what exactly is refused.


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"msg": "name: too long"}, "name: too long"),
        ({"msg": "invalid", "errors": {"name": ["too long"]}}, "invalid; name: too long"),
        ({"errors": {"lr": "no number", "n": ["a", "b"]}}, "lr: no number; n: a"),
        ({"detail": [{"loc": ["body", "name"], "msg": "too long"}]}, "name: too long"),
        ({"message": {"name": ["too long"]}}, "name: too long"),
        ({"errors": [{"field": "name", "msg": "too long"}, "and more"]}, "name: too long; and"),
    ],
)
def test_a_refusal_by_fields_names_the_fields(body: object, said: str) -> None:
    with scripted({"POST project/add": (422, body)}) as (api, server):
        with pytest.raises(ServerError) as caught:
            api.add_project("p" * 99, "", "key-1")
        assert f"answered POST project/add with 422: {said}" in str(caught.value)
        assert server.paths().count("POST /api/project/add") == 1
    assert caught.value.status == 422


@pytest.mark.parametrize(("status", "kind"), [(409, Conflict), (412, Conflict), (413, ServerError)])
def test_a_conflict_and_what_is_too_large_are_asked_once(
    status: int, kind: type[ServerError]
) -> None:
    routes: Routes = {
        "GET capabilities": {"features": {"idempotency": {}}},
        "POST dataset/add": (status, {"msg": "it is there"}),
    }
    with scripted(routes) as (api, server):
        with pytest.raises(kind, match=rf"with {status}: it is there\."):
            api.add_dataset("d", description="", filename="d.zip", key="key-1")
        assert server.paths().count("POST /api/dataset/add") == 1


# D5: busy.


def busy(after: str, times: int, date: str = "") -> Callable[[Request], Any]:
    """Answer 429 so many times, then well."""
    seen: list[Request] = []

    def answer(request: Request) -> Any:
        seen.append(request)
        headers = {"Retry-After": after, **({"Date": date} if date else {})}
        return reply({}, 429, headers=headers) if len(seen) <= times else []

    return answer


@contextmanager
def paced(routes: Routes) -> Iterator[tuple[Http, FaultyServer, list[float]]]:
    """Give a session that says how long it would wait instead of waiting."""
    pauses: list[float] = []
    with faulty_server(answering(routes)) as server:
        settings = Settings(home=Home(), connect_timeout_s=2.0, read_timeout_s=5.0)
        auth = TokenAuth(SECRET)
        http = Http(server.address, auth=auth, settings=settings, pause=pauses.append)
        yield http, server, pauses
        http.close()


@pytest.mark.parametrize(
    ("after", "date", "wait_s"),
    [
        ("12", "", 12.0),
        ("Wed, 01 Jan 2020 00:00:30 GMT", "Wed, 01 Jan 2020 00:00:18 GMT", 12.0),
        ("Wed, 01 Jan 2020 00:00:30 GMT", "", 0.0),
        ("-5", "", 0.0),
    ],
)
def test_a_busy_gateway_is_waited_for_as_long_as_it_says_and_the_user_is_told(
    after: str, date: str, wait_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    with paced({"GET project/list": busy(after, 1, date)}) as (http, _, pauses):
        assert http.get("project/list") == []
        assert pauses == [wait_s]
        told = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
        expected = f"{http.address} is busy or away; the next try is in 12 s."
        assert told == ([expected] if wait_s else [])


@pytest.mark.parametrize("after", ["soon", "", "1e9", "9" * 5000, "Wed, 99 Foo 2020"])
def test_a_busy_gateway_that_says_nothing_of_use_is_asked_at_our_own_pace(after: str) -> None:
    assert retry_after_s(after) is None or after == "9" * 5000
    with paced({"GET project/list": busy(after, 2)}) as (http, _, pauses):
        assert http.get("project/list") == []
    assert len(pauses) == 2
    assert 0.25 <= pauses[0] <= 0.5 <= pauses[1] <= 1.0


@pytest.mark.parametrize(
    ("after", "asked"),
    [("86400", 1), ("50", 3), ("Fri, 01 Jan 9999 00:00:00 GMT", 1), ("9" * 300, 1)],
)
def test_the_waiting_for_a_busy_gateway_has_an_end(after: str, asked: int) -> None:
    with paced({"GET project/list": busy(after, 99)}) as (http, server, pauses):
        with pytest.raises(ServerError, match=r"asks to come back in .* try again then"):
            http.get("project/list")
        assert len(server.requests) == asked
    assert sum(pauses) <= PATIENCE_S


# D6: the gateway's own troubles.


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_troubles_are_repeated_only_where_that_does_no_harm(status: int) -> None:
    """Two failures, each after the server has done it: it is done once all the same."""
    done: dict[str, int] = {}

    def add(request: Request) -> Any:
        key = request.headers.get("idempotency-key", f"none {len(server.requests)}")
        done[key] = done.get(key, 0) + 1
        return {"data": "PROJ1"} if done[key] > 2 else (status, {"msg": "oops"})

    routes: Routes = {
        "GET capabilities": {"features": {"idempotency": {}}},
        "POST project/add": add,
        "POST train_task/final_metric": add,
    }
    with scripted(routes) as (api, server):
        assert api.add_project("p", "", "key-1") == "PROJ1"
        assert done == {"key-1": 3}
        with pytest.raises((ServerError, ServerUnreachable)):
            api.report_metric("final_metric", "TRAI1", "S", 0.5)
        assert server.paths().count("POST /api/train_task/final_metric") == 1


@pytest.mark.parametrize("status", [403, 429, 500, 503])
def test_an_end_in_trouble_has_the_id_that_the_server_gave_the_request(status: int) -> None:
    broken = reply({"msg": "oops"}, status, headers={"X-Request-Id": "req-\x0177\x1b[0m"})
    with scripted({"GET project/list": broken}) as (api, server):
        with pytest.raises(AnylearnError, match=r"\(request id req- 77 \[0m\)") as caught:
            api.projects()
        assert len(server.requests) == (1 if status == 403 else ATTEMPTS)
    assert "\x1b" not in str(caught.value)


# D9: sent elsewhere.

ELSEWHERE = {
    "another host": "http://elsewhere.test/steal",
    "another port": "http://127.0.0.1:9/steal",
    "in a circle": "/api/project/list",
    "without a host": "//",
    "no address at all": "http://[::1",
    "a page of code": "javascript:alert(1)",
    "nothing": "",
}


WAYS: dict[str, Callable[[Http], object]] = {
    "get": lambda http: http.get("project/list"),
    "post": lambda http: http.post("project/list", {"a": 1}),
    "stream": lambda http: ExitStack().enter_context(http.stream("GET", "project/list")),
}


@pytest.mark.parametrize("target", ELSEWHERE.values(), ids=ELSEWHERE)
@pytest.mark.parametrize("way", WAYS)
def test_nothing_follows_a_redirect(target: str, way: str) -> None:
    sent_on = reply({}, 302, headers={"Location": target} if target else {})
    with scripted({"GET project/list": sent_on, "POST project/list": sent_on}) as (api, server):
        with pytest.raises(UnexpectedAnswer, match="is not followed") as caught:
            WAYS[way](api.http)
        assert len(server.requests) == 1
        assert str(server.port) in str(caught.value), "both hosts are named"
    if "elsewhere" in target:
        assert "elsewhere.test" in str(caught.value)


def test_the_body_of_a_redirect_is_not_read_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anylearn_jupyter.client.http.BODY_LIMIT", 1 << 20)
    sent = 0

    def answer(request: Request, wire: socket.socket) -> None:
        nonlocal sent
        wire.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\n\r\n")
        while not server.closing.is_set() and sent < 64 << 20:
            sent += wire.send(b"x" * 65_536)

    with faulty_server(answer) as server:
        settings = Settings(home=Home(), connect_timeout_s=2.0, read_timeout_s=5.0)
        http = Http(server.address, auth=TokenAuth(SECRET), settings=settings)
        with pytest.raises(UnexpectedAnswer):
            http.get("project/list")
        http.close()
    assert sent < 32 << 20


# D15: clocks and ids.


@pytest.mark.parametrize("task_id", ["17", "a/b c%2e..", "Ünï", "TRAI'\"<b>", "x" * 400])
def test_an_id_is_any_text_and_comes_back_as_it_was_given(task_id: str) -> None:
    given: Any = int(task_id) if task_id.isdigit() else task_id
    with scripted({"GET train_task/query": [{**TASK, "id": given}]}) as (api, server):
        assert api.task(task_id).id == task_id
        assert server.requests[0].query == {"id": task_id}


@pytest.mark.parametrize(
    "when", ["2020-01-01T00:00:00+14:00", "9999-12-31 23:59:59", "yesterday", "-1", 10**30, None]
)
def test_the_gateways_clock_decides_nothing_here(when: Any) -> None:
    """Times are shown as they are told; order, ends and the login's life go by other things."""
    told = {**TASK, "create_time": when, "created_ms": when, "finish_time": when, "state": 2}
    answer = reply([told], headers={"Date": "Thu, 01 Jan 1970 00:00:00 GMT"})
    with scripted({"GET train_task/query": answer}) as (api, _):
        detail = api.task("TRAI1")
    assert detail.finished
    assert detail.create_time == ("" if when is None else str(when))
    record = TaskRecord(id="TRAI1", name="t", server="s", state=1, phase="running")
    with Ledger() as ledger:
        ledger.record_task(record)
        ledger.record_state(detail)
        assert ledger.tasks()[0].finished
