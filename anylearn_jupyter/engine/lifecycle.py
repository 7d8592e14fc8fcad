"""The engine's process, from its lock to its end.

Locking: who serves holds ``engine.lock`` (flock) for as long as it lives, so there is never a
second engine on the same store, and a dead one leaves nothing held. ``endpoint.json`` only says
where it listens; who reads it asks for the proof before believing it. The port is kept in the
store, since running tasks know it; where somebody else has it now, a new one is taken.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import resource
import signal
import socket
import time
from pathlib import Path

from tornado.ioloop import IOLoop, PeriodicCallback
from tornado.netutil import bind_sockets

from anylearn_jupyter.engine.app import Server, create_server
from anylearn_jupyter.engine.database import Database
from anylearn_jupyter.engine.engine_log import set_up_logging
from anylearn_jupyter.engine.plain_gateway import PlainGateway
from anylearn_jupyter.engine.service import VERSION, Engine
from anylearn_jupyter.errors import EngineError
from anylearn_jupyter.home import (
    Endpoint,
    Home,
    boot_identity,
    engine_token,
    make_private_directory,
)

DEFAULT_IDLE_MINUTES = 60.0
"""Minutes without need after which the engine ends."""

_LAST_REQUESTS_S = 3.0
_LOCK_PATIENCE_S = 0.2
_LOCK_POLL_S = 0.01
_FORGET_PREFIXES = ("GIT_",)

_log = logging.getLogger(__name__)


def serve(
    home: Home, *, idle_minutes: float = DEFAULT_IDLE_MINUTES, plain_gateway: bool = False
) -> None:
    """Be the engine until it is told to stop or nobody needs it; tasks go on after it.

    Returns at once where another engine holds the lock.

    Raises
    ------
    EngineError
        The store is not for this program, or no port can be had.
    ConfigError
        The home cannot be written.
    """
    os.umask(0o077)
    _scrub_environment()
    make_private_directory(home.root)
    make_private_directory(home.engine)
    token = engine_token(home)
    set_up_logging(home.engine_log, token)
    lock = _take_lock(home.engine_lock)
    if lock is None:
        _log.info("another engine serves %s; this one ends", home.root)
        return
    try:
        _raise_file_limit()
        database = Database(home.engine / "store.sqlite3")
        plain = PlainGateway() if plain_gateway else None
        asyncio.run(_serve(home, token, database, idle_minutes, plain))
    finally:
        os.close(lock)


async def _serve(
    home: Home, token: str, database: Database, idle_minutes: float, plain: PlainGateway | None
) -> None:
    loop = IOLoop.current()
    engine = Engine(home, token, database, loop, plain=plain)
    ended = engine.ending
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    server = create_server(engine)
    sockets = _listen(database)
    engine.port = int(sockets[0].getsockname()[1])
    database.set_meta("port", str(engine.port))
    engine.take_over()
    await asyncio.to_thread(engine.blobs.sweep_all)
    server.add_sockets(sockets)
    endpoint = Endpoint(
        address=engine.address,
        pid=os.getpid(),
        boot=boot_identity(),
        version=VERSION,
        started_ms=engine.started_ms,
    )
    endpoint.write(home)
    _log.info("engine %s listens on %s", VERSION, engine.address)
    idle = _watch_idleness(engine, idle_minutes)
    try:
        await ended.wait()
    finally:
        idle.stop()
        await _end(engine, server, home)


async def _end(engine: Engine, server: Server, home: Home) -> None:
    """Stop listening, let requests that are open finish, and leave the tasks to themselves."""
    left = len(engine.unfinished())
    server.stop()
    if Endpoint.read(home) is not None:
        home.endpoint.unlink(missing_ok=True)
    engine.end_streams()
    deadline = asyncio.get_running_loop().time() + _LAST_REQUESTS_S
    while engine.activity.open_requests and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.02)
    try:
        await asyncio.wait_for(server.close_all_connections(), _LAST_REQUESTS_S)
    except TimeoutError:
        _log.warning("connections are still open and are dropped")
    engine.close()
    words = {0: "", 1: "; 1 task goes on"}.get(left, f"; {left} tasks go on")
    _log.info("engine stops%s", words)


def _watch_idleness(engine: Engine, idle_minutes: float) -> PeriodicCallback:
    """End the engine when nobody has needed it for so long."""
    idle_s = idle_minutes * 60

    def look() -> None:
        if engine.unneeded_s >= idle_s:
            _log.info("nobody has needed the engine for %g minutes", idle_minutes)
            engine.ending.set()

    watch = PeriodicCallback(look, 1000 * min(30.0, max(0.1, idle_s / 10)))
    watch.start()
    return watch


def _listen(database: Database) -> list[socket.socket]:
    """Take the recorded port again, or a new one where that is somebody else's."""
    known = database.meta("port")
    if known is not None:
        try:
            return bind_sockets(int(known), "127.0.0.1", family=socket.AF_INET)
        except OSError as error:
            _log.warning(
                "the recorded port %s is taken (%s), so the engine takes a new one; tasks that run "
                "cannot report metrics to it",
                known,
                error.strerror,
            )
    try:
        return bind_sockets(0, "127.0.0.1", family=socket.AF_INET)
    except OSError as error:
        raise EngineError(f"The engine cannot listen on 127.0.0.1: {error.strerror}.") from error


def _take_lock(path: Path) -> int | None:
    """Take the lock for as long as this process lives; None if another engine has it.

    Who only looks whether it is held, holds it for a moment, so a moment is waited.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(handle)
                return None
            time.sleep(_LOCK_POLL_S)
        except OSError:
            os.close(handle)
            raise
        else:
            return handle


def _scrub_environment() -> None:
    """Forget what would change how git works for us (faults E7)."""
    for name in list(os.environ):
        if name.startswith(_FORGET_PREFIXES):
            del os.environ[name]


def _raise_file_limit() -> None:
    """Allow as many open files as the user may have: connections, logs, git."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
