"""What a repository or the user's git configures cannot see a credential of ours (faults E9, G8).

Every program that git may be told to run is a thief, which writes down its arguments, variables and
input; every address that git may be told to use instead is a server that keeps what arrives; and a
git in front of the real one writes down what *we* tell git.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from anylearn_jupyter.client.connection import connect, disconnect
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.planning import plan
from anylearn_jupyter.submit.request import DataInput, TrainRequest
from engine_home import EngineHome, own_engine
from faulty_server import FaultyServer, faulty_server, reply
from repository_states import HOOKS, a_repository, git, write

__all__ = ["own_engine"]

PASSWORD = "canary-password-4711"
PROGRAMS = (
    *("core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "core.askPass"),
    *("core.gitProxy", "core.alternateRefsCommand", "credential.helper", "gpg.program"),
    *("filter.thief.clean", "filter.thief.smudge", "filter.thief.process", "diff.external"),
    *("diff.thief.textconv", "merge.thief.driver", "uploadpack.packObjectsHook", "pager.push"),
    *("remote.anylearn.receivepack", "remote.anylearn.uploadpack", "sequence.editor"),
)


@dataclass
class Thieves:
    """What a test sees of them."""

    loot: Path
    server: FaultyServer
    told_git: Path

    def everything(self) -> bytes:
        loot = self.loot.read_bytes() if self.loot.exists() else b""
        return loot + bytes(self.server.received)


@pytest.fixture
def thieves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Thieves]:
    """Put a git that writes down what it is told in front of the real one."""
    real = shutil.which("git")
    told = tmp_path / "told-git"
    wrapper = write(
        tmp_path / "bin" / "git",
        f'#!/bin/sh\n{{ echo "$@"; env; echo; }} >> {told}\nexec {real} "$@"\n',
    )
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    with faulty_server(lambda request, wire: wire.sendall(reply({}, 404))) as server:
        yield Thieves(tmp_path / "loot", server, told)


def set_thieves(repository: Path, thieves: Thieves) -> None:
    """Let a repository's configuration, its hooks, and the user's configuration steal."""
    steal = f'#!/bin/sh\n{{ echo "$0 $@"; env; timeout 1 cat; }} >> {thieves.loot} 2>&1\n'
    thief = write(repository / ".git" / "thief", steal)
    thief.chmod(0o755)
    for name in HOOKS:
        write(repository / ".git" / "hooks" / name, steal).chmod(0o755)
    write(repository / ".gitattributes", "* filter=thief diff=thief merge=thief\n")
    address = thieves.server.address
    settings = [(key, str(thief)) for key in PROGRAMS] + [
        ("core.hooksPath", str(repository / ".git" / "hooks")),
        ("filter.thief.required", "true"),
        ("commit.gpgSign", "true"),
        ("push.gpgSign", "true"),
        (f"url.{address}/.insteadOf", "http://127.0.0.1:"),
        (f"url.{address}/push/.pushInsteadOf", "http://127.0.0.1:"),
        ("http.proxy", address),
        ("http.sslVerify", "false"),
        ("http.followRedirects", "true"),
        ("http.cookieFile", str(thieves.loot)),
        ("http.saveCookies", "true"),
        ("remote.anylearn.url", f"{address}/remote.git"),
        ("remote.anylearn.proxy", address),
        ("remote.pushDefault", "anylearn"),
    ]
    for key, value in settings:
        git(repository, "config", key, value)
    # What only a user's own configuration may ask for.
    text = (repository / ".git" / "config").read_text(encoding="utf-8")
    traces = "".join(
        f"[trace2]\n\t{name} = {thieves.loot}\n"
        for name in ("normalTarget", "eventTarget", "perfTarget")
    )
    write(repository.parent / "user" / ".gitconfig", f"{text}{traces}\tenvVars = *\n")


@pytest.fixture
def stealing(tmp_path: Path, thieves: Thieves) -> Path:
    """Make a code directory whose git steals, with an edit that is not committed and data."""
    code = a_repository(tmp_path / "code")
    write(code / "numbers" / "a.txt", "1\n")
    set_thieves(code, thieves)
    write(code / "train.py", "print('edited')\n")
    thieves.loot.unlink(missing_ok=True)
    return code


def secrets_of(home: Home) -> list[str]:
    """Give every credential that is on this machine."""
    found = [PASSWORD, home.token.read_text(encoding="ascii").strip()]
    if home.credentials.exists():
        parts = home.credentials.read_text(encoding="utf-8").split('"')
        found += [part for part in parts if len(part) > 30 and "/" not in part]
    return found


@pytest.mark.parametrize("login", ["the engine's own", "a name and a password"])
def test_no_program_and_no_address_that_git_is_told_of_gets_a_credential(
    login: str,
    stealing: Path,
    thieves: Thieves,
    own_engine: EngineHome,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    own_engine.start()
    disconnect()
    if login != "the engine's own":
        own_engine.add_user("ada", PASSWORD)
        connect(own_engine.address, username="ada", password=PASSWORD)
    request = TrainRequest(
        entrypoint="python train.py",
        algorithm_dir=stealing,
        data=(DataInput("data", path=stealing / "numbers"),),
        working_dir=stealing,
    )

    plan(request)
    made = submit(request)
    ended = made.task.wait(60)
    made.task.results()
    disconnect()

    secrets = secrets_of(own_engine.home)
    assert ended.phase == "succeeded", made.task.log_text()
    assert made.task.facts is not None
    assert made.task.facts.code_sent, "the code went by git"
    assert not thieves.loot.exists(), "no program of the user's was even run"
    assert thieves.server.connections == 0
    told = thieves.told_git.read_text(encoding="utf-8", errors="replace")
    assert told, "git took part"
    for secret in secrets:
        assert secret not in told, "git was given a credential"
        assert secret not in caplog.text
        for path in stealing.rglob("*"):
            assert not path.is_file() or secret.encode() not in path.read_bytes(), path
    for path in own_engine.home.snapshots.rglob("*"):
        assert not path.is_file() or not any(one.encode() in path.read_bytes() for one in secrets)


def test_the_thieves_are_good_at_it(stealing: Path, thieves: Thieves) -> None:
    """Git as it comes, with a credential, is robbed: so that getting nothing means something."""
    bearer = "Authorization: Bearer canary-bearer-4711"
    subprocess.run(
        ["git", "-c", f"http.extraHeader={bearer}", "push", "http://127.0.0.1:1/a.git", "main"],
        cwd=stealing, capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert b"canary-bearer-4711" in thieves.everything()
    assert b"canary-bearer-4711" in bytes(thieves.server.received)
    subprocess.run(["git", "status"], cwd=stealing, capture_output=True, timeout=30, check=False)
    assert thieves.loot.exists()
