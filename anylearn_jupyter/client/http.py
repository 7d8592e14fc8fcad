"""One HTTP session to one server: time limits, retries, renewal of a login. It knows no endpoint.

The only import of `requests` in the package. The rules:

- Every call ends by its deadline, whatever the server does (`wire`). Waits that the server itself
  asks for (``Retry-After``) come on top, at most `PATIENCE_S` in all.
- A request is repeated only where that cannot do harm: when nothing of it was sent; when it reads;
  when the caller says that it may be repeated (it carries an idempotency key, or a chunk number).
- A write whose outcome nobody knows ends as ``ServerUnreachable(may_have_happened=True)``.
- Whoever waits for long because a server is busy is told, as a warning in the log.
- Redirects are errors, cookies are not kept, loopback is never asked through a proxy, and each
  request has an `Auth` of ours, so that no ``.netrc`` takes its place.
- After a fork the child opens a session of its own.
"""

from __future__ import annotations

import contextlib
import http.cookiejar
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import requests
import requests.adapters
import urllib3

from anylearn_jupyter._version import __version__
from anylearn_jupyter.client.addresses import checked_address, is_loopback
from anylearn_jupyter.client.auth import Auth, TokenAuth
from anylearn_jupyter.client.authorities import trusted_authorities
from anylearn_jupyter.client.failures import (
    FAILURES,
    certificate_refused,
    disarmed,
    no_answer,
    reason_of,
)
from anylearn_jupyter.client.forms import FORM_TYPE, Form, encode_form, given
from anylearn_jupyter.client.pace import backoff_s, retry_after_s
from anylearn_jupyter.client.replies import Reply, decode, error_of, request_id_of
from anylearn_jupyter.client.streams import Stream
from anylearn_jupyter.client.wire import Allowance, allowing, connection_pools
from anylearn_jupyter.config import Settings
from anylearn_jupyter.errors import (
    ConfigError,
    LoginRequired,
    ServerError,
    ServerUnreachable,
    UnexpectedAnswer,
)

TIMEOUT_S = 60.0
"""Seconds that one call may take with all its repetitions, unless the caller says otherwise."""

PATIENCE_S = 120.0
"""Seconds that one call waits in all because a server says ``Retry-After``."""

BODY_LIMIT = 64 * 1024 * 1024
"""Bytes of a reply that are read; a longer one is no answer of an Anylearn server."""

ATTEMPTS = 4
"""How often a call that may be repeated is made."""

_log = logging.getLogger(__name__)

_TOLD_FROM_S = 2.0
_NOT_FOR_GOOD = (429, 500, 502, 503, 504)
_READ_BYTES = 65_536
_READING = ("GET", "HEAD")
_NO_ADDRESS = (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError)
_NO_PROXY = (requests.exceptions.InvalidSchema, requests.exceptions.InvalidProxyURL)

Plain = bytes | memoryview
Body = Plain | Iterator[bytes] | None


class _Session(requests.Session):
    """Follows no redirect; as it comes it would read the body of one whole to prepare the next."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        return None


class _Adapter(requests.adapters.HTTPAdapter):
    """Gives urllib3 our kinds of connections, directly and behind a proxy."""

    def __init__(self, proof_token: str | None) -> None:
        self._pools = connection_pools(proof_token)
        super().__init__(pool_connections=4, pool_maxsize=8, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = self._pools
        return manager


class Http:
    """The HTTP session with one server.

    Parameters
    ----------
    address : str
        Scheme, host and port, without a trailing slash.
    auth : Auth
        The credential for every request that does not bring another.
    settings : Settings
        For the time limits.
    proof_token : str, optional
        The embedded engine's token: each new connection has to prove itself with it first.
    attempts : int, default `ATTEMPTS`
        1: never repeat anything.
    pause : callable, default `time.sleep`
        How to wait between two attempts.
    """

    def __init__(
        self,
        address: str,
        *,
        auth: Auth,
        settings: Settings,
        proof_token: str | None = None,
        attempts: int = ATTEMPTS,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.address = checked_address(address)
        self.auth = auth
        self.settings = settings
        self.attempts = attempts
        self._proof_token = proof_token
        self.is_embedded = proof_token is not None
        # What it is called in a sentence about what it has: the engine's port tells nobody much.
        self.place = self.address if proof_token is None else "the engine on this machine"
        self._pause = pause
        self._held: tuple[int, requests.Session] | None = None

    def __repr__(self) -> str:
        """Name the server."""
        return f"Http({self.address!r})"

    def once(self) -> Http:
        """Give the same session, for calls that are not repeated: for who has a loop of his own."""
        return self._sharing(self.auth, attempts=1)

    def with_auth(self, auth: Auth) -> Http:
        """Give the same session with another credential."""
        return self._sharing(auth, attempts=self.attempts)

    def _sharing(self, auth: Auth, *, attempts: int) -> Http:
        """Give another view of this process's connections."""
        other = Http(
            self.address,
            auth=auth,
            settings=self.settings,
            proof_token=self._proof_token,
            attempts=attempts,
            pause=self._pause,
        )
        other._held = (os.getpid(), self._session())
        return other

    def close(self) -> None:
        """Close this process's connections; a later call opens new ones."""
        held, self._held = self._held, None
        if held is not None and held[0] == os.getpid():
            held[1].close()

    # The calls that give decoded JSON.

    def get(self, path: str, params: Form | None = None, *, timeout_s: float = TIMEOUT_S) -> Any:
        """GET, repeated if need be."""
        return decode(self.exchange("GET", path, params=params, timeout_s=timeout_s))

    def post(
        self,
        path: str,
        form: Form | None = None,
        *,
        key: str | None = None,
        repeatable: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """POST a form.

        Parameters
        ----------
        path : str
            Below ``/api/``; one that begins with ``/`` is below the address itself.
        form : Mapping, optional
            None leaves a field out, and a list repeats its key.
        key : str, optional
            Sent as ``Idempotency-Key``; the call is then repeated if need be.
        repeatable : bool, default False
            The call may be repeated for another reason.
        timeout_s : float
            Seconds, repetitions included.

        Raises
        ------
        ServerUnreachable
            With `may_have_happened` when the request may have been carried out.
        """
        headers = {"Content-Type": FORM_TYPE}
        if key is not None:
            headers["Idempotency-Key"] = key
        reply = self.exchange(
            "POST",
            path,
            data=encode_form(form),
            headers=headers,
            repeatable=repeatable or key is not None,
            timeout_s=timeout_s,
        )
        return decode(reply)

    def put(self, path: str, form: Form | None = None, *, timeout_s: float = TIMEOUT_S) -> Any:
        """PUT a form; the same form twice is the same as once, so it is repeated if need be."""
        return decode(
            self.exchange(
                "PUT",
                path,
                data=encode_form(form),
                headers={"Content-Type": FORM_TYPE},
                repeatable=True,
                timeout_s=timeout_s,
            )
        )

    def delete(self, path: str, params: Form | None = None, *, timeout_s: float = TIMEOUT_S) -> Any:
        """DELETE; not repeated, as the second answer would be 404."""
        return decode(self.exchange("DELETE", path, params=params, timeout_s=timeout_s))

    # The two ways to talk: a whole reply, or a stream.

    def exchange(
        self,
        method: str,
        path: str,
        *,
        params: Form | None = None,
        data: Plain | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Auth | None = None,
        repeatable: bool = False,
        timeout_s: float = TIMEOUT_S,
    ) -> Reply:
        """Send a request and read the whole reply, whatever its status is.

        Raises
        ------
        ServerUnreachable
            No usable answer in time, or a gateway's 502, 503, 504 to the last attempt.
        EngineError
            What listens at the embedded engine's port is not this user's engine.
        UnexpectedAnswer
            The reply is larger than `BODY_LIMIT`.
        """
        reads = method in _READING
        again = repeatable or reads
        deadline = time.monotonic() + timeout_s
        waited_s = 0.0
        for attempt in range(1, self.attempts + 1):
            allowance = Allowance(deadline=deadline, silence_s=self.settings.read_timeout_s)
            pause_s = backoff_s(attempt)
            last = attempt == self.attempts
            try:
                reply = self._authorized(method, path, params, data, headers, auth, allowance)
            except ServerUnreachable as error:
                harmless = again or not allowance.sent
                useless = certificate_refused(error.__cause__)
                if last or useless or not harmless or time.monotonic() + pause_s >= deadline:
                    raise
            else:
                if reply.status not in _NOT_FOR_GOOD or last or not again:
                    return self._usable(reply, doubtful=not reads)
                asked_s = retry_after_s(reply.headers.get("Retry-After"), reply.headers.get("Date"))
                if asked_s is not None:
                    waited_s += asked_s
                    deadline += asked_s
                    pause_s = asked_s
                if waited_s > PATIENCE_S:
                    raise ServerError(
                        f"{self.address} is busy and asks to come back in {pause_s:.0f} s"
                        f"{request_id_of(reply)}; try again then.",
                        reply.status,
                    )
            if pause_s > _TOLD_FROM_S:
                _log.warning(f"{self.address} is busy or away; the next try is in {pause_s:.0f} s.")
            self._pause(pause_s)
        raise AssertionError("every attempt returns or raises")

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Form | None = None,
        data: Body = None,
        headers: Mapping[str, str] | None = None,
        auth: Auth | None = None,
        silence_s: float | None = None,
        timeout_s: float | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Stream]:
        """Send a request and read its reply as it arrives; never repeated.

        Parameters
        ----------
        data : bytes or iterator of bytes, optional
            An iterator is sent as it comes, in chunked encoding.
        silence_s : float, optional
            Seconds without a byte, after which the connection counts as dead.
        timeout_s : float, optional
            Seconds for all of it; None for no end.
        stop : threading.Event, optional
            Setting it ends the wait for the next bytes with `wire.Stopped`.

        Raises
        ------
        AnylearnError
            Any status but 2xx, by `replies.error_of`.
        ServerUnreachable
            No answer, or it was cut.
        """
        allowance = Allowance(
            deadline=None if timeout_s is None else time.monotonic() + timeout_s,
            silence_s=self.settings.read_timeout_s if silence_s is None else silence_s,
            stop=stop,
        )

        def lost(error: Exception) -> Exception:
            return self._lost(error, method, path, allowance)

        chosen = self.auth if auth is None else auth
        sent_header = chosen.header()
        response = self._send(method, path, params, data, headers, chosen, allowance)
        try:
            if response.status_code == 401 and not isinstance(data, Iterator):
                response.close()
                if chosen.renew(sent_header, self._ask_for_token):
                    response = self._send(method, path, params, data, headers, chosen, allowance)
            if not 200 <= response.status_code < 300:
                raise error_of(self._whole(response, method, path, allowance))
            yield Stream(response.raw, response.headers, lost)
        finally:
            response.close()

    # How one attempt is made.

    def _authorized(
        self,
        method: str,
        path: str,
        params: Form | None,
        data: Plain | None,
        headers: Mapping[str, str] | None,
        auth: Auth | None,
        allowance: Allowance,
    ) -> Reply:
        """Make one attempt, and a second one if a renewed login may change a 401."""
        chosen = self.auth if auth is None else auth
        for renewed in (False, True):
            sent_header = chosen.header()
            response = self._send(method, path, params, data, headers, chosen, allowance)
            with contextlib.closing(response):
                reply = self._whole(response, method, path, allowance)
            if reply.status != 401 or renewed:
                return reply
            if not chosen.renew(sent_header, self._ask_for_token):
                return reply
        return reply

    def _ask_for_token(self, refresh_token: str) -> str:
        """Get a new access token (HTTP API, section 3)."""
        reply = self.exchange("GET", "user/refresh_token", auth=TokenAuth(refresh_token))
        if reply.status in (400, 401, 403):
            raise LoginRequired(
                f"The login to {self.address} has ended; run `%anylearn_login {self.address}`."
            )
        answer = decode(reply)
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token:
            raise UnexpectedAnswer(
                f"{self.address} renewed the login without giving a token.", reply.status
            )
        return token

    def _send(
        self,
        method: str,
        path: str,
        params: Form | None,
        data: Body,
        headers: Mapping[str, str] | None,
        auth: Auth,
        allowance: Allowance,
    ) -> requests.Response:
        """Send the request and read the reply's headers."""
        limits = (self.settings.connect_timeout_s, self.settings.read_timeout_s)
        if allowance.deadline is not None:
            left_s = max(allowance.deadline - time.monotonic(), 0.001)
            limits = (min(limits[0], left_s), limits[1])
        try:
            with allowing(allowance):
                return self._session().request(
                    method,
                    self._url(path),
                    params=given(params),
                    # It sends any buffer, which its types do not say.
                    data=cast("bytes | None", data),
                    headers=dict(headers or {}),
                    auth=auth,
                    timeout=limits,
                    allow_redirects=False,
                    stream=True,
                )
        except FAILURES as error:
            raise self._lost(error, method, path, allowance) from disarmed(error)

    def _whole(
        self, response: requests.Response, method: str, path: str, allowance: Allowance
    ) -> Reply:
        """Read the body up to the limit; the connection goes back to the pool at its end."""
        body = bytearray()
        try:
            while block := response.raw.read(_READ_BYTES, decode_content=True):
                body += block
                if len(body) > BODY_LIMIT:
                    response.close()
                    raise UnexpectedAnswer(
                        f"{self.address} answered {method} {path} with more than "
                        f"{BODY_LIMIT >> 20} MiB; check that it is an Anylearn server.",
                        response.status_code,
                    )
        except FAILURES as error:
            raise self._lost(error, method, path, allowance) from disarmed(error)
        return Reply(
            address=self.address,
            request=f"{method} {path}",
            status=response.status_code,
            headers=response.headers,
            body=bytes(body),
        )

    def _usable(self, reply: Reply, *, doubtful: bool) -> Reply:
        """Give the reply, unless a gateway says that it has none."""
        if reply.status in (502, 503, 504):
            raise ServerUnreachable(
                f"The gateway at {self.address} answered {reply.request} with {reply.status}: the "
                f"server behind it gives no answer{request_id_of(reply)}; try again later.",
                may_have_happened=doubtful,
            )
        return reply

    def _lost(
        self, error: Exception, method: str, path: str, allowance: Allowance
    ) -> ServerUnreachable | ConfigError:
        """Say in a sentence what a failure of the network or of an address was."""
        if isinstance(error, _NO_ADDRESS):
            return ConfigError(f"The server's address {self.address!r} cannot be used.")
        if isinstance(error, _NO_PROXY):
            return ConfigError(
                f"The proxy that the environment names for {self.address} is of a kind that cannot "
                "be used; name an http proxy, or install PySocks for a SOCKS one."
            )
        doubtful = allowance.sent and method not in _READING
        return no_answer(self.address, f"{method} {path}", reason_of(error, allowance), doubtful)

    def _url(self, path: str) -> str:
        return self.address + (path if path.startswith("/") else f"/api/{path}")

    def _session(self) -> requests.Session:
        """Give this process's session; a child after a fork gets its own."""
        if self._held is not None and self._held[0] == os.getpid():
            return self._held[1]
        session = _Session()
        session.headers.clear()
        session.headers["Accept"] = "*/*"
        session.headers["Accept-Encoding"] = "identity"
        session.headers["User-Agent"] = f"anylearn-jupyter/{__version__}"
        session.trust_env = not is_loopback(self.address)
        session.verify = trusted_authorities()
        session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(self._proof_token))
        self._held = (os.getpid(), session)
        return session
