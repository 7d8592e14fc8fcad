"""Uploads by content-addressed chunks, as the engine takes them: checked, resumed, never half."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import struct
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from blake3 import blake3

from engine_home import EngineHome, own_engine, shared_engine
from waiting import wait_until

__all__ = ["own_engine", "shared_engine"]

UPLOAD = "0123456789abcdef" * 2
Spot = tuple[bytes, int, int]
"""A chunk's bytes, the number of its file, its place in there."""


class Sender:
    """One user's uploads, in plain HTTP."""

    def __init__(self, engine: EngineHome, token: str = "") -> None:
        self.engine = engine
        self.token = token or engine.token

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        return requests.request(
            method,
            f"{self.engine.address}/api/{path}",
            headers={"Authorization": f"Bearer {self.token}", **more.pop("headers", {})},
            timeout=60,
            **more,
        )

    def call(self, method: str, path: str, **more: Any) -> Any:
        answer = self.ask(method, path, **more)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        return answer.json()

    def raw(self, path: str, body: bytes, **params: Any) -> requests.Response:
        kind = {"Content-Type": "application/octet-stream"}
        return self.ask("POST", path, data=body, params=params, headers=kind)

    def missing(self, *contents: bytes) -> list[int]:
        digests = "".join(blake3(one).hexdigest() for one in contents)
        found: list[int] = self.call("POST", "delta/missing", data={"digests": digests})["missing"]
        return found

    def chunks(self, *spots: Spot, upload: str = UPLOAD) -> requests.Response:
        return self.raw("delta/chunks", body_of(*spots), upload=upload)

    def add(self) -> str:
        form = {"name": "d", "description": "", "public": 0, "filename": "d.zip"}
        made: str = self.call("POST", "dataset/add", data=form)["data"]
        return made

    def finish(
        self, resource_id: str, *lines: list[Any], upload: str = UPLOAD, purge: int = 0
    ) -> requests.Response:
        manifest = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        half = len(manifest) // 2
        for start, part in ((half, manifest[half:]), (0, manifest[:half])):
            assert self.raw("delta/manifest", part, upload=upload, start=start).ok
        form = {
            "upload": upload, "file_id": resource_id, "bytes": len(manifest),
            "digest": blake3(manifest).hexdigest(), "purge": purge,
        }  # fmt: skip
        return self.ask("POST", "delta/finish", data=form)

    def row(self, resource_id: str) -> dict[str, Any]:
        (found,) = self.call("GET", "dataset/query", params={"id": resource_id})
        row: dict[str, Any] = found
        return row

    def ready(self, resource_id: str) -> dict[str, Any]:
        return wait_until(
            lambda: found if (found := self.row(resource_id))["state"] in (3, -2) else None,
            30,
            "the content is processed",
        )

    def content(self, resource_id: str) -> dict[str, bytes]:
        top = self.engine.home.engine / "blobs" / resource_id
        (directory,) = top.glob("content-*")
        return {
            str(path.relative_to(directory)): path.read_bytes()
            for path in directory.rglob("*")
            if path.is_file()
        }

    def blobs(self, *parts: str) -> Path:
        return self.engine.home.engine.joinpath("blobs", *parts)


def body_of(*spots: Spot) -> bytes:
    records = b"".join(
        struct.pack("<32sLQQ", blake3(data).digest(), len(data), file, start)
        for data, file, start in spots
    )
    return struct.pack("<L", len(spots)) + records + b"".join(one[0] for one in spots)


def line(path: str, *pieces: bytes, executable: int = 0) -> list[Any]:
    whole = b"".join(pieces)
    digests = [blake3(one).hexdigest() for one in pieces]
    return [path, executable, len(whole), blake3(whole).hexdigest(), digests]


@pytest.fixture
def sender(own_engine: EngineHome) -> Sender:
    return Sender(own_engine.start())


def test_files_come_in_any_order_and_are_whole(sender: Sender) -> None:
    big = [os.urandom(1_000_000), os.urandom(700_000), os.urandom(3)]
    spots = [(big[2], 7, 1_700_000), (b"small", 8, 0), (big[0], 7, 0), (big[1], 7, 1_000_000)]
    assert sender.missing(*big, b"small") == [0, 1, 2, 3]
    for spot in spots:
        answer = sender.chunks(spot)
        assert answer.json() == {"chunks": 1, "bytes": len(spot[0])}
    assert sender.missing(*big, b"small", b"other") == [4]
    made = sender.add()
    assert sender.finish(
        made, line("deep/big", *big), line("run.sh", b"small", executable=1), line("empty")
    ).ok
    found = sender.ready(made)
    assert (found["state"], found["size"]) == (3, str(1_700_003 + 5))
    assert sender.content(made) == {"deep/big": b"".join(big), "run.sh": b"small", "empty": b""}
    (directory,) = sender.blobs(made).glob("content-*")
    assert os.access(directory / "run.sh", os.X_OK)
    assert not os.access(directory / "deep" / "big", os.X_OK) or os.geteuid() == 0
    assert not (directory / "deep" / "big").stat().st_mode & 0o100
    wait_until(lambda: not list(sender.blobs().glob("incoming-*")), 10, "the upload is swept")


def test_what_is_here_is_taken_from_here(sender: Sender) -> None:
    first, second = os.urandom(900_000), os.urandom(900_000)
    sender.chunks((first, 1, 0), (second, 1, 900_000))
    one = sender.add()
    sender.finish(one, line("a", first, second))
    sender.ready(one)
    before = sender.call("GET", "engine/counters")["upload_bytes"]
    # The chunks one by one, the file as a whole, twice in one content, and part of it.
    other = sender.add()
    whole = first + second
    answer = sender.finish(
        other, line("x", second), line("y", whole), line("z", whole), line("t", second, first)
    )
    assert answer.ok, answer.text
    assert sender.ready(other)["state"] == 3
    assert sender.content(other) == {"x": second, "y": whole, "z": whole, "t": second + first}
    assert sender.call("GET", "engine/counters")["upload_bytes"] == before
    # What was copied counts as here, too, when the first one is gone.
    sender.call("DELETE", "dataset/delete", params={"id": one})
    assert sender.missing(first, second, whole) == []
    sender.call("DELETE", "dataset/delete", params={"id": other})
    assert sender.missing(first, second, whole) == [0, 1, 2]


def test_a_damaged_chunk_is_refused_and_those_before_it_are_kept(sender: Sender) -> None:
    good, bad = os.urandom(1_500_000), os.urandom(1000)
    body = bytearray(body_of((good, 1, 0), (bad, 2, 0)))
    body[-1] ^= 1
    answer = sender.raw("delta/chunks", bytes(body), upload=UPLOAD)
    assert (answer.status_code, answer.json()["code"]) == (400, "damaged")
    assert sender.missing(good, bad) == [1]
    assert sender.chunks((bad, 2, 0)).ok
    assert sender.missing(good, bad) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\0\0\0\0",
        b"\xff\xff\xff\xff",
        body_of((b"x", 1, 0))[:-1],
        body_of((b"x", 1, 0)) + b"more",
        body_of((b"x", 1, 1 << 63)),
        struct.pack("<L", 1) + struct.pack("<32sLQQ", b"", 0, 0, 0),
        struct.pack("<L", 1) + struct.pack("<32sLQQ", b"", (2 << 20) + 1, 0, 0) + bytes(2 << 20),
    ],
)
def test_a_body_that_is_none_is_refused(sender: Sender, body: bytes) -> None:
    answer = sender.raw("delta/chunks", body, upload=UPLOAD)
    assert answer.status_code == 400
    assert sender.call("GET", "engine/status")["tasks"] == {}


@pytest.mark.parametrize("upload", ["", "x", "../" * 10 + "ab", "A" * 32, "0" * 31, "0" * 33])
def test_the_name_of_an_upload_has_one_form(sender: Sender, upload: str) -> None:
    assert sender.chunks((b"x", 1, 0), upload=upload).status_code == 400
    assert sender.ask("POST", "delta/drop", data={"upload": upload}).status_code == 400


@pytest.mark.parametrize(
    "path",
    ["../x", "/x", "a/../../x", "", ".", "a\\b", "C:x", "x" * 300, "a\0b"],
)
def test_a_name_that_leads_out_is_refused(sender: Sender, path: str) -> None:
    sender.chunks((b"x", 1, 0))
    made = sender.add()
    answer = sender.finish(made, line(path, b"x"))
    assert answer.status_code == 400
    assert sender.row(made)["state"] == 1


@pytest.mark.parametrize("names", [("A", "a"), ("x", "x/y"), ("same", "same")])
def test_names_that_collide_are_refused(sender: Sender, names: tuple[str, str]) -> None:
    sender.chunks((b"x", 1, 0))
    answer = sender.finish(sender.add(), *(line(name, b"x") for name in names))
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "broken",
    [
        [], ["x"], ["x", 0, "1", "0" * 64, []], ["x", 0, 1, "0" * 63, []],
        ["x", 0, -1, "0" * 64, []],
        {"path": "x"}, ["x", 0, 1, "0" * 64, "abc"], [1, 0, 0, "0" * 64, []],
    ],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(sender: Sender, broken: Any) -> None:
    answer = sender.finish(sender.add(), broken)
    assert answer.status_code == 400


def test_pieces_that_are_not_the_file_end_in_an_error(sender: Sender) -> None:
    sender.chunks((b"xy", 1, 0))
    made = sender.add()
    wrong = line("x", b"xy")
    wrong[2] = 3
    sender.finish(made, wrong)
    found = sender.ready(made)
    assert found["state"] == -2
    assert "are not its 3 bytes" in found["problem"]


def test_a_manifest_that_was_cut_is_refused(sender: Sender) -> None:
    sender.chunks((b"x", 1, 0))
    made = sender.add()
    manifest = json.dumps(line("x", b"x")).encode()
    sender.raw("delta/manifest", manifest, upload=UPLOAD, start=0)
    form = {"upload": UPLOAD, "file_id": made, "bytes": len(manifest), "digest": "0" * 64}
    assert sender.ask("POST", "delta/finish", data=form).status_code == 400


def test_missing_chunks_are_said_before_anything_is_made(sender: Sender) -> None:
    sender.chunks((b"x", 1, 0))
    made = sender.add()
    answer = sender.finish(made, line("x", b"x"), line("y", b"not here"))
    assert (answer.status_code, answer.json()["code"]) == (409, "chunks_missing")
    assert sender.row(made)["state"] == 1
    sender.chunks((b"not here", 2, 0))
    assert sender.finish(made, line("x", b"x"), line("y", b"not here")).ok
    assert sender.ready(made)["state"] == 3


def test_what_was_damaged_here_is_never_handed_on(sender: Sender) -> None:
    """Faults B11: a flipped byte, a file that was cut, one that is gone."""
    parts = [os.urandom(300_000) for _ in range(3)]
    for number, data in enumerate(parts):
        sender.chunks((data, number, 0))
    one = sender.add()
    sender.finish(one, *(line(f"f{number}", data) for number, data in enumerate(parts)))
    sender.ready(one)
    (directory,) = sender.blobs(one).glob("content-*")
    flipped = bytearray(parts[0])
    flipped[1000] ^= 1
    (directory / "f0").write_bytes(flipped)
    (directory / "f1").write_bytes(parts[1][:-1])
    (directory / "f2").unlink()
    for number, data in enumerate(parts):
        assert sender.missing(data) == []
        other = sender.add()
        sender.finish(other, line("copy", data))
        found = sender.ready(other)
        assert found["state"] == -2
        assert found["problem"].startswith("chunks are missing")
        assert sender.missing(data) == [0]
        sender.chunks((data, number, 0))
        assert sender.finish(other, line("copy", data)).ok
        assert sender.ready(other)["state"] == 3
        assert sender.content(other) == {"copy": data}


def test_a_file_that_was_written_over_is_not_what_it_was(sender: Sender) -> None:
    first, second = os.urandom(5000), os.urandom(5000)
    sender.chunks((first, 1, 0))
    sender.chunks((second, 1, 0))
    assert sender.missing(first, second) == [0]


def test_users_do_not_see_what_others_have(sender: Sender) -> None:
    sender.engine.add_user("ada", "lovelace")
    answer = requests.post(
        f"{sender.engine.address}/api/user/login",
        data={"username": "ada", "password": "lovelace"},
        timeout=30,
    )
    ada = Sender(sender.engine, answer.json()["token"])
    data = os.urandom(1000)
    sender.chunks((data, 1, 0))
    made = sender.add()
    sender.finish(made, line("x", data))
    sender.ready(made)
    assert ada.missing(data) == [0]
    theirs = ada.add()
    assert ada.finish(theirs, line("x", data)).status_code == 409
    assert ada.finish(made, line("x", data)).status_code == 404
    assert ada.call("POST", "delta/missing", data={})["holds"] is False


def test_a_new_content_keeps_or_drops_the_former_one(sender: Sender) -> None:
    made = sender.add()
    for number, (name, purge) in enumerate((("a", 0), ("b", 0), ("c", 1))):
        data = name.encode()
        sender.chunks((data, number, 0))
        assert sender.finish(made, line(name, data), purge=purge).ok
        sender.ready(made)
        expected = [["a"], ["a", "b"], ["c"]][number]
        wait_until(
            lambda: len(list(sender.blobs(made).glob("content-*"))) == 1, 10, "the old one is gone"
        )
        assert sorted(sender.content(made)) == expected


def test_an_upload_outlives_the_engine(sender: Sender) -> None:
    parts = [os.urandom(500_000) for _ in range(3)]
    sender.chunks((parts[0], 1, 0), (parts[1], 1, 500_000))
    sender.engine.kill()
    sender.engine.start()
    assert sender.missing(*parts) == [2]
    sender.chunks((parts[2], 1, 1_000_000))
    made = sender.add()
    assert sender.finish(made, line("x", *parts)).ok
    assert sender.ready(made)["state"] == 3
    assert sender.content(made) == {"x": b"".join(parts)}


def test_an_engine_that_dies_while_it_finishes_goes_on(sender: Sender) -> None:
    """Faults A9: ready only when whole, whatever had been done; killed at five moments."""
    data = [os.urandom(2_000_000) for _ in range(20)]
    for number, one in enumerate(data):
        sender.chunks((one, number, 0))
    lines = [line(f"f{number}-{copy}", one) for number, one in enumerate(data) for copy in range(4)]
    for round_number, wait_s in enumerate((0.001, 0.01, 0.03, 0.08, 0.15)):
        made = sender.add()
        manifest = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
        upload = f"{round_number:032x}"
        for start in range(0, len(manifest), 1 << 20):
            part = manifest[start : start + (1 << 20)]
            assert sender.raw("delta/manifest", part, upload=upload, start=start).ok
        form = {
            "upload": upload, "file_id": made, "bytes": len(manifest),
            "digest": blake3(manifest).hexdigest(),
        }  # fmt: skip
        with contextlib.suppress(requests.Timeout):
            requests.post(
                f"{sender.engine.address}/api/delta/finish",
                data=form,
                headers={"Authorization": f"Bearer {sender.token}"},
                timeout=wait_s,
            )
        os.kill(sender.engine.pid, signal.SIGKILL)
        sender.engine.wait_gone()
        sender.engine.start()
        if sender.row(made)["state"] == 1:  # it had not been begun
            assert sender.ask("POST", "delta/finish", data=form).ok
        assert sender.ready(made)["state"] == 3
        found = sender.content(made)
        assert len(found) == 80
        assert all(found[f"f{number}-3"] == one for number, one in enumerate(data))


def test_uploads_that_were_given_up_are_swept(sender: Sender) -> None:
    """Faults B12: old ones, and never one that is young."""
    sender.chunks((b"old", 1, 0), upload="a" * 32)
    sender.chunks((b"young", 1, 0), upload="b" * 32)
    (old,) = sender.blobs().glob(f"incoming-*-{'a' * 32}")
    os.utime(old, (time.time() - 8 * 86_400,) * 2)
    sender.engine.stop()
    sender.engine.wait_gone()
    sender.engine.start()
    wait_until(lambda: not old.exists(), 10, "the old upload is gone")
    assert sender.missing(b"old", b"young") == [0]


def test_a_damaged_index_is_only_a_lost_saving(sender: Sender) -> None:
    sender.chunks((b"x" * 1000, 1, 0))
    sender.engine.stop()
    sender.engine.wait_gone()
    for name in ("chunks.sqlite3-wal", "chunks.sqlite3-shm"):
        sender.blobs(name).unlink(missing_ok=True)
    sender.blobs("chunks.sqlite3").write_bytes(b"no database" * 1000)
    sender.engine.start()
    assert sender.missing(b"x" * 1000) == [0]
    sender.chunks((b"x" * 1000, 1, 0))
    made = sender.add()
    sender.finish(made, line("x", b"x" * 1000))
    assert sender.ready(made)["state"] == 3


def test_content_of_an_archive_is_known_by_its_files(sender: Sender) -> None:
    """What a published client sent as a zip need not be sent again by its chunks."""
    import io
    import zipfile

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        opened.writestr("deep/a", b"from a zip")
    made = sender.add()
    sender.call(
        "POST", "resource/upload", data={"file_id": made, "chunk": 0},
        files={"file": ("file", packed.getvalue())},
    )  # fmt: skip
    sender.call("POST", "resource/upload_finish", data={"file_id": made})
    sender.ready(made)
    assert sender.missing(b"from a zip") == []
    other = sender.add()
    assert sender.finish(other, line("b", b"from a zip")).ok
    assert sender.ready(other)["state"] == 3
    assert sender.content(other) == {"b": b"from a zip"}


def test_it_can_be_dropped(sender: Sender) -> None:
    sender.chunks((b"x", 1, 0))
    sender.call("POST", "delta/drop", data={"upload": UPLOAD})
    assert sender.missing(b"x") == [0]
    assert not list(sender.blobs().glob("incoming-*"))
