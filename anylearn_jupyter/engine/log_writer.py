"""A task's log as the shim writes it: the bytes, and an index of when each read was.

The format of the index, little-endian, number 1::

    header, 16 bytes:  magic b"ALLOGIDX", format u32, bytes a record u32
    record, 24 bytes:  offset u64, ms i64, stream u8, 7 bytes of 0

A record says: from this offset of the log on, until the next record's, the bytes were read at that
time from that stream (0 the platform's own line, 1 stdout, 2 stderr). The record is written before
its bytes, so whoever sees a byte finds its time, and a death between the two leaves a record
without bytes, which is harmless. The times never decrease.

The shim imports this module, once a task, so it imports nothing heavy.
"""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

from anylearn_jupyter.engine.processes import system

MAGIC = b"ALLOGIDX"
"""The first bytes of an index."""
FORMAT = 1
"""The index's format number."""
HEADER = struct.Struct("<8sII")
"""Magic, format, bytes a record."""
RECORD = struct.Struct("<QqB7x")
"""Offset, milliseconds since 1970 UTC, stream."""

PLATFORM, STDOUT, STDERR = 0, 1, 2
"""The streams."""

PLATFORM_PREFIX = "[Anylearn]"
"""What begins a line that is not the task's own (HTTP API, section 9.4)."""


class Clock:
    """Wall time that never jumps: read once, then counted on by a clock that cannot be set."""

    def __init__(self) -> None:
        self._zero_ms = time.time_ns() // 1_000_000 - system.clock_ms()

    def now_ms(self) -> int:
        """Give milliseconds since 1970, UTC; never less than before."""
        return self._zero_ms + system.clock_ms()


class LogWriter:
    """The only writer of a task's log: its shim, and the engine when that is dead.

    A disk that is full, or any other refusal, never stops the task: the bytes are counted as lost,
    the task is drained on, and when there is space again a line in the log says how much is
    missing. The same is done with what exceeds the limit (faults B2, B4, H3).

    Parameters
    ----------
    log, index : Path
        Made, private, if they are not there; else what is there is kept.
    clock : Clock
        Where the times come from.
    limit_bytes : int
        The log never grows beyond this, but for the line that says so.

    Attributes
    ----------
    open_stream : int or None
        Whose line has no end yet; None where none is open.
    """

    def __init__(self, log: Path, index: Path, clock: Clock, limit_bytes: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        self._log = os.open(log, flags | os.O_APPEND, 0o600)
        self._index = os.open(index, flags, 0o600)
        self._clock = clock
        self._limit = limit_bytes
        self.size = os.fstat(self._log).st_size
        self._ends_line = not self.size or os.pread(self._log, 1, self.size - 1) == b"\n"
        self.open_stream: int | None = None
        self._last_ms = 0
        self._gap = 0
        self._full = False
        self.lost_bytes = 0
        self.trouble = ""
        self._index_at = 0
        self._resume_index()

    def _resume_index(self) -> None:
        """Go on after the last whole record, or begin with the header."""
        records = (os.fstat(self._index).st_size - HEADER.size) // RECORD.size
        if records < 0:
            self._write_index(HEADER.pack(MAGIC, FORMAT, RECORD.size))
            return
        self._index_at = HEADER.size + records * RECORD.size
        if records:
            last = os.pread(self._index, RECORD.size, self._index_at - RECORD.size)
            self._last_ms = RECORD.unpack(last)[1]

    def append(self, data: bytes, stream: int) -> None:
        """Write what was read; what cannot be written is counted in `lost_bytes`."""
        if self._full:
            self.lost_bytes += len(data)
            return
        if self._gap:
            self._tell_gap()
        kept = data
        if self.size + len(data) > self._limit:
            kept = data[: max(0, self._limit - self.size)]
        written = self._write(kept, stream)
        lost = len(data) - written
        self.lost_bytes += lost
        if len(kept) < len(data) and written == len(kept):
            self._full = True
            self.trouble = f"it has reached its limit of {self._limit} bytes"
            self.say(f"The log has reached its limit of {self._limit} bytes; the rest is not kept.")
        else:
            self._gap += lost

    def say(self, sentence: str) -> None:
        """Write a line of the platform's own, on a line of its own."""
        start = "" if self._ends_line else "\n"
        self._write(f"{start}{PLATFORM_PREFIX} {sentence}\n".encode(), PLATFORM)

    def close(self) -> None:
        """Make the log durable and end writing; a refusal is kept in `trouble`."""
        if self._gap:
            self._tell_gap()
        for handle in (self._log, self._index):
            try:
                os.fsync(handle)
            except OSError as error:
                self.trouble = self.trouble or f"it may not be on the disk ({error.strerror})"
            os.close(handle)

    def _tell_gap(self) -> None:
        start = "" if self._ends_line else "\n"
        line = f"{start}{PLATFORM_PREFIX} {self._gap} bytes of output are missing here.\n".encode()
        before = self.size
        if self._write(line, PLATFORM) == len(line):
            self._gap = 0
        elif self.size > before:
            # Half a line would pass for the task's own.
            os.ftruncate(self._log, before)
            self.size = before

    def _write(self, data: bytes, stream: int) -> int:
        """Write as much as goes, and return how much that was."""
        if not data:
            return 0
        self._last_ms = max(self._last_ms, self._clock.now_ms())
        self._write_index(RECORD.pack(self.size, self._last_ms, stream))
        view = memoryview(data)
        done = 0
        try:
            while done < len(data):
                done += os.write(self._log, view[done:])
        except OSError as error:
            self.trouble = error.strerror or str(error)
        if done:
            self._ends_line = data[done - 1] == 0x0A
            self.open_stream = None if self._ends_line else stream
            self.size += done
        return done

    def _write_index(self, data: bytes) -> None:
        """Put a record in its place; one that is not whole is written over by the next."""
        try:
            if os.pwrite(self._index, data, self._index_at) == len(data):
                self._index_at += len(data)
        except OSError as error:
            self.trouble = error.strerror or str(error)
