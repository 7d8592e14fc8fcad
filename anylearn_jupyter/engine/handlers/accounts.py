"""Users and their sessions (HTTP API, section 3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from anylearn_jupyter.engine.request import ApiError, Request, bad, missing, mutation
from anylearn_jupyter.engine.users import PASSWORD_CHARACTERS, User

if TYPE_CHECKING:
    from anylearn_jupyter.engine.service import Engine

ROLE = "user"
"""What everyone is here."""


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


async def user(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """Give all that is known of the caller, in a list of one; others are not shown."""
    found = _own_user(request, request.query.id("id", "USER", what="user"))
    own = engine.resources.of_user
    return [
        {
            **_user_json(found, email=engine.users.email_of(found.id)),
            "namespace": found.name,
            "own_algorithms": [row.id for row in engine.resources.algorithms_of_user(found.id)],
            "own_datasets": [row.id for row in own(found.id, "dataset")],
            "own_models": [row.id for row in own(found.id, "model")],
            "own_files": [row.id for row in own(found.id, "file")],
            "collected_algorithm": "[]",
        }
    ]


async def users(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """List the users; a name is no secret, as it is a part of full names, an address is one."""
    return _users_json(engine, request, engine.users.everyone())


async def collection(engine: Engine, request: Request) -> list[dict[str, Any]]:
    """Give those of the named users that exist."""
    wanted = request.query.ids("collection")
    found = [one for one in engine.users.everyone() if one.id in wanted]
    return _users_json(engine, request, found)


async def update(engine: Engine, request: Request) -> dict[str, str]:
    """Change the caller's address. The name is a part of full names and stays."""
    form = request.form
    found = _own_user(request, form.id("id", "USER", what="user"))
    if form.text("username", default=found.name) not in ("", found.name):
        raise bad(f"The user {found.name!r} keeps its name, which is a part of git addresses.")
    if form.text("role", default=ROLE) not in ("", ROLE):
        raise ApiError(403, "no_roles", f"Everyone is {ROLE!r} here; leave the role out.")
    engine.users.set_email(found.id, form.text("email", default=engine.users.email_of(found.id)))
    return mutation(found.id, "The user was changed.")


async def password(engine: Engine, request: Request) -> dict[str, str]:
    """Change the caller's password; every other session of theirs ends."""
    form = request.form
    found = _own_user(request, form.id("id", "USER", what="user"))
    old = form.secret("old_password", limit=PASSWORD_CHARACTERS)
    new = form.secret("new_password", limit=PASSWORD_CHARACTERS)
    if await asyncio.to_thread(engine.users.by_password, found.name, old) is None:
        raise ApiError(
            403,
            "wrong_credential",
            "The old password is wrong; `anylearn-engine user add NAME --password-stdin --replace` "
            "on this machine needs none.",
        )
    keep = request.headers.get("Authorization", "").partition(" ")[2].strip()
    await asyncio.to_thread(lambda: engine.users.set_password(found, new, keep=keep))
    return mutation(found.id, "The password was changed; other sessions have ended.")


async def delete(_engine: Engine, _request: Request) -> Any:
    """Refuse to remove a user: what belongs to it would have no owner."""
    raise ApiError(403, "no_removal", "Users are not removed over the network here.")


def _own_user(request: Request, user_id: str) -> User:
    if user_id != request.user.id:
        raise missing("user", user_id)
    return request.user


def _users_json(engine: Engine, request: Request, found: list[User]) -> list[dict[str, Any]]:
    own = request.user.id
    return [
        _user_json(one, email=engine.users.email_of(one.id) if one.id == own else "")
        for one in found
    ]


def _user_json(found: User, *, email: str) -> dict[str, Any]:
    return {"id": found.id, "username": found.name, "role": ROLE, "email": email}


async def registry(_engine: Engine, _request: Request) -> Any:
    """Refuse to make a user: nobody who cannot read the engine's files may."""
    raise ApiError(
        403,
        "no_registration",
        "Users are not made over the network here; run `anylearn-engine user add NAME "
        "--password-stdin` on this machine.",
    )
