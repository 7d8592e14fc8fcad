"""Every route of the engine but git's, with the credential it wants and the largest body it takes.

A test walks this list and tries each route without a credential, from a page, and under another
name; a route that is added here is in that test.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.auth import Credential
from anylearn_jupyter.engine.blobs import CHUNK_BYTES
from anylearn_jupyter.engine.chunk_uploads import MAX_BODY_BYTES, MAX_CHUNK_BYTES, Receiver
from anylearn_jupyter.engine.handlers import (
    about,
    accounts,
    algorithms,
    anyboard,
    delta,
    local_tasks,
    projects,
    refused,
    resources,
    task_add,
    task_output,
    tasks,
    transfer,
    transform,
)
from anylearn_jupyter.engine.incoming import MAX_PACK_BYTES
from anylearn_jupyter.engine.request import Fields, Request
from anylearn_jupyter.engine.whole_files import MAX_FILES_BYTES

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine
    from anylearn_jupyter.engine.users import User

Handler = Callable[["Engine", Request], Awaitable[Any]]
"""A handler gives what is sent as JSON, or a `Reply`."""

Receive = Callable[["Engine", "User", Fields], Receiver]
"""What takes a body as it comes, once the request is let in; from the user and the query."""

SMALL_BYTES = 1 << 16
"""Largest body of most routes."""

LARGE_BYTES = 1 << 21
"""Largest body of the routes that carry parameters, ids or cursors."""


@dataclass(frozen=True)
class Route:
    """One verb at one path.

    Attributes
    ----------
    method, path : str
        What is asked for, letter for letter; a part ``{name}`` of the path is any one part.
    handle : Handler
        What answers.
    credential : Credential
        What the caller has to show.
    max_bytes : int
        Largest body.
    multipart : bool
        Whether the body is multipart, and no form.
    raw : bool
        Whether the body is plain bytes.
    receive : Receive or None
        What takes a plain body as it comes; None: the handler gets it whole.
    is_need : bool
        Whether a request shows that somebody needs the engine, so that it does not end when idle.
        To look how it is, is none.
    is_own : bool
        Whether it is beyond the published API (docs/protocol.md).
    """

    method: str
    path: str
    handle: Handler
    credential: Credential = Credential.USER
    max_bytes: int = SMALL_BYTES
    multipart: bool = False
    raw: bool = False
    receive: Receive | None = None
    is_need: bool = True
    is_own: bool = False


class RouteTable:
    """Finds the route of a request.

    Parameters
    ----------
    routes : sequence of Route
        All of them.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact = {(route.method, route.path): route for route in routes}
        self._paths = {route.path for route in routes}
        self._patterns = [route for route in routes if "{" in route.path]

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Give the route of a verb at a path, and what stands there for its ``{name}``."""
        route = self._exact.get((method, path))
        if route is not None and "{" not in path:
            return route, {}
        for route in self._patterns:
            values = _values(route.path, path)
            if values is not None and route.method == method:
                return route, values
        return None

    def knows(self, path: str) -> bool:
        """Whether any verb is served at a path."""
        return path in self._paths or any(
            _values(route.path, path) is not None for route in self._patterns
        )


def _values(pattern: str, path: str) -> dict[str, str] | None:
    """Give what a path has in place of each ``{name}``; None if it is another path."""
    wanted, given = pattern.split("/"), path.split("/")
    if len(wanted) != len(given):
        return None
    values = {}
    for one, part in zip(wanted, given, strict=True):
        if one.startswith("{") and part:
            values[one[1:-1]] = part
        elif one != part:
            return None
    return values


def _resource_routes(kind: str) -> tuple[Route, ...]:
    return (
        Route("GET", f"/api/{kind}/list", resources.resources),
        Route("GET", f"/api/{kind}/query", resources.query),
        Route("POST", f"/api/{kind}/add", resources.add),
        Route("PUT", f"/api/{kind}/update", resources.update),
        Route("DELETE", f"/api/{kind}/delete", resources.delete),
    )


ROUTES: tuple[Route, ...] = (
    # The engine itself (docs/protocol.md).
    Route("GET", "/api/capabilities", about.capabilities, is_own=True),
    Route("GET", "/api/engine/proof", about.proof, Credential.NONE, is_own=True),
    Route("GET", "/api/engine/counters", about.counters, is_need=False, is_own=True),
    Route("GET", "/api/engine/status", about.status, is_need=False, is_own=True),
    Route("POST", "/api/engine/stop", about.stop, is_own=True),
    # Users (HTTP API, section 3).
    Route("POST", "/api/user/login", accounts.login, Credential.NONE),
    Route("GET", "/api/user/check", accounts.check, Credential.NONE),
    Route("POST", "/api/user/registry", accounts.registry, Credential.NONE),
    Route("GET", "/api/user/me", accounts.me),
    Route("GET", "/api/user/refresh_token", accounts.refresh_token, Credential.REFRESH),
    Route("GET", "/api/user", accounts.user),
    Route("GET", "/api/user/list", accounts.users),
    Route("GET", "/api/user/collection", accounts.collection),
    Route("PUT", "/api/user", accounts.update),
    Route("PUT", "/api/user/password", accounts.password),
    Route("DELETE", "/api/user", accounts.delete),
    # Mirrors and quota groups (section 4).
    Route("GET", "/api/mirror/list", about.mirrors),
    Route("GET", "/api/quota_group/list", about.quota_groups),
    Route("GET", "/api/quota_group/query", about.quota_group),
    # Projects and tags (section 5).
    Route("GET", "/api/project/list", projects.projects),
    Route("GET", "/api/project/query", projects.query),
    Route("POST", "/api/project/add", projects.add),
    Route("PUT", "/api/project/update", projects.update),
    Route("DELETE", "/api/project/delete", projects.delete),
    Route("GET", "/api/project/default", projects.default),
    Route("GET", "/api/train_task/tags", projects.tags),
    Route("POST", "/api/train_task/tag", projects.put_tag),
    Route("PATCH", "/api/train_task/tag", projects.put_tag),
    Route("PATCH", "/api/train_task/tags", projects.set_tags, max_bytes=LARGE_BYTES),
    # Resources (sections 6 and 7).
    *_resource_routes("dataset"),
    *_resource_routes("model"),
    *_resource_routes("file"),
    Route("GET", "/api/algorithm/list", algorithms.algorithms),
    Route("GET", "/api/algorithm/query", algorithms.query),
    Route("GET", "/api/algorithm/custom", algorithms.custom),
    Route("POST", "/api/algorithm/add", algorithms.add, max_bytes=LARGE_BYTES),
    Route("PUT", "/api/algorithm/update", algorithms.update, max_bytes=LARGE_BYTES),
    Route("DELETE", "/api/algorithm/delete", algorithms.delete),
    Route(
        "POST",
        "/api/resource/upload",
        transfer.upload,
        max_bytes=CHUNK_BYTES + SMALL_BYTES,
        multipart=True,
    ),
    Route("POST", "/api/resource/upload_finish", transfer.upload_finish),
    Route("POST", "/api/delta/missing", delta.missing, max_bytes=LARGE_BYTES, is_own=True),
    Route(
        "POST",
        "/api/delta/chunks",
        delta.chunks,
        max_bytes=MAX_BODY_BYTES,
        raw=True,
        receive=delta.receive,
        is_own=True,
    ),
    Route(
        "POST",
        "/api/delta/files",
        delta.files,
        Credential.ENGINE,
        max_bytes=MAX_FILES_BYTES,
        raw=True,
        is_own=True,
    ),
    Route(
        "POST",
        "/api/delta/manifest",
        delta.manifest,
        max_bytes=MAX_CHUNK_BYTES,
        raw=True,
        is_own=True,
    ),
    Route("POST", "/api/delta/finish", delta.finish, is_own=True),
    Route("POST", "/api/delta/drop", delta.drop, is_own=True),
    Route("POST", "/api/resource/sync_finish", algorithms.sync_finish),
    Route(
        "POST",
        "/api/resource/push_pack",
        algorithms.push_pack,
        max_bytes=MAX_PACK_BYTES + SMALL_BYTES,
        multipart=True,
        is_own=True,
    ),
    Route("POST", "/api/resource/compression", transfer.compress),
    Route("GET", "/api/resource/compression", transfer.compression),
    Route("GET", "/api/resource/download", transfer.download),
    Route("GET", "/api/resource/listdir", transfer.listdir),
    # Tasks (section 9).
    Route("POST", "/api/train_task/add", task_add.add, max_bytes=LARGE_BYTES),
    Route("GET", "/api/train_task/query", tasks.query),
    Route("GET", "/api/train_task/list", tasks.tasks),
    Route("POST", "/api/train_task/batch", tasks.batch, max_bytes=LARGE_BYTES, is_own=True),
    Route("DELETE", "/api/train_task/delete", tasks.delete),
    Route("GET", "/api/train_task/status", tasks.status),
    Route("GET", "/api/train_task/logs", task_output.logs),
    Route("GET", "/api/train_task/log", task_output.logs),
    Route("GET", "/api/train_task/log_bytes", task_output.log_bytes, is_own=True),
    Route(
        "POST",
        "/api/train_task/final_metric",
        task_output.report_final_metric,
        Credential.TASK,
    ),
    Route("GET", "/api/train_task/final_metric", task_output.final_metric),
    Route(
        "POST",
        "/api/train_task/intermediate_metric",
        task_output.report_intermediate_metric,
        Credential.TASK,
    ),
    Route("GET", "/api/train_task/intermediate_metric", task_output.intermediate_metric),
    Route("POST", "/api/events", task_output.events, max_bytes=LARGE_BYTES, is_own=True),
    Route("POST", "/api/model/transform", transform.transform),
    # Tasks on their user's own machine, metric series, and what is not here (section 11).
    Route("POST", "/api/train_task/state", local_tasks.state, Credential.TASK),
    Route("PATCH", "/api/train_task/local_logs", local_tasks.logs, max_bytes=LARGE_BYTES),
    Route("GET", "/api/train_task/local_task_catch", local_tasks.pointers),
    Route("PATCH", "/api/train_task/local_task_catch", local_tasks.set_pointer),
    Route("PATCH", "/api/train_task/heartbeat", local_tasks.heartbeat),
    Route("GET", "/api/anyboard/{project_id}/metric/meta", anyboard.metas),
    Route("GET", "/api/anyboard/{project_id}/metric/scalars", anyboard.scalars),
    Route("GET", "/api/anyboard/{project_id}/metric/histograms", anyboard.histograms),
    *(
        Route(method, f"/api/{path}", refused.refuse, max_bytes=LARGE_BYTES)
        for path, methods in {
            "service/{call}": ("GET", "POST", "PUT", "DELETE"),
            "service_record/{call}": ("GET",),
            "hpo": ("GET",),
            "hpo/{call}": ("GET", "POST"),
            "hpo/log/trial": ("GET",),
            "jumps/channels": ("POST",),
            "jumps/channels/asset/{resource_id}": ("GET",),
            "jumps/channels/{channel_id}/trans": ("GET", "POST"),
            "jumps/channels/{channel_id}/finishing": ("PATCH",),
        }.items()
        for method in methods
    ),
)
"""All of them; a path and a verb occur once."""
