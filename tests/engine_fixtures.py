"""Speaking to a real engine in plain HTTP, as a published client does, without a client of ours."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from anylearn_jupyter.home import Home
from waiting import wait_until

FINAL = {"succeeded", "failed", "aborted", "lost"}


@dataclass
class Talker:
    """One user's requests to the engine, wherever it listens now."""

    home: Home
    address: str = ""
    project: str = ""
    algorithm: str = ""
    commit: str = ""

    def call(self, method: str, path: str, **fields: Any) -> Any:
        """Send one request and give the decoded reply; an HTTP error fails the test."""
        token = self.home.token.read_text(encoding="ascii").strip()
        where = "params" if method in ("GET", "DELETE") else "data"
        answer = requests.request(
            method,
            f"{self.address}/api/{path}",
            **{where: fields},
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def send_code(self, directory: Path, files: dict[str, str]) -> None:
        """Make an algorithm of these files, pushed by git, and a project."""
        mirror = next(one for one in self.call("GET", "mirror/list") if one["name"] == "QUICKSTART")
        self.algorithm = self.call(
            "POST", "algorithm/add", name="code", description="", public=0, filename="code.zip",
            tags="", mirror_id=mirror["id"], train_params="null", follows_anylearn_norm=0,
        )["data"]  # fmt: skip
        (found,) = self.call("GET", "algorithm/query", id=self.algorithm)
        directory.mkdir()
        for name, text in files.items():
            (directory / name).write_text(text, encoding="utf-8")
        token = self.home.token.read_text(encoding="ascii").strip()
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Bearer {token}",
        } | {
            f"GIT_{who}_{what}": "t"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        for words in (
            ["init", "-q", "-b", "main"],
            ["add", "-A"],
            ["commit", "-q", "-m", "code"],
            ["push", "-q", found["git_address"], "main"],
        ):
            subprocess.run(["git", *words], cwd=directory, env=variables, check=True)
        self.commit = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=directory, env=variables, check=True, capture_output=True, text=True,
        ).stdout.strip()  # fmt: skip
        self.call(
            "POST", "resource/sync_finish", algorithm_id=self.algorithm, checkout_sha=self.commit
        )
        self.project = self.call("GET", "project/default")[0]["id"]

    def add_task(self, entrypoint: str, **fields: Any) -> str:
        """Add a task to the queue and give its id."""
        task: str = self.call(
            "POST", "train_task/add", name="task", project_id=self.project,
            algorithm_id=self.algorithm, algorithm_git_ref=self.commit, train_params="{}",
            entrypoint=entrypoint, output="output", **fields,
        )["data"]  # fmt: skip
        return task

    def task(self, task_id: str) -> dict[str, Any]:
        (found,) = self.call("GET", "train_task/query", id=task_id)
        answer: dict[str, Any] = found
        return answer

    def wait_phase(self, task_id: str, *phases: str, timeout_s: float = 40) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            found = self.task(task_id)
            return found if found["phase"] in phases else None

        return wait_until(reached, timeout_s, f"task {task_id} is {' or '.join(phases)}")

    def wait_end(self, task_id: str) -> dict[str, Any]:
        return self.wait_phase(task_id, *FINAL)

    def log(self, task_id: str) -> bytes:
        """Read the task's own log, all of it."""
        token = self.home.token.read_text(encoding="ascii").strip()
        data = b""
        while True:
            answer = requests.get(
                f"{self.address}/api/train_task/log_bytes",
                params={"id": task_id, "from": len(data), "to": len(data) + (1 << 20)},
                headers={"Authorization": f"Bearer {token}"},
                timeout=30,
            )
            assert answer.ok, answer.text
            if not answer.content:
                return data
            data += answer.content

    def published_lines(self, task_id: str) -> list[str]:
        """Page through the log as published clients do."""
        lines: list[str] = []
        index, offset_index = 0, -1
        while page := self.call(
            "GET", "train_task/logs", id=task_id, limit=1000, direction="back",
            index=index, offset_index=offset_index,
        ):  # fmt: skip
            lines += [line["text"] for line in page]
            index, offset_index = page[-1]["offset"], page[-1]["offset_index"]
        return lines
