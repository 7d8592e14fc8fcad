"""The engine itself: what it can, that it is the user's, what it counts, and that it end.

Mirrors and quota groups are here too, as they tell what the machine is (HTTP API, section 4;
docs/protocol.md).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.attempts import MAX_RETRIES, MAX_TIMEOUT_S
from anylearn_jupyter.engine.chunk_uploads import MAX_BODY_BYTES, MAX_BODY_CHUNKS, MAX_CHUNK_BYTES
from anylearn_jupyter.engine.handlers.delta import MAX_ASKED
from anylearn_jupyter.engine.incoming import MAX_OBJECTS, MAX_PACK_BYTES
from anylearn_jupyter.engine.inputs import MIRROR_ID, MIRROR_NAME
from anylearn_jupyter.engine.launch import MAX_SECRETS, MAX_SECRETS_BYTES, SUBMITTER_VARIABLES
from anylearn_jupyter.engine.machine import DEFAULT_GROUP
from anylearn_jupyter.engine.request import Request, bad
from anylearn_jupyter.engine.whole_files import MAX_FILES
from anylearn_jupyter.home import engine_proof

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine

PROTOCOL = 1
"""The version of docs/protocol.md."""

MAX_LOG_BYTES = 1_048_576
"""Most bytes of one ``log_bytes`` reply."""

BEST_EFFORT_GROUP = "besteffort"
"""The other built-in group; here it is the same machine."""

COUNTERS = ("upload_bytes", "upload_chunks", "uploads_finished", "git_bytes", "tasks_created")
"""What is counted."""

_NONCE = re.compile(r"[0-9a-fA-F]{16,128}")


async def capabilities(engine: Engine, _request: Request) -> dict[str, Any]:
    """Announce what the engine can do beyond the published API."""
    return {
        "protocol": PROTOCOL,
        "server": {"name": "anylearn-jupyter engine", "version": engine.status()["version"]},
        "features": {
            "events": {},
            "log_bytes": {"max_bytes": MAX_LOG_BYTES},
            "task_batch": {},
            "task_in_reply": {},
            "group_limit": {},
            "secrets": {"max_values": MAX_SECRETS, "max_bytes": MAX_SECRETS_BYTES},
            "supervision": {"max_timeout_s": MAX_TIMEOUT_S, "max_retries": MAX_RETRIES},
            "task_phase": {},
            "interpreter": {"environment": list(SUBMITTER_VARIABLES)},
            "idempotency": {},
            "git_bearer": {},
            "delta": {
                "chunk_bytes": MAX_CHUNK_BYTES,
                "body_bytes": MAX_BODY_BYTES,
                "body_chunks": MAX_BODY_CHUNKS,
                "digests": MAX_ASKED,
                "reads_files": MAX_FILES,
            },
            "pack_post": {"max_bytes": MAX_PACK_BYTES, "max_objects": MAX_OBJECTS},
            "counters": {},
            "queue": {},
            "engine": {},
        },
    }


async def proof(engine: Engine, request: Request) -> dict[str, str]:
    """Prove that this engine has the user's token, without showing it."""
    nonce = request.query.text("nonce")
    if not _NONCE.fullmatch(nonce):
        raise bad("The nonce is 16 to 128 hexadecimal digits.")
    return {"proof": engine_proof(engine.token, nonce, engine.host_and_port)}


async def counters(engine: Engine, _request: Request) -> dict[str, int]:
    """Give what was counted since the store was made."""
    return dict.fromkeys(COUNTERS, 0) | engine.database.counters()


async def status(engine: Engine, _request: Request) -> dict[str, object]:
    """Tell how the engine is."""
    return engine.status()


async def stop(engine: Engine, request: Request) -> dict[str, Any]:
    """End the engine, after its tasks if that is asked for."""
    choice = request.form.text("tasks", default="leave")
    if choice not in ("leave", "stop"):
        raise bad("The field 'tasks' is 'leave' or 'stop'.")
    engine.refuse_new_tasks = True
    running = len(engine.unfinished())
    left = await engine.stop_tasks() if choice == "stop" else running
    if choice == "stop" and left:
        engine.refuse_new_tasks = False
        return {"msg": f"{left} tasks have not ended", "ends": False, "tasks": left}
    engine.ending.set()
    return {"msg": "engine stops", "ends": True, "tasks": left}


async def mirrors(_engine: Engine, _request: Request) -> list[dict[str, str]]:
    """List the environments, which are one."""
    return [{"id": MIRROR_ID, "name": MIRROR_NAME, "requirements": ""}]


async def quota_groups(engine: Engine, _request: Request) -> list[dict[str, Any]]:
    """List the resource groups."""
    return _groups(engine)


async def quota_group(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """Give a resource group by id or by name; an unknown one is an empty list."""
    wanted = request.query.optional("id") or request.query.text("name")
    return [group for group in _groups(engine) if wanted in (group["id"], group["name"])]


def _groups(engine: Engine) -> list[dict[str, Any]]:
    """Give both built-in groups: the same machine, so that both see all that is in use."""
    group = engine.scheduler.quota_group()
    return [
        group | {"id": DEFAULT_GROUP, "name": DEFAULT_GROUP, "level": "Guarantee"},
        group | {"id": BEST_EFFORT_GROUP, "name": BEST_EFFORT_GROUP, "level": "BestEffort"},
    ]
