"""Uploads by content-addressed chunks (docs/protocol.md, "delta")."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.assembly import Assembly, PiecesMissing
from anylearn_jupyter.engine.chunk_uploads import Receiver, not_stored
from anylearn_jupyter.engine.handlers.resources import uploadable
from anylearn_jupyter.engine.handlers.transfer import FINISH_WAIT_S
from anylearn_jupyter.engine.request import ApiError, Fields, Reply, Request, bad
from anylearn_jupyter.engine.resources import ResourceRow
from anylearn_jupyter.engine.unpack import ArchiveRefused
from anylearn_jupyter.engine.users import User
from anylearn_jupyter.engine.whole_files import Told, sources_in

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine

MAX_ASKED = 16_384
"""Most digests of one question."""

_DIGESTS = re.compile(r"(?:[0-9a-f]{64})*")
_DIGEST = re.compile(r"[0-9a-f]{64}")


async def missing(engine: Engine, request: Request) -> dict[str, Any]:
    """Tell which digests nothing of the caller's has, and whether there is anything at all."""
    text = request.form.text("digests", limit=64 * MAX_ASKED, default="")
    if not _DIGESTS.fullmatch(text):
        raise bad("The field 'digests' is digests of 64 lowercase hexadecimal digits each.")
    joined = bytes.fromhex(text)
    digests = [joined[start : start + 32] for start in range(0, len(joined), 32)]
    index, user = engine.blobs.index, request.user.id
    lacking = await asyncio.to_thread(index.lacking, user, digests)
    return {"missing": lacking, "holds": await asyncio.to_thread(index.holds_any, user)}


def receive(engine: Engine, user: User, query: Fields) -> Receiver:
    """Begin to take chunks."""
    owner = engine.blobs.incoming.owner(user.id, query.text("upload"))
    return engine.blobs.receive(user.id, owner)


async def chunks(_engine: Engine, request: Request) -> dict[str, int]:
    """Confirm the chunks that came: each is checked, and at its place."""
    receiver = request.receiver
    return {"chunks": receiver.chunks, "bytes": receiver.bytes}


async def files(engine: Engine, request: Request) -> Reply:
    """Take files of this machine; the reply has a line each time that something is to be told."""
    owner = engine.blobs.incoming.owner(request.user.id, request.query.text("upload"))
    taking = engine.blobs.take_files(request.user.id, owner, sources_in(request.part or b""))
    return Reply(body=_told(taking), content_type="application/x-ndjson")


async def _told(taking: AsyncGenerator[Told, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(taking):
        try:
            async for told in taking:
                through = [[one.at, one.digest.hex(), one.kept] for one in told.files]
                yield json.dumps({"read": told.size, "files": through}).encode() + b"\n"
        except OSError as error:
            # The status has left already, so the line says what happened.
            yield json.dumps({"msg": not_stored(error).detail}).encode() + b"\n"


async def manifest(engine: Engine, request: Request) -> dict[str, str]:
    """Take a part of a manifest."""
    owner = engine.blobs.incoming.owner(request.user.id, request.query.text("upload"))
    start = request.query.integer("start")
    await asyncio.to_thread(engine.blobs.incoming.write_manifest, owner, start, request.part or b"")
    return {"msg": "the part is there"}


async def finish(engine: Engine, request: Request) -> dict[str, str]:
    """Make content of a manifest; the answer need not wait for the end of that."""
    form = request.form
    thing = uploadable(engine, request, form.id("file_id", what="resource"))
    if not isinstance(thing, ResourceRow):
        raise bad("Only datasets, models and files are uploaded by chunks of their content.")
    owner = engine.blobs.incoming.owner(request.user.id, form.text("upload"))
    size, digest = form.integer("bytes"), form.text("digest")
    if not _DIGEST.fullmatch(digest):
        raise bad("The field 'digest' is the BLAKE3 of the manifest, 64 hexadecimal digits.")
    blobs = engine.blobs
    path = await asyncio.to_thread(blobs.incoming.whole_manifest, owner, size, digest)
    assembly = Assembly(blobs.root, blobs.index, thing.creator_id, owner, path)
    try:
        total = await asyncio.to_thread(assembly.check)
    except ArchiveRefused as error:
        raise bad(f"The content cannot be taken: {error}.") from error
    except PiecesMissing as error:
        raise ApiError(409, "chunks_missing", f"{thing.id}: {error}.") from error
    purge = form.flag("purge")
    running = blobs.finish_manifest(thing, request.user.name, owner, path, total, purge=purge)
    await asyncio.wait({running}, timeout=FINISH_WAIT_S)
    return {"msg": "the upload is finished" if running.done() else "the upload is processed"}


async def drop(engine: Engine, request: Request) -> dict[str, str]:
    """Remove an upload that nobody will finish."""
    owner = engine.blobs.incoming.owner(request.user.id, request.form.text("upload"))
    await asyncio.to_thread(engine.blobs.incoming.drop, owner)
    return {"msg": "the upload is gone"}
