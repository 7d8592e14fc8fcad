"""Where data really is: asked of the system each time, so that nothing swapped is taken for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit import data_scan
from anylearn_jupyter.submit.data_scan import scan, top_of
from anylearn_jupyter.submit.fingerprint import fingerprint
from anylearn_jupyter.submit.stat_cache import StatCache
from cached_data import cache, old

__all__ = ["cache"]

TIMES = (10**18, 10**18)


def made(top: Path, content: bytes) -> Path:
    """Make a folder whose names, sizes and times are always the same."""
    (top / "deep").mkdir(parents=True)
    for path in (top / "a", top / "deep" / "b"):
        path.write_bytes(content)
    (top / "deep" / "link").symlink_to("../a")
    for path in (*top.rglob("*"), top):
        os.utime(path, ns=TIMES, follow_symlinks=False)
    return top


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders that differ in their content alone."""
    return made(tmp_path / "one", b"1"), made(tmp_path / "other", b"2")


def agree(path: Path, cache: StatCache) -> str:
    """Ask with the cache, and hold it against what reading all of it gives."""
    found, afresh = fingerprint(path, cache=cache), fingerprint(path)
    assert (found.value, found.entries) == (afresh.value, afresh.entries)
    assert found.root == path.expanduser().resolve(strict=True)
    assert all(Path(entry.source).is_relative_to(found.root) for entry in found.entries)
    assert found.skipped == ()
    return found.value


def test_a_link_that_is_turned_to_another_folder(
    two: tuple[Path, Path], tmp_path: Path, cache: StatCache
) -> None:
    old(tmp_path)
    current = tmp_path / "current"
    values = []
    for folder in (*two, *two):
        current.unlink(missing_ok=True)
        current.symlink_to(folder, target_is_directory=True)
        values.append(agree(current, cache))

    assert values[:2] == values[2:]
    assert values[0] != values[1]


def test_a_folder_that_takes_anothers_place(
    two: tuple[Path, Path], tmp_path: Path, cache: StatCache
) -> None:
    """Of the same names, sizes and times; back and forth, so that both are known."""
    one, other = two
    old(tmp_path)
    values = []
    for _ in range(2):
        values.append(agree(one, cache))
        one.rename(tmp_path / "aside")
        other.rename(one)
        (tmp_path / "aside").rename(other)

    assert values[0] != values[1]
    assert agree(one, cache) == values[0]


def test_a_folder_in_it_that_takes_anothers_place(
    two: tuple[Path, Path], tmp_path: Path, cache: StatCache
) -> None:
    one, other = two
    old(tmp_path)
    before = agree(one, cache)
    (one / "deep").rename(tmp_path / "aside")
    (other / "deep").rename(one / "deep")

    assert agree(one, cache) != before


def test_a_folder_that_is_deleted_and_made_again(tmp_path: Path, cache: StatCache) -> None:
    """The new one may get the inode numbers of the old one."""
    top = made(tmp_path / "top", b"1")
    old(tmp_path)
    before = agree(top, cache)
    shutil.rmtree(top)
    made(top, b"2")

    assert agree(top, cache) != before


def test_a_parent_that_is_renamed_and_becomes_a_link(tmp_path: Path, cache: StatCache) -> None:
    """The folder is the same by its inode, and yet is elsewhere: so are the links in it."""
    parent, moved = tmp_path / "parent", tmp_path / "moved"
    top = made(parent / "top", b"1")
    old(tmp_path)
    before = agree(top, cache)

    parent.rename(moved)
    with pytest.raises(DataError, match="is not there"):
        fingerprint(top, cache=cache)
    assert agree(moved / "top", cache) == before
    parent.symlink_to(moved, target_is_directory=True)

    assert agree(top, cache) == before


def relative_to(here: Path) -> list[Path]:
    """Name one folder, ``here/real/data``, in many ways."""
    return [
        here / "real" / "data",
        Path("real/data"),
        Path("./real/../real/data/."),
        Path("link"),
        Path("link/../data"),
        here / "chain" / "deep" / "..",
        Path("~/data"),
        Path("/proc/self/cwd/real/data"),
    ]


@pytest.mark.parametrize("told", [True, False])
def test_a_folder_is_the_same_by_all_its_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """Whether the system tells where it is, or each part of a path is asked for a link."""
    real = made(tmp_path / "real" / "data", b"1")
    (tmp_path / "link").symlink_to("real/data", target_is_directory=True)
    (tmp_path / "chain").symlink_to(tmp_path / "link", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "real"))
    if not told:
        monkeypatch.setattr(data_scan, "_opened_top", lambda path: None)

    for path in relative_to(tmp_path):
        top, found = top_of(path), scan(path)
        assert top.root == found.root == real
        assert (top.listing is not None) == told
        assert os.path.samestat(top.found, real.stat())
        assert sorted(name for one in found.folders for name in one.names) == ["a", "b", "link"]


@pytest.mark.parametrize("beside", [True, False])
def test_a_folder_that_was_deleted_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    """The system calls it "gone (deleted)", which may be the name of another one."""
    gone, other = tmp_path / "gone", tmp_path / "gone (deleted)"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    if beside:
        made(other, b"1")
        assert fingerprint(other).root == other

    with pytest.raises(DataError, match=r"'\.' is not there"):
        fingerprint(Path())


MOUNTED = """
import os, subprocess, sys
from pathlib import Path
from anylearn_jupyter.submit.fingerprint import fingerprint
from anylearn_jupyter.submit.stat_cache import StatCache

one, other = Path(sys.argv[1]), Path(sys.argv[2])
os.chdir(one)
values = []

def ask(path):
    found = fingerprint(path, cache=StatCache())
    assert found.value == fingerprint(path).value
    assert found.root == path.resolve(), found.root
    values.append(found.value)

ask(one)
subprocess.run(["mount", "--bind", other, one], check=True)
ask(one)      # what is mounted
ask(Path())   # its place now leads to what is mounted
os.chdir(one / "deep")
subprocess.run(["umount", "--lazy", one], check=True)
ask(one)
subprocess.run(["mount", "--bind", other / "deep", one / "deep"], check=True)
ask(one)
print(*values)
"""


def may_mount() -> bool:
    """Whether a process may have mounts of its own here."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "--bind", "/", "/"], capture_output=True, check=False
    )
    return tried.returncode == 0


@pytest.mark.skipif(not may_mount(), reason="no process may mount here")
def test_what_is_mounted_over_a_folder_is_taken(two: tuple[Path, Path], tmp_path: Path) -> None:
    one, other = two
    old(tmp_path)
    answer = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", MOUNTED, str(one), str(other)],
        capture_output=True,
        text=True,
        check=True,
    )

    before, mounted, here, again, half = answer.stdout.split()
    assert before == again == fingerprint(one).value
    assert mounted == here == fingerprint(other).value
    assert half not in (before, mounted)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda top: (top / os.fsdecode(b"odd\xff")).touch(), "is no UTF-8"),
        (lambda top: shutil.rmtree(top), "is not there"),
        (lambda top: (shutil.rmtree(top), top.symlink_to(top)), "is not there"),
        (lambda top: (shutil.rmtree(top), os.mkfifo(top)), "neither a file nor a directory"),
    ],
)
def test_what_is_wrong_with_it_is_said(
    tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    top = made(tmp_path / "top", b"1")
    spoil(top)

    with pytest.raises(DataError, match=words):
        fingerprint(top)
