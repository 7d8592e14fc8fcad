"""The engine may die at any moment: tasks go on, and end as they end (faults A2, A3, A10-A12)."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from anylearn_jupyter.engine.processes import Process, bearers, kill_orphans
from anylearn_jupyter.engine.store import TaskRow
from anylearn_jupyter.engine.task_files import TaskFiles, write_record
from anylearn_jupyter.entities import Exit, TaskPhase
from task_store import TaskStore, new_row
from waiting import wait_until

SUPERVISOR = Path(__file__).with_name("supervisor_process.py")


def make_repository(root: Path) -> None:
    """Make ``code.git`` with an empty commit on the branch `snapshot`."""
    who = ("AUTHOR", "COMMITTER")
    variables = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "PATH": os.environ["PATH"],
        "HOME": str(root),
        "GIT_DIR": str(root / "code.git"),
        **{f"GIT_{role}_{part}": "t" for role in who for part in ("NAME", "EMAIL")},
    }

    def git(*words: str) -> str:
        answer = subprocess.run(
            ["git", *words], env=variables, input=b"", capture_output=True, check=True
        )
        return answer.stdout.decode().strip()

    git("init", "-q", "--bare")
    git("update-ref", "refs/heads/snapshot", git("commit-tree", "-m", "empty", git("mktree")))


class Supervision:
    """The directory of some tasks, and the processes that supervise them, one after another."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = TaskStore(root)
        self.process: subprocess.Popen[bytes] | None = None
        make_repository(root)

    def add(self, command: str, **fields: object) -> TaskFiles:
        """Put a task into the queue, while nobody supervises."""
        row = new_row(entrypoint=command, **fields)
        self.store.add(row)
        return TaskFiles.of(self.root / "tasks", row.id)

    def start(self, die_at: str | None = None) -> None:
        adopted = self.root / "adopted"
        adopted.unlink(missing_ok=True)
        words = [sys.executable, str(SUPERVISOR), str(self.root)]
        self.process = subprocess.Popen([*words, *([die_at] if die_at else [])])
        if die_at:
            assert self.process.wait(30) == -signal.SIGKILL
        else:
            wait_until(adopted.exists, 30, "the supervisor has adopted")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def row(self, files: TaskFiles) -> TaskRow:
        return self.store.row_of(files.task_id)

    def set_back(self, files: TaskFiles, **columns: object) -> None:
        self.store.set_back(files.task_id, **columns)

    def wait_phase(self, files: TaskFiles, *phases: TaskPhase) -> TaskRow:
        wait_until(lambda: self.row(files).phase in phases, 30, f"{phases}, not {self.row(files)}")
        return self.row(files)

    def wait_end(self, files: TaskFiles) -> tuple[TaskPhase, Exit]:
        final = (TaskPhase.SUCCEEDED, TaskPhase.FAILED, TaskPhase.ABORTED, TaskPhase.LOST)
        row = self.wait_phase(files, *final)
        assert row.exit is not None
        assert row.finished_ms is not None
        return row.phase, row.exit


@pytest.fixture
def supervision(tmp_path: Path) -> Iterator[Supervision]:
    """Supervise, and leave no process behind."""
    made = Supervision(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()
    for task_id in [row.id for row in made.store.tasks_in(tuple(TaskPhase))]:
        record = TaskFiles.of(tmp_path / "tasks", task_id).shim
        if record.exists():
            shim = Process.from_record(json.loads(record.read_text()))
            if shim is not None:
                shim.send(signal.SIGKILL)
        mark = f"ANYLEARN_TASK_ID={task_id}".encode()
        kill_orphans(mark, not_before=0, main=None, own_pid=os.getpid(), limit_s=5)
    made.store.database.close()


def shim_of(files: TaskFiles) -> Process:
    def read() -> Process | None:
        return (
            Process.from_record(json.loads(files.shim.read_text())) if files.shim.exists() else None
        )

    return wait_until(read, 20, "the shim says who it is")


def waits_for(name: str, then: str) -> str:
    """Write a command that says `ready`, waits for a file in its directory, and goes on."""
    return f"echo started >> starts; echo ready; until [ -e {name} ]; do sleep 0.05; done; {then}"


def has_logged(files: TaskFiles, text: bytes) -> Callable[[], bool]:
    return lambda: files.log.exists() and text in files.log.read_bytes()


def test_a_queue_runs_in_order_and_gives_its_resources_back(supervision: Supervision) -> None:
    cpus = len(os.sched_getaffinity(0))
    everything = [{"default": {"CPU": cpus}}]
    tasks = [supervision.add(f"exit {number}", resources=everything) for number in range(3)]

    supervision.start()

    ends = [supervision.wait_end(task) for task in tasks]
    assert ends[0] == (TaskPhase.SUCCEEDED, Exit(kind="exit", number=0))
    assert ends[1] == (TaskPhase.FAILED, Exit(kind="exit", number=1))
    assert ends[2] == (TaskPhase.FAILED, Exit(kind="exit", number=2))
    rows = [supervision.row(task) for task in tasks]
    for before, after in itertools.pairwise(rows):
        assert before.finished_ms is not None
        assert after.started_ms is not None
        assert before.finished_ms <= after.started_ms


@pytest.mark.parametrize(
    ("then", "phase", "ended"),
    [
        ("exit 0", TaskPhase.SUCCEEDED, Exit(kind="exit", number=0)),
        ("exit 7", TaskPhase.FAILED, Exit(kind="exit", number=7)),
        ("kill -11 $$", TaskPhase.FAILED, Exit(kind="signal", number=11)),
    ],
)
@pytest.mark.parametrize("when", ["during", "after"])
def test_the_true_end_is_known_after_the_death_of_the_engine(
    supervision: Supervision, then: str, phase: TaskPhase, ended: Exit, when: str
) -> None:
    task = supervision.add(waits_for("go", then))
    supervision.start()
    supervision.wait_phase(task, TaskPhase.RUNNING)
    shim = shim_of(task)

    supervision.kill()
    if when == "during":
        (task.code / "go").touch()
        wait_until(lambda: not shim.alive, 20, "the shim has ended without an engine")
        supervision.start()
    else:
        supervision.start()
        assert shim.alive
        (task.code / "go").touch()

    assert supervision.wait_end(task) == (phase, ended)
    assert (task.code / "starts").read_text() == "started\n"
    assert shim_of(task).pid == shim.pid
    row = supervision.row(task)
    assert row.started_ms is not None
    assert row.finished_ms is not None
    assert row.started_ms <= row.finished_ms


def test_a_count_survives_three_deaths_of_the_engine(supervision: Supervision) -> None:
    count = (
        "import os, time\n"
        "for i in range(1, 200001):\n"
        "    print(i, flush=i % 500 == 0)\n"
        "    while i % 50000 == 0 and not os.path.exists(f'go{i}'): time.sleep(0.02)\n"
        "raise SystemExit(7)"
    )
    task = supervision.add('python -c "$CODE"', envs={"CODE": count, "PYTHONUNBUFFERED": ""})
    supervision.start()
    for stop in (50_000, 100_000, 150_000):
        wait_until(has_logged(task, b"\n%d\n" % stop), 60, f"it has counted to {stop}")
        supervision.kill()
        (task.code / f"go{stop}").touch()
        supervision.start()
    (task.code / "go200000").touch()

    assert supervision.wait_end(task) == (TaskPhase.FAILED, Exit(kind="exit", number=7))
    assert task.log.read_bytes() == b"".join(b"%d\n" % i for i in range(1, 200_001))


@pytest.mark.parametrize("point", ["prepare", "spawn", "spawned"])
def test_a_death_while_starting_starts_the_task_once(supervision: Supervision, point: str) -> None:
    task = supervision.add(waits_for("go", "exit 7"))
    supervision.start(die_at=point)
    assert supervision.row(task).phase is TaskPhase.STARTING

    supervision.start()

    supervision.wait_phase(task, TaskPhase.RUNNING)
    wait_until(has_logged(task, b"ready"), 20, "the task runs")
    (task.code / "go").touch()
    assert supervision.wait_end(task) == (TaskPhase.FAILED, Exit(kind="exit", number=7))
    assert (task.code / "starts").read_text() == "started\n"


def test_an_end_before_the_death_that_was_not_written_down_is_found(
    supervision: Supervision,
) -> None:
    task = supervision.add("exit 7")
    supervision.start()
    supervision.wait_end(task)
    supervision.kill()
    # As if the engine had died between the exit record and its own store.
    supervision.set_back(task, phase="running", exit=None, finished_ms=None)

    supervision.start()

    assert supervision.wait_end(task) == (TaskPhase.FAILED, Exit(kind="exit", number=7))


def test_a_store_that_forgot_a_start_does_not_start_again(supervision: Supervision) -> None:
    task = supervision.add(waits_for("go", "exit 7"))
    supervision.start()
    supervision.wait_phase(task, TaskPhase.RUNNING)
    supervision.kill()
    supervision.set_back(task, phase="queued", allocation="{}", started_ms=None)

    supervision.start()

    supervision.wait_phase(task, TaskPhase.RUNNING)
    (task.code / "go").touch()
    assert supervision.wait_end(task) == (TaskPhase.FAILED, Exit(kind="exit", number=7))
    assert (task.code / "starts").read_text() == "started\n"


def test_a_stop_that_the_dead_engine_had_not_passed_on_is_passed_on(
    supervision: Supervision,
) -> None:
    task = supervision.add(waits_for("go", "exit 0"))
    supervision.start()
    supervision.wait_phase(task, TaskPhase.RUNNING)
    supervision.kill()
    supervision.set_back(task, phase="stopping")

    supervision.start()

    phase, ended = supervision.wait_end(task)
    assert phase is TaskPhase.ABORTED
    assert (ended.kind, ended.message) == ("signal", "stopped on request")


@pytest.mark.parametrize("engine", ["alive", "dead"])
def test_a_killed_shim_makes_the_task_lost_and_its_processes_end(
    supervision: Supervision, engine: str
) -> None:
    task = supervision.add("echo ready; setsid sleep 600 & sleep 600")
    supervision.start()
    wait_until(has_logged(task, b"ready"), 20, "the task runs")
    supervision.wait_phase(task, TaskPhase.RUNNING)
    mark = f"ANYLEARN_TASK_ID={task.task_id}".encode()
    shim = shim_of(task)
    wait_until(lambda: len(bearers(mark, not_before=shim.start)) >= 2, 20, "both sleep")

    if engine == "dead":
        supervision.kill()
    assert shim.send(signal.SIGKILL)
    if engine == "dead":
        supervision.start()

    phase, ended = supervision.wait_end(task)
    assert (phase, ended.kind, ended.number) == (TaskPhase.LOST, "unknown", None)
    assert "its processes still ran and were ended" in ended.message
    assert bearers(mark, not_before=shim.start) == []
    own, line, rest = task.log.read_text().split("\n")
    assert (own, rest) == ("ready", "")
    assert line == f"[Anylearn] The log ends here: {ended.message}."


def test_after_a_restart_of_the_machine_tasks_are_lost_and_no_process_is_touched(
    supervision: Supervision,
) -> None:
    stranger = subprocess.Popen(["/bin/sleep", "600"])
    try:
        here = Process.find(stranger.pid)
        assert here is not None
        supervision.add("true")
        task = supervision.add("true", phase=TaskPhase.RUNNING, allocation={"CPU": 1})
        task.root.mkdir(parents=True, mode=0o700)
        of_old: dict[str, object] = {**here.to_record(), "boot": "an older boot"}
        write_record(task.launch, {"boot": "an older boot"}, durable=False)
        for path in (task.shim, task.started):
            write_record(path, of_old, durable=False)

        supervision.start()

        phase, ended = supervision.wait_end(task)
        assert (phase, ended.kind) == (TaskPhase.LOST, "unknown")
        assert "machine was restarted" in ended.message
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait(10)


def test_a_stranger_with_the_number_of_a_dead_shim_is_never_signalled(
    supervision: Supervision,
) -> None:
    # The task's id in the stranger's variables does not count either: it started before the shim.
    task = supervision.add("true", phase=TaskPhase.STOPPING, allocation={"CPU": 1})
    mark = {"ANYLEARN_TASK_ID": task.task_id}
    stranger = subprocess.Popen(["/bin/sleep", "600"], env=mark)
    try:
        here = Process.find(stranger.pid)
        assert here is not None
        task.root.mkdir(parents=True, mode=0o700)
        write_record(task.launch, {"boot": here.boot}, durable=False)
        later = Process(pid=here.pid, start=here.start + 1, boot=here.boot)
        write_record(task.shim, later.to_record(), durable=False)
        write_record(task.started, later.to_record(), durable=False)

        supervision.start()

        phase, _ = supervision.wait_end(task)
        assert phase is TaskPhase.LOST
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait(10)


def test_what_cannot_be_prepared_fails_with_its_reason(supervision: Supervision) -> None:
    no_data = supervision.add("true", files=["DSET00000000000000000000000000aa"])
    no_python = supervision.add("true", interpreter="/no/such/python")
    bad_output = supervision.add("true", output="../elsewhere")
    no_code = supervision.add("true", algorithm_git_ref="no-such-ref")

    supervision.start()

    for task, words in (
        (no_data, "is not there any more"),
        (no_python, "/no/such/python"),
        (bad_output, "'../elsewhere' is not a path below"),
        (no_code, "no commit, branch or tag 'no-such-ref'"),
    ):
        phase, ended = supervision.wait_end(task)
        assert (phase, ended.kind) == (TaskPhase.FAILED, "start")
        assert words in ended.message
