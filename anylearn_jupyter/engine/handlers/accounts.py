"""Users and their sessions (HTTP API, section 3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.request import ApiError, Request
from anylearn_jupyter.engine.users import PASSWORD_CHARACTERS

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine


async def login(engine: Engine, request: Request) -> dict[str, str]:
    """Log in with a name and a password, for an access and a refresh token."""
    name = request.form.text("username")
    password = request.form.secret("password", limit=PASSWORD_CHARACTERS)
    user = await asyncio.to_thread(engine.users.by_password, name, password)
    if user is None:
        raise ApiError(
            401,
            "wrong_credential",
            "The user name or the password is wrong; `anylearn-engine user add` makes a user.",
        )
    session = engine.users.new_session(user)
    return {
        "id": user.id,
        "username": user.name,
        "token": session.access,
        "refresh_token": session.refresh,
    }


async def check(engine: Engine, request: Request) -> bool:
    """Tell whether there is a user of this name."""
    return engine.users.exists(request.query.text("username"))


async def me(_engine: Engine, request: Request) -> dict[str, str]:
    """Tell who the caller is."""
    return {"id": request.user.id, "username": request.user.name}


async def refresh_token(engine: Engine, request: Request) -> dict[str, str]:
    """Give a new access token for a refresh token, which stays valid."""
    return {
        "id": request.user.id,
        "username": request.user.name,
        "token": engine.users.new_access_token(request.user),
        "refresh_token": request.headers.get("Authorization", "").partition(" ")[2].strip(),
    }


async def registry(_engine: Engine, _request: Request) -> Any:
    """Refuse to make a user: nobody who cannot read the engine's files may."""
    raise ApiError(
        403,
        "no_registration",
        "Users are not made over the network here; run `anylearn-engine user add NAME "
        "--password-stdin` on this machine.",
    )
