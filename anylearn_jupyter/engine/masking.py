"""What of a task's output never reaches its log: the values of its secrets.

A value may come in several reads, so what could be the beginning of one waits for the next read, or
for the end of the stream. Whatever else a task does with a secret, in its results or on the
network, is its own affair.

The shim imports this module, once a task, so it imports nothing heavy.
"""

from __future__ import annotations

import re

from anylearn_jupyter.engine.task_files import TaskFiles, read_record

MASK = b"***"
"""What stands where a secret was."""

MIN_CHARACTERS = 4
"""Shortest text that is hidden: a shorter one stands in every log by chance."""


def take_secrets(files: TaskFiles) -> dict[str, str]:
    """Read a task's secrets by the names of their variables, and remove their file."""
    record = read_record(files.secrets)
    files.secrets.unlink(missing_ok=True)
    values = record.get("values") if record is not None else None
    if not isinstance(values, dict):
        return {}
    return {str(name): str(value) for name, value in values.items()}


class Mask:
    """Replaces secrets in what a task writes.

    Parameters
    ----------
    secrets : iterable of str
        Values that are found wherever a read ends; of one with several lines, each line is one.
    whole : iterable of str
        Values that are found where they come in one read, for which nothing has to wait.
    """

    def __init__(self, secrets: tuple[str, ...], whole: tuple[str, ...] = ()) -> None:
        self._split = [one.encode() for one in _pieces(secrets)]
        values = [*self._split, *(one.encode() for one in whole if len(one) >= MIN_CHARACTERS)]
        values.sort(key=len, reverse=True)
        self._values = values
        self._pattern = re.compile(b"|".join(map(re.escape, values))) if values else None
        self._waiting: dict[int, bytes] = {}

    def feed(self, data: bytes, stream: int) -> bytes:
        """Give what may be written of a stream's next bytes; perhaps less, perhaps nothing."""
        if self._waiting:
            data = self._waiting.pop(stream, b"") + data
        written, at = [], 0
        while True:
            held = self._held(data, at)
            found = self._found(data, at)
            if found is None or found.start() >= held:
                break
            written += [data[at : found.start()], MASK]
            at = found.end()
        if held < len(data):
            self._waiting[stream] = data[held:]
        return b"".join([*written, data[at:held]])

    def rest(self, stream: int) -> bytes:
        """Give what still waits at the end of a stream."""
        data = self._waiting.pop(stream, b"")
        return self._pattern.sub(MASK, data) if self._pattern is not None else data

    def _found(self, data: bytes, at: int) -> re.Match[bytes] | None:
        if self._pattern is None or not any(one in data for one in self._values):
            return None
        return self._pattern.search(data, at)

    def _held(self, data: bytes, at: int) -> int:
        """Give where the longest end of the data begins that may be the beginning of a secret."""
        held = len(data)
        for value in self._split:
            longest = min(len(value) - 1, len(data) - at)
            for length in range(longest, len(data) - held, -1):
                if data.endswith(value[:length]):
                    held = len(data) - length
                    break
        return held


def _pieces(secrets: tuple[str, ...]) -> list[str]:
    lines = {line.strip() for one in secrets for line in (one, *one.splitlines())}
    return [one for one in lines if len(one) >= MIN_CHARACTERS]
