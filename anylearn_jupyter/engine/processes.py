"""Processes as individuals, not as numbers: found, followed and signalled without mistaking one.

A process is its number, its start time and the boot of the machine, together. Nothing here signals
a number alone, so that a stranger that has got the number of a process of ours is never touched
(faults A11, A12).
"""

from __future__ import annotations

import signal
import sys
import time

if sys.platform == "linux":
    from anylearn_jupyter.engine import linux as system
else:
    from anylearn_jupyter.engine import portable as system

__all__ = ["Process", "bearers", "descendants", "kill_orphans", "system"]

_SWEEP_S = 0.02


class Process:
    """One process, for ever.

    Attributes
    ----------
    pid : int
        Its number.
    start : int
        When it started, in the system's own unit (Linux: clock ticks since the boot).
    boot : str
        The boot of the machine that it belongs to.
    command : str
        The program's short name, for people; empty where it was not asked for.
    """

    __slots__ = ("boot", "command", "pid", "start")

    def __init__(self, *, pid: int, start: int, boot: str, command: str = "") -> None:
        self.pid = pid
        self.start = start
        self.boot = boot
        self.command = command

    def __repr__(self) -> str:
        """Name it in one line."""
        return f"Process(pid={self.pid}, start={self.start}, command={self.command!r})"

    @classmethod
    def find(cls, pid: int) -> Process | None:
        """Look at the process that has this number now; None if there is none, or it has ended."""
        found = system.stat_of(pid)
        if found is None or found.state == "Z":
            return None
        return cls(pid=pid, start=found.start, boot=system.boot_id(), command=found.command)

    @classmethod
    def from_record(cls, record: dict[str, object]) -> Process | None:
        """Read what `to_record` wrote; None if it says something else."""
        pid, start, boot = record.get("pid"), record.get("start"), record.get("boot")
        if isinstance(pid, int) and isinstance(start, int) and isinstance(boot, str):
            return cls(pid=pid, start=start, boot=boot)
        return None

    def to_record(self) -> dict[str, object]:
        """Give the three facts as JSON has them."""
        return {"pid": self.pid, "start": self.start, "boot": self.boot}

    @property
    def of_this_boot(self) -> bool:
        """Whether the machine has not been started anew since."""
        return self.boot == system.boot_id()

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (one that waits to be reaped does not)."""
        if not self.of_this_boot:
            return False
        found = system.stat_of(self.pid)
        return found is not None and found.start == self.start and found.state != "Z"

    def send(self, number: int) -> bool:
        """Send a signal to this very process.

        Returns
        -------
        bool
            False if it is gone or of another boot: then nothing was signalled.
        """
        return self.of_this_boot and system.signal_checked(self.pid, self.start, number)

    def end_handle(self) -> int | None:
        """Open a descriptor that becomes readable at its end; None if it has ended.

        Raises
        ------
        OSError
            There are no such descriptors here.
        """
        return system.end_handle(self.pid, self.start) if self.of_this_boot else None


def descendants(root: int, session: int = 0) -> list[Process]:
    """Find the running descendants of a process, and what is in a session, without `root`.

    Parameters
    ----------
    root : int
        The process's number; it must be known to be alive.
    session : int, default 0
        Also the members of this session and their descendants; 0 for none.
    """
    boot = system.boot_id()
    everyone = system.every_process()
    family = {root}
    grown = True
    while grown:
        members = {
            one.pid
            for one in everyone
            if one.parent in family or (session and one.session == session)
        }
        grown = not members <= family
        family |= members
    return [
        Process(pid=one.pid, start=one.start, boot=boot, command=one.command)
        for one in everyone
        if one.pid in family and one.pid != root and one.state != "Z"
    ]


def bearers(variable: bytes, *, not_before: int) -> list[Process]:
    """Find the running processes that were started with this variable in their environment.

    Parameters
    ----------
    variable : bytes
        ``NAME=value``, whole.
    not_before : int
        Processes that started earlier are strangers, whatever they carry.
    """
    boot = system.boot_id()
    return [
        Process(pid=one.pid, start=one.start, boot=boot, command=one.command)
        for one in system.every_process()
        if one.state != "Z"
        and one.start >= not_before
        and variable in system.environment_of(one.pid).split(b"\0")
    ]


def kill_orphans(
    variable: bytes, *, not_before: int, main: Process | None, own_pid: int, limit_s: float
) -> tuple[list[Process], list[Process]]:
    """Kill what a dead shim left: the bearers of the task's id, its session, their descendants.

    It looks again until nothing is found, since processes may start others meanwhile. It takes
    up to `limit_s` seconds and sleeps in between, so it is for a thread.

    Parameters
    ----------
    variable : bytes
        ``ANYLEARN_TASK_ID=<id>``.
    not_before : int
        The shim's start; whatever started earlier cannot be its.
    main : Process or None
        The task's first process where it is known. Only while that very process lives does its
        session count, as a session's number may be a stranger's afterwards.
    own_pid : int
        Never touched.
    limit_s : float
        Seconds after which what still runs is given back.

    Returns
    -------
    tuple of list of Process
        Those that were signalled, and those that still ran at the end.
    """
    deadline = time.monotonic() + limit_s
    killed: dict[tuple[int, int], Process] = {}
    while True:
        found = {one.pid: one for one in bearers(variable, not_before=not_before)}
        if main is not None and main.alive:
            found[main.pid] = main
            found |= {one.pid: one for one in descendants(main.pid, session=main.pid)}
        for one in list(found.values()):
            found |= {child.pid: child for child in descendants(one.pid)}
        found.pop(own_pid, None)
        if not found or time.monotonic() > deadline:
            return list(killed.values()), list(found.values())
        for one in found.values():
            if one.send(signal.SIGKILL):
                killed[one.pid, one.start] = one
        time.sleep(_SWEEP_S)
