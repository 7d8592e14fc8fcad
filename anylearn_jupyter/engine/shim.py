"""The process that stays with one task from its start to its end, whatever happens to the engine.

``python -m anylearn_jupyter.engine.shim <task directory> [--locked]``, in a session of its own;
with ``--locked``, descriptor 3 is the task's lock, taken by who started us, so that there is no
moment at which a starting shim could be taken for none. With ``--spare`` in place of both, the
directory and the lock come later, through the socket that is its standard input
(`runners.spare_shim`).

It writes who it is, starts ``/bin/sh -c <command>`` (or, where ``launch.json`` has them, the words
that a shell would read in it) with the variables and in the directory named there, and drains its
two pipes into the log. One `select` waits for output, for signals and for deadlines; nothing is
asked again and again. The stages::

    RUNNING ── its first process ended ──► SETTLING ── others live after 0.5 s ──► ASKED
       │                                      │                                    ▲   │
       └──────────── SIGTERM: a stop ─────────┼────────────────────────────────────┘   │
                                              │ no process is left          grace over │
                                              ▼                                        ▼
                                            (over) ◄─────── no process is left ──── KILLING

ASKED means that SIGTERM went to every descendant; KILLING, that SIGKILL goes to each, again and
again until none is left: as a subreaper we are the parent of every orphan, so that no double fork
and no ``setsid`` hides one (faults H1, H2). Then the log is made durable and ``exit.json`` is put
in place, and only then does this process end. A task that failed and may be started again goes back
to RUNNING instead; one that runs over its time goes to ASKED (`attempts`).

Standard library only, and little of it: this is started once a task.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time
from pathlib import Path

from anylearn_jupyter.engine import task_files
from anylearn_jupyter.engine.attempts import Attempts
from anylearn_jupyter.engine.handover import LOCK_DESCRIPTOR, hold_lock, receive_task
from anylearn_jupyter.engine.line_order import LineOrder
from anylearn_jupyter.engine.log_writer import STDERR, STDOUT, Clock, LogWriter
from anylearn_jupyter.engine.masking import Mask, take_secrets
from anylearn_jupyter.engine.processes import Process, descendants, system
from anylearn_jupyter.engine.task_files import TaskFiles, read_record, write_record

DEFAULT_GRACE_S = 10.0
"""Seconds between SIGTERM and SIGKILL of a stop, unless the engine says otherwise."""
DEFAULT_LOG_LIMIT_BYTES = 8 << 30
"""Size that a log never exceeds, unless the engine says otherwise."""

_SETTLE_S = 0.5
_LEFTOVER_GRACE_S = 2.0
_SWEEP_S = 0.02
_KILL_LIMIT_S = 5.0
_ORPHAN_POLL_S = 0.05

_READ_BYTES = 1 << 18
_PIPE_BYTES = 1 << 20
_LAST_READS = 64

_RUNNING, _SETTLING, _ASKED, _KILLING = range(4)

_FRESH_SIGNALS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGCHLD,
)


class Shim:
    """One task, from before its start to after its end.

    Parameters
    ----------
    files : TaskFiles
        Where everything of the task is.
    """

    def __init__(self, files: TaskFiles) -> None:
        self._files = files
        self._clock = Clock()
        self._selector = selectors.DefaultSelector()
        self._stop_wanted = False
        self._stopped = False
        self._forced = False
        self._stage = _RUNNING
        self._deadline: float | None = None
        self._kill_until = 0.0
        self._main = 0
        self._status: int | None = None
        self._childless = False
        self._subreaper = False
        self._cut_off: dict[int, str] = {}
        self._started_ms: int | None = None
        self._grace_s = DEFAULT_GRACE_S
        self._attempts = Attempts({})
        self._secrets: dict[str, str] = {}
        self._mask = Mask(())
        self._listen()

    def _listen(self) -> None:
        """Hear signals from the first moment: a stop must never end us in place of the task."""
        self._wake, waker = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def _on_stop(self, *_: object) -> None:
        self._stop_wanted = True

    # The life of a task, in order.

    def run(self) -> None:
        """Start the task, stay with it, and leave its exit record."""
        launch = read_record(self._files.launch)
        if launch is None:
            raise RuntimeError(f"{self._files.launch} cannot be read")
        task_files.reserve_exit(self._files)
        me = Process.find(os.getpid())
        if me is None:
            raise RuntimeError("this process cannot find itself")
        write_record(self._files.shim, me.to_record(), durable=False)
        self._grace_s = _number(launch, "stop_grace_s", DEFAULT_GRACE_S)
        limit = int(_number(launch, "log_limit_bytes", DEFAULT_LOG_LIMIT_BYTES))
        log = LogWriter(self._files.log, self._files.log_index, self._clock, limit)
        self._attempts = Attempts(launch)
        self._secrets = take_secrets(self._files)
        own = launch["env"]
        key = str(own.get("secret_key", "")) if isinstance(own, dict) else ""
        self._mask = Mask(tuple(self._secrets.values()), (key,))
        try:
            while self._start(launch):
                self._stay(log)
                self._drain_rest(log)
                self._tell_leftovers(log)
                if not self._goes_again(log):
                    break
        except OSError as error:
            log.close()
            self._record("start", None, f"the command could not be started: {error}", log)
            return
        log.close()
        self._record(*self._ending(), log)

    def _goes_again(self, log: LogWriter) -> bool:
        """Say in the log that the task is started again, where it has failed and may be."""
        if self._stopped or self._status is None or self._relatives():
            return False
        if not self._attempts.goes_again(self._status):
            return False
        log.say(self._attempts.again_text(self._status))
        return True

    def _start(self, launch: dict[str, object]) -> bool:
        """Start the task's first process; False where a stop came first."""
        self._subreaper = system.become_subreaper()
        if self._stop_wanted or self._files.stop.exists():
            self._stop_wanted = self._stopped = True
            return False
        out, task_out = os.pipe()
        err, task_err = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.chdir(str(launch["cwd"]))
        everywhere = system.usable_cpus()
        cpus = launch.get("cpus")
        if isinstance(cpus, list) and cpus:
            system.pin(cpus)
        variables = launch["env"]
        if not isinstance(variables, dict):
            raise ValueError("launch.json has no variables")
        words = launch.get("words")
        if not isinstance(words, list):
            words = ["/bin/sh", "-c", str(launch["command"])]
        self._attempts.begin()
        variables = {**variables, **self._secrets, **self._attempts.variables}
        try:
            self._main = os.posix_spawn(
                words[0],
                words,
                variables,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, nothing, 0),
                    (os.POSIX_SPAWN_DUP2, task_out, 1),
                    (os.POSIX_SPAWN_DUP2, task_err, 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=_FRESH_SIGNALS,
            )
        finally:
            for handle in (task_out, task_err, nothing):
                os.close(handle)
            system.pin(everywhere)
            os.chdir("/")
        self._begin_attempt()
        main = Process.find(self._main)
        record: dict[str, object] = main.to_record() if main else {"pid": self._main}
        try:
            write_record(
                self._files.started, {**record, "started_ms": self._started_ms}, durable=False
            )
        except OSError as error:
            # A full disk is no reason to end the task; the exit record has the time as well.
            _say(f"started.json could not be written: {error}")
        for handle, stream in ((out, STDOUT), (err, STDERR)):
            os.set_blocking(handle, False)
            system.widen_pipe(handle, _PIPE_BYTES)
            self._selector.register(handle, selectors.EVENT_READ, stream)
        return True

    def _begin_attempt(self) -> None:
        """Forget how the attempt before ended; the task started with the first one."""
        if self._started_ms is None:
            self._started_ms = self._clock.now_ms()
        self._status = self._deadline = None
        self._stage = _RUNNING
        self._childless = self._forced = False
        self._cut_off = {}

    def _stay(self, log: LogWriter) -> None:
        """Drain, reap and keep the deadlines until no process of the task's is left."""
        self._reap()
        while not self._is_over():
            for key, _ in self._selector.select(self._patience_s()):
                if key.fd == self._wake:
                    self._take_signals()
                else:
                    self._read(key.fd, key.data, log)
            self._advance(log)

    def _patience_s(self) -> float | None:
        """Give the seconds until something is due; None for nothing."""
        limit = self._attempts.deadline if self._stage == _RUNNING else None
        due = [at for at in (self._deadline, limit) if at is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _is_over(self) -> bool:
        if self._status is None:
            return self._stage == _KILLING and time.monotonic() > self._kill_until
        if self._nobody_left():
            return True
        return self._stage == _KILLING and time.monotonic() > self._kill_until

    def _nobody_left(self) -> bool:
        # Orphans come to a subreaper, so without a child there is no descendant.
        return self._childless and (self._subreaper or not self._relatives())

    def _relatives(self) -> list[Process]:
        return descendants(os.getpid(), session=self._main)

    def _take_signals(self) -> None:
        try:
            while os.read(self._wake, 4096):
                pass
        except BlockingIOError:
            pass
        self._reap()

    def _reap(self) -> None:
        """Take the end of every child that has ended; remember the one of the task's own."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = True
                return
            if pid == 0:
                self._childless = False
                return
            if pid == self._main:
                self._status = status

    def _read(self, handle: int, stream: int, log: LogWriter) -> bool:
        """Move what a pipe holds to the log; False if there is no more for now, or ever."""
        try:
            data = os.read(handle, _READ_BYTES)
        except BlockingIOError:
            return False
        if data:
            LineOrder(log, self._more).take(self._mask.feed(data, stream), stream)
            return True
        self._end_stream(handle, stream, log)
        return False

    def _end_stream(self, handle: int, stream: int, log: LogWriter) -> None:
        """Write what waited for more of a stream, and read it no further."""
        _append(log, self._mask.rest(stream), stream)
        self._selector.unregister(handle)
        os.close(handle)

    def _more(self, stream: int) -> bytes:
        """Read what the pipe of a stream holds; nothing where it is closed."""
        for key in list(self._selector.get_map().values()):
            if key.data == stream:
                try:
                    return self._mask.feed(os.read(key.fd, _READ_BYTES), stream)
                except BlockingIOError:
                    return b""
        return b""

    def _drain_rest(self, log: LogWriter) -> None:
        """Read what is left in the pipes; a stranger that holds one open does not keep us."""
        for key in list(self._selector.get_map().values()):
            if key.fd != self._wake:
                for _ in range(_LAST_READS):
                    if not self._read(key.fd, key.data, log):
                        break
        for key in list(self._selector.get_map().values()):
            if key.fd != self._wake:
                self._end_stream(key.fd, key.data, log)

    # Ending the processes.

    def _advance(self, log: LogWriter) -> None:
        """Go on to the next stage where it is time."""
        now = time.monotonic()
        if self._stop_wanted:
            self._stop_wanted = False
            self._begin_stop(now)
        elif self._status is not None and self._stage == _RUNNING:
            self._stage = _SETTLING
            self._deadline = now + _SETTLE_S
        elif self._stage == _RUNNING and self._attempts.is_up(now):
            log.say(f"The task has run for {self._attempts.limit_text}, its limit; it is stopped.")
            self._ask(now, self._grace_s)
        elif self._deadline is not None and now >= self._deadline:
            self._on_deadline(now)

    def _begin_stop(self, now: float) -> None:
        request = read_record(self._files.stop) or {}
        grace_s = _number(request, "grace_s", self._grace_s)
        if self._stage == _RUNNING and self._status is None:
            self._stopped = True
        if self._stage in (_RUNNING, _SETTLING):
            self._ask(now, grace_s)
        elif self._stage == _ASKED and self._deadline is not None:
            self._deadline = min(self._deadline, now + grace_s)

    def _ask(self, now: float, grace_s: float) -> None:
        """Send SIGTERM to all, and SIGCONT so that one that was stopped hears it (faults H4)."""
        self._stage = _ASKED
        self._deadline = now + grace_s
        for one in self._relatives():
            one.send(signal.SIGTERM)
            one.send(signal.SIGCONT)

    def _on_deadline(self, now: float) -> None:
        if self._stage == _SETTLING:
            self._cut_off = {one.pid: one.command for one in self._relatives()}
            self._ask(now, min(_LEFTOVER_GRACE_S, self._grace_s))
            return
        if self._stage == _ASKED:
            self._stage = _KILLING
            self._kill_until = now + _KILL_LIMIT_S
            self._forced = True
        for one in self._relatives():
            one.send(signal.SIGKILL)
        self._deadline = now + (_SWEEP_S if self._subreaper else _ORPHAN_POLL_S)

    # What is left behind.

    def _tell_leftovers(self, log: LogWriter) -> None:
        """Say in the log what ran on after the task; nothing for a task that cleans up."""
        if not self._cut_off:
            return
        names = ", ".join(f"{name} ({pid})" for pid, name in sorted(self._cut_off.items())[:8])
        more = f" and {len(self._cut_off) - 8} more" if len(self._cut_off) > 8 else ""
        log.say(f"The task ended and left processes running; they were ended: {names}{more}.")

    def _ending(self) -> tuple[str, int | None, str]:
        """Give kind, number and message of the exit."""
        if not self._main:
            return "start", None, "stopped before it had started"
        if self._status is None:
            return "unknown", None, "it does not end, not even by SIGKILL"
        code = os.waitstatus_to_exitcode(self._status)
        force = ", by force as it did not end by itself" if self._forced else ""
        if self._attempts.timed_out:
            return "timeout", None, f"stopped after {self._attempts.limit_text}, its limit{force}"
        if self._stopped:
            how = f"stopped on request{force}"
        elif code == -signal.SIGKILL:
            how = "killed from outside, perhaps because the memory was used up"
        else:
            how = ""
        if code and not self._stopped and self._attempts.last_text:
            how = "; ".join(filter(None, (self._attempts.last_text, how)))
        if code < 0:
            return "signal", -code, how
        return "exit", code, how

    def _record(self, kind: str, number: int | None, message: str, log: LogWriter) -> None:
        if log.lost_bytes:
            lost = f"{log.lost_bytes} bytes of the log are missing: {log.trouble}"
            message = f"{message}; {lost}" if message else lost
        left = [{"pid": one.pid, "command": one.command} for one in self._relatives()]
        if left:
            stuck = f"processes that cannot be ended: {[one['pid'] for one in left[:8]]}"
            message = f"{message}; {stuck}" if message else stuck
        task_files.write_exit(
            self._files,
            {
                "kind": kind,
                "number": number,
                "message": message[: task_files.EXIT_TEXT_CHARACTERS],
                "started_ms": self._started_ms,
                "finished_ms": self._clock.now_ms(),
                "stopped": self._stopped,
                "forced": self._forced,
                "cut_off": len(self._cut_off),
                "left_running": left[:32],
                "log_bytes": log.size,
                "log_lost_bytes": log.lost_bytes,
                "log_trouble": log.trouble,
            },
        )

    def give_up(self, sentence: str) -> None:
        """End the task's processes after a fault of our own, and say so in the exit record."""
        until = time.monotonic() + _KILL_LIMIT_S
        while (left := self._relatives()) and time.monotonic() < until:
            for one in left:
                one.send(signal.SIGKILL)
            self._reap()
            time.sleep(_SWEEP_S)
        task_files.write_exit(
            self._files,
            {
                "kind": "unknown" if self._main else "start",
                "number": None,
                "message": sentence[: task_files.EXIT_TEXT_CHARACTERS],
                "started_ms": self._started_ms,
                "finished_ms": self._clock.now_ms(),
                "stopped": self._stopped,
            },
        )


def _append(log: LogWriter, data: bytes, stream: int) -> None:
    if data:
        log.append(data, stream)


def _number(record: dict[str, object], key: str, default: float) -> float:
    value = record.get(key)
    return value if isinstance(value, (int, float)) else default


def _say(sentence: str) -> None:
    """Write to our own log, which is our stderr."""
    sys.stderr.write(f"{sentence}\n")


def main(arguments: list[str]) -> int:
    """Be the shim of the task whose directory is the first argument."""
    if arguments == ["--spare"]:
        system.close_inherited((0, 1, 2))
        arguments = receive_task()
        if not arguments:
            return 0
    locked = "--locked" in arguments[1:]
    system.close_inherited((0, 1, 2, LOCK_DESCRIPTOR) if locked else (0, 1, 2))
    files = TaskFiles(Path(arguments[0]))
    shim = Shim(files)
    if not hold_lock(files, locked):
        _say("another shim has this task")
        return 3
    if files.shim.exists() or files.exit.exists():
        _say("this task has been started before; it is never started twice")
        return 3
    try:
        shim.run()
    except Exception as error:
        # The traceback goes to shim.log, which is this process's stderr.
        shim.give_up(f"the process that watched the task failed: {type(error).__name__}: {error}")
        raise
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
