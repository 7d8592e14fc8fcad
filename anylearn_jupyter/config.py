"""Settings: read once from the environment and the saved defaults, then handed down, frozen.

Precedence of the server (notebook spec, "Which server"): the option of the call, `connect()` in
this process, ``%config``, the variable ``ANYLEARN_HOST``, the saved default, the embedded engine.
A file in the project's directory is never read for settings.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from anylearn_jupyter.errors import ConfigError
from anylearn_jupyter.home import Home, write_private

LOCAL = "local"
"""The word that stands for the embedded engine wherever a server is named."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment and the saved defaults say, at one moment.

    Attributes
    ----------
    home : Home
        Where everything of ours is.
    host : str
        The server's address from ``ANYLEARN_HOST`` or the saved default, without a trailing
        slash; `LOCAL` for the embedded engine.
    auth_token, refresh_token : str or None
        A session from ``ANYLEARN_AUTH_TOKEN`` and ``ANYLEARN_AUTH_REFRESH_TOKEN``; None without
        them. They belong to ``ANYLEARN_HOST`` alone. Never shown by `repr`.
    connect_timeout_s, read_timeout_s : float
        Seconds that one connection, and one wait for bytes, may take.
    engine_start_timeout_s : float
        Seconds that the embedded engine has to answer after it was started.
    """

    home: Home
    host: str = LOCAL
    auth_token: str | None = None
    refresh_token: str | None = None
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0
    engine_start_timeout_s: float = 20.0

    def __repr__(self) -> str:
        """Name the home and the host, never a token."""
        return f"Settings(home={str(self.home.root)!r}, host={self.host!r})"

    @classmethod
    def read(cls) -> Settings:
        """Read the environment and the saved defaults.

        Raises
        ------
        ConfigError
            The saved defaults exist and cannot be read.
        """
        home = Home()
        host = os.environ.get("ANYLEARN_HOST") or saved_default_host(home) or LOCAL
        return cls(
            home=home,
            host=normal_host(host),
            auth_token=os.environ.get("ANYLEARN_AUTH_TOKEN") or None,
            refresh_token=os.environ.get("ANYLEARN_AUTH_REFRESH_TOKEN") or None,
        )


def normal_host(host: str) -> str:
    """Write a server's address in the one way that everything else compares.

    Parameters
    ----------
    host : str
        `LOCAL`, or an address with scheme.

    Raises
    ------
    ConfigError
        It has no ``http://`` or ``https://``.
    """
    host = host.strip().rstrip("/")
    if host == LOCAL or host.startswith(("http://", "https://")):
        return host
    raise ConfigError(
        f"The server {host!r} has no scheme; write it as https://{host or 'host'}, "
        f"or {LOCAL!r} for the embedded engine."
    )


def saved_default_host(home: Home) -> str | None:
    """Return the server that `save_default_host` kept, or None."""
    try:
        data = json.loads(home.config.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"The settings file {home.config} cannot be read ({error}); mend or delete it."
        ) from error
    host = data.get("host") if isinstance(data, dict) else None
    return host if isinstance(host, str) else None


def save_default_host(home: Home, host: str | None) -> None:
    """Keep a server as the default for new kernels; None forgets it."""
    data = {"format": 1, "host": host}
    write_private(Path(home.config), json.dumps(data, indent=1).encode())
