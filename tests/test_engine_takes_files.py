"""Files of this machine that the engine takes itself: it believes nothing that it is told."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from blake3 import blake3

from anylearn_jupyter.engine.whole_files import BLOCK_BYTES
from anylearn_jupyter.submit.data_scan import state_of
from anylearn_jupyter.submit.engine_reading import body_of
from anylearn_jupyter.submit.file_reading import FileAt, Spot
from engine_home import EngineHome, own_engine
from published import PublishedClient
from test_engine_delta import UPLOAD, Sender, line
from waiting import wait_until

__all__ = ["own_engine"]

LARGE = 3 * BLOCK_BYTES + 12_345


@pytest.fixture
def sender(own_engine: EngineHome) -> Sender:
    return Sender(own_engine.start())


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return file_of(tmp_path / "large file of mine", LARGE)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return file_of(tmp_path / "small", 5000)


def file_of(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path


def seen(*paths: Path) -> bytes:
    """Say where files are and how they are now, as the client does."""
    return body_of([FileAt(Spot("x", 0, 0, state_of(one.lstat())), str(one)) for one in paths])


def told(sender: Sender, body: bytes) -> list[dict[str, Any]]:
    answer = sender.raw("delta/files", body, upload=UPLOAD)
    assert answer.ok, answer.text
    return [json.loads(one) for one in answer.text.splitlines()]


def taken(sender: Sender, body: bytes) -> list[tuple[str, int]]:
    """Give the digest of each file, and how many bytes of it were new."""
    found = sorted(one for told_once in told(sender, body) for one in told_once["files"])
    assert [at for at, _, _ in found] == list(range(len(found)))
    return [(digest, kept) for _, digest, kept in found]


def in_upload(sender: Sender) -> dict[str, int]:
    """What has come of the upload: names, and how many links each has."""
    (directory,) = sender.blobs().glob(f"incoming-*-{UPLOAD}")
    return {path.name: path.stat().st_nlink for path in directory.iterdir()}


def test_files_are_read_where_they_are(sender: Sender, large: Path, small: Path) -> None:
    empty = file_of(large.with_name("empty"), 0)
    paths = [small, large, empty]
    contents = [path.read_bytes() for path in paths]
    lines = told(sender, seen(*paths))
    assert sum(one["read"] for one in lines) == LARGE + 5000
    found = sorted(one for told_once in lines for one in told_once["files"])
    assert found == [[at, blake3(data).hexdigest(), len(data)] for at, data in enumerate(contents)]
    counters = sender.call("GET", "engine/counters")
    assert (counters["upload_bytes"], counters["upload_chunks"]) == (LARGE + 5000, 2)
    made = sender.add()
    names = ("a/small", "large", "b/empty")
    whole = [line(name, data) for name, data in zip(names, contents, strict=True) if data]
    assert sender.finish(made, *whole, line("b/empty")).ok
    assert sender.ready(made)["state"] == 3
    assert sender.content(made) == dict(zip(names, contents, strict=True))
    large.write_bytes(b"edited later")
    small.unlink()
    assert sender.content(made) == dict(zip(names, contents, strict=True))


def test_what_is_here_is_read_and_not_kept_twice(sender: Sender, large: Path, small: Path) -> None:
    first = taken(sender, seen(small, large))
    copies = [path.with_name(f"copy of {path.name}") for path in (small, large)]
    for path, copy in zip((small, large), copies, strict=True):
        copy.write_bytes(path.read_bytes())
    again = taken(sender, seen(*copies, small, large))
    assert again == [(digest, 0) for digest, _ in first * 2]
    assert len(in_upload(sender)) == 2
    assert sender.call("GET", "engine/counters")["upload_bytes"] == LARGE + 5000


def test_two_of_one_content_are_two_files(sender: Sender, small: Path) -> None:
    data = small.read_bytes()
    small.with_name("copy").write_bytes(data)
    assert [kept for _, kept in taken(sender, seen(small, small.with_name("copy")))] == [5000, 0]
    made = sender.add()
    assert sender.finish(made, line("a", data), line("b", data)).ok
    assert sender.ready(made)["state"] == 3
    assert sender.content(made) == {"a": data, "b": data}


def test_holes_stay_holes(sender: Sender, tmp_path: Path) -> None:
    path = tmp_path / "holes"
    with path.open("wb") as file:
        file.seek(20 * BLOCK_BYTES)
        file.write(b"end")
        file.truncate(40 * BLOCK_BYTES)
    ((digest, kept),) = taken(sender, seen(path))
    assert (digest, kept) == (blake3(path.read_bytes()).hexdigest(), 40 * BLOCK_BYTES)
    made = sender.add()
    assert sender.finish(made, line("holes", path.read_bytes())).ok
    assert sender.ready(made)["state"] == 3
    (found,) = sender.blobs(made).glob("content-*/holes")
    assert found.stat().st_blocks * 512 <= 2 * BLOCK_BYTES
    assert found.read_bytes() == path.read_bytes()


# What is not what the client saw, or no file, or not for this user to read.


def rewritten(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes(len(data)))


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


def replaced_by_a_link(path: Path) -> None:
    kept = path.with_name("kept")
    path.rename(kept)
    path.symlink_to(kept)


def replaced_by_a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("size", [5000, LARGE])
@pytest.mark.parametrize(
    "change",
    [rewritten, grown, Path.unlink, replaced_by_a_link, replaced_by_a_fifo, replaced_by_a_folder],
)
def test_what_is_another_file_by_now_is_not_taken(
    sender: Sender, tmp_path: Path, change: Callable[[Path], None], size: int
) -> None:
    good, other = file_of(tmp_path / "good", 4), file_of(tmp_path / "other", size)
    body = seen(other, good)
    change(other)
    digest = blake3(good.read_bytes()).hexdigest()
    assert taken(sender, body) == [("", 0), (digest, 4)]
    assert len(in_upload(sender)) == 1


def test_what_is_no_regular_file_is_not_read(sender: Sender, tmp_path: Path) -> None:
    """Also where it is just as it was seen: a fifo with a writer would give its bytes away."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    handle = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(handle, b"for somebody else")
        assert taken(sender, seen(fifo, tmp_path, Path(os.devnull))) == [("", 0)] * 3
        assert os.read(handle, 100) == b"for somebody else"
    finally:
        os.close(handle)


def test_a_link_is_not_followed(sender: Sender, small: Path) -> None:
    link = small.with_name("link")
    link.symlink_to(small)
    state = state_of(small.stat())
    body = body_of([FileAt(Spot("x", 0, 0, state), str(link))])
    assert taken(sender, body) == [("", 0)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_its_user_may_not_read_is_not_taken(sender: Sender, small: Path) -> None:
    small.chmod(0)
    assert taken(sender, seen(small)) == [("", 0)]


def test_only_who_runs_the_engine_has_files_read(
    own_engine: EngineHome, sender: Sender, small: Path
) -> None:
    """Another user of the engine, who may read what the files of that user are, may not."""
    own_engine.add_user("ada", "lovelace")
    ada = PublishedClient.login(own_engine.address, "ada", "lovelace")
    body = seen(small)
    for other in (Sender(own_engine, ada.token), Sender(own_engine, "x")):
        answer = other.raw("delta/files", body, upload=UPLOAD)
        assert answer.status_code == 401
        assert answer.json()["code"] == "wrong_credential"
    assert taken(sender, body) == [(blake3(small.read_bytes()).hexdigest(), 5000)]


def body_with(path: bytes, count: int = 1) -> bytes:
    return struct.pack("<L", count) + struct.pack("<40sH", bytes(40), len(path)) + path


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        body_with(b"/x", 2),
        body_with(b"/x")[:-1],
        body_with(b"/x") + b"more",
        body_with(b""),
        body_with(b"x"),
        body_with(b"/x\0y"),
        struct.pack("<L", 4097) + struct.pack("<40sH", bytes(40), 1) * 4097,
    ],
)
def test_a_body_that_is_none_is_refused(sender: Sender, body: bytes) -> None:
    answer = sender.raw("delta/files", body, upload=UPLOAD)
    assert answer.status_code == 400


# What breaks off.


def sparse(path: Path, size: int) -> Path:
    """Make a file that takes some seconds to be read."""
    with path.open("wb") as file:
        file.write(b"begin")
        file.truncate(size)
    return path


def first_line(sender: Sender, body: bytes) -> tuple[requests.Response, dict[str, Any]]:
    answer = requests.post(
        f"{sender.engine.address}/api/delta/files",
        params={"upload": UPLOAD},
        data=body,
        headers={
            "Authorization": f"Bearer {sender.token}",
            "Content-Type": "application/octet-stream",
        },
        stream=True,
        timeout=60,
    )
    return answer, json.loads(next(answer.iter_lines(chunk_size=1)))


def test_a_large_file_is_told_of_while_it_is_read(sender: Sender, tmp_path: Path) -> None:
    answer, line_of_it = first_line(sender, seen(sparse(tmp_path / "file", 40 << 30)))
    try:
        assert 0 < line_of_it["read"] < 40 << 30
        assert line_of_it["files"] == []
    finally:
        answer.close()


def test_one_upload_does_not_wait_for_the_end_of_another(
    sender: Sender, tmp_path: Path, small: Path
) -> None:
    largest = [sparse(tmp_path / name, 1 << 40) for name in "abc"]
    answer, _ = first_line(sender, seen(*largest))
    try:
        body = seen(small)
        other = sender.raw("delta/files", body, upload=UPLOAD[::-1])
        *_, last = [json.loads(one) for one in other.text.splitlines()]
        assert last["files"] == [[0, blake3(small.read_bytes()).hexdigest(), 5000]]
    finally:
        answer.close()


def test_what_nobody_waits_for_is_not_read_on(sender: Sender, tmp_path: Path) -> None:
    body = seen(sparse(tmp_path / "file", 1 << 40))
    answer, _ = first_line(sender, body)
    answer.close()
    wait_until(lambda: not in_upload(sender), 20, "what was read is thrown away")
    good = file_of(tmp_path / "good", 10)
    assert taken(sender, seen(good)) == [(blake3(good.read_bytes()).hexdigest(), 10)]


def test_an_engine_that_dies_has_kept_what_it_told_of(
    own_engine: EngineHome, sender: Sender, tmp_path: Path, large: Path
) -> None:
    body = seen(large)
    assert [kept for _, kept in taken(sender, body)] == [LARGE]
    answer, _ = first_line(sender, seen(sparse(tmp_path / "file", 1 << 40)))
    os.kill(own_engine.pid, signal.SIGKILL)
    answer.close()
    assert len(in_upload(sender)) == 2
    again = Sender(own_engine.start())
    assert [kept for _, kept in taken(again, body)] == [0]
    half = sparse(tmp_path / "file", LARGE)
    assert [kept for _, kept in taken(again, seen(half))] == [LARGE]


def test_content_that_was_made_of_it_is_never_written_over(sender: Sender, small: Path) -> None:
    data = small.read_bytes()
    body = seen(small)
    taken(sender, body)
    (name,) = in_upload(sender)
    (directory,) = sender.blobs().glob(f"incoming-*-{UPLOAD}")
    linked = sender.blobs("linked")
    linked.hardlink_to(directory / name)
    sender.call("POST", "delta/drop", data={"upload": UPLOAD})
    directory.mkdir()
    (directory / name).hardlink_to(linked)
    linked.chmod(stat.S_IRUSR | stat.S_IWUSR)
    assert [kept for _, kept in taken(sender, body)] == [5000]
    assert in_upload(sender) == {name: 1}
    assert linked.read_bytes() == data


@pytest.fixture
def little_room(own_engine: EngineHome) -> Sender:
    """An engine that cannot write a file of more than a few megabytes."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 20, kept[1]))
    try:
        own_engine.start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
    return Sender(own_engine)


def test_a_disk_that_does_not_take_it_is_said(little_room: Sender, tmp_path: Path) -> None:
    body = seen(file_of(tmp_path / "file", 6 << 20))
    *_, last = told(little_room, body)
    assert last == {"msg": "The engine cannot store the upload: File too large."}
