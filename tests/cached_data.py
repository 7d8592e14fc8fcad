"""Some data, a cache for it, and what of the data is opened."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

import pytest

from anylearn_jupyter.submit import regular_files
from anylearn_jupyter.submit.stat_cache import StatCache
from waiting import wait_until


@pytest.fixture
def data(tmp_path: Path) -> Path:
    top = tmp_path / "data"
    for name in ("a/1", "a/2", "b/1", "b/deep/1", "zero", "top"):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name == "zero" else name.encode())
    (top / "b" / "link").symlink_to("../a/1")
    return top


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> StatCache:
    """A cache for which the clock has a grain of a hundredth of a second, so that files age."""
    monkeypatch.setattr(regular_files, "YOUNG_NS", 10_000_000)
    return StatCache()


@contextmanager
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Gather the names of the data files that are opened."""
    names: list[str] = []
    original = os.open

    def open_and_note(
        place: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        handle = original(place, flags, mode, dir_fd=dir_fd)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if path.is_file() and "data" in path.parts:
            names.append("/".join(path.parts[path.parts.index("data") + 1 :][-2:]))
        return handle

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_and_note)
        yield names


def old(top: Path) -> None:
    """Wait until nothing below a directory is young."""

    def aged() -> bool:
        files = (path for path in (top, *top.rglob("*")) if path.is_file())
        now = time.time_ns()
        return not any(regular_files.is_young(path.stat(), now) for path in files)

    wait_until(aged, 10, "the files grow old")


AUDITED = """
import json, os, sys
from pathlib import Path
from anylearn_jupyter.submit.fingerprint import fingerprint
from anylearn_jupyter.submit.stat_cache import StatCache

data = Path(sys.argv[1])
opened = []

def hear(event, arguments):
    if event != "open" or arguments[2] & os.O_DIRECTORY:
        return
    # Files of a folder are opened by its descriptor, with their names alone.
    place = str(arguments[0])
    if place.startswith(str(data)) or not place.startswith("/"):
        opened.append(place)

sys.addaudithook(hear)
found = fingerprint(data, cache=StatCache())
print(json.dumps({"value": found.value, "opened": opened, "files": found.files}))
"""


class Found(TypedDict):
    value: str
    opened: list[str]
    files: int


def in_another_process(data: Path) -> Found:
    answer = subprocess.run(
        [sys.executable, "-c", AUDITED, str(data)], capture_output=True, text=True, check=True
    )
    found: Found = json.loads(answer.stdout)
    return found
