"""The processes of a distributed task: started together, one log, one failure ends all.

``python -I ranks.py <task directory>`` is the first process of such a task, in the place of the
user's command. It starts that command on this machine, ``nproc_per_node`` times for each of
``num_nodes``, with the variables that ``torch.distributed`` reads (``env://``), and passes on what
they write, each line with its rank in front. So the shim watches one process, as it does for every
other task, and ends whatever is left when that ends.

What the lines are: whole ones, as they come. A line that is redrawn (a progress bar) is shown once
a second, as it is then. Metric reports of rank 0 have no prefix, so that views read them; those of
other ranks are text. When a rank fails, the others get SIGTERM and, after the grace, SIGKILL, and
its exit is the task's. A stop is the shim's: it signals every process itself.

Standard library only and nothing of ours: it runs with the task's own variables.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path

METRIC_MARK = b"[anylearn-metric] "
"""What a report's line begins with (`tracking.METRIC_MARK`)."""

LINE_BYTES = 1 << 16
"""A longer line is passed on in parts."""

_REDRAWN_S = 1.0
_READ_BYTES = 1 << 18
_KILL_SWEEP_S = 0.1


class Lines:
    """What one rank writes to one stream, as lines with the rank in front.

    Parameters
    ----------
    rank : int
        Whose lines.
    """

    def __init__(self, rank: int) -> None:
        self._rank = rank
        self._prefix = f"[rank {rank}] ".encode()
        self._held = b""
        self._shown = float("-inf")

    def feed(self, data: bytes, now: float) -> bytes:
        """Take what came, and give the lines that are whole now."""
        *whole, self._held = (self._held + data).split(b"\n")
        found = b"".join(self._line(one) for one in whole)
        if len(self._held) >= LINE_BYTES or (
            b"\r" in self._held and now - self._shown >= _REDRAWN_S
        ):
            self._shown = now
            found += self.end()
        return found

    def end(self) -> bytes:
        """Give what is left, as a line; of one that is redrawn, how it looks last."""
        held, self._held = self._held, b""
        look = held.rstrip(b"\r").rpartition(b"\r")[2]
        return self._line(look) if look.strip() else b""

    def _line(self, line: bytes) -> bytes:
        is_report = self._rank == 0 and line.startswith(METRIC_MARK)
        return (b"" if is_report else self._prefix) + line + b"\n"


class Ranks:
    """All processes of one task.

    Parameters
    ----------
    launch : dict
        What ``launch.json`` says.
    """

    def __init__(self, launch: dict[str, object]) -> None:
        self._command = str(launch["rank_command"])
        self._nodes = int(str(launch["num_nodes"]))
        self._each = int(str(launch["nproc_per_node"]))
        self._grace_s = float(str(launch["stop_grace_s"]))
        self._selector = selectors.DefaultSelector()
        self._living: dict[int, int] = {}
        self._failed: tuple[int, int] | None = None
        self._stop_wanted = False
        self._kill_at: float | None = None

    def run(self) -> int:
        """Start all, stay until none is left, and give the status of the first to fail, or 0."""
        self._listen()
        for rank in range(self._nodes * self._each):
            self._start(rank)
        while self._living or self._streams():
            timeout = None
            if self._kill_at is not None and not self._stop_wanted:
                timeout = max(0.0, self._kill_at - time.monotonic())
            for key, _ in self._selector.select(timeout):
                if key.data is None:
                    self._take_signals()
                else:
                    self._pass_on(key.fd, key.data)
            self._end_those_left()
            if not self._living:
                self._drain()
        return self._failed[1] if self._failed else 0

    def _listen(self) -> None:
        self._wake, waker = os.pipe()
        for handle in (self._wake, waker):
            os.set_blocking(handle, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_stop)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def _on_stop(self, *_: object) -> None:
        self._stop_wanted = True

    def _start(self, rank: int) -> None:
        """Start one, in a session of its own, so that all of it can be ended."""
        out, rank_out = os.pipe()
        err, rank_err = os.pipe()
        pid = os.posix_spawn(
            "/bin/sh",
            ["/bin/sh", "-c", self._command],
            os.environ | self._variables(rank),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, rank_out, 1),
                (os.POSIX_SPAWN_DUP2, rank_err, 2),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGTERM, signal.SIGCHLD),
        )
        self._living[pid] = rank
        for handle, ours in ((rank_out, out), (rank_err, err)):
            os.close(handle)
            os.set_blocking(ours, False)
            self._selector.register(ours, selectors.EVENT_READ, Lines(rank))

    def _variables(self, rank: int) -> dict[str, str]:
        """Give what `torch.distributed` reads; an address that the user named stays."""
        if "MASTER_PORT" not in os.environ:
            os.environ["MASTER_PORT"] = str(_free_port())
        node, local = divmod(rank, self._each)
        found = {
            "MASTER_ADDR": os.environ.get("MASTER_ADDR", "127.0.0.1"),
            "WORLD_SIZE": str(self._nodes * self._each),
            "RANK": str(rank),
            "LOCAL_RANK": str(local),
            "LOCAL_WORLD_SIZE": str(self._each),
            "NODE_RANK": str(node),
            "GROUP_RANK": str(node),
        }
        gpus = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
        if len(gpus) >= self._nodes > 1:
            # Local ranks begin anew on each node, so each node has GPUs of its own.
            share = len(gpus) // self._nodes
            found["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[node * share : (node + 1) * share])
        return found

    # While they run.

    def _streams(self) -> bool:
        return len(self._selector.get_map()) > 1

    def _take_signals(self) -> None:
        os.read(self._wake, 4096)  # there is something, and what is left wakes us again
        while self._living:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            rank = self._living.pop(pid, None)
            if rank is not None and status != 0 and self._failed is None:
                self._failed = rank, status

    def _pass_on(self, handle: int, lines: Lines) -> bool:
        """Pass on what one stream holds; False if there is no more for now, or ever."""
        try:
            data = os.read(handle, _READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            _write(lines.feed(data, time.monotonic()))
            return True
        self._close(handle, lines)
        return False

    def _close(self, handle: int, lines: Lines) -> None:
        _write(lines.end())
        self._selector.unregister(handle)
        os.close(handle)

    def _drain(self) -> None:
        """Pass on the rest; what somebody else holds open is left to the shim to end."""
        for key in [key for key in self._selector.get_map().values() if key.data is not None]:
            while self._pass_on(key.fd, key.data):
                pass
            if key.fd in self._selector.get_map():
                self._close(key.fd, key.data)

    def _end_those_left(self) -> None:
        """Ask the others to end after a failure; kill them when the grace is over."""
        if self._failed is None or self._stop_wanted:
            return
        now = time.monotonic()
        if self._kill_at is None:
            self._kill_at = now + self._grace_s
            if self._living:
                rank, status = self._failed
                words = f"rank {rank} {_how(status)}, so the other ranks are ended"
                _write(f"[Anylearn] {words}.\n".encode())
            self._signal(signal.SIGTERM)
        elif now >= self._kill_at:
            self._kill_at = now + _KILL_SWEEP_S
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        for pid in self._living:  # not reaped, so the number is still theirs
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                continue


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"


def _write(data: bytes) -> None:
    """Write whole lines, all of them to one pipe: of two, the shim may read half a line first."""
    while data:
        data = data[os.write(1, data) :]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(directory: str) -> int:
    """Be the first process of the distributed task with this directory."""
    launch = json.loads((Path(directory) / "launch.json").read_bytes())
    code = os.waitstatus_to_exitcode(Ranks(launch).run())
    if code < 0:
        # The task ended as its rank did.
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
