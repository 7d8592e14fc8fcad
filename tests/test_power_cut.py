"""A power cut at any step leaves each thing of ours old or new, and what was confirmed new (B1).

Each test runs in a child process with mounts of its own; see `power_cut`.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from anylearn_jupyter.client import credentials
from anylearn_jupyter.client.credentials import Login
from anylearn_jupyter.config import save_default_host
from anylearn_jupyter.engine.repositories import Repositories
from anylearn_jupyter.engine.task_files import (
    TaskFiles,
    read_record,
    reserve_exit,
    write_exit,
    write_record,
)
from anylearn_jupyter.home import Endpoint, Home, engine_token
from anylearn_jupyter.submit.ledger import Ledger
from power_cut import Disk, at_each_durable_step, possible, run_apart

needs_disks = pytest.mark.skipif(not possible(), reason="a power cut needs root and loop devices")


# One thing at a time: a cut at each of its steps.


@dataclass(frozen=True)
class Kept:
    """Something that is kept: how it is written, read, and what is in place before."""

    write: Callable[[Home, int], object]
    read: Callable[[Home], object]
    before: bool = True


def an_endpoint(number: int) -> Endpoint:
    return Endpoint(
        address=f"http://127.0.0.1:{number}", pid=number, boot="b", version="1", started_ms=1
    )


def files_of(home: Home) -> TaskFiles:
    files = TaskFiles(home.engine / "tasks" / "TRAI1")
    files.root.mkdir(parents=True, exist_ok=True)
    return files


def number_in(path: Path) -> object:
    """Give a record's number, None where it is absent; anything else is half a record."""
    found = read_record(path)
    if found is None:
        assert not path.exists(), f"{path.name} is there and cannot be read: {path.read_bytes()!r}"
        return None
    return found["number"]


def write_end(home: Home, number: int) -> None:
    reserve_exit(files_of(home))
    write_exit(files_of(home), {"kind": "exit", "number": number, "padding": "x" * 1000})


def repository_of(home: Home) -> object:
    """Give the parts of a repository that git needs to take it for one; None where it is absent."""
    path = home.engine / "git" / "ada" / "code.git"
    if not path.exists():
        return None
    return [(path / name).read_bytes() for name in ("HEAD", "config", "info/attributes")]


KEPT: dict[str, Kept] = {
    "config": Kept(
        lambda home, number: save_default_host(home, f"http://h{number}"),
        lambda home: json.loads(home.config.read_bytes()) if home.config.exists() else None,
    ),
    "logins": Kept(
        lambda home, number: credentials.save(home, "h", Login("i", "u", f"t{number}", "r")),
        lambda home: repr(one.token) if (one := credentials.load(home, "h")) else None,
    ),
    "endpoint": Kept(
        lambda home, number: an_endpoint(number).write(home),
        lambda home: Endpoint.read(home) or (home.endpoint.exists() or None),
    ),
    "token": Kept(
        lambda home, number: engine_token(home),
        lambda home: home.token.read_text(encoding="ascii") if home.token.exists() else None,
        before=False,
    ),
    "what to start": Kept(
        lambda home, number: write_record(
            files_of(home).launch, {"number": number, "padding": "x" * 9000}, durable=True
        ),
        lambda home: number_in(files_of(home).launch),
    ),
    "how it ended": Kept(write_end, lambda home: number_in(files_of(home).exit), before=False),
    "repository": Kept(
        lambda home, number: Repositories(home.engine / "git").create("ada", "code"),
        repository_of,
        before=False,
    ),
    "ledger": Kept(
        lambda home, number: Ledger(home).record_dataset("s", "u", "fp", f"DSET{number}", 1),
        lambda home: Ledger(home).dataset("s", "u", "fp"),
    ),
}


@needs_disks
@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
def test_after_a_cut_at_any_step_it_is_the_old_or_the_new_one(kept: Kept, tmp_path: Path) -> None:
    def work() -> None:
        disk = Disk(tmp_path)
        cuts: list[tuple[str, Path]] = []
        with disk.mounted() as root:
            home = Home(root / "home")
            home.root.mkdir(mode=0o700)
            if kept.before:
                kept.write(home, 1)
            else:
                files_of(home)
            old = kept.read(home)
            os.sync()
            with at_each_durable_step(lambda step: cuts.append((step, disk.cut()))):
                kept.write(home, 2)
            cuts.append(("when it had been written", disk.cut()))
            new = kept.read(home)
            assert new != old
            for step, cut in cuts:
                with disk.after(cut):
                    found = kept.read(home)
                    last = step.startswith("when")
                    assert found in ((new,) if last else (old, new)), f"{step}: {found!r}"
                    assert not list(home.root.rglob("*.corrupt-*")), step

    run_apart(work)


@pytest.mark.parametrize("kept", ["config", "logins", "endpoint", "what to start", "how it ended"])
def test_what_is_renamed_was_synced_before_and_its_directory_after(
    kept: str, tmp_path: Path
) -> None:
    """The same promise by the order of the calls, for where no disk can be made."""
    steps: list[str] = []
    home = Home(tmp_path / "home")
    files_of(home)
    with at_each_durable_step(steps.append):
        KEPT[kept].write(home, 1)
    assert [step for step in steps if "after" in step] == [
        "after fsync",
        "after replace",
        "after fsync",
    ]


# The ledger, stopped at any moment.


@needs_disks
def test_what_the_ledger_had_said_is_kept_is_there_after_a_cut_at_any_moment(
    tmp_path: Path,
) -> None:
    def work() -> None:
        disk = Disk(tmp_path)
        chance = random.Random(4711)
        with disk.mounted() as root:
            home = Home(root / "home")
            home.root.mkdir(mode=0o700)
            writer = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("power_cut.py"))],
                env={**os.environ, "ANYLEARN_HOME": str(home.root), "PYTHONPATH": ROOT},
                stdout=subprocess.PIPE,
            )
            assert writer.stdout is not None
            cuts = []
            try:
                for _ in range(8):
                    # A place within the next ten changes, wherever that falls.
                    for _ in range(chance.randrange(1, 10)):
                        said = int(writer.stdout.readline())
                    os.kill(writer.pid, signal.SIGSTOP)
                    os.waitpid(writer.pid, os.WUNTRACED)
                    cuts.append((said, disk.cut()))
                    os.kill(writer.pid, signal.SIGCONT)
            finally:
                writer.kill()
                writer.communicate()
            for said, cut in cuts:
                with disk.after(cut):
                    with Ledger(home) as ledger:
                        kept = {record.id for record in ledger.tasks()}
                        assert ledger.notes == []
                    assert {f"TRAI{number}" for number in range(said + 1)} <= kept

    run_apart(work)


ROOT = str(Path(__file__).parent.parent)
