"""What git over HTTP does not let happen (faults G5, G6, E7), by git itself and by hand."""

from __future__ import annotations

import gzip
import hashlib
import os
import socket
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from engine_home import EngineHome, own_engine, shared_engine
from published import Checkout, PublishedClient
from waiting import wait_until

__all__ = ["own_engine", "shared_engine"]

ZERO = "0" * 40


@pytest.fixture(scope="module")
def ada(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("ada", "lovelace")
    return PublishedClient.login(shared_engine.address, "ada", "lovelace")


@pytest.fixture(scope="module")
def bob(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("bob", "battery")
    return PublishedClient.login(shared_engine.address, "bob", "battery")


class Code:
    """Ada's code, and the repository that it was pushed to."""

    def __init__(self, engine: EngineHome, client: PublishedClient, directory: Path) -> None:
        name = f"code-{directory.parent.name}"
        self.client = client
        self.algorithm, self.commit = client.send_code(name, directory, {"main.py": "1"})
        self.address = str(client.one("algorithm/query", id=self.algorithm)["git_address"])
        self.repository = engine.home.engine / "git" / client.name / f"{name}.git"
        self.directory = directory

    def git(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run git in the engine's repository, as an auditor."""
        return subprocess.run(
            ["git", f"--git-dir={self.repository}", *words],
            env={"PATH": os.environ["PATH"], "HOME": "/nowhere", **variables},
            capture_output=True,
            text=True,
            check=True,
        )

    @property
    def refs(self) -> str:
        return self.git("for-each-ref").stdout

    def post(
        self,
        service: str,
        body: bytes | Iterator[bytes],
        *,
        client: PublishedClient | None = None,
        **headers: str,
    ) -> requests.Response:
        """Send one raw request of the smart protocol."""
        return requests.post(
            f"{self.address}/{service}",
            data=body,
            headers={
                "Authorization": f"Bearer {(client or self.client).token}",
                "Content-Type": f"application/x-{service}-request",
                **{name.replace("_", "-"): value for name, value in headers.items()},
            },
            timeout=30,
        )


@pytest.fixture(scope="module")
def adas_code(
    shared_engine: EngineHome, ada: PublishedClient, tmp_path_factory: pytest.TempPathFactory
) -> Code:
    return Code(shared_engine, ada, tmp_path_factory.mktemp("project") / "code")


@pytest.fixture
def code(adas_code: Code) -> Iterator[Code]:
    """Code whose repository is whole after the test."""
    yield adas_code
    adas_code.git("fsck", "--full", "--strict")
    assert not list(adas_code.repository.glob("hooks/*"))


def packet(text: str) -> bytes:
    return f"{len(text) + 4:04x}{text}".encode()


def command(old: str, new: str, ref: str) -> bytes:
    return packet(f"{old} {new} {ref}\0report-status") + b"0000"


def pack(*objects: tuple[int, bytes]) -> bytes:
    """Pack objects: (type, content); 1 is a commit, 2 a tree, 3 a blob."""
    body = b"PACK" + struct.pack(">II", 2, len(objects))
    for kind, data in objects:
        size = len(data)
        byte = kind << 4 | size & 15
        size >>= 4
        head = b""
        while size:
            head += bytes([byte | 128])
            byte, size = size & 127, size >> 7
        body += head + bytes([byte]) + zlib.compress(data)
    return body + hashlib.sha1(body).digest()


def name_of(kind: str, data: bytes) -> bytes:
    return hashlib.sha1(f"{kind} {len(data)}\0".encode() + data).digest()


def commit_of(tree: bytes) -> bytes:
    who = b"t <t@t> 1000000000 +0000"
    return b"tree %s\nauthor %s\ncommitter %s\n\nx\n" % (tree.hex().encode(), who, who)


def push_tree(
    code: Code, *entries: tuple[bytes, bytes, bytes], ref: str = "refs/heads/evil"
) -> tuple[requests.Response, str]:
    """Push a commit of one tree of (mode, name, content) that no git would make."""
    blobs = [(3, data) for _, _, data in entries]
    tree = b"".join(
        mode + b" " + name + b"\0" + name_of("blob", data) for mode, name, data in entries
    )
    commit = commit_of(name_of("tree", tree))
    identity = name_of("commit", commit).hex()
    body = command(ZERO, identity, ref) + pack(*blobs, (2, tree), (1, commit))
    return code.post("git-receive-pack", body), identity


# Whose repository.


def test_nobody_pushes_to_or_reads_anothers_repository(
    code: Code, bob: PublishedClient, tmp_path: Path
) -> None:
    before = code.refs
    other = Checkout(tmp_path / "other")
    other.commit({"evil.py": "1"})

    for words in (("fetch", "-q"), ("push", "-q", "--force")):
        address = code.address.replace("://", "://bob:battery@")
        found = other.git(*words, address, "HEAD:refs/heads/evil", check=False)
        assert found.returncode != 0
        assert "403" in found.stderr
    for service in ("git-upload-pack", "git-receive-pack"):
        assert code.post(service, b"0000", client=bob).status_code == 403
    assert code.refs == before


def test_an_algorithm_that_is_not_there_has_no_repository(code: Code, ada: PublishedClient) -> None:
    for name in ("nothing", ".no-hooks", "..", "%2e%2e", code.algorithm):
        answer = requests.get(
            f"{ada.address}/git/ada/{name}.git/info/refs?service=git-receive-pack",
            headers={"Authorization": f"Bearer {ada.token}"},
            timeout=10,
        )
        assert answer.status_code == 404


# What is done to it.


def test_nothing_is_deleted_by_a_push(code: Code, tmp_path: Path) -> None:
    before = code.refs
    checkout = Checkout(tmp_path / "again")
    checkout.commit({"b": "1"})
    address = code.address.replace("://", "://ada:lovelace@")

    found = checkout.git("push", "-q", address, ":refs/heads/main", check=False)

    assert found.returncode != 0
    assert "deletion" in found.stderr
    answer = code.post("git-receive-pack", command(code.commit, ZERO, "refs/heads/main"))
    assert b"ng refs/heads/main deletion prohibited" in answer.content
    assert code.refs == before


@pytest.mark.parametrize(
    "ref",
    [
        "HEAD", "config", "../config", "refs/heads/../../config", "refs/heads/..",
        "refs/heads/a.lock", "refs/heads/a b", "objects/info/alternates", "hooks/post-receive",
        "refs/heads/a\nb", "refs/../hooks/update", "refs/heads/a~1", "refs/heads/.a", "@{0}",
    ],
)  # fmt: skip
def test_a_reference_is_below_refs_and_well_formed(code: Code, ref: str) -> None:
    before, config = code.refs, (code.repository / "config").read_bytes()

    answer = code.post("git-receive-pack", command(ZERO, code.commit, ref) + pack())

    assert b"ok refs" not in answer.content
    assert code.refs == before
    well = f"refs/heads/well-{abs(hash(ref))}"
    answer = code.post("git-receive-pack", command(ZERO, code.commit, well) + pack())
    assert f"ok {well}".encode() in answer.content
    assert (code.repository / "config").read_bytes() == config


@pytest.mark.parametrize(
    "entries",
    [
        [(b"100644", b".git", b"x")],
        [(b"100644", b".GIT", b"x")],
        [(b"100644", b"..", b"x")],
        [(b"100644", b".", b"x")],
        [(b"100644", b"a/b", b"x")],
        [(b"100644", b"git~1", b"x")],
        [(b"100644", ".g\u200cit".encode(), b"x")],
        [(b"120000", b".gitmodules", b"/etc/passwd")],
        [(b"100644", b"a", b"x"), (b"100644", b"a", b"y")],
        [(b"100644", b".gitmodules", b'[submodule "../../evil"]\n\tpath = x\n\turl = --evil\n')],
    ],
)
def test_a_tree_that_would_hurt_at_its_checkout_is_refused(
    code: Code, entries: list[tuple[bytes, bytes, bytes]]
) -> None:
    before = code.refs

    answer, identity = push_tree(code, *entries)

    assert b"ng refs/heads/evil" in answer.content, answer.content
    assert code.refs == before
    words = code.client.refused(
        409, "POST", "resource/sync_finish", algorithm_id=code.algorithm, checkout_sha=identity
    )
    assert identity in words


def test_a_link_out_of_the_tree_and_hooks_in_it_are_only_files(
    code: Code, ada: PublishedClient
) -> None:
    answer, identity = push_tree(
        code, (b"100644", b".gitattributes", b"* filter=evil\n"),
        (b"120000", b"link", b"/etc/passwd"), (b"100755", b"post-receive", b"#!/bin/sh\ntouch x"),
        ref="refs/heads/links",
    )  # fmt: skip
    assert b"ok refs/heads/links" in answer.content
    ada.call("POST", "resource/sync_finish", algorithm_id=code.algorithm, checkout_sha=identity)

    packed = ada.call("POST", "resource/compression", file_id=code.algorithm)["data"]
    fields = {"file_id": code.algorithm, "compression_id": packed}
    wait_until(lambda: ada.one("resource/compression", **fields)["state"] == 2, 20, "it is packed")
    assert b"root:" not in ada.ask("GET", "resource/download", **fields).content


@pytest.mark.parametrize(
    "body",
    [
        b"", b"0000", b"zzzz", b"ffff" * 100, b"\0" * 1000, b"0004", b"0001", b"PACK" + b"\0" * 50,
        command(ZERO, "f" * 40, "refs/heads/evil"),
        command(ZERO, "f" * 40, "refs/heads/evil") + b"PACK" + b"\xff" * 100,
        command(ZERO, "f" * 40, "refs/heads/evil") + pack((3, b"x"))[:-4],
        command(ZERO, "f" * 40, "refs/heads/evil") + pack((3, b"x")),
        packet(f"{ZERO} {'f' * 40} refs/heads/evil\0push-options") + b"0000" + packet("x=y"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("service", ["git-receive-pack", "git-upload-pack"])
def test_bodies_that_are_no_push_change_nothing(code: Code, service: str, body: bytes) -> None:
    before = code.refs

    answer = code.post(service, body)

    assert answer.status_code in (200, 400, 403, 500)
    assert b"ok refs" not in answer.content
    assert code.refs == before


def test_a_compressed_request_is_understood_and_a_bomb_is_not_swallowed(code: Code) -> None:
    want = packet(f"want {code.commit}\n") + b"0000" + packet("done\n")

    answer = code.post("git-upload-pack", gzip.compress(want), Content_Encoding="gzip")
    assert answer.status_code == 200
    assert b"PACK" in answer.content

    bomb = gzip.compress(b"0" * (64 << 20))
    answer = code.post("git-upload-pack", bomb, Content_Encoding="gzip")
    assert b"PACK" not in answer.content
    assert code.client.call("GET", "mirror/list")


@pytest.mark.parametrize(
    ("method", "rest", "status"),
    [
        ("GET", "info/refs", 403),
        ("GET", "info/refs?service=git-upload-archive", 403),
        ("GET", "info/refs?service=../../x", 403),
        ("GET", "info/refs?service=git-upload-pack&service=git-receive-pack", 403),
        ("POST", "info/refs?service=git-upload-pack", 405),
        ("GET", "git-upload-pack", 405),
        ("DELETE", "git-receive-pack", 405),
        ("POST", "git-upload-archive", 404),
        ("GET", "HEAD", 404),
        ("GET", "config", 404),
        ("GET", "objects/info/packs", 404),
        ("GET", "info/refs/../../config", 404),
        ("GET", "info//refs?service=git-upload-pack", 404),
    ],
)
def test_only_three_requests_are_served(code: Code, method: str, rest: str, status: int) -> None:
    prepared = requests.Request(
        method,
        code.address,
        headers={
            "Authorization": f"Bearer {code.client.token}",
            "Content-Type": "application/x-git-upload-pack-request",
        },
    ).prepare()
    prepared.url = f"{code.address}/{rest}"
    with requests.Session() as session:
        assert session.send(prepared, timeout=10).status_code == status


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_a_push_has_gits_own_content_type(code: Code, kind: str) -> None:
    answer = code.post("git-receive-pack", b"0000", Content_Type=kind)

    assert answer.status_code == 415


@pytest.mark.parametrize(
    "version", ["version=2", "version=1", "version=99", "version=2:x=$(touch x)", "x" * 4000]
)
def test_what_reaches_git_as_a_protocol_is_a_version(code: Code, version: str) -> None:
    answer = requests.get(
        f"{code.address}/info/refs?service=git-upload-pack",
        headers={"Authorization": f"Bearer {code.client.token}", "Git-Protocol": version},
        timeout=10,
    )

    assert answer.status_code == 200
    assert (b"version 2" in answer.content) == (version == "version=2")


def test_gits_variables_of_whoever_started_the_engine_count_for_nothing(
    own_engine: EngineHome, tmp_path: Path
) -> None:
    """A notebook that was started from a hook has them (E7)."""
    planted = tmp_path / "planted"
    config = tmp_path / "config"
    config.write_text(f"[core]\n\tfsmonitor = touch {planted}\n\thooksPath = {tmp_path}\n")
    hook = tmp_path / "post-receive"
    hook.write_text(f"#!/bin/sh\ntouch {planted}\n")
    hook.chmod(0o755)
    variables = {
        "GIT_DIR": str(tmp_path / "nowhere"), "GIT_INDEX_FILE": str(tmp_path / "index"),
        "GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.hooksPath", "GIT_CONFIG_VALUE_0": str(tmp_path),
        "GIT_TEMPLATE_DIR": str(tmp_path),
    }  # fmt: skip
    own_engine.extra = variables
    own_engine.start()
    own_engine.add_user("ada", "lovelace")
    client = PublishedClient.login(own_engine.address, "ada", "lovelace")

    algorithm, _ = client.send_code("code", tmp_path / "code", {"main.py": "1"})

    assert client.one("algorithm/query", id=algorithm)["state"] == 3
    assert not planted.exists()


def test_a_push_that_is_cut_changes_nothing_and_leaves_no_process(
    shared_engine: EngineHome, code: Code
) -> None:
    """The engine's git ends with the connection (A8)."""
    before = code.refs
    noise = os.urandom(300_000)
    body = command(ZERO, "f" * 40, "refs/heads/evil") + pack((3, noise))

    def gits() -> list[str]:
        found = subprocess.run(
            ["ps", "-o", "args=", "--ppid", str(shared_engine.pid)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return [line for line in found.stdout.splitlines() if "git" in line]

    path = code.address.partition(f":{shared_engine.port}")[2]
    with socket.create_connection(("127.0.0.1", shared_engine.port), timeout=10) as connection:
        connection.sendall(
            f"POST {path}/git-receive-pack HTTP/1.1\r\nHost: 127.0.0.1:{shared_engine.port}\r\n"
            f"Authorization: Bearer {code.client.token}\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/x-git-receive-pack-request\r\n\r\n".encode()
            + body[:100_000]
        )
        wait_until(gits, 10, "git is at work")

    wait_until(lambda: not gits(), 10, "git has ended")
    assert code.refs == before
    assert not list(code.repository.glob("objects/incoming-*"))
