"""The file of the cache: damaged, busy, of another format, shared, and never anybody's error."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anylearn_jupyter.submit import stat_cache
from anylearn_jupyter.submit.fingerprint import fingerprint
from anylearn_jupyter.submit.stat_cache import StatCache
from cached_data import cache, data, in_another_process, old, opened

__all__ = ["cache", "data"]


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


@pytest.mark.parametrize("found", [1, 99])
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
    mixed = replace(after, folders={**after.folders, "b/": before.folders["b/"]})

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
