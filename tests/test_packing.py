"""What travels, what does not, and that each thing that does not is named with its reason."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from anylearn_jupyter.errors import OptionError, SnapshotError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit import packing
from anylearn_jupyter.submit.globs import Glob, literal
from anylearn_jupyter.submit.packing import packing_list
from anylearn_jupyter.submit.packing_list import PackingList
from anylearn_jupyter.submit.packing_rules import PackingRules
from repository_states import a_repository, git, make, write

EMPTY = PackingRules()


def names(found: PackingList) -> list[str]:
    return [file.path for file in found.files]


def reasons(found: PackingList) -> dict[str, str]:
    return {skipped.path: skipped.reason for skipped in found.skipped}


def test_git_rules_count_in_a_repository_and_without(tmp_path: Path) -> None:
    inside = make("untracked", tmp_path)
    outside = make("no_repository", tmp_path)

    assert names(packing_list(inside.code)) == [
        *(".gitignore", "new.py", "package/model.py", "train.py"),
    ]
    assert names(packing_list(outside.code)) == [".gitignore", "train.py"]
    assert reasons(packing_list(outside.code)) == {"secret.txt": "ignored by git"}
    assert reasons(packing_list(inside.code)) == {
        "secret.txt": "ignored by git",
        "output/": "ignored by git",
    }


def test_the_users_own_ignore_file_counts_as_for_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = tmp_path / "user"
    write(user / ".gitconfig", "[core]\n\texcludesFile = ~/mine\n")
    write(user / "mine", "*.scratch\n")
    monkeypatch.setenv("HOME", str(user))
    for state in ("clean", "no_repository"):
        made = make(state, tmp_path)
        write(made.top / "a.scratch", "no\n")

        assert not packing_list(made.code).has("a.scratch")


def test_tracked_files_travel_though_they_are_ignored(tmp_path: Path) -> None:
    top = a_repository(tmp_path / "code")
    write(top / "model.ckpt", "weights\n")
    git(top, "add", "-f", "model.ckpt")

    assert packing_list(top).has("model.ckpt")


def test_what_is_never_code_stays_and_is_named(tmp_path: Path) -> None:
    top = tmp_path / "code"
    write(top / "train.py", "")
    write(top / "__pycache__" / "train.pyc", "")
    write(top / "deep" / ".ipynb_checkpoints" / "x.ipynb", "{}")
    write(top / "deep" / "lone.pyc", "")
    write(top / ".env.local", "KEY=1\n")
    write(top / ".env", "KEY=1\n")
    write(top / "venv" / "pyvenv.cfg", "")
    write(top / "venv" / "lib" / "x.py", "")
    write(top / "deep" / "conda" / "conda-meta" / "history", "")
    write(top / "deep" / "conda" / "bin" / "tool", "")
    write(top / ".hg" / "store", "")
    write(top / "data" / "a.csv", "1\n")
    write(top / "output" / "old.txt", "1\n")
    rules = PackingRules(mounted=(top / "data",), output="output", exclude=("*.md",))
    write(top / "README.md", "")

    found = packing_list(top, rules)

    assert names(found) == ["train.py"]
    assert reasons(found) == {
        "__pycache__/": "cache",
        "deep/.ipynb_checkpoints/": "cache",
        "deep/lone.pyc": "cache",
        ".env": ".env file, which may hold secrets",
        ".env.local": ".env file, which may hold secrets",
        "venv/": "virtual environment",
        "deep/conda/": "virtual environment",
        ".hg/": "version control's own files",
        "data/": "data folder that this task mounts",
        "output/": "results folder",
        "README.md": "--exclude *.md",
    }
    assert found.occupant("output") == "output/old.txt"
    assert found.occupant("./results") is None
    assert found.why_not("data/a.csv") == "data folder that this task mounts"
    assert found.why_not("venv/lib/x.py") == "virtual environment"
    assert found.why_not("train.py") is None
    assert found.why_not("nothing.py") is None
    assert found.why_not("../x") == "it is not below the code directory"


def test_ignored_results_of_a_local_run_do_not_count(tmp_path: Path) -> None:
    made = make("clean", tmp_path)

    found = packing_list(made.code, PackingRules(output="output"))

    assert (made.top / "output" / "left.txt").exists()
    assert found.occupant("output") is None
    assert found.occupant("package") == "package/model.py"
    assert found.occupant("train.py") == "train.py"


def test_include_brings_back_and_exclude_wins(tmp_path: Path) -> None:
    made = make("clean", tmp_path)
    write(made.top / ".env.example", "KEY=\n")
    write(made.top / "output" / "__pycache__" / "x.pyc", "")
    write(made.top / "output" / "deep" / "kept.txt", "")
    rules = PackingRules(
        include=("secret.txt", "output/", ".env.example"), exclude=("output/left.txt",)
    )

    found = packing_list(made.code, rules)

    assert {"secret.txt", ".env.example", "output/deep/kept.txt"} <= set(names(found))
    assert reasons(found) == {
        "output/__pycache__/": "cache",
        "output/left.txt": "--exclude output/left.txt",
    }


@pytest.mark.parametrize(
    ("pattern", "fitting", "other"),
    [
        ("*.csv", ["a.csv", "b/c.csv"], ["a.csv.gz", "csv"]),
        ("data/*.csv", ["data/a.csv"], ["data/b/a.csv", "x/data/a.csv"]),
        ("/a.py", ["a.py"], ["b/a.py"]),
        ("**/x.py", ["x.py", "a/b/x.py"], ["ax.py"]),
        ("a/**/x", ["a/x", "a/b/c/x"], ["b/x"]),
        ("a/**", ["a/b", "a/b/c"], ["a"]),
        ("[ab]?.txt", ["a1.txt", "d/b2.txt"], ["c1.txt", "a.txt"]),
        ("[!ab].txt", ["c.txt"], ["a.txt"]),
        (r"\*.py", ["*.py"], ["a.py"]),
        ("./a b", ["a b"], ["ab"]),
        ("build/", [], ["build"]),
    ],
)
def test_patterns(pattern: str, fitting: list[str], other: list[str]) -> None:
    glob = Glob(pattern)

    assert all(glob.fits(path, is_directory=False) for path in fitting)
    assert not any(glob.fits(path, is_directory=False) for path in other)
    assert Glob("build/").fits("build", is_directory=True)


@pytest.mark.parametrize("pattern", ["", "/", "../x", "a/../b", "[z-a]"])
def test_a_pattern_that_says_nothing_is_refused(pattern: str) -> None:
    with pytest.raises(OptionError, match="pattern"):
        Glob(pattern)


def test_a_name_full_of_wildcards_can_be_left_out(tmp_path: Path) -> None:
    top = tmp_path / "code"
    odd = "data [1]*?"
    write(top / odd / "a.csv", "")
    write(top / "data 1x" / "b.csv", "")

    found = packing_list(top, PackingRules(mounted=(top / odd,)))

    assert names(found) == ["data 1x/b.csv"]
    assert Glob(literal(odd)).fits(odd, is_directory=True)


def test_nested_repositories_travel_as_files_under_their_own_rules(tmp_path: Path) -> None:
    made = make("nested", tmp_path)
    write(made.code / "beside" / "free.py", "")

    found = packing_list(made.code)

    assert found.has("library/new.py")
    assert found.has("library/package/model.py")
    assert found.has("beside/train.py")
    assert found.has("beside/free.py")
    assert found.has("fresh/no_commit.py")
    assert not found.has("beside/secret.txt")
    assert reasons(found)["beside/secret.txt"] == "ignored by git"
    assert not [name for name in names(found) if "/.git/" in name or name.endswith("/.git")]


def test_a_submodule_that_is_not_there_is_said(tmp_path: Path) -> None:
    made = make("nested", tmp_path)
    git(tmp_path, "clone", "-q", str(made.code), "clone")

    found = packing_list(tmp_path / "clone")

    assert any("'library' is not checked out" in note for note in found.notes)


def test_unmerged_files_are_said(tmp_path: Path) -> None:
    for state in ("merging", "rebasing"):
        found = packing_list(make(state, tmp_path).code)

        assert found.has("train.py")
        assert names(found).count("train.py") == 1
        assert any("conflict markers included: 'train.py'" in note for note in found.notes)
        assert found.dirty


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        *(("clean", False), ("dirty", True), ("staged", True), ("untracked", True)),
        *(("detached", False), ("unborn", True), ("subdirectory", True), ("worktree", True)),
        *(("no_repository", False), ("bare", False), ("nested", True), ("bisecting", False)),
        *(("old_times", False), ("hostile", True)),
    ],
)
def test_dirty(state: str, expected: bool, tmp_path: Path) -> None:
    made = make(state, tmp_path)

    found = packing_list(made.code)

    assert found.dirty is expected
    in_commit = state not in ("unborn", "no_repository", "bare")
    assert (found.head is not None) is in_commit
    if in_commit:
        assert found.head == git(made.code, "rev-parse", "HEAD").strip()


def test_dirty_looks_only_below_the_directory(tmp_path: Path) -> None:
    top = a_repository(tmp_path / "code")
    write(top / "train.py", "edited\n")
    write(top / "new.py", "new\n")

    assert packing_list(top).dirty
    assert not packing_list(top / "package").dirty


def test_what_does_not_travel_is_not_dirty(tmp_path: Path) -> None:
    top = a_repository(tmp_path / "code")
    write(top / "data" / "a.csv", "1\n")
    write(top / "__pycache__" / "x.py", "1\n")

    assert packing_list(top).dirty
    assert not packing_list(top, PackingRules(mounted=(top / "data",))).dirty


def test_an_edit_within_a_submodule_is_dirty(tmp_path: Path) -> None:
    made = make("nested", tmp_path)
    git(tmp_path, "clone", "-q", "--recurse-submodules", str(made.code), "clone")
    clone = tmp_path / "clone"
    assert not packing_list(clone).dirty

    write(clone / "library" / "train.py", "edited\n")

    assert packing_list(clone).dirty


def test_a_directory_that_a_repository_above_ignores_is_packed(tmp_path: Path) -> None:
    top = a_repository(tmp_path / "code")
    write(top / "output" / "experiment.py", "")

    found = packing_list(top / "output")

    assert names(found) == ["experiment.py", "left.txt"]
    assert not found.dirty


def test_links(tmp_path: Path) -> None:
    made = make("clean", tmp_path)
    top = made.top
    outside = write(tmp_path / "outside.txt", "private\n")
    for name, target in (
        ("inside", "train.py"),
        ("folder", "package"),
        ("package/up", "../train.py"),
        ("out", str(outside)),
        ("around", f"../{top.name}/train.py"),
        ("absolute", str(top / "train.py")),
        ("nowhere", "not-there"),
        ("circle", "circle"),
        ("to_secret", "secret.txt"),
    ):
        (top / name).symlink_to(target)

    found = packing_list(top)

    links = [file.path for file in found.files if file.is_link]
    assert links == ["folder", "inside", "package/up"]
    kept = reasons(found)
    out = "a link that leads out of the directory"
    assert kept["out"] == kept["around"] == kept["absolute"] == out
    assert kept["nowhere"] == kept["circle"] == "a link that leads nowhere"
    assert kept["to_secret"] == "a link to what does not travel"
    assert found.has("folder/model.py")
    assert not found.has("folder/other.py")


def test_a_tracked_folder_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    made = make("clean", tmp_path)
    write(tmp_path / "elsewhere" / "model.py", "PRIVATE = 1\n")
    (made.top / "package" / "model.py").unlink()
    (made.top / "package").rmdir()
    (made.top / "package").symlink_to(tmp_path / "elsewhere")

    found = packing_list(made.code)

    assert not found.has("package/model.py")
    assert reasons(found)["package"] == "a link that leads out of the directory"


def test_special_files_are_listed_and_never_opened(tmp_path: Path) -> None:
    for state in ("clean", "no_repository"):
        made = make(state, tmp_path)
        os.mkfifo(made.top / "fifo")
        (made.top / "only special").mkdir()
        os.mkfifo(made.top / "only special" / "fifo")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(made.top / "socket"))

        kept = reasons(packing_list(made.code))

        for name in ("fifo", "only special/fifo", "socket"):
            assert kept[name] == "neither a file nor a link"


def test_odd_names_come_through(tmp_path: Path) -> None:
    top = tmp_path / "code"
    top.mkdir()
    odd = [
        *(b"-leading", b"new\nline", b"tab\there", b"x" * 255, b"not\xffutf8"),
        *("😀.py".encode(), "\u202ertl".encode(), "é".encode(), "e\u0301".encode()),
    ]
    for name in odd:
        Path(os.fsdecode(os.fsencode(top) + b"/" + name)).write_bytes(b"")

    found = packing_list(top)

    assert names(found) == [os.fsdecode(name) for name in sorted(odd)]


def test_empty_directories_are_said(tmp_path: Path) -> None:
    made = make("no_repository", tmp_path)
    (made.top / "empty" / "deeper").mkdir(parents=True)

    assert any("Empty directories" in note for note in packing_list(made.code).notes)


def test_many_skipped_files_of_one_directory_are_one_entry(tmp_path: Path) -> None:
    made = make("clean", tmp_path)
    for number in range(30):
        write(made.top / "weights" / f"{number}.ckpt", "")
    write(made.top / "weights" / "read.py", "")

    found = [skipped for skipped in packing_list(made.code).skipped if "weights" in skipped.path]

    assert [(entry.path, entry.files) for entry in found] == [("weights/*", 30)]
    assert packing_list(made.code).why_not("weights/3.ckpt") == "ignored by git"


def test_a_large_file_is_refused_by_name(tmp_path: Path) -> None:
    made = make("clean", tmp_path)
    with (made.top / "weights.bin").open("wb") as file:
        file.truncate(5 << 30)

    with pytest.raises(SnapshotError, match=r"'weights.bin' has 5,369 MB.*-d .*--exclude"):
        packing_list(made.code)
    found = packing_list(made.code, PackingRules(exclude=("weights.bin",)))
    assert not found.has("weights.bin")


def test_too_much_in_all_is_refused_by_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make("clean", tmp_path)
    write(made.top / "big" / "a.txt", "x" * 5000)
    monkeypatch.setattr(packing, "MAX_TOTAL_BYTES", 4000)

    with pytest.raises(SnapshotError, match="largest folders are 'big'"):
        packing_list(made.code)


def test_the_largest_folders_and_the_sum(tmp_path: Path) -> None:
    top = tmp_path / "code"
    write(top / "a" / "one", "x" * 10)
    write(top / "a" / "deep" / "two", "x" * 20)
    write(top / "b" / "three", "x" * 5)
    write(top / "four", "x")

    found = packing_list(top)

    assert found.total_bytes == 36
    assert [tuple(folder) for folder in found.largest_folders(2)] == [("a", 2, 30), ("b", 1, 5)]


@pytest.mark.parametrize("name", ["not there", "a file"])
def test_a_directory_that_is_none_is_refused_by_name(name: str, tmp_path: Path) -> None:
    write(tmp_path / "a file", "")

    with pytest.raises(SnapshotError, match=rf"{name}.*--algorithm-dir"):
        packing_list(tmp_path / name)


def test_our_own_directory_never_travels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make("no_repository", tmp_path)
    monkeypatch.setenv("ANYLEARN_HOME", str(made.top / "ours"))
    write(made.top / "ours" / "credentials.json", "{}")

    found = packing_list(made.code, PackingRules(include=("ours", "credentials.json")))

    assert names(found) == [".gitignore", "train.py"]
    assert reasons(found)["ours/"] == "anylearn's own directory"


def test_a_sparse_checkout_is_said(tmp_path: Path) -> None:
    made = make("clean", tmp_path)
    git(made.top, "sparse-checkout", "set", "--no-cone", "/*", "!package/")

    found = packing_list(made.code)

    assert not found.has("package/model.py")
    assert any("sparse checkout" in note for note in found.notes)


def test_a_home_of_its_own(tmp_path: Path) -> None:
    made = make("clean", tmp_path)

    packing_list(made.code, EMPTY, home=Home(tmp_path / "other"))

    assert (tmp_path / "other" / "snapshots").is_dir()
