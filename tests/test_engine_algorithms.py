"""Algorithms of a real engine: code by git and by archive (HTTP API, section 7)."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import pytest
import requests

from engine_home import EngineHome, shared_engine
from published import ALGORITHM, Checkout, PublishedClient, check_error, check_shape

__all__ = ["shared_engine"]

NUMBERS = count(1)


@pytest.fixture(scope="module")
def ada(shared_engine: EngineHome) -> PublishedClient:
    # What has to be encoded in an address is in it.
    shared_engine.add_user("ada", "p@ss:w%rd ?#ÿ")
    return PublishedClient.login(shared_engine.address, "ada", "p@ss:w%rd ?#ÿ")


@pytest.fixture(scope="module")
def bob(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("bob", "battery")
    return PublishedClient.login(shared_engine.address, "bob", "battery")


@pytest.fixture
def name() -> str:
    """A name that no other test has."""
    return f"algo-{next(NUMBERS)}"


def zipped(files: Mapping[str, str]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for member, text in files.items():
            archive.writestr(zipfile.ZipInfo(member), text)
    return written.getvalue()


def send_archive(client: PublishedClient, algorithm: str, files: Mapping[str, str]) -> None:
    client.upload(algorithm, zipped(files), purge=1)


def names(client: PublishedClient, algorithm: str) -> set[str]:
    """The algorithm's files, by path."""

    def below(tree: dict[str, dict[str, object]], parent: str) -> set[str]:
        found = set()
        for entry in tree.values():
            path = f"{parent}{entry['name']}"
            if entry["type"] == "dir":
                assert isinstance(entry["child"], dict)
                found |= below(entry["child"], f"{path}/")
            else:
                found.add(path)
        return found

    return below(client.call("GET", "resource/listdir", file_id=algorithm), "")


# Rows.


def test_an_algorithm_has_every_key_in_query_and_custom(
    ada: PublishedClient, bob: PublishedClient, name: str
) -> None:
    ada.refused(404, "GET", "algorithm/custom", name=name)
    params = '[{"name": "lr", "type": "float", "default": 0.1, "suggest": 0.1, "scope": ""}]'
    made = ada.add_algorithm(name, description="ÿ", tags="a,b", train_params=params)

    assert made.startswith("ALGO")
    found = ada.one("algorithm/query", id=made)
    check_shape(found, ALGORITHM)
    assert (found["name"], found["description"], found["tags"]) == (name, "ÿ", "a,b")
    assert (found["train_params"], found["mirror_id"]) == (params, ada.mirror_id)
    assert found["state"] != 3
    assert found["git_address"] == f"{ada.address}/git/ada/{name}.git"
    # A bare object, no list.
    assert ada.call("GET", "algorithm/custom", name=name) == found
    assert ada.one("algorithm/query", fullname=f"ada/{name}") == found
    listed = ada.call("GET", "algorithm/list")
    for one in listed:
        check_shape(one, ALGORITHM)
    assert found in listed
    bob.refused(404, "GET", "algorithm/custom", name=name)
    bob.refused(404, "GET", "algorithm/query", id=made)
    bob.refused(404, "GET", "algorithm/query", fullname=f"ada/{name}")


def test_update_changes_what_is_sent_and_keeps_the_name(ada: PublishedClient, name: str) -> None:
    made = ada.add_algorithm(name, description="old", tags="a")

    assert made == ada.change(
        "PUT", "algorithm/update", id=made, name=name, description="new", public=1,
        filename="x.zip", tags="", mirror_id=ada.mirror_id, train_params="null",
        follows_anylearn_norm=1,
    )  # fmt: skip

    found = ada.one("algorithm/query", id=made)
    assert (found["description"], found["public"], found["tags"]) == ("new", True, "")
    assert found["follows_anylearn_norm"] is True
    assert made == ada.change("PUT", "algorithm/update", id=made, description="newer")
    assert ada.one("algorithm/query", id=made)["public"] is True
    ada.refused(400, "PUT", "algorithm/update", id=made, name=f"{name}-other")


def test_a_name_is_taken_once_for_each_user(
    ada: PublishedClient, bob: PublishedClient, name: str
) -> None:
    made = ada.add_algorithm(name)

    ada.refused(409, "POST", "algorithm/add", name=name, mirror_id=ada.mirror_id)

    assert bob.add_algorithm(name) != made


@pytest.mark.parametrize("bad", ["", "a/b", "../a", "a b", "a\nb", "ü", "x" * 101, "a\0b"])
def test_a_name_is_fit_for_an_address(ada: PublishedClient, bad: str) -> None:
    ada.refused(400, "POST", "algorithm/add", name=bad, mirror_id=ada.mirror_id)


@pytest.mark.parametrize("strange", [".", "..", ".git", "-rf", "x.git", "con", "HEAD.lock"])
def test_strange_names_that_are_allowed_work(
    ada: PublishedClient, strange: str, tmp_path: Path
) -> None:
    algorithm, commit = ada.send_code(strange, tmp_path / "code", {"main.py": "1"})

    assert ada.one("algorithm/query", id=algorithm)["state"] == 3
    assert names(ada, algorithm) == {"main.py"}
    assert len(commit) == 40
    ada.change("DELETE", "algorithm/delete", id=algorithm)


def test_the_mirror_is_needed_and_known(ada: PublishedClient, name: str) -> None:
    ada.refused(400, "POST", "algorithm/add", name=name)
    ada.refused(404, "POST", "algorithm/add", name=name, mirror_id="MIRR" + "f" * 28)


# By git.


def test_code_is_fetched_pushed_and_ready_at_once(
    ada: PublishedClient, name: str, tmp_path: Path
) -> None:
    algorithm = ada.add_algorithm(name)
    checkout = Checkout(tmp_path / "code")
    commit = checkout.commit({"main.py": "print(1)", "requirements.txt": "", "pkg/a.py": ""})
    checkout.git("branch", "other")

    checkout.push(ada, ada.one("algorithm/query", id=algorithm)["git_address"])
    ada.call("POST", "resource/sync_finish", algorithm_id=algorithm, checkout_sha=commit)

    assert ada.one("algorithm/query", id=algorithm)["state"] == 3
    assert names(ada, algorithm) == {"main.py", "requirements.txt", "pkg/a.py"}


def test_an_empty_repository_can_be_fetched_from(
    ada: PublishedClient, name: str, tmp_path: Path
) -> None:
    address = ada.one("algorithm/query", id=ada.add_algorithm(name))["git_address"]
    checkout = Checkout(tmp_path / "code")
    checkout.commit({"a": ""})

    # `push` fetches first, and a failure of that fails the test.
    assert checkout.push(ada, address).returncode == 0


def test_git_asks_first_without_a_password(ada: PublishedClient, name: str) -> None:
    address = ada.one("algorithm/query", id=ada.add_algorithm(name))["git_address"]

    answer = requests.get(f"{address}/info/refs?service=git-upload-pack", timeout=10)

    check_error(answer, 401)
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_push_that_rewrites_history_goes_into_ones_own_repository(
    ada: PublishedClient, name: str, tmp_path: Path
) -> None:
    algorithm, first = ada.send_code(name, tmp_path / "code", {"main.py": "1"})
    address = ada.one("algorithm/query", id=algorithm)["git_address"]
    other = Checkout(tmp_path / "other")
    second = other.commit({"main.py": "2"})

    assert other.push(ada, address, check=False).returncode != 0
    other.push(ada, address, "--force")

    ada.call("POST", "resource/sync_finish", algorithm_id=algorithm, checkout_sha=second)
    # What was there before can still be trained from.
    ada.call("POST", "resource/sync_finish", algorithm_id=algorithm, checkout_sha=first)


@pytest.mark.parametrize("commit", ["0" * 40, "f" * 40, "main", "--all", "", "HEAD", "0" * 41])
def test_a_commit_that_has_not_arrived_is_refused(
    ada: PublishedClient, name: str, tmp_path: Path, commit: str
) -> None:
    algorithm, _ = ada.send_code(name, tmp_path / "code", {"main.py": "1"})
    before = ada.one("algorithm/query", id=algorithm)

    answer = ada.ask("POST", "resource/sync_finish", algorithm_id=algorithm, checkout_sha=commit)

    check_error(answer, 400, 409)
    assert ada.one("algorithm/query", id=algorithm) == before


def test_a_large_push_comes_in_pieces(
    ada: PublishedClient, shared_engine: EngineHome, name: str, tmp_path: Path
) -> None:
    local = PublishedClient(shared_engine.address, shared_engine.token)
    before = local.call("GET", "engine/counters")["git_bytes"]
    checkout = Checkout(tmp_path / "code")
    noise = "".join(f"{number * 2654435761 % 2**32:08x}\n" for number in range(400_000))
    commit = checkout.commit({"noise.txt": noise})
    # More than git sends in one piece, so that it is sent chunked.
    checkout.git("config", "http.postBuffer", "65536")
    algorithm = ada.add_algorithm(name)

    checkout.push(ada, ada.one("algorithm/query", id=algorithm)["git_address"])

    ada.call("POST", "resource/sync_finish", algorithm_id=algorithm, checkout_sha=commit)
    assert local.call("GET", "engine/counters")["git_bytes"] - before > 65_536


def test_a_clone_gives_back_what_was_pushed(
    ada: PublishedClient, shared_engine: EngineHome, name: str, tmp_path: Path
) -> None:
    """Also with the bearer token (docs/protocol.md, `git_bearer`), and over protocol 2."""
    algorithm, commit = ada.send_code(name, tmp_path / "code", {"main.py": "1\r\n"})
    address = ada.one("algorithm/query", id=algorithm)["git_address"]
    other = Checkout(tmp_path / "other")
    bearer = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "http.extraHeader",
        "GIT_CONFIG_VALUE_0": f"Authorization: Bearer {ada.token}",
    }

    for version in ("0", "2"):
        other.git("-c", f"protocol.version={version}", "fetch", "-q", address, "main", **bearer)
        assert other.git("rev-parse", "FETCH_HEAD").stdout.strip() == commit


# By archive.


@pytest.mark.parametrize(
    ("root", "sent"),
    [
        ("plain", ""),
        ("one directory", "algo/"),
        ("the path as the user wrote it", "home/u/algo/"),
        ("from above", "../algo/"),
        ("from far above", "../../x/algo/"),
        ("absolute", "/home/u/algo/"),
    ],
)
def test_the_root_of_an_archive_is_what_all_members_share(
    ada: PublishedClient, name: str, root: str, sent: str
) -> None:
    """0.18.3 names each member by the path as the user gave it."""
    algorithm = ada.add_algorithm(name)
    files = {"main.py": "print(1)", "requirements.txt": "", "pkg/a.py": ""}

    send_archive(ada, algorithm, {f"{sent}{member}": text for member, text in files.items()})

    assert ada.wait_ready("algorithm", algorithm)["state"] == 3, root
    assert names(ada, algorithm) == set(files)


def test_an_archive_that_brings_its_git_directory_is_code_without_it(
    ada: PublishedClient, name: str
) -> None:
    algorithm = ada.add_algorithm(name)

    send_archive(
        ada,
        algorithm,
        {".git/config": "[core]\n\tfsmonitor = touch planted\n", "requirements.txt": "",
         ".gitignore": "*.py\n", "main.py": "", ".gitattributes": "* filter=evil\n"},
    )  # fmt: skip

    assert ada.wait_ready("algorithm", algorithm)["state"] == 3
    assert names(ada, algorithm) == {
        "requirements.txt", ".gitignore", "main.py", ".gitattributes",
    }  # fmt: skip


def test_an_archive_is_replaced_by_the_next_one(ada: PublishedClient, name: str) -> None:
    algorithm = ada.add_algorithm(name)
    for files in ({"a.py": "1", "requirements.txt": ""}, {"b.py": "2", "requirements.txt": ""}):
        send_archive(ada, algorithm, files)
        assert ada.wait_ready("algorithm", algorithm)["state"] == 3

    assert names(ada, algorithm) == {"b.py", "requirements.txt"}


@pytest.mark.parametrize("files", [{"a/../../x": ""}, {"A": "", "a": ""}, {"C:\\x": ""}])
def test_a_hostile_archive_is_refused_with_its_reason(
    ada: PublishedClient, name: str, files: dict[str, str]
) -> None:
    algorithm = ada.add_algorithm(name)

    send_archive(ada, algorithm, files)

    found = ada.wait_ready("algorithm", algorithm)
    assert found["state"] == -2
    assert "archive refused" in found["description"]


def test_what_is_no_zip_is_no_algorithm(ada: PublishedClient, name: str) -> None:
    algorithm = ada.add_algorithm(name)

    ada.upload(algorithm, b"print(1)\n", purge=1)

    assert ada.wait_ready("algorithm", algorithm)["state"] == -2


def test_a_deleted_algorithm_leaves_no_code_for_the_next_of_its_name(
    ada: PublishedClient, shared_engine: EngineHome, name: str, tmp_path: Path
) -> None:
    algorithm, commit = ada.send_code(name, tmp_path / "code", {"secret.py": "1"})
    repository = shared_engine.home.engine / "git" / "ada" / f"{name}.git"
    assert repository.is_dir()

    assert algorithm == ada.change("DELETE", "algorithm/delete", id=algorithm)

    assert not repository.exists()
    ada.refused(404, "GET", "algorithm/custom", name=name)
    again = ada.add_algorithm(name)
    ada.refused(409, "POST", "resource/sync_finish", algorithm_id=again, checkout_sha=commit)
