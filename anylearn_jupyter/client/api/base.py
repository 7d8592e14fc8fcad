"""What all calls share: the session, the server's features, and creating something exactly once."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from anylearn_jupyter.client.decoding import made_id, objects, text
from anylearn_jupyter.client.forms import Form
from anylearn_jupyter.client.http import Http
from anylearn_jupyter.errors import (
    AnylearnError,
    LoginRequired,
    ServerError,
    ServerUnreachable,
)

DESCRIPTION_LIMIT = 255
"""Characters of a description that every published server takes (HTTP API, section 6.2)."""

_log = logging.getLogger(__name__)

_MARKS = re.compile(r"(?:\s*\[anylearn:[^\[\]\s]+\])+\s*\Z")


def mark_of(key: str) -> str:
    """Give the text that stands for an idempotency key in a description."""
    return f"[anylearn:{key}]"


def parted(description: str) -> tuple[str, str]:
    """Part a description into its free text and the marks at its end.

    Examples
    --------
    >>> parted("Digits [anylearn:fp1:ab] [anylearn:k1]")
    ('Digits', '[anylearn:fp1:ab] [anylearn:k1]')
    """
    found = _MARKS.search(description)
    if found is None:
        return description, ""
    return description[: found.start()], " ".join(found.group().split())


def marked(description: str, mark: str = "") -> str:
    """Put a mark at the end of a description, and cut the free text in front of all marks.

    Examples
    --------
    >>> marked("Digits [anylearn:fp1:ab]", "[anylearn:k1]")
    'Digits [anylearn:fp1:ab] [anylearn:k1]'
    """
    free, marks = parted(description)
    marks = f"{marks} {mark}".strip()
    room = DESCRIPTION_LIMIT - len(marks) - 1 if marks else DESCRIPTION_LIMIT
    if len(free) > room:
        free = free[: max(room - 1, 0)] + "…"
    return f"{free} {marks}".strip()


class Calls:
    """A group of endpoints on one session.

    Parameters
    ----------
    http : Http
        The session.
    """

    def __init__(self, http: Http) -> None:
        self.http = http
        self._capabilities: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        """Name the server."""
        return f"{type(self).__name__}({self.http.address!r})"

    @property
    def features(self) -> frozenset[str]:
        """Names of what the server can do beyond the published API; asked for once, when needed.

        Raises
        ------
        ServerUnreachable, LoginRequired
            Then nobody knows. Any other failure means that the server announces nothing.

        Notes
        -----
        Source: docs/protocol.md, "Announcement".
        """
        return frozenset(self.capabilities)

    @property
    def capabilities(self) -> Mapping[str, Any]:
        """What each feature says about itself, by its name; see `features`."""
        if self._capabilities is None:
            try:
                answer = self.http.get("capabilities")
            except ServerError:
                answer = None
            found = answer.get("features") if isinstance(answer, dict) else None
            self._capabilities = found if isinstance(found, dict) else {}
        return self._capabilities

    def create(
        self,
        path: str,
        fields: Form,
        *,
        key: str,
        found_in: str,
        params: Form | None = None,
        doubtful: bool = False,
        on_reply: Callable[[Any], None] | None = None,
    ) -> str:
        """Create something exactly once, also where an answer got lost; the only place that does.

        A server with the feature ``idempotency`` gets the key as a header, and the request is
        repeated until it answers. Elsewhere the key goes to the end of the description, the
        request is made once, and after a doubtful answer a list tells whether it was carried out.

        Parameters
        ----------
        path : str
            An ``*/add`` endpoint.
        fields : Mapping
            Its form.
        key : str
            The idempotency key, of ``[A-Za-z0-9_-]``; the caller has written it down before.
        found_in : str
            The list endpoint that shows descriptions.
        params : Mapping, optional
            Query of that list.
        doubtful : bool, default False
            An earlier call with this key may have been carried out: look before asking again.
        on_reply : callable, optional
            ``on_reply(reply)`` sees what a server with the feature ``idempotency`` answered, which
            may hold more than the id.

        Returns
        -------
        str
            The id.

        Raises
        ------
        ServerUnreachable
            With `may_have_happened` when neither answer nor list told. Call again with `doubtful`.

        Notes
        -----
        Source: quick_train spec, step 6; faults, A7 and D7.
        """
        what = f"POST {path}"
        description = str(fields.get("description") or "")
        if "idempotency" in self.features:
            form = {**fields, "description": marked(description)}
            reply = self.http.post(path, form, key=key)
            if on_reply is not None:
                on_reply(reply)
            return made_id(reply, what)
        mark = mark_of(key)
        if doubtful and (known := self._marked_id(found_in, params, mark)):
            return known
        form = {**fields, "description": marked(description, mark)}
        try:
            return made_id(self.http.post(path, form), what)
        except LoginRequired:
            raise
        except (ServerUnreachable, ServerError) as error:
            if not _may_have_happened(error):
                raise
            _log.warning(
                f"{self.http.address} gave no clear answer to {what}, which may have been carried "
                "out; looking for it there."
            )
            return self._found_after_all(found_in, params, mark, what, error)

    def _found_after_all(
        self, path: str, params: Form | None, mark: str, what: str, error: Exception
    ) -> str:
        """Find what a request without a clear answer made; whatever else stays a doubt."""
        try:
            known = self._marked_id(path, params, mark)
            looked = "does not list what was asked for"
        except AnylearnError as second:
            known, error = None, second
            looked = f"cannot be looked at ({str(second).rstrip('.')})"
        if known is None:
            raise ServerUnreachable(
                f"{self.http.address} gave no clear answer to {what}, and {looked}; run it again, "
                "which looks before it asks a second time.",
                may_have_happened=True,
            ) from error
        return known

    def _marked_id(self, path: str, params: Form | None, mark: str) -> str | None:
        """Find in a list the thing whose description carries the mark."""
        what = f"GET {path}"
        for item in objects(self.http.get(path, params), what):
            if mark in str(item.get("description") or ""):
                return text(item, "id", what)
        return None


def _may_have_happened(error: Exception) -> bool:
    """Whether a failed creation may have taken place: no answer, a crash, or garbage after it."""
    if isinstance(error, ServerUnreachable):
        return error.may_have_happened
    status = error.status if isinstance(error, ServerError) else None
    return status is None or status >= 500 or 200 <= status < 300
