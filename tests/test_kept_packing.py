"""An edit of a known file is captured without git; whatever else changes is seen all the same.

Each change is made to a directory whose packing list is kept, and what the capture then finds is
compared with that of a store which knows nothing. A git in PATH that notes its own starts tells
which way was taken.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from anylearn_jupyter.home import Home
from anylearn_jupyter.submit import listing_grounds
from anylearn_jupyter.submit.packing_rules import PackingRules
from anylearn_jupyter.submit.snapshot import Snapshot, snapshot
from anylearn_jupyter.submit.snapshot_store import SnapshotStore
from repository_states import STATES, git, make, write
from waiting import wait_until

GRAIN_NS = 50_000_000
"""Of the clock of the file systems that these tests run on, with room to spare; not FAT's."""


@dataclass(frozen=True)
class Project:
    """A code directory below the top of a repository, and the user's own settings."""

    top: Path
    code: Path
    user: Path
    starts: Path

    def git(self, *words: str) -> None:
        git(self.top, *words)

    def captured(self, rules: PackingRules | None = None) -> Snapshot:
        return snapshot(self.code, rules)

    def anew(self, rules: PackingRules | None = None) -> Snapshot:
        """Capture with a store that knows nothing."""
        home = Home(self.user.parent / "another-home")
        found = snapshot(self.code, rules, home=home)
        shutil.rmtree(home.root)
        return found

    def git_starts(self) -> int:
        return len(self.starts.read_text(encoding="ascii").splitlines())

    def without_git(self, rules: PackingRules | None = None) -> Snapshot | None:
        """Capture, and give the snapshot if no git was started for it."""
        before = self.git_starts()
        found = self.captured(rules)
        return found if self.git_starts() == before else None

    def settle(self, rules: PackingRules | None = None) -> Snapshot:
        """Capture until the list is kept, which is when nothing has changed for a grain."""
        return wait_until(lambda: self.without_git(rules), 20, "a capture without git")


@pytest.fixture
def noted_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a git into PATH that notes each start; gives the file with the notes."""
    monkeypatch.setattr(listing_grounds, "YOUNG_NS", GRAIN_NS)
    starts = write(tmp_path / "starts", "")
    real = shutil.which("git")
    script = write(tmp_path / "bin" / "git", f'#!/bin/sh\necho >>"{starts}"\nexec "{real}" "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
    user = tmp_path / "user"
    user.mkdir()
    monkeypatch.setenv("HOME", str(user))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return starts


@pytest.fixture
def project(tmp_path: Path, noted_git: Path) -> Project:
    top = tmp_path / "top"
    code = top / "code"
    write(code / "train.py", "print(1)\n")
    write(code / "package" / "model.py", "WIDTH = 1\n")
    write(code / ".env.example", "KEY=\n")
    write(code / "note.ipynb", notebook(output="first"))
    write(code / ".gitignore", "*.log\ndata/\n")
    write(code / "gone.py", "print(0)\n")
    (code / "link.py").symlink_to("train.py")
    git(top, "init", "-q", "-b", "main")
    git(top, "add", ".")
    git(top, "commit", "-q", "-m", "first")
    git(top, "branch", "side")
    write(code / "data" / "rows.csv", "1\n")
    write(code / "logs" / "one.log", "1\n")
    write(code / "package" / "__pycache__" / "model.pyc", "1\n")
    (code / "gone.py").unlink()
    git(top, "rm", "-q", "--cached", "code/gone.py")
    git(top, "commit", "-q", "-m", "second")
    return Project(top, code, tmp_path / "user", noted_git)


def notebook(output: str) -> str:
    cell = {
        "cell_type": "code",
        "source": "1",
        "metadata": {},
        "execution_count": 1,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": output}],
        "id": "a",
    }
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def same(found: Snapshot, anew: Snapshot) -> None:
    """Check that two captures of one directory say the same."""
    assert [*found.packing.files] == [*anew.packing.files]
    assert (found.skipped, found.notes) == (anew.skipped, anew.notes)
    assert (found.head, found.dirty) == (anew.head, anew.dirty)
    assert (found.packing.results, found.packing.looks) == (
        anew.packing.results,
        anew.packing.looks,
    )
    assert (found.commit, found.total_bytes) == (anew.commit, anew.total_bytes)


def same_size_and_time(project: Project) -> None:
    path = project.code / "train.py"
    before = path.stat()
    path.write_text("print(2)\n", encoding="utf-8")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def edit(path: str, text: str = "print('edited')\n") -> Callable[[Project], object]:
    return lambda project: write(project.code / path, text)


SEEN_WITHOUT_GIT: dict[str, Callable[[Project], object]] = {
    "nothing": lambda _: None,
    "an edit": edit("train.py"),
    "an edit with the same size and the time put back": same_size_and_time,
    "an edit in a package": edit("package/model.py"),
    "a notebook's output": edit("note.ipynb", notebook(output="second")),
    "a cache's file": edit("package/__pycache__/another.pyc"),
    "a file that is ignored with its directory": edit("data/more.csv"),
    "the executable bit": lambda project: (project.code / "train.py").chmod(0o755),
    "saved by a rename": lambda project: write(project.code / "train.new", "print(3)\n").replace(
        project.code / "train.py"
    ),
}


@pytest.mark.parametrize("change", SEEN_WITHOUT_GIT)
def test_what_happens_to_known_files_needs_no_git(project: Project, change: str) -> None:
    assert not project.settle().dirty

    SEEN_WITHOUT_GIT[change](project)

    found = project.without_git()
    assert found is not None
    same(found, project.anew())


def test_an_edit_that_is_taken_back_leaves_a_clean_directory(project: Project) -> None:
    project.settle()
    write(project.code / "train.py", "print('edited')\n")
    assert project.captured().dirty

    write(project.code / "train.py", "print(1)\n")

    found = project.without_git()
    assert found is not None
    assert not found.dirty


def made_directory(project: Project) -> None:
    git(project.code, "init", "-q", "nested")
    write(project.code / "nested" / "inside.py", "print(5)\n")


def another_branch(project: Project) -> None:
    git(project.top, "checkout", "-q", "side")


def packed_then_committed(project: Project) -> None:
    write(project.code / "train.py", "print(6)\n")
    git(project.top, "commit", "-q", "-a", "-m", "third")
    git(project.top, "pack-refs", "--all")


def moved_branch(project: Project) -> None:
    """Move the branch alone, which neither the index nor a file shows."""
    first = git(project.top, "rev-parse", "side").strip()
    write(project.top / ".git" / "refs" / "heads" / "main", f"{first}\n")


def link_elsewhere(project: Project) -> None:
    (project.code / "link.py").unlink()
    (project.code / "link.py").symlink_to("package/model.py")


def file_to_link(project: Project) -> None:
    (project.code / "train.py").unlink()
    (project.code / "train.py").symlink_to("package/model.py")


NEEDS_GIT: dict[str, Callable[[Project], object]] = {
    "a new file": edit("new.py"),
    "a new file among ignored ones": edit("logs/new.py"),
    "a file less": lambda project: (project.code / "package" / "model.py").unlink(),
    "a directory less": lambda project: shutil.rmtree(project.code / "package"),
    "a new directory": edit("another/new.py"),
    "a fifo": lambda project: os.mkfifo(project.code / "fifo"),
    "a file that was moved": lambda project: (project.code / "train.py").rename(
        project.code / "moved.py"
    ),
    "a file that is a link now": file_to_link,
    "a link that leads elsewhere": link_elsewhere,
    "a link's end that is gone": lambda project: (project.code / "train.py").unlink(),
    "an edit of .gitignore": edit(".gitignore", "*.log\n"),
    "a new .gitignore": edit("package/.gitignore", "*\n"),
    "a .gitignore above": lambda project: write(project.top / ".gitignore", "model.py\n"),
    "info/exclude": lambda project: write(project.top / ".git" / "info" / "exclude", "*.txt\n"),
    "the user's excludes": lambda project: write(
        project.user / ".config" / "git" / "ignore", "*.txt\n"
    ),
    "excludes that the user chose": lambda project: write(
        project.user / ".gitconfig", "[core]\n\texcludesFile = ~/chosen\n"
    ),
    "the repository's configuration": lambda project: project.git(
        "config", "core.autocrlf", "true"
    ),
    "attributes": edit(".gitattributes", "*.py text\n"),
    "attributes above": lambda project: write(project.top / ".gitattributes", "* text\n"),
    "git add": lambda project: (
        write(project.code / "train.py", "print(7)\n"),
        project.git("add", "code/train.py"),
    ),
    "a commit": packed_then_committed,
    "another branch": another_branch,
    "a branch that was moved": moved_branch,
    "a detached head": lambda project: project.git("checkout", "-q", "--detach", "side"),
    "a repository in it": made_directory,
    "an environment": edit("package/pyvenv.cfg", "home = /usr\n"),
    "a tracked file that stays": edit(".env.example", "KEY=1\n"),
    "another repository above": lambda project: git(project.code, "init", "-q"),
}


@pytest.mark.parametrize("change", NEEDS_GIT)
def test_what_changes_git_s_answer_is_asked_for(project: Project, change: str) -> None:
    project.settle()

    NEEDS_GIT[change](project)

    assert project.without_git() is None
    same(project.captured(), project.anew())


@pytest.mark.parametrize("name", ["included", "chosen"])
def test_files_that_the_configuration_names_are_looked_at(project: Project, name: str) -> None:
    write(
        project.user / ".gitconfig",
        "[core]\n\texcludesFile = ~/chosen\n[include]\n\tpath = included\n",
    )
    write(project.user / "chosen", "*.never\n")
    write(project.code / "more.txt", "1\n")
    assert project.settle().has("more.txt")

    line = "[core]\n\texcludesFile = ~/others\n" if name == "included" else "*.txt\n"
    write(project.user / "others", "*.txt\n")
    write(project.user / name, line)

    found = project.captured()
    assert not found.has("more.txt")
    same(found, project.anew())


def test_another_request_has_another_list(project: Project) -> None:
    project.settle()
    rules = PackingRules(exclude=("package/",))

    assert project.without_git(rules) is None
    same(project.captured(rules), project.anew(rules))


def test_a_directory_without_a_repository_is_kept_too(tmp_path: Path, noted_git: Path) -> None:
    code = tmp_path / "plain"
    write(code / "train.py", "print(1)\n")
    write(code / ".gitignore", "*.log\n")
    project = Project(code, code, tmp_path / "user", noted_git)
    project.settle()
    write(code / "train.py", "print(2)\n")
    found = project.without_git()
    assert found is not None
    same(found, project.anew())

    git(code, "init", "-q")

    assert project.without_git() is None
    same(project.captured(), project.anew())


@pytest.mark.parametrize("damage", ["", "{}", '{"format": 1}\n', '{"format": 99}\n', "\0\n\0"])
def test_a_kept_list_that_cannot_be_read_is_made_again(project: Project, damage: str) -> None:
    project.settle()
    kept = SnapshotStore.of(project.code, Home()).git_dir / "packing"
    assert kept.is_file()

    kept.write_text(damage, encoding="ascii")

    assert project.without_git() is None
    same(project.settle(), project.anew())


def test_a_change_within_the_clock_s_grain_is_not_kept(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing_grounds, "YOUNG_NS", 3_600_000_000_000)

    for _ in range(3):
        assert project.without_git() is None


@pytest.mark.parametrize("state", STATES)
def test_every_state_of_a_repository_is_the_same_the_second_time(
    state: str, tmp_path: Path, noted_git: Path
) -> None:
    made = make(state, tmp_path)
    project = Project(made.top, made.code, tmp_path / "user", noted_git)
    for _ in range(3):
        project.captured()
    for path in sorted(made.code.rglob("*.py"))[:1]:
        write(path, "print('edited')\n")

    same(project.captured(), project.anew())
