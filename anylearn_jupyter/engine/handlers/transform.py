"""A model of a task's results (HTTP API, section 9.7)."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from anylearn_jupyter.engine.handlers import create_once
from anylearn_jupyter.engine.handlers.resources import (
    DESCRIPTION_LIMIT,
    NAME_LIMIT,
    content_of,
    own_resource,
)
from anylearn_jupyter.engine.request import ApiError, Request, bad, conflict, mutation
from anylearn_jupyter.engine.resources import ResourceRow
from anylearn_jupyter.engine.trees import PathRefused, entries, within
from anylearn_jupyter.engine.unpack import ArchiveRefused, is_zip, unpack
from anylearn_jupyter.entities import ResourceState, new_id
from anylearn_jupyter.home import make_private_directory

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine


async def transform(engine: Engine, request: Request) -> dict[str, str]:
    """Make a model of all of a task's results, or of a part.

    What is copied is whole before the model is there, so that an engine that dies meanwhile leaves
    none. With ``is_zipfile=1`` a single zip is unpacked.
    """
    known = engine.database.answered(request.user.id, request.path, request.key)
    if known is not None:
        return mutation(known, "The model is there.")
    form = request.form
    results = own_resource(engine, request, form.id("file_id", "FILE", what="file"), "file")
    problem = engine.inputs.why_not_ready(results)
    if problem is not None:
        raise conflict(f"The file {results.id} cannot become a model: {problem}.")
    row = ResourceRow(
        id=new_id("MODE"),
        kind="model",
        name=form.text("name", limit=NAME_LIMIT),
        description=form.text("description", limit=DESCRIPTION_LIMIT, default=""),
        public=int(form.flag("public")),
        is_zipfile=int(form.flag("is_zipfile")),
        algorithm_id=form.optional_id("algorithm_id", "ALGO", what="algorithm") or "",
        creator_id=request.user.id,
        created_ms=engine.now_ms(),
        uploaded_ms=engine.now_ms(),
        state=int(ResourceState.READY),
        version=1,
    )
    subpath = form.text("file_path", limit=4096)
    target = engine.blobs.content(row)
    try:
        await asyncio.to_thread(
            _copy, content_of(engine, results), subpath, target, bool(row.is_zipfile)
        )
    except (PathRefused, ArchiveRefused) as error:
        await asyncio.to_thread(engine.blobs.delete, row.id)
        raise bad(f"The field 'file_path': {error}") from error
    except OSError as error:
        await asyncio.to_thread(engine.blobs.delete, row.id)
        words = f"The results could not be copied: {error.strerror or error}."
        raise ApiError(500, "not_copied", words) from error
    made, is_new = create_once(
        engine, request, "MODE", lambda _id: engine.resources.add(row), new=row.id
    )
    if not is_new:
        await asyncio.to_thread(engine.blobs.delete, row.id)
    return mutation(made, "The model is there.")


def _copy(root: Path, subpath: str, target: Path, is_zipfile: bool) -> None:
    """Copy what is served of results."""
    start = within(root, subpath)
    make_private_directory(target.parent)
    target.mkdir(mode=0o700)
    if start.is_file():
        if is_zipfile and is_zip(start):
            unpack(start, target)
        else:
            shutil.copy(start, target / start.name)
        return
    _copy_directory(root, start, target)


def _copy_directory(root: Path, directory: Path, target: Path) -> None:
    for path, is_directory in entries(root, directory):
        if is_directory:
            (target / path.name).mkdir()
            _copy_directory(root, path, target / path.name)
        else:
            shutil.copy(path, target / path.name)
