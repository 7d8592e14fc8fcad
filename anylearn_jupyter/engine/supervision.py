"""What has become of a task, as its directory and the machine tell it.

The answer is the same for a task that this engine started and for one of an engine that is dead, so
that adoption is no special case: whoever looks sees who holds the lock, which records are there,
and whether the machine has been started anew.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from anylearn_jupyter.engine.locking import is_held
from anylearn_jupyter.engine.log_writer import PLATFORM_PREFIX, Clock, LogWriter
from anylearn_jupyter.engine.processes import Process, kill_orphans, system
from anylearn_jupyter.engine.task_files import TaskFiles, read_record
from anylearn_jupyter.entities import Exit

_KILL_LIMIT_S = 5.0

_log = logging.getLogger(__name__)


class Stage(StrEnum):
    """How far a task has come, by its directory."""

    NOTHING = "nothing"
    """Nothing was prepared, so nothing was ever started."""
    PREPARED = "prepared"
    """It could be started, and never was."""
    STARTING = "starting"
    """Its shim lives; its own process has not been seen."""
    RUNNING = "running"
    """Its shim lives and has started it."""
    GONE = "gone"
    """Its shim is dead and left no exit record."""
    ENDED = "ended"
    """There is an exit record."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How and when a task ended.

    Attributes
    ----------
    exit : Exit
        How.
    stopped : bool
        Whether a stop was asked for before it had ended.
    started_ms, finished_ms : int or None
        Milliseconds since 1970, UTC; None where nobody knows.
    """

    exit: Exit
    stopped: bool = False
    started_ms: int | None = None
    finished_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class Situation:
    """A task, at one moment.

    Attributes
    ----------
    stage : Stage
        How far it has come.
    shim : Process or None
        Its living shim, as soon as that has said who it is.
    started_ms : int or None
        When it started.
    ending : Ending or None
        Only with `Stage.ENDED`.
    """

    stage: Stage
    shim: Process | None = None
    started_ms: int | None = None
    ending: Ending | None = None


def is_locked(files: TaskFiles) -> bool:
    """Whether a shim of this task lives, or is just being started."""
    try:
        try:
            handle = os.open(files.lock, os.O_RDWR | os.O_NOFOLLOW)
        except PermissionError:
            files.root.chmod(0o700)  # the task has taken the rights from its directory
            handle = os.open(files.lock, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    return is_held(handle)


def examine(files: TaskFiles) -> Situation:
    """Look at a task. Nothing is changed and nobody is waited for."""
    # The lock first: once it is free, the exit record is there or never will be.
    locked = is_locked(files)
    ended = read_record(files.exit)
    if ended is not None:
        return Situation(stage=Stage.ENDED, ending=_ending(ended))
    shim = read_record(files.shim)
    started = read_record(files.started)
    started_ms = _integer((started or {}).get("started_ms"))
    if locked:
        return Situation(
            stage=Stage.RUNNING if started else Stage.STARTING,
            shim=Process.from_record(shim) if shim else None,
            started_ms=started_ms,
        )
    if shim is not None or started is not None:
        return Situation(stage=Stage.GONE, started_ms=started_ms)
    launch = read_record(files.launch)
    if launch is None:
        return Situation(stage=Stage.NOTHING)
    if launch.get("boot") != system.boot_id():
        # A power cut may have taken the shim's record, so it may have been started.
        return Situation(stage=Stage.GONE)
    return Situation(stage=Stage.PREPARED)


def bury(files: TaskFiles) -> Ending:
    """Find the end of a task whose shim is gone without a record, and kill what it left.

    No process of another boot is looked for (faults A3, A11, A12). The log ends with a line of ours
    that says so. It takes up to 5 s, so it is for a thread.
    """
    ending = _inquest(files)
    if ending.exit.message:
        mark_log(files, f"The log ends here: {ending.exit.message}.")
    return ending


def mark_log(files: TaskFiles, sentence: str, *, begin: bool = False) -> None:
    """End the log of a task that no shim writes to, as it is dead or never was.

    The caller makes sure of that. A log that is full stays as it is, and so does one that is gone,
    as its readers have come further, unless `begin` says that it never was there.
    """
    line = f"{PLATFORM_PREFIX} {sentence}\n".encode()
    try:
        if not begin and _ends_with(files.log, line):
            return  # an engine before this one got so far
        writer = LogWriter(files.log, files.log_index, Clock(), sys.maxsize)
    except OSError as error:
        _log.warning("the log of task %s cannot be marked: %s", files.task_id, error)
        return
    writer.say(sentence)
    writer.close()


def _ends_with(path: Path, line: bytes) -> bool:
    with path.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - len(line)))
        return log.read() == line


def _inquest(files: TaskFiles) -> Ending:
    shim, started = read_record(files.shim), read_record(files.started)
    started_ms = _integer((started or {}).get("started_ms"))
    if _boot_of(shim, started, read_record(files.launch)) != system.boot_id():
        return Ending(
            exit=Exit(kind="unknown", message="the machine was restarted while the task ran"),
            started_ms=started_ms,
        )
    main = Process.from_record(started) if started else None
    first = (Process.from_record(shim) if shim else None) or main
    killed: list[Process] = []
    left: list[Process] = []
    if first is not None:
        killed, left = kill_orphans(
            f"ANYLEARN_TASK_ID={files.task_id}".encode(),
            not_before=first.start,
            main=main,
            own_pid=os.getpid(),
            limit_s=_KILL_LIMIT_S,
        )
    message = "the process that watched the task was killed, so nobody saw how the task ended"
    if killed:
        message += f"; {len(killed)} of its processes still ran and were ended"
    if left:
        message += f"; these could not be ended: {', '.join(str(one.pid) for one in left)}"
    return Ending(exit=Exit(kind="unknown", message=message), started_ms=started_ms)


def _boot_of(*records: dict[str, object] | None) -> object:
    return next((record["boot"] for record in records if record and "boot" in record), None)


def _ending(record: dict[str, object]) -> Ending:
    return Ending(
        exit=Exit.from_json(record),
        stopped=record.get("stopped") is True,
        started_ms=_integer(record.get("started_ms")),
        finished_ms=_integer(record.get("finished_ms")),
    )


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
