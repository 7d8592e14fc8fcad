"""The directory of one task: names, records, and how a record is written.

On-disk layout (``ANYLEARN_HOME/engine/tasks/<task id>/``, 0700)::

    launch.json    0600  what to start: command, variables, working directory (the engine's)
    secrets.json   0600  values of secrets, until the shim has read them (the engine's)
    shim.lock            locked by the shim for as long as it lives, and before it, by who starts it
    shim.json            which process the shim is (before it starts anything)
    started.json         which process the task is, and when it started
    stop.json            a stop was asked for (the engine's)
    exit.json            how it ended (written before the shim ends)
    exit.reserve         disk space that was set aside for exit.json
    log                  every byte of stdout and stderr, in the order of the reads
    log.index            when each read was (see `log_writer`)
    shim.log             the shim's own words
    bin/                 `python` and `python3` of the task
    code/                the snapshot, checked out: the task's working directory

Who writes what never changes hands, so nothing here needs a lock but `shim.lock`: while it is held
a shim lives; when it is free, ``exit.json`` is there or never will be.

The shim imports this module, once a task, so it imports nothing heavy; that is why the durable
write stands here again and is not taken from `anylearn_jupyter.home`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

FORMAT = 1
"""The format number that every record carries."""

RESERVED_BYTES = 8192
"""Disk space that is set aside for the exit record, so that a full disk cannot swallow it."""

EXIT_TEXT_CHARACTERS = 4000
"""Longest message of an exit record, so that it fits what was set aside."""


class OutputRefused(ValueError):
    """A results' directory that is not the task's own; one sentence, for the user."""


class TaskFiles:
    """Names of everything in a task's directory; the only place that knows them.

    Parameters
    ----------
    root : Path
        The task's directory, absolute; its last part is the task's id.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def of(cls, tasks: Path, task_id: str) -> TaskFiles:
        """Name the files of a task among all tasks.

        Raises
        ------
        ValueError
            It is no id, so it never becomes part of a path (faults E17).
        """
        from anylearn_jupyter.entities import is_id

        if not is_id(task_id):
            raise ValueError(f"{task_id!r} is no task's id")
        return cls(tasks / task_id)

    @property
    def task_id(self) -> str:
        """The task."""
        return self.root.name

    @property
    def launch(self) -> Path:
        """What to start; holds the task's secrets, so it is private."""
        return self.root / "launch.json"

    @property
    def secrets(self) -> Path:
        """Values of the task's secrets; gone before the task starts."""
        return self.root / "secrets.json"

    @property
    def lock(self) -> Path:
        """Locked while a shim lives."""
        return self.root / "shim.lock"

    @property
    def shim(self) -> Path:
        """Which process the shim is."""
        return self.root / "shim.json"

    @property
    def started(self) -> Path:
        """Which process the task is."""
        return self.root / "started.json"

    @property
    def stop(self) -> Path:
        """A stop was asked for."""
        return self.root / "stop.json"

    @property
    def exit(self) -> Path:
        """How it ended."""
        return self.root / "exit.json"

    @property
    def exit_reserve(self) -> Path:
        """Disk space for `exit`."""
        return self.root / "exit.reserve"

    @property
    def log(self) -> Path:
        """What the task wrote."""
        return self.root / "log"

    @property
    def log_index(self) -> Path:
        """When it wrote it."""
        return self.root / "log.index"

    @property
    def shim_log(self) -> Path:
        """What the shim has to say, which is nothing when all is well."""
        return self.root / "shim.log"

    @property
    def bin(self) -> Path:
        """The task's ``python``."""
        return self.root / "bin"

    @property
    def code(self) -> Path:
        """The task's working directory."""
        return self.root / "code"

    def output(self, output: str) -> Path:
        """Give the absolute path of the results' directory, which need not exist.

        Parameters
        ----------
        output : str
            Relative to the task's code.

        Raises
        ------
        OutputRefused
            It is absolute, leaves the code's directory, or passes through a link.

        Notes
        -----
        Source: quick_train, step 7; HTTP API, section 8.
        """
        parts = Path(output).parts
        if not output.strip() or Path(output).is_absolute() or ".." in parts or "\0" in output:
            raise OutputRefused(
                f"The output {output!r} is not a path below the code's directory; write it "
                "relative and without '..', such as 'output'."
            )
        path = self.code
        for part in parts:
            path = path / part
            if path.is_symlink():
                raise OutputRefused(
                    f"The output {output!r} passes through a link, so its content is not served; "
                    "name a real directory."
                )
        return path


def write_record(path: Path, record: dict[str, object], *, durable: bool) -> None:
    """Write a private record: whole or not at all.

    Parameters
    ----------
    path : Path
        Has one writer at a time.
    record : dict
        Gets the key ``format``.
    durable : bool
        Whether it must outlive a power cut (which costs a write to the disk).
    """
    temporary = path.with_name(f".{path.name}.new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    _fill(handle, {"format": FORMAT, **record}, durable=durable)
    temporary.replace(path)
    if durable:
        sync_directory(path.parent)


def _fill(handle: int, record: dict[str, object], *, durable: bool) -> None:
    """Write a record to an open file, shorten it to that, and close it."""
    data = json.dumps(record, indent=1).encode()
    try:
        written = 0
        while written < len(data):
            written += os.pwrite(handle, data[written:], written)
        os.ftruncate(handle, len(data))
        if durable:
            os.fsync(handle)
    finally:
        os.close(handle)


def reserve_exit(files: TaskFiles) -> None:
    """Set disk space aside for the exit record (faults B2)."""
    handle = os.open(
        files.exit_reserve, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600
    )
    try:
        data = b"\0" * RESERVED_BYTES
        while data:
            data = data[os.write(handle, data) :]
    finally:
        os.close(handle)


def write_exit(files: TaskFiles, record: dict[str, object]) -> None:
    """Write the exit record into the space that was set aside, and put it in place.

    It is durable. A task that has taken the rights from its own directory gets them back first
    (faults H5).
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
    try:
        handle = os.open(files.exit_reserve, flags, 0o600)
    except PermissionError:
        files.root.chmod(0o700)
        handle = os.open(files.exit_reserve, flags, 0o600)
    _fill(handle, {"format": FORMAT, **record}, durable=True)
    files.exit_reserve.replace(files.exit)
    sync_directory(files.root)


def read_record(path: Path) -> dict[str, object] | None:
    """Read a record; None where there is none, or none that can be understood."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("format"), int) else None


def sync_directory(path: Path) -> None:
    """Make a rename in this directory durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
