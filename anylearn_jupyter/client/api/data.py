"""Datasets, models, files, and their bytes going up and coming down (HTTP API, section 6)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anylearn_jupyter.client.api.base import Calls
from anylearn_jupyter.client.decoding import (
    an_object,
    integer,
    made_id,
    objects,
    only_object,
    resource,
    unexpected,
)
from anylearn_jupyter.client.forms import Form, encode_chunk
from anylearn_jupyter.client.replies import decode
from anylearn_jupyter.entities import Dataset, File, Model
from anylearn_jupyter.errors import ConfigError, NotFound, ServerError

CHUNK_TIMEOUT_S = 600.0
"""Seconds that one chunk may take, repetitions included; a slow line is no fault."""

DOWNLOAD_TIMEOUT_S = 24 * 3600.0
"""Seconds that one download may take."""

COMPRESSED, COMPRESSION_FAILED = 2, (-1, -2)


class DataCalls(Calls):
    """Endpoints of datasets and of the bytes of any resource."""

    def dataset(self, dataset_id: str) -> Dataset:
        """Read one dataset by its id."""
        return Dataset.from_json(self._one("dataset", {"id": dataset_id}, dataset_id))

    def datasets(self) -> list[Dataset]:
        """List the datasets that the user can see."""
        return [Dataset.from_json(item) for item in self._listed("dataset")]

    def model(self, model_id: str) -> Model:
        """Read one model by its id."""
        return Model.from_json(self._one("model", {"id": model_id}, model_id))

    def models(self) -> list[Model]:
        """List the models that the user can see."""
        return [Model.from_json(item) for item in self._listed("model")]

    def file(self, file_id: str) -> File:
        """Read one file by its id, such as a task's results."""
        return File.from_json(self._one("file", {"id": file_id}, file_id))

    def dataset_named(self, fullname: str) -> Dataset:
        """Read one dataset by ``<username>/<name>``; only servers from 0.17 on know that."""
        return Dataset.from_json(self._one("dataset", {"fullname": fullname}, fullname))

    def model_named(self, fullname: str) -> Model:
        """Read one model by ``<username>/<name>``; only servers from 0.17 on know that."""
        return Model.from_json(self._one("model", {"fullname": fullname}, fullname))

    def _one(self, kind: str, params: Form, which: str) -> dict[str, Any]:
        what = f"GET {kind}/query"
        found = self.http.get(f"{kind}/query", params)
        return resource(only_object(found, what, f"{kind} {which}"), what)

    def _listed(self, kind: str) -> list[dict[str, Any]]:
        what = f"GET {kind}/list"
        return [resource(item, what) for item in objects(self.http.get(f"{kind}/list"), what)]

    def add_dataset(
        self, name: str, *, description: str, filename: str, key: str, doubtful: bool = False
    ) -> str:
        """Register a dataset, without bytes yet; see `Calls.create` for `key` and `doubtful`.

        Returns
        -------
        str
            Its id.
        """
        fields = {"name": name, "description": description, "public": 0, "filename": filename}
        return self.create(
            "dataset/add", fields, key=key, found_in="dataset/list", doubtful=doubtful
        )

    def add_model(
        self,
        name: str,
        *,
        algorithm_id: str,
        description: str,
        filename: str,
        key: str,
        doubtful: bool = False,
    ) -> str:
        """Register a model of an algorithm, without bytes yet; as `add_dataset`."""
        fields = {
            "name": name,
            "description": description,
            "public": 0,
            "filename": filename,
            "algorithm_id": algorithm_id,
        }
        return self.create("model/add", fields, key=key, found_in="model/list", doubtful=doubtful)

    def upload_chunk(self, file_id: str, index: int, data: bytes) -> None:
        """Send one numbered chunk of a resource; sending it twice is sending it once.

        Notes
        -----
        Source: HTTP API, section 6.3, step 1.
        """
        body, content_type = encode_chunk(file_id, index, data)
        reply = self.http.exchange(
            "POST",
            "resource/upload",
            data=body,
            headers={"Content-Type": content_type},
            repeatable=True,
            timeout_s=CHUNK_TIMEOUT_S,
        )
        decode(reply)

    def finish_upload(self, file_id: str, *, purge: bool) -> None:
        """Say that all chunks are there; `purge` drops the former content first.

        Not repeated: once carried out, a second one would find no chunks.
        """
        self.http.post("resource/upload_finish", {"file_id": file_id, "purge": purge})

    def list_files(self, file_id: str, subpath: str | None = None) -> dict[str, Any]:
        """List a resource's files: name to ``{"name", "type", "child"}``, recursive.

        Notes
        -----
        Source: HTTP API, section 6.5.
        """
        found = self.http.get("resource/listdir", {"file_id": file_id, "subpath": subpath})
        return an_object(found, "GET resource/listdir")

    def compress(self, file_id: str, subpath: str | None = None) -> str:
        """Ask for an archive of a resource; gives the id of the compression.

        Repeated if need be: a second archive of the same is only work.
        """
        form = {"file_id": file_id, "subpath": subpath}
        found = self.http.post("resource/compression", form, repeatable=True)
        return made_id(found, "POST resource/compression")

    def compression_done(self, file_id: str, compression_id: str) -> bool:
        """Whether the archive can be downloaded.

        Raises
        ------
        ServerError
            The server could not make it.

        Notes
        -----
        Source: HTTP API, section 6.4, step 2: the dialect with both ids in the query; the other
        one's answer is understood too.
        """
        what = "GET resource/compression"
        found = self.http.get(
            "resource/compression", {"file_id": file_id, "compression_id": compression_id}
        )
        if isinstance(found, dict):
            if not isinstance(found.get("data"), bool):
                raise unexpected(f"{what}, key 'data',", "a truth value", found.get("data"))
            return bool(found["data"])
        listed = objects(found, what)
        if not listed:
            raise NotFound(f"There is no archive {compression_id} of {file_id} on the server.", 200)
        state = integer(listed[0], "state", what)
        if state in COMPRESSION_FAILED:
            raise ServerError(
                f"{self.http.address} could not make an archive of {file_id} (state {state}); "
                "ask for the results again."
            )
        return state == COMPRESSED

    def download(
        self,
        file_id: str,
        compression_id: str,
        target: Path,
        *,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        """Write an archive to a file: whole under its name, or not at all.

        Parameters
        ----------
        on_bytes : callable, optional
            ``on_bytes(so_far)``, after each block, in this thread.

        Notes
        -----
        Source: HTTP API, section 6.4, step 3, but for the ``token`` in the query: a token of ours
        never enters a URL (architecture, "Trust").
        """
        params = {"file_id": file_id, "compression_id": compression_id}
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        temporary = Path(name)
        so_far = 0
        try:
            with (
                os.fdopen(handle, "wb") as file,
                self.http.stream(
                    "GET", "resource/download", params=params, timeout_s=DOWNLOAD_TIMEOUT_S
                ) as stream,
            ):
                for block in stream.blocks():
                    _write(file, block, target)
                    so_far += len(block)
                    if on_bytes is not None:
                        on_bytes(so_far)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


def _write(file: Any, block: bytes, target: Path) -> None:
    try:
        file.write(block)
    except OSError as error:
        raise ConfigError(f"Cannot write {target}: {error.strerror}.") from error
