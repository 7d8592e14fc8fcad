"""Being told of changes, by inotify and by looking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from anylearn_jupyter.engine.task_files import TaskFiles, write_record
from anylearn_jupyter.engine.watcher import Watcher


async def until(condition: Callable[[], bool]) -> None:
    """Wait on the loop, so that its handlers run."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within 10 s")


@pytest.mark.parametrize("poll", [False, True])
def test_a_log_and_its_records_are_told(tmp_path: Path, poll: bool) -> None:
    async def scene() -> None:
        watcher = Watcher(IOLoop.current(), poll=poll)
        files, other = TaskFiles(tmp_path / "a"), TaskFiles(tmp_path / "b")
        files.root.mkdir()
        other.root.mkdir()
        calls: dict[str, int] = {"log": 0, "second": 0, "record": 0, "other": 0}

        def count(name: str) -> Callable[[], None]:
            def call() -> None:
                calls[name] += 1

            return call

        log = watcher.log(files, count("log"))
        second = watcher.log(files, count("second"))
        record = watcher.records(files, count("record"))
        watcher.log(other, count("other"))

        files.log.write_bytes(b"one\n")
        await until(lambda: calls["log"] > 0 and calls["second"] > 0)
        before = calls["log"]
        with files.log.open("ab") as file:
            file.write(b"two\n")
        await until(lambda: calls["log"] > before)

        log.close()
        log.close()
        before, quiet = calls["second"], calls["log"]
        with files.log.open("ab") as file:
            file.write(b"three\n")
        await until(lambda: calls["second"] > before)
        assert calls["log"] == quiet

        before = calls["record"]
        write_record(files.exit, {"kind": "exit"}, durable=False)
        await until(lambda: calls["record"] > before)
        assert calls["other"] == 0

        second.close()
        record.close()
        watcher.close()

    asyncio.run(scene())


def test_a_log_that_is_there_already_is_followed(tmp_path: Path) -> None:
    async def scene() -> None:
        watcher = Watcher(IOLoop.current())
        files = TaskFiles(tmp_path)
        files.log.write_bytes(b"one\n")
        calls: list[int] = []
        watcher.log(files, lambda: calls.append(1))
        with files.log.open("ab") as file:
            file.write(b"two\n")
        await until(lambda: bool(calls))
        watcher.close()

    asyncio.run(scene())
