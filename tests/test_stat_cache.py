"""The cache of data that was read: nothing is opened twice, and no edit is missed."""

from __future__ import annotations

import os
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from anylearn_jupyter.home import Home
from anylearn_jupyter.submit import folder_work, regular_files, stat_cache
from anylearn_jupyter.submit.fingerprint import fingerprint
from anylearn_jupyter.submit.stat_cache import StatCache
from cached_data import cache, data, in_another_process, old, opened
from waiting import wait_until

__all__ = ["cache", "data"]


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


@pytest.mark.parametrize("held", [stat_cache._HELD_BYTES, 0])
def test_edits_one_after_another_give_what_reading_all_gives(
    data: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    """With what this process holds of the folders that stay the same, and without."""
    monkeypatch.setattr(stat_cache, "_HELD_BYTES", held)
    (data / "leaf").mkdir()
    edits: list[Callable[[], object]] = [
        lambda: (data / "leaf" / "1\n").write_bytes(b"1"),
        lambda: (data / "leaf" / "0").write_bytes(b"0"),
        lambda: (data / "leaf" / "0").chmod(0o755),
        lambda: (data / "top").write_bytes(b"another"),
        lambda: (data / "leaf" / "0").chmod(0o644),
        lambda: (data / "leaf" / "deep").mkdir(),
        lambda: (data / "leaf" / "deep" / "x").touch(),
        lambda: (data / "leaf" / "1\n").rename(data / "leaf" / "2"),
        lambda: shutil.rmtree(data / "leaf" / "deep"),
        lambda: (data / "leaf" / "0").unlink(),
        lambda: (data / "leaf").rename(data / "a0"),
    ]
    for edit in edits:
        edit()
        old(data)
        found = fingerprint(data, cache=cache)
        assert found.value == fingerprint(data).value
        assert found.entries == fingerprint(data).entries


def test_no_more_is_held_than_there_is_room_for(
    tmp_path: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was used last stays."""
    tops = [tmp_path / f"set{number}" for number in range(4)]
    for top in tops:
        top.mkdir()
        (top / "a").write_bytes(b"1")
    stat_cache._recent.clear()
    known = [(fingerprint(top, cache=cache), cache.load(top))[1] for top in tops[:3]]
    assert None not in known
    monkeypatch.setattr(stat_cache, "_HELD_BYTES", 3 * max(one.memory for one in known if one))

    assert cache.load(tops[0]) == known[0]
    fingerprint(tops[3], cache=cache)

    held = [Path(root) for _, root in stat_cache._recent]
    assert len(held) == 3
    assert held[-1] == tops[3]
    assert tops[0] in held


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
    monkeypatch.setattr(folder_work, "STATE", Frozen(folder_work.STATE, (data / "top").stat()))
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
        self.size = packer.size
        self._state = folder_work.state_of(file)

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
