"""A gateway that answers anything at all: each call gives its value or an error of ours (D8)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.download import compressed, download_resource
from anylearn_jupyter.errors import AnylearnError, ServerUnreachable, UnexpectedAnswer
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.task_record import TaskRecord
from faulty_server import Request, reply
from scripted_api import scripted

CALLS: dict[str, Callable[[Api], object]] = {
    "features": lambda api: api.features,
    "me": lambda api: api.me(),
    "mirrors": lambda api: api.mirrors(),
    "mirror_id": lambda api: api.mirror_id("QUICKSTART"),
    "find_algorithm": lambda api: api.find_algorithm("a"),
    "algorithm": lambda api: api.algorithm("ALGO1"),
    "algorithm_named": lambda api: api.algorithm_named("ada/a"),
    "algorithms": lambda api: api.algorithms(),
    "add_algorithm": lambda api: api.add_algorithm("a", mirror_id="M", description="", key="k"),
    "update_algorithm": lambda api: api.update_algorithm("A", "a", mirror_id="M", description=""),
    "finish_sync": lambda api: api.finish_sync("ALGO1", "a" * 40),
    "push_pack": lambda api: api.push_pack("ALGO1", "a" * 40, b"PACK"),
    "dataset": lambda api: api.dataset("DSET1"),
    "dataset_named": lambda api: api.dataset_named("ada/d"),
    "datasets": lambda api: api.datasets(),
    "add_dataset": lambda api: api.add_dataset("d", description="", filename="d.zip", key="k"),
    "model": lambda api: api.model("MODE1"),
    "model_named": lambda api: api.model_named("ada/m"),
    "models": lambda api: api.models(),
    "add_model": lambda api: api.add_model(
        "m", algorithm_id="A", description="", filename="m.zip", key="k"
    ),
    "file": lambda api: api.file("FILE1"),
    "files": lambda api: api.files(),
    "list_files": lambda api: api.list_files("FILE1"),
    "upload_chunk": lambda api: api.upload_chunk("FILE1", 0, b"x"),
    "finish_upload": lambda api: api.finish_upload("FILE1", purge=False),
    "compress": lambda api: api.compress("FILE1"),
    "compression_done": lambda api: api.compression_done("FILE1", "COMP1"),
    "compressed": lambda api: compressed(api, "FILE1", timeout_s=-1),
    "default_project": lambda api: api.default_project(),
    "project": lambda api: api.project("PROJ1"),
    "projects": lambda api: api.projects(),
    "find_project": lambda api: api.find_project("p", "ada"),
    "add_project": lambda api: api.add_project("p", "", "k"),
    "update_project": lambda api: api.update_project("PROJ1", "p", "", ()),
    "delete_project": lambda api: api.delete_project("PROJ1"),
    "quota_groups": lambda api: api.quota_groups(),
    "quota_group": lambda api: api.quota_group("QGRP1"),
    "find_quota_group": lambda api: api.find_quota_group("g"),
    "counters": lambda api: api.counters(),
    "add_resource": lambda api: api.add_resource("file", {"name": "f"}, "k"),
    "update_resource": lambda api: api.update_resource("file", {"id": "FILE1"}),
    "delete_resource": lambda api: api.delete_resource("file", "FILE1"),
    "transform_model": lambda api: api.transform_model({"name": "m"}, "k"),
    "add_task": lambda api: api.add_task({"name": "t", "project_id": "P"}, "k", replied={}),
    "task": lambda api: api.task("TRAI1"),
    "tasks": lambda api: api.tasks(["TRAI1", "TRAI2"]),
    "project_tasks": lambda api: api.project_tasks("PROJ1"),
    "stop_task": lambda api: api.stop_task("TRAI1"),
    "task_status": lambda api: api.task_status("TRAI1", "S"),
    "log_page": lambda api: api.log_page("TRAI1"),
    "log_bytes": lambda api: api.log_bytes("TRAI1", 0),
    "intermediate_metrics": lambda api: api.intermediate_metrics("TRAI1"),
    "final_metric": lambda api: api.final_metric("TRAI1"),
    "delta_lacking": lambda api: api.delta_lacking([b"0" * 32]),
    "delta_send": lambda api: api.delta_send("u1", b"chunks"),
    "delta_files": lambda api: list(api.delta_files("u1", b"files", 2)),
    "delta_finish": lambda api: api.delta_finish("u1", "DSET1", [b"manifest"]),
    "delta_drop": lambda api: api.delta_drop("u1"),
    "report_metric": lambda api: api.report_metric("final_metric", "TRAI1", "S", 1.0),
}
"""Every call of `Api` but `download`, whose body is no JSON and has its own test."""

KEYS = (
    *("id", "name", "state", "data", "phase", "exit", "number", "kind", "message", "description"),
    *("fullname", "creator_username", "creator_id", "datasets", "capacity", "allocated", "default"),
    *("text", "offset", "offset_index", "metric", "final_metric", "reported_at", "features"),
    *(
        "username",
        "mirror_id",
        "git_address",
        "created_ms",
        "queue_position",
        "size",
        "task",
        "msg",
    ),
)
NUMBERS = st.one_of(
    st.integers(-5, 5),
    st.sampled_from([2**53, 2**63 - 1, 2**63, -(2**64), 10**400]),
    st.floats(),
)
TEXTS = st.one_of(
    st.sampled_from(["", "1", "-2", "nan", "1e999", "\ud800", "a\0b", "9" * 30, "unknown"]),
    st.text(max_size=8),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), TEXTS), inner, max_size=8),
    ),
    max_leaves=12,
)
NEARLY = st.fixed_dictionaries(
    {"id": st.one_of(st.just("X1"), VALUES), "state": st.one_of(st.integers(-3, 5), VALUES)},
    optional={key: VALUES for key in KEYS if key not in ("id", "state")},
)
ANSWERS = st.one_of(VALUES, NEARLY, st.lists(NEARLY, max_size=3))


@dataclass
class Oracle:
    """A server that answers each request with what it was last told."""

    api: Api
    body: bytes = b""


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    class Everything(dict[str, Any]):
        def get(self, route: str, default: Any = None) -> Any:
            return lambda request: reply(asked.body, headers={"X-Log-Size": "1"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANYLEARN_HOME", str(tmp_path_factory.mktemp("home")))
        with scripted(Everything()) as (api, _):
            asked = Oracle(api)
            yield asked


def test_every_call_is_tried() -> None:
    """A new method of `Api` has to be added to the list above."""
    public = {
        name
        for name in dir(Api)
        if not name.startswith("_") and callable(getattr(Api, name)) and name not in NOT_ASKED
    }
    assert public - set(CALLS) == set()


NOT_ASKED = {"once", "create", "download"}


@pytest.mark.parametrize("call", CALLS)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(answer=ANSWERS)
def test_whatever_json_comes_it_is_a_value_or_an_error_of_ours(
    oracle: Oracle, call: str, answer: Any
) -> None:
    oracle.body = json.dumps(answer).encode()
    oracle.api._capabilities = None
    try:
        shown = repr(CALLS[call](oracle.api))
    except AnylearnError as error:
        shown = str(error)
    assert "\n" not in shown
    assert shown.encode("utf-8")


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(task=NEARLY)
def test_whatever_a_task_is_said_to_be_the_ledger_can_keep(oracle: Oracle, task: Any) -> None:
    oracle.body = json.dumps([task]).encode()
    try:
        detail = oracle.api.task("TRAI1")
    except AnylearnError:
        return
    with Ledger() as ledger:
        ledger.record_task(TaskRecord(id=detail.id, name="t", server="s", state=1))
        ledger.record_state(detail)
        kept = ledger.task(detail.id)
    assert kept is not None
    assert kept.state == detail.state


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=60))
def test_whatever_bytes_come_they_are_a_value_or_an_error_of_ours(
    oracle: Oracle, body: bytes
) -> None:
    oracle.body = body
    for call in ("me", "task", "projects"):
        with pytest.raises(AnylearnError):
            CALLS[call](oracle.api)


HEADS = {
    "no length": b"Content-Length: many\r\n\r\n[]",
    "less than nothing": b"Content-Length: -7\r\n\r\n[]",
    "two lengths": b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n[]",
    "no chunk": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[]\r\n0\r\n\r\n",
    "a huge chunk": b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n[]",
    "packed and not": b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n[]",
    "a long line": b"X: " + b"y" * 70_000 + b"\r\n\r\n[]",
    "many lines": b"X: y\r\n" * 200 + b"\r\n[]",
    "no line": b"\xff\xfe\x00\r\n\r\n[]",
    "a folded line": b"X: y\r\n z\r\nContent-Length: 4\r\n\r\nnull",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_headers_that_are_none_are_an_error_of_ours(head: bytes) -> None:
    def answer(request: Request) -> bytes:
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n" + head

    with scripted({"GET project/list": answer}, read_timeout_s=0.3) as (api, _):
        once = api.once()
        with pytest.raises((UnexpectedAnswer, ServerUnreachable)):
            once.projects()


@pytest.mark.parametrize(
    "first", [b"SSH-2.0-OpenSSH\r\n", b"", b"HTTP/9.9 abc\r\n\r\n", b"\0" * 99]
)
def test_what_speaks_no_http_is_an_error_of_ours(first: bytes) -> None:
    def answer(request: Request) -> bytes:
        return first

    with scripted({"GET project/list": answer}, read_timeout_s=0.3) as (api, _):
        once = api.once()
        with pytest.raises(ServerUnreachable):
            once.projects()


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "utf-7"])
def test_another_charset_than_the_apis_is_no_answer_or_the_same_one(charset: str) -> None:
    body = json.dumps([{"id": "PROJ1", "name": "Größe"}], ensure_ascii=False).encode(charset)
    whole = reply(body, content_type=f"application/json; charset={charset}")
    with scripted({"GET project/list": whole}) as (api, _):
        if charset == "utf-7":  # ASCII, so it is UTF-8 too
            assert api.projects()[0].id == "PROJ1"
            return
        with pytest.raises(UnexpectedAnswer, match="no JSON"):
            api.projects()


def test_a_download_that_is_a_page_of_a_proxy_is_no_archive(tmp_path: Path) -> None:
    page = reply(b"<html>log in", content_type="text/html")
    target = tmp_path / "target"
    routes = {
        "POST resource/compression": {"data": "COMP1"},
        "GET resource/compression": {"data": True},
        "GET resource/download": page,
    }
    with scripted(routes) as (api, _), pytest.raises(UnexpectedAnswer, match="archive"):
        download_resource(api, "FILE1", target)
    assert list(target.iterdir()) == []
