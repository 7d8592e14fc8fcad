"""What the API has and this engine does not: services, searches, jump servers (section 11).

Each is refused with a sentence that says what serves instead. The status is 404, as nothing of the
kind can exist here; a status above 500 would only be asked for again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.request import ApiError, Request

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine

INSTEAD = {
    "service": "This engine has no prediction services; load the model of a task's results.",
    "hpo": "This engine has no hyper-parameter search; submit a task for each set of values.",
    "jumps": "This engine has no jump server; upload the resource in chunks.",
}
"""What serves instead, by the first word of the path."""


async def refuse(_engine: Engine, request: Request) -> Any:
    """Refuse, and name the way out."""
    topic = request.path.removeprefix("/api/").partition("/")[0].removesuffix("_record")
    raise ApiError(404, "not_served", INSTEAD[topic])
