"""The engine as a plain gateway, for testing clients: nothing beyond the published API.

What this project's own server adds is taken away, and quirks that published servers may have are
put on, each allowed by the HTTP API:

- none of our own routes but the engine's control, and no capabilities; no ``Idempotency-Key``, no
  ``interpreter``, no key in a reply that the API does not name, and mutation replies without words;
- git with name and password only;
- an id that does not exist is answered with 200 and ``[]`` (section 1);
- the default project is answered once in the shape of its making, ``{"data": id}`` (section 5);
- a task is pending, locked and retrying, the states 3, 5 and 4, before it runs (section 2);
- what was uploaded is in state 2 for a while, and a download takes more than one question (section
  6): nobody can rely on either being ready at once.

The engine behind it is the same: only what goes in and out is another.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.auth import Credential, unknown
from anylearn_jupyter.engine.request import ApiError, Request

if TYPE_CHECKING:
    from anylearn_jupyter.engine.routes import Route

VARIABLE = "ANYLEARN_ENGINE_PLAIN_GATEWAY"
"""Set to 1, it makes `anylearn-engine start` and `serve` start such a one."""

PROCESSING_S = 0.3
"""Seconds for which what was uploaded shows state 2."""

_ON_THE_WAY = (3, 5, 4)
_OWN_FIELDS = ("interpreter", "submitter_env")
_OWN_KEYS = (
    "phase", "exit", "created_ms", "started_ms", "finished_ms", "queue_position", "command",
    "log_bytes", "problem", "queue_length",
)  # fmt: skip
_UPLOADED = ("dataset", "model", "file")


class PlainGateway:
    """What goes in and out of an engine that plays a plain gateway; one for each engine."""

    def __init__(self) -> None:
        self._questions: defaultdict[str, int] = defaultdict(int)
        self._ready_at: dict[str, float] = {}

    @staticmethod
    def check_route(route: Route) -> None:
        """Refuse a route of ours, which a plain gateway does not have.

        Raises
        ------
        ApiError
            404.
        """
        if route.is_own and not route.path.startswith("/api/engine/"):
            raise ApiError(404, "no_route", "The gateway has nothing at this path.")

    @staticmethod
    def check_git(headers: Mapping[str, str]) -> None:
        """Refuse a bearer token where git asks.

        Raises
        ------
        ApiError
            401, which asks for name and password.
        """
        if headers.get("Authorization", "").lower().startswith("bearer"):
            raise unknown(Credential.GIT, given=True)

    @staticmethod
    def asked(request: Request) -> Request:
        """Take from a request what a plain gateway does not know."""
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() != "idempotency-key"
        }
        return replace(request, headers=headers, form=request.form.without(_OWN_FIELDS))

    def answered(self, request: Request, answer: Any) -> Any:
        """Make of the engine's answer one of a plain gateway's."""
        path = request.path.removeprefix("/api/")
        if path == "project/default":
            first = self._questions[f"{request.user.id} default"] == 0
            self._questions[f"{request.user.id} default"] += 1
            return {"data": answer[0]["id"]} if first else answer
        if path == "resource/upload_finish":
            self._ready_at[request.form.text("file_id")] = time.monotonic() + PROCESSING_S
        if path == "resource/compression" and request.method == "GET":
            return self._packed(request, answer)
        kind, _, call = path.partition("/")
        if isinstance(answer, dict) and set(answer) >= {"data", "message"}:
            return {"data": answer["data"], "message": ""}
        if call in ("list", "query", "custom"):
            return self._plain(kind, answer)
        return answer

    def refused(self, request: Request, error: ApiError) -> Any:
        """Answer an id that does not exist with an empty list, and raise everything else."""
        if error.status == 404 and request.path.endswith("/query") and "id" in request.query:
            return []
        raise error

    def _packed(self, request: Request, answer: Any) -> Any:
        """Answer the first question about a packing with: not yet."""
        asked = request.query if "compression_id" in request.query else request.form
        compression = asked.text("compression_id")
        self._questions[compression] += 1
        if self._questions[compression] > 1:
            return answer
        return {"data": False} if isinstance(answer, dict) else [answer[0] | {"state": 1}]

    def _plain(self, kind: str, answer: Any) -> Any:
        if isinstance(answer, list):
            return [self._plain(kind, one) for one in answer]
        if not isinstance(answer, dict):
            return answer
        found = {key: value for key, value in answer.items() if key not in _OWN_KEYS}
        if kind == "train_task":
            found["state"] = self._state_of_task(found["id"], found["state"])
        elif kind in _UPLOADED and self._ready_at.get(found["id"], 0) > time.monotonic():
            found["state"] = 2
        return found

    def _state_of_task(self, task_id: str, state: int) -> int:
        """Let a task that has not ended be on the way for the first questions."""
        number = self._questions[task_id]
        if state not in (0, 1) or number >= len(_ON_THE_WAY):
            return state
        self._questions[task_id] += 1
        return _ON_THE_WAY[number]
