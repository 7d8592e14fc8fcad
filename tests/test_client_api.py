"""The calls: what they send, what they make of answers, and that nothing is created twice."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.client.api import LogLine
from anylearn_jupyter.client.api.base import DESCRIPTION_LIMIT, marked
from anylearn_jupyter.client.api.tasks import LOG_START
from anylearn_jupyter.errors import (
    LoginRequired,
    NotFound,
    OptionError,
    ServerError,
    ServerUnreachable,
    UnexpectedAnswer,
)
from faulty_server import Request, reply
from scripted_api import Cut, Routes, scripted

ALL_FEATURES = {"idempotency": {}, "task_batch": {}, "log_bytes": {}}


def announcing(*names: str) -> dict[str, Any]:
    return {"protocol": 1, "features": {name: {} for name in names}}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "no",
        {"features": []},
        (403, {}),
        (500, {}),
        reply(b"<html>", content_type="text/html"),
    ],
)
def test_a_server_that_announces_nothing_has_no_features(answer: Any) -> None:
    with scripted({"GET capabilities": answer}) as (api, server):
        assert api.features == frozenset()
        asked = len(server.requests)
        assert api.features == frozenset()
    assert len(server.requests) == asked == (4 if answer == (500, {}) else 1)


def test_features_are_asked_once_and_unknown_ones_kept() -> None:
    routes = {"GET capabilities": {"protocol": 1, "features": {"events": {}, "new": {"x": 1}}}}
    with scripted(routes) as (api, server):
        assert api.features == {"events", "new"}
        assert api.once().features == {"events", "new"}
    assert len(server.requests) == 1


def test_an_unreachable_server_or_a_refused_login_is_not_a_lack_of_features() -> None:
    def cut(request: Request) -> None:
        raise Cut

    with scripted({"GET capabilities": cut}) as (api, _), pytest.raises(ServerUnreachable):
        _ = api.features
    with scripted({"GET capabilities": (401, {})}) as (api, _), pytest.raises(LoginRequired):
        _ = api.features


def test_a_keyed_creation_is_repeated_until_it_answers() -> None:
    """A7: the server carries it out, drops the connection, and is asked again with the key."""
    made: dict[str, str] = {}

    def add(request: Request) -> dict[str, str]:
        key = request.headers["idempotency-key"]
        if key not in made:
            made[key] = f"PROJ{len(made)}"
            raise Cut
        return {"data": made[key], "message": "made"}

    routes: Routes = {"GET capabilities": announcing("idempotency"), "POST project/add": add}
    with scripted(routes) as (api, server):
        assert api.add_project("p", "mine", "key-1") == "PROJ0"
        assert len(made) == 1
        sent = [request for request in server.requests if request.method == "POST"]
        assert [request.form["description"] for request in sent] == ["mine", "mine"]


class PlainProjects:
    """A published server: no keys, and a list that shows descriptions."""

    def __init__(self) -> None:
        self.made: list[dict[str, str]] = []
        self.after_creation: Any = None

    def add(self, request: Request) -> Any:
        self.made.append({"id": f"PROJ{len(self.made)}", **request.form})
        if isinstance(self.after_creation, type):
            raise self.after_creation
        return self.after_creation or {"data": self.made[-1]["id"]}

    def routes(self) -> Routes:
        return {"POST project/add": self.add, "GET project/list": lambda request: self.made}


@pytest.mark.parametrize(
    "after_creation", [None, Cut, (500, {}), (502, {}), reply(b"<html>"), {"data": None}]
)
def test_without_keys_a_doubtful_creation_is_looked_up(after_creation: Any) -> None:
    projects = PlainProjects()
    projects.after_creation = after_creation
    with scripted(projects.routes()) as (api, _):
        assert api.add_project("p", "mine", "key-1") == "PROJ0"
    assert [project["description"] for project in projects.made] == ["mine [anylearn:key-1]"]


def test_a_creation_that_a_killed_kernel_left_in_doubt_is_looked_up_first() -> None:
    projects = PlainProjects()
    with scripted(projects.routes()) as (api, _):
        first = api.add_project("p", "mine", "key-1")
        assert api.add_project("p", "mine", "key-1", doubtful=True) == first
        assert api.add_project("p", "mine", "key-2", doubtful=True) != first
    assert len(projects.made) == 2


def test_a_refusal_is_no_doubt_and_a_lost_request_stays_one() -> None:
    routes: Routes = {"POST project/add": (422, {"msg": "name too long"}), "GET project/list": []}
    with scripted(routes) as (api, server):
        with pytest.raises(ServerError, match="name too long"):
            api.add_project("p" * 99, "", "key-1")
        assert "GET /api/project/list" not in server.paths()

    def cut(request: Request) -> None:
        raise Cut

    with scripted({"POST project/add": cut, "GET project/list": []}) as (api, server):
        with pytest.raises(ServerUnreachable, match="run it again") as caught:
            api.add_project("p", "", "key-1")
        assert caught.value.may_have_happened
        assert server.paths().count("POST /api/project/add") == 1


def test_a_description_is_cut_in_front_of_its_marks() -> None:
    long = "x" * 400 + " [anylearn:fp1:" + "a" * 64 + "]"
    found = marked(long, "[anylearn:key-1]")
    assert len(found) == DESCRIPTION_LIMIT
    assert found.endswith("… [anylearn:fp1:" + "a" * 64 + "] [anylearn:key-1]")
    assert marked("plain") == "plain"
    assert marked("", "[anylearn:k]") == "[anylearn:k]"


@pytest.mark.parametrize("absent", [None, (200, []), (200, {})])
def test_only_not_found_means_absent(absent: Any) -> None:
    with scripted({"GET algorithm/custom": absent}) as (api, _):
        assert api.find_algorithm("algo") is None
    for failure, kind in (((403, {}), ServerError), ((500, {}), ServerError)):
        with scripted({"GET algorithm/custom": failure}) as (api, _), pytest.raises(kind):
            api.find_algorithm("algo")
    with scripted({"GET train_task/query": []}) as (api, _), pytest.raises(NotFound):
        api.task("TRAI1")


def test_an_algorithm_is_found_made_and_updated() -> None:
    found = {"id": "ALGO1", "name": "algo", "state": 3, "mirror_id": "M", "git_address": None}
    routes: Routes = {
        "GET algorithm/custom": found,
        "GET algorithm/query": [found],
        "POST algorithm/add": {"data": "ALGO1"},
        "PUT algorithm/update": {"data": "ALGO1"},
        "POST resource/sync_finish": {"msg": "ok"},
    }
    with scripted(routes) as (api, server):
        algorithm = api.find_algorithm("algo")
        assert algorithm is not None
        assert (algorithm.id, algorithm.git_address) == ("ALGO1", "")
        assert api.algorithm("ALGO1") == algorithm
        assert api.add_algorithm("algo", mirror_id="M", description="d", key="k") == "ALGO1"
        api.update_algorithm("ALGO1", "algo", mirror_id="N", description="d")
        api.finish_sync("ALGO1", "a" * 40)
        added, updated, synced = (request.form for request in server.requests[3:])
        added = server.requests[-3].form
    assert added["train_params"] == "null"
    assert added["public"] == "0"
    assert updated["mirror_id"] == "N"
    assert synced == {"algorithm_id": "ALGO1", "checkout_sha": "a" * 40}


def test_an_unknown_environment_lists_the_known_ones() -> None:
    with scripted({"GET mirror/list": [{"id": "M1", "name": "QUICKSTART"}]}) as (api, _):
        assert api.mirror_id("QUICKSTART") == "M1"
        with pytest.raises(OptionError, match=r"'torch'.*QUICKSTART"):
            api.mirror_id("torch")


def test_the_default_project_has_two_shapes() -> None:
    project = {"id": "PROJ1", "name": "p", "description": ""}
    for shape in ([project], {"data": "PROJ1"}):
        routes = {"GET project/default": shape, "GET project/query": [project]}
        with scripted(routes) as (api, _):
            found = api.default_project()
            assert found is not None
            assert found.id == "PROJ1"
    with scripted({}) as (api, _):
        assert api.default_project() is None


def test_a_project_is_found_by_full_name_or_in_the_list_of_an_older_server() -> None:
    mine = {"id": "PROJ1", "name": "p", "creator_username": "ada"}
    other = {"id": "PROJ2", "name": "p", "creator_username": "bob"}
    with scripted({"GET project/query": [mine]}) as (api, server):
        found = api.find_project("p", "ada")
        assert found is not None
        assert found.id == "PROJ1"
        assert server.requests[0].query == {"fullname": "ada/p"}
    with scripted({"GET project/list": [other, mine]}) as (api, _):
        found = api.find_project("p", "ada")
        assert found is not None
        assert found.id == "PROJ1"
        assert api.find_project("q", "ada") is None
        assert [project.id for project in api.projects()] == ["PROJ2", "PROJ1"]


TASK = {"id": "TRAI1", "name": "t", "state": 1, "secret_key": "S", "results_id": "FILE1"}


def test_a_task_is_created_with_json_in_its_form() -> None:
    with scripted({"POST train_task/add": {"data": "TRAI1"}, "GET train_task/query": [TASK]}) as (
        api,
        server,
    ):
        fields = {"name": "t", "project_id": "P", "train_params": {"lr": "1e-3"}, "resources": None}
        assert api.add_task(fields, "key-9") == "TRAI1"
        assert api.task("TRAI1").results_id == "FILE1"
        form = server.requests[1].form
    assert json.loads(form["train_params"]) == {"lr": "1e-3"}
    assert "resources" not in form
    assert form["description"] == "[anylearn:key-9]"


def test_a_task_that_may_exist_is_found_in_its_project() -> None:
    kept: list[dict[str, Any]] = []

    def add(request: Request) -> None:
        kept.append({**TASK, **request.form, "id": "TRAI7"})
        raise Cut

    routes: Routes = {"POST train_task/add": add, "GET train_task/list": lambda request: kept}
    with scripted(routes) as (api, server):
        assert api.add_task({"name": "t", "project_id": "PROJ1"}, "k") == "TRAI7"
        assert server.requests[-1].query == {"project_id": "PROJ1"}
        assert [task.id for task in api.project_tasks("PROJ1")] == ["TRAI7"]


def test_many_tasks_are_one_request_where_the_server_can() -> None:
    routes: Routes = {
        "GET capabilities": announcing("task_batch"),
        "POST train_task/batch": lambda request: [
            {**TASK, "id": task_id} for task_id in json.loads(request.form["ids"])[:2]
        ],
    }
    with scripted(routes) as (api, server):
        assert sorted(api.tasks(["a", "b", "c"])) == ["a", "b"]
        assert api.tasks([]) == {}
    assert len(server.requests) == 2

    def query(request: Request) -> Any:
        return [{**TASK, "id": "a"}] if request.query["id"] == "a" else (404, {})

    with scripted({"GET train_task/query": query}) as (api, _):
        assert list(api.tasks(["a", "b"])) == ["a"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        "text",
        None,
        [[]],
        ["TRAI1"],
        [{"id": "TRAI1"}],
        [{"id": "TRAI1", "state": "working"}],
        [{"id": "TRAI1", "state": True}],
        [{"id": "TRAI1", "state": 1.5}],
        [{"id": None, "state": 1}],
        [{"id": ["x"], "state": 1}],
        [{**TASK, "exit": "7"}],
    ],
)
def test_a_task_of_wrong_types_is_an_unexpected_answer(wrong: Any) -> None:
    body = reply(wrong)
    with scripted({"GET train_task/query": body}) as (api, _), pytest.raises(UnexpectedAnswer):
        api.task("TRAI1")


def test_unknown_states_and_extra_keys_are_kept_and_ids_may_be_numbers() -> None:
    routes = {"GET train_task/query": [{**TASK, "id": 17, "state": "42", "new": [{}]}]}
    with scripted(routes) as (api, _):
        detail = api.task("17")
    assert (detail.id, detail.state, detail.phase) == ("17", 42, "unknown(42)")
    assert not detail.finished


WRONG: list[tuple[str, str, Any]] = [
    ("mirrors", "GET mirror/list", {}),
    ("me", "GET user/me", []),
    ("me", "GET user/me", {"id": "", "username": "x"}),
    ("datasets", "GET dataset/list", [1]),
    ("counters", "GET engine/counters", {"upload_bytes": "many"}),
    ("projects", "GET project/list", {"id": 1}),
]


@pytest.mark.parametrize(("call", "route", "body"), WRONG)
def test_wrong_types_are_unexpected_everywhere(call: str, route: str, body: Any) -> None:
    with scripted({route: reply(body)}) as (api, _), pytest.raises(UnexpectedAnswer):
        getattr(api, call)()


def test_log_pages_are_read_by_position_and_older_servers_call_them_log() -> None:
    def page(request: Request) -> list[dict[str, Any]]:
        assert request.query["direction"] == "back"
        return [{"offset": 5, "offset_index": 1, "text": "hi"}]

    for name in ("logs", "log"):
        with scripted({f"GET train_task/{name}": page}) as (api, server):
            for _ in range(2):
                lines = api.log_page("TRAI1", limit=10, after=LOG_START)
                assert lines == [LogLine(5, 1, "hi")]
            assert server.requests[-1].query["index"] == "0"
            assert server.requests[-1].query["offset_index"] == "-1"
            assert len(server.requests) == (2 if name == "logs" else 3)
    wrong = {"GET train_task/logs": [{"offset": 5, "text": "hi"}]}
    with scripted(wrong) as (api, _), pytest.raises(UnexpectedAnswer):
        api.log_page("TRAI1")


def test_log_bytes_come_with_the_size() -> None:
    data = reply(b"\xff\x00ab", headers={"X-Log-Size": "77"}, content_type="application/x")
    with scripted({"GET train_task/log_bytes": data}) as (api, server):
        assert api.log_bytes("TRAI1", 3, 7) == (b"\xff\x00ab", 77)
        assert server.requests[0].query == {"id": "TRAI1", "from": "3", "to": "7"}
        api.log_bytes("TRAI1", 0)
        assert "to" not in server.requests[1].query
    wrong = {"GET train_task/log_bytes": reply(b"x")}
    with scripted(wrong) as (api, _), pytest.raises(UnexpectedAnswer):
        api.log_bytes("TRAI1", 0)
    with scripted({}) as (api, _), pytest.raises(NotFound):
        api.log_bytes("TRAI1", 0)


def test_metrics_may_be_text_nan_or_missing() -> None:
    listed = b'[{"id": "METR1", "metric": NaN, "reported_at": "x"}, {"metric": "0.5"}]'
    routes: Routes = {
        "GET train_task/intermediate_metric": reply(listed),
        "GET train_task/final_metric": {"id": "TRAI1", "name": "t", "final_metric": None},
    }
    with scripted(routes) as (api, _):
        first, second = api.intermediate_metrics("TRAI1")
        assert first.value != first.value
        assert second.value == 0.5
        assert api.final_metric("TRAI1") is None
    with scripted({"GET train_task/final_metric": {"final_metric": 0.97}}) as (api, _):
        assert api.final_metric("TRAI1") == 0.97


@pytest.mark.parametrize(
    ("answer", "done"),
    [
        ({"data": False}, False),
        ({"data": True}, True),
        ([{"id": "COMP1", "state": 1}], False),
        ([{"id": "COMP1", "state": 2}], True),
    ],
)
def test_both_dialects_of_compression_are_understood(answer: Any, done: bool) -> None:
    routes: Routes = {
        "GET resource/compression": answer,
        "POST resource/compression": {"data": "COMP1"},
    }
    with scripted(routes) as (api, server):
        assert api.compress("FILE1") == "COMP1"
        assert api.compression_done("FILE1", "COMP1") is done
        assert server.requests[1].query == {"file_id": "FILE1", "compression_id": "COMP1"}


@pytest.mark.parametrize("state", [-1, -2])
def test_a_failed_compression_is_an_error(state: int) -> None:
    failed = {"GET resource/compression": [{"state": state}]}
    with scripted(failed) as (api, _), pytest.raises(ServerError, match="FILE1"):
        api.compression_done("FILE1", "COMP1")


def test_a_download_is_whole_or_absent_and_its_url_has_no_token(tmp_path: Path) -> None:
    target = tmp_path / "archive.zip"
    content = bytes(range(256)) * 1000
    progress: list[int] = []
    whole = reply(content, headers={"Content-Disposition": "attachment; filename=a.zip"})
    with scripted({"GET resource/download": whole}) as (api, server):
        api.download("FILE1", "COMP1", target, on_bytes=progress.append)
        assert "token" not in server.requests[0].query
        assert server.requests[0].headers["authorization"] == "Bearer t"
    assert target.read_bytes() == content
    assert progress[-1] == len(content)
    assert progress == sorted(progress)

    target.unlink()
    cut = {"GET resource/download": reply(content, length=len(content) + 1)}
    with scripted(cut, read_timeout_s=0.3) as (api, _), pytest.raises(ServerUnreachable):
        api.download("FILE1", "COMP1", target)
    assert list(tmp_path.glob("*archive*")) == []


def test_stopping_a_task_asks_once() -> None:
    with scripted({"DELETE train_task/delete": {"data": "TRAI1"}}) as (api, server):
        api.stop_task("TRAI1")
        assert server.requests[0].query == {"id": "TRAI1", "force": "0"}


def test_a_reply_is_never_shown_with_its_body() -> None:
    with scripted({"POST user/login": {"token": "canary"}}) as (api, _):
        shown = repr(api.http.exchange("POST", "user/login"))
    assert "canary" not in shown
    assert re.search(r"status=200", shown)
