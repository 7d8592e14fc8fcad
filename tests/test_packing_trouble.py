"""Packing in trouble: damaged repositories, no usable git, and what cannot be read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anylearn_jupyter.errors import SnapshotError
from anylearn_jupyter.submit.packing import packing_list
from repository_states import make, write


def test_a_damaged_repository_is_packed_as_files_and_said(tmp_path: Path) -> None:
    made = make("clean", tmp_path)
    (made.top / ".git" / "index").write_bytes(b"damaged")

    found = packing_list(made.code)

    assert found.has("train.py")
    assert found.dirty
    assert any("cannot be read" in note for note in found.notes)


def test_a_git_file_that_leads_nowhere_is_no_repository(tmp_path: Path) -> None:
    made = make("worktree", tmp_path)
    (made.code / ".git").write_text("gitdir: /nowhere/at/all\n", encoding="ascii")

    found = packing_list(made.code)

    assert found.has("new.py")
    assert found.head is None


def test_without_git_the_sentence_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make("clean", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))

    with pytest.raises(SnapshotError, match=r"install git 2\.32 or newer"):
        packing_list(made.code)


def test_an_old_git_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make("clean", tmp_path)
    old = write(tmp_path / "bin" / "git", "#!/bin/sh\necho git version 2.17.1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    with pytest.raises(SnapshotError, match=r"too old \(git version 2\.17\.1\)"):
        packing_list(made.code)


def test_a_git_in_the_code_directory_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make("clean", tmp_path)
    trap = write(made.top / "git", f"#!/bin/sh\ntouch {made.tell_tale}\n")
    trap.chmod(0o755)
    monkeypatch.chdir(made.top)
    monkeypatch.setenv("PATH", f".:{os.environ['PATH']}")

    assert packing_list(made.code).has("git")
    assert not made.tell_tale.exists()


UNREADABLE = """
import sys
from pathlib import Path
from anylearn_jupyter.errors import SnapshotError
from anylearn_jupyter.submit.snapshot import snapshot
try:
    snapshot(Path(sys.argv[1]))
except SnapshotError as error:
    print(error)
"""


@pytest.fixture
def reachable(tmp_path: Path) -> Iterator[None]:
    """Let another user pass through to the test's directory, for as long as the test runs."""
    closed = {path: path.stat().st_mode for path in (tmp_path, *tmp_path.parents)}
    closed = {path: mode for path, mode in closed.items() if not mode & 0o001}
    for path, mode in closed.items():
        path.chmod(mode | 0o001)
    yield
    for path, mode in closed.items():
        path.chmod(mode)


@pytest.mark.usefixtures("reachable")
@pytest.mark.parametrize("name", ["locked.py", "closed"])
def test_what_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    """Root can read all, so that root tries it as somebody else."""
    top = tmp_path / "code"
    write(top / "train.py", "")
    write(top / "locked.py", "")
    write(top / "closed" / "x.py", "")
    (top / name).chmod(0)
    environment = {**os.environ, "ANYLEARN_HOME": str(tmp_path / "theirs")}
    command = [sys.executable, "-c", UNREADABLE, str(top)]
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "65534", str(tmp_path)], check=True)
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *command]
        trial = [*command[:4], sys.executable, "-c", "import anylearn_jupyter.submit.snapshot"]
        if subprocess.run(trial, env=environment, capture_output=True, check=False).returncode:
            pytest.skip("another user cannot run this Python")

    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    assert name in said.stdout
    assert "cannot be read (Permission denied)" in said.stdout
