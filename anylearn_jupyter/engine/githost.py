"""Git over HTTP: git's own ``http-backend``, one process a request, its bodies streamed both ways.

Only the three requests of the smart protocol are served, only for an algorithm of the caller's, and
the path that git gets is made here of names that were looked up, never of the path that came
(faults G5). A request that comes in chunks or compressed is passed on as it is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path

from anylearn_jupyter.engine.repositories import git_environment
from anylearn_jupyter.engine.request import ApiError
from anylearn_jupyter.engine.users import User

GIT_PREFIX = "/git/"
"""What the path of every git address begins with."""

_PATH = re.compile(
    r"/git/(?P<user>[^/]+)/(?P<name>[^/]+)\.git/"
    r"(?P<service>info/refs|git-upload-pack|git-receive-pack)"
)
_SERVICES = ("git-upload-pack", "git-receive-pack")
_BLOCK_BYTES = 1 << 16
_HEADER_BYTES = 1 << 14
_HELD_BYTES = 1 << 20
_WORDS_BYTES = 4000
_TERM_GRACE_S = 2.0
_PASSED_ON = ("content-type", "cache-control", "expires", "pragma")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GitRequest:
    """One of the three requests that are served.

    Attributes
    ----------
    user, name : str
        Whose repository, and which.
    service : str
        ``info/refs``, ``git-upload-pack`` or ``git-receive-pack``.
    query : str
        For ``info/refs``, which service is asked about.
    """

    user: str
    name: str
    service: str
    query: str

    @property
    def is_push(self) -> bool:
        """Whether objects come with it."""
        return self.service == "git-receive-pack"

    @classmethod
    def parse(cls, method: str, path: str, query: str, content_type: str) -> GitRequest:
        """Read what is asked for.

        Raises
        ------
        ApiError
            404, 405 or 415: it is none of the three.
        """
        found = _PATH.fullmatch(path)
        if found is None:
            raise ApiError(404, "not_found", "There is no such repository, or no such request.")
        service = found["service"]
        if service == "info/refs":
            asked = query.removeprefix("service=")
            if method != "GET":
                raise ApiError(405, "wrong_method", "info/refs is asked for by GET.")
            if asked not in _SERVICES:
                raise ApiError(403, "no_such_service", "Only git's smart protocol is served.")
            return cls(user=found["user"], name=found["name"], service=service, query=query)
        if method != "POST":
            raise ApiError(405, "wrong_method", f"{service} is sent by POST.")
        if content_type != f"application/x-{service}-request":
            raise ApiError(415, "wrong_type", f"{service} has a content type of its own.")
        return cls(user=found["user"], name=found["name"], service=service, query="")


class GitBackend:
    """One running ``git http-backend``.

    Use: `start`, `write` each piece of the body, `finish_body`, then `reply`; `kill` at any time.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._held = bytearray()
        self._may_hold = asyncio.Event()
        self._news = asyncio.Event()
        self._ended = False
        self._reader = asyncio.create_task(self._read())
        self._words = asyncio.create_task(self._read_words())
        self._killer: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, request: GitRequest, user: User, root: Path, headers: Mapping[str, str], method: str
    ) -> GitBackend:
        """Start git for a request whose repository exists and is the user's."""
        variables = git_environment() | {
            "GIT_PROJECT_ROOT": str(root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{request.user}/{request.name}.git/{request.service}",
            "QUERY_STRING": request.query,
            "REQUEST_METHOD": method,
            "CONTENT_TYPE": headers.get("Content-Type", ""),
            "REMOTE_USER": user.name,
            "REMOTE_ADDR": "127.0.0.1",
            "SERVER_PROTOCOL": "HTTP/1.1",
        }
        length = headers.get("Content-Length")
        if length is not None:
            variables["CONTENT_LENGTH"] = length
        if headers.get("Content-Encoding") in ("gzip", "x-gzip"):
            variables["HTTP_CONTENT_ENCODING"] = "gzip"
        if re.fullmatch(r"version=[0-2]", headers.get("Git-Protocol", "")):
            variables["GIT_PROTOCOL"] = headers["Git-Protocol"]
        process = await asyncio.create_subprocess_exec(
            "git",
            "http-backend",
            env=variables,
            cwd=root,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        return cls(process)

    async def write(self, data: bytes) -> None:
        """Pass a piece of the body on; waits until git takes it."""
        stdin = self._process.stdin
        if stdin is None or stdin.is_closing():
            return
        try:
            stdin.write(data)
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            stdin.close()  # git has seen enough, and its answer says why

    def finish_body(self) -> None:
        """Say that the body is whole."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._may_hold.set()

    async def reply(self) -> tuple[int, dict[str, str], AsyncGenerator[bytes, None]]:
        """Give status, headers and the body of the answer.

        Raises
        ------
        ApiError
            500: git ended without an answer.
        """
        while (end := _header_end(self._held)) is None:
            if self._ended or len(self._held) > _HEADER_BYTES:
                await self._process.wait()
                _log.error("git http-backend gave no answer (exit %s)", self._process.returncode)
                raise ApiError(500, "git_failed", "git gave no answer; see the engine's log.")
            self._news.clear()
            await self._news.wait()
        status, headers = _read_headers(bytes(self._held[: end[0]]))
        del self._held[: end[1]]
        return status, headers, self._body()

    def kill(self) -> None:
        """End git and all that it has started; an unfinished push changes nothing."""
        if self._process.returncode is None and self._killer is None:
            self._killer = asyncio.create_task(self._kill())

    async def _kill(self) -> None:
        _signal_group(self._process.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), _TERM_GRACE_S)
        except TimeoutError:
            _signal_group(self._process.pid, signal.SIGKILL)
            await self._process.wait()
        # What git itself has started is in its group, and need not have ended with it.
        _signal_group(self._process.pid, signal.SIGKILL)
        self._ended = True
        self._news.set()

    async def _body(self) -> AsyncGenerator[bytes, None]:
        while True:
            if self._held:
                piece = bytes(self._held)
                self._held.clear()
                self._may_hold.set()
                yield piece
            elif self._ended:
                await self._process.wait()
                return
            else:
                self._news.clear()
                await self._news.wait()

    async def _read(self) -> None:
        """Read what git answers, also while the body is still coming, so that neither waits."""
        stdout = self._process.stdout
        while stdout is not None and (piece := await stdout.read(_BLOCK_BYTES)):
            self._held += piece
            self._news.set()
            if len(self._held) > _HELD_BYTES:
                self._may_hold.clear()
                await self._may_hold.wait()
        self._ended = True
        self._news.set()

    async def _read_words(self) -> None:
        stderr = self._process.stderr
        words = b""
        while stderr is not None and (piece := await stderr.read(_BLOCK_BYTES)):
            words = (words + piece)[:_WORDS_BYTES]
        if words.strip():
            _log.warning("git http-backend: %s", words.decode("utf-8", "replace").strip())


def _header_end(data: bytearray) -> tuple[int, int] | None:
    for mark in (b"\r\n\r\n", b"\n\n"):
        found = data.find(mark)
        if found >= 0:
            return found, found + len(mark)
    return None


def _read_headers(data: bytes) -> tuple[int, dict[str, str]]:
    status, headers = 200, {}
    for line in data.decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        elif name.lower() in _PASSED_ON:
            headers[name] = value.strip()
    return status, headers


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return  # all of them have ended
