"""Following tasks without a gap or a repeat, on servers of both kinds, through every trouble."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from anylearn_jupyter.client import follow as module
from anylearn_jupyter.client import hidden
from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.connection import Connection
from anylearn_jupyter.client.follow import START, Cursor, Event, follow
from anylearn_jupyter.client.hidden import hide
from faulty_server import Request, reply
from scripted_api import Cut, Routes, connection_to, scripted

TASK, OTHER = "TRAI" + "1" * 28, "TRAI" + "2" * 28


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.01)
    monkeypatch.setattr(module, "backoff_s", lambda _attempt: 0.01)


@pytest.fixture(autouse=True)
def _nothing_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a piece waits where it may be the beginning of another test's token."""
    monkeypatch.setattr(hidden, "_values", set())
    monkeypatch.setattr(hidden, "_patterns", None)
    monkeypatch.setattr(hidden, "_ordered", ())


def task_of(task_id: str, state: int, **more: Any) -> dict[str, Any]:
    return {
        "id": task_id, "name": "t", "description": "", "state": state, "project_id": "PROJ1",
        "algorithm_id": "ALGO1", "results_id": "FILE1", "secret_key": "k", "create_time": "",
        "finish_time": "", **more,
    }  # fmt: skip


def read(api: Api, cursors: dict[str, Cursor], *, limit: int = 1000) -> list[Event]:
    """Follow to the end; a test that goes on for ever fails at `limit` events."""
    found = []
    for event in follow(lambda: connection_to(api), cursors, stop=threading.Event()):
        found.append(event)
        assert len(found) < limit, found[-5:]
    return found


def words(events: list[Event], task_id: str = TASK) -> str:
    return "".join(one.text for one in events if one.kind == "log" and one.task_id == task_id)


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


# A published server.


class Published:
    """A task on a published server: a log that grows, and a state that becomes final with it."""

    def __init__(self, lines: list[str], *, grows: int = 3, path: str = "logs") -> None:
        self.lines = lines
        self.grows = grows
        self.path = path
        self.asked = 0
        self.trouble: list[Any] = []

    @property
    def there(self) -> int:
        return min(len(self.lines), self.asked * self.grows)

    def query(self, request: Request) -> Any:
        if request.query["id"] != TASK:
            return 404, {"msg": "no"}
        self.asked += 1
        if self.trouble and (found := self.trouble.pop(0)):
            if found is Cut:
                raise Cut
            return found
        return [task_of(TASK, 2 if self.there == len(self.lines) else 1)]

    def page(self, request: Request) -> Any:
        assert request.query["direction"] == "back"
        after = int(request.query["index"]), int(request.query["offset_index"])
        # Two lines each have one time, so that the time alone is no position.
        rows = [
            {"offset": 1000 + number // 2, "offset_index": number, "text": text}
            for number, text in enumerate(self.lines[: self.there])
        ]
        later = [row for row in rows if (row["offset"], row["offset_index"]) > after]
        return later[: min(int(request.query["limit"]), 4)]

    @property
    def routes(self) -> Routes:
        return {"GET train_task/query": self.query, f"GET train_task/{self.path}": self.page}


LINES = ["[Anylearn] task created", *(f"line {number}" for number in range(10))]
TEXT = "".join(f"{line}\n" for line in LINES[1:])


@pytest.mark.parametrize("grows", [1, 3, 100])
@pytest.mark.parametrize("path", ["logs", "log"])
def test_a_published_log_is_read_once_and_to_its_end(grows: int, path: str) -> None:
    server = Published(LINES, grows=grows, path=path)
    with scripted(server.routes) as (api, _):
        events = read(api, {TASK: START})

    assert words(events) == TEXT
    assert kinds(events)[0] == "state"
    assert kinds(events)[-1] == "end"
    details = [event.detail for event in events if event.kind == "state"]
    assert [int(detail.state) for detail in details if detail] in ([2], [1, 2])
    # A state is told when it changes, and not with every round.
    assert len(details) <= 2


def test_a_long_published_log_is_read_without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 3600)
    monkeypatch.setattr(module, "_PAGES_A_ROUND", 1)
    server = Published(LINES * 10, grows=100)
    server.trouble = [None, (200, [task_of(TASK, 1)]), (200, [task_of(TASK, 1)])]
    with scripted(server.routes) as (api, _):
        events = read(api, {TASK: START}, limit=200)

    assert words(events).count("line 9\n") == 10


def test_a_reader_comes_back_with_its_cursor_anywhere() -> None:
    with scripted(Published(LINES).routes) as (api, _):
        whole = read(api, {TASK: START})
    for place, event in enumerate(whole):
        # As it is kept in a notebook or a ledger: as JSON.
        cursor = json.loads(json.dumps(event.cursor))
        with scripted(Published(LINES, grows=100).routes) as (api, _):
            rest = read(api, {TASK: cursor})
        assert words(whole[: place + 1]) + words(rest) == TEXT


@pytest.mark.parametrize("trouble", [Cut, (503, {"msg": "busy"}), (401, {"msg": "no"}), (200, "x")])
def test_a_trouble_is_told_and_nothing_is_lost_or_repeated(trouble: Any) -> None:
    server = Published(LINES, grows=2)
    server.trouble = [None, None, *[trouble] * 12]
    with scripted(server.routes) as (api, _):
        events = read(api, {TASK: START})

    assert words(events) == TEXT
    assert kinds(events)[-1] == "end"
    troubles = [event for event in events if event.kind == "trouble"]
    assert troubles
    for event in troubles:
        assert event.text.startswith("no answer since ")
        assert event.task_id == ""
        assert "\n" not in event.text


def test_a_task_that_is_not_there_is_gone_and_others_go_on() -> None:
    with scripted(Published(LINES).routes) as (api, _):
        events = read(api, {OTHER: START, TASK: START})

    assert [event.kind for event in events if event.task_id == OTHER] == ["gone"]
    assert words(events) == TEXT


def test_a_log_that_does_not_go_on_is_a_trouble_and_no_endless_loop() -> None:
    stuck = [{"offset": 5, "offset_index": 5, "text": "again"}]
    routes: Routes = {
        "GET train_task/query": [task_of(TASK, 1)],
        "GET train_task/logs": stuck,
    }
    with scripted(routes) as (api, _):
        stop = threading.Event()
        found = []
        for event in follow(lambda: connection_to(api), {TASK: START}, stop=stop):
            found.append(event)
            if len(found) > 6:
                stop.set()

    assert words(found) == "again\n"
    assert "does not go on" in next(event.text for event in found if event.kind == "trouble")


# A server with events.


class Streaming:
    """Streams of events, one after the other; each is what one request gets."""

    def __init__(self, *streams: list[dict[str, Any] | bytes]) -> None:
        self.streams = list(streams)
        self.cursors: list[dict[str, int]] = []

    def answer(self, request: Request) -> Any:
        self.cursors.append(json.loads(request.form["cursors"]))
        lines = self.streams.pop(0) if self.streams else []
        body = b"".join(
            line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines
        )
        return reply(body, content_type="application/x-ndjson")

    @property
    def routes(self) -> Routes:
        return {"GET capabilities": {"features": {"events": {}}}, "POST events": self.answer}


def told(kind: str, task_id: str | None = TASK, **data: Any) -> dict[str, Any]:
    return {"seq": 1, "task": task_id, "kind": kind, "ms": 1, "data": data}


def log(offset: int, text: str) -> dict[str, Any]:
    return told("log", offset=offset, next=offset + len(text.encode()), text=text)


STATE = told("state", **task_of(TASK, 1, phase="running"))
END = told("end")


def test_a_stream_is_read_to_the_end_of_its_tasks() -> None:
    server = Streaming([STATE, log(0, "ä\n"), told("ping", None), log(3, "b"), log(4, "c\n"), END])
    with scripted(server.routes) as (api, _):
        events = read(api, {TASK: START})

    assert kinds(events) == ["state", "log", "log", "log", "end"]
    assert words(events) == "ä\nbc\n"
    assert [event.cursor for event in events] == [None, 3, 4, 6, 6]
    assert server.cursors == [{TASK: 0}]


def test_which_characters_came_from_standard_error_is_told_and_nonsense_is_not() -> None:
    marked = log(0, "äbcd")
    marked["data"]["stderr"] = [[0, 1], [2, 4]]
    odd = log(5, "xyz")
    odd["data"]["stderr"] = [[2, 1], 7, [0, "1"], None, [1, 2, 3], [-1, 2], [1, 2], [0, 1], [2, 9]]
    with scripted(Streaming([STATE, marked, odd, log(8, "z"), END]).routes) as (api, _):
        events = read(api, {TASK: START})

    told_of = [event.stderr for event in events if event.kind == "log"]
    assert told_of == [((0, 1), (2, 4)), ((1, 2),), ()]


def test_a_hidden_value_that_comes_in_pieces_is_shown_in_none_of_them() -> None:
    value, longer = "kept-apart-äß-value", "kept-apart-äß-value-and-more"
    hide(value, longer)
    whole = f"a {longer}\n{value}!\nkept-apart, no value: kept-"
    for size in (1, 2, 3, 7, 20):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        starts = [len(whole[:at].encode()) for at in range(0, len(whole), size)]
        sent = [log(at, piece) for at, piece in zip(starts, pieces, strict=True)]
        with scripted(Streaming([STATE, *sent, END]).routes) as (api, _):
            events = read(api, {TASK: START})
        stars = [len(one.encode()) * "*" for one in (longer, value)]
        assert words(events) == f"a {stars[0]}\n{stars[1]}!\nkept-apart, no value: kept-"
        assert events[-1].cursor == len(whole.encode())


def test_a_beginning_that_waits_is_read_again_where_a_stream_begins_anew() -> None:
    hide("waits-for-its-end")
    marked = log(0, "it waits-for")
    marked["data"]["stderr"] = [[1, 6]]
    server = Streaming([STATE, marked], [STATE, log(3, "waits-for-its"), log(16, "-end."), END])
    with scripted(server.routes) as (api, _):
        events = read(api, {TASK: START})

    assert server.cursors == [{TASK: 0}, {TASK: 3}]
    assert words(events) == f"it {17 * '*'}."
    assert [one.stderr for one in events if one.text] == [((1, 3),), (), ()]


def test_standard_error_stays_with_what_waits() -> None:
    hide("waits-for-its-end")
    first, second = log(0, "it waits-f"), log(10, "ar away")
    first["data"]["stderr"] = [[1, 6]]
    second["data"]["stderr"] = [[0, 2]]
    with scripted(Streaming([STATE, first, second, END]).routes) as (api, _):
        events = read(api, {TASK: START})

    logs = [(one.text, one.stderr) for one in events if one.kind == "log"]
    assert logs == [("it ", ((1, 3),)), ("waits-far away", ((0, 3), (7, 9)))]


def test_a_stream_that_breaks_goes_on_at_the_cursor() -> None:
    server = Streaming(
        [STATE, log(0, "abc")],
        [STATE, log(3, "def"), b'{"seq": 9, "task": "'],
        [],
        [b"<html>a proxy</html>\n"],
        [STATE, log(6, "ghi"), END],
    )
    with scripted(server.routes) as (api, _):
        events = read(api, {TASK: 0})

    assert words(events) == "abcdefghi"
    assert server.cursors == [{TASK: 0}, {TASK: 3}, {TASK: 6}, {TASK: 6}, {TASK: 6}]
    assert kinds(events).count("trouble") == 4
    assert kinds(events)[-1] == "end"


@pytest.mark.parametrize(
    "piece",
    [log(4, "gap"), log(2, "again"), told("log", offset=3, next=1, text="x"),
     told("log", offset=3, next=4), told("log", offset=3), told("log")],
)  # fmt: skip
def test_a_piece_that_does_not_fit_is_not_shown_but_asked_for_again(piece: dict[str, Any]) -> None:
    server = Streaming([log(0, "abc"), piece], [log(3, "d"), END])
    with scripted(server.routes) as (api, _):
        events = read(api, {TASK: START})

    assert words(events) == "abcd"
    assert kinds(events) == ["log", "trouble", "log", "end"]


def test_unknown_kinds_keys_and_tasks_are_passed_over() -> None:
    server = Streaming(
        [told("weather", sun=True), log(0, "a") | {"new": 1}, told("log", OTHER, text="x"),
         told("state", None), b"\n", b"{}\n", END],
    )  # fmt: skip
    with scripted(server.routes) as (api, _):
        events = read(api, {TASK: START})

    assert kinds(events) == ["log", "end"]


@pytest.mark.parametrize(
    "line", [b"[1]\n", b"null\n", b"x\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n"]
)
def test_a_line_that_is_no_event_is_a_trouble(line: bytes) -> None:
    server = Streaming([line], [END])
    with scripted(server.routes) as (api, _):
        assert kinds(read(api, {TASK: START})) == ["trouble", "end"]


def test_the_connection_is_asked_for_again_after_each_trouble() -> None:
    """So an engine that was started again on another port is found."""
    first = Streaming([log(0, "abc")])
    second = Streaming([log(3, "def"), END])
    with scripted(first.routes) as (one, _), scripted(second.routes) as (two, _):
        given: Iterator[Connection] = iter([connection_to(one), connection_to(two)])
        events = list(follow(lambda: next(given), {TASK: START}, stop=threading.Event()))

    assert words(events) == "abcdef"
    assert second.cursors == [{TASK: 3}]


def test_stopping_ends_it_at_once_also_while_nothing_comes() -> None:
    silent = threading.Event()

    def say_nothing(_request: Request) -> bytes:
        silent.wait(20)
        return b""

    routes: Routes = {
        "GET capabilities": {"features": {"events": {}}},
        "POST events": say_nothing,
    }
    stop = threading.Event()
    with scripted(routes) as (api, _):
        timer = threading.Timer(0.2, stop.set)
        timer.start()
        began = time.monotonic()
        found = list(follow(lambda: connection_to(api), {TASK: START}, stop=stop))
        took_s = time.monotonic() - began
        silent.set()
        timer.join()

    assert found == []
    assert took_s < 2


def test_nothing_to_follow_asks_nobody() -> None:
    def nobody() -> Connection:
        raise AssertionError("asked for a connection")

    assert list(follow(nobody, {}, stop=threading.Event())) == []


def test_a_cursor_of_the_other_kind_of_server_is_a_mistake_of_the_callers() -> None:
    with scripted(Streaming([END]).routes) as (api, _), pytest.raises(ValueError, match="events"):
        read(api, {TASK: [1, 2]})
    with scripted(Published(LINES).routes) as (api, _), pytest.raises(ValueError, match="events"):
        read(api, {TASK: 5})
