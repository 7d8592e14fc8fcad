"""Chunks of files on this machine: the engine reads them where they are, and believes nothing."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from anylearn_jupyter.submit.chunk_places import Place, PlacedChunk, place_of, places_body
from anylearn_jupyter.submit.data_scan import state_of
from engine_home import EngineHome, own_engine
from test_engine_delta import UPLOAD, Sender, line

__all__ = ["own_engine"]

NOT_HERE = (409, "not_here")


@pytest.fixture
def sender(own_engine: EngineHome) -> Sender:
    return Sender(own_engine.start())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data of mine"
    path.write_bytes(os.urandom(3_000_000))
    return path


def placed(path: Path, number: int, *cuts: int) -> list[PlacedChunk]:
    """Say where the chunks of a file are, as the client does."""
    data, handle = path.read_bytes(), os.open(path, os.O_RDONLY)
    place = place_of(handle, state_of(os.fstat(handle)), number)
    os.close(handle)
    assert place is not None
    ends = (*cuts, len(data))
    return [
        PlacedChunk(place, blake3(data[start:end]).digest(), end - start, start)
        for start, end in zip((0, *cuts), ends, strict=True)
    ]


def told(sender: Sender, *chunks: PlacedChunk) -> tuple[int, str]:
    answer = sender.raw("delta/here", places_body(chunks), upload=UPLOAD)
    return answer.status_code, answer.json().get("code", "")


def test_chunks_are_read_where_they_are(sender: Sender, file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"small")
    data = file.read_bytes()
    chunks = [*placed(file, 1, 1_200_000), *placed(other, 2)]
    answer = sender.raw("delta/here", places_body(chunks), upload=UPLOAD)
    assert answer.json() == {"chunks": 3, "bytes": 3_000_005}
    assert sender.call("GET", "engine/counters")["upload_bytes"] == 3_000_005
    made = sender.add()
    first, second = data[:1_200_000], data[1_200_000:]
    assert sender.finish(made, line("a/data", first, second), line("b", b"small")).ok
    assert sender.ready(made)["state"] == 3
    assert sender.content(made) == {"a/data": data, "b": b"small"}
    file.write_bytes(b"edited later")
    other.unlink()
    assert sender.content(made) == {"a/data": data, "b": b"small"}


def rewritten(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes(len(data)))


def replaced_by_a_link(path: Path) -> None:
    kept = path.with_name("kept")
    path.rename(kept)
    path.symlink_to(kept)


def replaced_by_a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("change", [rewritten, Path.unlink, replaced_by_a_link, replaced_by_a_fifo])
def test_what_is_another_file_by_now_is_refused(
    sender: Sender, file: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    good = tmp_path / "good"
    good.write_bytes(b"good")
    before, chunks = placed(good, 1), placed(file, 2, 1_000_000)
    change(file)
    assert told(sender, *before, *chunks) == NOT_HERE
    assert sender.missing(b"good") == []
    answer = sender.call("POST", "delta/missing", data={"digests": chunks[0].digest.hex()})
    assert answer["missing"] == [0]


def test_a_chunk_that_is_not_its_digest_is_refused(sender: Sender, file: Path) -> None:
    right, wrong = placed(file, 1, 1_500_000)
    assert told(sender, right, wrong._replace(digest=bytes(32))) == NOT_HERE
    assert told(sender, wrong._replace(size=wrong.size + 1)) == NOT_HERE
    assert told(sender, right._replace(place=right.place._replace(path=b"/nowhere"))) == NOT_HERE


def body_with(path: bytes, size: int, start: int = 0) -> bytes:
    return places_body([PlacedChunk(Place(path, bytes(44), 1), bytes(32), size, start)])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        body_with(b"/x", 1)[:-1],
        body_with(b"/x", 1) + b"more",
        body_with(b"x", 1),
        body_with(b"/x\0y", 1),
        body_with(b"/x", 0),
        body_with(b"/x", (2 << 20) + 1),
        body_with(b"/x", 1, 1 << 62),
        places_body([PlacedChunk(Place(b"/x", bytes(44), 1), bytes(32), 2 << 20, 0)] * 9),
        struct.pack("<L40sQHL", 1, bytes(40), 1, 1, 0xFFFFFFFF) + b"/",
    ],
)
def test_a_body_that_is_none_is_refused(sender: Sender, body: bytes) -> None:
    answer = sender.raw("delta/here", body, upload=UPLOAD)
    assert answer.status_code == 400
