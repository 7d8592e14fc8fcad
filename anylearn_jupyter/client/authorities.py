"""Whose signature on a server's certificate is trusted; verification is never off."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from anylearn_jupyter.errors import ConfigError

AUTHORITY_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
"""The variables that name a file (or directory) of authorities; the first that is set counts."""


def trusted_authorities() -> str | bool:
    """Give the file or directory of authorities that the environment names.

    Returns
    -------
    str or bool
        What `requests` calls ``verify``: the path, or True for the authorities that come with it.

    Raises
    ------
    ConfigError
        What a variable names holds no certificates. It is not passed over: a user who names an
        authority trusts no others.

    Notes
    -----
    Source: faults, D10. Read here for loopback too, where `requests` looks at no variable.
    """
    for variable in AUTHORITY_VARIABLES:
        named = os.environ.get(variable)
        if not named:
            continue
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if Path(named).is_dir():
                context.load_verify_locations(capath=named)
            else:
                context.load_verify_locations(cafile=named)
        except OSError as error:
            raise ConfigError(
                f"The variable {variable} names {named}, which holds no certificates that can be "
                "read; name a file of authorities in PEM form, or unset it."
            ) from error
        return named
    return True
