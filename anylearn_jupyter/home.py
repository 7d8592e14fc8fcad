"""The one directory that is ours, the files in it that two processes share, and the engine's proof.

Client and engine both read this module, so that neither imports the other. On-disk layout (more in
docs/architecture.md)::

    ANYLEARN_HOME/                 0700
      credentials.json             0600  logins to other servers, one entry a server
      config.json                  0600  saved defaults
      choices.json                 0600  names that servers listed, for completion
      ledger.sqlite3               what was submitted from here
      stat-cache.sqlite3           0600  what is known of data that was read before
      snapshots/<digest>/          a bare git repository for each code directory
      results/<task id>/           downloaded results
      uploads/<digest>.lock        held by the process that sends a dataset of this content
      engine/
        token                      0600  whoever has it is the user
        endpoint.json              0600  where the running engine listens
        engine.lock                held by the running engine, for as long as it lives
        start.lock                 held by whoever is starting one
        engine.log                 the engine's own log
        store.sqlite3, blobs/, git/, tasks/<task id>/

A private file is written under a temporary name in its own directory, synced, and renamed: it is
whole or absent, never half.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from anylearn_jupyter.errors import ConfigError

ENDPOINT_FORMAT = 1
"""The format number of ``endpoint.json``."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_PROOF_CONTEXT = b"anylearn-engine-proof 1\n"


def home_directory() -> Path:
    """Return the directory that holds everything of ours, as an absolute path; it may not exist.

    The variable ``ANYLEARN_HOME`` moves it; without it, it is the platform's user data directory
    ``anylearn-jupyter``.
    """
    moved = os.environ.get("ANYLEARN_HOME")
    if moved:
        return Path(moved).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("anylearn-jupyter", appauthor=False)


@dataclass(frozen=True)
class Home:
    """Names of everything under ``ANYLEARN_HOME``; the only place that knows them.

    Attributes
    ----------
    root : Path
        Absolute. Default: `home_directory` at the time of the call.
    """

    root: Path = field(default_factory=home_directory)

    @property
    def credentials(self) -> Path:
        """Logins to servers, a private file."""
        return self.root / "credentials.json"

    @property
    def config(self) -> Path:
        """Saved defaults, a private file."""
        return self.root / "config.json"

    @property
    def choices(self) -> Path:
        """Names that servers listed, for completion; it may be thrown away."""
        return self.root / "choices.json"

    @property
    def ledger(self) -> Path:
        """The client's memory of what it submitted."""
        return self.root / "ledger.sqlite3"

    @property
    def stat_cache(self) -> Path:
        """What is known of data that was read before; it may be thrown away."""
        return self.root / "stat-cache.sqlite3"

    @property
    def snapshots(self) -> Path:
        """One bare repository with its index for each code directory."""
        return self.root / "snapshots"

    @property
    def results(self) -> Path:
        """Downloaded results, a directory for each task."""
        return self.root / "results"

    def results_of(self, task_id: str) -> Path:
        """Name the directory for a task's results."""
        return self.results / plain_name(task_id)

    @property
    def uploads(self) -> Path:
        """A lock for each content that was being sent."""
        return self.root / "uploads"

    @property
    def engine(self) -> Path:
        """Everything of the embedded engine's."""
        return self.root / "engine"

    @property
    def token(self) -> Path:
        """The engine's token, a private file."""
        return self.engine / "token"

    @property
    def endpoint(self) -> Path:
        """Where the running engine listens, a private file."""
        return self.engine / "endpoint.json"

    @property
    def engine_lock(self) -> Path:
        """Held by the running engine."""
        return self.engine / "engine.lock"

    @property
    def start_lock(self) -> Path:
        """Held by the process that is starting an engine."""
        return self.engine / "start.lock"

    @property
    def engine_log(self) -> Path:
        """The engine's own log."""
        return self.engine / "engine.log"


def plain_name(text: str) -> str:
    """Give a text as the name of a file: as it is where it is a plain one, else its digest.

    An id is a server's word, and may be any text; it never becomes a path (faults, E17).

    Examples
    --------
    >>> plain_name("TRAI1"), plain_name("../evil")[:8]
    ('TRAI1', '2d6afc71')
    """
    if _PLAIN_NAME.fullmatch(text):
        return text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@contextmanager
def said_when_full() -> Iterator[None]:
    """Say in a sentence that a disk is full, whatever it was that could not be written.

    Raises
    ------
    ConfigError
        Instead of the error of the file or of the database.
    """
    try:
        yield
    except Exception as error:
        number, sqlite_name = getattr(error, "errno", 0), getattr(error, "sqlite_errorname", "")
        if number not in (errno.ENOSPC, errno.EDQUOT) and sqlite_name != "SQLITE_FULL":
            raise
        place = getattr(error, "filename", None) or Home().root
        raise ConfigError(
            f"There is no room left on the disk of {place}; make room there, or set ANYLEARN_HOME "
            "to a directory on another disk."
        ) from error


def make_private_directory(path: Path) -> Path:
    """Make a directory that only its owner may enter, or check that it is one.

    Parents that are missing are made the same way. A directory of ours that others may enter is
    closed to them.

    Raises
    ------
    ConfigError
        It cannot be made, is a link, or belongs to somebody else.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise ConfigError(
            f"Cannot make the directory {path}: {error.strerror}; set ANYLEARN_HOME to a "
            "directory that you can write to."
        ) from error
    if sys.platform == "win32":
        return path
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise ConfigError(
            f"{path} is a link or belongs to another user, so nothing is kept there; set "
            "ANYLEARN_HOME to a directory of your own."
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(0o700)
    return path


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read: whole or not at all, also in a power cut."""
    make_private_directory(path.parent)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a rename in this directory durable, where the system lets a directory be synced."""
    if sys.platform == "win32":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file_system(path: Path) -> None:
    """Make everything durable that was written to a directory's file system, in one go.

    For many files this costs far less than to sync each. Elsewhere than on Linux all file systems
    are synced, which may return before that is done.

    Raises
    ------
    OSError
        Something could not be written.
    """
    if sys.platform != "linux":
        if hasattr(os, "sync"):
            os.sync()
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(path, os.O_RDONLY)
    try:
        if libc.syncfs(handle) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(handle)


def engine_token(home: Home) -> str:
    """Return the engine's token, made on first use.

    Two processes that ask at the same moment get the same one.

    Raises
    ------
    ConfigError
        The file cannot be read or written, or is not ours alone.
    """
    make_private_directory(home.root)
    make_private_directory(home.engine)
    try:
        if not home.token.exists():
            _create_token(home.token)
        return home.token.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigError(
            f"Cannot read or write the engine's token {home.token}: {error.strerror}."
        ) from error


def _create_token(path: Path) -> None:
    """Put a new token in place unless another process was first: `link` never replaces."""
    handle, temporary = tempfile.mkstemp(prefix=".token.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            Path(path).hardlink_to(temporary)
        except FileExistsError:
            return
    finally:
        Path(temporary).unlink(missing_ok=True)
    sync_directory(path.parent)


def boot_identity() -> str:
    """Name this boot of this machine, so that a process number of another one is never believed.

    On Linux the kernel's boot id; elsewhere the host name, a weaker promise.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        import platform

        return platform.node()


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where an engine listens, as it wrote it down.

    Attributes
    ----------
    address : str
        ``http://127.0.0.1:<port>``.
    pid : int
        The engine's process.
    boot : str
        `boot_identity` of the machine that it runs on.
    version : str
        The package's version that the engine runs.
    started_ms : int
        Milliseconds since 1970, UTC.
    format : int
        The format number of the file.
    """

    address: str
    pid: int
    boot: str
    version: str
    started_ms: int
    format: int = ENDPOINT_FORMAT

    @property
    def port(self) -> int | None:
        """Where on 127.0.0.1 it listens; None where the address is no engine's."""
        host, _, port = self.address.removeprefix("http://").partition(":")
        if host != "127.0.0.1" or not (port.isascii() and port.isdigit() and len(port) <= 5):
            return None
        return int(port) if 0 < int(port) < 1 << 16 else None

    def write(self, home: Home) -> None:
        """Write ``endpoint.json``."""
        write_private(home.endpoint, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def read(cls, home: Home) -> Endpoint | None:
        """Read ``endpoint.json``; None where there is none, or none that can be understood."""
        try:
            data: Any = json.loads(home.endpoint.read_bytes())
            return cls(
                address=str(data["address"]),
                pid=int(data["pid"]),
                boot=str(data["boot"]),
                version=str(data["version"]),
                started_ms=int(data["started_ms"]),
                format=int(data["format"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


def new_nonce() -> str:
    """Make the random text that an engine has to answer."""
    return secrets.token_hex(16)


def engine_proof(token: str, nonce: str, host_and_port: str) -> str:
    """Answer a nonce: only who has the token can, and only for the port it listens on itself.

    The port is part of it, so that a stranger on a recorded port cannot pass the question on to
    the real engine and return its answer.

    Parameters
    ----------
    token : str
        The engine's token; it cannot be computed back from the answer.
    nonce : str
        What the client asked.
    host_and_port : str
        ``127.0.0.1:<port>`` that the client connected to, or that the engine listens on.

    Returns
    -------
    str
        64 hexadecimal digits.

    Notes
    -----
    Source: architecture, "Trust"; docs/protocol.md, "Proof".
    """
    message = _PROOF_CONTEXT + f"{nonce}\n{host_and_port}".encode()
    return hmac.new(token.encode(), message, hashlib.sha256).hexdigest()
