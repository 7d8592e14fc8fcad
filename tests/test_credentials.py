"""Kept logins, each bound to its server, and the lock between processes (faults G8, G9)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from anylearn_jupyter.client import credentials
from anylearn_jupyter.client.credentials import Login
from anylearn_jupyter.client.locks import is_locked, locked
from anylearn_jupyter.errors import ConfigError
from anylearn_jupyter.home import Home

ADA = Login("USER1", "ada", "canary-token", "canary-refresh")
LAB, OTHER = "https://lab.example", "https://lab.example:8443"

HOLDER = """
import pathlib, sys
from anylearn_jupyter.client.locks import locked
with locked(pathlib.Path(sys.argv[1]), 5):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def kept() -> Home:
    return Home()


def test_a_login_is_given_to_exactly_the_server_it_was_kept_for(kept: Home) -> None:
    assert credentials.load(kept, LAB) is None

    credentials.save(kept, LAB, ADA)

    assert credentials.load(kept, LAB) == ADA
    for other in (OTHER, "http://lab.example", "https://lab.example.evil", "https://lab", "local"):
        assert credentials.load(kept, other) is None


def test_it_is_kept_privately_and_never_shown(kept: Home) -> None:
    credentials.save(kept, LAB, ADA)

    assert kept.credentials.stat().st_mode & 0o777 == 0o600
    assert kept.root.stat().st_mode & 0o777 == 0o700
    assert "canary" not in repr(ADA)
    assert "canary" not in str([ADA])


def test_a_renewed_token_replaces_only_the_token_of_a_login_that_is_there(kept: Home) -> None:
    credentials.save_token(kept, LAB, "new")
    assert credentials.load(kept, LAB) is None

    credentials.save(kept, LAB, ADA)
    credentials.save(kept, OTHER, ADA)
    credentials.save_token(kept, LAB, "new")

    assert credentials.load(kept, LAB) == Login("USER1", "ada", "new", "canary-refresh")
    assert credentials.load(kept, OTHER) == ADA


def test_a_login_is_forgotten_once(kept: Home) -> None:
    credentials.save(kept, LAB, ADA)
    credentials.save(kept, OTHER, ADA)

    assert credentials.forget(kept, LAB)
    assert not credentials.forget(kept, LAB)

    assert credentials.load(kept, OTHER) == ADA
    assert 'https://lab.example"' not in kept.credentials.read_text()


@pytest.mark.parametrize(
    "entry", [None, [], {}, {"token": 1}, {"user_id": "U", "username": "a", "token": ""}]
)
def test_an_entry_that_is_no_login_is_none(kept: Home, entry: object) -> None:
    credentials.save(kept, OTHER, ADA)
    data = json.loads(kept.credentials.read_bytes())
    data["servers"][LAB] = entry
    kept.credentials.write_text(json.dumps(data))

    assert credentials.load(kept, LAB) is None
    assert credentials.load(kept, OTHER) == ADA


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b'{"a": canary-token}'])
def test_a_damaged_file_is_one_sentence_without_its_content(kept: Home, data: bytes) -> None:
    kept.root.mkdir(mode=0o700)
    kept.credentials.write_bytes(data)

    with pytest.raises(ConfigError, match=r"cannot be read; delete the file") as caught:
        credentials.load(kept, LAB)

    assert "canary" not in str(caught.value)
    assert kept.credentials.read_bytes() == data


def test_a_newer_file_is_left_alone(kept: Home) -> None:
    kept.root.mkdir(mode=0o700)
    newer = json.dumps({"format": 2, "servers": {LAB: {"sealed": "x"}}}).encode()
    kept.credentials.write_bytes(newer)

    with pytest.raises(ConfigError, match="format 2"):
        credentials.load(kept, LAB)
    with pytest.raises(ConfigError, match="format 2"):
        credentials.save(kept, LAB, ADA)

    assert kept.credentials.read_bytes() == newer


def test_a_home_that_cannot_be_written_is_named(kept: Home) -> None:
    kept.root.parent.mkdir(parents=True, exist_ok=True)
    kept.root.write_text("a file is in the way")

    with pytest.raises(ConfigError, match="ANYLEARN_HOME"):
        credentials.save(kept, LAB, ADA)


def test_many_who_save_at_once_lose_nothing(kept: Home) -> None:
    hosts = [f"https://host-{number}" for number in range(20)]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda host: credentials.save(kept, host, ADA), hosts))

    assert all(credentials.load(kept, host) == ADA for host in hosts)


# The lock.


def test_a_lock_is_held_between_processes_and_ends_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "private" / "lock"
    assert not is_locked(path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_locked(path)
        began = time.monotonic()
        with pytest.raises(TimeoutError, match="held by another process"), locked(path, 0.2):
            raise AssertionError("two hold one lock")
        assert 0.15 < time.monotonic() - began < 5
    finally:
        holder.kill()
        holder.communicate()
    # It was killed, so it has given nothing back itself.
    with locked(path, 5):
        assert is_locked(path)
    assert not is_locked(path)
    assert path.exists()


def test_a_lock_is_given_back_when_its_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "lock"

    with pytest.raises(ValueError, match="inside"), locked(path, 1):
        raise ValueError("inside")

    assert not is_locked(path)
