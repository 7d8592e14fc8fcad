"""Settings: read once from the environment and the saved defaults, then handed down, frozen.

Precedence of the server (notebook spec, "Which server"): the option of the call, `connect()` in
this process, ``%config``, the variable ``ANYLEARN_HOST``, the saved default, the embedded engine.
A file in the project's directory is never read for settings.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace

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


@dataclass(frozen=True, kw_only=True)
class SavedDefaults:
    """What the user keeps for all notebooks: the file ``config.json``, which holds no secret.

    Attributes
    ----------
    host : str or None
        The server; None: the embedded engine.
    project : str or None
        The project of a cell that names none, by name or id; None: the user's default project.
    resources : tuple of str
        As ``-r`` takes them, for a cell that names none; empty: the server's default package.
    block : bool or None
        Whether a cell waits that does not say; None: in a notebook no, headless yes.
    """

    host: str | None = None
    project: str | None = None
    resources: tuple[str, ...] = ()
    block: bool | None = None

    @classmethod
    def read(cls, home: Home) -> SavedDefaults:
        """Read the file; what is no setting of ours in it counts as not there.

        Raises
        ------
        ConfigError
            It exists and cannot be read.
        """
        try:
            data = json.loads(home.config.read_bytes())
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"The settings file {home.config} cannot be read ({error}); mend or delete it."
            ) from error
        data = data if isinstance(data, dict) else {}
        host, project, block = data.get("host"), data.get("project"), data.get("block")
        listed = data.get("resources")
        return cls(
            host=host if isinstance(host, str) else None,
            project=project if isinstance(project, str) else None,
            resources=tuple(map(str, listed)) if isinstance(listed, list) else (),
            block=block if isinstance(block, bool) else None,
        )

    def save(self, home: Home) -> None:
        """Keep them for new cells and kernels."""
        write_private(home.config, json.dumps({"format": 1, **asdict(self)}, indent=1).encode())


def saved_default_host(home: Home) -> str | None:
    """Return the server that `save_default_host` kept, or None."""
    return SavedDefaults.read(home).host


def save_default_host(home: Home, host: str | None) -> None:
    """Keep a server as the default for new kernels; None forgets it. Other defaults stay."""
    replace(SavedDefaults.read(home), host=host).save(home)
