"""The engine's own log: where it goes, how large it gets, and what never stands in it.

It goes to standard error. Where that is ``engine.log`` (the engine was started in the background)
the file is renamed to ``engine.log.1`` at 5 MB and a new one takes its place, also for whatever
else writes to the two standard streams.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from pathlib import Path

MAX_BYTES = 5 << 20
"""Size at which the file is renamed."""

_SECRETS = re.compile(
    r"(?i)\b(?:bearer|basic)\s+[\w.~+/=-]{8,}"
    r"|\bTKEY[0-9a-f]{28}\b"
    r"|\b(?:token|password|secret_key)=[^&\s]+"
)


class RedactingFormatter(logging.Formatter):
    """Writes UTC times, and stars in place of whatever may be a credential.

    Parameters
    ----------
    secret : str
        The engine's token; empty for none.
    """

    def __init__(self, secret: str) -> None:
        super().__init__("%(asctime)s UTC %(levelname)s %(name)s: %(message)s")
        self.converter = time.gmtime
        self._secret = secret

    def format(self, record: logging.LogRecord) -> str:
        """Give the whole entry, its traceback included."""
        text = super().format(record)
        if self._secret:
            text = text.replace(self._secret, "***")
        return _SECRETS.sub("***", text)


class LogHandler(logging.Handler):
    """Writes to standard error, and renames the file behind it when it is too large.

    Parameters
    ----------
    path : Path
        ``engine.log``.
    max_bytes : int, default 5 MiB
        Size at which it is renamed.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        super().__init__()
        self._path = path
        self._max_bytes = max_bytes

    def emit(self, record: logging.LogRecord) -> None:
        """Write an entry; one that cannot be written is dropped, as there is nowhere to say so."""
        try:
            text = self.format(record) + "\n"
            self._rename_if_large()
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self.handleError(record)

    def _rename_if_large(self) -> None:
        written = os.fstat(sys.stderr.fileno())
        if written.st_size < self._max_bytes or not _is_file(self._path, written):
            return
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        handle = open_log(self._path)
        try:
            for stream in (1, 2):
                os.dup2(handle, stream)
        finally:
            os.close(handle)


def open_log(path: Path) -> int:
    """Open ``engine.log`` for appending, private to its owner; never through a link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)


def set_up_logging(path: Path, secret: str) -> None:
    """Send everything that is logged in this process to the engine's log."""
    handler = LogHandler(path)
    handler.setFormatter(RedactingFormatter(secret))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.captureWarnings(True)
    # Tornado's own access log shows the query.
    logging.getLogger("tornado.access").setLevel(logging.ERROR)


def last_lines(path: Path, count: int) -> list[str]:
    """Give the last lines of the log; none if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 512 * count - 65_536))
            data = file.read()
    except FileNotFoundError:
        return []
    return data.decode("utf-8", "replace").splitlines()[-count:] if count else []


def _is_file(path: Path, facts: os.stat_result) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (facts.st_dev, facts.st_ino)
