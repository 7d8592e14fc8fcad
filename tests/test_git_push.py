"""Pushing by git's own protocol, against git's own http-backend; and against servers that lie."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.client.connection import Connection
from anylearn_jupyter.client.git_push import (
    check_report,
    packet,
    packet_lines,
    push,
    read_advertisement,
)
from anylearn_jupyter.errors import (
    Conflict,
    Denied,
    LoginRequired,
    ServerError,
    ServerUnreachable,
    UnexpectedAnswer,
)
from faulty_server import Request, reply
from scripted_api import Cut, Routes, connection_to, scripted

REF = "refs/heads/snapshot-1"
BEARER: Routes = {"GET capabilities": {"features": {"git_bearer": {}}}}


def git(*words: str, cwd: Path, stdin: bytes = b"") -> bytes:
    """Run git without anyone's configuration."""
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        **{
            f"GIT_{who}_{what}": "x"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }
    done = subprocess.run(
        ["git", *words], cwd=cwd, input=stdin, capture_output=True, env=environment, check=True
    )
    return done.stdout


class Local:
    """A repository with commits to push."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        git("init", "-q", cwd=path)
        self.packed_against: list[set[str]] = []

    def commit(self, text: str) -> str:
        (self.path / "train.py").write_text(text)
        git("add", "-A", cwd=self.path)
        tree = git("write-tree", cwd=self.path).decode().strip()
        return git("commit-tree", "-m", "snapshot", tree, cwd=self.path).decode().strip()

    def packer(self, commit: str) -> Callable[[set[str]], Iterator[bytes]]:
        def make_pack(have: set[str]) -> Iterator[bytes]:
            self.packed_against.append(have)
            known = {
                name
                for name in have
                if subprocess.run(["git", "cat-file", "-e", name], cwd=self.path, check=False,
                                  capture_output=True).returncode == 0
            }  # fmt: skip
            wanted = "\n".join([commit, *(f"^{name}" for name in known)]) + "\n"
            yield git(
                "pack-objects", "--stdout", "--revs", "-q", cwd=self.path, stdin=wanted.encode()
            )

        return make_pack


class Remote:
    """git's own http-backend behind the scripted server."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = root / "ada" / "algo.git"
        self.repository.mkdir(parents=True)
        git("init", "-q", "--bare", cwd=self.repository)
        git("config", "http.receivepack", "true", cwd=self.repository)
        git("config", "receive.fsckObjects", "true", cwd=self.repository)
        self.before: list[Any] = []
        self.after: list[Any] = []

    def answer(self, request: Request) -> Any:
        post = request.method == "POST"
        if post and self.before and (found := self.before.pop(0)):
            raise found
        done = subprocess.run(
            ["git", "http-backend"],
            input=request.body,
            capture_output=True,
            check=True,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(self.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": request.method,
                "PATH_INFO": request.path,
                "QUERY_STRING": request.target.partition("?")[2],
                "CONTENT_TYPE": request.headers.get("content-type", ""),
                "REMOTE_USER": "ada",
            },
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        if post and self.after and (found := self.after.pop(0)):
            raise found
        return reply(body, status, content_type=headers["Content-Type"])

    def routes(self) -> Routes:
        path = "/ada/algo.git"
        return {
            **BEARER,
            f"GET {path}/info/refs": self.answer,
            f"POST {path}/git-receive-pack": self.answer,
        }

    def refs(self) -> dict[str, str]:
        listed = git("for-each-ref", "--format=%(refname) %(objectname)", cwd=self.repository)
        return dict(line.split(" ") for line in listed.decode().splitlines())


@pytest.fixture
def local(tmp_path: Path) -> Local:
    assert shutil.which("git"), "git is needed"
    return Local(tmp_path / "local")


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path / "remote")


def address_of(connection: Connection) -> str:
    return f"{connection.address}/ada/algo.git"


def test_a_commit_arrives_in_an_empty_repository_once(local: Local, remote: Remote) -> None:
    commit = local.commit("print(1)\n")
    with scripted(remote.routes()) as (api, server):
        connection = connection_to(api)
        push(connection, address_of(connection), REF, commit, local.packer(commit))
        assert remote.refs() == {REF: commit}
        push(connection, address_of(connection), REF, commit, local.packer(commit))
        posts = [path for path in server.paths() if path.startswith("POST")]
        assert len(posts) == 1
        assert all(
            request.headers["authorization"] == "Bearer t" for request in server.requests[1:]
        )
        assert server.connections == 1
    assert git("fsck", "--strict", cwd=remote.repository) == b""


def test_a_second_commit_is_packed_against_what_the_server_has(
    local: Local, remote: Remote
) -> None:
    first, second = local.commit("print(1)\n"), local.commit("print(2)\n")
    with scripted(remote.routes()) as (api, _):
        connection = connection_to(api)
        push(connection, address_of(connection), REF, first, local.packer(first))
        push(connection, address_of(connection), f"{REF}2", second, local.packer(second))
        # The same commit under another name: an empty pack.
        push(connection, address_of(connection), f"{REF}3", second, local.packer(second))
    assert remote.refs() == {REF: first, f"{REF}2": second, f"{REF}3": second}
    assert local.packed_against == [set(), {first}, {first, second}]


def test_a_branch_with_another_commit_is_never_overwritten(local: Local, remote: Remote) -> None:
    first, second = local.commit("print(1)\n"), local.commit("print(2)\n")
    with scripted(remote.routes()) as (api, _):
        connection = connection_to(api)
        push(connection, address_of(connection), REF, first, local.packer(first))
        with pytest.raises(Conflict, match="never overwritten"):
            push(connection, address_of(connection), REF, second, local.packer(second))
    assert remote.refs() == {REF: first}


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_lost_answer_is_resolved_by_looking(local: Local, remote: Remote, moment: str) -> None:
    """A8: cut before git saw the pack, or after it had made the branch."""
    commit = local.commit("print(1)\n")
    getattr(remote, moment).append(Cut)
    with scripted(remote.routes()) as (api, server):
        connection = connection_to(api)
        push(connection, address_of(connection), REF, commit, local.packer(commit))
        posts = [path for path in server.paths() if path.startswith("POST")]
        assert len(posts) == (2 if moment == "before" else 1)
    assert remote.refs() == {REF: commit}


def test_it_does_not_try_for_ever(local: Local, remote: Remote) -> None:
    commit = local.commit("print(1)\n")
    remote.before = [Cut] * 10
    with scripted(remote.routes()) as (api, _):
        connection = connection_to(api)
        with pytest.raises(ServerUnreachable):
            push(connection, address_of(connection), REF, commit, local.packer(commit))
    assert len(local.packed_against) == 3


def test_a_broken_pack_is_refused_with_gits_own_reason(local: Local, remote: Remote) -> None:
    commit = local.commit("print(1)\n")

    def broken(have: set[str]) -> Iterator[bytes]:
        whole = b"".join(local.packer(commit)(have))
        yield whole[:-30] + b"x" * 30

    with scripted(remote.routes()) as (api, _):
        connection = connection_to(api)
        with pytest.raises(ServerError, match=r"cannot unpack|refused the branch"):
            push(connection, address_of(connection), REF, commit, broken)
    assert remote.refs() == {}


def test_a_hook_that_declines_is_quoted(local: Local, remote: Remote) -> None:
    hook = remote.repository / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    commit = local.commit("print(1)\n")
    with scripted(remote.routes()) as (api, _):
        connection = connection_to(api)
        with pytest.raises(ServerError, match="hook declined"):
            push(connection, address_of(connection), REF, commit, local.packer(commit))


def test_without_git_bearer_name_and_password_are_used(local: Local, remote: Remote) -> None:
    commit = local.commit("print(1)\n")
    routes = {**remote.routes(), "GET capabilities": None}
    with scripted(routes) as (api, server):
        connection = connection_to(api)
        assert connection.git_auth() is None
        with pytest.raises(LoginRequired, match="%anylearn_login"):
            push(connection, address_of(connection), REF, commit, local.packer(commit))
        connection = connection_to(api, password="a:b/c")
        push(connection, address_of(connection), REF, commit, local.packer(commit))
        assert server.requests[-1].headers["authorization"].startswith("Basic ")
        assert "a:b/c" not in repr(connection)
    assert remote.refs() == {REF: commit}


def test_the_token_goes_to_no_other_host(local: Local, remote: Remote) -> None:
    commit = local.commit("print(1)\n")
    with scripted(remote.routes()) as (_, elsewhere), scripted(BEARER) as (api, _):
        connection = connection_to(api)
        with pytest.raises(UnexpectedAnswer, match="is not sent there"):
            push(connection, f"{elsewhere.address}/ada/algo.git", REF, commit, local.packer(commit))
        assert not elsewhere.requests


@pytest.mark.parametrize("status", [302, 401, 403])
def test_refusals_before_the_push(local: Local, status: int) -> None:
    commit = local.commit("print(1)\n")
    routes = {**BEARER, "GET /x.git/info/refs": (status, {"msg": "no"})}
    kinds = {302: UnexpectedAnswer, 401: LoginRequired, 403: Denied}
    with scripted(routes) as (api, _):
        connection = connection_to(api)
        with pytest.raises(kinds[status]):
            push(connection, f"{connection.address}/x.git", REF, commit, local.packer(commit))


def test_a_pack_that_cannot_be_made_is_the_callers_error(local: Local, remote: Remote) -> None:
    commit = local.commit("print(1)\n")

    def failing(have: set[str]) -> Iterator[bytes]:
        yield b"PACK"
        raise RuntimeError("object is gone")

    with scripted(remote.routes()) as (api, _):
        connection = connection_to(api)
        with pytest.raises(RuntimeError, match="object is gone"):
            push(connection, address_of(connection), REF, commit, failing)
        assert threading.active_count() < 20
    assert remote.refs() == {}


COMMIT = "a" * 40


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"0004",
        packet(b"# service=git-upload-pack\n") + b"0000",
        packet(b"# service=git-receive-pack\n") + b"0000" + b"00ff" + b"short",
        packet(b"# service=git-receive-pack\n") + b"0000" + packet(b"nonsense"),
        packet(b"# service=git-receive-pack\n")
        + b"0000"
        + packet(f"{COMMIT} {REF}\0object-format=sha256".encode()),
    ],
)
def test_an_answer_that_is_no_advertisement_is_unexpected(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        read_advertisement(body)


def test_hidden_objects_are_had_and_no_branches() -> None:
    body = (
        packet(b"# service=git-receive-pack\n")
        + b"0000"
        + packet(f"{COMMIT} {REF}\0report-status side-band-64k\n".encode())
        + packet(f"{'b' * 40} .have\n".encode())
        + b"0000"
    )
    found = read_advertisement(body)
    assert found.refs == {REF: COMMIT}
    assert found.have == {COMMIT, "b" * 40}
    assert "report-status" in found.capabilities


def test_a_report_may_come_in_a_side_band() -> None:
    inner = packet(b"unpack ok\n") + packet(f"ok {REF}\n".encode()) + b"0000"
    banded = packet(b"\x02remote: hello\n") + packet(b"\x01" + inner[:9])
    check_report(banded + packet(b"\x01" + inner[9:]) + b"0000", REF)
    check_report(inner, REF)
    with pytest.raises(ServerError, match="too much"):
        check_report(packet(b"\x03fatal: too much\n"), REF)
    with pytest.raises(ServerError, match="disk is full"):
        check_report(packet(b"unpack disk is full\n"), REF)
    with pytest.raises(UnexpectedAnswer):
        check_report(packet(b"unpack ok\n") + packet(b"ok refs/heads/other\n"), REF)
    assert list(packet_lines(b"0000")) == [None]
