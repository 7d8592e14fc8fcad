"""What a broken exchange was, in a few words that hold nothing of the request.

`requests` wraps urllib3, which wraps `http.client`, which wraps the socket: each error is looked
at with everything that it was made from.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import urllib3

from anylearn_jupyter.client.authorities import AUTHORITY_VARIABLES
from anylearn_jupyter.client.wire import Allowance
from anylearn_jupyter.errors import ServerUnreachable

FAILURES = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)
"""What a broken exchange raises; the errors of `requests` are a kind of OSError."""

_TLS = (ssl.SSLError, urllib3.exceptions.SSLError)
_SILENCE = (TimeoutError, urllib3.exceptions.TimeoutError)
# What OpenSSL calls the two faults that no file of authorities mends.
_EXPIRED, _OTHER_NAME = 10, (62, 64)


def _made_from(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and everything that it was made from, each once."""
    seen: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        found = waiting.pop(0)
        if not isinstance(found, BaseException) or any(found is known for known in seen):
            continue
        seen.append(found)
        yield found
        reason = getattr(found, "reason", None)
        waiting += [reason, *found.args, found.__cause__, found.__context__]


def certificate_refused(error: BaseException | None) -> bool:
    """Whether the server's certificate was the reason: then trying again is useless."""
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _made_from(error))


def reason_of(error: BaseException, allowance: Allowance) -> str:
    """Say in a few words why there was no answer."""
    causes = list(_made_from(error))

    def among(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if among(urllib3.exceptions.ProxyError):
        return "the proxy that the environment names does not answer, or refuses"
    if among(*_TLS):
        return _tls_reason(causes)
    if among(socket.gaierror):
        return "the name of the host is not known"
    if among(ConnectionRefusedError):
        return "the connection was refused"
    if among(urllib3.exceptions.ConnectTimeoutError):
        return "no connection came about in time"
    if among(*_SILENCE):
        late = allowance.deadline is not None and time.monotonic() >= allowance.deadline
        return "its time was up" if late else "nothing came for too long"
    if among(ConnectionResetError, BrokenPipeError):
        return "the connection was cut"
    for cause in causes:
        if type(cause) is OSError and cause.errno is not None:
            return os.strerror(cause.errno)
    return "the answer was cut or is no HTTP"


def _tls_reason(causes: list[BaseException]) -> str:
    """Say what was wrong with a certificate, and what mends it: never to check it no more."""
    refused = [cause for cause in causes if isinstance(cause, ssl.SSLCertVerificationError)]
    if not refused:
        return "it speaks no TLS that can be used; see whether its address begins with http://"
    code = getattr(refused[0], "verify_code", 0)
    if code == _EXPIRED:
        return (
            "its certificate has expired; who runs it renews it, if this machine's clock is right"
        )
    if code in _OTHER_NAME:
        return "its certificate is for another name; give the address under which it is known"
    return (
        "its certificate is signed by nobody that is trusted here; the variable "
        f"{AUTHORITY_VARIABLES[0]} names a file with the authority that signed it"
    )


def disarmed(error: Exception) -> Exception:
    """Take the request, whose headers hold a credential, off every error that keeps it."""
    for cause in _made_from(error):
        keeper: Any = cause
        for name in ("request", "response"):
            if getattr(keeper, name, None) is not None:
                setattr(keeper, name, None)
    return error


def no_answer(address: str, what: str, reason: str, doubtful: bool) -> ServerUnreachable:
    """Say that there was no answer, and whether it may have been carried out all the same."""
    unknown = "; whether it was carried out is unknown" if doubtful else ""
    return ServerUnreachable(
        f"{address} gives no answer to {what} ({reason}){unknown}; check the address and the "
        "network.",
        may_have_happened=doubtful,
    )
