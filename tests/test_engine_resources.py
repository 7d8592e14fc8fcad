"""Datasets, models and files of a real engine: upload, download, listing (HTTP API, section 6)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping

import pytest
import requests

from engine_home import EngineHome, shared_engine
from published import (
    CHUNK_BYTES,
    COMPRESSION,
    MODEL,
    RESOURCE,
    PublishedClient,
    check_error,
    check_shape,
)
from waiting import wait_until

__all__ = ["shared_engine"]


@pytest.fixture(scope="module")
def ada(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("ada", "lovelace")
    return PublishedClient.login(shared_engine.address, "ada", "lovelace")


@pytest.fixture(scope="module")
def bob(shared_engine: EngineHome) -> PublishedClient:
    shared_engine.add_user("bob", "battery")
    return PublishedClient.login(shared_engine.address, "bob", "battery")


def zipped(files: Mapping[str, bytes | str], *, packed: bool = True) -> bytes:
    written = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(written, "w", how) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return written.getvalue()


def zip_of_size(size: int) -> bytes:
    """A zip of exactly so many bytes, with one file in it."""
    overhead = len(zipped({"data.bin": b""}, packed=False))
    made = zipped({"data.bin": b"\xa5" * (size - overhead)}, packed=False)
    assert len(made) == size
    return made


def download(
    client: PublishedClient, thing_id: str, subpath: str | None = None
) -> dict[str, bytes]:
    """Download as the object layer does, and give what is below the top folder."""
    fields = {"subpath": subpath} if subpath is not None else {}
    packed = client.call("POST", "resource/compression", file_id=thing_id, **fields)["data"]

    def finished() -> bool:
        found = client.one("resource/compression", file_id=thing_id, compression_id=packed)
        assert found["state"] >= 0
        return bool(found["state"] == 2)

    wait_until(finished, 20, "it is packed")
    answer = client.ask(
        "GET", "resource/download", file_id=thing_id, compression_id=packed, token=client.token
    )
    assert answer.ok, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {name.split("/")[0] for name in archive.namelist()} == {thing_id}
        return {
            name.removeprefix(f"{thing_id}/"): archive.read(name)
            for name in archive.namelist()
            if not name.endswith("/")
        }


# Rows.


@pytest.mark.parametrize(
    ("kind", "prefix", "shape"),
    [("dataset", "DSET", RESOURCE), ("model", "MODE", MODEL), ("file", "FILE", RESOURCE)],
)
def test_a_thing_is_made_changed_and_deleted(
    ada: PublishedClient, kind: str, prefix: str, shape: dict[str, type]
) -> None:
    made = ada.change(
        "POST", f"{kind}/add", name="digits", description="ÿ", public=0, filename="digits.zip"
    )

    assert made.startswith(prefix)
    found = ada.one(f"{kind}/query", id=made)
    check_shape(found, shape)
    assert (found["name"], found["description"], found["filename"]) == ("digits", "ÿ", "digits.zip")
    assert (found["state"], found["public"]) == (1, False)
    assert made in {one["id"] for one in ada.call("GET", f"{kind}/list")}
    for one in ada.call("GET", f"{kind}/list"):
        check_shape(one, shape)

    assert made == ada.change(
        "PUT", f"{kind}/update", id=made, name="letters", description="", public=1,
        filename="letters.zip",
    )  # fmt: skip
    found = ada.one(f"{kind}/query", id=made)
    assert (found["name"], found["public"], found["filename"]) == ("letters", True, "letters.zip")

    assert made == ada.change("DELETE", f"{kind}/delete", id=made, force=0)
    ada.refused(404, "GET", f"{kind}/query", id=made)


@pytest.mark.parametrize(("kind", "other"), [("dataset", "model"), ("model", "dataset")])
def test_a_full_name_is_404_and_then_the_newest_of_that_name(
    ada: PublishedClient, kind: str, other: str
) -> None:
    name = f"twice-a-{kind}"
    ada.refused(404, "GET", f"{kind}/query", fullname=f"ada/{name}")
    first, second = (
        ada.change("POST", f"{kind}/add", name=name, description="", public=0) for _ in range(2)
    )

    assert first != second
    assert ada.one(f"{kind}/query", fullname=f"ada/{name}")["id"] == second
    ada.refused(404, "GET", f"{kind}/query", fullname=f"bob/{name}")
    ada.refused(404, "GET", f"{other}/query", fullname=f"ada/{name}")


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "dataset/query", "id"),
        ("PUT", "dataset/update", "id"),
        ("DELETE", "dataset/delete", "id"),
        ("POST", "resource/upload_finish", "file_id"),
        ("POST", "resource/compression", "file_id"),
        ("GET", "resource/listdir", "file_id"),
    ],
)
def test_anothers_thing_is_as_one_that_does_not_exist(
    ada: PublishedClient, bob: PublishedClient, method: str, path: str, name: str
) -> None:
    dataset, other = ada.add_dataset(), "DSET" + "0" * 28

    words = [bob.refused(404, method, path, **{name: one}) for one in (dataset, other)]

    assert words[0].replace(dataset, "") == words[1].replace(other, "")
    bob.refused(404, method, path, **{name: "../../token"})
    assert ada.one("dataset/query", id=dataset)["name"] == "data"


def test_nobody_uploads_to_anothers_thing(ada: PublishedClient, bob: PublishedClient) -> None:
    dataset = ada.add_dataset()

    answer = bob.ask(
        "POST", "resource/upload", file_id=dataset, chunk="0", parts={"file": ("file", b"planted")}
    )

    check_error(answer, 404)
    ada.refused(400, "POST", "resource/upload_finish", file_id=dataset)


# Upload.


def test_a_dataset_is_uploaded_and_is_a_directory_then(ada: PublishedClient) -> None:
    dataset = ada.add_dataset()

    ada.upload(dataset, zipped({"a/b.txt": "hello\n", "ü.csv": "1,2\n"}))

    found = ada.wait_ready("dataset", dataset)
    assert (found["state"], found["is_zipfile"]) == (3, 1)
    assert int(found["size"]) > 0
    assert ada.call("GET", "resource/listdir", file_id=dataset) == {
        "a": {
            "name": "a", "type": "dir", "child": {"b.txt": {"name": "b.txt", "type": "file"}},
        },
        "ü.csv": {"name": "ü.csv", "type": "file"},
    }  # fmt: skip
    assert ada.call("GET", "resource/listdir", file_id=dataset, subpath="a") == {
        "b.txt": {"name": "b.txt", "type": "file"}
    }
    assert download(ada, dataset) == {"a/b.txt": b"hello\n", "ü.csv": b"1,2\n"}


@pytest.mark.parametrize("chunks", [1, 2])
def test_an_upload_of_whole_chunks_ends_with_an_empty_one(
    ada: PublishedClient, chunks: int
) -> None:
    dataset = ada.add_dataset()
    data = zip_of_size(chunks * CHUNK_BYTES)

    ada.upload(dataset, data, purge=0)

    assert ada.wait_ready("dataset", dataset)["state"] == 3
    (content,) = download(ada, dataset).values()
    assert content == b"\xa5" * len(content)


def test_an_empty_upload_is_one_empty_file(ada: PublishedClient) -> None:
    dataset = ada.add_dataset("empty", filename="empty.bin")

    ada.upload(dataset, b"")

    assert ada.wait_ready("dataset", dataset)["state"] == 3
    assert download(ada, dataset) == {"empty.bin": b""}


@pytest.mark.parametrize("order", [(2, 0, 1, 3), (3, 2, 1, 0), (1, 1, 3, 0, 2, 1)])
def test_chunks_come_in_any_order_and_again(ada: PublishedClient, order: tuple[int, ...]) -> None:
    dataset = ada.add_dataset()
    data = zip_of_size(3 * CHUNK_BYTES + 1000)

    for number in order:
        ada.send_chunk(dataset, number, data[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES])
    ada.call("POST", "resource/upload_finish", file_id=dataset)

    assert ada.wait_ready("dataset", dataset)["state"] == 3
    (content,) = download(ada, dataset).values()
    assert len(content) > 3 * CHUNK_BYTES


def test_a_missing_chunk_is_named_and_can_follow(ada: PublishedClient) -> None:
    dataset = ada.add_dataset()
    data = zip_of_size(2 * CHUNK_BYTES + 10)
    for number in (0, 2):
        ada.send_chunk(dataset, number, data[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES])

    words = ada.refused(400, "POST", "resource/upload_finish", file_id=dataset)
    assert "chunk 1" in words
    ada.send_chunk(dataset, 1, data[CHUNK_BYTES : 2 * CHUNK_BYTES])
    ada.call("POST", "resource/upload_finish", file_id=dataset)

    assert ada.wait_ready("dataset", dataset)["state"] == 3


def test_finishing_once_more_changes_nothing(ada: PublishedClient) -> None:
    dataset = ada.add_dataset()
    ada.upload(dataset, zipped({"a": "1"}))
    ada.wait_ready("dataset", dataset)

    assert ada.call("POST", "resource/upload_finish", file_id=dataset, purge=1)

    assert ada.wait_ready("dataset", dataset)["state"] == 3
    assert download(ada, dataset) == {"a": b"1"}


def test_without_purge_files_are_added_and_with_it_replaced(ada: PublishedClient) -> None:
    dataset = ada.add_dataset()
    ada.upload(dataset, zipped({"a": "1", "b": "1"}))
    ada.wait_ready("dataset", dataset)

    ada.upload(dataset, zipped({"b": "2", "c": "2"}), purge=0)
    ada.wait_ready("dataset", dataset)
    assert download(ada, dataset) == {"a": b"1", "b": b"2", "c": b"2"}

    ada.upload(dataset, zipped({"c": "3"}), purge=1)
    ada.wait_ready("dataset", dataset)
    assert download(ada, dataset) == {"c": b"3"}


def test_a_shorter_upload_after_one_that_was_given_up_is_whole(ada: PublishedClient) -> None:
    dataset = ada.add_dataset()
    long = zip_of_size(2 * CHUNK_BYTES + 10)
    for number in range(3):
        ada.send_chunk(dataset, number, long[number * CHUNK_BYTES : (number + 1) * CHUNK_BYTES])

    ada.upload(dataset, zipped({"short": "1"}))

    assert ada.wait_ready("dataset", dataset)["state"] == 3
    assert download(ada, dataset) == {"short": b"1"}


@pytest.mark.parametrize(
    ("filename", "data", "found"),
    [
        ("table.csv", b"1,2\n", "table.csv"),
        ("../../etc/passwd", b"x", "passwd"),
        ("..", b"x", "file"),
        ("weights.npz", zipped({"arr.npy": b"1"}), "weights.npz"),
    ],
)
def test_a_file_that_is_no_archive_keeps_its_name(
    ada: PublishedClient, filename: str, data: bytes, found: str
) -> None:
    dataset = ada.add_dataset(filename=filename)

    ada.upload(dataset, data)

    assert ada.wait_ready("dataset", dataset)["is_zipfile"] == 0
    assert download(ada, dataset) == {found: data}


@pytest.mark.parametrize(
    "names", [["../evil"], ["/evil"], ["a/../../evil"], ["c:\\evil"], ["A", "a"], ["a", "a/b"]]
)
def test_a_hostile_archive_is_an_error_with_its_reason(
    ada: PublishedClient, shared_engine: EngineHome, names: list[str]
) -> None:
    dataset = ada.add_dataset()

    ada.upload(dataset, zipped(dict.fromkeys(names, "x")))

    found = ada.wait_ready("dataset", dataset)
    assert found["state"] == -2
    assert "archive refused" in found["description"]
    assert ada.call("GET", "resource/listdir", file_id=dataset) == {}
    assert not list(shared_engine.home.root.parent.rglob("evil"))
    # It is no end: the next upload under the same id counts.
    ada.upload(dataset, zipped({"good": "1"}))
    assert ada.wait_ready("dataset", dataset)["state"] == 3


@pytest.mark.parametrize("number", ["-1", "x", "", "1.5", "1000000", "9" * 30])
def test_a_chunk_needs_a_number(ada: PublishedClient, number: str) -> None:
    dataset = ada.add_dataset()

    answer = ada.ask(
        "POST", "resource/upload", file_id=dataset, chunk=number, parts={"file": ("file", b"x")}
    )

    check_error(answer, 400)


def test_a_chunk_that_is_too_large_or_not_there_is_refused(ada: PublishedClient) -> None:
    dataset = ada.add_dataset()
    large = {"file": ("file", b"x" * (CHUNK_BYTES + 1))}

    check_error(ada.ask("POST", "resource/upload", file_id=dataset, chunk="0", parts=large), 413)
    other = {"other": ("file", b"x")}
    check_error(ada.ask("POST", "resource/upload", file_id=dataset, chunk="0", parts=other), 400)
    ada.refused(415, "POST", "resource/upload", file_id=dataset, chunk="0")


# Download.


def test_the_older_dialect_has_its_form_in_the_body_of_a_get(ada: PublishedClient) -> None:
    dataset = ada.add_dataset()
    ada.upload(dataset, zipped({"a": "1"}))
    ada.wait_ready("dataset", dataset)
    packed = ada.call("POST", "resource/compression", file_id=dataset)["data"]

    def finished() -> bool:
        answer = ada.ask(
            "GET", "resource/compression", form={"file_id": dataset, "compression_id": packed}
        )
        assert answer.ok, answer.text
        found = answer.json()
        assert found in ({"data": False}, {"data": True})
        return bool(found["data"])

    wait_until(finished, 20, "it is packed")


def test_the_newer_dialect_has_it_in_the_query(ada: PublishedClient) -> None:
    dataset = ada.add_dataset()
    ada.upload(dataset, zipped({"a/b": "1", "c": "2"}))
    ada.wait_ready("dataset", dataset)
    packed = ada.call("POST", "resource/compression", file_id=dataset, subpath="a")["data"]

    found = ada.one("resource/compression", file_id=dataset, compression_id=packed)

    check_shape(found, COMPRESSION)
    assert (found["id"], found["parent_id"], found["subpath"]) == (packed, dataset, "a")
    assert found["state"] in (0, 1, 2)
    assert download(ada, dataset, "a") == {"a/b": b"1"}
    assert download(ada, dataset, "c") == {"c": b"2"}


def test_a_download_names_its_file_and_ends_with_its_length(ada: PublishedClient) -> None:
    dataset = ada.add_dataset()
    ada.upload(dataset, zipped({"a": "1"}))
    ada.wait_ready("dataset", dataset)
    packed = ada.call("POST", "resource/compression", file_id=dataset)["data"]

    answer = ada.ask("GET", "resource/download", file_id=dataset, compression_id=packed, token="x")

    assert answer.ok
    assert answer.headers["Content-Disposition"] == f"attachment; filename={dataset}.zip"
    assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_the_token_in_the_query_of_a_download_opens_nothing(ada: PublishedClient) -> None:
    dataset = ada.add_dataset()
    ada.upload(dataset, zipped({"a": "1"}))
    ada.wait_ready("dataset", dataset)
    packed = ada.call("POST", "resource/compression", file_id=dataset)["data"]

    answer = requests.get(
        f"{ada.address}/api/resource/download",
        params={"file_id": dataset, "compression_id": packed, "token": ada.token},
        timeout=10,
    )

    check_error(answer, 401)


@pytest.mark.parametrize("subpath", ["..", "../x", "/etc", "a/../..", "a\\b", "nothing", "x" * 300])
def test_a_subpath_that_leads_out_or_nowhere_is_refused(ada: PublishedClient, subpath: str) -> None:
    dataset = ada.add_dataset()
    ada.upload(dataset, zipped({"a": "1"}))
    ada.wait_ready("dataset", dataset)

    ada.refused(400, "GET", "resource/listdir", file_id=dataset, subpath=subpath)
    ada.refused(400, "POST", "resource/compression", file_id=dataset, subpath=subpath)


def test_what_was_packed_of_one_thing_is_not_given_for_another(
    ada: PublishedClient, bob: PublishedClient
) -> None:
    mine, other = ada.add_dataset(), ada.add_dataset()
    for dataset in (mine, other):
        ada.upload(dataset, zipped({"a": dataset}))
        ada.wait_ready("dataset", dataset)
    packed = ada.call("POST", "resource/compression", file_id=mine)["data"]

    for path in ("resource/download", "resource/compression"):
        ada.refused(404, "GET", path, file_id=other, compression_id=packed)
        bob.refused(404, "GET", path, file_id=mine, compression_id=packed)


def test_nothing_is_left_of_a_thing_that_was_deleted(
    ada: PublishedClient, shared_engine: EngineHome
) -> None:
    dataset = ada.add_dataset()
    ada.upload(dataset, zipped({"a": "1"}))
    ada.wait_ready("dataset", dataset)
    blobs = shared_engine.home.engine / "blobs"
    assert (blobs / dataset).is_dir()

    ada.change("DELETE", "dataset/delete", id=dataset)

    assert not (blobs / dataset).exists()
    ada.refused(404, "GET", "resource/listdir", file_id=dataset)


def test_the_bytes_that_came_are_counted(ada: PublishedClient, shared_engine: EngineHome) -> None:
    local = PublishedClient(shared_engine.address, shared_engine.token)
    before = local.call("GET", "engine/counters")
    dataset = ada.add_dataset()
    data = zip_of_size(CHUNK_BYTES + 5)

    ada.upload(dataset, data)
    ada.wait_ready("dataset", dataset)

    after = local.call("GET", "engine/counters")
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"upload_bytes": len(data), "upload_chunks": 2, "uploads_finished": 1}
    assert json.dumps(after)
