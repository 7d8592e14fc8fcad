"""The engine's HTTP side: one door that every request passes, from its headers to its reply.

In this order, and before the next one is looked at: the gate (host, origin), the route, its
credential, its size and content type; then the body; then the handler. A refusal comes before the
body is read, unless the body is small, which is read so that the client surely gets the answer.
Errors become JSON in one place. Nagle's algorithm is off, and headers leave with the body.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from http.client import responses
from socket import SO_RCVLOWAT, SOL_SOCKET
from typing import Any, cast

from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPInputError, HTTPServerRequest, parse_multipart_form_data
from tornado.iostream import IOStream, StreamClosedError
from tornado.web import Application, RequestHandler, stream_request_body

from anylearn_jupyter.engine.auth import Credential, pass_gate
from anylearn_jupyter.engine.chunk_uploads import Receiver
from anylearn_jupyter.engine.githost import GIT_PREFIX, GitBackend, GitRequest
from anylearn_jupyter.engine.repositories import MAX_PUSH_BYTES
from anylearn_jupyter.engine.request import ApiError, Fields, Reply, Request, bad
from anylearn_jupyter.engine.routes import ROUTES, SMALL_BYTES, Route, RouteTable
from anylearn_jupyter.engine.service import VERSION, Engine
from anylearn_jupyter.engine.users import User

MAX_CONNECTIONS = 400
"""Most connections at a time; one more is closed at once (faults G4)."""

MAX_HEADER_BYTES = 16_384
"""Largest head of a request."""

IDLE_CONNECTION_S = 60.0
"""Seconds that a connection may take for the head of its next request."""

BODY_S = 120.0
"""Seconds that a body may take, but git's."""

_FORM = "application/x-www-form-urlencoded"
_RAW = "application/octet-stream"
_READ_BYTES = 1 << 18
_WAKE_BYTES = 1 << 20
_GIT_BODY_S = 3600.0
_GIT_QUESTION_BYTES = 64 << 20

_log = logging.getLogger(__name__)
_access = logging.getLogger("anylearn_jupyter.engine.access")


class Server(HTTPServer):
    """Tornado's server with a largest number of connections."""

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """Take a connection, or close it if there are too many."""
        if len(self._connections) >= MAX_CONNECTIONS:
            stream.close()
            return
        stream.set_nodelay(True)
        super().handle_stream(stream, address)


def create_server(engine: Engine, routes: Sequence[Route] = ROUTES) -> Server:
    """Make the server; the caller gives it a socket."""
    settings = {"engine": engine, "table": RouteTable(routes)}
    application = Application([(r".*", Door, settings)], log_function=log_request)
    return Server(
        application,
        max_header_size=MAX_HEADER_BYTES,
        idle_connection_timeout=IDLE_CONNECTION_S,
        body_timeout=BODY_S,
        chunk_size=_READ_BYTES,
    )


def log_request(handler: RequestHandler) -> None:
    """Write the access log: never a query, which may carry what nobody should read."""
    request, status = handler.request, handler.get_status()
    quiet = status < 400 and request.method in ("GET", "HEAD")
    _access.log(
        logging.DEBUG if quiet else logging.INFO,
        "%d %s %s %.1f ms",
        status,
        request.method,
        request.path[:200],
        1000 * request.request_time(),
    )


@stream_request_body
class Door(RequestHandler):
    """What one request passes."""

    def initialize(self, engine: Engine, table: RouteTable) -> None:
        """Take what the server gives to each."""
        self._engine = engine
        self._table = table
        self._values: dict[str, str] = {}
        self._counted = False
        self._refusal: ApiError | None = None
        self._route: Route | None = None
        self._caller: User | None = None
        self._git: GitBackend | None = None
        self._receiver: Receiver | None = None
        self._git_is_push = False
        self._pieces: list[bytes] = []
        self._on_close: list[Callable[[], None]] = []

    def set_default_headers(self) -> None:
        """Say what every reply says; nothing here lets a page read it."""
        self.set_header("Server", f"anylearn-jupyter-engine/{VERSION}")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def compute_etag(self) -> str | None:
        """Make no ETag: a reply is what it is now."""
        return None

    # Before the body.

    async def prepare(self) -> None:
        """Let the request in, or note why not."""
        connection = self._connection()
        connection.stream.set_nodelay(True)
        connection.set_max_body_size(SMALL_BYTES)
        try:
            await self._admit(connection)
        except ApiError as error:
            self._refusal = error
            if self._length() > SMALL_BYTES or "Transfer-Encoding" in self.request.headers:
                self._send_error(error)

    async def _admit(self, connection: HTTP1Connection) -> None:
        headers = self.request.headers
        pass_gate(headers, self._engine.port)
        if self.request.path.startswith(GIT_PREFIX):
            await self._admit_git(connection)
            return
        found = self._table.find(self.request.method or "", self.request.path)
        if found is None:
            raise self._no_route()
        if self._engine.plain is not None:
            self._engine.plain.check_route(found[0])
        route, self._values = found
        self._caller = await self._engine.identification.identify(route.credential, headers)
        if self._length() > route.max_bytes:
            raise ApiError(
                413, "too_large", f"The body has more than {route.max_bytes} bytes, the most here."
            )
        connection.set_max_body_size(route.max_bytes)
        self._check_content_type(route)
        self._route = route
        if route.is_need:
            self._count()
        if route.receive is not None and self._caller is not None:
            query = Fields.parse(self.request.query, "query")
            self._receiver = route.receive(self._engine, self._caller, query)
            await self._take_body(self._receiver, connection)

    def _no_route(self) -> ApiError:
        if self._table.knows(self.request.path):
            return ApiError(405, "wrong_method", f"{self.request.method} is not served here.")
        return ApiError(404, "no_route", "The engine has nothing at this path.")

    def _check_content_type(self, route: Route) -> None:
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        wanted = "multipart/form-data" if route.multipart else _RAW if route.raw else _FORM
        if kind != wanted and (kind or self._length()):
            raise ApiError(415, "wrong_type", f"The body is sent as {wanted}, not as {kind!r}.")

    async def _admit_git(self, connection: HTTP1Connection) -> None:
        headers, engine = self.request.headers, self._engine
        if engine.plain is not None:
            engine.plain.check_git(headers)
        user = await engine.identification.identify(Credential.GIT, headers)
        kind = headers.get("Content-Type", "")
        method = self.request.method or ""
        asked = GitRequest.parse(method, self.request.path, self.request.query, kind)
        if user is None or asked.user != user.name:
            raise ApiError(403, "not_yours", "That is another user's repository.")
        if engine.resources.algorithm_named(user.id, asked.name) is None:
            raise ApiError(404, "not_found", "There is no such repository.")
        limit = MAX_PUSH_BYTES if asked.is_push else _GIT_QUESTION_BYTES
        if self._length() > limit:
            raise ApiError(413, "too_large", f"A push brings at most {limit} bytes.")
        connection.set_max_body_size(limit)
        connection.set_body_timeout(_GIT_BODY_S)
        self._count()
        root = engine.repositories.root
        self._git = await GitBackend.start(asked, user, root, headers, method)
        self._git_is_push = asked.is_push
        self._on_close.append(self._git.kill)

    async def data_received(self, chunk: bytes) -> None:
        """Take a piece of the body."""
        if self._refusal is not None:
            return
        if self._git is None:
            self._pieces.append(chunk)
            return
        if self._git_is_push:
            self._engine.database.count(git_bytes=len(chunk))
        await self._git.write(chunk)

    async def _take_body(self, receiver: Receiver, connection: HTTP1Connection) -> None:
        """Let a receiver read the body off the connection, before Tornado would.

        Tornado would copy each piece twice; for gigabytes that costs more than all else that is
        done with them. It finds the length of what is left of the body in the header.
        """
        stream, headers = connection.stream, self.request.headers

        wire = stream.socket

        async def fill(buffer: memoryview) -> None:
            while buffer:
                # Woken for each packet, the loop would cost more than what comes with it.
                wire.setsockopt(SOL_SOCKET, SO_RCVLOWAT, min(len(buffer), _WAKE_BYTES))
                # Any buffer will do, which its types do not say.
                read = await stream.read_into(cast(bytearray, buffer), partial=True)
                buffer = buffer[read:]

        async def read_into(buffer: memoryview) -> None:
            await asyncio.wait_for(fill(buffer), BODY_S)

        try:
            await receiver.take(read_into, self._length())
        except TimeoutError as error:
            raise ApiError(408, "too_slow", "The body did not come in time.") from error
        except StreamClosedError as error:
            raise ApiError(
                400, "gone", "The client has gone before the end of the body."
            ) from error
        finally:
            headers["Content-Length"] = str(receiver.left)
            if not stream.closed():
                wire.setsockopt(SOL_SOCKET, SO_RCVLOWAT, 1)

    # After the body.

    async def _serve(self) -> None:
        try:
            if self._refusal is not None:
                raise self._refusal
            if self._git is not None:
                await self._serve_git(self._git)
            elif self._route is not None:
                await self._serve_route(self._route)
        except ApiError as error:
            self._send_error(error)
        except StreamClosedError:
            _log.debug("the client has gone: %s %s", self.request.method, self.request.path)

    get = post = put = patch = delete = head = options = _serve

    async def _serve_route(self, route: Route) -> None:
        request = self._request(route)
        answer = await self._answer(route, request)
        if not isinstance(answer, Reply):
            self.set_header("Content-Type", "application/json; charset=UTF-8")
            self.finish(json.dumps(answer, ensure_ascii=False).encode())
            return
        await self._send(answer.status, dict(answer.headers), answer.content_type, answer.body)

    async def _answer(self, route: Route, request: Request) -> Any:
        plain = self._engine.plain
        if plain is None:
            return await route.handle(self._engine, request)
        asked = plain.asked(request)
        try:
            return plain.answered(asked, await route.handle(self._engine, asked))
        except ApiError as error:
            return plain.refused(asked, error)

    def _request(self, route: Route) -> Request:
        """Read query and body."""
        body = b"".join(self._pieces)
        self._pieces.clear()
        form, part = Fields(), None
        if route.multipart:
            form, part = _multipart(self.request, body)
        elif route.raw:
            part = body
        else:
            form = Fields.parse(body, "body")
        headers = self.request.headers
        task = None
        if route.credential is Credential.TASK:
            task_id = form.text("id", default="")
            task = self._engine.identification.reporting_task(task_id, headers)
        return Request(
            method=route.method,
            path=route.path,
            headers=headers,
            query=Fields.parse(self.request.query, "query"),
            form=form,
            part=part,
            received=self._receiver,
            values=self._values,
            caller=self._caller,
            task=task,
            on_close=self._on_close.append,
        )

    async def _serve_git(self, git: GitBackend) -> None:
        git.finish_body()
        status, headers, body = await git.reply()
        await self._send(status, headers, headers.get("Content-Type", ""), body)

    async def _send(
        self,
        status: int,
        headers: dict[str, str],
        content_type: str,
        body: bytes | AsyncGenerator[bytes, None],
    ) -> None:
        self.set_status(status, responses.get(status, "Unknown"))
        self.set_header("Content-Type", content_type)
        for name, value in headers.items():
            self.set_header(name, value)
        if isinstance(body, bytes):
            self.finish(body)
            return
        async with aclosing(body):
            async for piece in body:
                self.write(piece)
                await self.flush()
        self.finish()

    def _send_error(self, error: ApiError) -> None:
        """Turn an error into its one JSON shape."""
        if self._finished:
            return
        if self._headers_written:
            # Half a reply cannot become an error; the client must not take it for whole.
            self._connection().stream.close()
            return
        self.clear()
        self.set_status(error.status, responses.get(error.status, "Unknown"))
        for name, value in error.headers.items():
            self.set_header(name, value)
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        words = {"msg": error.detail, "code": error.code}
        if self._engine.plain is not None:
            del words["code"]
        self.finish(json.dumps(words).encode())

    def send_error(self, status_code: int = 500, **_: Any) -> None:
        """Answer what escaped, and what Tornado itself refuses, such as an unknown verb."""
        if status_code >= 500:
            words = ApiError(500, "internal", "internal error; see `anylearn-engine logs`")
        else:
            words = ApiError(status_code, "refused", "The engine cannot serve this request.")
            try:
                # A verb that Tornado does not know never came as far as `prepare`.
                pass_gate(self.request.headers, self._engine.port)
            except ApiError as error:
                words = error
        self._send_error(words)

    def log_exception(self, *exception: Any) -> None:
        """Log what escaped, without the query that Tornado would show."""
        _log.error("%s %s failed", self.request.method, self.request.path[:200], exc_info=exception)

    # The end.

    def on_finish(self) -> None:
        """Note that the request is through."""
        self._through()

    def on_connection_close(self) -> None:
        """Tell whoever works for this request that nobody waits any more."""
        super().on_connection_close()
        for callback in self._on_close:
            callback()
        self._through()

    def _count(self) -> None:
        """Note that somebody needs the engine, who has shown that they may."""
        self._counted = True
        self._engine.activity.begin()

    def _through(self) -> None:
        if self._counted:
            self._counted = False
            self._engine.activity.end()

    def _length(self) -> int:
        try:
            return int(self.request.headers.get("Content-Length", "0"))
        except ValueError:
            return 0

    def _connection(self) -> HTTP1Connection:
        connection = self.request.connection
        if not isinstance(connection, HTTP1Connection):
            raise RuntimeError("the engine serves HTTP/1.1 only")
        return connection


def _multipart(request: HTTPServerRequest, body: bytes) -> tuple[Fields, bytes | None]:
    """Read a multipart body: its fields, and its part ``file``."""
    boundary = ""
    for parameter in request.headers.get("Content-Type", "").split(";")[1:]:
        name, _, value = parameter.strip().partition("=")
        if name.lower() == "boundary":
            boundary = value.strip('"')
    if not boundary:
        raise bad("The multipart body has no boundary.")
    fields: dict[str, list[bytes]] = {}
    files: dict[str, Any] = {}
    try:
        parse_multipart_form_data(boundary.encode(), body, fields, files)
        values = {name: [one.decode() for one in found] for name, found in fields.items()}
    except (ValueError, HTTPInputError) as error:
        raise bad("The multipart body cannot be read.") from error
    parts = files.get("file")
    return Fields(values), parts[0]["body"] if parts else None
