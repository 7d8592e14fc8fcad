"""Content on its way in and out: upload, packing, download, listing (HTTP API, 6.3 to 6.5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.checkout import CheckoutFailed
from anylearn_jupyter.engine.handlers.resources import any_own, content_of, uploadable
from anylearn_jupyter.engine.request import Fields, Reply, Request, bad, conflict, missing
from anylearn_jupyter.engine.resources import AlgorithmRow, Uploadable
from anylearn_jupyter.engine.task_json import time_text
from anylearn_jupyter.engine.trees import PathRefused, listing, within
from anylearn_jupyter.entities import new_id

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine

FINISH_WAIT_S = 2.0
"""Seconds that `upload_finish` waits for the content to be ready, so that most clients ask once."""

_FINISHED = 2
_BLOCK_BYTES = 1 << 20


async def upload(engine: Engine, request: Request) -> dict[str, str]:
    """Take one chunk."""
    thing = uploadable(engine, request, request.form.id("file_id", what="resource"))
    number = request.form.integer("chunk")
    if request.part is None:
        raise bad("The part 'file' with the chunk's bytes is missing.")
    await engine.blobs.put_chunk(thing, number, request.part)
    return {"msg": f"chunk {number} is there"}


async def upload_finish(engine: Engine, request: Request) -> dict[str, str]:
    """Put the chunks together; the answer need not wait for the end of that."""
    thing = uploadable(engine, request, request.form.id("file_id", what="resource"))
    purge = request.form.flag("purge")
    running = engine.blobs.finish(thing, request.user.name, purge=purge)
    if running is None:
        return {"msg": "the upload was finished before"}
    await asyncio.wait({running}, timeout=FINISH_WAIT_S)
    return {"msg": "the upload is finished" if running.done() else "the upload is processed"}


async def compress(engine: Engine, request: Request) -> dict[str, str]:
    """Begin to pack content for a download."""
    thing = any_own(engine, request, request.form.id("file_id", what="resource"))
    subpath = request.form.text("subpath", limit=4096, default="")
    if not isinstance(thing, AlgorithmRow):
        _refuse_bad_path(content_of(engine, thing), subpath)
    compression_id = new_id("COMP")
    engine.resources.add_compression(compression_id, thing.id, subpath, request.user.id)
    packing = engine.packing.begin(thing, compression_id, subpath)
    await asyncio.wait({packing}, timeout=FINISH_WAIT_S)
    return {"data": compression_id}


async def compression(engine: Engine, request: Request) -> Any:
    """Tell how far packing has come; where the parameters are decides the shape."""
    if "compression_id" in request.query:
        row = _own_compression(engine, request, request.query)
        return [
            {
                "id": row["id"],
                "parent_id": row["resource_id"],
                "subpath": row["subpath"],
                "filename": f"{row['resource_id']}.zip",
                "state": row["state"],
                "creator_id": row["creator_id"],
                "created_at": time_text(row["created_ms"]),
            }
        ]
    row = _own_compression(engine, request, request.form)
    if row["state"] < 0:
        raise conflict("The content could not be packed; ask for it again.")
    return {"data": row["state"] == _FINISHED}


async def download(engine: Engine, request: Request) -> Reply:
    """Send what was packed. The token in the query counts for nothing; the header does."""
    row = _own_compression(engine, request, request.query)
    path = engine.blobs.compressed / f"{row['id']}.zip"
    if row["state"] != _FINISHED or not path.is_file():
        raise conflict("The content is not packed (any more); ask for it again.")
    return Reply(
        body=_file(path),
        content_type="application/zip",
        headers={
            "Content-Disposition": f"attachment; filename={row['resource_id']}.zip",
            "Content-Length": str(path.stat().st_size),
        },
    )


async def listdir(engine: Engine, request: Request) -> dict[str, Any]:
    """List content: a task's results, or what was uploaded."""
    thing = any_own(engine, request, request.query.id("file_id", what="resource"))
    subpath = request.query.text("subpath", limit=4096, default="")
    try:
        if isinstance(thing, AlgorithmRow):
            tree = await asyncio.to_thread(engine.packing.list_code, thing)
            return _below(tree, subpath)
        root = content_of(engine, thing)
        return await asyncio.to_thread(lambda: listing(within(root, subpath)))
    except PathRefused as error:
        raise bad(str(error)) from error
    except CheckoutFailed as error:
        raise conflict(str(error)) from error


def _below(tree: dict[str, Any], subpath: str) -> dict[str, Any]:
    for part in subpath.split("/"):
        if part in ("", "."):
            continue
        found = tree.get(part)
        if found is None:
            raise PathRefused(f"There is no {subpath[:80]!r} in it.")
        if found["type"] == "file":
            return {part: found}
        tree = found["child"]
    return tree


def _refuse_bad_path(root: Path, subpath: str) -> None:
    try:
        within(root, subpath)
    except PathRefused as error:
        raise bad(str(error)) from error


def _own_compression(engine: Engine, request: Request, fields: Fields) -> dict[str, Any]:
    thing: Uploadable = any_own(engine, request, fields.id("file_id", what="resource"))
    compression_id = fields.id("compression_id", "COMP", what="compression")
    row = engine.resources.compression(compression_id)
    if row is None or row["resource_id"] != thing.id:
        raise missing("compression", compression_id)
    return row


async def _file(path: Path) -> AsyncGenerator[bytes, None]:
    with path.open("rb") as file:
        while block := await asyncio.to_thread(file.read, _BLOCK_BYTES):
            yield block
