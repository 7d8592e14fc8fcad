"""What the engine makes ready for the next task: code in a spare directory, a shim that waits."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from anylearn_jupyter.engine import spare_code
from anylearn_jupyter.engine.checkout import Spare, bring_up, check_out
from anylearn_jupyter.engine.processes import Process
from anylearn_jupyter.engine.runners.spare_shim import SpareShim
from anylearn_jupyter.engine.spare_code import SpareCode
from anylearn_jupyter.engine.task_files import TaskFiles, read_record, write_record
from anylearn_jupyter.entities import new_id
from test_launch import Repository
from waiting import wait_until

BEFORE = {
    "train.py": ("100644", b"print(1)\n"),
    "gone/away.txt": ("100644", b"gone\n"),
    "run.sh": ("100644", b"echo\n"),
    "same/data.txt": ("100644", b"same\n"),
    "becomes": ("100644", b"a file\n"),
}
AFTER = {
    "train.py": ("100644", b"print(2)\n"),
    "run.sh": ("100755", b"echo\n"),
    "same/data.txt": ("100644", b"same\n"),
    "becomes/a/directory.txt": ("100644", b"now\n"),
    "link": ("120000", b"train.py"),
}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def content(top: Path) -> dict[str, tuple[bool, bytes]]:
    """Every file below a directory: whether it can be run, and its bytes or its link's text."""
    found = {}
    for path in sorted(top.rglob("*")):
        name = path.relative_to(top).as_posix()
        if path.is_symlink():
            found[name] = (False, os.fsencode(path.readlink()))
        elif path.is_file():
            found[name] = (os.access(path, os.X_OK), path.read_bytes())
    return found


def test_a_spare_becomes_exactly_the_commit_that_is_asked_for(
    repository: Repository, tmp_path: Path
) -> None:
    before, after = repository.commit(BEFORE), repository.commit(AFTER)
    bring_up(repository.path, before, tmp_path / "spare")
    same = (tmp_path / "spare/files/same/data.txt").stat().st_ino
    check_out(
        repository.path,
        after,
        tmp_path / "warm",
        scratch=tmp_path / "warm.git",
        spare=Spare(tmp_path / "spare"),
    )
    check_out(repository.path, after, tmp_path / "cold", scratch=tmp_path / "cold.git")
    assert content(tmp_path / "warm") == content(tmp_path / "cold")
    assert not (tmp_path / "warm/gone").exists()
    assert (tmp_path / "warm/same/data.txt").stat().st_ino == same
    assert not (tmp_path / "spare").exists()
    assert not (tmp_path / "warm.git").exists()


def test_a_file_of_a_spare_that_somebody_touched_is_written_anew(
    repository: Repository, tmp_path: Path
) -> None:
    commit = repository.commit(BEFORE)
    bring_up(repository.path, commit, tmp_path / "spare")
    files = tmp_path / "spare/files"
    (files / "train.py").write_bytes(b"print(9)\n")
    (files / "run.sh").unlink()
    check_out(
        repository.path,
        commit,
        tmp_path / "code",
        scratch=tmp_path / "own.git",
        spare=Spare(tmp_path / "spare"),
    )
    assert content(tmp_path / "code") == {
        name: (False, data) for name, (_, data) in sorted(BEFORE.items())
    }


@pytest.mark.parametrize("harm", ["no index", "damaged index", "no files", "a link"])
def test_a_spare_that_cannot_be_used_changes_nothing(
    repository: Repository, tmp_path: Path, harm: str
) -> None:
    commit = repository.commit(AFTER)
    spare = tmp_path / "spare"
    bring_up(repository.path, commit, spare)
    if harm == "no index":
        (spare / "index").unlink()
    elif harm == "damaged index":
        (spare / "index").write_bytes(b"DIRC" + b"\xff" * 100)
    elif harm == "no files":
        (spare / "files").rename(tmp_path / "elsewhere")
    else:
        (spare / "files").rename(tmp_path / "elsewhere")
        (spare / "files").symlink_to(tmp_path / "elsewhere")
    check_out(
        repository.path, commit, tmp_path / "code", scratch=tmp_path / "own.git", spare=Spare(spare)
    )
    assert content(tmp_path / "code")["train.py"] == (False, b"print(2)\n")
    assert not (tmp_path / "code").is_symlink()
    assert not spare.exists()


def test_spares_are_made_of_what_was_used_and_taken_once(
    repository: Repository, tmp_path: Path
) -> None:
    commit = repository.commit(BEFORE)
    spares = SpareCode(tmp_path / "spares")
    assert spares.take(repository.path, tmp_path / "none") is None
    check_out(repository.path, commit, tmp_path / "code", scratch=tmp_path / "own.git")
    spares.used(repository.path, commit, tmp_path / "code")
    spares.refill()
    assert spares.take(repository.path, tmp_path / "taken") == Spare(tmp_path / "taken")
    assert content(tmp_path / "taken/files") == content(tmp_path / "code")
    assert spares.take(repository.path, tmp_path / "again") is None
    spares.refill()
    spares.close()
    assert not (tmp_path / "spares").exists()
    spares.refill()
    assert not (tmp_path / "spares").exists()


def test_a_spare_is_brought_up_to_what_came_and_then_needs_no_git(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = repository.commit(BEFORE), repository.commit(AFTER)
    spares = SpareCode(tmp_path / "spares")
    spares.expect(repository.path, after)  # there is none yet
    check_out(repository.path, before, tmp_path / "code", scratch=tmp_path / "own.git")
    spares.used(repository.path, before, tmp_path / "code")
    spares.refill()
    spares.expect(repository.path, "f" * 40)  # cannot be
    assert spares.take(repository.path, tmp_path / "none") is None
    spares.refill()

    spares.expect(repository.path, after)
    taken = spares.take(repository.path, tmp_path / "taken")
    assert taken == Spare(tmp_path / "taken", after)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        check_out(
            repository.path, after, tmp_path / "warm", scratch=tmp_path / "own.git", spare=taken
        )
    check_out(repository.path, after, tmp_path / "cold", scratch=tmp_path / "own.git")
    assert content(tmp_path / "warm") == content(tmp_path / "cold")

    spares.refill()
    spares.expect(repository.path, after)
    monkeypatch.setattr(spare_code, "CURRENT_S", 0)
    assert spares.take(repository.path, tmp_path / "late") == Spare(tmp_path / "late")


def test_there_is_no_spare_of_large_code_nor_of_a_repository_that_is_gone(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.commit(BEFORE)
    check_out(repository.path, commit, tmp_path / "code", scratch=tmp_path / "own.git")
    spares = SpareCode(tmp_path / "spares")
    spares.used(repository.path, commit, tmp_path / "code")
    monkeypatch.setattr(spare_code, "MAX_FILES", 3)
    spares.refill()
    assert list((tmp_path / "spares").iterdir()) == []
    monkeypatch.undo()
    spares.refill()
    assert len(list((tmp_path / "spares").iterdir())) == 1
    repository.path.rename(tmp_path / "deleted.git")
    spares.refill()
    assert list((tmp_path / "spares").iterdir()) == []


@pytest.fixture
def spare_shim() -> Iterator[SpareShim]:
    made = SpareShim({"PATH": os.environ["PATH"]})
    yield made
    made.close()


def prepared(tmp_path: Path) -> TaskFiles:
    files = TaskFiles(tmp_path / "tasks" / new_id("TRAI"))
    files.code.mkdir(parents=True)
    record: dict[str, object] = {
        "command": f"{sys.executable} -c 'print(7)'",
        "cwd": str(files.code),
        "env": {"PATH": os.environ["PATH"], "ANYLEARN_TASK_ID": files.task_id},
    }
    write_record(files.launch, record, durable=False)
    return files


def hand_over(spare: SpareShim, files: TaskFiles) -> int | None:
    lock = os.open(files.lock, os.O_RDWR | os.O_CREAT, 0o600)
    words = os.open(files.shim_log, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return spare.hand_over(files, lock, words)
    finally:
        os.close(lock)
        os.close(words)


def test_a_waiting_shim_runs_the_task_that_it_is_given(
    spare_shim: SpareShim, tmp_path: Path
) -> None:
    files = prepared(tmp_path)
    assert hand_over(spare_shim, files) is None
    spare_shim.make()
    pid = hand_over(spare_shim, files)
    assert pid is not None
    assert os.getsid(pid) == pid
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    ended = read_record(files.exit)
    assert ended is not None
    assert (ended["kind"], ended["number"]) == ("exit", 0)
    assert files.log.read_bytes() == b"7\n"
    assert files.shim_log.read_bytes() == b""
    assert hand_over(spare_shim, prepared(tmp_path)) is None


def test_a_waiting_shim_that_was_killed_is_nobody(spare_shim: SpareShim, tmp_path: Path) -> None:
    spare_shim.make()
    pid = child()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: Process.find(pid) is None, 10, "the end of the waiting shim")
    assert hand_over(spare_shim, prepared(tmp_path)) is None


def test_a_waiting_shim_ends_with_who_started_it(spare_shim: SpareShim) -> None:
    spare_shim.make()
    pid = child()
    spare_shim.close()
    assert Process.find(pid) is None
    spare_shim.make()
    assert children() == []


def children() -> list[int]:
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return [
        int(word)
        for word in text.split()
        if b"--spare" in Path(f"/proc/{word}/cmdline").read_bytes()
    ]


def child() -> int:
    wait_until(lambda: len(children()) == 1, 10, "a shim that waits")
    return children()[0]
