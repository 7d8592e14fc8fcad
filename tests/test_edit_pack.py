"""An edit of known code is taken in without git; what git would refuse never is (G5, G6)."""

from __future__ import annotations

import hashlib
import os
import random
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from anylearn_jupyter.engine import edit_pack, incoming
from anylearn_jupyter.engine.checkout import Spare, bring_up, check_out
from anylearn_jupyter.engine.code_trees import CodeTree, CodeTrees, list_tree
from anylearn_jupyter.engine.edit_pack import Edit, read_edit
from anylearn_jupyter.engine.incoming import PackRefused, take_in
from anylearn_jupyter.engine.spare_code import SpareCode
from test_engine_git_abuse import commit_of, name_of, pack
from test_launch import Repository
from test_spares import content

FILES = {
    "train.py": ("100644", b"print(1)\n"),
    ".gitignore": ("100644", b"*.log\n"),
    "a-b/c.py": ("100644", b"c\n"),
    "a/b.py": ("100644", b"b\n"),
    "a/deep/er.txt": ("100755", b"deep\n"),
    "模型/新 的.py": ("100644", b"model\n"),
    "link": ("120000", b"train.py"),
}

Objects = list[tuple[int, bytes]]


class Code:
    """A repository with `FILES`, and packs that change them."""

    def __init__(self, root: Path) -> None:
        self.repository = Repository(root)
        self.path = self.repository.path
        self.commit = self.repository.commit(FILES)
        found = list_tree(self.path, self.commit)
        assert found is not None
        self.known: CodeTree = found

    def tree(self, directory: str = "", **changed: bytes | None) -> bytes:
        """Write a directory's tree with entries (``mode id``) changed, added or left out."""
        entries = {
            name: entry.mode + b" " + entry.id
            for name, entry in self.known.directories[directory.encode()].items()
        }
        entries |= {name.encode(): about for name, about in changed.items() if about}
        gone = {name.encode() for name, about in changed.items() if about is None}
        return raw_tree(
            [
                (about[:-21], name, about[-20:])
                for name, about in entries.items()
                if name not in gone
            ]
        )

    def edit(self, **changed: bytes | None) -> tuple[str, Objects]:
        """Give the commit and the objects of a change at the top, contents as they are."""
        blobs = [data for data in changed.values() if data is not None]
        tree = self.tree(
            **{
                name: data if data is None else b"100644 " + name_of("blob", data)
                for name, data in changed.items()
            }
        )
        return self.committed(tree, *((3, data) for data in blobs))

    def committed(self, tree: bytes, *more: tuple[int, bytes]) -> tuple[str, Objects]:
        commit = commit_of(name_of("tree", tree))
        return name_of("commit", commit).hex(), [*more, (2, tree), (1, commit)]


def raw_tree(entries: list[tuple[bytes, bytes, bytes]]) -> bytes:
    entries.sort(key=lambda one: one[1] + b"/" if one[0] == b"40000" else one[1])
    return b"".join(mode + b" " + name + b"\0" + object_id for mode, name, object_id in entries)


@pytest.fixture
def code(tmp_path: Path) -> Code:
    return Code(tmp_path)


def taken(code: Code, commit: str, data: bytes, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Take a pack in where there is no git, and check the result with git."""
    incoming._git.cache_clear()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(code.path))
        edit = take_in(code.path, commit, data, code.known)
    assert edit is not None
    assert code.repository.git("rev-parse", f"snapshot-{commit[:12]}") == commit
    code.repository.git("fsck", "--full", "--strict")
    assert edit.tree == list_tree(code.path, commit)
    return edit


def test_an_edit_is_taken_in_without_git(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    commit, objects = code.edit(**{"train.py": b"print(2)\n"})

    edit = taken(code, commit, pack(*objects), monkeypatch)

    assert edit.base == code.commit
    assert edit.written == {b"train.py": b"print(2)\n"}
    assert take_in(code.path, commit, pack(*objects), code.known) is not None  # once more is once
    assert not list(code.path.glob("tmp_*"))
    assert not list(code.path.glob("objects/tmp_*"))


def test_an_edit_in_a_directory_is_too(code: Code, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = b"deeper\n"
    deep = code.tree("a/deep", **{"er.txt": b"100755 " + name_of("blob", blob)})
    above = code.tree("a", deep=b"40000 " + name_of("tree", deep))
    top = code.tree(a=b"40000 " + name_of("tree", above))
    commit, objects = code.committed(top, (3, blob), (2, deep), (2, above))

    assert taken(code, commit, pack(*objects), monkeypatch).written == {b"a/deep/er.txt": blob}


@pytest.mark.parametrize(
    "change",
    [
        {"new.py": b"new\n"},
        {"link": None},
        {"a": None},
        {"a": b"a file now\n"},
        {"train.py": None, "新.py": b"print(1) # moved\n"},
    ],
    ids=str,
)
def test_names_that_come_and_go_are_taken_in_and_left_to_git_to_put_in_place(
    code: Code, change: dict[str, bytes | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, objects = code.edit(**change)

    assert taken(code, commit, pack(*objects), monkeypatch).written is None


def blob_entry(
    mode: bytes, name: bytes, data: bytes = b"x\n"
) -> Callable[[Code], tuple[str, bytes]]:
    def make(code: Code) -> tuple[str, bytes]:
        added = (mode, name, name_of("blob", data))
        known = [
            (entry.mode, one, entry.id)
            for one, entry in code.known.directories[b""].items()
            if one != name
        ]
        commit, objects = code.committed(raw_tree([*known, added]), (3, data))
        return commit, pack(*objects)

    return make


def with_tree(raw: Callable[[Code], bytes]) -> Callable[[Code], tuple[str, bytes]]:
    def make(code: Code) -> tuple[str, bytes]:
        commit, objects = code.committed(raw(code))
        return commit, pack(*objects)

    return make


def with_commit(text: Callable[[str], str]) -> Callable[[Code], tuple[str, bytes]]:
    def make(code: Code) -> tuple[str, bytes]:
        tree = code.tree()
        commit = text(name_of("tree", tree).hex()).encode()
        return name_of("commit", commit).hex(), pack((2, tree), (1, commit))

    return make


def changed(change: Callable[[bytes], bytes]) -> Callable[[Code], tuple[str, bytes]]:
    def make(code: Code) -> tuple[str, bytes]:
        commit, objects = code.edit(**{"train.py": b"print(2)\n"})
        return commit, change(pack(*objects))

    return make


def signed(body: bytes) -> bytes:
    return body + hashlib.sha1(body).digest()


def more_objects(*more: tuple[int, bytes]) -> Callable[[Code], tuple[str, bytes]]:
    def make(code: Code) -> tuple[str, bytes]:
        commit, objects = code.edit(**{"train.py": b"print(2)\n"})
        return commit, pack(*objects, *more)

    return make


WHO = "t <t@t> 1000000000 +0000"
FOR_GIT: dict[str, Callable[[Code], tuple[str, bytes]]] = {
    **{
        f"a name {name!r}": blob_entry(b"100644", name)
        for name in (
            *(b".git", b".GIT", b".Git", b"..", b".", b"a/b", b"git~1", b"GIT~1", b".git."),
            *(b".git::$INDEX_ALLOCATION", b"gitmod~1", b".gitmodules", b".GITMODULES", b"c:x"),
            *(b".git ", b".gitattributes", b"back\\slash", b"new\nline", b"\xff", b"end."),
            *(b"x" * 300, ".g\u200cit".encode(), "\ufeff.git".encode(), ".git\u202e".encode(), b""),
        )
    },
    "a submodule": blob_entry(b"160000", b"module"),
    "a mode with a zero": blob_entry(b"0100644", b"zero.py"),
    "an odd mode": blob_entry(b"100664", b"odd.py"),
    "a directory that is a file": blob_entry(b"40000", b"directory"),
    "an id of nothing": with_tree(lambda code: code.tree(none=b"100644 " + bytes(20))),
    "an id that is not there": with_tree(lambda code: code.tree(none=b"100644 " + b"\1" * 20)),
    "a file in another place": with_tree(
        lambda code: code.tree(
            moved=b"100644 " + code.known.directories[b""][b"train.py"].id
        )
    ),
    "a name twice": with_tree(lambda code: code.tree() + code.tree()[-24:]),
    "another order": with_tree(
        lambda code: raw_tree([(b"100644", b"z", code.known.directories[b""][b"train.py"].id)])
        + code.tree()
    ),
    "half an entry": with_tree(lambda code: code.tree()[:-3]),
    "a commit with a parent": with_commit(
        lambda tree: f"tree {tree}\nparent {'1' * 40}\nauthor {WHO}\ncommitter {WHO}\n\nx\n"
    ),
    "a commit of two minds": with_commit(
        lambda tree: f"tree {tree}\nauthor {WHO}\ncommitter u{WHO}\n\nx\n"
    ),
    "a commit with a zero": with_commit(
        lambda tree: f"tree {tree}\nauthor {WHO}\ncommitter {WHO}\n\nx\0y\n"
    ),
    "a commit without words": with_commit(lambda tree: f"tree {tree}\n"),
    "an object too many": more_objects((3, b"nobody names me")),
    "a tree too many": more_objects((2, b"")),
    "a tag": more_objects((4, b"object")),
    "an object twice": more_objects((3, b"print(2)\n")),
    "a difference": more_objects((7, b"\0" * 20)),
    "more than fits": more_objects((3, bytes(edit_pack.MAX_BYTES))),
    "another digest": changed(lambda data: data[:-1] + bytes([data[-1] ^ 1])),
    "a byte more": changed(lambda data: signed(data[:-20] + b"\0")),
    "an object less than it says": changed(
        lambda data: signed(data[:8] + struct.pack(">I", 4) + data[12:-20])
    ),
    "an object more than it says": changed(
        lambda data: signed(data[:8] + struct.pack(">I", 2) + data[12:-20])
    ),
    "another version": changed(lambda data: signed(data[:4] + struct.pack(">I", 3) + data[8:-20])),
    "nothing": changed(lambda _: pack()),
    "a size that is not so": changed(
        lambda _: signed(b"PACK" + struct.pack(">II", 2, 1) + b"\x35" + zlib.compress(b"four"))
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOR_GIT)
def test_whatever_is_not_plain_is_git_s_to_judge(code: Code, case: str) -> None:
    commit, data = FOR_GIT[case](code)

    assert read_edit(data, commit, code.known) is None


def test_another_commit_than_the_one_that_is_named_is_refused(code: Code) -> None:
    _, objects = code.edit(**{"train.py": b"print(2)\n"})

    assert read_edit(pack(*objects), "f" * 40, code.known) is None
    with pytest.raises(PackRefused):
        take_in(code.path, "f" * 40, pack(*objects), code.known)


def test_what_passes_would_pass_git(code: Code, tmp_path: Path) -> None:
    """Random damage to names, modes and ids: git never refuses what is taken here."""
    dice = random.Random(20261125)
    marks = [b".", b"g", b"~", b"/", b"\0", b"\xe2\x80\x8c", b" ", b"4", b"0", b"\xff"]
    passed = 0
    for number in range(400):
        tree = bytearray(code.tree(**{"train.py": b"100644 " + name_of("blob", b"x\n")}))
        if number:
            at = dice.randrange(len(tree))
            tree[at : at + dice.randrange(2)] = dice.choice(marks)
        commit, objects = code.committed(bytes(tree), (3, b"x\n"))
        if read_edit(pack(*objects), commit, code.known) is None:
            continue
        passed += 1
        done = subprocess.run(
            ["git", f"--git-dir={code.path}", "unpack-objects", "-q", "--strict"],
            env=code.repository.variables, input=pack(*objects), capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (bytes(tree), done.stderr)
    assert passed > 1


def test_a_spare_is_brought_up_to_an_edit_without_git(
    code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spares = a_spare(code, tmp_path)
    for text in (b"print(2)\n", b"print(3) # and more\n"):
        commit, objects = code.edit(**{"train.py": text})
        edit = take_in(code.path, commit, pack(*objects), spares.trees.of(code.path))
        assert edit is not None
        with monkeypatch.context() as patch:
            patch.setenv("PATH", str(tmp_path))
            spares.expect(code.path, commit, edit)
        spares.trees.put(code.path, edit.tree)

    assert put_in_place(spares, code, commit, tmp_path) == commit


@pytest.mark.parametrize("touched", ["train.py", "a/b.py", "link"])
def test_a_spare_that_somebody_touched_is_left_to_git(
    code: Code, tmp_path: Path, touched: str
) -> None:
    spares = a_spare(code, tmp_path)
    (path,) = (tmp_path / "spares").glob(f"*/files/{touched}")
    if touched == "train.py":
        path.unlink()
        path.symlink_to(tmp_path / "outside")
    else:
        os.utime(path, ns=(1, 1), follow_symlinks=False)
    commit, objects = code.edit(**{"train.py": b"print(2)\n"})
    edit = take_in(code.path, commit, pack(*objects), spares.trees.of(code.path))
    assert edit is not None

    spares.expect(code.path, commit, edit)

    assert put_in_place(spares, code, commit, tmp_path) == commit
    assert not (tmp_path / "outside").exists()


def a_spare(code: Code, tmp_path: Path) -> SpareCode:
    spares = SpareCode(tmp_path / "spares")
    check_out(code.path, code.commit, tmp_path / "code", scratch=tmp_path / "own.git")
    spares.used(code.path, code.commit, tmp_path / "code")
    spares.refill()
    assert spares.trees.of(code.path) == code.known
    return spares


def put_in_place(spares: SpareCode, code: Code, commit: str, tmp_path: Path) -> str | None:
    """Take the spare, check that it is what git checks out, and give what it is current with."""
    spare = spares.take(code.path, tmp_path / "taken")
    assert isinstance(spare, Spare)
    current = spare.current
    for name, one in (("warm", spare), ("cold", None)):
        check_out(code.path, commit, tmp_path / name, scratch=tmp_path / "own.git", spare=one)
    assert content(tmp_path / "warm") == content(tmp_path / "cold")
    return current


def test_git_goes_on_from_a_spare_that_was_written_to(code: Code, tmp_path: Path) -> None:
    """Also back to what its list says, which the files are not any more."""
    spares = a_spare(code, tmp_path)
    commit, objects = code.edit(**{"train.py": b"print(2)\n"})
    edit = take_in(code.path, commit, pack(*objects), spares.trees.of(code.path))
    spares.expect(code.path, commit, edit)
    spare = spares.take(code.path, tmp_path / "taken")
    assert spare is not None

    bring_up(code.path, code.commit, spare.place)

    assert (spare.place / "files" / "train.py").read_bytes() == b"print(1)\n"


def test_code_is_known_of_one_repository_only(code: Code, tmp_path: Path) -> None:
    trees = CodeTrees()
    trees.put(code.path, code.known)
    assert trees.of(code.path) is code.known
    assert trees.of(tmp_path / "another.git") is None

    code.path.rename(tmp_path / "gone.git")
    assert trees.of(code.path) is None
    (tmp_path / "again").mkdir()
    again = Repository(tmp_path / "again")
    again.path.rename(code.path)
    assert trees.of(code.path) is None


def test_code_is_known_until_a_pack_comes_or_goes(code: Code) -> None:
    trees = CodeTrees()
    trees.put(code.path, code.known)
    (code.path / "objects" / "pack" / "new.pack").touch()
    assert trees.of(code.path) is None
    trees.put(code.path, code.known)
    trees.keep_only([code.path])
    assert trees.of(code.path) is code.known
    trees.keep_only([])
    assert trees.of(code.path) is None


def test_code_that_cannot_be_known_is_not(
    code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list_tree(code.path, "f" * 40) is None
    module = code.repository.commit(FILES | {"module": ("160000", b"1" * 40)})
    assert list_tree(code.path, module) is None
    monkeypatch.setattr("anylearn_jupyter.engine.code_trees.MAX_ENTRIES", 5)
    assert list_tree(code.path, code.commit) is None
