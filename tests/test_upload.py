"""Uploads: chunk sizes, the last empty chunk, memory, repetition, failures that surface at once."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from email import message_from_bytes
from typing import Any

import pytest

from anylearn_jupyter.client.upload import CHUNK_BYTES, Uploader, rechunked
from anylearn_jupyter.errors import ServerError, ServerUnreachable
from faulty_server import Request
from scripted_api import Cut, Routes, scripted


class Store:
    """Takes chunks as the HTTP API, section 6.3, says."""

    def __init__(self) -> None:
        self.chunks: dict[int, bytes] = {}
        self.finished: list[dict[str, str]] = []
        self.trouble: list[Any] = []

    def chunk(self, request: Request) -> Any:
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        parts = message_from_bytes(head + request.body).get_payload()
        assert isinstance(parts, list)
        fields = {}
        for part in parts:
            name = part.get_param("name", header="content-disposition")
            fields[str(name)] = part
        assert fields["file"].get_filename() == "file"
        # The email parser takes the line end in front of the boundary for the part's own.
        raw = request.body.split(b"application/octet-stream\r\n\r\n", 1)[1]
        data = raw[: raw.rindex(b"\r\n--")]
        index = int(str(fields["chunk"].get_payload()).strip())
        self.chunks[index] = data
        if self.trouble:
            found = self.trouble.pop(0)
            if found is Cut:
                raise Cut
            return found
        return {"msg": "ok"}

    def finish(self, request: Request) -> Any:
        self.finished.append(request.form)
        return {"msg": "ok"}

    def routes(self) -> Routes:
        return {"POST resource/upload": self.chunk, "POST resource/upload_finish": self.finish}

    def content(self) -> bytes:
        return b"".join(self.chunks[index] for index in range(len(self.chunks)))


@pytest.mark.parametrize(
    ("size", "chunks"),
    [
        (0, 1),
        (1, 1),
        (CHUNK_BYTES - 1, 1),
        (CHUNK_BYTES, 2),
        (CHUNK_BYTES + 1, 2),
        (2 * CHUNK_BYTES, 3),
    ],
)
def test_every_chunk_is_full_but_the_last_which_may_be_empty(size: int, chunks: int) -> None:
    content = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000 + 1)
    content = content[:size]
    store = Store()
    progress: list[int] = []
    with scripted(store.routes()) as (api, _):
        pieces = [content[start : start + 300_001] for start in range(0, size, 300_001)]
        sent = Uploader(api).send("DSET1", pieces, on_progress=progress.append)
    assert sent == size
    assert sorted(store.chunks) == list(range(chunks))
    assert all(len(store.chunks[index]) == CHUNK_BYTES for index in range(chunks - 1))
    assert store.content() == content
    assert progress[-1] == size
    assert len(progress) == chunks
    assert store.finished == [{"file_id": "DSET1", "purge": "0"}]


def test_an_algorithm_drops_its_former_content() -> None:
    store = Store()
    with scripted(store.routes()) as (api, _):
        Uploader(api).send("ALGO1", [b"zip"], purge=True)
    assert store.finished == [{"file_id": "ALGO1", "purge": "1"}]


def test_memory_stays_near_one_chunk() -> None:
    """1 MiB pieces, 60 MB in all: what is held at once is a chunk and its request."""
    piece = b"x" * (1 << 20)

    def content() -> Iterator[bytes]:
        for _ in range(60):
            yield piece

    tracemalloc.start()
    try:
        largest = 0
        for chunk in rechunked(content(), CHUNK_BYTES):
            largest = max(largest, len(chunk))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert largest == CHUNK_BYTES
    assert peak < 4 * CHUNK_BYTES


def test_a_lost_chunk_is_sent_again_and_the_content_is_whole() -> None:
    store = Store()
    store.trouble = [Cut, (503, {}), Cut]
    content = b"ab" * CHUNK_BYTES
    with scripted(store.routes()) as (api, server):
        Uploader(api).send("DSET1", [content])
    assert store.content() == content
    assert server.paths().count("POST /api/resource/upload") == 3 + 3


def test_a_refused_chunk_stops_the_upload_at_once() -> None:
    store = Store()
    store.trouble = [(413, {"msg": "quota used up"})]
    read: list[int] = []

    def content() -> Iterator[bytes]:
        for index in range(20):
            read.append(index)
            yield b"x" * CHUNK_BYTES

    with (
        scripted(store.routes()) as (api, _),
        pytest.raises(ServerError, match="quota used up"),
    ):
        Uploader(api).send("DSET1", content())
    assert len(read) == 1
    assert store.finished == []


def test_content_that_fails_is_the_callers_own_error() -> None:
    def content() -> Iterator[bytes]:
        yield b"x"
        raise ValueError("changed while reading")

    store = Store()
    with scripted(store.routes()) as (api, _), pytest.raises(ValueError, match="changed"):
        Uploader(api).send("DSET1", content())
    assert store.finished == []


def test_a_lost_finish_is_told_as_doubtful_and_not_repeated() -> None:
    store = Store()

    def finish(request: Request) -> None:
        store.finished.append(request.form)
        raise Cut

    routes = {**store.routes(), "POST resource/upload_finish": finish}
    with scripted(routes) as (api, _), pytest.raises(ServerUnreachable) as caught:
        Uploader(api).send("DSET1", [b"x"])
    assert caught.value.may_have_happened
    assert len(store.finished) == 1
