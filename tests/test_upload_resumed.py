"""Uploads that break off: at each stage, with the process, the network, the login or the engine.

What a server confirmed is not sent again, one resource is made, and its content is whole. On the
engine as it is, and on one that plays a plain gateway.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from anylearn_jupyter.client.connection import current_connection, disconnect
from anylearn_jupyter.client.upload import CHUNK_BYTES, Uploader
from anylearn_jupyter.errors import LoginRequired, ServerError, ServerUnreachable
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.fingerprint import fingerprint
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.local_data import LocalData
from anylearn_jupyter.submit.progress import SilentProgress
from anylearn_jupyter.submit.request import InputKind
from anylearn_jupyter.submit.upload_record import UploadRecord
from conftest import engine_command
from faulty_server import Request, reply
from scripted_api import Cut, Routes, connection_to, scripted
from uploading import killed, of_size, sending, sent

SIZE = 9_000_000
"""Bytes of the data: more than is read before a server is asked, and five chunks of an archive."""


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Close this process's connections, and end whatever engine the test started."""
    disconnect()
    yield
    disconnect()
    engine_command("stop", "--tasks", check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return of_size(tmp_path / "data", SIZE - 2_000_000, 2_000_000)


def content_of(home: Path, resource_id: str) -> str:
    (directory,) = (home / "engine" / "blobs" / resource_id).glob("content-*")
    return fingerprint(directory).value


def ready() -> list[str]:
    return [one.id for one in current_connection().api.datasets() if one.state == 3]


# Faults A5, to a server that takes chunks of content.

STAGES = [
    ("delta_lacking", "before", 1),
    ("delta_send", "before", 1),
    ("delta_send", "after", 1),
    ("delta_send", "after", 2),
    ("delta_files", "before", 1),
    ("delta_files", "before", 2),
    ("add_dataset", "before", 1),
    ("add_dataset", "after", 1),
    ("delta_finish", "before", 1),
    ("delta_finish", "after", 1),
    ("record_dataset", "before", 1),
    ("record_dataset", "after", 1),
]
NOTHING_CONFIRMED = [STAGES[0], STAGES[1], STAGES[4]]


@pytest.mark.parametrize(("method", "moment", "nth"), STAGES)
def test_a_kernel_that_dies_has_lost_nothing_that_was_confirmed(
    folder: Path, home: Path, method: str, moment: str, nth: int
) -> None:
    engine_command("start")
    by_wire = method in ("delta_lacking", "delta_send")
    reads_files = 0 if by_wire else 1
    killed(folder, method, moment, nth, reads_files=reads_files)
    confirmed = current_connection().api.counters()["upload_bytes"]
    assert (confirmed > 0) == ((method, moment, nth) not in NOTHING_CONFIRMED)
    found = sent(folder, reads_files=reads_files)
    assert found["counters"]["upload_bytes"] == SIZE
    assert found["sent"] == SIZE - confirmed
    assert found["value"] == fingerprint(folder).value == content_of(home, found["id"])
    assert ready() == [found["id"]]
    assert len(current_connection().api.datasets()) == 1


# And to one that knows numbered chunks of an archive only.

PLAIN_STAGES = [
    ("add_dataset", "before", 1),
    ("add_dataset", "after", 1),
    ("upload_chunk", "before", 1),
    ("upload_chunk", "before", 3),
    ("upload_chunk", "after", 5),
    ("finish_upload", "before", 1),
    ("finish_upload", "after", 1),
    ("record_dataset", "before", 1),
]


@pytest.mark.parametrize(("method", "moment", "nth"), PLAIN_STAGES)
def test_on_a_plain_gateway_confirmed_chunks_are_not_sent_again(
    folder: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    moment: str,
    nth: int,
) -> None:
    monkeypatch.setenv("ANYLEARN_ENGINE_PLAIN_GATEWAY", "1")
    engine_command("start")
    killed(folder, method, moment, nth)
    before = current_connection().api.counters()
    found = sent(folder)
    again = found["counters"]["upload_bytes"] - SIZE
    # Of a chunk whose confirmation was not written down yet, nobody knows.
    doubtful = CHUNK_BYTES if (method, moment) == ("upload_chunk", "after") else 0
    assert before["upload_chunks"] in (0, 2, 5)
    assert 0 <= again <= doubtful + 2000
    assert found["value"] == fingerprint(folder).value == content_of(home, found["id"])
    assert ready() == [found["id"]]
    assert len(current_connection().api.datasets()) == 1


def test_a_reader_that_dies_has_kept_what_it_read(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faults A6: digests are kept now and then, so that the next one reads the rest."""
    from anylearn_jupyter.submit import file_reading, regular_files
    from anylearn_jupyter.submit import fingerprint as module
    from anylearn_jupyter.submit.fingerprint import DataReading, look
    from anylearn_jupyter.submit.stat_cache import StatCache

    monkeypatch.setattr(module, "KEEP_EVERY_S", 0.0)
    monkeypatch.setattr(file_reading, "BATCH_FILES", 4)
    monkeypatch.setattr(regular_files, "YOUNG_NS", -(10**18))
    folder = of_size(tmp_path / "data", *[1000] * 20)
    cache = StatCache()

    class Killed(Exception):
        pass

    def die(done: int, total: int) -> None:
        if done > 12:
            raise Killed

    with pytest.raises(Killed):
        DataReading(look(folder, cache)).read_all(on_file=die, cache=cache)
    seen = look(folder, cache)
    assert seen.fingerprint is None
    assert seen.unread_bytes == 8 * 1000
    assert fingerprint(folder, cache=cache).value == fingerprint(folder).value


# Faults C6: two at once.


def test_two_notebooks_that_send_the_same_folder_make_one_dataset(folder: Path) -> None:
    engine_command("start")
    processes = [sending(folder) for _ in range(2)]
    answers = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(ready()) == 1
    assert all(ready()[0] in answer for answer in answers)
    assert current_connection().api.counters()["upload_bytes"] == SIZE


def test_the_second_goes_on_when_the_first_dies(folder: Path, home: Path) -> None:
    engine_command("start")
    first = sending(folder, method="delta_finish", moment="before")
    second = sending(folder)
    said, _ = second.communicate(timeout=120)
    first.communicate(timeout=120)
    assert second.returncode == 0
    assert len(ready()) == 1
    assert ready()[0] in said
    assert current_connection().api.counters()["upload_bytes"] == SIZE


def test_a_copy_elsewhere_sends_nothing(folder: Path, tmp_path: Path) -> None:
    engine_command("start")
    first = sent(folder)
    folder.rename(tmp_path / "elsewhere")
    (tmp_path / "anylearn-home" / "ledger.sqlite3").unlink()
    (tmp_path / "anylearn-home" / "stat-cache.sqlite3").unlink()
    again = sent(tmp_path / "elsewhere")
    assert (again["id"], again["sent"]) == (first["id"], 0)
    assert again["counters"]["upload_bytes"] == SIZE


def test_a_changed_byte_sends_a_chunk_or_two(tmp_path: Path, home: Path) -> None:
    engine_command("start")
    folder = of_size(tmp_path / "data", 30_000_000, 1_000_000)
    sent(folder, reads_files=0)
    with (folder / "file0.bin").open("r+b") as file:
        file.seek(17_000_000)
        file.write(b"changed")
    found = sent(folder, reads_files=0)
    assert 0 < found["sent"] < 4_100_000
    assert found["value"] == content_of(home, found["id"])
    assert len(ready()) == 2


def test_a_damaged_dataset_is_sent_again(folder: Path, home: Path) -> None:
    """Faults B11: what a damaged one should have held is taken from the sender."""
    engine_command("start")
    first = sent(folder)
    (directory,) = (home / "engine" / "blobs" / first["id"]).glob("content-*")
    with (directory / "file0.bin").open("r+b") as file:
        file.write(b"\0" * 100)
    (folder / "more").write_bytes(b"another dataset of nearly the same")
    found = sent(folder)
    assert found["value"] == content_of(home, found["id"]) == fingerprint(folder).value
    # The file that was damaged, and the one that is new.
    assert found["sent"] == SIZE - 2_000_000 + 34


def test_what_goes_on_the_wire_goes_on_from_what_the_engine_read(folder: Path, home: Path) -> None:
    """And the other way round: a file is a piece, whichever way it came."""
    engine_command("start")
    killed(folder, "delta_files", "before", 2, reads_files=1)
    found = sent(folder, reads_files=0)
    assert found["value"] == content_of(home, found["id"])
    assert found["counters"]["upload_bytes"] >= SIZE
    (folder / "more").write_bytes(b"more")
    again = sent(folder)
    assert (again["sent"], again["value"]) == (4, content_of(home, again["id"]))


# The published dialect, against a server in which everything can go wrong.


class Shop:
    """A server that takes numbered chunks, and does what a test tells it to."""

    def __init__(self) -> None:
        self.chunks: dict[int, int] = {}
        self.posts = 0
        self.finished = 0
        self.trouble: list[Any] = []
        self.refuse_from: int | None = None
        self.at_finish: list[Any] = []

    def chunk(self, request: Request) -> Any:
        self.posts += 1
        head = request.body[:600].decode("latin-1")
        index = int(head.split('name="chunk"\r\n\r\n')[1].split("\r\n")[0])
        if self.refuse_from is not None and index >= self.refuse_from:
            return 401, {"msg": "the token has ended"}
        if self.trouble:
            found = self.trouble.pop(0)
            if found is Cut:
                raise Cut
            if found is not None:
                return found
        self.chunks[index] = len(request.body)
        return {"msg": "ok"}

    def finish(self, _request: Request) -> Any:
        self.finished += 1
        if self.at_finish:
            found = self.at_finish.pop(0)
            if found is Cut:
                raise Cut
            return found
        return {"msg": "ok"}

    def routes(self) -> Routes:
        return {
            "POST resource/upload": self.chunk,
            "POST resource/upload_finish": self.finish,
            "GET user/refresh_token": (401, {"msg": "log in"}),
        }


@pytest.fixture
def record() -> Iterator[UploadRecord]:
    with Ledger() as ledger:
        yield UploadRecord(ledger, "http://server", "USER1", "DSET1", "fp1:x", "zip 1")


CONTENT = [b"x" * 1_000_000] * 9
CONFIRMED = blake3(b"x" * 3 * CHUNK_BYTES).digest()
"""Of the first three chunks."""


def test_a_login_that_ends_keeps_what_was_confirmed(record: UploadRecord) -> None:
    """Faults D2: after the next login the upload goes on behind it."""
    shop = Shop()
    shop.refuse_from = 2
    with scripted(shop.routes()) as (api, _):
        with pytest.raises(LoginRequired):
            Uploader(api).go_on("DSET1", lambda: CONTENT, record)
        assert record.confirmed() == 2
        shop.refuse_from, shop.posts = None, 0
        assert Uploader(api).go_on("DSET1", lambda: CONTENT, record) == 9_000_000 - 2 * CHUNK_BYTES
    assert shop.posts == 3
    assert sorted(shop.chunks) == [0, 1, 2, 3, 4]


def test_a_network_that_goes_keeps_it_too(record: UploadRecord) -> None:
    shop = Shop()
    shop.trouble = [None, None, Cut, Cut, Cut, Cut]
    with scripted(shop.routes()) as (api, _):
        with pytest.raises(ServerUnreachable):
            Uploader(api).go_on("DSET1", lambda: CONTENT, record)
        shop.posts = 0
        Uploader(api).go_on("DSET1", lambda: CONTENT, record)
    assert shop.posts == 3


def test_a_server_that_lacks_what_it_confirmed_gets_it_once_more(record: UploadRecord) -> None:
    """Faults D13: behind."""
    shop = Shop()
    shop.at_finish = [(400, {"msg": "chunks are missing"})]
    record.confirm(3, CONFIRMED)
    with scripted(shop.routes()) as (api, _):
        Uploader(api).go_on("DSET1", lambda: CONTENT, record)
    assert shop.posts == 2 + 5
    assert shop.finished == 2


def test_other_bytes_than_were_confirmed_are_sent_from_their_beginning(
    record: UploadRecord,
) -> None:
    """What packs the data may do it in another way that is as good."""
    shop = Shop()
    shop.refuse_from = 2
    others = [b"y" * 1_000_000, *CONTENT[1:]]
    with scripted(shop.routes()) as (api, _):
        with pytest.raises(LoginRequired):
            Uploader(api).go_on("DSET1", lambda: CONTENT, record)
        shop.refuse_from, shop.posts = None, 0
        assert Uploader(api).go_on("DSET1", lambda: others, record) == 9_000_000
    assert (shop.posts, shop.finished) == (5, 1)


def test_but_not_for_ever(record: UploadRecord) -> None:
    shop = Shop()
    shop.at_finish = [(400, {"msg": "chunks are missing"})] * 3
    record.confirm(3, CONFIRMED)
    with scripted(shop.routes()) as (api, _), pytest.raises(ServerError, match="chunks are miss"):
        Uploader(api).go_on("DSET1", lambda: CONTENT, record)
    assert shop.finished == 2


def test_a_first_upload_that_is_refused_is_an_error(record: UploadRecord) -> None:
    shop = Shop()
    shop.at_finish = [(400, {"msg": "no"})]
    with scripted(shop.routes()) as (api, _), pytest.raises(ServerError, match="no"):
        Uploader(api).go_on("DSET1", lambda: CONTENT, record)
    assert shop.finished == 1


def test_a_lock_is_waited_for(record: UploadRecord) -> None:
    """Faults D13: 423."""
    shop = Shop()
    shop.trouble = [(423, {"msg": "locked"}), (423, {"msg": "locked"})]
    waits: list[float] = []
    with scripted(shop.routes()) as (api, _):
        Uploader(api, pause=waits.append).go_on("DSET1", lambda: CONTENT, record)
        assert len(waits) == 2
        shop.trouble = [(423, {"msg": "locked"})] * 50
        record.forget()
        with pytest.raises(ServerError, match="locked"):
            Uploader(api, pause=waits.append).go_on("DSET1", lambda: CONTENT, record)
    assert len(waits) < 30


def test_another_format_begins_anew(record: UploadRecord) -> None:
    record.confirm(3, CONFIRMED)
    other = UploadRecord(record.ledger, "http://server", "USER1", "DSET1", "fp1:x", "zip 2")
    assert (record.confirmed(), other.confirmed()) == (3, 0)
    assert other.is_of_another_format()
    assert not record.is_of_another_format()
    other.confirm(1, CONFIRMED)
    assert (record.confirmed(), other.confirmed()) == (0, 1)


def test_an_early_answer_is_told_and_not_the_broken_pipe(record: UploadRecord) -> None:
    """Faults D12: the server answers at the headers, and hangs up while the body comes."""
    import socket

    from anylearn_jupyter.client.api import Api
    from anylearn_jupyter.client.auth import TokenAuth
    from anylearn_jupyter.client.http import Http
    from anylearn_jupyter.config import Settings

    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                wire, _ = listener.accept()
            except OSError:
                return
            with wire:
                wire.recv(4096)
                wire.sendall(reply({"msg": "quota used up"}, 413))

    thread = threading.Thread(target=serve)
    thread.start()
    http = Http(
        f"http://127.0.0.1:{listener.getsockname()[1]}",
        auth=TokenAuth("t"),
        settings=Settings.read(),
        pause=lambda seconds: None,
    )
    try:
        with pytest.raises(ServerError, match="quota used up"):
            Uploader(Api(http)).go_on("DSET1", lambda: CONTENT, record)
    finally:
        http.close()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


class Whole(Shop):
    """A published server from end to end, as far as a dataset needs one."""

    def __init__(self) -> None:
        super().__init__()
        self.state = 1
        self.carried_out = True

    def finish(self, request: Request) -> Any:
        self.finished += 1
        if self.finished == 1:
            self.state = 3 if self.carried_out else 2
            raise Cut
        return 409, {"msg": "finished before"}

    def dataset(self, _request: Request) -> Any:
        return [
            {"id": "DSET1", "name": "d", "description": "", "state": self.state, "public": False,
             "filename": "d.zip", "is_zipfile": 1, "file": "", "size": "1", "creator_id": "USER1",
             "node_id": "", "upload_time": "2026-01-01 00:00:00"}
        ]  # fmt: skip

    def routes(self) -> Routes:
        return {
            **super().routes(),
            "GET dataset/list": [],
            "POST dataset/add": {"data": "DSET1", "message": ""},
            "GET dataset/query": self.dataset,
        }


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_lost_answer_to_the_end_is_resolved_by_looking(tmp_path: Path, carried_out: bool) -> None:
    """Faults D14: said once more, it is refused; what counts is what became of the data."""
    shop = Whole()
    shop.carried_out = carried_out
    content = fingerprint(of_size(tmp_path / "data", 1000))
    with scripted(shop.routes()) as (api, _), Ledger() as ledger:
        place = Destination(connection_to(api), ledger, SilentProgress(), 0.2)
        local = LocalData(content, InputKind.DATASET, place)
        if carried_out:
            assert local.provide().resource.id == "DSET1"
        else:
            with pytest.raises(ServerUnreachable, match="no answer"):
                local.provide()
    assert shop.finished == 2
