"""The fingerprint of data: what it depends on, what it does not, and data that changes under it."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit import data_scan, folder_work
from anylearn_jupyter.submit.data_scan import scan
from anylearn_jupyter.submit.fingerprint import DataReading, Fingerprint, fingerprint, look
from cached_data import opened
from waiting import wait_until


def expected(files: dict[str, tuple[bytes, bool]]) -> str:
    """Work the value out as the module's docstring defines it, from names and contents alone."""
    records = b""
    for name in sorted(files, key=lambda name: name.encode()):
        content, executable = files[name]
        digest = blake3(content).hexdigest().encode()
        records += name.encode() + b"\0" + (b"1" if executable else b"0") + b"\0" + digest + b"\n"
    return "fp1:" + blake3(records).hexdigest()


def write_all(top: Path, files: dict[str, tuple[bytes, bool]]) -> Path:
    for name, (content, executable) in files.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755 if executable else 0o644)
    return top


SOME: dict[str, tuple[bytes, bool]] = {
    "a.csv": (b"1,2\n", False),
    "a/b.csv": (b"", False),
    "a0": (b"after a/b, as '/' is before '0'", False),
    "a/deep/er/x.bin": (bytes(range(256)) * 9000, False),
    "run.sh": (b"#!/bin/sh\n", True),
    "naïve ☃\n\t.txt": (b"snow", False),
    "-rf": (b"a dash", False),
    "e\u0301": (b"decomposed", False),
    "😀": (b"beyond the first plane", False),
    "\uffee": (b"before it in UTF-8, after it in UTF-16", False),
    "x" * 255: (b"long", False),
}


@pytest.fixture
def some(tmp_path: Path) -> Path:
    return write_all(tmp_path / "data", SOME)


def test_it_is_what_is_written_down(some: Path) -> None:
    found = fingerprint(some)

    assert found.value == expected(SOME)
    assert [entry.path for entry in found.entries] == sorted(SOME, key=lambda name: name.encode())
    for entry in found.entries:
        content, executable = SOME[entry.path]
        assert entry.digest == blake3(content).hexdigest()
        assert (entry.size, entry.executable) == (len(content), executable)
        assert Path(entry.source).read_bytes() == content
    assert found.files == len(SOME)
    assert found.total_bytes == sum(len(content) for content, _ in SOME.values())
    assert found.skipped == ()


def test_a_published_value_never_changes(tmp_path: Path) -> None:
    """Servers keep it in descriptions: another value would be another dataset."""
    top = write_all(tmp_path / "x", {"a": (b"1\n", False), "b/c": (b"", True)})

    assert fingerprint(top).value == (
        "fp1:a0f97d6a35bbcc0d88af5fa120a34eebf5295dd14a8d42fe801ae2a1f69314e4"
    )


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",)),
    min_size=1,
    max_size=20,
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["", "d/", "d.x/", "d/é/", "d/é/f/"]), NAMES).map("".join),
        st.tuples(st.binary(max_size=50), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_it_is_what_is_written_down_for_any_names(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, tuple[bytes, bool]]
) -> None:
    folders = ("d", "d.x", "d/é", "d/é/f")
    files = {name: content for name, content in files.items() if name not in folders}
    if not files:
        return
    top = write_all(tmp_path_factory.mktemp("any"), files)

    found = fingerprint(top)

    assert found.value == expected(files)
    in_order = sorted(files, key=lambda name: name.encode())
    assert [entry.path for entry in found.each_entry()] == in_order
    assert [spot.path for spot in DataReading(look(top)).spots(read=False)] == in_order


def test_the_same_data_elsewhere_at_another_time_is_the_same(some: Path, tmp_path: Path) -> None:
    other = tmp_path / "another name" / "and depth"
    shutil.copytree(some, other)
    for path in other.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))
        if path.is_file() and not path.stat().st_mode & 0o100:
            path.chmod(0o600)
    (other / "an empty directory" / "in another").mkdir(parents=True)

    assert fingerprint(other).value == fingerprint(some).value


@pytest.mark.parametrize(
    "change",
    [
        lambda top: (top / "a.csv").write_bytes(b"1,3\n"),
        lambda top: (top / "a.csv").write_bytes(b""),
        lambda top: (top / "a.csv").rename(top / "b.csv"),
        lambda top: (top / "a.csv").rename(top / "a" / "a.csv"),
        lambda top: (top / "a.csv").unlink(),
        lambda top: (top / "new").write_bytes(b""),
        lambda top: (top / "a.csv").chmod(0o755),
        lambda top: (top / "run.sh").chmod(0o655),
    ],
)
def test_each_edit_makes_another(some: Path, change: Callable[[Path], object]) -> None:
    before = fingerprint(some).value

    change(some)

    assert fingerprint(some).value != before


def test_two_ways_to_cut_names_are_two(tmp_path: Path) -> None:
    """Nothing that a name or a content holds can be taken for the border of a record."""
    digest = blake3(b"x").hexdigest()
    one = write_all(tmp_path / "one", {"a": (b"x", False), "b": (b"x", False)})
    two = write_all(tmp_path / "two", {f"a0{digest}\nb": (b"x", False)})

    assert fingerprint(one).value != fingerprint(two).value


def test_one_file_is_a_dataset_with_its_name(tmp_path: Path) -> None:
    write_all(tmp_path / "x", {"one.csv": (b"1\n", False), "beside": (b"no", False)})

    found = fingerprint(tmp_path / "x" / "one.csv")

    assert found.value == expected({"one.csv": (b"1\n", False)})
    assert [entry.path for entry in found.entries] == ["one.csv"]
    assert found.entries[0].source == str(tmp_path / "x" / "one.csv")


def test_hard_links_and_permissions_of_others_do_not_count(tmp_path: Path) -> None:
    linked = write_all(tmp_path / "linked", {"a": (b"same", False)})
    os.link(linked / "a", linked / "b")
    apart = write_all(tmp_path / "apart", {"a": (b"same", False), "b": (b"same", False)})
    (apart / "a").chmod(0o666)

    assert fingerprint(linked).value == fingerprint(apart).value


def test_links_inside_count_as_what_they_lead_to(tmp_path: Path) -> None:
    files = {"a/x": (b"1", False), "a/y": (b"2", True)}
    top = write_all(tmp_path / "top", files)
    (top / "again").symlink_to("a", target_is_directory=True)
    (top / "one").symlink_to("a/y")
    (top / "absolute").symlink_to(top / "a" / "x")

    found = fingerprint(top)

    assert found.value == expected(
        files
        | {"again/x": (b"1", False), "again/y": (b"2", True)}
        | {"one": (b"2", True), "absolute": (b"1", False)}
    )
    assert {entry.path: entry.source for entry in found.entries}["one"] == str(top / "a" / "y")
    assert found.skipped == ()


def test_what_is_no_data_is_skipped_and_named(tmp_path: Path) -> None:
    """And nothing outside is read, no fifo is waited for (faults E10)."""
    files = {"a/x": (b"1", False)}
    top = write_all(tmp_path / "top", files)
    outside = write_all(tmp_path / "outside", {"secret": (b"no", False)})
    (top / "out").symlink_to(outside / "secret")
    (top / "out too").symlink_to("../outside", target_is_directory=True)
    (top / "dangling").symlink_to("nothing")
    (top / "itself").symlink_to("itself")
    (top / "a" / "up").symlink_to("..", target_is_directory=True)
    os.mkfifo(top / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(top / "socket"))
        if os.geteuid() == 0:
            (top / "device").symlink_to(os.devnull)

        found = fingerprint(top)

    assert found.value == expected(files)
    reasons = {one.path: one.reason for one in found.skipped}
    reasons.pop("device", None)
    assert reasons == {
        "out": "a link that leads out of the directory",
        "out too": "a link that leads out of the directory",
        "dangling": "a link that leads nowhere",
        "itself": "a link that leads nowhere",
        "a/up": "a link that leads in a circle",
        "fifo": "neither a file nor a directory",
        "socket": "neither a file nor a directory",
    }


@pytest.mark.parametrize("where", ["file", "directory", "link", "inside"])
def test_a_name_that_is_no_utf8_is_refused_by_name(tmp_path: Path, where: str) -> None:
    top = write_all(tmp_path / "top", {"a": (b"1", False)})
    odd = os.fsdecode(b"odd\xff")
    if where == "directory":
        (top / odd).mkdir()
    elif where == "link":
        (top / odd).symlink_to("a")
    elif where == "inside":
        write_all(top / odd, {"a": (b"1", False)})
    else:
        (top / odd).write_bytes(b"")

    with pytest.raises(DataError, match=r"odd\\udcff.* is no UTF-8"):
        fingerprint(top)


def test_a_file_with_holes_is_read_as_zeros(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    with (top / "sparse").open("wb") as file:
        file.truncate(3_000_000)

    assert fingerprint(top).value == expected({"sparse": (bytes(3_000_000), False)})


@pytest.mark.parametrize("make", ["nothing", "fifo", "empty", "only links"])
def test_no_data_is_an_error_that_names_it(tmp_path: Path, make: str) -> None:
    path = tmp_path / "the data"
    if make == "fifo":
        os.mkfifo(path)
    elif make != "nothing":
        (path / "empty" / "too").mkdir(parents=True)
    if make == "only links":
        (path / "link").symlink_to("nothing")

    with pytest.raises(DataError, match="the data") as caught:
        fingerprint(path)

    assert ("skipped: 'link'" in str(caught.value)) == (make == "only links")


def test_too_many_files_are_refused(some: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_scan, "MAX_FILES", len(SOME))
    fingerprint(some)
    (some / "one more").touch()

    with pytest.raises(DataError, match="more than"):
        fingerprint(some)


def test_times_that_no_calendar_has_do_not_matter(some: Path) -> None:
    before = fingerprint(some).value
    os.utime(some / "a.csv", ns=(-(10**18), -(10**18)))

    assert fingerprint(some).value == before


def test_a_scan_opens_nothing(some: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(monkeypatch) as names:
        found = scan(some)

    assert names == []
    assert (found.files, found.total_bytes) == (
        len(SOME),
        sum(len(content) for content, _ in SOME.values()),
    )


def test_progress_ends_with_all_bytes(some: Path) -> None:
    told: list[tuple[int, int]] = []

    found = fingerprint(some, on_progress=lambda done, total: told.append((done, total)))

    assert told[-1] == (found.total_bytes, found.total_bytes)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert max(b - a for (a, _), (b, _) in itertools.pairwise(told)) <= 1 << 20


# Data that changes while it is read (faults E13).


def settled(path: Path) -> None:
    """Wait until an edit of a file has another time than the file, the clock having a grain."""
    scratch = path.parent.parent / "scratch"

    def later() -> bool:
        scratch.write_bytes(b"")
        return scratch.stat().st_ctime_ns > path.stat().st_ctime_ns

    wait_until(later, 10, "the clock moves on")


@pytest.mark.parametrize("how", ["same size", "grown", "shrunk", "replaced", "emptied"])
def test_a_file_that_changes_once_is_read_again(tmp_path: Path, how: str) -> None:
    """Also when the size is the same and the time is put back: its change time tells."""
    top = write_all(tmp_path / "top", {"a": (bytes(3_000_000), False)})
    size = {"grown": 4_000_000, "shrunk": 2_000_000, "emptied": 0}.get(how, 3_000_000)
    after = b"1" * size
    times = (top / "a").stat()
    settled(top / "a")
    changed = False

    def change(done: int, total: int) -> None:
        nonlocal changed
        if not changed:
            changed = True
            if how == "replaced":
                (top / "a").unlink()
            (top / "a").write_bytes(after)
            os.utime(top / "a", ns=(times.st_atime_ns, times.st_mtime_ns))

    found = fingerprint(top, on_progress=change)

    assert changed
    # A file that was replaced was read whole, as it was: what was opened did not change.
    possible = [bytes(3_000_000), after] if how == "replaced" else [after]
    assert found.value in [expected({"a": (content, False)}) for content in possible]
    assert found.entries[0].size == found.total_bytes


def test_a_file_that_keeps_changing_is_an_error_that_names_it(tmp_path: Path) -> None:
    top = write_all(tmp_path / "top", {"deep/a": (bytes(3_000_000), False)})
    told: list[int] = []

    def change(done: int, total: int) -> None:
        """Write to it in the middle of each reading: what a training that writes there does."""
        told.append(done)
        (top / "deep" / "a").write_bytes(bytes(3_000_000 + len(told)))

    with pytest.raises(DataError, match=r"'deep/a' changed while it was read, 3 times"):
        fingerprint(top, on_progress=change)

    assert told[-1] == 0


def test_a_file_that_vanishes_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = write_all(tmp_path / "data", {"a": (b"1", False), "b": (b"2", False)})

    with (
        opened(monkeypatch) as names,
        pytest.raises(DataError, match=r"'[ab]' was taken away") as caught,
    ):
        fingerprint(top, on_progress=lambda done, total: other(top, names).unlink())

    assert repr(other(top, names).name) in str(caught.value)


def other(top: Path, names: list[str]) -> Path:
    """Give the one of the two files that was not opened first."""
    return top / ("b" if names[0] == "a" else "a")


@pytest.mark.parametrize("instead", ["fifo", "link", "directory"])
def test_what_is_put_in_a_files_place_is_not_read(
    tmp_path: Path, instead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = write_all(tmp_path / "data", {"a": (b"1", False), "b": (b"2", False)})
    (tmp_path / "secret").write_bytes(b"secret")

    def put_another(done: int, total: int) -> None:
        place = other(top, names)
        place.unlink()
        if instead == "fifo":
            os.mkfifo(place)
        elif instead == "link":
            place.symlink_to(tmp_path / "secret")
        else:
            place.mkdir()

    with (
        opened(monkeypatch) as names,
        pytest.raises(DataError, match=r"'[ab]' in the data cannot be read"),
    ):
        fingerprint(top, on_progress=put_another)


def test_a_directory_that_cannot_be_read_is_named(
    some: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = folder_work.list_folder

    def refuse(place: str) -> folder_work.Listing:
        if place.endswith("deep"):
            raise PermissionError(13, "Permission denied", place)
        return listed(place)

    monkeypatch.setattr(data_scan, "list_folder", refuse)

    with pytest.raises(DataError, match=r"'a/deep/' in the data cannot be read \(Permission"):
        fingerprint(some)


def test_two_of_the_same_content_are_equal(some: Path) -> None:
    def same(found: Fingerprint) -> object:
        return (found.value, found.files, found.total_bytes, found.entries)

    assert same(fingerprint(some)) == same(fingerprint(some))


def test_a_child_of_a_process_that_has_read_data_can_read_data(tmp_path: Path) -> None:
    """C10: the threads that hash large files are the parent's, and a fork does not bring them."""
    (tmp_path / "large.bin").write_bytes(os.urandom(8_000_000))
    value = fingerprint(tmp_path).value
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, fingerprint(tmp_path).value.encode())
        finally:
            os._exit(0)
    os.close(writing)
    try:
        assert wait_until(lambda: os.waitpid(child, os.WNOHANG)[0], 30, "the child's end") == child
    except AssertionError:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    with os.fdopen(reading) as said:
        assert said.read() == value
