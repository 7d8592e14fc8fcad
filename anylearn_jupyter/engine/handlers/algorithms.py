"""Algorithms and their code by git (HTTP API, section 7)."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.edit_pack import Edit
from anylearn_jupyter.engine.handlers import create_once
from anylearn_jupyter.engine.incoming import PackRefused, has_commit, take_in
from anylearn_jupyter.engine.inputs import MIRROR_ID
from anylearn_jupyter.engine.repositories import GitFailed
from anylearn_jupyter.engine.request import (
    ApiError,
    Request,
    bad,
    conflict,
    missing,
    mutation,
    shown,
)
from anylearn_jupyter.engine.resources import AlgorithmRow
from anylearn_jupyter.engine.task_json import time_text
from anylearn_jupyter.entities import ResourceState

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PARAMS_LIMIT = 1 << 18


def own_algorithm(engine: Engine, request: Request, algorithm_id: str) -> AlgorithmRow:
    """Give an algorithm of the caller's, or raise 404."""
    row = engine.resources.algorithm(algorithm_id)
    if row is None or row.creator_id != request.user.id:
        raise missing("algorithm", algorithm_id)
    return row


async def algorithms(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """List the caller's algorithms."""
    rows = engine.resources.algorithms_of_user(request.user.id)
    return [_json(engine, row) for row in rows]


async def query(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """Give one by id, or by ``<username>/<name>``."""
    if request.query.optional("id"):
        algorithm_id = request.query.id("id", "ALGO", what="algorithm")
        return [_json(engine, own_algorithm(engine, request, algorithm_id))]
    fullname = request.query.text("fullname")
    user, _, name = fullname.partition("/")
    found = (
        engine.resources.algorithm_named(request.user.id, name)
        if user == request.user.name
        else None
    )
    if found is None:
        raise missing("algorithm", fullname)
    return [_json(engine, found)]


async def custom(engine: Engine, request: Request) -> dict[str, Any]:
    """Give the caller's own of this name, as a bare object."""
    name = request.query.text("name")
    found = engine.resources.algorithm_named(request.user.id, name)
    if found is None:
        raise missing("algorithm", name)
    return _json(engine, found)


async def add(engine: Engine, request: Request) -> dict[str, str]:
    """Make one with its empty repository; names are unique for each user."""
    form = request.form
    values = _values(form.text("name", limit=100), request, None)

    def make(algorithm_id: str) -> None:
        engine.resources.add(
            AlgorithmRow(
                id=algorithm_id,
                creator_id=request.user.id,
                created_ms=engine.now_ms(),
                **values,
            )
        )

    async with engine.algorithm_lock:
        known = engine.database.answered(request.user.id, request.path, request.key)
        if known is None:
            name = values["name"]
            if engine.resources.algorithm_named(request.user.id, name) is not None:
                raise conflict(f"There is an algorithm {name!r} already; update it instead.")
            try:
                await asyncio.to_thread(engine.repositories.create, request.user.name, name)
            except GitFailed as error:
                raise ApiError(500, "git_failed", str(error)) from error
        made, _ = create_once(engine, request, "ALGO", make)
    return mutation(made, "The algorithm is there; send its code.")


async def update(engine: Engine, request: Request) -> dict[str, str]:
    """Change one; what is not sent stays. Its name is its address, so that stays too."""
    row = own_algorithm(engine, request, request.form.id("id", "ALGO", what="algorithm"))
    name = request.form.text("name", limit=100, default=row.name) or row.name
    if name != row.name:
        raise bad(f"The algorithm is called {row.name!r}; make another one for another name.")
    engine.resources.change(row.id, **_values(name, request, row))
    return mutation(row.id, "The algorithm was changed.")


async def delete(engine: Engine, request: Request) -> dict[str, str]:
    """Remove one with its code, unless a task that has not ended needs it."""
    row = own_algorithm(engine, request, request.query.id("id", "ALGO", what="algorithm"))
    users = engine.store.unfinished_with(row.id)
    if users:
        raise conflict(f"The task {users[0].id} runs this code and has not ended; stop it first.")
    async with engine.algorithm_lock:
        engine.resources.delete(row.id)
        await asyncio.to_thread(engine.repositories.delete, request.user.name, row.name)
        await asyncio.to_thread(engine.blobs.delete, row.id)
    engine.runner.tidy()
    return mutation(row.id, "The algorithm was deleted.")


async def sync_finish(engine: Engine, request: Request) -> dict[str, str]:
    """Take note that a commit was pushed; refused where it is not here."""
    row = own_algorithm(engine, request, request.form.id("algorithm_id", "ALGO", what="algorithm"))
    commit = _commit_id(request)
    repository = engine.repositories.path(request.user.name, row.name)
    if not await asyncio.to_thread(has_commit, repository, commit):
        raise conflict(f"The commit {commit} has not arrived; push it again, then finish.")
    _is_complete(engine, row, repository, commit)
    return mutation(row.id, "The code is there.")


async def push_pack(engine: Engine, request: Request) -> dict[str, Any]:
    """Take a small pack and the branch of its commit: a push and its end in one."""
    row = own_algorithm(engine, request, request.form.id("algorithm_id", "ALGO", what="algorithm"))
    commit = _commit_id(request)
    if request.part is None:
        raise bad("The part 'file' with the pack is missing.")
    engine.database.count(git_bytes=len(request.part))
    repository = engine.repositories.path(request.user.name, row.name)
    try:
        known = engine.runner.known_code(repository)
        edit = await asyncio.to_thread(take_in, repository, commit, request.part, known)
    except PackRefused as error:
        raise conflict(f"The pack for {commit} is not taken: {error}.") from error
    _is_complete(engine, row, repository, commit, edit)
    changed = own_algorithm(engine, request, row.id)
    return {**mutation(row.id, "The code is there."), "algorithm": _json(engine, changed)}


def _commit_id(request: Request) -> str:
    commit = request.form.text("checkout_sha")
    if not _COMMIT.fullmatch(commit):
        raise bad(f"The field 'checkout_sha' is {shown(commit)}; it is a commit's 40 digits.")
    return commit


def _is_complete(
    engine: Engine, row: AlgorithmRow, repository: Path, commit: str, edit: Edit | None = None
) -> None:
    engine.resources.change(
        row.id,
        commit_id=commit,
        state=int(ResourceState.READY),
        problem="",
        uploaded_ms=engine.now_ms(),
    )
    engine.runner.expect(repository, commit, edit)


def _values(name: str, request: Request, known: AlgorithmRow | None) -> dict[str, Any]:
    """Read the fields of add and of update."""
    form = request.form
    if not _NAME.fullmatch(name):
        raise bad(
            f"The name {shown(name)} cannot be an algorithm's: write letters, digits, '_', '.', "
            "'-', at most 100."
        )
    if known is None or form.optional("mirror_id"):
        mirror_id = form.id("mirror_id", "MIRR", what="mirror")
        if mirror_id != MIRROR_ID:
            raise missing("mirror", mirror_id)
    else:
        mirror_id = known.mirror_id
    was = known or AlgorithmRow(id="", name=name)
    return {
        "name": name,
        "description": form.text("description", default=was.description),
        "filename": form.text("filename", default=was.filename),
        "public": int(form.flag("public", bool(was.public))),
        "tags": form.text("tags", default=was.tags),
        "mirror_id": mirror_id,
        "train_params": form.text("train_params", limit=_PARAMS_LIMIT, default=was.train_params),
        "follows_norm": int(form.flag("follows_anylearn_norm", bool(was.follows_norm))),
    }


def _json(engine: Engine, row: AlgorithmRow) -> dict[str, Any]:
    """Give one with every key of the API; one in error says why before its description."""
    user = engine.users.name_of(row.creator_id)
    return {
        "id": row.id,
        "name": row.name,
        "description": f"[{row.problem}] {row.description}".strip()
        if row.problem
        else row.description,
        "state": row.state,
        "public": bool(row.public),
        "upload_time": time_text(row.uploaded_ms or row.created_ms),
        "filename": row.filename,
        "is_zipfile": 1,
        "file": f"git/{user}/{row.name}.git",
        "size": str(row.size),
        "creator_id": row.creator_id,
        "creator_username": user,
        "node_id": "",
        "tags": row.tags,
        "mirror_id": row.mirror_id,
        "train_params": row.train_params,
        "follows_anylearn_norm": bool(row.follows_norm),
        "git_address": f"{engine.address}/git/{user}/{row.name}.git",
        "git_migrated": True,
        "problem": row.problem,
    }
