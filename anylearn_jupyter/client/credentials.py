"""Logins kept from one kernel to the next: tokens only, each bound to its server.

``credentials.json`` (0600, in a 0700 directory) holds one entry for each server's address. A token
is given out for exactly the address that it was saved under, so no other server can get it (faults,
G9). A password is never written anywhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from anylearn_jupyter.client.auth import MASK
from anylearn_jupyter.client.locks import locked
from anylearn_jupyter.errors import ConfigError
from anylearn_jupyter.home import Home, write_private

FORMAT = 1
"""The format number of ``credentials.json``."""

_LOCK_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Login:
    """What a server gave for a name and a password.

    Attributes
    ----------
    user_id, username : str
        Who it is.
    token, refresh_token : str
        Never shown by `repr`.
    """

    user_id: str
    username: str
    token: str
    refresh_token: str

    def __repr__(self) -> str:
        """Name the user; never a token."""
        return f"Login(username={self.username!r}, token={MASK})"


def load(home: Home, host: str) -> Login | None:
    """Give the saved login to exactly this server, or None."""
    entry = _read(home).get(host)
    if not isinstance(entry, dict):
        return None
    fields = [entry.get(name) for name in ("user_id", "username", "token", "refresh_token")]
    if not all(isinstance(field, str) for field in fields) or not fields[2]:
        return None
    return Login(*(str(field) for field in fields))


def hosts(home: Home) -> list[str]:
    """List the servers that there is a login to."""
    return list(_read(home))


def save(home: Home, host: str, login: Login) -> None:
    """Keep a login to a server, in place of an earlier one."""
    entry = {
        "user_id": login.user_id,
        "username": login.username,
        "token": login.token,
        "refresh_token": login.refresh_token,
    }
    _change(home, host, entry)


def save_token(home: Home, host: str, token: str) -> None:
    """Keep a renewed access token, if the login is still there."""
    login = load(home, host)
    if login is not None:
        save(home, host, replace(login, token=token))


def forget(home: Home, host: str) -> bool:
    """Remove the login to a server; False where there was none."""
    if load(home, host) is None:
        return False
    _change(home, host, None)
    return True


def _change(home: Home, host: str, entry: dict[str, str] | None) -> None:
    try:
        with locked(home.root / "credentials.lock", _LOCK_TIMEOUT_S):
            servers = _read(home)
            servers.pop(host, None)
            if entry is not None:
                servers[host] = entry
            data = {"format": FORMAT, "servers": servers}
            write_private(home.credentials, json.dumps(data, indent=1).encode())
    except OSError as error:
        raise ConfigError(
            f"The login to {host} cannot be kept in {home.credentials} "
            f"({error.strerror or error}); mend that, or set ANYLEARN_HOME to a directory that "
            "you can write to."
        ) from error


def _read(home: Home) -> dict[str, Any]:
    """Read all entries by server; a newer format is left alone."""
    try:
        data = json.loads(home.credentials.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The saved logins {home.credentials} cannot be read; delete the file and run "
            "`%anylearn_login HOST` again."
        ) from error
    if not isinstance(data, dict) or not isinstance(data.get("servers"), dict):
        return {}
    if data.get("format") != FORMAT:
        raise ConfigError(
            f"The saved logins {home.credentials} are of format {data.get('format')!r}, which this "
            "version does not know; use the newer version, or another ANYLEARN_HOME."
        )
    return dict(data["servers"])
