"""Projects and tags (HTTP API, section 5)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.handlers import create_once
from anylearn_jupyter.engine.projects import ProjectRow, TagRow
from anylearn_jupyter.engine.request import ApiError, Request, bad, conflict, missing, mutation
from anylearn_jupyter.engine.task_json import time_text
from anylearn_jupyter.entities import is_id, new_id

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine

_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")


def own_project(engine: Engine, request: Request, project_id: str) -> ProjectRow:
    """Give a project of the caller's, or raise 404."""
    found = engine.projects.project(project_id)
    if found is None or found.creator_id != request.user.id:
        raise missing("project", project_id)
    return found


async def projects(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """List the caller's projects."""
    found = engine.projects.of_user(request.user.id)
    return [_json(engine, row) for row in found]


async def query(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """Give a project by id, or by name, also with the user's name before it."""
    if request.query.optional("id"):
        row = own_project(engine, request, request.query.id("id", "PROJ", what="project"))
        return [_json(engine, row)]
    fullname = request.query.text("fullname")
    user, slash, name = fullname.partition("/")
    wanted = name if slash and user == request.user.name else fullname
    found = engine.projects.named(request.user.id, wanted)
    if found is None:
        raise missing("project", fullname)
    return [_json(engine, found)]


async def add(engine: Engine, request: Request) -> dict[str, str]:
    """Make a project; equal names are accepted, as published clients add one at each call."""
    name = request.form.text("name", limit=50)
    description = request.form.text("description", default="")
    datasets = ",".join(request.form.ids("datasets"))
    now_ms = engine.now_ms()

    def make(project_id: str) -> None:
        engine.projects.add(
            ProjectRow(
                id=project_id,
                name=name,
                description=description,
                datasets=datasets,
                creator_id=request.user.id,
                created_ms=now_ms,
                updated_ms=now_ms,
            )
        )

    made, _ = create_once(engine, request, "PROJ", make)
    return mutation(made, "The project is there.")


async def update(engine: Engine, request: Request) -> dict[str, str]:
    """Change a project; what is not sent stays."""
    row = own_project(engine, request, request.form.id("id", "PROJ", what="project"))
    datasets = request.form.ids("datasets") if "datasets" in request.form else None
    engine.projects.change(
        row.id,
        name=request.form.text("name", limit=50, default=row.name) or row.name,
        description=request.form.text("description", default=row.description),
        datasets=row.datasets if datasets is None else ",".join(datasets),
        updated_ms=engine.now_ms(),
    )
    return mutation(row.id, "The project was changed.")


async def delete(engine: Engine, request: Request) -> dict[str, str]:
    """Forget a project; its tasks stay, so one with tasks wants `force`."""
    row = own_project(engine, request, request.query.id("id", "PROJ", what="project"))
    tasks = engine.store.tasks_of_project(row.id)
    if any(not task.finished for task in tasks):
        raise conflict(f"The project {row.name!r} has tasks that have not ended; stop them first.")
    if tasks and not request.query.flag("force"):
        raise conflict(f"The project {row.name!r} has {len(tasks)} tasks; send force=1.")
    engine.projects.delete(row.id)
    return mutation(row.id, "The project was deleted; its tasks are kept.")


async def default(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """Give the default project, made when needed; always as a list."""
    return [_json(engine, engine.projects.default(request.user.id))]


async def tags(engine: Engine, request: Request) -> list[dict[str, str]]:
    """List the tags of a project's tasks."""
    row = own_project(engine, request, request.query.id("project_id", "PROJ", what="project"))
    return [
        {
            "id": tag.id,
            "name": tag.name,
            "color": tag.color,
            "text_color": tag.text_color,
            "description": tag.description,
        }
        for tag in engine.projects.tags(row.id)
    ]


async def put_tag(engine: Engine, request: Request) -> dict[str, str]:
    """Make a tag (POST), or change one (PATCH)."""
    form = request.form
    project = own_project(engine, request, form.id("project_id", "PROJ", what="project"))
    tag_id = new_id("TTAG")
    if request.method == "PATCH":
        known = engine.projects.tag(form.id("id", "TTAG", what="tag"))
        if known is None or known.project_id != project.id:
            raise missing("tag", form.text("id"))
        tag_id = known.id
    tag = TagRow(
        id=tag_id,
        project_id=project.id,
        name=form.text("name", limit=50),
        color=_color(form.text("color", default="")),
        text_color=_color(form.text("text_color", default="")),
        description=form.text("description", default=""),
    )
    if any(one.name == tag.name and one.id != tag.id for one in engine.projects.tags(project.id)):
        raise conflict(f"The project has a tag {tag.name!r} already.")
    engine.projects.put_tag(tag)
    return mutation(tag.id, "The tag is there.")


async def set_tags(engine: Engine, request: Request) -> dict[str, Any]:
    """Give tasks the tags that they have from now on."""
    wanted = request.form.json_object("tags", limit=1 << 18)
    for task_id, tag_ids in wanted.items():
        task = engine.store.task(task_id) if is_id(task_id, "TRAI") else None
        if task is None or task.creator_id != request.user.id:
            raise missing("task", task_id)
        if not isinstance(tag_ids, list):
            raise bad(f"The tags of {task_id} are no list of ids.")
        known = {tag.id for tag in engine.projects.tags(task.project_id)}
        for tag_id in tag_ids:
            if tag_id not in known:
                raise ApiError(404, "not_found", f"The task's project has no tag {tag_id!r}.")
    engine.projects.set_tags(wanted)
    return {"data": list(wanted), "message": "The tags were set."}


def _color(text: str) -> str:
    if text and not _COLOR.fullmatch(text):
        raise bad(f"The color {text!r} is not of the form #RRGGBB.")
    return text


def _json(engine: Engine, row: ProjectRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "create_time": time_text(row.created_ms),
        "update_time": time_text(row.updated_ms),
        "creator_id": row.creator_id,
        "creator_username": engine.users.name_of(row.creator_id),
        "datasets": row.datasets,
    }
