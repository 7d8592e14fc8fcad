"""Speaking as published clients do: plain `requests`, forms, and every key that they read.

The shapes are those of the HTTP API, which is what a published client reads without a default.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from waiting import wait_until

CHUNK_BYTES = 2_048_000
NUMBER = (int, float)
IDS = str | list

MUTATION = {"data": str, "message": str}
LOGIN = {"id": str, "username": str, "token": str, "refresh_token": str}
MIRROR = {"id": str, "name": str}
QUOTA_GROUP = {
    "id": str, "name": str, "level": str, "node_level": str,
    "capacity": dict, "default": dict, "allocated": dict,
}  # fmt: skip
PROJECT = {
    "id": str, "name": str, "description": str, "create_time": str, "update_time": str,
    "creator_id": str, "datasets": IDS,
}  # fmt: skip
TAG = {"id": str, "name": str}
RESOURCE = {
    "id": str, "name": str, "description": str, "state": int, "public": bool, "upload_time": str,
    "filename": str, "is_zipfile": int, "file": str, "size": str | int, "creator_id": str,
    "node_id": str, "creator_username": str,
}  # fmt: skip
MODEL = {**RESOURCE, "algorithm_id": str}
ALGORITHM = {
    **RESOURCE, "tags": str, "mirror_id": str, "train_params": str | None,
    "follows_anylearn_norm": bool, "git_address": str, "git_migrated": bool,
}  # fmt: skip
COMPRESSION = {
    "id": str, "parent_id": str, "subpath": str, "filename": str, "state": int,
    "creator_id": str, "created_at": str,
}  # fmt: skip
TASK = {
    "id": str, "name": str, "description": str, "state": int, "creator_id": str, "project_id": str,
    "algorithm_id": str, "algorithm_git_ref": str, "args": str, "files": str, "results_id": str,
    "secret_key": str, "create_time": str, "finish_time": str, "entrypoint": str, "output": str,
    "mirror_id": str, "envs": str, "resource_request": str, "is_local": bool,
}  # fmt: skip
TASK_PHASE = {
    "phase": str, "exit": dict | None, "created_ms": int, "started_ms": int | None,
    "finished_ms": int | None, "queue_position": int | None, "command": str, "log_bytes": int,
}  # fmt: skip
LOG_LINE = {"offset": int, "offset_index": int, "text": str}
METRIC = {"id": str, "metric": NUMBER, "train_task_id": str, "reported_at": str}


def check_shape(found: Any, shape: Mapping[str, Any]) -> None:
    """Fail unless an object has every key of a shape, with a value of its type."""
    assert isinstance(found, dict), found
    for key, kind in shape.items():
        assert key in found, f"{key!r} is missing in {sorted(found)}"
        value = found[key]
        assert isinstance(value, kind), f"{key!r} is {value!r}"
        if kind is int:
            assert not isinstance(value, bool), f"{key!r} is {value!r}"


def check_error(answer: requests.Response, *statuses: int) -> str:
    """Fail unless a reply is a refusal in the one shape of errors; gives its sentence."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:500])
    assert answer.headers["Content-Type"].startswith("application/json")
    found = answer.json()
    assert set(found) == {"msg", "code"}
    assert found["msg"]
    assert "Traceback" not in answer.text
    return str(found["msg"])


class PublishedClient:
    """One user of a server, in plain HTTP.

    Parameters
    ----------
    address : str
        The server's.
    token : str, default ''
        An access token; none for who has no session.
    secret_key : str, default ''
        A task's, for who reports from inside of it.
    """

    def __init__(self, address: str, token: str = "", *, secret_key: str = "") -> None:
        self.address = address
        self.token = token
        self.secret_key = secret_key
        self.name = ""
        self.password = ""

    @classmethod
    def login(cls, address: str, name: str, password: str) -> PublishedClient:
        """Log in as published clients do."""
        made = cls(address)
        found = made.call("POST", "user/login", username=name, password=password)
        check_shape(found, LOGIN)
        assert all(found.values())
        made.token, made.name, made.password = found["token"], name, password
        return made

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        parts: Mapping[str, Any] | None = None,
        form: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> requests.Response:
        """Send one request: fields in the query of GET and DELETE, else in a form.

        `form` is for the one GET that has a form body.
        """
        where: dict[str, Any] = {"params" if method in ("GET", "DELETE") else "data": fields}
        if form is not None:
            where["data"] = form
        given = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        given |= {"Secret-Key": self.secret_key} if self.secret_key else {}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method,
                f"{self.address}/api/{path}",
                **where,
                files=parts,
                headers=given | dict(headers or {}),
                allow_redirects=False,
                timeout=30,
            )

    def call(self, method: str, path: str, **fields: Any) -> Any:
        """Send one request that succeeds, and give what its JSON says."""
        answer = self.ask(method, path, **fields)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        assert answer.headers["Content-Type"].lower() == "application/json; charset=utf-8"
        return answer.json()

    def change(self, method: str, path: str, **fields: Any) -> str:
        """Send one request that is answered by a mutation reply, and give its id."""
        found = self.call(method, path, **fields)
        check_shape(found, MUTATION)
        made: str = found["data"]
        return made

    def refused(self, status: int, method: str, path: str, **fields: Any) -> str:
        """Send one request that is refused with this status, and give the sentence."""
        return check_error(self.ask(method, path, **fields), status)

    def one(self, path: str, **fields: Any) -> dict[str, Any]:
        """Query one thing: a list of one."""
        found = self.call("GET", path, **fields)
        assert isinstance(found, list)
        assert len(found) == 1
        thing: dict[str, Any] = found[0]
        return thing

    @property
    def mirror_id(self) -> str:
        """The id of the mirror that quick_train asks for by default."""
        (found,) = [one for one in self.call("GET", "mirror/list") if one["name"] == "QUICKSTART"]
        made: str = found["id"]
        return made

    # Content.

    def add_dataset(self, name: str = "data", **fields: Any) -> str:
        return self.change(
            "POST", "dataset/add",
            **{"name": name, "description": "", "public": 0, "filename": f"{name}.zip"} | fields,
        )  # fmt: skip

    def send_chunk(self, thing_id: str, number: int, data: bytes) -> Any:
        return self.call(
            "POST", "resource/upload", file_id=thing_id, chunk=str(number),
            parts={"file": ("file", data)},
        )  # fmt: skip

    def upload(self, thing_id: str, data: bytes, **finish: int) -> None:
        """Send an archive: one more chunk than whole ones, so that the last may be empty."""
        for number in range(len(data) // CHUNK_BYTES + 1):
            start = number * CHUNK_BYTES
            self.send_chunk(thing_id, number, data[start : start + CHUNK_BYTES])
        assert self.call("POST", "resource/upload_finish", file_id=thing_id, **finish)

    def wait_ready(self, kind: str, thing_id: str) -> dict[str, Any]:
        """Poll as published clients do: until state 3 or -2."""

        def ended() -> dict[str, Any] | None:
            found = self.one(f"{kind}/query", id=thing_id)
            return found if found["state"] in (3, -2) else None

        return wait_until(ended, 30, f"{thing_id} is ready")

    # Code.

    def add_algorithm(self, name: str, **fields: Any) -> str:
        return self.change(
            "POST", "algorithm/add",
            **{
                "name": name, "description": "", "public": 0, "filename": f"{name}.zip", "tags": "",
                "mirror_id": self.mirror_id, "train_params": "null", "follows_anylearn_norm": 0,
            } | fields,
        )  # fmt: skip

    def send_code(self, name: str, directory: Path, files: Mapping[str, str]) -> tuple[str, str]:
        """Make an algorithm and push its code by git; gives its id and the commit."""
        algorithm = self.add_algorithm(name)
        checkout = Checkout(directory)
        commit = checkout.commit(files)
        checkout.push(self, self.one("algorithm/query", id=algorithm)["git_address"])
        self.call("POST", "resource/sync_finish", algorithm_id=algorithm, checkout_sha=commit)
        return algorithm, commit

    def wait_end(self, task_id: str) -> dict[str, Any]:
        """Ask until a task has ended."""

        def ended() -> dict[str, Any] | None:
            found = self.one("train_task/query", id=task_id)
            return found if found["state"] in (2, -1, -2, -3) else None

        return wait_until(ended, 60, f"task {task_id} has ended")


class Checkout:
    """A local repository, as a published client makes it of an algorithm's directory.

    Parameters
    ----------
    path : Path
        Is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(
        self, *words: str, check: bool = True, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run git here, without anybody's configuration."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.path),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            **{
                f"GIT_{who}_{what}": "t"
                for who in ("AUTHOR", "COMMITTER")
                for what in ("NAME", "EMAIL")
            },
        }
        return subprocess.run(
            ["git", *words],
            cwd=self.path,
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=60,
            check=check,
        )

    def commit(self, files: Mapping[str, str]) -> str:
        """Write files and commit all; gives the commit."""
        for name, text in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(text, encoding="utf-8")
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "code")
        return self.head

    @property
    def head(self) -> str:
        """The commit at HEAD."""
        return self.git("rev-parse", "HEAD").stdout.strip()

    def push(
        self, client: PublishedClient, address: str, *words: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Fetch, then push all branches, with name and password in the address for that while."""
        scheme, _, rest = address.partition("://")
        remote = f"{scheme}://{client.name}:{quote(client.password)}@{rest}"
        self.git("remote", "add", "anylearn", remote)
        try:
            self.git("fetch", "-q", "anylearn")
            return self.git("push", "-q", "--all", "anylearn", *words, check=check)
        finally:
            self.git("remote", "remove", "anylearn")
