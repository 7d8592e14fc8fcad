"""The zip of a dataset: the same bytes each time, whole, in flat memory, and never a wrong one."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import stat
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anylearn_jupyter.engine.unpack import unpack
from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit import archive as module
from anylearn_jupyter.submit.archive import archive, check_names
from anylearn_jupyter.submit.data_scan import scan
from anylearn_jupyter.submit.fingerprint import Fingerprint, fingerprint
from anylearn_jupyter.submit.stat_cache import StatCache


def packed(top: Path) -> bytes:
    return b"".join(archive(fingerprint(top)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    top = tmp_path / "data"
    for name, content in {
        "text.csv": b"1,2,3\n" * 50_000,
        "noise.bin": os.urandom(300_000),
        "deep/er/naïve ☃.txt": "é☃😀".encode(),
        "empty": b"",
        "-n": b"a dash",
        "new\nline": b"odd",
        "run.sh": b"#!/bin/sh\n",
    }.items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (top / "run.sh").chmod(0o750)
    (top / "empty").chmod(0o600)
    (top / "an empty directory").mkdir()
    return top


def files(top: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        str(path.relative_to(top)): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in top.rglob("*")
        if path.is_file()
    }


def test_what_comes_out_is_what_went_in(data: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(packed(data))) as opened:
        assert opened.testzip() is None
        names = opened.namelist()
        found = {
            member.filename: (opened.read(member), bool((member.external_attr >> 16) & 0o100))
            for member in opened.infolist()
        }
        kinds = {stat.S_IFMT(member.external_attr >> 16) for member in opened.infolist()}
        modes = {stat.S_IMODE(member.external_attr >> 16) for member in opened.infolist()}

    assert found == files(data)
    assert names == sorted(names, key=lambda name: name.encode())
    assert kinds == {stat.S_IFREG}
    assert modes == {0o644, 0o755}


def test_a_server_unpacks_the_same_fingerprint(data: Path, tmp_path: Path) -> None:
    """By the engine's own careful unpacker, executable bits included."""
    (tmp_path / "data.zip").write_bytes(packed(data))
    (tmp_path / "out").mkdir()

    unpack(tmp_path / "data.zip", tmp_path / "out")

    assert fingerprint(tmp_path / "out").value == fingerprint(data).value


def test_other_programs_read_it(data: Path, tmp_path: Path) -> None:
    program = shutil.which("unzip") or shutil.which("bsdtar")
    if program is None:
        pytest.skip("neither unzip nor bsdtar is installed")
    (tmp_path / "data.zip").write_bytes(packed(data))
    words = ["-tq"] if program.endswith("unzip") else ["-tf"]

    subprocess.run([program, *words, str(tmp_path / "data.zip")], check=True, capture_output=True)


def test_the_bytes_are_the_same_each_time_and_anywhere(data: Path, tmp_path: Path) -> None:
    first = packed(data)
    other = tmp_path / "another" / "name"
    shutil.copytree(data, other)
    for path in other.rglob("*"):
        os.utime(path, ns=(10**18, 10**18))

    assert packed(data) == first
    assert packed(other) == first


def test_what_is_known_from_a_cache_is_packed_the_same(data: Path) -> None:
    first = packed(data)
    cache = StatCache()
    fingerprint(data, cache=cache)

    assert b"".join(archive(fingerprint(data, cache=cache))) == first


def test_only_what_shrinks_is_deflated(data: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(packed(data))) as opened:
        kinds = {member.filename: member.compress_type for member in opened.infolist()}

    assert kinds["text.csv"] == zipfile.ZIP_DEFLATED
    assert kinds["noise.bin"] == zipfile.ZIP_STORED


def test_a_head_that_misleads_does_not_decide(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "x").write_bytes(os.urandom(50_000) + bytes(1_000_000))

    assert len(packed(top)) < 100_000


def test_links_are_sent_as_what_they_lead_to(data: Path) -> None:
    (data / "link").symlink_to("text.csv")
    (data / "again").symlink_to("deep", target_is_directory=True)

    with zipfile.ZipFile(io.BytesIO(packed(data))) as opened:
        assert opened.read("link") == (data / "text.csv").read_bytes()
        assert opened.read("again/er/naïve ☃.txt") == "é☃😀".encode()


def test_one_file_is_a_zip_of_one(data: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(packed(data / "text.csv"))) as opened:
        assert opened.namelist() == ["text.csv"]


def test_progress_is_told_in_bytes_of_the_files(data: Path) -> None:
    told: list[tuple[int, int]] = []
    content = fingerprint(data)

    b"".join(archive(content, on_progress=lambda done, total: told.append((done, total))))

    assert told[-1] == (content.total_bytes, content.total_bytes)
    assert all(before[0] <= after[0] for before, after in itertools.pairwise(told))


def test_memory_is_flat(tmp_path: Path) -> None:
    """However large a file is, and whatever becomes of it in the zip."""
    top = tmp_path / "top"
    top.mkdir()
    with (top / "holes").open("wb") as file:
        file.truncate(150_000_000)
    with (top / "noise").open("wb") as file:
        for _ in range(60):
            file.write(os.urandom(1_000_000))
    content = fingerprint(top)
    tracemalloc.start()
    try:
        sent = sum(len(piece) for piece in archive(content))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert sent > 60_000_000
    assert peak < 14_000_000  # a few blocks of 1 MiB, and what they became


RESIDENT = """
import resource, sys
from pathlib import Path
from anylearn_jupyter.submit.archive import archive
from anylearn_jupyter.submit.fingerprint import fingerprint

def high_water():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

small, large = map(Path, sys.argv[1:])
for piece in archive(fingerprint(small)):
    pass
before = high_water()
for piece in archive(fingerprint(large)):
    pass
print(high_water() - before)
"""


def test_the_process_does_not_grow(tmp_path: Path) -> None:
    """As the system counts it, so that what C code takes counts too."""
    for name, size in (("small", 3_000_000), ("large", 300_000_000)):
        (tmp_path / name).mkdir()
        with (tmp_path / name / "x").open("wb") as file:
            file.truncate(size)

    answer = subprocess.run(
        [sys.executable, "-c", RESIDENT, str(tmp_path / "small"), str(tmp_path / "large")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(answer.stdout) < 8_000_000


# Large files: the headers, with the format's limit moved to where a test can reach it.


@pytest.mark.parametrize("kind", ["deflated", "stored"])
@pytest.mark.parametrize("size", [999, 1000, 1001, 1999, 2000, 2001, 2100, 5000])
def test_a_file_at_and_beyond_the_limit_of_the_headers(
    kind: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file between the size that asks for large headers and the limit must not be refused."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 2000)
    monkeypatch.setattr(module, "_LARGE_BYTES", 2000 // 2)
    top = tmp_path / "top"
    top.mkdir()
    content = bytes(size) if kind == "deflated" else os.urandom(size)
    (top / "x").write_bytes(content)
    whole = packed(top)

    with zipfile.ZipFile(io.BytesIO(whole)) as opened:
        assert opened.testzip() is None
        assert opened.read("x") == content


def test_large_headers_begin_well_below_the_limit() -> None:
    """A block that does not shrink becomes larger by 5 bytes in 65,535."""
    assert module._LARGE_BYTES * 1.001 < zipfile.ZIP64_LIMIT


def test_a_file_beyond_4_gib_has_large_headers(tmp_path: Path) -> None:
    """Only its header is looked at: reading the file's holes would last."""
    top = tmp_path / "top"
    top.mkdir()
    with (top / "x").open("wb") as file:
        file.truncate(5 << 30)

    head = next(archive(fingerprint_of_holes(top, 5 << 30)))

    assert head[:4] == b"PK\x03\x04"
    assert int.from_bytes(head[4:6], "little") == zipfile.ZIP64_VERSION
    assert head[18:26] == b"\xff" * 8


def fingerprint_of_holes(top: Path, size: int) -> Fingerprint:
    """Give what `fingerprint` would, for a file that nobody wants to read."""
    found = scan(top)
    assert found.total_bytes == size
    return Fingerprint(
        value="fp1:" + "0" * 64,
        root=top,
        files=1,
        total_bytes=size,
        _contents=((found.folders[0], bytes(32)),),
    )


# Names that a server cannot unpack (faults E11, E12).


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a\\b"], "backslash or a drive"),
        (["C:x"], "backslash or a drive"),
        (["deep/D:x"], ""),
        (["Train.csv", "train.csv"], "differ in case or accents only"),
        (["Deep/a", "deep/b"], "differ in case or accents only"),
        (["e\u0301", "\u00e9"], "differ in case or accents only"),
        (["straße", "STRASSE"], "differ in case or accents only"),
        (["a", "b/a", "a.b/a"], ""),
        (["x" * 255], ""),
    ],
)
def test_names_that_a_server_refuses_are_refused_before_a_byte_is_sent(
    names: list[str], said: str, tmp_path: Path
) -> None:
    for name in names:
        path = tmp_path / "top" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    content = fingerprint(tmp_path / "top")

    if said:
        with pytest.raises(DataError, match=said):
            next(archive(content))
        with pytest.raises(DataError, match=said):
            check_names(content)
    else:
        assert b"".join(archive(content)).startswith(b"PK")


def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    place = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(16):
            os.mkdir("d" * 200, dir_fd=place)
            inner = os.open("d" * 200, os.O_RDONLY, dir_fd=place)
            os.close(place)
            place = inner
        os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=place))
    finally:
        os.close(place)

    with pytest.raises(DataError, match="too long for a server"):
        check_names(fingerprint(tmp_path))


# Data that is not what its fingerprint says any more (faults E13).


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.write_bytes(b"4,5,6\n" * 50_000), "changed while"),
        (lambda path: path.write_bytes(b"1,2,3\n" * 50_001), "changed while"),
        (lambda path: path.write_bytes(b"1,2,3\n" * 49_999), "changed while"),
        (lambda path: path.write_bytes(b""), "changed while"),
        (lambda path: path.chmod(0o755), "changed while"),
        (lambda path: path.unlink(), "cannot be read any more"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "cannot be read any more"),
        (lambda path: (path.unlink(), path.symlink_to("empty")), "cannot be read any more"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot be read any more"),
    ],
)
def test_a_file_that_changed_since_is_an_error_that_names_it(
    data: Path, change: Callable[[Path], object], said: str
) -> None:
    content = fingerprint(data)
    change(data / "text.csv")

    with pytest.raises(DataError, match=rf"The file 'text\.csv' .*{said}"):
        b"".join(archive(content))


def test_a_file_that_changes_while_it_is_sent_is_an_error(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "x").write_bytes(os.urandom(5_000_000))
    content = fingerprint(top)
    pieces = archive(content)
    next(pieces)
    with (top / "x").open("r+b") as file:
        file.seek(4_000_000)
        file.write(b"edited")

    with pytest.raises(DataError, match="'x' changed while the data was being sent"):
        b"".join(pieces)


def test_a_file_that_grows_for_ever_ends(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "x").write_bytes(bytes(2_000_000))
    content = fingerprint(top)

    def grow(done: int, total: int) -> None:
        with (top / "x").open("ab") as file:
            file.write(bytes(2_000_000))

    with pytest.raises(DataError, match="'x' changed while"):
        b"".join(archive(content, on_progress=grow))


def test_nothing_stays_open_when_nobody_reads_on(data: Path) -> None:
    """A warning of a file that nobody closed is an error here."""
    pieces: Iterator[bytes] = archive(fingerprint(data))
    next(pieces)

    del pieces
