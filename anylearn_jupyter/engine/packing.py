"""Packing content for a download, in a thread, and keeping it for an hour."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from pathlib import Path
from typing import Any

from anylearn_jupyter.engine.blobs import Blobs
from anylearn_jupyter.engine.checkout import CheckoutFailed, check_out
from anylearn_jupyter.engine.inputs import EngineInputs
from anylearn_jupyter.engine.repositories import GitFailed, Repositories
from anylearn_jupyter.engine.resources import AlgorithmRow, ResourceRow, Resources, Uploadable
from anylearn_jupyter.engine.trees import PathRefused, pack

KEPT_S = 3600.0
"""Seconds for which what was packed can be downloaded."""

_IN_PROGRESS, _FINISHED, _FAILED, _INVALID = 1, 2, -1, -2

_log = logging.getLogger(__name__)


class Packing:
    """Packs content on request.

    Parameters
    ----------
    resources, blobs, inputs, repositories
        The engine's.
    """

    def __init__(
        self,
        *,
        resources: Resources,
        blobs: Blobs,
        inputs: EngineInputs,
        repositories: Repositories,
    ) -> None:
        self._resources = resources
        self._blobs = blobs
        self._inputs = inputs
        self._repositories = repositories
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, thing: Uploadable, compression_id: str, subpath: str) -> asyncio.Task[None]:
        """Begin to pack; how it ends is noted in the row of the compression."""
        self._drop_old()
        task = asyncio.create_task(self._run(thing, compression_id, subpath))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def list_code(self, algorithm: AlgorithmRow) -> dict[str, Any]:
        """List an algorithm's present code as ``resource/listdir`` sends it; for a thread.

        Raises
        ------
        CheckoutFailed
            It has no code yet.
        """
        if not algorithm.commit_id:
            raise CheckoutFailed(f"The algorithm {algorithm.name!r} has no code yet; send it.")
        repository = self._inputs.repository(algorithm.id)
        tree: dict[str, Any] = {}
        for path in self._repositories.files_at(repository, algorithm.commit_id):
            *directories, name = path.split("/")
            below = tree
            for directory in directories:
                entry = below.setdefault(directory, {"name": directory, "type": "dir", "child": {}})
                below = entry["child"]
            below[name] = {"name": name, "type": "file"}
        return tree

    async def _run(self, thing: Uploadable, compression_id: str, subpath: str) -> None:
        self._resources.set_compression(compression_id, _IN_PROGRESS)
        try:
            await asyncio.to_thread(self._pack, thing, compression_id, subpath)
        except (PathRefused, LookupError, CheckoutFailed) as error:
            _log.info("%s is not packed: %s", thing.id, error)
            self._resources.set_compression(compression_id, _INVALID)
        except (OSError, GitFailed):
            _log.exception("%s could not be packed", thing.id)
            self._resources.set_compression(compression_id, _FAILED)
        else:
            self._resources.set_compression(compression_id, _FINISHED)

    def _pack(self, thing: Uploadable, compression_id: str, subpath: str) -> None:
        target = self._blobs.compressed / f"{compression_id}.zip"
        if isinstance(thing, ResourceRow):
            pack(self._inputs.content(thing), subpath, thing.id, target)
            return
        code = target.with_name(f"{compression_id}.code")
        try:
            check_out(
                self._inputs.repository(thing.id),
                thing.commit_id or "HEAD",
                code,
                scratch=target.with_name(f"{compression_id}.git"),
            )
            pack(code, subpath, thing.id, target)
        finally:
            shutil.rmtree(code, ignore_errors=True)

    def _drop_old(self) -> None:
        before_ms = time.time_ns() // 1_000_000 - int(KEPT_S * 1000)
        for compression_id in self._resources.drop_compressions(before_ms=before_ms):
            _path(self._blobs.compressed, compression_id).unlink(missing_ok=True)


def _path(directory: Path, compression_id: str) -> Path:
    return directory / f"{compression_id}.zip"
