"""Who packs a zip changes no byte of it, and helpers that die, hang or lie are no error."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit import archive as archive_module
from anylearn_jupyter.submit import helper_processes, zip_packers, zip_work
from anylearn_jupyter.submit.archive import archive
from anylearn_jupyter.submit.fingerprint import Entry, fingerprint
from anylearn_jupyter.submit.folder_work import FILE_FLAGS
from waiting import wait_until


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Small files of all kinds, some larger ones between them, an executable and a link."""
    top = tmp_path / "data"
    (top / "deep ☃").mkdir(parents=True)
    for number in range(300):
        text = b"%d, " % number * (number * 7)
        (top / f"text{number}").write_bytes(text)
        (top / "deep ☃" / f"noise{number}").write_bytes(os.urandom(number * 11))
    (top / "noise99 large").write_bytes(os.urandom(3_000_000))
    (top / "text99 medium").write_bytes(b"1,2,3\n" * 50_000)
    (top / "text7").chmod(0o755)
    (top / "way").symlink_to("text8")
    return top


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helpers for anything that is more than a group of a few files, on three processors."""
    monkeypatch.setattr(helper_processes, "processors", lambda: 3)
    monkeypatch.setattr(zip_packers, "HELPED_BYTES", -1)
    monkeypatch.setattr(archive_module, "_GROUP_FILES", 4)


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What helpers have answered."""
    found: list[object] = []
    taken = helper_processes.Helpers.answers

    def answers(self: helper_processes.Helpers, *, wait: bool = False) -> list[tuple[int, object]]:
        new = taken(self, wait=wait)
        found.extend(answer for _, answer in new)
        return new

    monkeypatch.setattr(helper_processes.Helpers, "answers", answers)
    return found


def running() -> list[psutil.Process]:
    """Give the helpers of this process."""
    return [one for one in psutil.Process().children() if _is_helper(one)]


def _is_helper(child: psutil.Process) -> bool:
    try:
        return any("folder_work" in word for word in child.cmdline())
    except psutil.NoSuchProcess:  # or a dead child of another test that nobody has waited for
        return False


MOST_IN_ANOTHER_FORM = 3


def check_same(whole: bytes, expected: bytes) -> None:
    """Compare zips, of which ISA-L may give a few files another form (`archive`)."""
    assert contents(whole) == contents(expected)
    differing = [
        one for one, other in zip(packed(whole), packed(expected), strict=True) if one != other
    ]
    assert len(differing) <= MOST_IN_ANOTHER_FORM


def contents(whole: bytes) -> list[tuple[object, ...]]:
    """Give all that a zip says and holds but how deflate wrote it."""
    with zipfile.ZipFile(io.BytesIO(whole)) as found:
        return [
            (one.filename, one.external_attr, one.date_time, one.compress_type, found.read(one))
            for one in found.infolist()
        ]


def packed(whole: bytes) -> list[bytes]:
    """Give the members, each with what stands before it."""
    with zipfile.ZipFile(io.BytesIO(whole)) as found:
        starts = [one.header_offset for one in found.infolist()]
    return [whole[at:end] for at, end in pairwise([*starts, found.start_dir])]


def test_helpers_make_the_same_bytes(
    data: Path, answered: list[object], request: pytest.FixtureRequest
) -> None:
    content = fingerprint(data)
    alone = b"".join(archive(content))
    assert answered == []
    request.getfixturevalue("helped")
    told: list[tuple[int, int]] = []

    def together() -> bool:
        whole = b"".join(archive(content, on_progress=lambda *both: told.append(both)))
        check_same(whole, alone)
        return len(answered) > 20

    # However quick this process is, helpers have packed some.
    wait_until(together, 60, "the same bytes, of which helpers have packed some")
    assert None not in answered
    assert told[-1] == (content.total_bytes, content.total_bytes)
    assert running() == []


@pytest.mark.parametrize("small_bytes", [0, 1 << 30], ids=["threads", "the caller"])
def test_threads_and_the_caller_make_the_same_bytes(
    data: Path, small_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = fingerprint(data)

    def whole(mean_bytes: int) -> bytes:
        monkeypatch.setattr(zip_packers, "SMALL_BYTES", mean_bytes)
        return b"".join(archive(content))

    check_same(whole(small_bytes), whole(1 << 15))


def test_few_files_need_no_helper(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_processes, "processors", lambda: 3)

    def refuse(self: object) -> None:
        raise AssertionError("a helper is started")

    monkeypatch.setattr(helper_processes._Helper, "__init__", refuse)

    assert len(b"".join(archive(fingerprint(data)))) > 3_000_000


@pytest.mark.usefixtures("helped")
@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("pieces_before", [0, 30])
def test_what_a_helper_does_not_pack_is_packed_here(
    data: Path,
    with_signal: signal.Signals,
    pieces_before: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that dies, or hangs, while it has something to do."""
    monkeypatch.setattr(helper_processes, "PATIENCE_S", 0.3)
    content = fingerprint(data)
    struck: list[int] = []

    def strike() -> Iterator[bytes]:
        for at, piece in enumerate(archive(content)):
            if at == pieces_before:
                for one in running():
                    one.send_signal(with_signal)
                    struck.append(one.pid)
            yield piece

    check_same(b"".join(strike()), b"".join(archive(content)))
    assert len(struck) >= 2
    assert running() == []


@pytest.mark.usefixtures("helped")
@pytest.mark.parametrize(
    "does", ["exit 1", "exec sleep 60", "cat", "echo this is no message; exec sleep 60", "rm $0"]
)
def test_an_interpreter_that_does_something_else_is_no_error(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    content = fingerprint(data)
    expected = b"".join(archive(content))
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/bin/sh\n{does}\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    monkeypatch.setattr(helper_processes, "PATIENCE_S", 0.3)

    for _ in range(2):
        check_same(b"".join(archive(content)), expected)


@pytest.mark.usefixtures("helped")
def test_a_helper_of_another_version_packs_nothing(
    data: Path, answered: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = fingerprint(data)
    expected = b"".join(archive(content))
    monkeypatch.setattr(zip_packers, "VERSION", "another")
    answered.clear()

    def together() -> bool:
        check_same(b"".join(archive(content)), expected)
        return len(answered) > 20

    wait_until(together, 60, "the same bytes, when helpers have answered")
    assert set(answered) == {None}


@pytest.mark.usefixtures("helped")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path: path.write_bytes(b"x" * path.stat().st_size), "changed while"),
        (lambda path: path.write_bytes(b"of another size"), "changed while"),
        (lambda path: path.chmod(0o755), "changed while"),
        (lambda path: path.unlink(), "cannot be read any more"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "cannot be read any more"),
        (lambda path: (path.unlink(), path.symlink_to("text8")), "cannot be read any more"),
    ],
)
def test_a_file_that_changed_is_named_whoever_packs_it(
    data: Path, change: Callable[[Path], object], said: str
) -> None:
    content = fingerprint(data)
    at = [entry.path for entry in content.entries].index("text200")
    change(data / "text200")

    with pytest.raises(DataError, match=rf"The file 'text200' .*{said}"):
        b"".join(archive(content))

    assert zip_work.pack_asked(zip_work.VERSION, FILE_FLAGS, content.entries[at : at + 1]) is None
    assert running() == []


def test_a_helper_packs_as_the_caller_does(data: Path) -> None:
    entries = fingerprint(data).entries

    def read(entry: Entry) -> bytes:
        return Path(entry.source).read_bytes()

    def both() -> bool:
        found = zip_work.pack_asked(zip_work.VERSION, FILE_FLAGS, entries[:500])
        return found == zip_work.pack(entries[:500], read)

    wait_until(both, 60, "the same bytes")
    assert zip_work.pack_asked("another", FILE_FLAGS, entries[:500]) is None


@pytest.mark.usefixtures("helped")
def test_they_end_when_nobody_reads_on(data: Path) -> None:
    pieces = archive(fingerprint(data))
    next(pieces)
    assert len(running()) == 2

    del pieces

    assert running() == []


RESIDENT = """
import resource, sys
from pathlib import Path
from anylearn_jupyter.submit import helper_processes, zip_packers
from anylearn_jupyter.submit.archive import archive
from anylearn_jupyter.submit.fingerprint import fingerprint

def high_water():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

helper_processes.processors = lambda: int(sys.argv[3])
zip_packers.HELPED_BYTES = -1
small, large = (fingerprint(Path(place)) for place in sys.argv[1:3])
for piece in archive(small):
    pass
before = high_water()
sent = sum(len(piece) for piece in archive(large))
print(high_water() - before, sent)
"""


@pytest.mark.parametrize("processors", [1, 4])
def test_memory_is_flat(tmp_path: Path, processors: int) -> None:
    """As the system counts it: groups wait for who reads them, and they are few."""
    for name, files in (("small", 100), ("large", 5_000)):
        (tmp_path / name).mkdir()
        for number in range(files):
            (tmp_path / name / f"{number}").write_bytes(os.urandom(12_000))

    answer = subprocess.run(
        [sys.executable, "-c", RESIDENT, tmp_path / "small", tmp_path / "large", str(processors)],
        capture_output=True,
        text=True,
        check=True,
    )

    grown, sent = map(int, answer.stdout.split())
    assert sent > 60_000_000
    assert grown < 12_000_000
