"""The engine dies while it receives code: the repository is never broken (faults A8)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anylearn_jupyter.client.connection import disconnect
from anylearn_jupyter.errors import AnylearnError
from anylearn_jupyter.submit import code
from anylearn_jupyter.submit.pipeline import submit
from anylearn_jupyter.submit.request import TrainRequest
from engine_home import EngineHome, own_engine
from waiting import wait_until

__all__ = ["own_engine"]

Pack = Callable[[set[str]], Iterator[bytes]]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    """Make a code directory of some megabytes that no compression makes smaller."""
    directory = tmp_path / "project"
    directory.mkdir()
    (directory / "train.py").write_text("print('trained')\n", encoding="utf-8")
    for number in range(4):
        (directory / f"weights{number}.bin").write_bytes(os.urandom(1 << 20))
    disconnect()
    yield directory
    disconnect()


def repository_of(engine: EngineHome) -> Path:
    (found,) = engine.home.engine.glob("git/*/*.git")
    return found


def git(repository: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(repository), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"git {words}: {done.stdout}{done.stderr}"
    return done.stdout


def receivers(repository: Path) -> list[str]:
    """Give the processes that still receive something for this repository."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            at = (entry / "cwd").readlink()
        except OSError:
            continue  # it has ended, or is no process
        if words.startswith("git ") and (at == repository or str(repository) in words):
            found.append(words)
    return found


@pytest.mark.parametrize("moment", ["in the middle", "after the last piece"])
def test_code_that_was_cut_off_by_the_death_of_the_engine_is_sent_again(
    moment: str,
    project: Path,
    own_engine: EngineHome,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    own_engine.start()
    monkeypatch.setattr("anylearn_jupyter.client.http.backoff_s", lambda attempt: 0.01)
    push, deaths = code.push, 0

    def dying(make_pack: Pack) -> Pack:
        def pack(have: set[str]) -> Iterator[bytes]:
            nonlocal deaths
            for number, piece in enumerate(make_pack(have)):
                if number == 20 and deaths == 0 and moment == "in the middle":
                    own_engine.kill()
                    deaths += 1
                yield piece
            if deaths == 0:
                own_engine.kill()
                deaths += 1

        return pack

    monkeypatch.setattr(code, "push", lambda *words: push(*words[:-1], dying(words[-1])))
    request = TrainRequest(entrypoint="python train.py", algorithm_dir=project, working_dir=project)
    with pytest.raises(AnylearnError) as caught:
        submit(request)
    assert "\n" not in str(caught.value)
    assert deaths == 1
    assert "was cut off; trying again" in caplog.text
    repository = repository_of(own_engine)
    wait_until(lambda: not receivers(repository), 20, "nothing of the dead engine still receives")
    git(repository, "fsck", "--full", "--strict")

    made = submit(request)

    assert made.task.wait(60).phase == "succeeded", made.task.log_text()
    git(repository, "fsck", "--full", "--strict")
    assert made.task.facts is not None
    commit = made.task.facts.snapshot_id
    assert git(repository, "rev-parse", f"refs/heads/snapshot-{commit[:12]}").strip() == commit
    assert len(git(repository, "for-each-ref").splitlines()) == 1
