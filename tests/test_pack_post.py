"""A small pack in one request (docs/protocol.md, ``pack_post``): checked like a push (G5, G6)."""

from __future__ import annotations

import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from anylearn_jupyter.client.forms import encode_file
from anylearn_jupyter.entities import ResourceState
from engine_home import EngineHome, own_engine, shared_engine
from published import PublishedClient, check_error, check_shape
from test_engine_git_abuse import Code, commit_of, name_of, pack

__all__ = ["own_engine", "shared_engine"]

Entry = tuple[bytes, bytes, bytes]


@pytest.fixture(scope="module")
def ada(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("ada", "lovelace")
    return PublishedClient.login(shared_engine.address, "ada", "lovelace")


@pytest.fixture(scope="module")
def bob(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("bob", "battery")
    return PublishedClient.login(shared_engine.address, "bob", "battery")


@pytest.fixture(scope="module")
def adas_code(
    shared_engine: EngineHome, ada: PublishedClient, tmp_path_factory: pytest.TempPathFactory
) -> Code:
    return Code(shared_engine, ada, tmp_path_factory.mktemp("project") / "code")


@pytest.fixture
def code(adas_code: Code) -> Iterator[Code]:
    """Code whose repository is whole after the test, with nothing left lying about."""
    yield adas_code
    adas_code.git("fsck", "--full", "--strict")
    assert not list(adas_code.repository.glob("objects/tmp_*"))
    assert not list(adas_code.repository.glob("tmp_*"))


def post(
    code: Code, commit: str, body: bytes, client: PublishedClient | None = None
) -> requests.Response:
    fields = {"algorithm_id": code.algorithm, "checkout_sha": commit}
    data, kind = encode_file(fields, body)
    return requests.post(
        f"{code.client.address}/api/resource/push_pack",
        data=data,
        headers={
            "Authorization": f"Bearer {(client or code.client).token}",
            "Content-Type": kind,
        },
        timeout=30,
    )


def made(*entries: Entry) -> tuple[str, bytes, tuple[tuple[int, bytes], ...]]:
    """Make a commit of one tree of (mode, name, content): its id, tree, and all objects."""
    tree = b"".join(
        mode + b" " + name + b"\0" + name_of("blob", data) for mode, name, data in entries
    )
    commit = commit_of(name_of("tree", tree))
    objects = (*((3, data) for _, _, data in entries), (2, tree), (1, commit))
    return name_of("commit", commit).hex(), tree, objects


def objects_of(code: Code) -> set[str]:
    found = code.repository.glob("objects/**/*")
    return {path.relative_to(code.repository).as_posix() for path in found if path.is_file()}


def test_a_pack_makes_the_branch_and_the_code_ready(code: Code) -> None:
    commit, _, objects = made((b"100644", b"main.py", b"print(1)\n"))

    for _ in range(2):  # sending it twice is sending it once
        answer = post(code, commit, pack(*objects))
        assert answer.status_code == 200, answer.text
        found = answer.json()
        check_shape(found, {"data": str, "message": str, "algorithm": dict})
        assert found["algorithm"]["id"] == code.algorithm
        assert found["algorithm"]["state"] == ResourceState.READY
    assert code.git("rev-parse", f"snapshot-{commit[:12]}").stdout.strip() == commit
    assert code.git("show", f"{commit}:main.py").stdout == "print(1)\n"


def test_a_pack_may_build_on_what_is_there(code: Code) -> None:
    _, _, objects = made((b"100644", b"a.py", b"there\n"), (b"100644", b"b.py", b"old\n"))
    commit, _, more = made((b"100644", b"a.py", b"there\n"), (b"100644", b"b.py", b"new\n"))
    first, *_ = made((b"100644", b"a.py", b"there\n"), (b"100644", b"b.py", b"old\n"))
    assert post(code, first, pack(*objects)).status_code == 200

    assert post(code, commit, pack(*more[1:])).status_code == 200
    assert code.git("show", f"{commit}:a.py").stdout == "there\n"


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_pack_that_lacks_something_leaves_nothing(code: Code, missing: int) -> None:
    commit, _, objects = made((b"100644", b"x.py", f"lacks {missing}\n".encode()))
    refs, before = code.refs, objects_of(code)
    kept = objects[:missing] + objects[missing + 1 :]

    check_error(post(code, commit, pack(*kept)), 409)

    assert code.refs == refs
    left = objects_of(code) - before
    # Without the commit alone, what came is whole in itself, and nothing leads to it.
    assert not left or missing == 2
    code.client.refused(
        409, "POST", "resource/sync_finish", algorithm_id=code.algorithm, checkout_sha=commit
    )


@pytest.mark.parametrize(
    "entries",
    [
        [(b"100644", b".git", b"p")],
        [(b"100644", b".GIT", b"p")],
        [(b"100644", b"..", b"p")],
        [(b"100644", b".", b"p")],
        [(b"100644", b"a/b", b"p")],
        [(b"100644", b"git~1", b"p")],
        [(b"100644", ".g\u200cit".encode(), b"p")],
        [(b"120000", b".gitmodules", b"/etc/passwd?")],
        [(b"100644", b"a", b"p"), (b"100644", b"a", b"q")],
        [(b"100644", b".gitmodules", b'[submodule "../../bad"]\n\tpath = x\n\turl = --bad\n')],
    ],
)
def test_a_tree_that_would_hurt_at_its_checkout_is_refused(
    code: Code, entries: list[Entry]
) -> None:
    commit, _, objects = made(*entries)
    refs, before = code.refs, objects_of(code)

    check_error(post(code, commit, pack(*objects)), 409)

    assert code.refs == refs
    assert objects_of(code) == before


@pytest.mark.parametrize(
    "body",
    [
        b"", b"PACK", b"\0" * 1000, b"PACK" + b"\xff" * 100, pack((3, b"x"))[:-4],
        pack((3, b"x"))[:-1] + b"\0", pack(*((3, b"%d" % n) for n in range(101))),
        b"PACK" + struct.pack(">II", 2, 100) + pack()[12:], b"PACK" + struct.pack(">II", 3, 0),
        pack((3, os.urandom(1 << 20))),
    ],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_pack_for_this_way_changes_nothing(code: Code, body: bytes) -> None:
    refs, before = code.refs, objects_of(code)

    check_error(post(code, "f" * 40, body), 409, 413)

    assert code.refs == refs
    assert objects_of(code) == before


def test_a_branch_is_never_overwritten(code: Code) -> None:
    commit, _, objects = made((b"100644", b"main.py", b"print('taken')\n"))
    branch = f"refs/heads/snapshot-{commit[:12]}"
    code.git("update-ref", branch, code.commit)
    for packed in (False, True):
        if packed:
            code.git("pack-refs", "--all")
        assert "another commit" in check_error(post(code, commit, pack(*objects)), 409)
        assert code.git("rev-parse", branch).stdout.strip() == code.commit
    code.git("update-ref", "-d", branch)


def test_it_is_for_the_algorithm_s_own_user_and_a_whole_commit(
    code: Code, bob: PublishedClient
) -> None:
    commit, tree, objects = made((b"100644", b"main.py", b"print('bob')\n"))
    refs, before = code.refs, objects_of(code)

    check_error(post(code, commit, pack(*objects), client=bob), 404)
    for wrong in ("", "HEAD", commit[:39], "../../config", commit.upper()):
        check_error(post(code, wrong, pack(*objects)), 400)
    assert (code.refs, objects_of(code)) == (refs, before)
    # A tree's id is no commit's.
    check_error(post(code, name_of("tree", tree).hex(), pack(*objects)), 409)
    assert code.refs == refs


def test_git_itself_goes_on_from_there(code: Code, tmp_path: Path) -> None:
    commit, _, objects = made((b"100644", b"main.py", b"print('clone')\n"))
    assert post(code, commit, pack(*objects)).status_code == 200

    address = code.address.replace("://", "://ada:lovelace@")
    words = ["git", "clone", "-q", "-b", f"snapshot-{commit[:12]}", address, tmp_path / "clone"]
    subprocess.run(words, check=True, capture_output=True)
    assert (tmp_path / "clone" / "main.py").read_text() == "print('clone')\n"
