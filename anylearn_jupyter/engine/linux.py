"""Every call that only Linux has; nothing else in the engine makes one.

The promises that rest on it: the descendants of a task cannot escape its shim (subreaper), no
process is signalled because it happens to have a number that was ours (pidfd and start time), a
process's end and a growing log are noticed without asking again and again (pidfd, inotify).
`portable` has the same functions where there is no Linux, with the weaker promises that it states.

The shim imports this module, once a task, so it imports nothing heavy.
"""

from __future__ import annotations

import errno
import os
import signal
import struct
from collections.abc import Iterable
from pathlib import Path

IN_MODIFY = 0x0002
"""inotify: the content of a file changed."""
IN_MOVED_TO = 0x0080
"""inotify: a file was put in place by a rename."""
IN_CREATE = 0x0100
"""inotify: a file was made."""
IN_IGNORED = 0x8000
"""inotify: the watch is gone, as what it watched is."""
IN_Q_OVERFLOW = 0x4000
"""inotify: events were lost, so anything may have changed."""

_PR_SET_CHILD_SUBREAPER = 36
_F_SETPIPE_SZ = 1031
_EVENT = struct.Struct("iIII")


class ProcessStat:
    """What the kernel says of one process.

    Attributes
    ----------
    pid, parent, session : int
        Process numbers.
    state : str
        One letter; ``Z`` has ended and waits for its parent to ask.
    start : int
        Clock ticks from the boot to the process's start. With the boot's name and the number, it
        names one process for ever.
    command : str
        The program's name, at most 15 characters.
    """

    __slots__ = ("command", "parent", "pid", "session", "start", "state")

    def __init__(
        self, *, pid: int, parent: int, session: int, state: str, start: int, command: str
    ) -> None:
        self.pid = pid
        self.parent = parent
        self.session = session
        self.state = state
        self.start = start
        self.command = command


def boot_id() -> str:
    """Name this boot of this machine (the same as `anylearn_jupyter.home.boot_identity`)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def become_subreaper() -> bool:
    """Become the parent of every orphan among our descendants, also after ``setsid``.

    Returns
    -------
    bool
        True: from now on, a process without children has no descendants.
    """
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "prctl(PR_SET_CHILD_SUBREAPER)")
    return True


def stat_of(pid: int) -> ProcessStat | None:
    """Ask for one process; None if there is none of that number."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name is in parentheses and may hold anything, parentheses and spaces too.
    before, _, after = text.rpartition(")")
    fields = after.split()
    return ProcessStat(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        state=fields[0],
        start=int(fields[19]),
        command=before.partition("(")[2],
    )


def every_process() -> list[ProcessStat]:
    """Ask for all processes that we can see."""
    pids = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
    return [found for found in map(stat_of, pids) if found is not None]


def environment_of(pid: int) -> bytes:
    """Give the variables that a process was started with; empty where we may not look."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def signal_checked(pid: int, start: int, number: int) -> bool:
    """Signal the process of this number and start time, and never another one.

    The handle is opened first and the start time read afterwards: if it is still the right one,
    the handle is the right process's, and what it is sent can reach no other.

    Returns
    -------
    bool
        False if that process is gone, or is not ours to signal.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        return signal_by_number(stat_of(pid), pid, start, number)
    try:
        found = stat_of(pid)
        if found is None or found.start != start:
            return False
        signal.pidfd_send_signal(handle, number)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(handle)
    return True


def signal_by_number(found: ProcessStat | None, pid: int, start: int, number: int) -> bool:
    """Signal where there are no handles, a look at the process being just done.

    A reuse of its number within microseconds stays possible.
    """
    if found is None or found.start != start:
        return False
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def end_handle(pid: int, start: int) -> int | None:
    """Open a handle that becomes readable when this process ends; None if it has ended.

    Raises
    ------
    OSError
        Handles are forbidden here; the caller asks again and again instead.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    found = stat_of(pid)
    if found is None or found.start != start:
        os.close(handle)
        return None
    return handle


def close_inherited(keep: tuple[int, ...]) -> None:
    """Close every descriptor but these, so that nothing of our starter's reaches a task."""
    close_those([int(entry.name) for entry in os.scandir("/proc/self/fd")], keep)


def close_those(numbers: Iterable[int], keep: tuple[int, ...]) -> None:
    """Close descriptors, whether they are open or not, but those to be kept."""
    for number in numbers:
        if number not in keep:
            try:
                os.close(number)
            except OSError:
                continue  # not open, or that of a listing which has ended


def widen_pipe(descriptor: int, size: int) -> None:
    """Let a pipe hold more, so that a burst does not wait for us; the limit is the user's."""
    import fcntl

    try:
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, size)
    except PermissionError:
        return


def pin(cpus: list[int]) -> None:
    """Run this process, and what it starts from now on, on these CPUs only."""
    os.sched_setaffinity(0, cpus)


def usable_cpus() -> list[int]:
    """Give the numbers of the CPUs that this process may run on."""
    return sorted(os.sched_getaffinity(0))


def clock_ms() -> int:
    """Milliseconds of a clock that never jumps and counts while the machine sleeps."""
    import time

    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def nvidia_gpus() -> int:
    """Count the GPUs that NVIDIA's driver shows."""
    return len(list(Path("/proc/driver/nvidia").glob("gpus/*")))


def limit_bytes() -> int | None:
    """Give the memory limit of the control group that we run in; None where there is none."""
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            return int(text)
    return None


class Inotify:
    """One queue of changes to files and directories."""

    def __init__(self) -> None:
        import ctypes

        self._ctypes = ctypes
        self._library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise self._error("inotify_init1")

    def fileno(self) -> int:
        """Give the descriptor that is readable when there is something to `read`."""
        return int(self._descriptor)

    def add(self, path: Path, mask: int) -> int:
        """Watch a file or directory, and give the watch's number (one for each file)."""
        number = self._library.inotify_add_watch(self._descriptor, os.fsencode(path), mask)
        if number < 0:
            raise self._error("inotify_add_watch", path)
        return int(number)

    def remove(self, number: int) -> None:
        """End a watch; one that is gone already is no error."""
        self._library.inotify_rm_watch(self._descriptor, number)

    def read(self) -> list[tuple[int, int]]:
        """Take what is queued, as (watch, what happened); the watch of an overflow is -1."""
        try:
            data = os.read(self._descriptor, 1 << 16)
        except BlockingIOError:
            return []
        events = []
        at = 0
        while at < len(data):
            number, mask, _cookie, length = _EVENT.unpack_from(data, at)
            events.append((number, mask))
            at += _EVENT.size + length
        return events

    def close(self) -> None:
        """End all watches."""
        os.close(self._descriptor)

    def _error(self, call: str, path: Path | None = None) -> OSError:
        number = self._ctypes.get_errno()
        return OSError(number, os.strerror(number), str(path) if path else call)
