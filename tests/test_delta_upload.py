"""One pass over data: read, hashed, cut and sent from one buffer, in flat memory."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.api.delta import DeltaLimits, FilesTold, FileTaken, Lacking
from anylearn_jupyter.client.connection import current_connection, disconnect
from anylearn_jupyter.client.http import Plain
from anylearn_jupyter.engine.whole_files import sources_in
from anylearn_jupyter.errors import DataError, ServerUnreachable
from anylearn_jupyter.submit import engine_reading
from anylearn_jupyter.submit.chunker import LARGEST_BYTES
from anylearn_jupyter.submit.delta_upload import DeltaUpload, fits
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.file_reading import PlainReader
from anylearn_jupyter.submit.fingerprint import DataReading, fingerprint, look
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.local_data import LocalData
from anylearn_jupyter.submit.preparation import look_at_data
from anylearn_jupyter.submit.progress import SilentProgress, ToldProgress, TqdmProgress
from anylearn_jupyter.submit.request import InputKind
from anylearn_jupyter.submit.stat_cache import StatCache
from conftest import engine_command
from uploading import of_size

LIMITS = DeltaLimits(2 << 20, 16 << 20, 4096, 16_384)


class Kept(Api):
    """A server that keeps chunks in memory, in place of one behind a socket."""

    def __init__(self) -> None:
        self.chunks: dict[bytes, bytes] = {}
        self.bodies: list[int] = []
        self.asked = self.read = 0
        self.is_elsewhere = False
        self.cuts: list[int] = []
        self.on_send: Callable[[], None] = lambda: None

    def delta_lacking(self, digests: Any) -> Lacking:
        self.asked += 1
        missing = [at for at, one in enumerate(digests) if one not in self.chunks]
        return Lacking(missing, bool(self.chunks))

    def delta_send(self, upload: str, body: Plain) -> None:
        self.on_send()
        data = bytes(body)
        self.bodies.append(len(data))
        (count,) = struct.unpack_from("<L", data)
        at = 4 + count * 52
        for number in range(count):
            digest, size, _, _ = struct.unpack_from("<32sLQQ", data, 4 + number * 52)
            self.chunks[digest] = data[at : at + size]
            assert blake3(self.chunks[digest]).digest() == digest
            at += size
        assert at == len(data)

    def delta_files(self, upload: str, body: Plain, count: int) -> Iterator[FilesTold]:
        cut = self.cuts.pop(0) if self.cuts else count
        for source in sources_in(bytes(body))[:cut]:
            if self.is_elsewhere:
                yield FilesTold(0, [FileTaken(source.at, b"", 0)])
                continue
            self.read += 1
            data = Path(os.fsdecode(source.path)).read_bytes()
            yield FilesTold(len(data), [])
            digest = blake3(data).digest()
            new = digest not in self.chunks
            self.chunks[digest] = data
            yield FilesTold(0, [FileTaken(source.at, digest, len(data) if new else 0)])
        if cut < count:
            yield FilesTold(1000, [])
            raise ServerUnreachable("the answer was cut", may_have_happened=True)

    def content(self, manifest: Iterator[bytes]) -> dict[str, tuple[bytes, int]]:
        found = {}
        for line in manifest:
            path, executable, size, digest, pieces = json.loads(line)
            data = b"".join(self.chunks[bytes.fromhex(one)] for one in pieces)
            assert len(data) == size
            assert blake3(data).hexdigest() == digest
            found[path] = (data, executable)
        return found


def read_and_sent(
    folder: Path, api: Kept, cache: StatCache | None = None, limits: DeltaLimits = LIMITS
) -> tuple[DeltaUpload, DataReading]:
    with DeltaUpload(api, limits, "0" * 32) as upload:
        reading = DataReading(look(folder, cache))
        upload.choose(reading)
        reading.read_all(upload, cache=cache)
        upload.flush()
        return upload, reading


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = of_size(
        tmp_path / "data", 0, 1, 5000, LARGEST_BYTES, LARGEST_BYTES + 1, 9_000_000, 300_000, 300_000
    )
    (top / "deep").mkdir()
    (top / "deep" / "run.sh").write_bytes(b"#!/bin/sh\n")
    (top / "deep" / "run.sh").chmod(0o700)
    (top / "deep" / "text").write_bytes(b"".join(b"%d,row\n" % n for n in range(500_000)))
    return top


def files_of(top: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(top)): (path.read_bytes(), int(bool(path.stat().st_mode & 0o100)))
        for path in top.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    "limits",
    [LIMITS, DeltaLimits(2 << 20, 3 << 20, 4096, 16_384), DeltaLimits(2 << 20, 16 << 20, 2, 3)],
)
def test_what_is_sent_is_the_data_and_its_fingerprint(folder: Path, limits: DeltaLimits) -> None:
    api = Kept()
    upload, reading = read_and_sent(folder, api, limits=limits)
    assert api.content(upload.manifest(reading)) == files_of(folder)
    assert reading.result().value == fingerprint(folder).value
    assert upload.sent == sum(len(data) for data, _ in files_of(folder).values())
    assert max(api.bodies) <= limits.body_bytes


def test_an_engine_on_this_machine_reads_where_it_is(folder: Path) -> None:
    api, told = Kept(), []
    with DeltaUpload(api, LIMITS._replace(reads_files=3), "0" * 32) as upload:
        reading = DataReading(look(folder))
        reading.read_all(upload, lambda done, _total: told.append(done))
        upload.flush()
    assert api.content(upload.manifest(reading)) == files_of(folder)
    assert reading.result().value == fingerprint(folder).value
    assert (api.bodies, api.read) == ([], len(files_of(folder)))
    assert upload.sent == sum({data: len(data) for data, _ in files_of(folder).values()}.values())
    assert told[-1] == sum(len(data) for data, _ in files_of(folder).values())


def test_what_it_does_not_find_there_is_sent(folder: Path) -> None:
    """In a container of its own, say."""
    api = Kept()
    api.is_elsewhere = True
    upload, reading = read_and_sent(folder, api, limits=LIMITS._replace(reads_files=3))
    assert api.content(upload.manifest(reading)) == files_of(folder)
    assert (len(api.bodies) > 1, api.read) == (True, 0)


def test_an_answer_that_is_cut_is_asked_for_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only about the files of which nothing was said."""
    monkeypatch.setattr(engine_reading, "backoff_s", lambda attempt: 0.0)
    api, told = Kept(), []
    api.cuts = [2, 0, 0, 1, 0, 0, 0]
    with DeltaUpload(api, LIMITS._replace(reads_files=100), "0" * 32) as upload:
        reading = DataReading(look(folder))
        with pytest.raises(ServerUnreachable, match="the answer was cut"):
            reading.read_all(upload)
        assert api.read == 3
        reading.read_all(upload, lambda done, total: told.append((done, total)))
        upload.flush()
    assert api.read == len(files_of(folder))
    assert told[-1][0] == told[-1][1]
    assert api.content(upload.manifest(reading)) == files_of(folder)


def test_what_is_there_is_not_sent_and_what_is_twice_is_sent_once(folder: Path) -> None:
    api = Kept()
    read_and_sent(folder, api)
    (folder / "copy").write_bytes((folder / "file5.bin").read_bytes())
    (folder / "holes").write_bytes(bytes(20_000_000))
    upload, reading = read_and_sent(folder, api)
    assert upload.sent <= LARGEST_BYTES * 2
    assert api.content(upload.manifest(reading)) == files_of(folder)


def test_a_file_that_is_known_on_both_sides_is_not_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from anylearn_jupyter.submit import file_reading as module
    from anylearn_jupyter.submit import regular_files

    monkeypatch.setattr(regular_files, "YOUNG_NS", -(10**18))
    api, cache = Kept(), StatCache()
    fingerprint(folder, cache=cache)
    read_and_sent(folder, api, cache)
    # The whole file is a piece, too, once the server has it.
    data = (folder / "file5.bin").read_bytes()
    api.chunks[blake3(data).digest()] = data
    for name in ("file4.bin", "deep/text"):
        data = (folder / name).read_bytes()
        api.chunks[blake3(data).digest()] = data
    opened: list[str] = []
    original = module.open_seen
    monkeypatch.setattr(
        module, "open_seen", lambda path: (opened.append(Path(path).name), original(path))[1]
    )
    (folder / "file6.bin").write_bytes(b"changed")
    upload, reading = read_and_sent(folder, api, cache)
    assert opened == ["file6.bin"]
    assert upload.sent == 7
    assert api.content(upload.manifest(reading)) == files_of(folder)


def test_of_a_server_that_holds_nothing_nothing_is_asked(folder: Path) -> None:
    api = Kept()
    read_and_sent(folder, api)
    assert api.asked <= 2


def test_trouble_of_the_sending_thread_is_trouble_of_the_reader(tmp_path: Path) -> None:
    api = Kept()

    def fail() -> None:
        raise DataError("the server refused")

    api.on_send = fail
    folder = of_size(tmp_path / "data", 30_000_000)
    with pytest.raises(DataError, match="the server refused"):
        read_and_sent(folder, api)
    assert not [one for one in threading.enumerate() if one.name.startswith("anylearn-send")] or (
        len(api.bodies) == 0
    )


def test_a_server_of_smaller_chunks_is_not_used() -> None:
    assert fits(LIMITS)
    assert not fits(LIMITS._replace(chunk_bytes=1 << 20))
    assert not fits(None)


# Faults E13: data that changes while it travels.


def test_a_file_that_changes_once_is_read_again(folder: Path) -> None:
    api = Kept()
    changes = iter([b"X"])

    def change(_done: int, _total: int) -> None:
        for one in changes:
            with (folder / "file5.bin").open("r+b") as file:
                file.write(one)

    with DeltaUpload(api, LIMITS, "0" * 32) as upload:
        reading = DataReading(look(folder))

        class Slow(PlainReader):
            def read(self, handle: int, spot: Any, size: int, tell: Any) -> Any:
                if spot.path == "file5.bin":
                    change(0, 0)
                return upload.read(handle, spot, size, tell)

        reading.read_all(Slow())
        upload.flush()
    assert api.content(upload.manifest(reading)) == files_of(folder)
    assert reading.result().value == fingerprint(folder).value


def test_a_file_that_changes_all_the_time_is_an_error(folder: Path) -> None:
    with DeltaUpload(Kept(), LIMITS, "0" * 32) as upload:
        reading = DataReading(look(folder))

        def change(_done: int, _total: int) -> None:
            with (folder / "file5.bin").open("ab") as file:
                file.write(b"more")

        with pytest.raises(DataError, match=r"'file5\.bin' changed while it was read, 3 times"):
            reading.read_all(upload, change)


def test_data_that_changed_since_it_was_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reading and the sending, where they are two."""
    folder = of_size(tmp_path / "data", 100)
    engine_command("start")
    try:
        with Ledger() as ledger:
            place = Destination(current_connection(), ledger, SilentProgress(), 0.2)
            content = look_at_data(folder, SilentProgress())
            (folder / "file0.bin").write_bytes(b"other")
            with pytest.raises(DataError, match="changed while it was being sent"):
                LocalData(content, InputKind.DATASET, place).provide()
    finally:
        disconnect()
        engine_command("stop", "--tasks", check=False)


# Memory and many files (faults E15, E16), with a process of its own and a real engine.

MEASURED = """
import json, resource, sys, threading, time
from pathlib import Path

from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.local_data import LocalData
from anylearn_jupyter.submit.preparation import look_at_data
from anylearn_jupyter.submit.progress import SilentProgress
from anylearn_jupyter.submit.request import InputKind


def status(pid, name):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(name):
            return int(line.split()[1]) * 1024


class Listener(SilentProgress):
    first = files = None

    def bytes(self, label, done, total):
        self.first = self.first or time.monotonic() - begun

    def files(self, label, done, total):
        self.last = (done, total)


with Ledger() as ledger:
    connection = current_connection()
    connection.api.datasets()
    listener = Listener()
    place = Destination(connection, ledger, listener, 0.2)
    import anylearn_jupyter.submit.pipeline
    idle, begun = status("self", "VmRSS"), time.monotonic()
    content = look_at_data(Path(sys.argv[1]), listener)
    found = LocalData(content, InputKind.DATASET, place).provide()
    print(json.dumps({
        "grown": status("self", "VmHWM") - idle, "engine": status(connection.engine.pid, "VmHWM"),
        "sent": found.sent, "first_s": listener.first, "files": listener.last,
        "total": found.content.total_bytes,
    }))
"""


def measured(folder: Path) -> dict[str, Any]:
    engine_command("start")
    try:
        answer = subprocess.run(
            [sys.executable, "-c", MEASURED, str(folder)],
            capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
    finally:
        engine_command("stop", "--tasks", check=False)
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_file_grows_neither_side(tmp_path: Path) -> None:
    """A gigabyte of holes with a few bytes in it, which stay holes."""
    folder = tmp_path / "data"
    folder.mkdir()
    with (folder / "holes").open("wb") as file:
        file.truncate(1 << 30)
        for number in range(20):
            file.seek(number * 50_000_000)
            file.write(os.urandom(1_500_000))
    found = measured(folder)
    assert found["total"] == 1 << 30
    assert found["sent"] == 1 << 30
    home = Path(os.environ["ANYLEARN_HOME"])
    (kept,) = home.glob("engine/blobs/DSET*/content-*/holes")
    assert kept.stat().st_blocks * 512 < 100_000_000
    assert found["grown"] < 40_000_000
    assert found["engine"] < 75_000_000  # with the measuring of coverage in it


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_files_are_told_of_from_the_first_second(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for number in range(10_000):
        path = folder / f"{number % 20}" / f"{number}"
        if number < 20:
            path.parent.mkdir(parents=True)
        path.write_bytes(b"%d" % number * 200)
    found = measured(folder)
    assert found["first_s"] < 3  # a second, on a machine that does nothing else
    assert found["files"] == [10_000, 10_000]
    assert found["grown"] < 60_000_000


# Progress in bytes and files.


def test_files_are_told_to_who_listens_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    class OfBefore:
        def step(self, name: str, detail: str = "") -> None: ...

        def bytes(self, label: str, sent: int, total: int) -> None: ...

        def note(self, text: str) -> None: ...

    ToldProgress(OfBefore()).files("x", 1, 2)
    bar = TqdmProgress()
    told = ToldProgress(bar)
    told.bytes("sending x", 1, 1000)
    told.files("sending x", 1234, 5678)
    deadline = time.monotonic() + 10
    while "1,234 of 5,678 files" not in capsys.readouterr().err:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        told.bytes("sending x", 500, 1000)
    bar.close()
