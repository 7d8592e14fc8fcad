"""The runner of this machine: one shim a task.

The engine's part in a task's life is small, since the shim does the work: prepare the directory (in
a thread), start the shim, be told when a record is put in place (`Watcher`) and when the shim's
process ends (a pidfd on the event loop). Each such message leads to the same look at the directory
(`examine`). A shim that an earlier engine started is followed in the same way.

Threads: everything but `_launch` and `bury` runs on the loop's thread.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tornado.ioloop import IOLoop

from anylearn_jupyter.engine.code_trees import CodeTree
from anylearn_jupyter.engine.edit_pack import Edit
from anylearn_jupyter.engine.handover import LOCK_DESCRIPTOR
from anylearn_jupyter.engine.launch import STOP_GRACE_S, Inputs, LaunchRefused, prepare
from anylearn_jupyter.engine.machine import Machine
from anylearn_jupyter.engine.processes import Process
from anylearn_jupyter.engine.runners.spare_shim import SHIM_MODULE, SpareShim
from anylearn_jupyter.engine.spare_code import SETTLED_S, SpareCode
from anylearn_jupyter.engine.supervision import (
    Ending,
    Situation,
    Stage,
    bury,
    examine,
    mark_log,
)
from anylearn_jupyter.engine.task_files import TaskFiles, write_record
from anylearn_jupyter.engine.watcher import Watch, Watcher
from anylearn_jupyter.entities import Exit
from anylearn_jupyter.home import make_private_directory

if TYPE_CHECKING:
    from anylearn_jupyter.engine.store import TaskRow

SHIM_VARIABLES = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "PYTHONHOME",
    "PYTHONPATH",
    "TMPDIR",
)
"""The variables of the engine's that a shim gets; the task's own are in ``launch.json``."""

_PREPARERS = 4
_POLL_S = 0.05
_UNKNOWN_SHIM_POLL_S = 0.2
_LAST_WORDS_BYTES = 2000
_SPARES_AFTER_S = 0.3  # so that the task that has just started has the machine for itself

_log = logging.getLogger(__name__)


class _Followed:
    """A task that is being started, runs, or has ended and was not forgotten yet."""

    def __init__(self, files: TaskFiles, situation: Situation) -> None:
        self.files = files
        self.situation = situation
        self.shim: Process | None = None
        self.watch: Watch | None = None
        self.busy = False  # a thread prepares or buries it
        self.stop_wanted = False
        self.look_due = False  # a timer will look again


class ShimRunner:
    """Runs tasks on this machine.

    Parameters
    ----------
    tasks : Path
        The directory of all tasks' directories.
    inputs : Inputs
        Where code and data are.
    watcher : Watcher
        The engine's.
    loop : IOLoop
        The engine's; everything here is called on its thread.
    machine : Machine
        What tasks may use.
    on_change : callable
        Called on the loop when `situation` of a task has changed.
    stop_grace_s : float, default 10
        Seconds that a task has between SIGTERM and SIGKILL.
    """

    def __init__(
        self,
        tasks: Path,
        *,
        inputs: Inputs,
        watcher: Watcher,
        loop: IOLoop,
        machine: Machine,
        on_change: Callable[[], None],
        stop_grace_s: float = STOP_GRACE_S,
    ) -> None:
        self._tasks = make_private_directory(tasks)
        self._inputs = inputs
        self._watcher = watcher
        self._loop = loop
        self._machine = machine
        self._on_change = on_change
        self._stop_grace_s = stop_grace_s
        self._followed: dict[str, _Followed] = {}
        self._handles: set[int] = set()
        self._threads = ThreadPoolExecutor(_PREPARERS, thread_name_prefix="prepare-task")
        self._closed = False
        self._spare_code = SpareCode(tasks.with_name("spare"))
        self._spare_shim = SpareShim(shim_variables())
        self._spares_due = False

    @property
    def machine(self) -> Machine:
        """What tasks may use."""
        return self._machine

    def start(self, task: TaskRow, allocation: Mapping[str, Any]) -> None:
        """Prepare a task in a thread and start its shim; a failure shows as its ending."""
        files = TaskFiles.of(self._tasks, task.id)
        followed = _Followed(files, Situation(stage=Stage.STARTING))
        followed.busy = True
        self._followed[task.id] = followed
        future = self._threads.submit(self._launch, task, files, allocation)
        future.add_done_callback(
            lambda done: self._on_loop(lambda: self._after_launch(followed, done))
        )

    def adopt(self, task: TaskRow) -> Situation:
        """Take over a task of an engine before this one.

        Returns
        -------
        Situation
            With `Stage.NOTHING` or `Stage.PREPARED` it was never started and is not followed.
        """
        files = TaskFiles.of(self._tasks, task.id)
        situation = examine(files)
        if situation.stage in (Stage.NOTHING, Stage.PREPARED):
            return situation
        followed = _Followed(files, situation)
        followed.stop_wanted = files.stop.exists()
        self._followed[task.id] = followed
        self._follow(followed)
        return followed.situation

    def stop(self, task_id: str, *, force: bool = False) -> None:
        """Ask a task to end: a record first, so that also an engine after this one knows."""
        followed = self._followed.get(task_id)
        if followed is None or followed.situation.stage is Stage.ENDED:
            return
        make_private_directory(followed.files.root)
        request: dict[str, object] = {"grace_s": 0.0 if force else self._stop_grace_s}
        write_record(followed.files.stop, request, durable=False)
        followed.stop_wanted = True
        self._pass_on_stop(followed)

    def situation(self, task_id: str) -> Situation | None:
        """Tell what is known of a task now; None if it is not followed."""
        followed = self._followed.get(task_id)
        return followed.situation if followed else None

    def forget(self, task_id: str) -> None:
        """Drop a task that has ended; its shim, which may live for milliseconds, is reaped."""
        followed = self._followed.pop(task_id, None)
        if followed is not None and followed.watch is not None:
            followed.watch.close()

    def known_code(self, repository: Path) -> CodeTree | None:
        """Give the last code of a repository, if it is known."""
        return self._spare_code.trees.of(repository)

    def expect(self, repository: Path, commit: str, edit: Edit | None = None) -> None:
        """Make ready for a task that a client may ask for next: code of it has just come."""
        if edit is not None:
            self._spare_code.trees.put(repository, edit.tree)
        if not self._closed:
            self._threads.submit(self._spare_code.expect, repository, commit, edit)

    def tidy(self) -> None:
        """Remove what was made ready of code that has been deleted."""
        if not self._closed:
            self._threads.submit(self._spare_code.refill)

    def close(self) -> None:
        """Leave all tasks to themselves: they run on, and the next engine adopts them.

        What is being prepared is finished before this returns; what waits for that is left to the
        next engine.
        """
        self._closed = True
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._spare_code.close()
        self._spare_shim.close()
        for task_id in list(self._followed):
            self.forget(task_id)
        for handle in self._handles:
            self._loop.remove_handler(handle)
            os.close(handle)
        self._handles.clear()

    # Starting.

    def _launch(
        self, task: TaskRow, files: TaskFiles, allocation: Mapping[str, Any]
    ) -> int | Ending | None:
        """Prepare and start, in a thread.

        Returns
        -------
        int, Ending or None
            The shim's process number, or why there is none; None if the task turned out to have
            been started before.
        """
        make_private_directory(files.root)
        lock = os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            if files.exit.exists() or files.shim.exists():
                return None
            try:
                prepare(
                    task,
                    files,
                    inputs=self._inputs,
                    allocation=allocation,
                    gpus_here=bool(self._machine.gpus),
                    stop_grace_s=self._stop_grace_s,
                    spare_code=self._spare_code,
                )
            except LaunchRefused as error:
                return _refused(files, str(error))
            except OSError as error:
                return _refused(files, f"the task could not be prepared: {error}")
            if files.stop.exists():
                return _stopped_before()
            return self._given_to_spare(files, lock) or _spawn_shim(files, lock)
        finally:
            # The shim has its own copy, so the lock goes on without a gap.
            os.close(lock)

    def _given_to_spare(self, files: TaskFiles, lock: int) -> int | None:
        words = _open_words(files)
        try:
            return self._spare_shim.hand_over(files, lock, words)
        finally:
            os.close(words)

    def _spares_later(self) -> None:
        """Make ready what the next task will want, when nothing else has to be done."""
        if self._spares_due or self._closed:
            return
        self._spares_due = True

        def make() -> None:
            self._spares_due = False
            if any(one.busy for one in self._followed.values()):
                self._spares_later()
            elif not self._closed:
                self._threads.submit(self._spare_shim.make)
                made = self._threads.submit(self._spare_code.refill)
                made.add_done_callback(lambda _: self._on_loop(settle_later))

        def settle_later() -> None:
            self._loop.call_later(SETTLED_S, self._settle_spares)

        self._loop.call_later(_SPARES_AFTER_S, make)

    def _settle_spares(self) -> None:
        if not self._closed:
            self._threads.submit(self._spare_code.settle)

    def _after_launch(self, followed: _Followed, done: Future[int | Ending | None]) -> None:
        followed.busy = False
        error = done.exception()
        if error is not None:
            _log.error("task %s could not be started", followed.files.task_id, exc_info=error)
            words = f"the engine failed to start it: {type(error).__name__}: {error}"
            self._change(followed, _ended(Ending(exit=Exit(kind="start", message=words))))
            return
        outcome = done.result()
        if isinstance(outcome, Ending):
            self._change(followed, _ended(outcome))
            return
        if outcome is not None:
            self._attend(followed, Process.find(outcome), child=outcome)
            self._spares_later()
        self._follow(followed)

    # Following.

    def _follow(self, followed: _Followed) -> None:
        """Begin to be told of a task's records, and look once."""
        task_id = followed.files.task_id
        followed.watch = self._watcher.records(followed.files, lambda: self._look(task_id))
        self._look(task_id)

    def _look(self, task_id: str) -> None:
        """Look at a task's directory, and act on what is new."""
        followed = self._followed.get(task_id)
        if followed is None or followed.busy or self._closed:
            return
        if followed.situation.stage is Stage.ENDED:
            return
        now = examine(followed.files)
        if now.stage in (Stage.NOTHING, Stage.PREPARED):
            now = _ended(self._never_started(followed))
        elif now.stage is Stage.GONE:
            followed.busy = True
            future = self._threads.submit(bury, followed.files)
            future.add_done_callback(
                lambda done: self._on_loop(lambda: self._after_burial(followed, done))
            )
            return
        elif now.stage is not Stage.ENDED and followed.shim is None:
            if now.shim is not None:
                self._attend(followed, now.shim, child=None)
            else:
                self._look_later(followed)
        self._change(followed, now)

    def _look_later(self, followed: _Followed) -> None:
        """Look again at a shim that has not said who it is, as its end would not be told."""
        if followed.look_due:
            return
        followed.look_due = True

        def look() -> None:
            followed.look_due = False
            self._look(followed.files.task_id)

        self._loop.call_later(_UNKNOWN_SHIM_POLL_S, look)

    def _change(self, followed: _Followed, now: Situation) -> None:
        if now != followed.situation:
            followed.situation = now
            self._on_change()

    def _never_started(self, followed: _Followed) -> Ending:
        """Say why a shim that was started is gone without having started anything."""
        if followed.stop_wanted:
            return _stopped_before()
        words = _last_words(followed.files.shim_log)
        return Ending(exit=Exit(kind="start", message=f"its shim could not start it. {words}"))

    def _after_burial(self, followed: _Followed, done: Future[Ending]) -> None:
        followed.busy = False
        error = done.exception()
        if error is not None:
            _log.error("task %s: what is left of it", followed.files.task_id, exc_info=error)
            words = f"nobody saw how the task ended; looking for what it left failed: {error}"
            self._change(followed, _ended(Ending(exit=Exit(kind="unknown", message=words))))
        else:
            self._change(followed, _ended(done.result()))

    # The shim's process.

    def _attend(self, followed: _Followed, shim: Process | None, *, child: int | None) -> None:
        """Be told when the shim ends, pass on a stop that came early, and reap it if it is ours."""
        task_id = followed.files.task_id
        if shim is None:
            self._reap(child)
            return
        followed.shim = shim
        if followed.stop_wanted:
            self._pass_on_stop(followed)
        try:
            handle = shim.end_handle()
        except OSError:
            self._ask_again(task_id, shim, child)
            return
        if handle is None:
            self._reap(child)
            self._loop.add_callback(self._look, task_id)
            return

        def on_end(*_: object) -> None:
            self._loop.remove_handler(handle)
            self._handles.discard(handle)
            os.close(handle)
            self._reap(child)
            self._look(task_id)

        self._handles.add(handle)
        self._loop.add_handler(handle, on_end, IOLoop.READ)

    def _ask_again(self, task_id: str, shim: Process, child: int | None) -> None:
        """Look 20 times a second whether the shim has ended, where nobody tells us."""
        if self._closed:
            return
        if shim.alive:
            self._loop.call_later(_POLL_S, self._ask_again, task_id, shim, child)
            return
        self._reap(child)
        self._look(task_id)

    @staticmethod
    def _reap(child: int | None) -> None:
        if child is not None:
            try:
                os.waitpid(child, 0)
            except ChildProcessError:
                return  # somebody else of this process has reaped it

    @staticmethod
    def _pass_on_stop(followed: _Followed) -> None:
        if followed.shim is not None:
            followed.shim.send(signal.SIGTERM)
            followed.shim.send(signal.SIGCONT)

    def _on_loop(self, call: Callable[[], None]) -> None:
        """Go on in the loop's thread, unless the engine ends."""

        def unless_closed() -> None:
            if not self._closed:
                call()

        self._loop.add_callback(unless_closed)


def shim_variables() -> dict[str, str]:
    """Give the environment of a shim."""
    return {name: os.environ[name] for name in SHIM_VARIABLES if name in os.environ}


def _open_words(files: TaskFiles) -> int:
    """Open the file for a shim's own words."""
    return os.open(files.shim_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)


def _spawn_shim(files: TaskFiles, lock: int) -> int:
    """Start a shim in a session of its own, with the task's lock and nothing else of ours."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    words = _open_words(files)
    # Away from the numbers that it gets in the shim, as a copy onto itself would stay closed there.
    far_lock = fcntl.fcntl(lock, fcntl.F_DUPFD_CLOEXEC, LOCK_DESCRIPTOR + 1)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-P", "-m", SHIM_MODULE, str(files.root), "--locked"],
            shim_variables(),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, nothing, 0),
                (os.POSIX_SPAWN_DUP2, words, 1),
                (os.POSIX_SPAWN_DUP2, words, 2),
                (os.POSIX_SPAWN_DUP2, far_lock, LOCK_DESCRIPTOR),
            ],
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE),
        )
    finally:
        for handle in (nothing, words, far_lock):
            os.close(handle)


def _refused(files: TaskFiles, reason: str) -> Ending:
    """End a task that cannot start; its log says why, as published clients read nothing else."""
    mark_log(files, f"The task could not start: {reason}", begin=not files.log.exists())
    return Ending(exit=Exit(kind="start", message=reason))


def _stopped_before() -> Ending:
    return Ending(exit=Exit(kind="start", message="stopped before it had started"), stopped=True)


def _ended(ending: Ending) -> Situation:
    return Situation(stage=Stage.ENDED, started_ms=ending.started_ms, ending=ending)


def _last_words(path: Path) -> str:
    try:
        data = path.read_bytes()[-_LAST_WORDS_BYTES:]
    except OSError:
        return ""
    return data.decode("utf-8", errors="replace").strip().rpartition("\n")[2]
