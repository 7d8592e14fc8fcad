"""`%anylearn_tasks`: one row for a sweep, how long each took, and only what one asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from IPython.utils.capture import capture_output

from anylearn_jupyter.entities import TaskPhase
from anylearn_jupyter.notebook.table import show_static_table
from anylearn_jupyter.notebook.task_list import LISTED_ROWS, list_tasks
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.sweep import find_sweep
from ledger_records import ledger, record
from test_magic_outputs import Listening

__all__ = ["ledger"]

POISON = "<img src=x onerror=alert(1)>"
STATES = {TaskPhase.SUCCEEDED: 2, TaskPhase.FAILED: -2}


def ended(number: int, phase: TaskPhase = TaskPhase.SUCCEEDED, **more: Any) -> Any:
    profile = more.pop("profile", {})
    seen = {"exit": None, "started_ms": 10_000 * number, "finished_ms": 10_000 * number + 5_000}
    return record(
        number,
        state=STATES[phase],
        phase=str(phase),
        profile={**profile, "seen": seen},
        **more,
    )


def listed(**how: Any) -> tuple[list[str], str]:
    """Give the lines of the table, and what is said beside it."""
    shell: Any = Listening()
    with capture_output() as said:
        list_tasks(shell, **{"everything": False, **how})
    return [line for text in shell.texts for line in text.splitlines()], said.stdout


def test_a_sweep_is_one_row_and_others_say_how_long_they_took(ledger: Ledger) -> None:
    ledger.record_task(ended(1, name="alone", working_dir=str(Path.cwd())))
    for number in range(2, 62):
        phase = TaskPhase.FAILED if number % 3 == 0 else TaskPhase.SUCCEEDED
        told = {"sweep": {"id": "SWEEP1", "index": number - 2}}
        ledger.record_task(ended(number, phase, name=f"search-{number},lr=0.1", profile=told))
    ledger.record_task(ended(70, TaskPhase.FAILED, name=POISON))
    lines, said = listed()
    assert lines[0].split() == ["name", "state", "took", "id", "submitted", "server", "directory"]
    assert len(lines) == 4
    assert lines[1].startswith(POISON)
    assert "search (sweep of 60)  " in lines[2]
    assert "40 succeeded, 20 failed" in lines[2]
    assert "9 min 55 s" in lines[2], "from the first start to the last end"
    assert " SWEEP1 " in lines[2]
    assert lines[3].split()[:4] == ["alone", "succeeded", "5.0", "s"]
    assert said == ""


def test_only_what_one_asks_for(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No task was submitted" in listed()[1]
    ledger.record_task(ended(1, name="here", working_dir=str(Path.cwd())))
    ledger.record_task(ended(2, name="there", working_dir="/elsewhere"))
    ledger.record_task(record(3, name="goes", server="https://127.0.0.1:9", working_dir="/x"))
    lines, said = listed(here=True)
    assert [line.split()[0] for line in lines[1:]] == ["here"]
    lines, said = listed(unfinished=True)
    assert [line.split()[0] for line in lines[1:]] == ["goes"]
    assert "as last seen" in said
    assert "No task fits" in listed(here=True, unfinished=True)[1]


def test_older_ones_are_counted(ledger: Ledger) -> None:
    for number in range(1, LISTED_ROWS + 4):
        ledger.record_task(ended(number))
    lines, said = listed()
    assert len(lines) == LISTED_ROWS + 1
    assert "3 older ones are not shown; `%anylearn_tasks --all` does." in said
    lines, said = listed(everything=True)
    assert len(lines) == LISTED_ROWS + 4
    assert said == ""


def test_a_sweep_whose_server_does_not_answer_is_shown_as_last_seen_and_says_why(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = "http://127.0.0.1:9"
    monkeypatch.setenv("ANYLEARN_HOST", server)
    monkeypatch.setenv("ANYLEARN_AUTH_TOKEN", "token")
    for number in (1, 2):
        told = {"sweep": {"id": "SWEP1", "index": number - 1, "values": {"lr": number}}}
        ledger.record_task(
            record(number, name=f"search-{number},lr={number}", server=server, profile=told)
        )
    sweep = find_sweep("search")
    assert sweep is not None
    with capture_output() as said:
        show_static_table(sweep)
    assert "Some states are as last seen: " in said.stdout
    assert "127.0.0.1:9" in said.stdout
    assert "token" not in said.stdout
