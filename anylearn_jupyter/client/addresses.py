"""Addresses of servers: which may be used, which are on this machine, and their form for people."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from anylearn_jupyter.client.replies import one_line
from anylearn_jupyter.errors import ConfigError


def checked_address(address: str) -> str:
    """Give the address back, without a trailing slash, if it is one that may be used.

    Raises
    ------
    ConfigError
        It holds a user name or password, or has no host.
    """
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise ConfigError(f"The server's address {one_line(address)!r} cannot be used.") from error
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"The address of {parts.hostname} holds a user name; leave it out and run "
            "`%anylearn_login`."
        )
    if not usable:
        raise ConfigError(f"The server's address {one_line(address)!r} cannot be used.")
    return address.rstrip("/")


def is_loopback(address: str) -> bool:
    """Whether an address is on this machine; such a one is never asked through a proxy."""
    host = urlsplit(address).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
