"""Who may ask: one gate for every request, and then the credential that its route wants.

The gate turns away whatever a web page can make a browser send, before anything else is looked at:
a request for another name (DNS rebinding), and one that says it comes from a page. The credential
is looked at next, before the body is read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections.abc import Mapping
from enum import Enum

from anylearn_jupyter.engine.request import ApiError
from anylearn_jupyter.engine.store import Store, TaskRow
from anylearn_jupyter.engine.users import PASSWORD_CHARACTERS, User, Users


class Credential(Enum):
    """What a route wants to be shown."""

    NONE = "none"
    USER = "user"
    """``Authorization: Bearer <access token>``."""
    ENGINE = "engine"
    """``Authorization: Bearer <the engine's own token>``: who runs it, and no other user of it."""
    REFRESH = "refresh"
    """``Authorization: Bearer <refresh token>``."""
    TASK = "task"
    """``Secret-Key: <secret key of the task>``, and nothing else."""
    GIT = "git"
    """``Bearer``, or ``Basic`` with a user's name and password."""


def pass_gate(headers: Mapping[str, str], port: int) -> None:
    """Refuse what does not come from a program of this machine that means this engine.

    Raises
    ------
    ApiError
        421 for another host, 403 for a request of a web page.

    Notes
    -----
    Source: architecture, "Trust"; faults G1; docs/protocol.md, "Credential".
    """
    if headers.get("Host", "").lower() not in (f"127.0.0.1:{port}", f"localhost:{port}"):
        raise ApiError(
            421,
            "wrong_host",
            f"This engine answers at 127.0.0.1:{port} and at no other name; ask it there.",
        )
    if "Origin" in headers or headers.get("Sec-Fetch-Site", "none").lower() != "none":
        raise ApiError(
            403, "from_a_page", "This engine takes no requests from web pages; use a program."
        )


class Identification:
    """Finds out whose credential a request carries.

    Parameters
    ----------
    users : Users
        The engine's.
    store : Store
        The tasks, whose reports carry their own keys.
    """

    def __init__(self, users: Users, store: Store) -> None:
        self._users = users
        self._store = store

    async def identify(self, wanted: Credential, headers: Mapping[str, str]) -> User | None:
        """Give the user of a request; None where the route wants none.

        A task's key needs the form's id as well, so it is left to `reporting_task`; here it only
        has to be there.

        Raises
        ------
        ApiError
            401: no credential, or a wrong one.
        """
        if wanted is Credential.NONE:
            return None
        if wanted is Credential.TASK:
            if not headers.get("Secret-Key"):
                raise ApiError(401, "no_credential", "A task's report carries its Secret-Key.")
            return None
        scheme, _, value = headers.get("Authorization", "").partition(" ")
        value = value.strip()
        user = None
        if scheme.lower() == "bearer" and value:
            find = {
                Credential.REFRESH: self._users.by_refresh_token,
                Credential.ENGINE: self._users.by_engine_token,
            }.get(wanted, self._users.by_token)
            user = find(value)
        elif scheme.lower() == "basic" and wanted is Credential.GIT:
            name, password = _basic(value)
            user = await asyncio.to_thread(self._users.by_password, name, password)
        if user is None:
            raise unknown(wanted, given=bool(scheme))
        return user

    def reporting_task(self, task_id: str, headers: Mapping[str, str]) -> TaskRow:
        """Give the task whose report this is.

        Raises
        ------
        ApiError
            401, also for a task that does not exist: who has no key learns nothing.
        """
        task = self._store.task(task_id)
        key = headers.get("Secret-Key", "").encode("utf-8", "replace")
        known = task.secret_key if task is not None else "-"
        right = hmac.compare_digest(key, known.encode())
        if task is None or not right:
            raise ApiError(401, "wrong_credential", "This is not the Secret-Key of that task.")
        return task


def _basic(value: str) -> tuple[str, str]:
    try:
        name, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    if not colon or len(password) > PASSWORD_CHARACTERS or len(name) > PASSWORD_CHARACTERS:
        return "", ""
    return name, password


def unknown(wanted: Credential, *, given: bool) -> ApiError:
    """Make the 401 that says which credential is wanted."""
    scheme = 'Basic realm="anylearn", charset="UTF-8"' if wanted is Credential.GIT else "Bearer"
    headers = {"WWW-Authenticate": scheme}
    if given:
        return ApiError(
            401, "wrong_credential", "The credential is not valid here; log in again.", headers
        )
    return ApiError(
        401, "no_credential", "This engine wants a credential on every request.", headers
    )
