"""Downloads: whole or not at all, and nothing that an archive claims is believed (faults E11)."""

from __future__ import annotations

import io
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anylearn_jupyter.client import download
from anylearn_jupyter.client.download import download_resource, unpack
from anylearn_jupyter.errors import ConfigError, ServerError, ServerUnreachable, UnexpectedAnswer
from faulty_server import Request, reply
from scripted_api import Routes, scripted

TOP = "FILE" + "0" * 28
Entry = tuple[str | zipfile.ZipInfo, bytes]


def zipped(*entries: Entry, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", how) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return written.getvalue()


def special(name: str, kind: int, *, system: int = 3) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.create_system = system
    made.external_attr = (kind | 0o777) << 16
    return made


def files_in(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def serving(archive: bytes, *, polls: int = 0) -> Routes:
    """A server that needs some polls to pack this archive."""
    left = [polls]

    def packed(_request: Request) -> Any:
        left[0] -= 1
        return [{"id": "COMP1", "state": 1 if left[0] >= 0 else 2}]

    headers = {"Content-Disposition": "attachment; filename=../../evil.zip"}
    return {
        "POST resource/compression": {"data": "COMP1"},
        "GET resource/compression": packed,
        "GET resource/download": reply(archive, headers=headers),
    }


# The whole way.


def test_files_are_waited_for_fetched_and_unpacked(tmp_path: Path) -> None:
    archive = zipped((f"{TOP}/a.txt", b"1"), (f"{TOP}/deep/b.txt", b"2"), (f"{TOP}/empty/", b""))
    seen: list[int] = []
    with scripted(serving(archive, polls=2)) as (api, server):
        found = download_resource(api, TOP, tmp_path / "to" / "here", on_bytes=seen.append)

        assert server.requests[0].form == {"file_id": TOP}
        assert server.paths().count("GET /api/resource/compression") == 3
    assert found == tmp_path / "to" / "here"
    assert files_in(found) == {"a.txt": b"1", "deep/b.txt": b"2"}
    assert (found / "empty").is_dir()
    assert seen[-1] == len(archive)
    # Nothing of the work is left, and what the server called the file counts for nothing.
    assert {path.name for path in found.iterdir()} == {"a.txt", "deep", "empty"}
    assert not list(tmp_path.rglob("evil*"))


def test_only_what_is_wanted_is_unpacked(tmp_path: Path) -> None:
    archive = zipped((f"{TOP}/a.txt", b"1"), (f"{TOP}/deep/b.bin", b"2"), (f"{TOP}/empty/", b""))
    with scripted(serving(archive)) as (api, server):
        download_resource(
            api, TOP, tmp_path, subpath="deep", select=lambda path: path.suffix == ".bin"
        )
        assert server.requests[0].form == {"file_id": TOP, "subpath": "deep"}

    assert files_in(tmp_path) == {"deep/b.bin": b"2"}
    assert not (tmp_path / "empty").exists()


def test_files_of_the_same_name_are_replaced_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "mine").write_text("mine")
    outside = tmp_path.parent / "outside"
    outside.write_text("outside")
    (tmp_path / "link").symlink_to(outside)
    with scripted(serving(zipped(("a", b"new"), ("link", b"new")))) as (api, _):
        download_resource(api, TOP, tmp_path)

    assert files_in(tmp_path) == {"a": b"new", "mine": b"mine", "link": b"new"}
    assert outside.read_text() == "outside"


@pytest.mark.parametrize("kind", ["directory", "link", "file"])
def test_what_is_in_the_way_is_named(tmp_path: Path, kind: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    target = tmp_path / "target"
    target.mkdir()
    archive = zipped(("place/a", b"1"))
    if kind == "directory":
        (target / "place").mkdir()
        archive = zipped(("place", b"1"))
    elif kind == "link":
        (target / "place").symlink_to(outside)
    else:
        (target / "place").write_text("mine")
    with scripted(serving(archive)) as (api, _), pytest.raises(ConfigError, match="in the way"):
        download_resource(api, TOP, target)

    assert list(outside.iterdir()) == []
    assert [path.name for path in target.iterdir()] == ["place"]


def test_an_archive_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    with (
        scripted(serving(b"", polls=1000)) as (api, _),
        pytest.raises(ServerUnreachable, match="not packed"),
    ):
        download_resource(api, TOP, tmp_path, timeout_s=0.2)


@pytest.mark.parametrize("archive", [b"", b"<html>log in</html>", b"PK\x05\x06" + b"\0" * 10])
def test_what_is_no_archive_leaves_nothing(tmp_path: Path, archive: bytes) -> None:
    (tmp_path / "mine").write_text("mine")
    with scripted(serving(archive)) as (api, _), pytest.raises(ServerError):
        download_resource(api, TOP, tmp_path)

    assert files_in(tmp_path) == {"mine": b"mine"}


def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        scripted(serving(zipped(("a", b"1")))) as (api, _),
        pytest.raises(ConfigError, match="Cannot write to"),
    ):
        download_resource(api, TOP, tmp_path / "file")


# Hostile archives.

HOSTILE: dict[str, tuple[bytes, str]] = {
    "parent": (zipped(("../evil", b"x")), "leads out"),
    "parent within": (zipped((f"{TOP}/../../evil", b"x")), "leads out"),
    "absolute": (zipped(("/evil", b"x")), "absolute"),
    "drive": (zipped(("c:/evil", b"x")), "absolute"),
    "backslash": (zipped((special("..\\evil", stat.S_IFREG), b"x")), "character"),
    "zero byte": (zipped(("a0b", b"x")).replace(b"a0b", b"a\0b"), "character"),
    "no name": (zipped(("a", b"x")).replace(b"\x01\x00\x00\x00\x00a", b""), "damaged|no zip"),
    "dot": (zipped((".", b"x")), "names nothing"),
    "link": (zipped((special("link", stat.S_IFLNK), b"/etc/passwd")), "is a link"),
    "link, then through it": (
        zipped((special("d", stat.S_IFLNK), b"/tmp"), ("d/evil", b"x")), "is a link",
    ),
    "fifo": (zipped((special("fifo", stat.S_IFIFO), b"")), "special file"),
    "device": (zipped((special("null", stat.S_IFCHR), b"")), "special file"),
    "directory that is a file": (zipped((special("d", stat.S_IFDIR), b"x")), "directory and a"),
    "below a file": (zipped(("a", b"x"), ("a/b", b"y")), "below a file"),
    "above a file": (zipped(("a/b", b"y"), ("a", b"x")), "below a file"),
    "a directory of its name": (zipped(("a", b"x"), ("a/", b"")), "has the name of one"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused_before_the_target_is_touched(
    tmp_path: Path, kind: str
) -> None:
    data, reason = HOSTILE[kind]
    target = tmp_path / "within" / "target"
    with (
        scripted(serving(data)) as (api, _),
        pytest.raises(UnexpectedAnswer, match=reason) as caught,
    ):
        download_resource(api, TOP, target)

    assert "\n" not in str(caught.value)
    assert list(target.iterdir()) == []
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_entries_of_one_name_are_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped(("a", b"1"), ("a", b"2")))

    with pytest.raises(UnexpectedAnswer, match="has the name"):
        unpack(archive, tmp_path / "files", top=TOP)


def test_names_that_are_one_on_this_disk_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS, where `A` and `a`, and two spellings of an accent, are one file."""
    monkeypatch.setattr(download, "sys", SimpleNamespace(platform="darwin"))
    for first, second in (("A", "a"), ("\u00e9", "e\u0301")):
        archive = tmp_path / "a.zip"
        archive.write_bytes(zipped((first, b"1"), (second, b"2")))
        with pytest.raises(UnexpectedAnswer, match="has the name"):
            unpack(archive, tmp_path / "files", top=TOP)


def test_more_entries_than_there_may_be_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ENTRY_LIMIT", 2)
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped(("a", b""), ("b", b""), ("c", b"")))

    with pytest.raises(UnexpectedAnswer, match="beyond the first 2"):
        unpack(archive, tmp_path / "files", top=TOP)


def test_what_does_not_fit_on_the_disk_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped(("zeros", bytes(10_000_000))))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _path: usage._replace(free=1_000_000))

    with pytest.raises(ConfigError, match="make room"):
        unpack(archive, tmp_path / "files", top=TOP)

    assert not (tmp_path / "files").exists()


def _say_smaller(data: bytes) -> bytes:
    """Let the directory of an archive say that its one entry has 5 bytes."""
    at = data.index(b"PK\x01\x02") + 24
    return data[:at] + struct.pack("<I", 5) + data[at + 4 :]


def _share_bytes(data: bytes) -> bytes:
    """Let the directory of an archive have its one entry many times."""
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry, count = data[start:end], 200
    entries = b"".join(entry.replace(b"x00", b"%03d" % number) for number in range(count))
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count, count, len(entries), start, 0)
    return data[:start] + entries + tail


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_say_smaller, "damaged|larger than it says"),
        (_share_bytes, "shares its bytes"),
        (lambda data: data[: len(data) // 2], "damaged"),
        (lambda data: data.replace(data[40:60], b"\xff" * 20), "damaged"),
    ],
)
def test_an_archive_that_lies_about_its_sizes_is_refused(
    tmp_path: Path, change: Callable[[bytes], bytes], reason: str
) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(change(zipped(("x00", bytes(range(256)) * 400))))

    with pytest.raises(UnexpectedAnswer, match=reason):
        unpack(archive, tmp_path / "files", top=TOP)


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ([(f"{TOP}/a", b"1"), (f"{TOP}/b/c", b"2")], {"a", "b/c"}),
        ([("a", b"1"), ("b/c", b"2")], {"a", "b/c"}),
        ([(f"{TOP}/a", b"1"), ("b", b"2")], {f"{TOP}/a", "b"}),
        ([(TOP, b"1")], {TOP}),
        ([("./a", b"1"), ("b//c", b"2")], {"a", "b/c"}),
        ([("日本語.txt", b"1"), ("a b\nc", b"2"), ("-rf", b"3")], {"日本語.txt", "a b\nc", "-rf"}),
        ([], set()),
    ],
)
def test_one_top_folder_of_the_resource_is_left_out(
    tmp_path: Path, entries: list[Entry], found: set[str]
) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped(*entries))

    unpack(archive, tmp_path / "files", top=TOP)

    assert files_in(tmp_path / "files").keys() == found


@settings(
    max_examples=150, deadline=None, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(
    st.lists(
        st.text(st.sampled_from("ab./\\:~ \n\u00e9"), min_size=1, max_size=12),
        max_size=4, unique=True,
    )
)  # fmt: skip
def test_whatever_the_names_nothing_lands_outside(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    place = tmp_path_factory.mktemp("names")
    archive = place / "a.zip"
    archive.write_bytes(zipped(*((name, b"x") for name in names)))
    inside = place / "deep" / "er"
    inside.mkdir(parents=True)
    before = set(place.rglob("*"))

    try:
        unpack(archive, inside / "files", top=TOP)
    except (UnexpectedAnswer, ConfigError):
        pass
    else:
        wanted = {str(PurePosixPath(name)) for name in names if not name.endswith("/")}
        assert files_in(inside / "files").keys() == wanted
    after = set(place.rglob("*"))
    assert all(path.is_relative_to(inside / "files") for path in after - before)
    shutil.rmtree(place)
