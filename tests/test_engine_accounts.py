"""Users, mirrors, resource groups, projects and tags of a real engine (HTTP API, 3, 4, 5)."""

from __future__ import annotations

import pytest
import requests

from engine_home import EngineHome, shared_engine
from published import (
    LOGIN,
    MIRROR,
    PROJECT,
    QUOTA_GROUP,
    TAG,
    PublishedClient,
    check_error,
    check_shape,
)

__all__ = ["shared_engine"]

ADA, BOB = ("ada", "correct horse ÿ"), ("bob", "battery")


@pytest.fixture(scope="module")
def ada(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user(*ADA)
    return PublishedClient.login(shared_engine.address, *ADA)


@pytest.fixture(scope="module")
def bob(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user(*BOB)
    return PublishedClient.login(shared_engine.address, *BOB)


@pytest.fixture
def stranger(shared_engine: EngineHome) -> PublishedClient:
    return PublishedClient(shared_engine.address)


# Users.


def test_a_login_gives_two_tokens_and_who_it_is(
    ada: PublishedClient, stranger: PublishedClient
) -> None:
    session = stranger.call("POST", "user/login", username=ADA[0], password=ADA[1])
    check_shape(session, LOGIN)
    assert all(session[name] for name in LOGIN)
    found = PublishedClient(ada.address, session["token"]).call("GET", "user/me")

    check_shape(found, {"id": str, "username": str})
    # Letter for letter, as clients compare it with the name given at login.
    assert found["username"] == "ada"
    assert found["id"] == session["id"]
    assert found["id"].startswith("USER")


@pytest.mark.parametrize(
    ("name", "password"),
    [("ada", "wrong"), ("Ada", ADA[1]), ("nobody", ADA[1]), ("ada", ""), ("", ""), ("a\0a", "x")],
)
def test_a_wrong_login_is_refused(
    ada: PublishedClient, stranger: PublishedClient, name: str, password: str
) -> None:
    answer = stranger.ask("POST", "user/login", username=name, password=password)

    check_error(answer, 400, 401)
    assert ADA[1] not in answer.text


def test_the_local_user_has_no_password_until_it_gets_one(
    shared_engine: EngineHome, stranger: PublishedClient
) -> None:
    name = PublishedClient(shared_engine.address, shared_engine.token).call("GET", "user/me")[
        "username"
    ]
    stranger.refused(401, "POST", "user/login", username=name, password="None")

    shared_engine.add_user(name, "now there is one")
    client = PublishedClient.login(shared_engine.address, name, "now there is one")

    local = PublishedClient(shared_engine.address, shared_engine.token)
    assert client.call("GET", "user/me") == local.call("GET", "user/me")


def test_a_refresh_token_gives_access_tokens_again_and_again(
    ada: PublishedClient, stranger: PublishedClient
) -> None:
    session = stranger.call("POST", "user/login", username=ADA[0], password=ADA[1])
    refreshing = PublishedClient(ada.address, session["refresh_token"])

    tokens = []
    for _ in range(3):
        found = refreshing.call("GET", "user/refresh_token")
        check_shape(found, LOGIN)
        tokens.append(found["token"])
        renewed = PublishedClient(ada.address, found["token"])
        assert renewed.call("GET", "user/me")["username"] == "ada"

    assert len({*tokens, session["token"]}) == 4
    # The one from the login serves on.
    assert PublishedClient(ada.address, session["token"]).call("GET", "user/me")


def test_an_access_and_a_refresh_token_are_two_things(
    ada: PublishedClient, stranger: PublishedClient
) -> None:
    session = stranger.call("POST", "user/login", username=ADA[0], password=ADA[1])

    PublishedClient(ada.address, session["refresh_token"]).refused(401, "GET", "user/me")
    PublishedClient(ada.address, session["token"]).refused(401, "GET", "user/refresh_token")


def test_a_new_password_ends_the_sessions_of_the_old_one(shared_engine: EngineHome) -> None:
    shared_engine.add_user("eve", "first")
    old = PublishedClient.login(shared_engine.address, "eve", "first")

    refused = shared_engine.command(
        "user", "add", "eve", "--password-stdin", stdin="second\n", check=False
    )
    assert refused.returncode == 1
    assert "--replace" in refused.stderr
    shared_engine.add_user("eve", "second", "--replace")

    old.refused(401, "GET", "user/me")
    old.refused(401, "POST", "user/login", username="eve", password="first")
    assert PublishedClient.login(shared_engine.address, "eve", "second").call("GET", "user/me")


def test_whether_a_name_is_taken_is_a_bare_boolean(
    ada: PublishedClient, stranger: PublishedClient
) -> None:
    assert stranger.call("GET", "user/check", username="ada") is True
    assert stranger.call("GET", "user/check", username="nobody") is False


def test_nobody_registers_over_the_network(
    shared_engine: EngineHome, stranger: PublishedClient
) -> None:
    words = stranger.refused(
        403, "POST", "user/registry", username="mallory", password="x", email="m@example.org"
    )

    assert "anylearn-engine user add" in words
    assert stranger.call("GET", "user/check", username="mallory") is False
    assert "mallory" not in shared_engine.command("user", "list").stdout


# What the machine offers.


def test_there_is_the_mirror_that_quick_train_asks_for(ada: PublishedClient) -> None:
    found = ada.call("GET", "mirror/list")

    for mirror in found:
        check_shape(mirror, MIRROR)
    assert [mirror["name"] for mirror in found].count("QUICKSTART") == 1


def test_resource_groups_have_numbers_for_every_resource(ada: PublishedClient) -> None:
    groups = ada.call("GET", "quota_group/list")

    assert {"default", "besteffort"} <= {group["id"] for group in groups}
    for group in groups:
        check_shape(group, QUOTA_GROUP)
        assert group["level"] in ("Guarantee", "BestEffort")
        assert group["capacity"].keys() == {"CPU", "Memory", "GPU"}
        for amounts in (group["capacity"], group["default"], group["allocated"]):
            assert all(isinstance(amount, int) for amount in amounts.values())
            assert amounts.keys() <= group["capacity"].keys()
        assert all(group["allocated"][name] <= amount for name, amount in group["capacity"].items())


def test_a_resource_group_is_found_by_id_or_name(ada: PublishedClient) -> None:
    assert ada.one("quota_group/query", id="default")["name"] == "default"
    assert ada.one("quota_group/query", name="besteffort")["id"] == "besteffort"
    assert ada.call("GET", "quota_group/query", name="lab") == []
    ada.refused(400, "GET", "quota_group/query")


# Projects and tags.


def test_the_default_project_is_always_a_list_and_always_the_same(
    ada: PublishedClient, bob: PublishedClient
) -> None:
    found = [ada.one("project/default") for _ in range(3)]

    check_shape(found[0], PROJECT)
    assert {project["id"] for project in found} == {found[0]["id"]}
    assert found[0]["creator_username"] == "ada"
    assert found[0]["id"] in {project["id"] for project in ada.call("GET", "project/list")}
    assert bob.one("project/default")["id"] != found[0]["id"]


def test_a_project_is_made_changed_and_deleted(ada: PublishedClient) -> None:
    project = ada.change("POST", "project/add", name="digits", description="Ziffern ÿ", datasets="")

    assert project.startswith("PROJ")
    found = ada.one("project/query", id=project)
    check_shape(found, PROJECT)
    assert (found["name"], found["description"], found["datasets"]) == ("digits", "Ziffern ÿ", "")
    assert ada.one("project/query", fullname="digits")["id"] == project
    assert ada.one("project/query", fullname="ada/digits")["id"] == project

    dataset = ada.add_dataset()
    assert project == ada.change(
        "PUT", "project/update", id=project, name="letters", description="", datasets=dataset
    )
    found = ada.one("project/query", id=project)
    assert (found["name"], found["description"], found["datasets"]) == ("letters", "", dataset)
    ada.refused(404, "GET", "project/query", fullname="digits")

    assert project == ada.change("DELETE", "project/delete", id=project, force=0)
    ada.refused(404, "GET", "project/query", id=project)


def test_the_oldest_project_of_a_name_stays_the_one_that_is_found(ada: PublishedClient) -> None:
    first, second = (ada.change("POST", "project/add", name="twice") for _ in range(2))

    assert first != second
    assert ada.one("project/query", fullname="twice")["id"] == first


def test_tags_belong_to_a_project(ada: PublishedClient) -> None:
    project = ada.change("POST", "project/add", name="tagged")
    assert ada.call("GET", "train_task/tags", project_id=project) == []
    tag = ada.change(
        "POST", "train_task/tag", name="best", color="#00ff00", text_color="#000000",
        project_id=project, description="",
    )  # fmt: skip

    (found,) = ada.call("GET", "train_task/tags", project_id=project)
    check_shape(found, TAG)
    assert (found["id"], found["name"]) == (tag, "best")
    assert tag == ada.change(
        "PATCH", "train_task/tag", id=tag, name="worst", color="#ff0000", text_color="#ffffff",
        project_id=project, description="",
    )  # fmt: skip
    assert ada.call("GET", "train_task/tags", project_id=project)[0]["name"] == "worst"
    ada.refused(409, "POST", "train_task/tag", name="worst", project_id=project)
    ada.refused(400, "POST", "train_task/tag", name="red", color="red", project_id=project)
    assert "data" in ada.call("PATCH", "train_task/tags", tags="{}")


@pytest.mark.parametrize("name", ["", "x" * 51, None])
def test_a_projects_name_has_1_to_50_characters(ada: PublishedClient, name: str | None) -> None:
    assert "'name'" in ada.refused(400, "POST", "project/add", name=name)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "project/query", "id"),
        ("PUT", "project/update", "id"),
        ("DELETE", "project/delete", "id"),
        ("GET", "train_task/tags", "project_id"),
        ("GET", "train_task/list", "project_id"),
    ],
)
def test_another_users_project_is_as_one_that_does_not_exist(
    ada: PublishedClient, bob: PublishedClient, method: str, path: str, name: str
) -> None:
    project = ada.one("project/default")["id"]
    other = "PROJ" + "0" * 28

    words = {bob.refused(404, method, path, **{name: one}) for one in (project, other)}

    assert {one.replace(project, "").replace(other, "") for one in words} == {
        "There is no project ''."
    }
    bob.refused(404, method, path, **{name: "no id at all"})


# The door.


def test_what_is_not_served_is_a_json_error(ada: PublishedClient) -> None:
    ada.refused(404, "GET", "nothing/here")
    ada.refused(405, "DELETE", "mirror/list")
    answer = requests.get(f"{ada.address}/", timeout=10)
    check_error(answer, 404)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data"])
def test_only_the_api_s_content_types_are_taken(ada: PublishedClient, kind: str) -> None:
    headers = {"Content-Type": kind}

    ada.refused(415, "POST", "project/add", headers=headers, name="as json")

    assert "as json" not in [project["name"] for project in ada.call("GET", "project/list")]


def test_a_form_that_is_no_text_is_refused(ada: PublishedClient) -> None:
    answer = requests.post(
        f"{ada.address}/api/project/add",
        data=b"name=%ff%fe",
        headers={
            "Authorization": f"Bearer {ada.token}",
            "Content-Type": "application/x-www-form-urlencoded",
        },
        timeout=10,
    )

    check_error(answer, 400)


def test_a_body_that_is_too_large_is_refused_before_it_is_read(ada: PublishedClient) -> None:
    answer = ada.ask("POST", "project/add", name="large", description="x" * 1_000_000)

    check_error(answer, 413)
