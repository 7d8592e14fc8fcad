"""The cache of data that was read: nothing is opened twice, and no edit is missed."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypedDict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anylearn_jupyter.home import Home
from anylearn_jupyter.submit import data_scan, regular_files, stat_cache
from anylearn_jupyter.submit import fingerprint as module
from anylearn_jupyter.submit.fingerprint import fingerprint
from anylearn_jupyter.submit.stat_cache import StatCache
from waiting import wait_until


@pytest.fixture
def data(tmp_path: Path) -> Path:
    top = tmp_path / "data"
    for name in ("a/1", "a/2", "b/1", "b/deep/1", "zero", "top"):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name == "zero" else name.encode())
    (top / "b" / "link").symlink_to("../a/1")
    return top


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> StatCache:
    """A cache for which the clock has a grain of a hundredth of a second, so that files age."""
    monkeypatch.setattr(regular_files, "YOUNG_NS", 10_000_000)
    return StatCache()


@contextmanager
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Gather the names of the data files that are opened."""
    names: list[str] = []

    def open_and_note(path: Path) -> object:
        names.append(path.name if path.parent.name == "data" else f"{path.parent.name}/{path.name}")
        return regular_files.open_regular(path)

    with monkeypatch.context() as patch:
        patch.setattr(module, "open_regular", open_and_note)
        yield names


def old(top: Path) -> None:
    """Wait until nothing below a directory is young."""

    def aged() -> bool:
        files = (path for path in (top, *top.rglob("*")) if path.is_file())
        now = time.time_ns()
        return not any(regular_files.is_young(path.stat(), now) for path in files)

    wait_until(aged, 10, "the files grow old")


AUDITED = """
import json, os, sys
from pathlib import Path
from anylearn_jupyter.submit.fingerprint import fingerprint
from anylearn_jupyter.submit.stat_cache import StatCache

data = Path(sys.argv[1])
opened = []

def hear(event, arguments):
    if event == "open" and str(arguments[0]).startswith(str(data)):
        opened.append(str(arguments[0]))

sys.addaudithook(hear)
found = fingerprint(data, cache=StatCache())
print(json.dumps({"value": found.value, "opened": opened, "files": found.files}))
"""


class Found(TypedDict):
    value: str
    opened: list[str]
    files: int


def in_another_process(data: Path) -> Found:
    answer = subprocess.run(
        [sys.executable, "-c", AUDITED, str(data)], capture_output=True, text=True, check=True
    )
    found: Found = json.loads(answer.stdout)
    return found


def test_unchanged_data_opens_no_file(data: Path) -> None:
    """By Python's own account of what is opened, in other processes, with the real grain."""
    for path in data.rglob("*"):
        os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)

    first = in_another_process(data)
    # The change times cannot be set: two seconds after the last edit all is believed.
    again = wait_until(
        lambda: (found := in_another_process(data))["opened"] == [] and found,
        30,
        "nothing is opened any more",
    )

    assert len(first["opened"]) == 7
    assert again["value"] == first["value"] == fingerprint(data).value
    assert again["files"] == 7


def test_what_is_known_is_what_would_be_read(data: Path, cache: StatCache) -> None:
    old(data)
    first = fingerprint(data, cache=cache)
    second = fingerprint(data, cache=cache)

    assert second.value == first.value
    assert second.entries == first.entries == fingerprint(data).entries
    assert (second.files, second.total_bytes) == (first.files, first.total_bytes)


def test_only_what_changed_is_read(
    data: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(data)
    fingerprint(data, cache=cache)
    (data / "a" / "2").write_bytes(b"edited")
    (data / "a" / "new").write_bytes(b"new")
    (data / "b" / "1").unlink()
    (data / "b" / "deep" / "1").rename(data / "b" / "deep" / "renamed")
    told: list[tuple[int, int]] = []

    with opened(monkeypatch) as names:
        found = fingerprint(
            data, cache=cache, on_progress=lambda done, total: told.append((done, total))
        )

    assert sorted(names) == ["a/2", "a/new", "deep/renamed"]
    assert told[-1] == (17, 17)
    assert found.value == fingerprint(data).value
    old(data)
    fingerprint(data, cache=cache)
    with opened(monkeypatch) as names:
        assert fingerprint(data, cache=cache).value == found.value
    assert names == []


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: (data / "a" / "1").write_bytes(b"A/1"),
        lambda data: (data / "a" / "1").write_bytes(b""),
        lambda data: (data / "a" / "1").chmod(0o755),
        lambda data: (data / "zero").write_bytes(b"no more"),
        lambda data: (data / "a" / "1").unlink(),
        lambda data: shutil.rmtree(data / "b"),
        lambda data: (data / "a").rename(data / "c"),
        lambda data: (data / "b" / "deep" / "2").write_bytes(b""),
        lambda data: (data / "b" / "empty" / "d").mkdir(parents=True),
        lambda data: ((data / "b" / "link").unlink(), (data / "b" / "link").symlink_to("../a/2")),
        lambda data: (data / "a" / "1").replace(data / "a" / "2"),
        lambda data: (
            (data / "a" / "1").rename(data / "x"),
            (data / "a" / "2").rename(data / "a" / "1"),
            (data / "x").rename(data / "a" / "2"),
        ),
    ],
)
def test_each_edit_gives_what_reading_all_gives(
    data: Path, cache: StatCache, edit: Callable[[Path], object]
) -> None:
    old(data)
    before = fingerprint(data, cache=cache)

    edit(data)

    found = fingerprint(data, cache=cache)
    afresh = fingerprint(data)
    assert found.value == afresh.value
    assert found.entries == afresh.entries
    assert (found.value == before.value) == ((data / "b" / "empty").exists())


def test_an_edit_of_the_same_size_with_its_time_put_back_is_seen(
    data: Path, cache: StatCache
) -> None:
    old(data)
    before = fingerprint(data, cache=cache).value
    times = (data / "top").stat()

    (data / "top").write_bytes(b"TOP")
    os.utime(data / "top", ns=(times.st_atime_ns, times.st_mtime_ns))

    assert (data / "top").stat().st_mtime_ns == times.st_mtime_ns
    assert fingerprint(data, cache=cache).value == fingerprint(data).value != before


@pytest.mark.parametrize("careful", [True, False])
def test_an_edit_within_the_grain_of_the_clock_is_seen(
    data: Path, monkeypatch: pytest.MonkeyPatch, careful: bool
) -> None:
    """On a file system whose times do not show it; and without git's rule it is missed."""
    cache = StatCache()
    monkeypatch.setattr(data_scan, "_STATE", Frozen(data_scan._STATE, (data / "top").stat()))
    if not careful:
        monkeypatch.setattr(regular_files, "YOUNG_NS", -(10**15))
    before = fingerprint(data, cache=cache).value
    (data / "top").write_bytes(b"TOP")

    found = fingerprint(data, cache=cache).value

    assert fingerprint(data).value != before
    assert (found == fingerprint(data).value) == careful


class Frozen:
    """Packs states as ever, but that of one file as it was once."""

    def __init__(self, packer: struct.Struct, file: os.stat_result) -> None:
        self._inode = file.st_ino
        self._pack = packer.pack
        self.unpack = packer.unpack
        self._state = data_scan.state_of(file)

    def pack(self, *numbers: int) -> bytes:
        return self._state if numbers[3] == self._inode else self._pack(*numbers)


def test_a_file_from_the_future_is_never_believed(
    data: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(data / "top", ns=(0, time.time_ns() + 10**15))
    old(data / "a")
    old(data / "b")
    old(data / "zero")
    for _ in range(2):
        with opened(monkeypatch) as names:
            fingerprint(data, cache=cache)
        assert "top" in names
    assert names == ["top"]


def test_a_link_that_leads_to_changed_data_is_followed(data: Path, cache: StatCache) -> None:
    (data / "again").symlink_to("a", target_is_directory=True)
    old(data)
    fingerprint(data, cache=cache)

    (data / "a" / "1").write_bytes(b"edited")

    assert fingerprint(data, cache=cache).value == fingerprint(data).value


def test_one_file_is_remembered(
    data: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(data)
    first = fingerprint(data / "top", cache=cache)
    with opened(monkeypatch) as names:
        assert fingerprint(data / "top", cache=cache).value == first.value
    assert names == []


def test_a_cache_that_was_deleted_costs_a_read(
    data: Path, cache: StatCache, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(data)
    first = fingerprint(data, cache=cache)
    (home / "stat-cache.sqlite3").unlink()

    with opened(monkeypatch) as names:
        assert fingerprint(data, cache=cache).value == first.value
    assert len(names) == 7
    with opened(monkeypatch) as names:
        assert fingerprint(data, cache=cache).value == first.value
    assert names == []


def test_it_is_its_owners_alone(data: Path, cache: StatCache, home: Path) -> None:
    fingerprint(data, cache=cache)

    assert [path.name for path in home.iterdir()] == ["stat-cache.sqlite3"]
    assert (home / "stat-cache.sqlite3").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "no database": lambda whole: b"no database" * 1000,
    "half": lambda whole: whole[: len(whole) // 2],
    "a zeroed page": lambda whole: whole[:4096] + bytes(4096) + whole[8192:],
    "the first page only": lambda whole: whole[:4096],
    "a zeroed schema": lambda whole: whole[:100] + bytes(3996) + whole[4096:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_no_error_and_is_made_again(
    damage: str, data: Path, cache: StatCache, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(data)
    first = fingerprint(data, cache=cache)
    file = home / "stat-cache.sqlite3"
    file.write_bytes(DAMAGES[damage](file.read_bytes()))

    assert fingerprint(data, cache=cache).value == first.value

    fingerprint(data, cache=cache)
    with opened(monkeypatch) as names:
        assert fingerprint(data, cache=cache).value == first.value
    assert names == []


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
    ],
)
@given(flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1))
def test_flipped_bytes_never_give_another_value(
    flips: list[tuple[int, int]], data: Path, cache: StatCache, home: Path
) -> None:
    old(data)
    first = fingerprint(data, cache=cache)
    file = home / "stat-cache.sqlite3"
    whole = bytearray(file.read_bytes())
    for at, bits in flips:
        whole[at % len(whole)] ^= bits
    file.write_bytes(whole)

    for _ in range(2):
        assert fingerprint(data, cache=cache).entries == first.entries


def test_a_value_that_was_changed_in_it_is_not_believed(
    data: Path, cache: StatCache, home: Path
) -> None:
    old(data)
    first = fingerprint(data, cache=cache)
    with closing(sqlite3.connect(home / "stat-cache.sqlite3")) as connection, connection:
        connection.execute("UPDATE dataset SET value = 'fp1:0'")

    assert fingerprint(data, cache=cache).value == first.value


@pytest.mark.parametrize("found", [2, 99])
def test_a_cache_of_another_format_is_made_again(
    found: int, data: Path, cache: StatCache, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(data)
    first = fingerprint(data, cache=cache)
    with closing(sqlite3.connect(home / "stat-cache.sqlite3")) as connection:
        connection.execute(f"PRAGMA user_version = {found}")

    assert fingerprint(data, cache=cache).value == first.value
    fingerprint(data, cache=cache)
    with opened(monkeypatch) as names:
        fingerprint(data, cache=cache)
    assert names == []


def test_a_home_that_cannot_be_written_is_no_error(
    data: Path, cache: StatCache, home: Path
) -> None:
    home.write_bytes(b"a file, where the directory should be")

    assert fingerprint(data, cache=cache).value == fingerprint(data).value


def test_a_cache_that_is_busy_for_long_is_left_alone(
    data: Path, cache: StatCache, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old(data)
    first = fingerprint(data, cache=cache)
    monkeypatch.setattr(stat_cache, "_BUSY_TIMEOUT_S", 0.05)
    with closing(sqlite3.connect(home / "stat-cache.sqlite3")) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        assert fingerprint(data, cache=cache).value == first.value

    with opened(monkeypatch) as names:
        assert fingerprint(data, cache=cache).value == first.value
    assert names == []


def test_many_threads_and_kernels_at_once(data: Path, cache: StatCache, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(data, other, symlinks=True)
    expected = fingerprint(data).value
    stop = threading.Event()

    def edit() -> None:
        while not stop.is_set():
            (other / "top").write_bytes(os.urandom(3))

    editor = threading.Thread(target=edit)
    editor.start()
    try:
        with ThreadPoolExecutor(6) as pool:
            kernels = [pool.submit(in_another_process, data) for _ in range(2)]
            values = [
                pool.submit(lambda: fingerprint(data, cache=StatCache()).value) for _ in range(20)
            ]
            assert {one.result(60) for one in values} == {expected}
            assert {one.result(60)["value"] for one in kernels} == {expected}
    finally:
        stop.set()
        editor.join()


def test_what_another_saved_meanwhile_does_not_mix(
    data: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two loaded the same, and each saves what it found: the later one's is whole."""
    old(data)
    fingerprint(data, cache=cache)
    before = cache.load(data)
    assert before is not None
    (data / "a" / "1").write_bytes(b"edited")
    (data / "b" / "1").write_bytes(b"edited")
    old(data)
    fingerprint(data, cache=cache)
    after = cache.load(data)
    assert after is not None
    mixed = after._replace(folders={**after.folders, "b/": before.folders["b/"]})

    cache.save(data, mixed, before)

    assert cache.load(data) == mixed
    with opened(monkeypatch) as names:
        assert fingerprint(data, cache=cache).value == fingerprint(data).value
    assert "b/1" in names


def test_the_oldest_datasets_are_let_go(
    tmp_path: Path, cache: StatCache, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stat_cache, "KEPT_DATASETS", 3)
    for number in range(6):
        top = tmp_path / f"set{number}"
        top.mkdir()
        (top / "a").write_bytes(b"1")
        fingerprint(top, cache=cache)

    with closing(sqlite3.connect(home / "stat-cache.sqlite3")) as connection:
        roots = [row[0] for row in connection.execute("SELECT root FROM dataset ORDER BY id")]
        folders = connection.execute("SELECT count(*) FROM folder").fetchone()
    assert roots == [os.fsencode(tmp_path / f"set{number}") for number in (3, 4, 5)]
    assert folders == (3,)
    assert cache.load(tmp_path / "set0") is None


def test_what_is_used_stays(data: Path, cache: StatCache, home: Path) -> None:
    fingerprint(data, cache=cache)
    with closing(sqlite3.connect(home / "stat-cache.sqlite3")) as connection, connection:
        connection.execute("UPDATE dataset SET used_s = 5")

    assert cache.load(data) is not None

    with closing(sqlite3.connect(home / "stat-cache.sqlite3")) as connection:
        (used_s,) = connection.execute("SELECT used_s FROM dataset").fetchone()
    assert used_s > 1_600_000_000


def test_many_files_cost_little_more_than_a_walk(tmp_path: Path) -> None:
    """Held loosely, as other work shares the machine; `docs/performance.md` has the goal."""
    top = tmp_path / "many"
    for number in range(20):
        (top / f"part{number}").mkdir(parents=True)
        for file in range(500):
            (top / f"part{number}" / f"{file}.bin").touch()
    cache = StatCache(Home(tmp_path / "home"))
    wait_until(lambda: not young_below(top), 30, "the files grow old")
    fingerprint(top, cache=cache)

    ratio = min(
        best_of(lambda: fingerprint(top, cache=cache)) / best_of(lambda: bare_walk(top))
        for _ in range(3)
    )

    print(f"unchanged data: {ratio:.2f} x one walk")
    assert ratio < 2


def young_below(top: Path) -> bool:
    last = max(path.stat().st_ctime_ns for path in top.rglob("*"))
    return last + regular_files.YOUNG_NS >= time.time_ns()


def bare_walk(top: Path) -> int:
    waiting, files = [str(top)], 0
    while waiting:
        with os.scandir(waiting.pop()) as listed:
            for entry in listed:
                entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    files += 1
    return files


def best_of(act: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return min(times)
