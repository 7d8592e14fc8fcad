"""Datasets, models and files: the calls that all three have (HTTP API, sections 6.1 and 6.2)."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.handlers import create_once
from anylearn_jupyter.engine.request import ApiError, Request, conflict, missing, mutation
from anylearn_jupyter.engine.resources import PREFIX_OF_KIND, ResourceRow, Uploadable
from anylearn_jupyter.engine.task_json import time_text

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine

NAME_LIMIT = 255
DESCRIPTION_LIMIT = 500


def kind_of(request: Request) -> str:
    """Give the kind that the path names: ``/api/dataset/list`` is about datasets."""
    return request.path.split("/")[2]


def own_resource(engine: Engine, request: Request, resource_id: str, kind: str) -> ResourceRow:
    """Give a dataset, model or file of the caller's, or raise 404."""
    row = engine.resources.resource(resource_id)
    if row is None or row.creator_id != request.user.id or row.kind != kind:
        raise missing(kind, resource_id)
    return row


async def resources(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """List the caller's datasets, models or files."""
    rows = engine.resources.of_user(request.user.id, kind_of(request))
    return [resource_json(engine, row) for row in rows]


async def query(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """Give one by id, or by ``<username>/<name>``."""
    kind = kind_of(request)
    if request.query.optional("id"):
        resource_id = request.query.id("id", PREFIX_OF_KIND[kind], what=kind)
        return [resource_json(engine, own_resource(engine, request, resource_id, kind))]
    fullname = request.query.text("fullname", limit=NAME_LIMIT + 51)
    user, _, name = fullname.partition("/")
    found = (
        engine.resources.newest_named(request.user.id, kind, name)
        if user == request.user.name
        else None
    )
    if found is None:
        raise missing(kind, fullname)
    return [resource_json(engine, found)]


async def add(engine: Engine, request: Request) -> dict[str, str]:
    """Make one; equal names are accepted, as clients that lost their ledger add again."""
    kind, form = kind_of(request), request.form
    name = form.text("name", limit=NAME_LIMIT)
    description = form.text("description", limit=DESCRIPTION_LIMIT, default="")
    filename = form.text("filename", limit=NAME_LIMIT + 10, default="")
    public = int(form.flag("public"))
    algorithm_id = form.optional_id("algorithm_id", "ALGO", what="algorithm") or ""

    def make(resource_id: str) -> None:
        engine.resources.add(
            ResourceRow(
                id=resource_id,
                kind=kind,
                name=name,
                description=description,
                filename=filename,
                public=public,
                algorithm_id=algorithm_id,
                creator_id=request.user.id,
                created_ms=engine.now_ms(),
            )
        )

    made, _ = create_once(engine, request, PREFIX_OF_KIND[kind], make)
    return mutation(made, f"The {kind} is there; upload its content.")


async def update(engine: Engine, request: Request) -> dict[str, str]:
    """Change one; what is not sent stays."""
    kind, form = kind_of(request), request.form
    resource_id = form.id("id", PREFIX_OF_KIND[kind], what=kind)
    row = own_resource(engine, request, resource_id, kind)
    engine.resources.change(
        row.id,
        name=form.text("name", limit=NAME_LIMIT, default=row.name) or row.name,
        description=form.text("description", limit=DESCRIPTION_LIMIT, default=row.description),
        filename=form.text("filename", limit=NAME_LIMIT + 10, default=row.filename),
        public=int(form.flag("public", bool(row.public))),
        algorithm_id=form.optional_id("algorithm_id", "ALGO", what="algorithm") or row.algorithm_id,
    )
    return mutation(row.id, f"The {kind} was changed.")


async def delete(engine: Engine, request: Request) -> dict[str, str]:
    """Remove one with its content, unless a task that has not ended needs it."""
    kind = kind_of(request)
    resource_id = request.query.id("id", PREFIX_OF_KIND[kind], what=kind)
    row = own_resource(engine, request, resource_id, kind)
    users = engine.store.unfinished_with(row.id)
    if users:
        raise conflict(f"The task {users[0].id} uses this {kind} and has not ended; stop it first.")
    if row.task_id is not None:
        if engine.inputs.why_not_ready(row) is not None:
            raise conflict(f"The task {row.task_id} still writes these results; stop it first.")
        output = content_of(engine, row)
        await asyncio.to_thread(shutil.rmtree, output, ignore_errors=True)
    engine.resources.delete(row.id)
    await asyncio.to_thread(engine.blobs.delete, row.id)
    return mutation(row.id, f"The {kind} was deleted.")


def content_of(engine: Engine, row: ResourceRow) -> Path:
    """Give the directory of a resource's content, or raise 409 where it cannot be served."""
    try:
        return engine.inputs.content(row)
    except LookupError as error:
        raise conflict(str(error.args[0])) from error


def resource_json(engine: Engine, row: ResourceRow) -> dict[str, Any]:
    """Give one with every key of the API; one in error says why before its description."""
    description = f"[{row.problem}] {row.description}".strip() if row.problem else row.description
    found: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "description": description,
        "state": engine.inputs.state_of(row),
        "public": bool(row.public),
        "upload_time": time_text(row.uploaded_ms or row.created_ms),
        "filename": row.filename,
        "is_zipfile": row.is_zipfile,
        "file": f"blobs/{row.id}",
        "size": str(row.size),
        "creator_id": row.creator_id,
        "creator_username": engine.users.name_of(row.creator_id),
        "node_id": "",
        "problem": row.problem,
    }
    if row.kind == "model":
        found["algorithm_id"] = row.algorithm_id
    return found


def any_own(engine: Engine, request: Request, thing_id: str) -> Uploadable:
    """Give whatever of the caller's has this id, an algorithm too, or raise 404."""
    thing = engine.resources.uploadable(thing_id)
    if thing is None or thing.creator_id != request.user.id:
        raise missing("resource", thing_id)
    return thing


def uploadable(engine: Engine, request: Request, thing_id: str) -> Uploadable:
    """Give what may be uploaded to, or raise."""
    thing = any_own(engine, request, thing_id)
    if isinstance(thing, ResourceRow) and thing.task_id is not None:
        raise ApiError(
            403, "read_only", f"{thing_id} are the results of a task; only the task writes them."
        )
    return thing
