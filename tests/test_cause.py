"""Why a task failed: real scripts that fail over a real engine, and logs as others write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from anylearn_jupyter.entities import Exit, TaskDetail
from anylearn_jupyter.home import Home
from anylearn_jupyter.notebook.cause import MAX_SUMMARY, Cause, cause_of
from anylearn_jupyter.notebook.task_view import Snapshot, TaskView
from anylearn_jupyter.notebook.twin import as_html, as_text
from conftest import RunningEngine
from engine_fixtures import Talker

RAISES = """
import json
def load(text):
    return json.loads(text)
def main():
    try:
        {}["lr"]
    except KeyError:
        load("{")
print("reading")
main()
"""

# What it asks for is refused by the system: it has a limit of its own.
MEMORY = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
held = bytearray(1 << 40)
"""

CODES = {
    "raises.py": RAISES,
    "memory.py": MEMORY,
    "syntax.py": "x = 1\nif x\n    pass\n",
    "killed.py": "import os, signal\nprint('epoch 1')\nos.kill(os.getpid(), signal.SIGKILL)\n",
    "crash.py": "import faulthandler, os, signal\nfaulthandler.enable()\n"
    "def fit():\n    os.kill(os.getpid(), signal.SIGSEGV)\nfit()\n",
    "quits.py": "import logging, sys\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n"
    "    logging.exception('no')\nsys.exit(7)\n",
    "option.py": "import argparse\np = argparse.ArgumentParser()\n"
    "p.add_argument('--lr', type=float)\np.parse_args(['--lr', 'x'])\n",
    "group.py": "raise ExceptionGroup('two', [ValueError('one'), TypeError('last')])\n",
}

EXPECTED = {
    "raises.py": (
        "json.decoder.JSONDecodeError: Expecting property name enclosed in double quotes: line 1 "
        "column 2 (char 1)",
        "raises.py, line 4, in load: return json.loads(text)",
    ),
    "memory.py": ("Out of memory: MemoryError", "memory.py, line 4: held = bytearray(1 << 40)"),
    "syntax.py": ("SyntaxError: expected ':'", "syntax.py, line 2: if x"),
    "killed.py": (
        "Maybe out of memory: something ended it by signal 9 (SIGKILL), as the system does when "
        "memory runs out; nothing tells for sure",
        "",
    ),
    "crash.py": (
        "Ended by signal 11 (SIGSEGV), a crash in compiled code",
        "crash.py, line 4, in fit",
    ),
    "quits.py": ("Failed with exit code 7", "quits.py, line 3: 1 / 0"),
    "option.py": (
        "Failed with exit code 2: option.py: error: argument --lr: invalid float value: 'x'",
        "",
    ),
    "group.py": (
        "ExceptionGroup: two (2 sub-exceptions)",
        "group.py, line 1: raise ExceptionGroup('two', [ValueError('one'), TypeError('last')])",
    ),
}


def failed(log: str, ended: Exit | None = None, phase: str = "failed") -> Cause | None:
    detail = TaskDetail(id="T", state=-2, phase=phase, exit=ended or Exit(kind="exit", number=1))
    return cause_of(detail, log.splitlines())


def read_back(talker: Talker, task: str) -> Snapshot:
    """What a view knows of a task that has ended, by the engine's record and log."""
    found = talker.wait_end(task)
    view = TaskView(
        TaskDetail(
            id=task,
            name="fails",
            state=found["state"],
            phase=found["phase"],
            exit=Exit.from_json(found["exit"]),
        )
    )
    view.take_log(talker.log(task).decode("utf-8", errors="replace"))
    return view.snapshot()


def test_the_cause_of_real_failures(engine: RunningEngine, tmp_path: Path) -> None:
    talker = Talker(Home(engine.home), address=engine.address)
    talker.send_code(tmp_path / "project", CODES)
    tasks = {name: talker.add_task(f"python {name}") for name in [*CODES, "missing.py"]}
    snapshots = {name: read_back(talker, task) for name, task in tasks.items()}
    causes = {name: snapshot.cause for name, snapshot in snapshots.items()}
    found = {name: (cause.summary, cause.place) for name, cause in causes.items() if cause}
    assert found.pop("missing.py")[0].endswith("No such file or directory")
    assert found == EXPECTED
    text = as_text(snapshots["raises.py"], None, "local")
    assert text.splitlines()[1].strip() == EXPECTED["raises.py"][0]
    html = as_html(snapshots["killed.py"], None, "local")
    assert html.index("Maybe out of memory") < html.index("epoch 1")


@pytest.mark.parametrize(
    ("log", "summary", "place"),
    [
        (
            "[rank0]: Traceback (most recent call last):\n"
            '[rank0]:   File "/data/code/fit.py", line 9, in fit\n[rank0]:     loss.backward()\n'
            "[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.\n"
            "Traceback (most recent call last):\n"
            '  File "/usr/bin/torchrun", line 8, in <module>\n    sys.exit(main())\n'
            '  File "/usr/lib/python3.11/site-packages/torch/run.py", line 3, in main\n    run()\n'
            "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n",
            "Out of memory on the device: torch.OutOfMemoryError: CUDA out of memory. Tried to "
            "allocate 2.00 GiB.",
            "/data/code/fit.py, line 9, in fit: loss.backward()",
        ),
        (
            "╭───── Traceback (most recent call last) ─────╮\n│ /code/app.py:12 in main      │\n"
            "│   11 x = 1                   │\n╰─────────────╯\nValueError: no such epoch\n",
            "ValueError: no such epoch",
            "/code/app.py, line 12, in main",
        ),
        ("  what():  std::bad_alloc\n", "Out of memory: what(): std::bad_alloc", ""),
        ("", "Failed with exit code 1", ""),
    ],
)  # fmt: skip
def test_the_cause_in_logs_of_others(log: str, summary: str, place: str) -> None:
    cause = failed(log)
    assert cause is not None
    assert (cause.summary, cause.place) == (summary, place)


def test_how_it_ended_is_said_where_the_log_has_nothing_to_do_with_it() -> None:
    limit = Exit(kind="timeout", message="stopped after 2 h, its limit")
    cause = failed("epoch 3\nTraceback (most recent call last):\nValueError: old\n", limit)
    assert cause is not None
    assert cause.summary == "Stopped after 2 h, its limit"
    lost = failed("x", Exit(kind="unknown", message="the machine was restarted"), "lost")
    assert lost == Cause("Lost: nobody saw how it ended: the machine was restarted")
    assert failed("x", phase="aborted") is None
    assert failed("x", phase="running") is None


def test_a_cause_is_short_and_has_no_colours_and_no_path_of_the_engine() -> None:
    frames = "".join(f'  File "t.py", line {n}, in f\n    f()\n' for n in range(900))
    header = "\x1b[31mTraceback (most recent call last):\x1b[0m\n"
    cause = failed(f"{header}{frames}RecursionError: {'deep ' * 900}\n")
    assert cause is not None
    assert len(cause.lines) == 12
    assert cause.lines[0] == "Traceback (most recent call last):"
    assert len(cause.summary) == MAX_SUMMARY
    own = f'{header}  File "/home/me/engine/tasks/TRAI{"0" * 28}/code/t.py", line 1\nE: x\n'
    cause = failed(own)
    assert cause is not None
    assert cause.place == "t.py, line 1"
    assert "/home/me" not in "".join(cause.text)
