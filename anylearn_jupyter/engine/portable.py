"""What `linux` has, for the systems that are no Linux (macOS); untested there.

Weaker promises: an orphan that made a session of its own is not found again; a process is signalled
by number right after its start time was checked, so a reuse within microseconds is possible; ends
and changes are noticed by asking 20 times a second; CPUs are not pinned.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time

from anylearn_jupyter.engine.linux import ProcessStat, close_those, signal_by_number

_COLUMNS = "pid=,ppid=,sess=,state=,lstart=,comm="


def boot_id() -> str:
    """Name this machine; a new boot of it is not told apart."""
    return platform.node()


def become_subreaper() -> bool:
    """Answer False: orphans go to the system's first process here."""
    return False


def stat_of(pid: int) -> ProcessStat | None:
    """Ask ``ps`` for one process; None if there is none of that number."""
    found = _ask("-p", str(pid))
    return found[0] if found else None


def every_process() -> list[ProcessStat]:
    """Ask ``ps`` for all processes."""
    return _ask("-A")


def _ask(*which: str) -> list[ProcessStat]:
    answer = subprocess.run(
        ["/bin/ps", *which, "-o", _COLUMNS],
        env={"LC_ALL": "C", "PATH": os.defpath},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=10,
    )
    return [_read(line.split()) for line in answer.stdout.splitlines() if line.strip()]


def _read(words: list[str]) -> ProcessStat:
    # lstart is five words: Mon Nov 24 02:03:04 2025. macOS has no session number to tell (0).
    session = int(words[2]) if words[2].isdigit() else 0
    started = time.strptime(" ".join(words[4:9]), "%a %b %d %H:%M:%S %Y")
    return ProcessStat(
        pid=int(words[0]),
        parent=int(words[1]),
        session=session,
        state=words[3][:1],
        start=int(time.mktime(started)),
        command=" ".join(words[9:]).rpartition("/")[2],
    )


def environment_of(pid: int) -> bytes:
    """Answer nothing: the variables of another process cannot be read safely here."""
    del pid
    return b""


def signal_checked(pid: int, start: int, number: int) -> bool:
    """Signal the process of this number if it has this start time; False if it has not."""
    return signal_by_number(stat_of(pid), pid, start, number)


def end_handle(pid: int, start: int) -> int | None:
    """Refuse: there are no handles of processes here.

    Raises
    ------
    OSError
        Always; the caller asks again and again instead.
    """
    raise OSError(f"no handle for process {pid} ({start})")


def close_inherited(keep: tuple[int, ...]) -> None:
    """Close every descriptor but these."""
    close_those(range(1024), keep)


def widen_pipe(descriptor: int, size: int) -> None:
    """Do nothing: pipes have the size that the system gives them."""
    del descriptor, size


def pin(cpus: list[int]) -> None:
    """Do nothing: CPUs cannot be chosen here."""
    del cpus


def usable_cpus() -> list[int]:
    """Give the numbers of the machine's CPUs."""
    return list(range(os.cpu_count() or 1))


def clock_ms() -> int:
    """Milliseconds of a clock that never jumps; it may stop while the machine sleeps."""
    return time.monotonic_ns() // 1_000_000


def nvidia_gpus() -> int:
    """Answer 0: there is no NVIDIA driver that could be asked."""
    return 0


def limit_bytes() -> int | None:
    """Answer None: there are no control groups."""
    return None
