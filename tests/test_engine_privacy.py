"""What another user of this machine can read of the engine: nothing (faults G2, G8)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import ROOT
from engine_home import EngineHome, shared_engine
from published import PublishedClient
from waiting import wait_until

__all__ = ["shared_engine"]


@pytest.fixture(scope="module")
def ada(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("ada", "lovelace")
    return PublishedClient.login(shared_engine.address, "ada", "lovelace")


INTRUDER = """
import os, pathlib, sys
import urllib.error, urllib.request

home, port, *pids = sys.argv[1:]
assert os.getuid() == 65534 and not os.getgroups()
got = []
root = pathlib.Path(home)
for path in [root, root / "engine", *(root / "engine" / name for name in
             ("token", "endpoint.json", "store.sqlite3", "store.sqlite3-wal", "engine.log",
              "tasks", "blobs", "git"))]:
    try:
        got.append((str(path), os.listdir(path) if path.is_dir() else path.read_bytes()))
    except PermissionError:
        continue
for place in ("planted", "engine/planted", "engine/endpoint.json"):
    try:
        (root / place).write_text("x")
        got.append(("wrote", place))
    except PermissionError:
        continue
for pid in pids:
    for name in ("environ", "mem", "maps", "fd", "cwd"):
        path = f"/proc/{pid}/{name}"
        try:
            got.append((path, os.listdir(path) if name == "fd" else
                        os.readlink(path) if name == "cwd" else open(path, "rb").read(64)))
        except (PermissionError, OSError):
            continue
    print("cmdline", open(f"/proc/{pid}/cmdline", "rb").read())
    try:
        os.kill(int(pid), 0)
        got.append(("may signal", pid))
    except PermissionError:
        pass
for path in ("mirror/list", "engine/status", "train_task/list", "capabilities"):
    for headers in ({}, {"Authorization": "Bearer x"}):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/api/{path}", headers=headers)
        try:
            got.append((path, urllib.request.urlopen(request, timeout=5).read()))
        except urllib.error.HTTPError as refused:
            assert refused.code == 401, refused.code
print("GOT", got)
"""


@pytest.fixture
def open_home() -> Iterator[EngineHome]:
    """A home in a place that everybody can reach, so that only its own permissions protect it."""
    with tempfile.TemporaryDirectory(prefix="anylearn-open-") as directory:
        Path(directory).chmod(0o755)
        made = EngineHome(Path(directory) / "home")
        yield made
        made.command("stop", "--tasks", check=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_this_machine_gets_nothing(open_home: EngineHome, tmp_path: Path) -> None:
    engine = open_home.start()
    engine.add_user("ada", "canary-password")
    client = PublishedClient.login(engine.address, "ada", "canary-password")
    algorithm, commit = client.send_code(
        "code",
        tmp_path / "code",
        {"wait.py": "import time; print('up', flush=True); time.sleep(90)"},
    )
    task = client.change(
        "POST", "train_task/add", name="t", project_id=client.one("project/default")["id"],
        algorithm_id=algorithm, algorithm_git_ref=commit, train_params="{}",
        entrypoint="exec python wait.py", envs='{"MINE": "canary-variable"}',
    )  # fmt: skip
    started = engine.home.engine / "tasks" / task / "started.json"
    wait_until(started.exists, 20, "it runs")
    pids = [
        str(engine.pid),
        *(
            str(pid)
            for name in ("shim.json", "started.json")
            for pid in re.findall(r'"pid": (\d+)', started.with_name(name).read_text())
        ),
    ]
    assert len(pids) == 3
    secret_key = client.one("train_task/query", id=task)["secret_key"]

    # The environment's own Python may be behind a directory that is root's.
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin:/bin") or sys.executable
    setpriv = shutil.which("setpriv")
    assert setpriv is not None
    found = subprocess.run(
        [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", python, "-I", "-c", INTRUDER,
         str(engine.home.root), str(engine.port), *pids],
        capture_output=True, text=True, timeout=60, check=False, cwd="/", env={},
    )  # fmt: skip

    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "GOT []"
    assert found.stdout.count("cmdline") == 3
    for secret in (engine.token, "canary-password", "canary-variable", secret_key, client.token):
        assert secret not in found.stdout


@pytest.mark.parametrize("part", ["", "engine"])
def test_a_home_behind_a_planted_link_is_refused(
    open_home: EngineHome, tmp_path: Path, part: str
) -> None:
    """Nothing is written through a link that somebody else may have put there (G3)."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    place = open_home.home.root / part
    place.parent.mkdir(exist_ok=True, mode=0o700)
    place.symlink_to(elsewhere)

    started = open_home.command("start", check=False)

    assert started.returncode == 1
    assert "is a link or belongs to another user" in started.stderr
    assert list(elsewhere.iterdir()) == []


def test_everything_of_ours_is_private(shared_engine: EngineHome, ada: PublishedClient) -> None:
    root = shared_engine.home.root
    dataset = ada.add_dataset()
    ada.upload(dataset, b"x")
    ada.wait_ready("dataset", dataset)

    others_may = []
    for path in [root, *root.rglob("*")]:
        found = path.lstat()
        # What git and a task's checkout make is behind directories that nobody else enters.
        if found.st_mode & 0o077 and not path.is_symlink():
            others_may.append(str(path.relative_to(root)))
    assert others_may == []
    assert shared_engine.home.token.stat().st_mode & 0o777 == 0o600
    assert shared_engine.home.endpoint.stat().st_mode & 0o777 == 0o600


def test_no_secret_is_in_the_engines_arguments_variables_or_log(
    shared_engine: EngineHome, ada: PublishedClient
) -> None:
    ada.refused(404, "GET", "dataset/query", id="DSET" + "0" * 28, token=ada.token)
    PublishedClient(ada.address, "canary-token-that-is-wrong").refused(401, "GET", "user/me")
    PublishedClient(ada.address).refused(
        401, "POST", "user/login", username="ada", password="canary-wrong-password"
    )
    process = Path(f"/proc/{shared_engine.pid}")
    places = {
        "argv": process.joinpath("cmdline").read_bytes(),
        "environ": process.joinpath("environ").read_bytes(),
        "log": shared_engine.home.engine_log.read_bytes(),
        "endpoint": shared_engine.home.endpoint.read_bytes(),
    }
    secrets = [shared_engine.token, ada.token, "lovelace", "canary-token", "canary-wrong"]
    found = [
        (place, secret)
        for place, data in places.items()
        for secret in secrets
        if secret.encode() in data
    ]
    assert found == []
    # In the store there is no token and no password either, only what cannot be computed back.
    store = b"".join(path.read_bytes() for path in shared_engine.home.engine.glob("store.sqlite3*"))
    assert not [secret for secret in secrets if secret.encode() in store]


def test_credentials_are_compared_in_constant_time() -> None:
    """No `==` on a secret; a token of a session is looked up by its digest."""
    engine = ROOT / "anylearn_jupyter" / "engine"
    auth, users = (
        (engine / f"{name}.py").read_text(encoding="utf-8") for name in ("auth", "users")
    )

    assert auth.count("hmac.compare_digest") == 1
    assert users.count("hmac.compare_digest") == 2
    assert not re.search(r"(token|key|password|digest)\w*\s*[!=]=", auth)
    assert not re.search(r"(token|key|password)\w*\s*[!=]=\s*(?!None)", users)
