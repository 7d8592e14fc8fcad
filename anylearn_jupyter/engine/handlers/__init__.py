"""One module for each topic of the API; a handler is a plain function from request to reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from anylearn_jupyter.engine.request import Request
from anylearn_jupyter.entities import new_id

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine


def create_once(
    engine: Engine,
    request: Request,
    prefix: str,
    make: Callable[[str], None],
    *,
    new: str | None = None,
) -> tuple[str, bool]:
    """Make a thing, unless the request's idempotency key has made it before.

    Parameters
    ----------
    engine : Engine
        The engine.
    request : Request
        Its path, user and key are what is remembered.
    prefix : str
        Of the thing's id.
    make : callable
        ``make(id)`` writes the rows; in one transaction with the key.
    new : str, optional
        The id that it gets, where something was prepared under it.

    Returns
    -------
    tuple of str and bool
        The id, and whether it is new.

    Notes
    -----
    Source: docs/protocol.md, "idempotency".
    """
    user, path, key = request.user.id, request.path, request.key
    with engine.database.transaction():
        known = engine.database.answered(user, path, key)
        if known is not None:
            return known, False
        made = new or new_id(prefix)
        make(made)
        engine.database.remember_answer(user, path, key, made, engine.now_ms())
    return made, True
