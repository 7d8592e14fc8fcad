"""The snapshot's tree, its packs, and the store that it is kept in."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from anylearn_jupyter.errors import SnapshotError
from anylearn_jupyter.home import Home
from anylearn_jupyter.submit import snapshot_store
from anylearn_jupyter.submit.notebooks import without_outputs
from anylearn_jupyter.submit.packing_rules import PackingRules
from anylearn_jupyter.submit.snapshot import Snapshot, snapshot
from anylearn_jupyter.submit.snapshot_store import KEPT_SNAPSHOTS, SnapshotStore
from repository_states import git, make, write


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A bare repository that takes packs as a server does: checked, and by git alone."""
    bare = tmp_path / "server.git"
    git(tmp_path, "init", "-q", "--bare", str(bare))
    return bare


def send(taken: Snapshot, server: Path, have: Iterable[str] = ()) -> int:
    """Put a pack where a server would, check what arrived, and give the pack's bytes."""
    pack = b"".join(taken.pack(set(have)))
    subprocess.run(
        ["git", "index-pack", "--stdin", "--fix-thin", "--strict"],
        cwd=server,
        input=pack,
        capture_output=True,
        check=True,
    )
    git(server, "update-ref", f"refs/heads/{taken.branch}", taken.commit)
    git(server, "fsck", "--strict", "--full")
    return len(pack)


def checked_out(server: Path, commit: str, where: Path) -> Path:
    """Give a directory with the files of a commit."""
    where.mkdir()
    git(server, f"--work-tree={where}", "checkout", "-f", commit, "--", ".")
    return where


def content(directory: Path) -> dict[str, tuple[bytes, bool] | str]:
    """Give each file's bytes and executable bit, and each link's text."""
    found: dict[str, tuple[bytes, bool] | str] = {}
    for path in directory.rglob("*"):
        name = str(path.relative_to(directory))
        if ".git" in path.parts:
            continue
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes(), bool(path.stat().st_mode & 0o100)
    return found


def notebook(*sources: str, count: int | None = None, **more: Any) -> str:
    """Give a notebook as JupyterLab writes it, run or not."""
    output = [{"output_type": "stream", "name": "stdout", "text": ["hello\n"]}]
    cells = [
        {
            "cell_type": "code",
            "id": f"c{number}",
            "source": [source],
            "metadata": {} if count is None else {"execution": {"iopub.status.busy": str(count)}},
            "outputs": [] if count is None else output,
            "execution_count": count,
        }
        for number, source in enumerate(sources)
    ]
    metadata = {"kernelspec": {"name": "python3", "language": "python"}, **more}
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def test_what_arrives_is_what_was_there(tmp_path: Path, server: Path) -> None:
    top = tmp_path / "code"
    write(top / "train.py", "print(1)\r\n").chmod(0o755)
    write(top / "deep" / "a b.txt", "é\n")
    write(top / "requirements.txt", "numpy\n")
    (top / "binary").write_bytes(bytes(range(256)) * 50)
    (top / "empty").write_bytes(b"")
    (top / os.fsdecode(b"not\xffutf8")).write_bytes(b"odd")
    write(top / "new\nline", "odd too")
    (top / "link").symlink_to("deep/a b.txt")
    os.link(top / "binary", top / "hard link")

    taken = snapshot(top)
    send(taken, server)

    assert content(checked_out(server, taken.commit, tmp_path / "out")) == content(top)
    assert taken.notes == ()
    assert taken.files == 9
    assert len(git(server, "rev-list", taken.commit).split()) == 1


def test_raw_bytes_travel_whatever_the_attributes_say(tmp_path: Path, server: Path) -> None:
    top = tmp_path / "code"
    write(
        top / ".gitattributes",
        "*.txt text eol=lf\n*.py ident\n*.u working-tree-encoding=UTF-16 text\n* export-ignore\n",
    )
    (top / "a.txt").write_bytes(b"one\r\ntwo\r\n")
    (top / "b.py").write_bytes(b"# $Id$\r\n")
    (top / "c.u").write_bytes(b"not UTF-16")
    write(top / "requirements.txt", "")

    taken = snapshot(top)
    send(taken, server)

    found = {
        name: subprocess.run(
            ["git", "show", f"{taken.commit}:{name}"], cwd=server, capture_output=True, check=True
        ).stdout
        for name in ("a.txt", "b.py", "c.u")
    }
    assert found == {name: (top / name).read_bytes() for name in found}
    with zipfile.ZipFile(io.BytesIO(b"".join(taken.archive()))) as opened:
        assert opened.read("a.txt") == b"one\r\ntwo\r\n"


def test_large_file_storage_sends_the_real_content(tmp_path: Path, server: Path) -> None:
    made = make("hostile", tmp_path)
    write(made.code / "weights.bin", "real content\n")

    taken = snapshot(made.code)
    send(taken, server)

    assert git(server, "show", f"{taken.commit}:weights.bin") == "real content\n"
    assert not made.tell_tale.exists()


def test_the_commit_is_fixed(tmp_path: Path) -> None:
    """On any machine, with any git, at any time: worked out once with SHA-1 and git's formats."""
    top = tmp_path / "code"
    write(top / "train.py", "print(1)\n")

    assert snapshot(top).commit == "3d1f9e49d0f72a703b601115ee426264bad23acc"


def test_each_change_makes_another_and_going_back_the_same(tmp_path: Path) -> None:
    made = make("dirty", tmp_path)
    first = snapshot(made.code)
    seen = {first.commit}

    def changed() -> str:
        commit = snapshot(made.code).commit
        assert commit not in seen
        seen.add(commit)
        return commit

    write(made.code / "train.py", "print('edited!')\n")
    changed()
    (made.code / "train.py").chmod(0o755)
    changed()
    (made.code / "train.py").rename(made.code / "renamed.py")
    changed()
    (made.code / "renamed.py").unlink()
    write(made.code / "renamed.py" / "deep.py", "a folder of that name\n")
    changed()
    shutil.rmtree(made.code / "renamed.py")
    write(made.code / "train.py", "print('edited')\n").chmod(0o644)
    assert snapshot(made.code).commit == first.commit


def test_an_edit_of_the_same_size_with_its_time_put_back_is_seen(tmp_path: Path) -> None:
    made = make("clean", tmp_path)
    script = made.code / "train.py"
    first = snapshot(made.code)
    times = script.stat()

    write(script, "print('SECOND')\n")
    os.utime(script, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert snapshot(made.code).commit != first.commit


def test_rules_of_a_later_call_take_files_out_again(tmp_path: Path, server: Path) -> None:
    made = make("clean", tmp_path)
    snapshot(made.code)

    taken = snapshot(made.code, PackingRules(exclude=("package",)))
    send(taken, server)

    assert git(server, "ls-tree", "-r", "--name-only", taken.commit).split() == [
        *(".gitignore", "requirements.txt", "train.py"),
    ]
    assert not taken.has("package/model.py")


def test_an_empty_requirements_file_is_added_and_said(tmp_path: Path, server: Path) -> None:
    made = make("no_repository", tmp_path)

    taken = snapshot(made.code)
    send(taken, server)

    assert git(server, "show", f"{taken.commit}:requirements.txt") == ""
    assert any("no requirements.txt, which servers expect" in note for note in taken.notes)
    write(made.top / ".gitignore", "requirements.txt\n")
    write(made.top / "requirements.txt", "numpy\n")
    again = snapshot(made.code)
    assert any("--include requirements.txt" in note for note in again.notes)
    brought = snapshot(made.code, PackingRules(include=("requirements.txt",)))
    send(brought, server)
    assert git(server, "show", f"{brought.commit}:requirements.txt") == "numpy\n"


def test_saving_or_running_a_notebook_makes_no_new_code(tmp_path: Path, server: Path) -> None:
    made = make("no_repository", tmp_path)
    path = made.code / "work.ipynb"
    write(path, notebook("x = 1", "print(x)"))
    first = snapshot(made.code)

    write(path, notebook("x = 1", "print(x)", count=7, widgets={"state": {"secret": 1}}))
    run = snapshot(made.code)
    write(path, notebook("x = 2", "print(x)", count=7))
    edited = snapshot(made.code)

    assert run.commit == first.commit
    assert edited.commit != first.commit
    send(run, server)
    arrived = git(server, "show", f"{run.commit}:work.ipynb")
    assert "hello" not in arrived
    assert "secret" not in arrived
    assert json.loads(arrived)["cells"][1]["source"] == ["print(x)"]
    assert run.total_bytes < run.packing.total_bytes


def test_an_unchanged_notebook_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make("no_repository", tmp_path)
    path = write(made.code / "work.ipynb", notebook("x = 1", count=3))
    path.chmod(0o755)
    first = snapshot(made.code)
    store = SnapshotStore.of(made.code, Home())
    record = store.open()
    seen = record.files["work.ipynb"]
    record.files["work.ipynb"] = seen._replace(read_ns=seen.read_ns + 10**10)  # ten seconds later
    store.write(record)

    def read(data: bytes) -> bytes | None:
        raise AssertionError("the notebook was read")

    with monkeypatch.context() as patch:
        patch.setattr("anylearn_jupyter.submit.snapshot.without_outputs", read)
        assert snapshot(made.code).commit == first.commit
    write(path, notebook("x = 2"))
    assert snapshot(made.code).commit != first.commit


@pytest.mark.parametrize(
    "text", ["not json", "[1, 2]", '{"cells": 3}', '{"cells": [1]}', "[" * 9999]
)
def test_what_is_no_notebook_travels_as_it_is_and_is_said(
    text: str, tmp_path: Path, server: Path
) -> None:
    made = make("no_repository", tmp_path)
    write(made.code / "broken.ipynb", text)

    taken = snapshot(made.code)
    send(taken, server)

    assert git(server, "show", f"{taken.commit}:broken.ipynb") == text
    assert any("'broken.ipynb' is no notebook" in note for note in taken.notes)


def test_notebooks_of_every_kind_are_cleaned() -> None:
    old = {
        "worksheets": [{"cells": [{"cell_type": "code", "outputs": [1], "prompt_number": 4}]}],
        "metadata": {"signature": "x"},
    }
    info = {"name": "python", "version": "3.11.2"}

    assert json.loads(without_outputs(json.dumps(old).encode()) or b"") == {
        "worksheets": [{"cells": [{"cell_type": "code", "outputs": [], "prompt_number": None}]}],
        "metadata": {},
    }
    one = without_outputs(notebook("'\ud83d\ude00'", language_info=info).encode())
    assert one == without_outputs(
        notebook("'\ud83d\ude00'", language_info={**info, "version": "3.12"}).encode("utf-8-sig")
    )
    assert "😀" in (one or b"").decode()
    assert without_outputs(notebook("'\ud83d'").encode()) is not None


def test_an_increment_is_small(tmp_path: Path, server: Path) -> None:
    top = tmp_path / "code"
    for number in range(60):
        (top / f"part{number % 4}").mkdir(parents=True, exist_ok=True)
        (top / f"part{number % 4}" / f"{number}.bin").write_bytes(os.urandom(20_000))
    first = snapshot(top)
    whole = send(first, server)
    write(top / "part1" / "new.py", "print('one more')\n")
    second = snapshot(top)

    increment = send(second, server, [first.commit, "0" * 40, "not an id"])

    assert whole > 1_000_000
    assert increment < 2000
    assert sum(map(len, second.pack({second.commit}))) < 100
    arrived = checked_out(server, second.commit, tmp_path / "out")
    (arrived / "requirements.txt").unlink()
    assert content(arrived) == content(top)


def test_a_pack_that_nobody_reads_on_ends(tmp_path: Path) -> None:
    made = make("clean", tmp_path)
    (made.code / "large.bin").write_bytes(os.urandom(5_000_000))
    pack = snapshot(made.code).pack()

    assert next(iter(pack)).startswith(b"PACK")
    pack.close()


def test_a_zip_has_the_same_files_and_bytes_each_time(tmp_path: Path) -> None:
    made = make("clean", tmp_path)
    taken = snapshot(made.code)

    first = b"".join(taken.archive())

    assert first == b"".join(taken.archive())
    with zipfile.ZipFile(io.BytesIO(first)) as opened:
        assert {name for name in opened.namelist() if not name.endswith("/")} == {
            *(".gitignore", "package/model.py", "requirements.txt", "train.py"),
        }


def test_a_store_that_was_taken_away_is_made_again(tmp_path: Path, home: Path) -> None:
    made = make("clean", tmp_path)
    first = snapshot(made.code)
    shutil.rmtree(home)

    with pytest.raises(SnapshotError, match="submit again"):
        b"".join(first.pack())

    assert snapshot(made.code).commit == first.commit


def test_a_damaged_store_is_made_again(tmp_path: Path, home: Path) -> None:
    """As a power cut leaves it: objects that are there and empty."""
    made = make("clean", tmp_path)
    first = snapshot(made.code)
    for path in home.glob("snapshots/*/objects/??/*"):
        path.chmod(0o600)
        path.write_bytes(b"")

    with pytest.raises(SnapshotError, match="submit again"):
        b"".join(first.pack())
    again = snapshot(made.code)

    assert again.commit == first.commit
    assert b"".join(again.pack()).startswith(b"PACK")


@pytest.mark.parametrize("damage", ["config", "HEAD", "anylearn.json", "known/*"])
def test_any_damaged_file_of_the_store_is_mended(damage: str, tmp_path: Path, home: Path) -> None:
    made = make("clean", tmp_path)
    first = snapshot(made.code)
    (file,) = home.glob(f"snapshots/*/{damage}")
    file.write_bytes(b"\0damaged")

    assert snapshot(made.code).commit == first.commit


def test_a_lock_that_a_killed_git_left_in_the_store_is_no_matter(
    tmp_path: Path, home: Path
) -> None:
    made = make("clean", tmp_path)
    snapshot(made.code)
    (store,) = (path for path in home.glob("snapshots/*") if path.is_dir())
    (store / "index.lock").touch()
    write(made.code / "train.py", "print('edited')\n")

    assert snapshot(made.code).dirty


def test_old_snapshots_are_let_go(tmp_path: Path, home: Path) -> None:
    made = make("clean", tmp_path)
    commits = []
    for number in range(KEPT_SNAPSHOTS + 3):
        write(made.code / "train.py", f"print({number})\n")
        commits.append(snapshot(made.code).commit)

    (store,) = (path for path in home.glob("snapshots/*") if path.is_dir())
    kept = git(store, "for-each-ref", "--format=%(objectname)").split()
    assert sorted(kept) == sorted(commits[3:])


TAKE = """
import sys
from pathlib import Path
from anylearn_jupyter.submit.snapshot import snapshot
for _ in range(3):
    print(snapshot(Path(sys.argv[1])).commit)
"""


def test_kernels_do_not_collide(tmp_path: Path) -> None:
    made = make("dirty", tmp_path)
    for number in range(50):
        write(made.code / "many" / f"{number}.py", f"print({number})\n")
    kernels = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE, str(made.code)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]

    said = [kernel.communicate(timeout=120)[0].split() for kernel in kernels]

    assert [kernel.returncode for kernel in kernels] == [0] * 4
    assert len({commit for commits in said for commit in commits}) == 1
    assert [len(commits) for commits in said] == [3] * 4


def test_a_store_that_is_busy_for_long_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make("clean", tmp_path)
    monkeypatch.setattr(snapshot_store, "_LOCK_TIMEOUT_S", 0.1)

    with (
        SnapshotStore.of(made.code, Home()).lock(),
        pytest.raises(SnapshotError, match="Another kernel has been capturing"),
    ):
        snapshot(made.code)


def test_the_store_is_its_owners_alone(tmp_path: Path, home: Path) -> None:
    made = make("clean", tmp_path)

    snapshot(made.code)

    for path in (home, home / "snapshots", *(p for p in home.glob("snapshots/*") if p.is_dir())):
        assert path.stat().st_mode & 0o777 == 0o700


def test_a_name_that_git_refuses_is_named(tmp_path: Path) -> None:
    made = make("no_repository", tmp_path)
    write(made.code / ".GIT" / "config", "")

    with pytest.raises(SnapshotError, match=r"'\.GIT/config'.*--exclude '/\.GIT/config'"):
        snapshot(made.code)


def test_a_first_snapshot_of_many_files_leaves_no_loose_ones(tmp_path: Path, home: Path) -> None:
    top = tmp_path / "code"
    for number in range(8000):
        if number % 400 == 0:
            (top / str(number // 400)).mkdir(parents=True)
        (top / str(number // 400) / str(number)).write_text(str(number), encoding="ascii")

    taken = snapshot(top)

    assert taken.files == 8000
    (store,) = (path for path in home.glob("snapshots/*") if path.is_dir())
    assert sum(1 for _ in store.glob("objects/??/*")) < 1000


def test_a_snapshot_that_is_not_kept_yet_is_sent_from_memory(tmp_path: Path, server: Path) -> None:
    top = make("clean", tmp_path).code
    first = snapshot(top)
    send(first, server)
    write(top / "train.py", "print('edited')\n")
    store = SnapshotStore.of(top.resolve(), Home()).git_dir
    before = sorted(path for path in store.rglob("*") if path.name != "packing")

    later = snapshot(top, kept=False)

    assert sorted(path for path in store.rglob("*") if path.name != "packing") == before
    pack = later.small_pack({first.commit})
    assert pack is not None
    later.keep()
    later.keep()
    assert later.small_pack({first.commit}) == pack
    send(later, server, [first.commit])
    assert snapshot(top).commit == later.commit
    assert snapshot(top).small_pack({first.commit}) is not None


def test_whatever_needs_the_store_has_a_snapshot_kept_first(tmp_path: Path, server: Path) -> None:
    top = make("clean", tmp_path).code
    send(snapshot(top, kept=False), server)
    write(top / "train.py", "print('edited')\n")
    packed = zipfile.ZipFile(io.BytesIO(b"".join(snapshot(top, kept=False).archive())))
    assert packed.read("train.py") == b"print('edited')\n"


def test_a_snapshot_is_not_kept_in_a_store_that_was_made_anew(tmp_path: Path) -> None:
    top = make("clean", tmp_path).code
    snapshot(top)
    write(top / "train.py", "print('edited')\n")
    later = snapshot(top, kept=False)
    SnapshotStore.of(top.resolve(), Home()).discard()

    later.keep()

    assert snapshot(top).commit == later.commit
    git(SnapshotStore.of(top.resolve(), Home()).git_dir, "fsck", "--strict", "--full")


def test_two_kernels_keep_what_each_has_captured(tmp_path: Path) -> None:
    top = make("clean", tmp_path).code
    snapshot(top)
    write(top / "train.py", "print('one')\n")
    one = snapshot(top, kept=False)
    write(top / "train.py", "print('two')\n")
    two = snapshot(top, kept=False)

    two.keep()
    one.keep()

    recent = [commit for _, commit in SnapshotStore.of(top.resolve(), Home()).open().recent]
    assert recent[-2:] == [two.commit, one.commit]
    assert snapshot(top).commit == two.commit
    git(SnapshotStore.of(top.resolve(), Home()).git_dir, "fsck", "--strict", "--full")
