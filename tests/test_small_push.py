"""An edit travels in one request where the server takes it so, and is pushed elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.connection import current_connection, disconnect
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit import code, small_push
from anylearn_jupyter.submit.pipeline import Submission, submit
from anylearn_jupyter.submit.request import TrainRequest
from conftest import engine_command


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Close this process's connections, and end whatever engine the test started."""
    disconnect()
    yield
    disconnect()
    engine_command("stop", "--tasks", check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    (directory / "package").mkdir(parents=True)
    for number in range(30):
        (directory / "package" / f"m{number}.py").write_text(f"x = {number}\n", encoding="utf-8")
    (directory / "train.py").write_text("print('first')\n", encoding="utf-8")
    return directory


class Ways:
    """Which way each snapshot went: ``posted``, ``pushed``, or ``refused`` and then pushed."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        post, push = Api.push_pack, code.push

        def posting(api: Api, *words: Any) -> Any:
            self.seen.append("refused")
            found = post(api, *words)
            self.seen[-1] = "posted"
            return found

        def pushing(*words: Any) -> None:
            self.seen.append("pushed")
            push(*words)

        patch.setattr(Api, "push_pack", posting)
        patch.setattr(code, "push", pushing)


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Ways:
    return Ways(monkeypatch)


def run(project: Path, text: str | None = None) -> Submission:
    if text is not None:
        (project / "train.py").write_text(f"print({text!r})\n", encoding="utf-8")
    request = TrainRequest(entrypoint="python train.py", algorithm_dir=project)
    return submit(request)


def printed(made: Submission) -> str:
    made.task.wait(60)
    return "".join(f"{line.partition('] ')[2]}\n" for line in made.task.get_full_log())


def test_the_first_time_is_pushed_and_an_edit_is_posted(project: Path, ways: Ways) -> None:
    first = run(project)
    edited = run(project, "edited")
    same = run(project)
    back = run(project, "first")

    assert ways.seen == ["pushed", "posted"]  # the server has both by then
    assert printed(first) == "first\n"
    assert printed(edited) == printed(same) == "edited\n"
    assert printed(back) == "first\n"


def test_what_is_not_little_is_pushed(project: Path, ways: Ways) -> None:
    run(project)
    (project / "large.bin").write_bytes(bytes(range(256)) * 2000)
    assert printed(run(project)) == "first\n"
    for number in range(150):
        (project / f"more{number}.py").write_text(f"y = {number}\n", encoding="utf-8")
    assert printed(run(project, "more")) == "more\n"

    assert ways.seen == ["pushed", "pushed", "pushed"]


def test_a_server_that_lacks_what_the_pack_builds_on_gets_all(
    project: Path, ways: Ways, home: Path
) -> None:
    first = run(project)
    (repository,) = (home / "engine" / "git").glob("*/*.git")
    printed(first)
    for part in ("objects", "refs/heads"):
        shutil.rmtree(repository / part)
        (repository / part).mkdir()

    assert printed(run(project, "edited")) == "edited\n"
    assert ways.seen == ["pushed", "refused", "pushed"]


def test_a_server_without_the_feature_is_pushed_to(
    project: Path, ways: Ways, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(project)
    monkeypatch.setattr(small_push, "FEATURE", "no_such_feature")

    assert printed(run(project, "edited")) == "edited\n"
    assert ways.seen == ["pushed", "pushed"]


def test_a_lost_ledger_or_store_costs_a_push(project: Path, ways: Ways, home: Path) -> None:
    run(project)
    shutil.rmtree(home / "snapshots")
    run(project, "without the store")
    run(project, "with it")
    for path in Home(home).root.glob("ledger.sqlite3*"):
        path.unlink()
    run(project, "without the ledger")
    last = run(project, "with both")

    assert ways.seen == ["pushed", "pushed", "posted", "pushed", "posted"]
    assert printed(last) == "with both\n"
    assert current_connection().api.algorithms()
