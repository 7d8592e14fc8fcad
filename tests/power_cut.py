"""Power cuts on request: a file system in a file, which is copied while it is mounted.

A copy of the backing file is what a disk would hold if the power went at that moment: what was
synced is there, and the rest may or may not be. `Disk.cut` makes one, `Disk.after` mounts it, which
plays the journal back as the next start of the machine would. The file system is told to promise as
little as it may: nothing is written out because of a rename, and nothing because of its age.

Needs root and loop devices. The mounts are in a mount namespace of the process's own (`run_apart`),
so nothing is left however it ends. Run as a script it is the writer that is stopped at any moment.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_MEGABYTES = 768
_CLONE_NEWNS = 0x00020000
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_PROMISE_NOTHING = "loop,noauto_da_alloc,commit=600,data=writeback"


def possible() -> bool:
    """Whether this process may make such a disk."""
    return sys.platform == "linux" and os.geteuid() == 0 and Path("/dev/loop-control").exists()


class Disk:
    """A small ext4 in a file.

    Parameters
    ----------
    place : Path
        Where its files are; outside of the disk.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.image = place / "disk.img"
        self.root = place / "disk"
        self._cuts = 0

    def _run(self, *words: str) -> None:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            raise OSError(f"{words[0]}: {done.stderr.strip()}")

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        """Make it and mount it; gives its root."""
        self.root.mkdir(parents=True)
        with self.image.open("wb") as file:
            file.truncate(_MEGABYTES << 20)
        self._run(
            "mkfs.ext4", "-q", "-E", "lazy_itable_init=0", "-N", "4000", "-m", "0", str(self.image)
        )
        self._run("mount", "-o", _PROMISE_NOTHING, str(self.image), str(self.root))
        try:
            (self.root / "lost+found").rmdir()
            os.sync()
            yield self.root
        finally:
            self._run("umount", "--lazy", str(self.root))

    def cut(self) -> Path:
        """Cut the power: give what the disk holds at this moment."""
        self._cuts += 1
        copy = self.place / f"cut-{self._cuts}.img"
        self._run("cp", "--sparse=always", str(self.image), str(copy))
        return copy

    @contextmanager
    def after(self, cut: Path) -> Iterator[Path]:
        """Start again after a cut: another boot, and the copy where the disk was."""
        boot = self.place / "boot_id"
        boot.write_text(f"{uuid.uuid4()}\n", encoding="ascii")
        self._run("mount", "-o", "loop", str(cut), str(self.root))
        self._run("mount", "--bind", str(boot), _BOOT_ID)
        try:
            yield self.root
        finally:
            self._run("umount", _BOOT_ID)
            self._run("umount", "--lazy", str(self.root))
            cut.unlink()


def _have_own_mounts() -> None:
    """Give this process mounts of its own, until it ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if libc.mount(b"none", b"/", None, 0x40000 | 0x4000, None) != 0:  # private, recursive
        raise OSError(ctypes.get_errno(), "mount")


def run_apart(work: Callable[[], None]) -> None:
    """Run a function in a child process with mounts of its own, and tell here what failed there."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reading)
            _have_own_mounts()
            work()
            code = 0
        finally:
            if code:
                os.write(writing, traceback.format_exc().encode())
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as said:
        words = said.read()
    assert os.waitpid(child, 0)[1] == 0, words


@contextmanager
def at_each_durable_step(then: Callable[[str], None]) -> Iterator[None]:
    """Call a function before and after each sync, rename and link of this process."""
    names = ("fsync", "fdatasync", "replace", "rename", "link")
    real = {name: getattr(os, name) for name in names}

    def watched(name: str) -> Callable[..., object]:
        def call(*words: object, **more: object) -> object:
            then(f"before {name}")
            try:
                return real[name](*words, **more)
            finally:
                then(f"after {name}")

        return call

    try:
        for name in names:
            setattr(os, name, watched(name))
        yield
    finally:
        for name in names:
            setattr(os, name, real[name])


def write_without_end() -> None:
    """Put tasks into the ledger, and say of each when it is there."""
    from anylearn_jupyter.submit.ledger import Ledger
    from anylearn_jupyter.submit.task_record import TaskRecord

    with Ledger() as ledger:
        for number in range(100_000):
            text = "x" * (number * 37 % 5000)
            ledger.record_task(
                TaskRecord(id=f"TRAI{number}", name="t", server="s", profile={"request": text})
            )
            print(number, flush=True)


if __name__ == "__main__":
    write_without_end()
