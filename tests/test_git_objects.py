"""Objects and packs as we write them, held against git's own."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest

from anylearn_jupyter.submit.git_objects import (
    GitObject,
    LooseObjects,
    PackFile,
    TreeEntry,
    commit_of,
    pack_of,
    trees_of,
)
from anylearn_jupyter.submit.snapshot import snapshot
from repository_states import make, write

NOBODY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (
        ("NAME", "anylearn"),
        ("EMAIL", "anylearn@localhost"),
        ("DATE", "1000000000 +0000"),
    )
}


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    path = tmp_path / "own.git"
    subprocess.run(["git", "init", "-q", "--bare", path], check=True)
    return path


def git(bare: Path, *words: str, data: bytes = b"", **variables: str) -> bytes:
    done = subprocess.run(
        ["git", f"--git-dir={bare}", *words],
        input=data,
        capture_output=True,
        check=True,
        env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, **variables},
    )
    return done.stdout.strip()


def git_commit(bare: Path, top: Path) -> str:
    """Commit a directory by git's own plumbing, as snapshots were made before."""
    tree = ["-c", "core.bare=false", f"--work-tree={top}"]
    git(bare, *tree, "add", "--all", "--force", ".")
    made = git(bare, "commit-tree", git(bare, "write-tree").decode(), "-m", "snapshot", **NOBODY)
    return made.decode()


def test_a_snapshot_has_the_id_that_git_gives_it(tmp_path: Path, bare: Path) -> None:
    top = tmp_path / "code"
    for name in ("requirements.txt", "a/b/c.py", "a.py", "a-b/x", "a b/\u00e9\u4e2d.txt", "ab/z"):
        write(top / name, f"{name}\n")
    write(top / "empty.txt", "")
    write(top / "run.sh", "#!/bin/sh\n").chmod(0o755)
    (top / "link").symlink_to("a/b/c.py")
    (top / os.fsdecode(b"no\xffutf8")).write_bytes(b"\0\xff" * 100_000)

    taken = snapshot(top)

    assert taken.commit == git_commit(bare, top)
    (top / "a.py").unlink()
    write(top / "a.py/now/deep.py", "")
    assert snapshot(top).commit == git_commit(bare, top)


def test_what_changed_in_any_way_is_seen(tmp_path: Path, bare: Path) -> None:
    made = make("clean", tmp_path)
    seen = {snapshot(made.code).commit}

    for act in (
        lambda: (made.code / "train.py").chmod(0o755),
        lambda: write(made.code / "train.py", "print(1)\n"),
        lambda: write(made.code / "train.py", "print(2)\n"),
        lambda: (made.code / "train.py").unlink(),
        lambda: (made.code / "train.py").symlink_to("package/model.py"),
        lambda: write(made.code / "more.py", ""),
    ):
        act()
        seen.add(snapshot(made.code).commit)

    assert len(seen) == 7


def test_objects_are_git_s_own(bare: Path) -> None:
    blobs = [GitObject("blob", os.urandom(size)) for size in (0, 1, 15, 16, 2047, 2048, 70_000)]
    files = {f"part{n % 3}/{n}": TreeEntry(b"100644", one.id) for n, one in enumerate(blobs)}
    trees = trees_of(files)
    commit = commit_of(trees[-1].id, "a <b@c>", 5, "words")
    objects = [*blobs, *trees, commit]

    loose = LooseObjects(bare / "objects")
    for one in objects[:5]:
        loose.write(one.id, one)
    git(bare, "index-pack", "--stdin", "--strict", data=pack_of(objects[5:]))

    git(bare, "update-ref", "refs/heads/main", commit.id.hex())
    git(bare, "fsck", "--strict", "--full")
    for one in objects:
        assert git(bare, "cat-file", "-t", one.id.hex()).decode() == one.kind
    assert loose.read(blobs[2].id) == blobs[2]
    assert loose.read(commit.id) is None


def test_a_pack_that_is_written_as_it_comes_is_the_same_pack(tmp_path: Path) -> None:
    objects = [GitObject("blob", bytes([number]) * number) for number in range(100)]
    file = io.BytesIO()
    pack = PackFile(file)
    for one in objects:
        pack.add(one)
    name = pack.finish()

    assert file.getvalue() == pack_of(objects)
    assert file.getvalue()[-20:].hex() == name


@pytest.mark.parametrize("damage", [b"", b"not zlib", GitObject("blob", b"other").loose()])
def test_a_damaged_object_is_never_taken(damage: bytes, bare: Path) -> None:
    one = GitObject("blob", b"content")
    loose = LooseObjects(bare / "objects")
    loose.write(one.id, one)
    (path,) = (bare / "objects").glob("??/*")
    path.write_bytes(damage)

    with pytest.raises(ValueError, match="damaged"):
        loose.read(one.id)


def test_a_path_that_is_a_file_and_a_directory_is_refused() -> None:
    entry = TreeEntry(b"100644", GitObject("blob", b"").id)

    with pytest.raises(ValueError, match="'a' is a file and a directory"):
        trees_of({"a": entry, "a/b": entry})
