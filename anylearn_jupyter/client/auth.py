"""Credentials as objects that put themselves on a request, and never show themselves.

`requests` reads ``.netrc`` whenever no `auth=` is given, which would replace a bearer header. So
every request gets one of these, also the request that carries no credential (faults, D11 and G8).
"""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Callable
from typing import Any

from anylearn_jupyter.client.hidden import hide_tokens

MASK = "***"
"""What stands wherever a credential would be shown."""


class Auth:
    """No credential at all; the base of the others."""

    def header(self) -> str | None:
        """Give the value of the ``Authorization`` header, or None for none."""
        return None

    def renew(self, stale: str | None, ask: Callable[[str], str]) -> bool:
        """Get a new credential after the server refused the `stale` one; False if impossible."""
        del stale, ask
        return False

    def __call__(self, request: Any) -> Any:
        """Set the header on a prepared request, as `requests` asks for."""
        request.headers.pop("Authorization", None)
        header = self.header()
        if header is not None:
            request.headers["Authorization"] = header
        return request

    def __repr__(self) -> str:
        """Name the kind; never the credential."""
        return f"{type(self).__name__}({MASK})"


class NoAuth(Auth):
    """For the calls that take no credential: login, and the engine's proof."""


class TokenAuth(Auth):
    """A bearer token, renewed at most once at a time.

    Parameters
    ----------
    token : str
        The access token.
    refresh_token : str, optional
        What gets a new access token; it stays valid after use.
    on_renewal : callable, optional
        ``on_renewal(token)``, after a renewal, in the thread whose request was refused.

    Notes
    -----
    Source: HTTP API, section 3.
    """

    def __init__(
        self,
        token: str,
        refresh_token: str | None = None,
        *,
        on_renewal: Callable[[str], None] | None = None,
    ) -> None:
        hide_tokens(token, refresh_token)
        self._token = token
        self._refresh_token = refresh_token
        self._on_renewal = on_renewal
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def header(self) -> str:
        """Give the bearer header."""
        return f"Bearer {self._token}"

    def renew(self, stale: str | None, ask: Callable[[str], str]) -> bool:
        """Ask for a new token, unless another thread has got one since `stale` was sent.

        Parameters
        ----------
        stale : str
            The header that the server refused.
        ask : callable
            ``ask(refresh_token)`` returns a new access token.
        """
        with self._lock_of_this_process():
            if self.header() != stale:
                return True
            if self._refresh_token is None:
                return False
            self._token = ask(self._refresh_token)
            hide_tokens(self._token)
        if self._on_renewal is not None:
            self._on_renewal(self._token)
        return True

    def _lock_of_this_process(self) -> threading.Lock:
        """Give the lock; a new one after a fork, whose parent may have held it at that moment."""
        if self._pid != os.getpid():
            self._lock = threading.Lock()
            self._pid = os.getpid()
        return self._lock


class BasicAuth(Auth):
    """A user's name and password, for git servers that know no bearer token."""

    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password

    def header(self) -> str:
        """Give the Basic header, in UTF-8."""
        pair = f"{self._username}:{self._password}".encode()
        return "Basic " + base64.b64encode(pair).decode("ascii")
