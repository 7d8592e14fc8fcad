"""What users see and change of themselves on a real engine (HTTP API, section 3)."""

from __future__ import annotations

import pytest

from engine_home import EngineHome, shared_engine
from published import PublishedClient, check_shape

__all__ = ["shared_engine"]

USER = {
    "id": str, "username": str, "namespace": str, "email": str, "role": str,
    "own_algorithms": list, "own_datasets": list, "own_models": list, "own_files": list,
    "collected_algorithm": str,
}  # fmt: skip
LISTED = {"id": str, "username": str, "role": str, "email": str}


@pytest.fixture(scope="module")
def ada(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("ada", "lovelace")
    return PublishedClient.login(shared_engine.address, "ada", "lovelace")


@pytest.fixture(scope="module")
def bob(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("bob", "battery")
    return PublishedClient.login(shared_engine.address, "bob", "battery")


def id_of(client: PublishedClient) -> str:
    found: str = client.call("GET", "user/me")["id"]
    return found


def test_a_user_sees_what_is_theirs(ada: PublishedClient, bob: PublishedClient) -> None:
    dataset = ada.add_dataset()
    algorithm = ada.add_algorithm("code")
    bob.add_dataset()

    found = ada.one("user", id=id_of(ada))

    check_shape(found, USER)
    assert found["username"] == "ada"
    assert (found["own_datasets"], found["own_algorithms"]) == ([dataset], [algorithm])
    assert found["collected_algorithm"] == "[]"
    bob.refused(404, "GET", "user", id=id_of(ada))
    ada.refused(404, "GET", "user", id="USER" + "0" * 28)


def test_users_are_listed_without_each_others_addresses(
    ada: PublishedClient, bob: PublishedClient
) -> None:
    ada.change("PUT", "user", id=id_of(ada), username="ada", email="ada@example.org", role="user")

    assert ada.one("user", id=id_of(ada))["email"] == "ada@example.org"
    for client, email in ((ada, "ada@example.org"), (bob, "")):
        listed = client.call("GET", "user/list")
        for one in listed:
            check_shape(one, LISTED)
        by_name = {one["username"]: one for one in listed}
        assert {"ada", "bob"} < set(by_name)
        assert by_name["ada"]["email"] == email
    wanted = ",".join([id_of(bob), "USER" + "0" * 28])
    assert [one["username"] for one in ada.call("GET", "user/collection", collection=wanted)] == [
        "bob"
    ]


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"username": "lovelace"}, 400, "keeps its name"),
        ({"role": "admin"}, 403, "Everyone is 'user'"),
    ],
)
def test_a_users_name_and_role_stay(
    ada: PublishedClient, fields: dict[str, str], status: int, words: str
) -> None:
    given = {"id": id_of(ada), "username": "ada", "email": "x@example.org", "role": ""} | fields
    assert words in ada.refused(status, "PUT", "user", **given)


def test_nobody_changes_somebody_else(ada: PublishedClient, bob: PublishedClient) -> None:
    bob.refused(404, "PUT", "user", id=id_of(ada), username="ada", email="bob@example.org")
    bob.refused(
        404, "PUT", "user/password", id=id_of(ada), old_password="lovelace", new_password="x"
    )
    assert "not removed" in bob.refused(403, "DELETE", "user", id=id_of(bob), force=1)
    assert PublishedClient.login(ada.address, "ada", "lovelace").token


def test_a_new_password_ends_all_sessions_but_the_one_that_asked(
    shared_engine: EngineHome,
) -> None:
    shared_engine.add_user("eve", "first")
    asking, other = (PublishedClient.login(shared_engine.address, "eve", "first") for _ in range(2))
    form = {"id": id_of(asking), "old_password": "wrong", "new_password": "second"}

    asking.refused(403, "PUT", "user/password", **form)
    assert other.call("GET", "user/me")
    asking.change("PUT", "user/password", **form | {"old_password": "first"})

    assert asking.call("GET", "user/me")["username"] == "eve"
    other.refused(401, "GET", "user/me")
    other.refused(401, "POST", "user/login", username="eve", password="first")
    assert PublishedClient.login(shared_engine.address, "eve", "second").call("GET", "user/me")
