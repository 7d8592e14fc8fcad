"""Helper processes: they give what this process alone gives, and whatever they do is no error."""

from __future__ import annotations

import marshal
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from anylearn_jupyter.errors import DataError
from anylearn_jupyter.submit import (
    data_scan,
    file_reading,
    folder_work,
    helper_processes,
    regular_files,
)
from anylearn_jupyter.submit.data_scan import scan
from anylearn_jupyter.submit.fingerprint import DataReading, fingerprint, look
from anylearn_jupyter.submit.helper_processes import Job
from anylearn_jupyter.submit.stat_cache import StatCache
from waiting import wait_until


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Directories in directories, small and large files, links, an executable one."""
    top = tmp_path / "data"
    for number in range(12):
        folder = top / f"part{number}" / "deep" if number % 3 else top / f"part{number}"
        folder.mkdir(parents=True)
        for file in range(9):
            (folder / f"file{file}").write_bytes(os.urandom(1000 * number + file))
    (top / "large").write_bytes(os.urandom(5_000_000))
    (top / "zero").touch()
    (top / "part1" / "run").write_bytes(b"#!/bin/sh\n")
    (top / "part1" / "run").chmod(0o755)
    (top / "link").symlink_to("part0/file1")
    (top / "again").symlink_to("part2", target_is_directory=True)
    (top / "out").symlink_to(tmp_path)
    return top


@pytest.fixture
def helped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helpers for anything that is more than a batch, on a machine of three processors."""
    monkeypatch.setattr(helper_processes, "processors", lambda: 3)
    monkeypatch.setattr(file_reading, "HELPED_BYTES", 0)
    monkeypatch.setattr(file_reading, "BATCH_FILES", 2)
    monkeypatch.setattr(data_scan, "HELPED_FILES", 0)


def running() -> list[psutil.Process]:
    """Give the helpers of this process."""
    children = psutil.Process().children()
    return [one for one in children if any("folder_work" in word for word in one.cmdline())]


class Seen:
    """What a scan found, in an order of its own."""

    def __init__(self, top: Path) -> None:
        found = scan(top)
        self.files = {
            folder.prefix + name: (folder.state(at), folder.where(at))
            for folder in found.folders
            for at, name in enumerate(folder.names)
        }
        self.skipped = sorted(found.skipped)
        self.total_bytes = found.total_bytes


def test_they_give_what_one_process_gives(
    data: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    alone, seen = fingerprint(data), Seen(data)
    request.getfixturevalue("helped")
    answered: list[object] = []
    taken = helper_processes.Helpers.answers

    def answers(self: helper_processes.Helpers, *, wait: bool = False) -> list[tuple[int, object]]:
        found = taken(self, wait=wait)
        answered.extend(answer for _, answer in found)
        return found

    monkeypatch.setattr(helper_processes.Helpers, "answers", answers)
    told: list[tuple[int, int]] = []

    # Those who walk and those who read have something to do, however quick this process is.
    together = wait_until(
        lambda: (
            (found := fingerprint(data, on_progress=lambda *both: told.append(both)))
            and {type(answer) for answer in answered} >= {list, tuple}
            and found
        ),
        30,
        "helpers have answered",
    )

    assert together.value == alone.value
    assert together.entries == alone.entries
    assert None not in answered
    assert vars(Seen(data)) == vars(seen)
    assert told[-1] == (alone.total_bytes, alone.total_bytes)
    assert running() == []


def test_few_files_need_none(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_processes, "processors", lambda: 3)

    def refuse(self: object) -> None:
        raise AssertionError("a helper is started")

    monkeypatch.setattr(helper_processes._Helper, "__init__", refuse)

    assert fingerprint(data).files == 121


@pytest.mark.usefixtures("helped")
def test_one_processor_is_left_alone(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_processes, "processors", lambda: 1)

    fingerprint(data, on_progress=lambda done, total: asserted(running() == []))


def asserted(true: bool) -> None:
    assert true


@pytest.mark.usefixtures("helped")
@pytest.mark.parametrize("with_signal", [signal.SIGKILL, signal.SIGSTOP])
def test_what_a_helper_does_not_do_is_done_here(
    data: Path, monkeypatch: pytest.MonkeyPatch, with_signal: signal.Signals
) -> None:
    """One that dies, or hangs, while it has something to do."""
    monkeypatch.setattr(helper_processes, "PATIENCE_S", 0.3)
    expected = fingerprint(data)
    told: list[tuple[int, int]] = []

    def strike(done: int, total: int) -> None:
        if not told:
            for one in running():
                one.send_signal(with_signal)
        told.append((done, total))

    found = fingerprint(data, on_progress=strike)

    assert found.entries == expected.entries
    assert told[-1] == (found.total_bytes, found.total_bytes)
    assert running() == []


@pytest.mark.usefixtures("helped")
@pytest.mark.parametrize(
    "does", ["exit 1", "exec sleep 60", "cat", "echo this is no message; exec sleep 60", "rm $0"]
)
def test_an_interpreter_that_does_something_else_is_no_error(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    expected = fingerprint(data).value
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/bin/sh\n{does}\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    monkeypatch.setattr(helper_processes, "PATIENCE_S", 0.3)

    for _ in range(2):
        assert fingerprint(data).value == expected


@pytest.mark.parametrize("change", ["", "# another version\n"])
def test_a_helper_of_another_version_does_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """As when the package was replaced while this process ran, whatever has changed in it."""
    replaced = tmp_path / "replaced" / "folder_work.py"
    replaced.parent.mkdir()
    replaced.write_text(Path(folder_work.__file__).read_text() + change)
    places = helper_processes._places()
    monkeypatch.setattr(helper_processes, "processors", lambda: 2)
    monkeypatch.setattr(helper_processes, "PATIENCE_S", 30)
    monkeypatch.setattr(helper_processes, "_places", lambda: [str(replaced.parent), *places[1:]])
    with helper_processes.helpers(lambda piece: None) as beside:
        beside.start()
        beside.give(Job(1, (folder_work.LIST, [str(data)])))

        answers = wait_until(lambda: beside.answers(wait=True), 30, "an answer")

    assert answers == [(1, None if change else [folder_work.list_folder(str(data))])]


@pytest.mark.usefixtures("helped")
@pytest.mark.parametrize("program", ["program", "", None])
def test_a_program_that_embeds_python_is_not_started_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str | None
) -> None:
    if program:
        (tmp_path / program).write_text(f"#!/bin/sh\ntouch {tmp_path}/window\n")
        (tmp_path / program).chmod(0o755)
    expected = fingerprint(data).value
    monkeypatch.setattr(sys, "executable", program and str(tmp_path / program))

    assert fingerprint(data).value == expected
    assert not (tmp_path / "window").exists()


@pytest.mark.usefixtures("helped")
def test_they_end_with_a_reading_that_is_interrupted(data: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fingerprint(data, on_progress=interrupt)

    assert running() == []


READER = """
import sys, time
from pathlib import Path
from anylearn_jupyter.submit import file_reading, helper_processes
from anylearn_jupyter.submit.fingerprint import fingerprint

helper_processes.processors = lambda: 3
file_reading.HELPED_BYTES = 0
file_reading.BATCH_FILES = 2


def told(done, total):
    print(done, flush=True)
    time.sleep(60)


fingerprint(Path(sys.argv[1]), on_progress=told)
"""


def test_they_end_with_their_process_however_it_ends(data: Path) -> None:
    reader = subprocess.Popen([sys.executable, "-c", READER, str(data)], stdout=subprocess.PIPE)
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline()
        beside = psutil.Process(reader.pid).children()
        assert len(beside) == 2
    finally:
        reader.kill()
        reader.communicate()

    psutil.wait_procs(beside, timeout=30)

    assert [one for one in beside if one.is_running() and one.status() != "zombie"] == []


@pytest.mark.usefixtures("helped")
@pytest.mark.parametrize(
    "edit",
    [
        lambda top: (top / "part3" / "file1").write_bytes(b"of another size"),
        lambda top: (top / "large").write_bytes(os.urandom(5_000_000)),
        lambda top: (top / "large").write_bytes(os.urandom(5_000_001)),
        lambda top: (top / "large").write_bytes(b""),
        lambda top: (top / "part5" / "deep" / "file8").chmod(0o755),
        lambda top: os.utime(top / "part5" / "deep" / "file8"),
    ],
)
def test_what_has_changed_since_it_was_seen_is_read_as_it_is(
    data: Path, edit: Callable[[Path], object]
) -> None:
    seen = look(data)
    edit(data)

    reading = DataReading(seen)
    reading.read_all()
    found = reading.result()

    assert found.value == fingerprint(data).value
    assert found.entries == fingerprint(data).entries
    assert found.total_bytes == sum(entry.size for entry in found.entries)


@pytest.mark.usefixtures("helped")
def test_a_file_that_is_gone_is_named(data: Path) -> None:
    seen = look(data)
    (data / "part4" / "deep" / "file2").unlink()

    with pytest.raises(DataError, match=r"'part4/deep/file2' was taken away"):
        DataReading(seen).read_all()


@pytest.mark.usefixtures("helped")
def test_a_directory_that_is_gone_is_named(data: Path) -> None:
    seen = look(data)
    (data / "part4").rename(data / "moved")

    with pytest.raises(DataError, match=r"'part4/deep/file\d' was taken away"):
        DataReading(seen).read_all()


@pytest.mark.usefixtures("helped")
def test_a_name_that_is_no_utf8_is_refused_by_name(data: Path) -> None:
    for number in range(12):
        folder = data / f"part{number}"
        (folder / os.fsdecode(b"odd\xff")).touch()

    with pytest.raises(DataError, match=r"part\d+/odd\\udcff.* is no UTF-8"):
        scan(data)


@pytest.mark.usefixtures("helped")
def test_a_young_file_is_read_again(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule for the grain of the clock holds for what helpers read, too."""
    cache = StatCache()
    monkeypatch.setattr(regular_files, "YOUNG_NS", 10**18)
    value = fingerprint(data, cache=cache).value
    assert look(data, cache).fingerprint is None
    monkeypatch.setattr(regular_files, "YOUNG_NS", -(10**18))
    fingerprint(data, cache=cache)

    again = look(data, cache).fingerprint

    assert again is not None
    assert again.value == value


def test_a_helper_answers_until_nobody_asks(data: Path) -> None:
    """Its loop, here in a thread; what is odd has no answer, and no words."""
    asked, asks = os.pipe()
    says, answers = os.pipe()
    helper = threading.Thread(target=folder_work.serve, args=(asked, answers))
    helper.start()
    with os.fdopen(asks, "wb") as questions, os.fdopen(says, "rb") as heard:
        assert next_message(heard.read) == folder_work.GREETING
        place = str(data / "part3")
        questions.write(folder_work.packed((folder_work.LIST, [place, f"{place}/nothing"])))
        questions.flush()
        listing, nothing = next_message(heard.read)
        names, states, total, others = listing
        questions.write(folder_work.packed((folder_work.READ, place, ["file1", "no"], states)))
        questions.flush()
        told, (digests, newest_ns) = next_message(heard.read), next_message(heard.read)
        questions.close()
        helper.join(30)
        os.close(asked)
        os.close(answers)

    assert not helper.is_alive()
    assert nothing is None
    assert (names.count(b"/"), total, others) == (8, 9 * 3000 + 36, [])
    assert len(digests) == 2 * folder_work.DIGEST_BYTES
    assert digests.endswith(folder_work.UNREAD)
    assert told in (0, 3001)
    assert newest_ns in (0, (data / "part3" / "file1").stat().st_ctime_ns)


def next_message(read: Callable[[int], bytes]) -> Any:
    return marshal.loads(read(folder_work.LENGTH.unpack(read(folder_work.LENGTH.size))[0]))
