"""What a server's reply means: its JSON, or the error that it stands for.

`error_of` is the only place where a status becomes an error. A server's words are data: they are
put on one line, without control characters, and cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from anylearn_jupyter.errors import (
    AnylearnError,
    Conflict,
    Denied,
    LoginRequired,
    NotFound,
    ServerError,
    UnexpectedAnswer,
)

WORDS_LIMIT = 300
"""Characters of a server's own text that an error quotes."""

_SENTENCES = ("msg", "message", "detail", "error")
_FIELDS_SHOWN = 5
_REQUEST_IDS = ("X-Request-Id", "X-Correlation-Id", "Request-Id", "X-Trace-Id")
_NOT_SHOWN = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]+")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")


@dataclass(frozen=True)
class Reply:
    """One whole answer of a server.

    Attributes
    ----------
    address : str
        The server, without a path.
    request : str
        What was asked, such as ``GET train_task/query``; no parameters.
    status : int
        The HTTP status.
    headers : Mapping
        Names compare without regard to case.
    body : bytes
        All of it, not decoded.
    """

    address: str
    request: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Name the request and the status; a body may hold a token."""
        return f"Reply({self.request!r}, status={self.status})"


def one_line(text: str, limit: int = WORDS_LIMIT) -> str:
    """Make a stranger's text fit into a sentence: one line, nothing invisible, no credential."""
    text = _BEARER.sub(r"\1 ***", text)
    text = _NOT_SHOWN.sub(" ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def host_of(address: str) -> str:
    """Give host and port of an address, without user name, path and query."""
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "an address that cannot be read"
    return one_line((parts.hostname or "") + port, 100)


def read_json(body: bytes) -> Any:
    """Decode JSON in UTF-8; half a surrogate pair, which is no text, becomes ``?``.

    Raises
    ------
    ValueError, RecursionError
        It is none, or nested too deeply.
    """
    found = json.loads(body.decode("utf-8"))
    # Only an escape can bring one in, so most answers need no second look.
    return _as_text(found) if rb"\u" in body else found


def _as_text(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_as_text(one) for one in value]
    if isinstance(value, dict):
        return {_as_text(name): _as_text(one) for name, one in value.items()}
    return value


def decode(reply: Reply) -> Any:
    """Decode the JSON of a reply that is no error.

    Raises
    ------
    AnylearnError
        Any status but 2xx, by `error_of`.
    UnexpectedAnswer
        The body is no JSON, or nested too deeply: most often a proxy's login page.
    """
    if not 200 <= reply.status < 300:
        raise error_of(reply)
    try:
        return read_json(reply.body)
    except (ValueError, RecursionError) as error:
        kind = reply.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if kind == "text/html" or reply.body.lstrip()[:1] == b"<":
            raise UnexpectedAnswer(
                f"{reply.address} answered {reply.request} with a web page instead of data (a "
                "proxy's login page?); check the address, and log in to the proxy if there is one.",
                reply.status,
            ) from error
        raise UnexpectedAnswer(
            f"{reply.address} answered {reply.request} with something that is no JSON; check that "
            "the address is that of an Anylearn server.",
            reply.status,
        ) from error


def error_of(reply: Reply) -> AnylearnError:
    """Turn a reply into the error that it stands for.

    Returns
    -------
    AnylearnError
        `LoginRequired` for 401, `Denied` for 403, `NotFound` for 404, `Conflict` for 409 and 412,
        `UnexpectedAnswer` for a redirect, which is never followed; `ServerError` for the rest.

    Notes
    -----
    Source: HTTP API, section 1, errors; faults, D1 to D9.
    """
    status, address = reply.status, reply.address
    if 300 <= status < 400:
        target = host_of(reply.headers.get("Location", ""))
        return UnexpectedAnswer(
            f"{host_of(address)} sends {reply.request} on to {target or 'an unnamed place'}, which "
            "is not followed as it would carry your login there; if that is the right server, "
            "give its address.",
            status,
        )
    words = _words_of(reply).rstrip(".")
    said = (f": {words}" if words else "") + request_id_of(reply)
    if status == 401:
        return LoginRequired(
            f"{address} wants a login for {reply.request}{said}; run `%anylearn_login {address}`."
        )
    message = f"{address} answered {reply.request} with {status}{said}"
    kinds: dict[int, type[ServerError]] = {
        403: Denied,
        404: NotFound,
        409: Conflict,
        412: Conflict,
    }
    return kinds.get(status, ServerError)(f"{message}.", status)


def request_id_of(reply: Reply) -> str:
    """Give what the server's people find this request by, in brackets; empty where it has none."""
    for name in _REQUEST_IDS:
        found = one_line(reply.headers.get(name, ""), 80)
        if found:
            return f" (request id {found})"
    return ""


def _words_of(reply: Reply) -> str:
    """Find the server's own words: its sentence, and which fields it does not like."""
    try:
        data = read_json(reply.body[:65_536])
    except (ValueError, RecursionError):
        plain = reply.headers.get("Content-Type", "").startswith("text/plain")
        return one_line(reply.body[:65_536].decode("utf-8", errors="replace")) if plain else ""
    if not isinstance(data, dict):
        return one_line(data) if isinstance(data, str) else ""
    said = [data[key] for key in _SENTENCES if isinstance(data.get(key), str) and data[key]][:1]
    for key in (*_SENTENCES, "errors"):
        said += _fields_refused(data.get(key))
    return one_line("; ".join(said))


def _fields_refused(value: Any) -> list[str]:
    """Read a refusal by fields: ``{"name": ["too long"]}``, or a list with the place of each.

    Notes
    -----
    The published API leaves the shape of these bodies open; both are common (faults, D4).
    """
    found = []
    if isinstance(value, dict):
        for name, reasons in list(value.items())[:_FIELDS_SHOWN]:
            listed = reasons if isinstance(reasons, list) else [reasons]
            found += [f"{name}: {one}" for one in listed[:1] if isinstance(one, str)]
    elif isinstance(value, list):
        for one in value[:_FIELDS_SHOWN]:
            if isinstance(one, str):
                found.append(one)
            elif isinstance(one, dict) and isinstance(one.get("msg"), str):
                place = one.get("loc") if isinstance(one.get("loc"), list) else [one.get("field")]
                name = ".".join(str(part) for part in place or () if part not in (None, "body"))
                found.append(f"{name}: {one['msg']}" if name else one["msg"])
    return found
