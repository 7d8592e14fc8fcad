"""A process that sends a folder as data, and may be killed with -9 at a moment of its upload."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

SENDER = """
import json, os, signal, sys
from pathlib import Path

from anylearn_jupyter.client.api import Api
from anylearn_jupyter.client.connection import current_connection
from anylearn_jupyter.submit.destination import Destination
from anylearn_jupyter.submit.fingerprint import look
from anylearn_jupyter.submit.ledger import Ledger
from anylearn_jupyter.submit.local_data import LocalData
from anylearn_jupyter.submit.preparation import look_at_data
from anylearn_jupyter.submit.progress import SilentProgress
from anylearn_jupyter.submit.request import InputKind

folder, method, moment, nth = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
# How many files the engine reads at a time; 0 has every byte sent, as to a server elsewhere.
reads_files = int(sys.argv[5])


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def dying(cls, name):
    kept, calls = getattr(cls, name), []

    def call(*arguments, **options):
        calls.append(1)
        number = len(calls)
        if number == nth and moment == "before":
            die()
        found = kept(*arguments, **options)
        if number == nth and moment == "after":
            die()
        return found

    setattr(cls, name, call)


kept_limits = Api.delta.fget
Api.delta = property(lambda api: (found := kept_limits(api)) and found._replace(
    reads_files=min(reads_files, found.reads_files)))
if method:
    dying(Ledger if method in ("record_dataset",) else Api, method)
with Ledger() as ledger:
    connection = current_connection()
    place = Destination(connection, ledger, SilentProgress(), 0.2)
    content = look_at_data(folder, SilentProgress())
    local = LocalData(content, InputKind.DATASET, place)
    if not hasattr(content, "value") and not local.takes_chunks():
        from anylearn_jupyter.submit.fingerprint import fingerprint
        local = LocalData(fingerprint(folder), InputKind.DATASET, place)
    found = local.provide()
    print(json.dumps({"id": found.resource.id, "sent": found.sent, "value": found.content.value,
                      "counters": connection.api.counters()}))
"""


def sending(
    folder: Path,
    *,
    method: str = "",
    moment: str = "before",
    nth: int = 1,
    reads_files: int = 4096,
) -> subprocess.Popen[str]:
    """Start to send a folder, to die around the nth call of a method of `Api` or `Ledger`.

    The engine reads so many files of it at a time itself; none: every byte is sent.
    """
    return subprocess.Popen(
        [sys.executable, "-c", SENDER, str(folder), method, moment, str(nth), str(reads_files)],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )


def sent(folder: Path, *, reads_files: int = 4096) -> dict[str, Any]:
    """Send a folder to its end, and tell what came of it."""
    process = sending(folder, reads_files=reads_files)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(said)
    return found


def killed(
    folder: Path, method: str, moment: str, nth: int = 1, *, reads_files: int = 4096
) -> None:
    """Send a folder until the process dies."""
    process = sending(folder, method=method, moment=moment, nth=nth, reads_files=reads_files)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL


def of_size(top: Path, *sizes: int) -> Path:
    """Make a folder of random files."""
    top.mkdir(parents=True, exist_ok=True)
    for number, size in enumerate(sizes):
        with (top / f"file{number}.bin").open("wb") as file:
            while size > 0:
                file.write(os.urandom(min(size, 1 << 20)))
                size -= 1 << 20
    return top
